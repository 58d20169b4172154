"""test_in_doubt.py - an unknown outcome is money in the books, per provider, for as long as it is unknown (L6)"""

import json
import urllib.request

import farm as farms
import pytest

QUESTIONS = ("stripe.search", "stripe.retrieve", "stripe.refund_retrieve")


def exposure(world, payment):
    return world.sql("select intent, provider, amount, currency from ledger.in_doubt where payment_id = %s", payment)


def pending(world):
    """Minor units of in_doubt:stripe in EUR, as the balance says and as the keeper measures."""
    rows = json.loads(world.farm.acquit("ledger", "balance", "--json"))["accounts"]
    told = sum(row["pendingDebits"] for row in rows if row["account"] == "in_doubt:stripe" and row["currency"] == "EUR")
    assert all(row["balance"] == 0 for row in rows if row["account"] == "in_doubt:stripe"), "nothing moves by it"
    return told


def silence(world, payment, at):
    """The call has its effect, and neither it nor any question about it is answered. What is pending until then."""
    for point in (at,) + QUESTIONS:
        world.fault(payment, point, "close_after", times=-1)
    return pending(world)


def until_known(world, payment, intent, amount, before):
    world.wait_fact(payment, f"{intent}:doubt:0")
    assert exposure(world, payment) == [(intent, "stripe", amount, "EUR")]
    assert pending(world) == before + amount
    world.wait_fact(payment, f"{intent}:doubt:1")
    assert exposure(world, payment) == [(intent, "stripe", amount, "EUR")], "a second doubt adds an age, no amount"
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")


@pytest.mark.parametrize("at, intent", [("stripe.authorize", "auth:1"), ("stripe.capture", "capture")])
def test_a_payment_in_doubt_is_exposure_until_it_is_known(world, at, intent):
    key = world.key()
    payment = world.expect(key, "shop")
    before = silence(world, payment, at)
    world.pay(world.plain(1200), key=key)
    until_known(world, payment, intent, 1200, before)
    world.wait_state(payment, "completed")
    assert exposure(world, payment) == []


def test_a_void_in_doubt_is_exposure_until_it_is_known(world):
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, "validator.validate", "decline", times=-1, delayMs=2000)  # late enough for the hold to stand
    world.pay(world.dual(1300), key=key)
    world.wait_fact(payment, "auth:1:result")
    before = silence(world, payment, "stripe.cancel")
    until_known(world, payment, "void:1", 1300, before)
    world.wait_state(payment, "failed")
    assert exposure(world, payment) == []


def test_a_refund_in_doubt_is_exposure_until_it_is_known(world):
    payment = world.pay(world.plain(1400))
    world.wait_state(payment, "completed")
    before = silence(world, payment, "stripe.refund")
    world.publish([("payment.refund", world.key(), {"paymentId": payment, "amount": 600})])
    until_known(world, payment, "refund:1", 600, before)
    world.wait_state(payment, "partially_refunded")
    assert exposure(world, payment) == []


def measured(world, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{world.farm.port('keeper-metrics')}/metrics", timeout=10) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
    return int(lines.get(name + '{provider="stripe",currency="USD"}', -1))


def test_the_keeper_measures_what_is_in_doubt(world):
    key = world.key()
    payment = world.expect(key, "shop")
    silence(world, payment, "stripe.authorize")
    world.pay(world.plain(1500, currency="USD"), key=key)
    world.wait_fact(payment, "auth:1:doubt:0")
    assert measured(world, "acquit_in_doubt_minor_units") == 1500 and measured(world, "acquit_in_doubt_intents") == 1
    farms.wait_for(lambda: 1 <= measured(world, "acquit_in_doubt_oldest_seconds") < 60, 10, "its age to be measured")
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.wait_state(payment, "completed")
    assert measured(world, "acquit_in_doubt_minor_units") == measured(world, "acquit_in_doubt_intents") == 0
    assert measured(world, "acquit_in_doubt_oldest_seconds") == 0


def test_a_challenge_that_nobody_has_answered_is_no_exposure(world):
    payment = world.pay(world.plain(1700, token="pm_card_authenticationRequired"))
    world.wait_fact(payment, "auth:1:doubt:1")
    assert world.state(payment) == "requires_action" and exposure(world, payment) == []
    world.publish([("payment.cancel", world.key(), {"paymentId": payment})])
    world.wait_ended([payment])
