"""Both flows to each of their ends, through both doors."""

import json

import pika
import pytest

import farm as farms


@pytest.mark.parametrize("gateway,token", [("stripe", "pm_card_visa"), ("simulated", "tok_visa")])
@pytest.mark.parametrize("door", ["http", "queue"])
def test_plain_is_captured_once(world, gateway, token, door):
    body, key = world.plain(1234, token=token, gateway=gateway), world.key()
    if door == "http":
        payment = world.pay(body, key=key, wait_ms=5000)
    else:
        payment = world.expect(key, "shop")
        world.publish([("payment.create", key, body)])
    world.wait_state(payment, "completed")
    facts = world.facts(payment)
    assert facts["decision"] == "commit:1" and facts["capture"] == "captured"
    assert world.ledger_net(payment) == (1234, 0)


def test_dual_completes_under_two_seconds_when_asked_to_wait(world):
    status, answer = world.http("POST", "/api/payments/process", world.dual(), "tickets", key := world.key(), {"Prefer": "wait=5"})
    payment = world.expect(key, "tickets")
    assert status == 200 and answer["data"]["status"] == "completed", answer
    facts = world.facts(payment)
    assert (facts["pop"], facts["token:reserved"], facts["capture"], facts["token:active"]) == ("validated", "reserved", "captured", "active")
    assert world.twin(f"/_twin/books/tokens?paymentId={payment}")


def test_the_order_of_dual(world):
    """Tokens first, then hold and votes side by side, capture before activation (DESIGN section 2)."""
    payment = world.pay(world.dual(), "tickets")
    world.wait_state(payment, "completed")
    order = [slot for (slot,) in world.sql("select slot from ledger.event where payment_id = %s order by seq", payment)]
    assert order.index("received") < order.index("token:reserved") < min(order.index("auth:1"), order.index("pop"))
    assert max(order.index("auth:1:result"), order.index("pop")) < order.index("decision") < order.index("capture") < order.index("token:active")


@pytest.mark.parametrize("token,code", [("pm_card_chargeDeclined", "generic_decline"), ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds")])
def test_stripe_decline_fails_the_payment(world, token, code):
    payment = world.pay(world.plain(token=token))
    world.wait_state(payment, "failed")
    assert world.status(payment)["reason"] == "DECLINED"
    (found,) = world.sql("select body->>'code' from ledger.event where payment_id = %s and slot = 'auth:1:result'", payment)
    assert found[0] in (code, "card_declined")


def test_dual_declined_undoes_proof_and_tokens(world):
    payment = world.pay(world.dual(token="pm_card_chargeDeclined"), "tickets")
    world.wait_state(payment, "failed")
    facts = world.facts(payment)
    assert facts["decision"] == "abort" and facts["pop:revoked"] == "revoked" and facts["token:released"] == "released"


def test_unavailable_tokens_end_it_without_a_provider_call(world):
    payment = world.pay(world.dual(stock="soldout-1"), "tickets")
    world.wait_state(payment, "failed")
    assert world.status(payment)["reason"] == "TOKENS_UNAVAILABLE"
    assert world.stripe_books(payment) == [] and not [r for r in world.requests(payment) if r["at"].startswith("stripe.")]


def test_validators_reject(world):
    key = world.key()
    payment = world.expect(key, "tickets")
    for n in (1, 3):
        world.fault(payment, "validator.validate", "decline", validator=n)
    world.pay(world.dual(), "tickets", key)
    world.wait_state(payment, "failed")
    assert world.status(payment)["reason"] == "POP_REJECTED"
    facts = world.facts(payment)
    assert facts.get("auth:1:result") != "approved" or facts["void:1"] == "voided"


def test_a_refused_capture_is_undone(world):
    payment = world.pay(world.plain(token="tok_capture_refused", gateway="simulated"))
    world.wait_state(payment, "failed")
    assert world.facts(payment)["capture"] == "refused" and world.facts(payment)["void:1"] in ("voided", "nothing", "expired")


def test_a_refused_activation_is_refunded_in_full(world):
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "token.activate", "decline")
    world.pay(world.dual(), "tickets", key)
    world.wait_state(payment, "failed")
    facts = world.facts(payment)
    assert (facts["capture"], facts["token:active"], facts["refund:1:result"]) == ("captured", "refused", "refunded")
    assert facts["token:released"] == "released" and facts["pop:revoked"] == "revoked"


def test_an_activation_that_nobody_answers_goes_to_the_arbiter(world):
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "token.activate", "answer_500_before", times=-1)
    world.pay(world.dual(), "tickets", key)
    world.wait_state(payment, "failed")
    assert world.facts(payment)["token:active"] == "refused" and world.facts(payment)["refund:1:result"] == "refunded"


