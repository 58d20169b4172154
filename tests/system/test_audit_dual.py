"""`acquit audit dual`: the ledger, the token system and the validators say the same, or what differs is named."""

import concurrent.futures
import contextlib
import io
import json
import signal
import subprocess
import time
from datetime import datetime, timezone

import farm as farms
import psycopg2
import pytest



def audit(world, *arguments, code=None):
    """(exit code, what was said) of an audit that counts all as at rest."""
    done = world.farm.acquit("audit", "dual", "--json", "--grace-ms", "0", *arguments, check=False)
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    if code is not None:
        assert done.returncode == code, (done.returncode, said)
    return done.returncode, said


def found(said):
    return sorted((row["difference"], row["who"]) for row in said["differences"])


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rewrite(world, books, payment, **words):
    status, answer, _ = farms.http("POST", f"{world.farm.twins_url}/_twin/books/{books}", {"paymentId": payment} | words)
    assert status == 200, answer


def refund(world, payment, amount=None):
    status, answer = world.http("POST", "/api/refunds/create?wait_ms=5000", {"paymentId": payment} | ({"amount": amount} if amount else {}),
                                "tickets", world.key())
    assert status == 200, answer


def completed(world):
    payment = world.pay(world.dual(quantity=2), "tickets")
    world.wait_state(payment, "completed")
    world.wait_fact(payment, "pop:committed")
    return payment


def refunded(world):
    payment = completed(world)
    refund(world, payment)
    world.wait_fact(payment, "token:released")
    world.wait_fact(payment, "pop:revoked")
    return payment


def failed(world):
    """Approved, then rejected by the validators: all is undone."""
    key = world.key()
    payment = world.expect(key, "tickets")
    for n in (1, 2):
        world.fault(payment, "validator.validate", "decline", validator=n)
    world.pay(world.dual(), "tickets", key)
    world.wait_state(payment, "failed")
    return payment


def test_both_sides_agree_after_every_kind_of_end(world):
    since = now()
    ends = {"completed": [completed(world)], "failed": [failed(world)], "refunded": [refunded(world)]}
    partly = completed(world)
    refund(world, partly, 100)
    ends["partially_refunded"] = [partly]
    ends["failed"].append(world.pay(world.dual(stock="soldout-1"), "tickets"))
    ends["failed"].append(world.pay(world.dual(token="pm_card_chargeDeclined"), "tickets"))
    key = world.key()
    refused = world.expect(key, "tickets")
    world.fault(refused, "token.activate", "decline")
    ends["failed"].append(world.pay(world.dual(), "tickets", key))
    key = world.key()
    cancelled = world.expect(key, "tickets")
    world.fault(cancelled, "validator.validate", "delay", delayMs=1200, times=-1)
    world.pay(world.dual(), "tickets", key)
    world.wait_fact(cancelled, "token:reserved")
    world.publish([("payment.cancel", world.key(), {"paymentId": cancelled})], "tickets")
    ends["cancelled"] = [cancelled]
    for state, payments in ends.items():
        for payment in payments:
            world.wait_state(payment, state)
    payments = sum(ends.values(), [])
    _, said = audit(world, "--since", since, code=0)
    assert said["agree"] and said["complete"] and said["payments"] == len(payments) and said["open"] == 0
    assert said["questions"] >= 4 * len(payments) and said["differenceCount"] == said["unansweredCount"] == 0
    _, said = audit(world, "--since", since, "--open", code=0)
    assert said["payments"] == 0, "none of them is open"
    text = world.farm.acquit("audit", "dual", "--since", since)
    assert "both sides agree" in text


def test_a_plain_or_unknown_payment_cannot_be_compared(world):
    payment = world.pay(world.plain(token="tok_visa", gateway="simulated"), wait_ms=5000)
    for given, why in ((payment, "is not dual"), ("tx_" + 32 * "0", "there is no payment"), ("17", "is no payment id")):
        done = world.farm.acquit("audit", "dual", "--payment", given, check=False)
        assert done.returncode in (1, 2) and why in done.stderr, done.stderr
    for wrong, named in ((("--since", "yesterday"), "--since yesterday"), (("--payment", payment, "--since", "7d"), "--payment")):
        done = world.farm.acquit("audit", "dual", *wrong, check=False)
        assert done.returncode == 2 and named in done.stderr


