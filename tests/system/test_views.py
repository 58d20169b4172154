"""test_views.py - lists are what the facts give: kept by the keeper, rebuilt to the byte, paged; and who did what"""

import collections
import json
import signal
import threading
import time
import urllib.parse
import urllib.request

import psycopg2
import pytest

import farm as farms

TABLES = {"payment": "payment_id", "attempt": "payment_id, attempt_number", "refund": "payment_id, refund_number", "commission": "payment_id, capture_number"}


@pytest.fixture(autouse=True)
def projected(world):
    """What other tests left is projected before we compare all of it."""
    farms.wait_for(lambda: world.sql("select count(*) from ledger.event, view.progress where (xid, seq) > (last_xid, last_seq)") == [(0,)], 30,
                   "the keeper")


def run(world, *words, role=None):
    """(exit code, JSON) of one command, with this database role."""
    environment = {"ACQUIT_LEDGER_URL": role} if role else None
    done = world.farm.acquit(*words, "--json", environment=environment, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def rebuild(world, *words):
    """As the keeper's role; its result."""
    code, result, said = run(world, "ledger", "rebuild", *words, role=world.farm.pg_url("acquit_keeper"))
    assert code == (1 if "--check" in words and result["differ"] else 0), said
    return result


def check(world):
    """The differences, once the keeper has come to all of it."""
    result = farms.wait_for(lambda: (lambda r: r if r["behind"] == 0 else None)(rebuild(world, "--check")), 30, "a check with nothing behind")
    assert (result["differ"] == 0) == (not result["differences"]) and result["written"] == 0
    return result["differences"]


def tables(world, payments):
    """Every row of these payments, as text."""
    return {table: world.sql(f"select t::text from view.{table} t where payment_id = any(%s::uuid[]) order by {key}", payments)
            for table, key in TABLES.items()}


def refund(world, payment, amount=None):
    words = ["--amount", str(amount)] if amount else []
    code, answer, said = run(world, "payment", "refund", payment, *words, "--key", world.key(), "--reason", "one seat less")
    assert code == 0, (answer, said)


def day(world):
    """A small day, both flows: paid, failed over, declined, cancelled, refunded in parts and whole. {name: payment}."""
    payments = {
        "plain": world.pay(world.plain(gateway="simulated", token="tok_visa", metadata={"cart": "9"}, reference={"type": "event", "id": "e-1"})),
        "dual": world.pay(world.dual(), publisher="tickets"),
        "over": world.pay(world.plain(token="tok_declined") | {"preferredGateways": ["simulated", "stripe"]}),
        "declined": world.pay(world.plain(gateway="simulated", token="tok_insufficient_funds")),
        "waiting": world.pay(world.plain(gateway="simulated", token="tok_requires_action", currency="JPY")),
        "part": world.pay(world.plain(gateway="simulated", token="tok_visa", amount=12345, currency="TND")),
        "whole": world.pay(world.plain()),
    }
    world.wait_state(payments["waiting"], "requires_action")
    world.wait_ended([payment for name, payment in payments.items() if name != "waiting"])
    assert world.farm.acquit("payment", "cancel", payments["waiting"], "--reason", "asked on the phone", check=False).returncode == 0
    refund(world, payments["part"], 45)
    refund(world, payments["part"], 300)
    refund(world, payments["whole"])
    world.until_listed(payments.values())
    return payments


# --- rows ---

def test_the_tables_are_made_again_to_the_byte(world):
    payments = day(world)
    status = dict(world.sql("select payment_id::text, status from view.payment where payment_id = any(%s::uuid[])", list(payments.values())))
    assert {name: status[payment] for name, payment in payments.items()} == {
        "plain": "completed", "dual": "completed", "over": world.state(payments["over"]), "declined": "failed", "waiting": "cancelled",
        "part": "partially_refunded", "whole": "refunded"}
    assert check(world) == []
    before = tables(world, list(payments.values()))
    assert all(before.values())
    world.books.cursor().execute("truncate view.payment, view.attempt, view.refund, view.commission")
    assert {(row["table"], row["column"]) for row in rebuild(world, "--check")["differences"]} == {(table, "") for table in TABLES}
    result = rebuild(world)
    assert result["written"] >= len(payments) and result["behind"] == 0
    assert tables(world, list(payments.values())) == before
    assert check(world) == []


def test_names_and_amounts_that_other_systems_ask_for(world):
    payments = day(world)
    rows = dict(world.sql("select id::text, amount::text || ' ' || currency || ' ' || refunded_amount from view.payments where id = any(%s::uuid[])",
                          list(payments.values())))
    assert rows[payments["plain"]] == "10.00 EUR 0.00" and rows[payments["waiting"]] == "1000 JPY 0" and rows[payments["part"]] == "12.345 TND 0.345"
    attempts = world.sql("select attempt_number, status, error_code, gateway_provider from view.payment_attempts where payment_id = %s order by 1", payments["over"])
    assert attempts[0] == (1, "declined", "declined", "simulated") and [row[0] for row in attempts] == list(range(1, len(attempts) + 1))
    ((response,),) = world.sql("select gateway_response from view.payment_attempts where payment_id = %s", payments["plain"])
    assert set(response) == {"status", "requestSha256", "answerSha256", "requestId", "sentAt", "answeredAt"}
    refunds = world.sql("select amount::text, status, reason from view.refunds where payment_id = %s order by refund_number", payments["part"])
    assert refunds == [("0.045", "completed", "one seat less"), ("0.300", "completed", "one seat less")]
    entries = world.sql("select slot from ledger.transfer where payment_id = %s and slot ~ '^refund:' and leg = 1 order by slot", payments["part"])
    assert [slot for (slot,) in entries] == ["refund:1:result", "refund:2:result"]  # completed: an entry in the books
    commission = "select commission_rate::text, commission_amount, commission_type, status, reversed_amount from view.commissions where transaction_id = %s"
    assert world.sql(commission, payments["plain"]) == [("0.0250", 25, "ticket_sale", "completed", 0)]
    assert world.sql(commission, payments["part"]) == [("0.0250", 308, "sale", "partially_reversed", 308 * 345 // 12345)]
    assert world.sql(commission, payments["whole"]) == [("0.0250", 25, "sale", "reversed", 25)]
    ((user, event, amount, metadata, response),) = world.sql(
        "select user_id, event_id, amount, metadata, provider_response from view.transactions where id = %s", payments["plain"])
    assert (user, event, amount, metadata) == (None, None, 1000, {"cart": "9"}) and response["status"] == 200
    with psycopg2.connect(world.farm.pg_url("acquit_auditor")) as reader, reader.cursor() as cursor:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("update view.payment set status = 'pending'")


CHANGES = {  # statement: (table, column)
    "update view.payment set status = 'pending' where payment_id = %s": ("payment", "status"),
    "update view.payment set facts = facts + 1000 where payment_id = %s": ("payment", "facts"),
    "update view.payment set amount = 1 where payment_id = %s": ("payment", "amount"),
    "update view.payment set metadata = '{\"cart\": \"10\"}' where payment_id = %s": ("payment", "metadata"),
    "delete from view.payment where payment_id = %s": ("payment", ""),
    "update view.attempt set error_code = 'x' where payment_id = %s": ("attempt", "error_code"),
    "insert into view.attempt select payment_id, 9, attempt_id, provider, status, null, null, null, null, 0, created_at, updated_at from view.attempt"
    " where payment_id = %s and attempt_number = 1": ("attempt", ""),
    "update view.commission set rate_ppm = rate_ppm + 1 where payment_id = %s": ("commission", "rate_ppm"),
    "insert into view.refund select payment_id, 1, payment_id, null, 'completed', 1, 0, null, null, null, null, null, 0, now(), now() from view.payment"
    " where payment_id = %s": ("refund", ""),
}


def test_a_changed_cell_is_found_and_named(world):
    payments = [world.pay(world.plain(gateway="simulated", token="tok_visa", metadata={"cart": "9"})) for _ in CHANGES]
    world.wait_ended(payments)
    world.until_listed(payments)
    before = tables(world, payments)
    for payment, statement in zip(payments, CHANGES):
        world.books.cursor().execute(statement, (payment,))
    planted = "00000000-0000-0000-0000-000000000000"
    world.books.cursor().execute("insert into view.payment select %s, t.seq, 1, 'ghost', 'ghost', t.flow, t.status, null, null, null, null, null, false, t.currency, 2, 1, 0,"
                                 " 0, null, null, null, null, null, null, null, null, null, now(), now() from view.payment t where payment_id = %s",
                                 (planted, payments[0]))
    expected = {(payment, *place) for payment, place in zip(payments, CHANGES.values())} | {(planted, "payment", "")}
    assert {(row["paymentId"], row["table"], row["column"]) for row in check(world)} == expected
    verified = run(world, "ledger", "verify", role=world.farm.pg_url("acquit_auditor"))[1]
    found = [(fault["paymentId"], fault["message"].split()[0]) for fault in verified["faults"] if fault["rule"] == "projection"]
    assert sorted(found) == sorted((payment, "view." + table) for payment, table, _ in expected), found
    code, refused, _ = run(world, "ledger", "rebuild")  # the operator may only read
    assert code == 1 and "acquit_projector" in refused["message"]
    assert rebuild(world)["written"] == len(expected)
    assert tables(world, payments) == before and check(world) == []


def test_a_keeper_that_dies_and_several_writers(world):
    """Killed with work in hand, set back as if it had died before it noted how far it was, and rebuilt beside it, under load."""
    payments, stop = [], threading.Event()

    def load():
        while not stop.is_set() and len(payments) < 200:
            payments.append(world.pay(world.plain(gateway="simulated", token="tok_visa") if len(payments) % 2 else world.dual()))
    sender = threading.Thread(target=load)
    sender.start()
    farms.wait_for(lambda: len(payments) > 5, 20, "some payments")
    world.farm.end_program("keeper", signal.SIGKILL)
    left = len(payments)
    farms.wait_for(lambda: len(payments) > left + 10, 20, "more payments")
    world.farm.start_keeper()
    for _ in range(2):
        rebuild(world)
        world.books.cursor().execute("update view.progress set last_xid = '0', last_seq = 0")
    stop.set()
    sender.join()
    world.wait_ended(payments)
    world.until_listed(payments)
    assert check(world) == []


def test_the_lag_is_measured(world):
    with urllib.request.urlopen(f"http://127.0.0.1:{world.farm.port('keeper-metrics')}/metrics", timeout=10) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line and not line.startswith("#"))
    assert int(lines["acquit_projection_lag_milliseconds"]) < 1000 and int(lines["acquit_projected_payments_total"]) > 0


# --- lists ---

def listed(world, publisher="shop", **query):
    status, answer = world.http("GET", "/api/payments?" + urllib.parse.urlencode(query), publisher=publisher)
    assert status == 200, answer
    return answer["data"]["payments"], answer["data"]["nextCursor"]


def typed(world, *words):
    return json.loads(world.farm.acquit("payment", "list", "--limit", "200", *words, "--json"))["payments"]


def newest_first(world, payments):
    """In the order in which they were received."""
    return [payment for (payment,) in world.sql("select payment_id::text from ledger.event where slot = 'received' and payment_id = any(%s::uuid[]) order by seq desc",
                                                payments)]


def ids(rows):
    return [row["paymentId"] for row in rows]


def test_pages_lose_and_double_nothing_while_payments_come(world):
    there = [world.pay(world.plain(gateway="simulated", token="tok_visa", merchant="paged")) for _ in range(10)]
    world.wait_ended(there)
    world.until_listed(there)
    stop, later = threading.Event(), []

    def load():
        while not stop.is_set():
            later.append(world.pay(world.plain(gateway="simulated", token="tok_visa", merchant="paged")))
    sender = threading.Thread(target=load)
    sender.start()
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        rows, cursor = listed(world, merchant="paged", limit=3, **({"cursor": cursor} if cursor else {}))
        seen += ids(rows)
        pages += 1
        assert pages < 100, "it goes on from where it was"
        count = len(later)
        farms.wait_for(lambda count=count: len(later) > count, 20, "one more payment")
    stop.set()
    sender.join()
    assert pages > 3 and max(collections.Counter(seen).values()) == 1
    assert [payment for payment in seen if payment in there] == newest_first(world, there)
    world.wait_ended(later)
    world.until_listed(later)
    assert ids(listed(world, merchant="paged", limit=200)[0]) == newest_first(world, there + later)
    by_hand = json.loads(world.farm.acquit("payment", "list", "--merchant", "paged", "--limit", "7", "--json"))
    rest = json.loads(world.farm.acquit("payment", "list", "--merchant", "paged", "--before", by_hand["before"], "--limit", "200", "--json"))
    assert ids(by_hand["payments"] + rest["payments"]) == newest_first(world, there + later) and "before" not in rest


def test_each_filter(world):
    began = time.time()
    mark = world.key()
    wishes = {
        "yen": world.plain(gateway="simulated", token="tok_visa", currency="JPY"),
        "stripe": world.plain(),
        "hall": world.plain(gateway="simulated", token="tok_visa", merchant="hall"),
        "booking": world.plain(gateway="simulated", token="tok_visa", reference={"type": "booking", "id": "b-1"}),
        "event": world.plain(gateway="simulated", token="tok_visa", reference={"type": "event", "id": "b-1"}),
        "failed": world.plain(gateway="simulated", token="tok_declined"),
    }
    payments = {}
    for name, wish in wishes.items():  # one after the other: several workers would record them in any order
        payments[name] = world.pay(wish | {"description": mark})
        world.wait_fact(payments[name], "received")
    other = world.pay(world.plain(gateway="simulated", token="tok_visa"), publisher="tickets")
    world.wait_ended([*payments.values(), other])
    world.until_listed([*payments.values(), other])
    half = world.sql("select created_at::text from view.payment where payment_id = %s", payments["booking"])[0][0].replace(" ", "T") + ":00"
    half = half.replace("+00:00:00", "+00:00")
    cases = [  # query, words, what is among the payments above
        ({"currency": "JPY"}, ["--currency", "JPY"], {"yen"}),
        ({"gateway": "stripe"}, ["--provider", "stripe"], {"stripe"}),
        ({"merchant": "hall"}, ["--merchant", "hall"], {"hall"}),
        ({"referenceType": "booking", "referenceId": "b-1"}, ["--reference", "booking:b-1"], {"booking"}),
        ({"referenceId": "b-1"}, ["--reference", "b-1"], {"booking", "event"}),
        ({"state": "failed"}, ["--state", "failed"], {"failed"}),
        ({"from": half}, ["--from", half], {"booking", "event", "failed"}),
        ({"to": half}, ["--to", half], {"yen", "stripe", "hall"}),
        ({"from": half, "gateway": "simulated", "state": "completed"}, ["--from", half, "--provider", "simulated", "--state", "completed"], {"booking", "event"}),
        ({"from": "2999-01-01"}, ["--from", "2999-01-01"], set()),
    ]
    names = {payment: name for name, payment in payments.items()}
    for query, words, expected in cases:
        rows, _ = listed(world, limit=200, **query)
        assert {names[row["paymentId"]] for row in rows if row.get("description") == mark} == expected, query
        assert other not in ids(rows)
        rows = typed(world, *words)
        assert {names[row["paymentId"]] for row in rows if row["description"] == mark} == expected, words
    assert ids(typed(world, "--publisher", "tickets", "--from", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)))) == [other]
    for row in listed(world, limit=6)[0]:
        told = world.http("GET", f"/api/payments/{row['paymentId']}")[1]["data"]
        assert row == {member: told[member] for member in row}  # the list and the payment say the same
    for words in (["--state", "lost"], ["--from", "soon"], ["--limit", "0"], ["--before", "7"]):
        assert world.farm.acquit("payment", "list", *words, check=False).returncode == 2