def test_an_activation_whose_answer_is_lost_stays_active(world):
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "token.activate", "answer_500_after", times=-1)
    world.pay(world.dual(), "tickets", key)
    world.wait_state(payment, "completed")
    assert world.facts(payment)["token:active"] == "active"


def test_the_deadline_ends_what_cannot_go_on(world):
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "validator.validate", "silent", times=-1)
    world.pay(world.dual(expiresInMs=1000), "tickets", key)
    world.wait_state(payment, "failed")
    assert world.status(payment)["reason"] in ("EXPIRED", "DEAD_LETTERED")


def test_a_full_refund_of_dual_takes_back_proof_and_tokens(world):
    payment = world.pay(world.dual(900), "tickets", wait_ms=5000)
    for amount in (300, None):
        status, answer = world.http("POST", "/api/refunds/create?wait_ms=5000", {"paymentId": payment} | ({"amount": amount} if amount else {}),
                                    "tickets", world.key())
        assert status == 200, answer
    world.wait_state(payment, "refunded")
    assert world.wait_fact(payment, "token:released") == "deactivated" and world.wait_fact(payment, "pop:revoked") == "revoked"
    books = world.twin(f"/_twin/books/tokens?paymentId={payment}")
    assert "deactivated" in str(books)


def test_cancel_before_the_decision(world):
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "validator.validate", "delay", delayMs=1200, times=-1)
    world.pay(world.dual(), "tickets", key)
    world.wait_fact(payment, "auth:1:result")
    status, answer = world.http("POST", f"/api/payments/{payment}/cancel", {}, "tickets")
    assert status in (200, 202), answer
    world.wait_state(payment, "cancelled")
    assert world.facts(payment)["void:1"] == "voided"


def test_webhooks_are_delivered_and_signed(world):
    payment = world.pay(world.plain())
    world.wait_fact(payment, "notice:payment.completed:webhook")
    received = world.twin(f"/_twin/books/webhooks?paymentId={payment}")
    rows = received["webhooks"] if isinstance(received, dict) else received
    assert [row["type"] for row in rows] == ["payment.completed"], rows


def test_zero_decimal_currency_reaches_stripe_as_it_is(world):
    payment = world.pay(world.plain(1000, "XOF"))
    world.wait_state(payment, "completed")
    assert world.stripe_books(payment)[0]["amount"] == 1000


def test_others_payments_look_unknown(world):
    payment = world.pay(world.plain())
    world.wait_state(payment, "completed")
    assert world.http("GET", f"/api/payments/{payment}", publisher="tickets")[0] == 404


def test_a_wrong_body_is_refused_and_not_published(world):
    for body in ({"amount": -1, "currency": "EUR"}, {"amount": 10, "currency": "EUX"}, {"amount": 10, "currency": "EUR", "card": 1},
                 {"amount": 10, "currency": "EUR", "description": "4242 4242 4242 4242"}):
        status, answer = world.http("POST", "/api/payments/process", body, key=(key := world.key()))
        assert 400 <= status < 500 and answer["details"][0]["field"] and answer["message"], answer
        assert world.sql("select 1 from ledger.command where message_id = %s", key) == []
    assert world.http("POST", "/api/payments/process", {"amount": 10, "currency": "EUR"}, headers={"Authorization": "Bearer no"})[0] == 401


def test_health(world):
    for path in ("/health", "/health/database", "/health/gateways", "/health/detailed", "/openapi.json"):
        assert farms.http("GET", world.farm.url + path)[0] == 200, path


def test_what_follows_belongs_to_the_commands_trace(world):
    trace, key = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", world.key()
    payment = world.expect(key, "shop")
    world.farm.stop_program("token-activate-1")
    with world.channel("shop") as channel:
        channel.basic_publish("acquit.in", "payment.create", json.dumps(world.dual()).encode(), pika.BasicProperties(
            content_type="application/json", delivery_mode=2, message_id=key, user_id="shop", headers={"traceparent": trace}), mandatory=True)
    farms.wait_for(lambda: world.queue_depth("acquit.token-activate")[0], 20, "token.reserve")
    found = world.farm.services.mgmt("POST", "/api/queues/acquit/acquit.token-activate/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"})
    world.farm.start_worker("token-activate-1")
    world.wait_state(payment, "completed")
    assert found[0]["properties"].get("headers", {}).get("traceparent") == trace