TOKENS = [
    (completed, {"status": "unknown"}, "PAID_NOT_ACTIVE"),
    (completed, {"status": "deactivated"}, "PAID_NOT_ACTIVE"),
    (completed, {"quantity": 3}, "QUANTITY_DIFFERS"),
    (completed, {"tokenId": "another"}, "TOKEN_ID_DIFFERS"),
    (failed, {"status": "reserved"}, "RESERVED_AFTER_END"),
    (failed, {"status": "active"}, "TOKENS_ACTIVE_NOT_PAID"),
    (failed, {"status": "unknown"}, "RELEASE_FORGOTTEN"),
    (refunded, {"status": "active"}, "ACTIVE_AFTER_REFUND"),
    (refunded, {"status": "reserved"}, "TOKENS_DIFFER"),
]
PROOFS = [
    (completed, "unknown", "NOT_COMMITTED"),
    (completed, "valid", "NOT_COMMITTED"),
    (completed, "revoked", "REVOKED_NOT_UNDONE"),
    (failed, "invalid", "NOT_REVOKED"),
    (failed, "committed", "NOT_REVOKED"),
    (failed, "unknown", "REVOCATION_FORGOTTEN"),
    (refunded, "committed", "NOT_REVOKED"),
]


def voter(world, payment):
    """The number of a validator whose vote made the quorum."""
    ((votes,),) = world.sql("select body->'votes' from ledger.event where payment_id = %s and slot = 'pop'", payment)
    return int(votes[0]["validator"].rsplit("-", 1)[1])


def made_wrong(world):
    """{payment: the difference} of books that say something else now, a payment of its own for each."""
    wrong = {}
    for make, words, kind in TOKENS:
        payment = make(world)
        rewrite(world, "tokens", payment, **words)
        wrong[payment] = [(kind, "tokens")]
    for make, status, kind in PROOFS:
        payment = make(world)
        number = voter(world, payment)
        rewrite(world, "validators", payment, validator=number, status=status)
        wrong[payment] = [(kind, f"validator-{number}")]
    payment = completed(world)  # it knows of the commit, and has turned its vote round
    number = voter(world, payment)
    rewrite(world, "validators", payment, validator=number, status="invalid")
    rewrite(world, "validators", payment, validator=number, status="committed")
    wrong[payment] = [("VOTE_DIFFERS", f"validator-{number}")]
    payment = completed(world)  # or has lost it
    number = voter(world, payment)
    rewrite(world, "validators", payment, validator=number, status="unknown")
    status, answer, _ = farms.http("POST", f"{world.farm.twins_url}/validators/{number}/v1/validations/{payment}/commit")
    assert (status, answer["status"]) == (200, "committed")
    wrong[payment] = [("VOTE_MISSING", f"validator-{number}")]
    return wrong


def test_each_difference_is_named(world):
    wrong = made_wrong(world)
    for payment, kinds in wrong.items():
        _, said = audit(world, "--payment", payment, code=1)
        assert found(said) == kinds, (payment, said)
        row = said["differences"][0]
        assert row["ours"] and row["theirs"] and row["since"] and row["remedy"] and row["transactionId"] == "tx_" + payment.replace("-", "")
    text = world.farm.acquit("audit", "dual", "--payment", next(iter(wrong)), check=False).stdout
    assert "PAID_NOT_ACTIVE" in text and "ours: token:active=active" in text and "theirs: unknown" in text
    limited = world.farm.acquit("audit", "dual", "--since", "10m", "--limit", "1", "--json", check=False)
    said = json.loads(limited.stdout)
    assert limited.returncode == 1 and len(said["differences"]) == 1 and said["differenceCount"] >= len(wrong)


