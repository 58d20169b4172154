"""PayPal: what is its own there; each fault at each of its calls is in test_matrix.py"""

import farm as farms


def pay(world, amount=2500, currency="EUR", token="vault-1", **more):
    return world.pay(world.plain(amount, currency, token, "paypal", **more))


def at(world, payment):
    """Its calls to PayPal, in order."""
    return [request["at"] for request in world.requests(payment) if request["at"].startswith("paypal.")]


def reference(world, payment, slot):
    (found,) = world.sql("select body->>'reference' from ledger.event where payment_id = %s and slot = %s", payment, slot)
    return found[0]


def code(world, payment, slot):
    (found,) = world.sql("select body->>'code' from ledger.event where payment_id = %s and slot = %s", payment, slot)
    return found[0]


def advance(world, seconds):
    status, answer, _ = farms.http("POST", world.farm.twins_url + "/_twin/clock", {"twin": "paypal", "advanceSeconds": seconds})
    assert status == 200, answer


def test_paid_and_given_back_in_parts(world):
    payment = pay(world)
    world.wait_state(payment, "completed")
    (order,) = world.paypal_books(payment)
    assert (order["captured"], order["authorizationStatus"]) == (2500, "CAPTURED")
    assert reference(world, payment, "auth:1:result") == f"{order['order']}/{order['authorization']}"
    assert reference(world, payment, "capture") == order["capture"]
    assert at(world, payment) == ["paypal.order", "paypal.authorize", "paypal.capture"], "no exchange more than it takes"
    for amount, state in ((1000, "partially_refunded"), (1500, "refunded")):
        world.publish([("payment.refund", world.key(), {"paymentId": payment, "amount": amount})])
        world.wait_state(payment, state)
    (order,) = world.paypal_books(payment)
    assert order["refunded"] == 2500 and [refund["amount"] for refund in order["refunds"]] == [1000, 1500]


def test_cancelled_before_its_capture_is_voided(world):
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "validator.validate", "delay", delayMs=1200, times=-1)
    world.publish([("payment.create", key, world.dual(token="vault-1", preferredGateways=["paypal"]))], "tickets")
    world.wait_fact(payment, "auth:1:result")
    world.publish([("payment.cancel", world.key(), {"paymentId": payment})], "tickets")
    world.wait_state(payment, "cancelled")
    (order,) = world.paypal_books(payment)
    assert (order["authorizationStatus"], order["authorized"], order["captured"]) == ("VOIDED", 0, 0)


def test_who_is_declined_is_told_and_what_is_pending_waits(world):
    ends = {
        pay(world, token="vault-declined"): ("failed", "instrument_declined", ["paypal.order", "paypal.authorize"]),
        pay(world, token="vault-denied"): ("failed", "declined", ["paypal.order", "paypal.authorize"]),  # 201, and a body that says DENIED
        pay(world, amount=5120): ("failed", "declined", ["paypal.order", "paypal.authorize"]),
        pay(world, currency="XOF"): ("failed", "currency_not_supported", []),
        pay(world, currency="MAD"): ("failed", "currency_not_supported", []),
        pay(world, amount=1050, currency="HUF"): ("failed", "amount_not_representable", []),
        pay(world, amount=1000, currency="JPY"): ("completed", "", ["paypal.order", "paypal.authorize", "paypal.capture"]),
    }
    waiting = world.expect(key := world.key(), "shop")
    world.fault(waiting, "paypal.capture", "pending", delayMs=1500)
    world.publish([("payment.create", key, world.plain(gateway="paypal"))])
    for payment, (state, why, calls) in ends.items():
        world.wait_state(payment, state)
        assert (code(world, payment, "auth:1:result"), at(world, payment)) == (why, calls)
    assert "capture:doubt:0" in farms.wait_for(lambda: (lambda facts: facts if "capture:doubt:0" in facts else None)(world.facts(waiting)), 10, "the doubt")
    world.wait_state(waiting, "completed")
    assert at(world, waiting).count("paypal.capture") == 1, "PayPal would only say again that it is pending: it is asked"


def test_an_answer_that_never_comes_is_asked_for_by_the_key_of_the_order(world):
    """Until its window is over it is sent again; then only asked about, and PayPal finds the order by its PayPal-Request-Id."""
    ends = {}
    for fault, state in (("close_after", "completed"), ("close_before", "failed")):
        key = world.key()
        payment = world.expect(key, "shop")
        world.fault(payment, "paypal.authorize", fault, times=-1)
        world.publish([("payment.create", key, world.plain(gateway="paypal"))])
        ends[payment] = state
    for payment, state in ends.items():
        world.wait_state(payment, state)
        assert len(world.paypal_books(payment)) == 1, "one order, however often it is asked for"
        assert at(world, payment)[-1] == ("paypal.capture" if state == "completed" else "paypal.retrieve")
    assert world.status(payment)["reason"] == "ABSENT"


def test_a_customer_who_has_to_act(world):
    payment = pay(world, token="vault-challenge")
    world.wait_state(payment, "requires_action")
    (order,) = world.paypal_books(payment)
    (action,) = world.sql("select body->>'url' from ledger.event where payment_id = %s and slot = 'auth:1:action'", payment)
    assert action[0].endswith(order["order"])
    assert farms.http("POST", world.farm.twins_url + f"/_twin/paypal/orders/{order['order']}/approve", {})[0] == 200
    world.wait_state(payment, "completed")


def test_a_token_that_ended_is_fetched_anew(world):
    first = pay(world)
    world.wait_state(first, "completed")
    advance(world, 9 * 3600)
    second = pay(world)
    world.wait_state(second, "completed")
    assert len(world.paypal_books(second)) == 1
    world.fault("*", "paypal.token", "answer_500_before", times=2)
    advance(world, 9 * 3600)
    third = pay(world)
    world.wait_state(third, "completed")
    assert world.facts(third).get("auth:1:doubt:0") == "unknown", "without a token nothing was sent, and is tried again"


def test_no_credential_is_kept_anywhere(world):
    payment = pay(world)
    world.wait_state(payment, "completed")
    secret = world.farm.secret("paypal").split(":")[1]
    bodies = str(world.sql("select body::text from ledger.event where payment_id = %s", payment))
    logs = "".join(world.farm.log_tail(name, 100000) for name in world.farm.worker_names())
    for leak in (secret, "A21AA", "Bearer"):
        assert leak not in bodies and leak not in logs
