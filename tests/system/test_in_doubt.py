"""test_in_doubt.py - an unknown outcome is money in the books, per provider, for as long as it is unknown (L6)"""

import json
import urllib.parse
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


def found_absent(world):
    """A payment that its provider never heard of: (its id, the idempotency key it was published under)."""
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, "stripe.authorize", "close_before", times=-1)
    world.publish([("payment.create", key, world.plain(1600))])
    world.wait_state(payment, "failed")
    assert world.facts(payment)["auth:1:result"] == "absent"
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    return payment, key


def send_after_all(world, payment):
    """What a worker sends that stood still between its look at the clock and its call: the same request, under the same key."""
    form = {"amount": 1600, "currency": "eur", "payment_method": "pm_card_visa", "payment_method_types[]": "card", "confirm": "true",
            "capture_method": "manual", "metadata[acquit_payment_id]": payment, "metadata[acquit_slot]": "auth:1",
            "metadata[acquit_key]": f"{payment}:auth:1"}
    request = urllib.request.Request(world.farm.twins_url + "/stripe/v1/payment_intents", urllib.parse.urlencode(form).encode(),
                                     {"Authorization": f"Bearer {world.farm.secret('stripe')}", "Idempotency-Key": f"{payment}:auth:1"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["status"] == "requires_capture"


def test_what_is_sent_after_it_was_found_absent_is_voided(world):
    """Seed 1357 of the simulation: nobody may go without leaving a question, although the payment has ended."""
    payment, key = found_absent(world)
    send_after_all(world, payment)
    world.fault(payment, "stripe.search", "close_before", times=3)  # nor may a question that is not answered be the last one
    world.publish([("payment.create", key, world.plain(1600))])
    world.wait_fact(payment, "void:1")
    facts = world.facts(payment)
    assert (facts["auth:1:late:doubt:0"], facts["auth:1:late"], facts["void:1"]) == ("unknown", "approved", "voided")
    assert [intent["status"] for intent in world.stripe_books(payment)] == ["canceled"]
    assert world.state(payment) == "failed"
    assert "good" in world.farm.acquit("ledger", "verify")


def test_nothing_behind_an_absence_is_a_fact_too(world):
    payment, key = found_absent(world)
    world.publish([("payment.create", key, world.plain(1600))])
    world.wait_fact(payment, "auth:1:late:doubt:1")
    facts = world.facts(payment)
    assert facts["auth:1:late:doubt:1"] == "nothing" and "auth:1:late" not in facts
    follows = world.farm.acquit("payment", "show", payment).split("Follows")[1]
    assert "authorize.resolve" not in follows