def test_an_open_payment_that_is_told_too_early(world):
    """Reserved and being voted on: what the others may not say yet."""
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "validator.validate", "pending", delayMs=60000, code="lost", times=-1)
    world.pay(world.dual(), "tickets", key)
    world.wait_fact(payment, "auth:1:result")
    audit(world, "--payment", payment, code=0)
    rewrite(world, "tokens", payment, status="released")
    _, said = audit(world, "--payment", payment, code=1)
    assert found(said) == [("RESERVATION_LOST", "tokens")]
    young = ("--grace-ms", "60000")
    audit(world, "--payment", payment, *young, code=0)
    rewrite(world, "tokens", payment, status="active")
    rewrite(world, "validators", payment, validator=1, status="committed")
    rewrite(world, "validators", payment, validator=2, status="revoked")
    _, said = audit(world, "--payment", payment, *young, code=1)
    assert found(said) == [("COMMITTED_NOT_PAID", "validator-1"), ("TOKENS_ACTIVE_NOT_PAID", "tokens")] and said["inFlight"] == 1
    _, said = audit(world, "--payment", payment, code=1)
    assert ("REVOKED_NOT_UNDONE", "validator-2") in found(said)
    rewrite(world, "tokens", payment, status="reserved")
    world.publish([("payment.cancel", world.key(), {"paymentId": payment})], "tickets")
    world.wait_state(payment, "cancelled")
    audit(world, "--payment", payment, code=0)


def test_who_does_not_answer_is_unknown(world):
    """No answer, a forged or an old one, and a path where nobody knows us: 75, never agreement (L6)."""
    payment = completed(world)
    for fault, why in (("silent", "timeout"), ("garbage", "no statement"), ("forged", "signature"), ("replayed", "nonce"), ("answer_500_before", "500")):
        world.fault(payment, "validator.retrieve", fault, validator=3, times=-1)
        begun = time.monotonic()
        _, said = audit(world, "--payment", payment, "--within-ms", "8000", code=75)
        assert time.monotonic() - begun < 9
        assert [(row["who"], why in row["why"]) for row in said["unanswered"]] == [("validator-3", True)], said
        assert not said["agree"] and said["differences"] == []
        farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.fault(payment, "token.retrieve", "close_before", times=1)
    audit(world, "--payment", payment, code=0)  # asked once more
    world.fault(payment, "token.retrieve", "silent", times=-1)
    begun = time.monotonic()
    _, said = audit(world, "--payment", payment, "--within-ms", "500", code=75)
    assert time.monotonic() - begun < 2 and said["unanswered"][0]["who"] == "tokens"
    assert "whole audit's deadline" in said["unanswered"][0]["why"]


def test_facts_that_grow_while_the_question_is_out(world):
    """Two moments are no difference: the facts were read before a refund in full, the answer came after it."""
    payment = completed(world)
    world.fault(payment, "token.retrieve", "silent", times=1)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(audit, world, "--payment", payment)
        farms.wait_for(lambda: world.requests(payment, "token.retrieve"), 10, "the question")
        refund(world, payment)
        world.wait_fact(payment, "token:released")
        world.wait_fact(payment, "pop:revoked")
        asked = len(world.requests(payment, "token.retrieve"))
        code, said = running.result()
    assert asked == 1, "the refund was to be over before the second question"
    assert code == 0 and said["agree"] and len(world.requests(payment, "token.retrieve")) == 3, said


def test_who_is_silent_is_given_up(world):
    """One dead provider does not cost the whole night: after a few questions it is not asked any more."""
    since = now()
    payments = [completed(world) for _ in range(12)]
    world.fault("*", "validator.retrieve", "close_before", validator=1, times=-1)
    _, said = audit(world, "--since", since, code=75)
    assert said["payments"] == len(payments) and {row["who"] for row in said["unanswered"]} == {"validator-1"}
    assert len(said["unanswered"]) == len(payments) and "too many questions in a row" in json.dumps(said["unanswered"])
    assert said["questions"] < len(payments) * 5


