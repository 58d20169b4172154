"""test_books.py - the chart of accounts, floors, and what has to be back at zero"""

import contextlib
import json
import os
import subprocess

import farm as farms
import psycopg2
import pytest

QUESTIONS = ("stripe.search", "stripe.retrieve", "stripe.refund_retrieve")


@contextlib.contextmanager
def database(farm, name):
    """A migrated one that nobody else uses; its connection string as a superuser."""
    farm.services.psql(f"drop database if exists {name}", database="postgres")
    farm.services.psql(f"create database {name}", database="postgres")
    url = farm.services.pg_url.rsplit("/", 1)[0] + "/" + name
    try:
        farm.acquit("migrate", environment={"ACQUIT_LEDGER_URL": url})
        yield url
    finally:
        farm.services.psql(f"drop database {name} with (force)", database="postgres")


def test_floor_probe(farm):
    program = os.path.join(farm.build, "system", "floor_probe")
    with database(farm, "floor_probe") as url:
        done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"ACQUIT_TEST_PG": url})
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok", "not ok"))]
    assert done.returncode == 0 and len(lines) > 20 and not [line for line in lines if line.startswith("not ok")], done.stdout + done.stderr


# --- what verify says of accounts ---

def faults(farm, url):
    done = farm.acquit("ledger", "verify", "--json", environment={"ACQUIT_LEDGER_URL": url}, check=False)
    return [(fault["rule"], fault["message"]) for fault in json.loads(done.stdout)["faults"] if fault["rule"] in ("chart", "floor")]


WITHOUT_TRIGGERS = "alter table {0} disable trigger user; {1}; alter table {0} enable always trigger insert_only"


@pytest.mark.parametrize("change, rule, says", [
    ("update ledger.floor_balance set posted = 7 where name = 'wallet:a'", "floor", "wallet:a EUR"),
    ("update ledger.floor_balance set floor_minor = -100 where name = 'wallet:b'", "floor", "wallet:b EUR"),
    ("delete from ledger.floor_balance where name = 'wallet:b'", "floor", "has no row"),
    ("insert into ledger.floor_balance values ('wallet:c', 'EUR', 1, 0, 0, 0)", "floor", "never declared"),
    (WITHOUT_TRIGGERS.format("ledger.account_floor", "update ledger.account_floor set floor_minor = -9 where name = 'wallet:a'"), "floor", "wallet:a EUR"),
    (WITHOUT_TRIGGERS.format("ledger.account_floor", "insert into ledger.account_floor values ('wallet:a', 'EUR', 2, -9)"), "floor", "declaration 2"),
    ("insert into ledger.archive (name, act, began_to, payments, facts, transfers, leaves, file, file_sha256) values ('2020q1', 'archived', '2020-04-01',"
     " 1, 1, 1, repeat('0', 64), 'x', repeat('0', 64)); insert into ledger.archive_balance select id, 'wallet:a', 'EUR', 10, 40 from ledger.archive",
     "floor", "posted 30"),
    ("alter table ledger.account drop constraint account_chart; insert into ledger.account (name, currency) values ('cash:me', 'EUR')",
     "chart", "account cash:me in EUR is open"),
    ("alter table ledger.transfer drop constraint transfer_chart; with p as (insert into ledger.payment (payment_id) values (gen_random_uuid())"
     " returning *), e as (insert into ledger.event (payment_id, began, cause, slot, outcome) select payment_id, began, payment_id, 'pop', 'validated'"
     " from p returning *) insert into ledger.transfer (payment_id, began, leg, slot, kind, debit, credit, amount, currency)"
     " select payment_id, began, 1, 'pop', 'transfer', 'commission', 'refunds:me', 1, 'EUR' from e", "chart", "booked on refunds:me"),
])
def test_accounts_that_were_tampered_with(farm, books, change, rule, says):
    assert faults(farm, books) == []
    with contextlib.closing(psycopg2.connect(books)) as connection, connection.cursor() as cursor:
        cursor.execute(change)
        connection.commit()
    found = faults(farm, books)
    assert [fault[0] for fault in found] == [rule] and says in found[0][1], found


@pytest.fixture(scope="module")
def books_template(farm):
    with database(farm, "books_template") as url:
        with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("insert into ledger.account_floor (name, currency, floor_minor) values ('wallet:a', 'EUR', 0), ('wallet:b', 'EUR', -5)")
            connection.commit()
        yield url


@pytest.fixture
def books(farm, books_template):
    farm.services.psql("create database books_copy template books_template", database="postgres")
    yield books_template.rsplit("/", 1)[0] + "/books_copy"
    farm.services.psql("drop database books_copy with (force)", database="postgres")


