"""test_routing.py - rules, breakers and exposure: who is asked, who is kept out of it, and that each payment is captured once at most"""

import json
import os

import farm as farms
import pytest

RULES = """
routes = (
    { name = "wallets"; methods = [ "wallet" ]; providers = [ "stripe", "simulated" ]; preferred = "ignored"; },
    { name = "rand"; currencies = [ "ZAR" ]; countries = [ "ZA" ]; providers = [ "stripe" ]; unavailable = "refuse"; },
    { name = "shared"; methods = [ "bank_transfer" ]; providers = [ "stripe", "simulated" ]; order = "share";
      shares = [ "stripe=50", "simulated=50" ]; preferred = "ignored"; }
);
"""
BREAKER = {"enabled": True, "window_ms": 20000, "calls_least": 4, "error_percent": 50, "open_ms": 1500, "exposure_ms": 100}


def configured(world, breaker, limit):
    """The farm's own configuration with rules, a breaker and a limit; authorize-1 started anew with it."""
    farm, settings = world.farm, world.farm.settings
    write = farm._write_config

    def with_rules():
        write()
        with open(farm.config, encoding="ascii") as text:
            known = text.read()
        if limit:
            known = known.replace('kind = "stripe";', f'kind = "stripe"; exposure_limit = [ "{limit}" ];')
        with open(farm.config, "w", encoding="ascii") as out:
            out.write(known + RULES)
    farm._write_config = with_rules
    try:
        farm.reconfigure(settings | {"breaker": breaker}, farm.publishers, ["authorize-1"])
    finally:
        farm._write_config = write
    return settings


def restored(world, settings):
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.wait_ended()
    world.farm.reconfigure(settings, world.farm.publishers, ["authorize-1"])


@pytest.fixture
def routed(world):
    settings = configured(world, BREAKER, None)
    world.log_begin = os.path.getsize(log_of(world))
    yield world
    restored(world, settings)


@pytest.fixture
def limited(world):
    settings = configured(world, BREAKER | {"error_percent": 101}, "CHF=1000")  # a currency of which other tests leave nothing in doubt
    world.log_begin = os.path.getsize(log_of(world))
    yield world
    restored(world, settings)


def log_of(world):
    return world.farm.path("log", "authorize-1.log")


def lines(world, word):
    """Of the worker's log, since this test began."""
    with open(log_of(world), encoding="utf-8", errors="replace") as log:
        log.seek(world.log_begin)
        return [line for line in log if word in line]


def changes(world, state):
    return len(lines(world, f"breaker provider=stripe state={state}:"))


def until(world, state, count=1):
    farms.wait_for(lambda: changes(world, state) >= count, 10, f"the breaker to be {state}")


STRIPE, SIMULATED = "pm_card_visa", "tok_visa"      # a token that the other provider does not know


def wallet(world, token=STRIPE, **more):
    return world.pay(world.plain(700, token=token, paymentMethod="wallet", **more))


def authorizations(world):
    return world.twin("/_twin/requests?at=stripe.authorize&limit=10000")


def providers(world, payment):
    return [row[0] for row in world.sql("select body->>'provider' from ledger.event where payment_id = %s and slot ~ '^auth:[0-9]+$' order by slot",
                                        payment)]


def received(world, payment):
    return world.sql("select body from ledger.event where payment_id = %s and slot = 'received'", payment)[0][0]


def gateway(world, name="stripe"):
    gateways = world.http("GET", "/health/gateways")[1]["gateways"]
    return next(one for one in gateways if one["name"] == name)


def strike(world, **more):
    status, answer, _ = farms.http("POST", world.farm.twins_url + "/_twin/faults",
                                   {"paymentId": "*", "at": "stripe.authorize", "fault": "answer_500_before", "times": -1, "stored": False} | more)
    assert status == 201, answer


def opened(world):
    """Stripe answers 5xx to whoever wants to pay: these payments are in doubt, and its breaker is open."""
    strike(world)
    first = [wallet(world) for _ in range(BREAKER["calls_least"])]
    until(world, "open")
    return first


def settled(world, payment):
    world.wait_state(payment, "completed")
    return payment


def next_let_through(world):
    """Sends payments until one of them goes to Stripe; the others are declined elsewhere, for their token."""
    def one_more():
        payment = wallet(world)
        world.wait_fact(payment, "auth:1")
        return payment if providers(world, payment)[0] == "stripe" else None
    return farms.wait_for(one_more, 10, "a payment to be let through")


def test_an_open_breaker_keeps_new_payments_away_until_one_was_answered(routed):
    world = routed
    first = opened(world)
    before = len([one for one in authorizations(world) if one["paymentId"] not in first])
    away = [wallet(world, SIMULATED) for _ in range(5)]
    for payment in away:
        world.wait_state(payment, "completed")
        assert providers(world, payment) == ["simulated"] == received(world, payment)["routes"]
        assert received(world, payment)["route"]["leftOut"] == ["stripe=breaker_open"]
    assert len([one for one in authorizations(world) if one["paymentId"] not in first]) == before, "Stripe is not asked to pay"
    farms.wait_for(lambda: gateway(world)["status"] == "open", 5, "/health/gateways to tell")
    assert gateway(world)["leftOut"]["why"] == "breaker_open" and gateway(world, "simulated")["leftOut"] is None
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    settled(world, next_let_through(world))
    assert changes(world, "half-open") == changes(world, "closed") == 1
    for payment in [wallet(world) for _ in range(3)]:
        assert providers(world, settled(world, payment)) == ["stripe"]
    for payment in first:
        settled(world, payment)