def test_an_open_payment_is_held_to_what_cannot_heal(world):
    """While a payment is young only a contradiction counts; once it stands still, all does."""
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "token.release", "answer_500_before", times=-1)
    world.fault(payment, "validator.validate", "decline", times=-1)
    world.pay(world.dual(), "tickets", key)
    letter = world.wait_dead_letter(payment)
    assert letter["type"] == "token.release"
    done = world.farm.acquit("audit", "dual", "--payment", payment, "--json")
    said = json.loads(done)
    assert said["inFlight"] == 1 and said["open"] == 1 and said["agree"], "its token.release may be on its way"
    _, said = audit(world, "--payment", payment, code=1)
    assert ("RESERVED_AFTER_END", "tokens") in found(said) and ("TOKENS_NOT_GIVEN_BACK", "ledger") in found(said)
    rewrite(world, "tokens", payment, status="active")
    _, said = audit(world, "--payment", payment, "--grace-ms", "60000", code=1)
    assert found(said) == [("TOKENS_ACTIVE_NOT_PAID", "tokens")]
    rewrite(world, "tokens", payment, status="reserved")
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.farm.acquit("dlq", "replay", letter["id"], "--reason", "the token system is back")
    world.wait_state(payment, "failed")
    audit(world, "--payment", payment, code=0)


@contextlib.contextmanager
def ledger_copy(world, payment):
    """Another database of the same schema that holds this payment alone, to be changed at will: (connection, its URL)."""
    url = world.farm.services.pg_url.rsplit("/", 1)[0] + "/audit_copy"
    world.farm.services.psql("drop database if exists audit_copy", database="postgres")
    world.farm.services.psql("create database audit_copy", database="postgres")
    schema = subprocess.run(["pg_dump", "--schema-only", world.farm.services.pg_url], capture_output=True, check=True).stdout
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", url], input=schema, stdout=subprocess.DEVNULL, check=True)
    copy = psycopg2.connect(url)
    copy.autocommit = True
    with copy.cursor() as to, world.books.cursor() as source:
        source.execute("select c.oid::regclass::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'payment_id'"
                       " where c.relnamespace = 'ledger'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition")
        for (table,) in source.fetchall():
            rows = io.BytesIO()
            to.execute(f"alter table {table} disable trigger user")
            source.copy_expert(f"copy (select * from {table} where payment_id = '{payment}') to stdout", rows)
            rows.seek(0)
            to.copy_expert(f"copy {table} from stdin", rows)
    try:
        yield copy, url
    finally:
        copy.close()
        world.farm.services.psql("drop database audit_copy", database="postgres")


LEDGER = [
    (completed, "update ledger.event set outcome = 'rejected' where slot = 'pop'", ["FACTS_CONTRADICT", "SETTLED_WITHOUT_PROOF"]),
    (completed, "delete from ledger.event where slot not in ('received', 'token:reserved')", ["SETTLED_WITHOUT_PROOF"]),  # its transfers stand
    (refunded, "delete from ledger.event where slot in ('token:released', 'pop:revoked')", ["PROOF_NOT_TAKEN_BACK", "TOKENS_NOT_GIVEN_BACK"]),
    (failed, "delete from ledger.event where slot = 'token:released'", ["TOKENS_NOT_GIVEN_BACK"]),
]


@pytest.mark.parametrize("make,change,kinds", LEDGER, ids=[str(n) for n in range(len(LEDGER))])
def test_the_ledger_alone(world, make, change, kinds):
    """E-24: settled money has its proof. E-60: who was given his money back keeps no tokens."""
    payment = make(world)
    with ledger_copy(world, payment) as (copy, url):
        for code in (0, 1):
            done = world.farm.acquit("audit", "dual", "--json", "--grace-ms", "0", environment={"ACQUIT_LEDGER_URL": url}, check=False)
            said = json.loads(done.stdout)
            assert done.returncode == code and said["payments"] == 1, done
            if code == 0:
                with copy.cursor() as cursor:
                    cursor.execute(change)
        assert [kind for kind, who in found(said) if who == "ledger"] == kinds