# --- who did what ---

def acts(world, *words):
    return json.loads(world.farm.acquit("audit", "list", *words, "--json"))["acts"]


def test_every_act_of_an_operator_leaves_a_row(world):
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    owner, keeper = world.farm.services.pg_url, world.farm.pg_url("acquit_keeper")
    payments = day(world)
    personal = world.pay(world.plain(customerEmail="ada@example.org"))
    by_user = world.pay(world.plain(gateway="simulated", token="tok_requires_action"))
    world.wait_state(by_user, "requires_action")
    assert world.http("POST", f"/api/payments/{by_user}/cancel?wait_ms=5000", {"reason": "changed my mind"})[0] == 200
    world.publish([("payment.create", world.key(), b"{\"amount\": \"x\"}")])
    letter = farms.wait_for(lambda: next(iter(world.dead_letters()), None), 20, "a dead letter")["id"]
    world.wait_ended([personal, by_user])
    world.until_listed([personal, by_user])

    def acquit(*words, role=None, broker=None):
        world.farm.acquit(*words, environment={"SUDO_USER": "grace"} | ({"ACQUIT_LEDGER_URL": role} if role else {})
                          | ({"ACQUIT_BROKER_URL": broker} if broker else {}))
    acquit("dlq", "show", letter)
    acquit("dlq", "discard", letter, "--reason", "paid in cash")
    acquit("ledger", "rebuild", role=keeper)
    acquit("topology", "apply", broker=world.farm.services.amqp_url)
    acquit("payment", "show", personal, "--personal")
    acquit("payment", "erase", personal, "--reason", "asked to", "--actor", "ada", role=owner)
    assert world.sql("select data from ledger.personal where payment_id = %s", personal) == [({},)]
    world.books.cursor().execute("update ledger.personal set data = '{\"note\": \"by hand\"}' where payment_id = %s", (personal,))
    found = {(act["actorType"], act["action"], act["objectId"], act["actorId"], act["reason"]) for act in acts(world, "--since", began, "--limit", "1000")}
    login = world.sql("select actor_id from ledger.act where action = 'payment.cancel' and object_id = %s", payments["waiting"])[0][0]
    assert found >= {
        ("operator", "payment.cancel", payments["waiting"], login, "asked on the phone"),
        ("operator", "payment.refund", payments["whole"], login, "one seat less"),
        ("user", "payment.refund", payments["whole"], "shop", "one seat less"),     # the command went out in the publisher's name
        ("user", "payment.cancel", by_user, "shop", "changed my mind"),
        ("operator", "deadletter.show", letter, "grace", None),
        ("operator", "deadletter.discard", letter, "grace", "paid in cash"),
        ("operator", "ledger.rebuild", "view", "grace", None),
        ("operator", "topology.apply", "topology", "grace", None),
        ("operator", "personal.show", personal, "grace", None),
        ("operator", "personal.update", personal, "ada", "asked to"),
        ("operator", "personal.update", personal, world.farm.services.pg_user, None),
    }, found
    assert {act["action"] for act in acts(world, "--actor", "ada", "--since", began)} == {"personal.update"}
    assert {act["objectId"] for act in acts(world, "--action", "personal.show", "--since", began)} == {personal}
    assert acts(world, "--since", "2999-01-01") == [] and len(acts(world, "--object", personal)) == 3
    assert any(act["action"] == "ledger.migrate" and "009_views.sql" in act["diff"]["applied"] for act in acts(world, "--action", "ledger.migrate"))


def test_nobody_changes_an_act_or_who_did_it(world):
    for statement in ("update ledger.act set actor_id = 'x'", "delete from ledger.act", "truncate ledger.act"):
        with pytest.raises(psycopg2.Error) as refused:
            world.books.cursor().execute(statement)
        assert refused.value.pgcode == "AQ002"
    with psycopg2.connect(world.farm.pg_url("acquit_auditor")) as reader, reader.cursor() as cursor:
        cursor.execute("select ledger.note_act('operator', 'mallory', 'a.b', 'c', 'd', null, null)")
        cursor.execute("select role, actor_id from ledger.act order by seq desc limit 1")
        assert cursor.fetchone() == ("acquit_auditor", "mallory")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("insert into ledger.act (actor_type, actor_id, action, object_type, object_id) values ('user', 'x', 'a.b', 'c', 'd')")
        reader.rollback()