def test_half_open_lets_one_through_and_its_failure_opens_again(routed):
    world = routed
    opened(world)
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    strike(world, delayMs=1000)
    probe = next_let_through(world)
    others = [wallet(world, SIMULATED) for _ in range(5)]
    for payment in others:
        world.wait_fact(payment, "auth:1")
    assert changes(world, "open") == 1, "the one let through is still under way"
    assert [providers(world, payment) for payment in others] == [["simulated"]] * 5
    until(world, "open", 2)
    assert len(world.requests(probe, "stripe.authorize")) == 1


def test_exposure_above_the_limit_sends_new_payments_elsewhere(limited):
    world = limited
    for at in ("stripe.authorize", "stripe.search", "stripe.retrieve"):
        strike(world, at=at, fault="close_after")
    doubtful = [wallet(world, currency="CHF"), wallet(world, currency="CHF")]
    for payment in doubtful:
        world.wait_fact(payment, "auth:1:doubt:0")
    farms.wait_for(lambda: lines(world, "exposure provider=stripe currency=CHF: 1400"), 10, "1400 in doubt to be seen")
    away = settled(world, wallet(world, SIMULATED, currency="CHF"))
    assert providers(world, away) == ["simulated"] and received(world, away)["route"]["leftOut"] == ["stripe=exposure_limit"]
    dollars = world.pay(world.plain(700, paymentMethod="wallet", currency="USD"))
    world.wait_fact(dollars, "auth:1")
    assert providers(world, dollars) == ["stripe"], "another currency has no limit"
    told = json.loads(world.farm.acquit("route", "explain", "--publisher", "shop", "--amount", "700", "--currency", "CHF", "--method", "wallet", "--json"))
    assert told["routes"] == ["simulated"] and told["route"]["leftOut"] == ["stripe=exposure_limit"]
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    for payment in doubtful:
        world.wait_state(payment, "completed")
    farms.wait_for(lambda: lines(world, "exposure provider=stripe currency=CHF: within its limit again"), 10, "the exposure to be gone")
    back = settled(world, wallet(world, currency="CHF"))
    assert providers(world, back) == ["stripe"]


def test_a_decline_is_not_shopped_around_and_a_refusal_is(routed):
    world = routed
    declined = wallet(world, "pm_card_chargeDeclined")
    world.wait_state(declined, "failed")
    assert providers(world, declined) == ["stripe"]
    refused = settled(world, wallet(world, SIMULATED))
    assert providers(world, refused) == ["stripe", "simulated"]
    told = json.loads(world.farm.acquit("route", "explain", "--payment", declined, "--json"))
    assert told["route"]["rule"] == "wallets" and told["attempts"] == [{"slot": "auth:1", "provider": "stripe", "result": "declined"}]


def test_absence_fails_over(routed):
    key = routed.key()
    payment = routed.expect(key, "shop")
    routed.fault(payment, "stripe.authorize", "close_before", times=-1)
    routed.pay(routed.plain(900, paymentMethod="wallet"), key=key)
    routed.wait_state(payment, "failed")
    assert providers(routed, payment) == ["stripe", "simulated"] and routed.facts(payment)["auth:1:result"] == "absent"


def test_without_a_provider_it_waits_or_is_refused_as_the_rule_says(routed):
    world = routed
    opened(world)
    waiting, cancelled = world.pay(world.plain(500)), world.pay(world.plain(500))
    refused = world.pay(world.plain(500, currency="ZAR", country="ZA"))
    world.wait_state(refused, "failed")
    assert world.status(refused)["reason"] == "NO_ROUTE" and received(world, refused)["country"] == "ZA"
    world.wait_fact(cancelled, "received")
    world.publish([("payment.cancel", world.key(), {"paymentId": cancelled})])
    world.wait_state(cancelled, "cancelled")
    assert set(world.facts(waiting)) == {"received"} and world.facts(cancelled)["auth:1"] == "closed"
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    assert providers(world, settled(world, waiting)) == ["stripe"]
    assert received(world, waiting)["route"] == {"by": "preferredGateways", "leftOut": ["stripe=breaker_open"]}


def test_a_share_is_the_same_for_whoever_asks(routed):
    world = routed
    for _ in range(6):
        payment = settled(world, world.pay({"amount": 500, "currency": "EUR", "paymentMethod": "bank_transfer"}))
        told = json.loads(world.farm.acquit("route", "explain", "--publisher", "shop", "--amount", "500", "--currency", "EUR", "--method",
                                            "bank_transfer", "--id", payment, "--json"))
        assert told["routes"] == received(world, payment)["routes"]
        assert providers(world, payment)[0] == told["routes"][0]


def test_explain_says_no_and_why(routed):
    ask = ("route", "explain", "--publisher", "shop", "--amount", "700", "--currency", "ZAR", "--country", "ZA", "--open", "stripe")
    done = routed.farm.acquit(*ask, check=False)
    assert done.returncode == 1 and "refused with NO_ROUTE" in done.stdout and "left out: stripe=breaker_open" in done.stdout
    assert routed.farm.acquit("route", "explain", "--amount", "700", check=False).returncode == 2
    assert routed.farm.acquit(*ask, "--open", "nobody", check=False).returncode == 2