def test_killed_in_the_middle_all_is_brought_to_its_end(world):
    """REC-DUAL: all workers killed mid-saga, deadlines pass, restart: nothing is left open, and both sides agree."""
    since = now()
    world.fault("*", "validator.validate", "delay", delayMs=1500, times=-1)
    world.fault("*", "stripe.capture", "delay", delayMs=700, times=-1)
    payments = [world.pay(world.dual(expiresInMs=2500), "tickets") for _ in range(4)]
    for payment in payments[:2]:
        world.wait_fact(payment, "token:reserved")
    payments += [world.pay(world.dual(expiresInMs=2500), "tickets") for _ in range(2)]
    for name in world.farm.worker_names():
        world.farm.stop_program(name, signal.SIGKILL)
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    _, said = audit(world, "--since", since, "--open")
    known = {row[0] for row in world.sql("select payment_id::text from ledger.event where slot = 'received' and payment_id = any(%s::uuid[])", payments)}
    assert said["open"] == said["payments"] == len(known) >= 2
    # their deadlines pass while nobody works, and the audit says so
    farms.wait_for(lambda: {row["difference"] for row in audit(world, "--since", since)[1]["differences"]} & {"PAST_DEADLINE", "STANDS_STILL"},
                   20, "payments that are past their deadlines")
    world.reset()
    world.wait_ended(payments)
    for payment in payments:
        farms.wait_for(lambda one=payment: audit(world, "--payment", one)[0] == 0, 15, f"agreement about {payment}")
    _, said = audit(world, "--since", since, code=0)
    assert said["open"] == 0 and said["payments"] == len(payments)


def test_a_look_says_what_is_due(world):
    """--look: a payment whose command the broker lost is brought on, by the audit and not by the keeper."""
    key = world.key()
    payment = world.expect(key, "tickets")
    world.farm.stop_program("keeper")
    try:
        world.fault(payment, "validator.validate", "pending", delayMs=60000, code="lost", times=-1)
        world.pay(world.dual(), "tickets", key)
        world.wait_fact(payment, "token:reserved")
        world.farm.stop_program("token-activate-1")
        world.publish([("payment.cancel", world.key(), {"paymentId": payment})], "tickets")
        world.wait_fact(payment, "pop:revoked")
        farms.wait_for(lambda: world.ready("acquit.token-activate"), 10, "token.release in its queue")
        world.farm.services.rabbitmqctl("-q", "purge_queue", "-p", "acquit", "acquit.token-activate")
        world.farm.start_worker("token-activate-1")
        _, said = audit(world, "--payment", payment, code=1)
        assert ("RESERVED_AFTER_END", "tokens") in found(said) and said["looks"] == 0
        nowhere = {"ACQUIT_BROKER_URL": "amqp://acquit-operator:x@127.0.0.1:1/acquit"}
        done = world.farm.acquit("audit", "dual", "--json", "--grace-ms", "0", "--payment", payment, "--look", environment=nowhere, check=False)
        said = json.loads(done.stdout)
        assert done.returncode == 1 and said["looksUnsaid"] == 1 and "payment.look" in done.stderr, "what was found is said, broker or not"
        _, said = audit(world, "--payment", payment, "--look", code=1)
        assert said["looks"] == 1 and said["looksUnsaid"] == 0
        world.wait_state(payment, "cancelled")
        audit(world, "--payment", payment, "--look", code=0)
    finally:
        world.farm.start_keeper()


@pytest.mark.parametrize("option", ["--grace-ms", "--limit", "--before", "--within-ms"])
def test_numbers_are_checked(world, option):
    done = world.farm.acquit("audit", "dual", option, "x", check=False)
    assert done.returncode == 2 and option.strip("-") in done.stderr