# --- transit accounts ---

def report(world, currency, **limits):
    """Exit code, and the rows of this currency by account. The limits are the configuration's."""
    path = world.farm.path("transit.conf")
    with open(world.farm.config, encoding="ascii") as base, open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
        out.write(base.read() + "transit: { " + " ".join(f"{name} = {value};" for name, value in limits.items()) + " };\n")
    done = subprocess.run([world.farm.program("acquit"), "ledger", "balance", "--transit", "--json", "--config", path],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == "", done.stderr
    answer = json.loads(done.stdout)
    rows = {row["account"]: row for row in answer["accounts"] if row["currency"] == currency}
    assert answer["inTime"] == (done.returncode == 0) == (not any(row["over"] for row in answer["accounts"]))
    return done.returncode, rows


def silence(world, payment, at):
    """The call has its effect, and neither it nor any question about it is answered."""
    for point in (at,) + QUESTIONS:
        world.fault(payment, point, "close_after", times=-1)


def doubtful(world, currency, amount, at, intent):
    key = world.key()
    payment = world.expect(key, "shop")
    silence(world, payment, at)
    world.pay(world.plain(amount, currency=currency), key=key)
    world.wait_fact(payment, f"{intent}:doubt:0")
    return payment


def test_what_is_in_doubt_and_held_has_an_age(world):
    """Two captures without an answer, one after the other; the first is answered first."""
    first = doubtful(world, "CHF", 1100, "stripe.capture", "capture")
    second = doubtful(world, "CHF", 1200, "stripe.capture", "capture")
    _, rows = report(world, "CHF")
    doubt, held, owed = (rows[account] for account in ("in_doubt:stripe", "receivable:stripe", "payable:shop"))
    assert (doubt["amount"], doubt["items"], held["amount"], held["items"], owed["amount"]) == (2300, 2, 2300, 2, 2300)
    assert doubt["oldest"]["paymentId"] == first and doubt["oldest"]["slot"] == "capture" and doubt["since"] == doubt["oldest"]["at"]
    assert held["oldest"]["slot"] == "auth:1:result" and held["since"] == held["oldest"]["at"] < doubt["since"]
    assert doubt["limitMs"] == 3600000 and held["limitMs"] == 86400000 and not doubt["over"] and not held["over"]

    farms.wait_for(lambda: report(world, "CHF")[1]["in_doubt:stripe"]["oldest"]["ageMs"] > 1000, 10, "a second to go by")
    code, rows = report(world, "CHF", in_doubt_ms=1000)
    assert code == 1 and rows["in_doubt:stripe"]["over"] and not rows["receivable:stripe"]["over"]
    code, rows = report(world, "CHF", hold_ms=1000)
    assert code == 1 and not rows["in_doubt:stripe"]["over"] and rows["receivable:stripe"]["over"] and rows["payable:shop"]["over"]

    for fault in world.twin("/_twin/faults"):
        if fault.get("paymentId") == first:
            farms.http("DELETE", f"{world.farm.twins_url}/_twin/faults/{fault['id']}")
    world.wait_state(first, "completed")
    _, rows = report(world, "CHF")
    later = rows["in_doubt:stripe"]
    assert (later["amount"], later["items"], later["oldest"]["paymentId"]) == (1200, 1, second)
    assert later["since"] == doubt["since"] < later["oldest"]["at"], "it was never back at zero"
    assert rows["receivable:stripe"]["since"] == held["since"] < rows["receivable:stripe"]["oldest"]["at"], "nor was what is held"

    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.wait_state(second, "completed")
    _, rows = report(world, "CHF")
    assert all(row["amount"] == row["items"] == 0 and "oldest" not in row and not row["over"] for row in rows.values()), rows
    third = doubtful(world, "CHF", 1300, "stripe.capture", "capture")
    _, rows = report(world, "CHF")
    assert rows["in_doubt:stripe"]["since"] == rows["in_doubt:stripe"]["oldest"]["at"] > later["since"], "zero in between counts"
    assert rows["receivable:stripe"]["since"] == rows["receivable:stripe"]["oldest"]["at"] > held["since"], "what was posted is off the account"
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.wait_state(third, "completed")


def test_a_refund_without_its_result_has_an_age(world):
    payment = world.pay(world.plain(1400, currency="SEK"))
    world.wait_state(payment, "completed")
    silence(world, payment, "stripe.refund")
    world.publish([("payment.refund", world.key(), {"paymentId": payment, "amount": 600})])
    world.wait_fact(payment, "refund:1:doubt:0")
    _, rows = report(world, "SEK")
    refund = rows["refunds:stripe"]
    assert (refund["amount"], refund["items"], refund["oldest"]["paymentId"], refund["oldest"]["slot"]) == (600, 1, payment, "refund:1")
    assert refund["since"] == refund["oldest"]["at"] <= rows["in_doubt:stripe"]["since"] and refund["limitMs"] == 3600000
    farms.wait_for(lambda: report(world, "SEK")[1]["refunds:stripe"]["oldest"]["ageMs"] > 1000, 10, "a second to go by")
    code, rows = report(world, "SEK", refund_ms=1000)
    assert code == 1 and rows["refunds:stripe"]["over"]
    warned = [row for row in json.loads(world.farm.acquit("doctor", "--json", check=False).stdout)["checks"] if row["check"] == "transit accounts"]
    assert [row["state"] for row in warned] == ["ok"], warned
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.wait_state(payment, "partially_refunded")
    _, rows = report(world, "SEK")
    assert rows["refunds:stripe"]["amount"] == rows["refunds:stripe"]["items"] == 0


class Hand:
    """A ledger by hand: facts and transfers as nobody books them today."""

    def __init__(self, farm, url):
        self.farm, self.url = farm, url
        self.connection = psycopg2.connect(url)

    def add(self, slot, kind=None, debit=None, credit=None, amount=None, payment=None):
        """A fact with a transfer, or without; its payment, a new one unless named, and the moment of the transfer."""
        with self.connection.cursor() as cursor:
            cursor.execute("insert into ledger.payment (payment_id) values (coalesce(%s::uuid, gen_random_uuid())) on conflict (payment_id) do nothing"
                           " returning payment_id::text", (payment,))
            payment = payment or cursor.fetchone()[0]
            cursor.execute("insert into ledger.event (payment_id, began, cause, slot, outcome) select payment_id, began, payment_id, %s, 'validated'"
                           " from ledger.payment where payment_id = %s", (slot, payment))
            cursor.execute("insert into ledger.account (name, currency) select name, 'EUR' from unnest(%s::text[]) as name where name is not null"
                           " on conflict do nothing", ([debit, credit],))
            cursor.execute("insert into ledger.transfer (payment_id, began, leg, slot, kind, debit, credit, amount, currency) select payment_id, began, 1, %s,"
                           " %s, %s, %s, %s, 'EUR' from ledger.payment where payment_id = %s and %s::text is not null returning"
                           " to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')", (slot, kind, debit, credit, amount, payment, kind))
            at = cursor.fetchone()
        self.connection.commit()
        return payment, at and at[0]

    def transit(self, account):
        rows = json.loads(self.farm.acquit("ledger", "balance", "--transit", "--json", environment={"ACQUIT_LEDGER_URL": self.url}))["accounts"]
        return next(row for row in rows if row["account"] == account)


@pytest.fixture
def hand(farm):
    with database(farm, "books_hand") as url:
        one = Hand(farm, url)
        yield one
        one.connection.close()


def test_suspense_is_aged_by_what_is_left(hand):
    def move(debit, credit, amount):
        return hand.add("pop", "transfer", debit, credit, amount)

    def told():
        row = hand.transit("suspense")
        return row["amount"], row["items"], row["oldest"]["paymentId"], row["since"]

    first, second, third = (move("receivable:x", "suspense", amount) for amount in (100, 50, 30))
    assert told() == (180, 3, first[0], first[1])
    move("suspense", "payable:x", 120)  # all of the first, and of the second 20
    assert told() == (60, 2, second[0], first[1])
    move("suspense", "payable:x", 60)
    row = hand.transit("suspense")
    assert row["amount"] == row["items"] == 0 and "oldest" not in row and "since" not in row
    fourth = move("suspense", "payable:x", 5)  # the wrong way round is something to look at, too
    assert told() == (5, 1, fourth[0], fourth[1])
    assert third[1] <= fourth[1]


def test_a_doubt_that_was_written_after_its_answer_was_never_open(hand):
    """Two deliveries that did not see each other (ADR 11). Its amount, that of the doubt before it, must not look like a moment at zero."""
    answered, _ = hand.add("capture")
    still, began = hand.add("capture:doubt:0", "in_doubt", "in_doubt:x", "receivable:x", 70)
    hand.add("capture:doubt:0", "in_doubt", "in_doubt:x", "receivable:x", 70, payment=answered)
    row = hand.transit("in_doubt:x")
    assert (row["amount"], row["items"], row["oldest"]["paymentId"], row["since"]) == (70, 1, still, began)
