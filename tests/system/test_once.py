"""Duplicates, joins and races: every effect once."""

import concurrent.futures
import json
import random

import pika
import pytest

import farm as farms


@pytest.fixture
def three_of_each(farm):
    """Three instances of each worker type, for the length of a test."""
    more = [f"{name}-{n}" for name in farms.WORKER_TYPES for n in (2, 3)]
    for name in more:
        farm.start_worker(name)
    yield
    for name in more:
        farm.stop_program(name)


def test_join_under_concurrency(world, three_of_each):
    """200 dual payments through three instances of each worker: whoever commits last sees both; each is captured once."""
    commands = []
    for n in range(200):
        key = world.key()
        world.expect(key, "tickets")
        commands.append(("payment.create", key, world.dual(1000 + n, stock=f"seat-{n}")))
    world.publish(commands, "tickets")
    world.wait_ended(seconds=120)
    for payment in world.created:
        assert world.state(payment) == "completed", world.facts(payment)
        captures = [request for request in world.requests(payment, "stripe.capture") if request["status"] == 200]
        assert len(captures) >= 1 and len({request["idempotencyKey"] for request in captures}) == 1


def tap(world):
    """A queue that hears every internal command of the farm; an administrator's, not an app's."""
    connection = pika.BlockingConnection(pika.URLParameters(world.farm.services.amqp_url))
    channel = connection.channel()
    channel.queue_declare("test.tap", exclusive=True)
    channel.queue_bind("test.tap", "acquit.cmd", "#")
    return connection, channel


def drain_tap(channel):
    heard = []
    while True:
        method, properties, body = channel.basic_get("test.tap", auto_ack=True)
        if not method:
            return heard
        heard.append((method.routing_key, properties, body))


@pytest.mark.parametrize("flow", ["plain", "dual"])
def test_every_command_three_times_shuffled(world, flow):
    """The commands of a whole payment, heard on the wire, published three times over in any order: the twins' books do not move."""
    connection, channel = tap(world)
    publisher = "tickets" if flow == "dual" else "shop"
    key = world.key()
    body = world.dual() if flow == "dual" else world.plain()
    payment = world.pay(body, publisher, key)
    world.wait_fact(payment, "notice:payment.completed:webhook")
    refund = world.key()
    world.publish([("payment.refund", refund, {"paymentId": payment, "amount": 100})], publisher)
    world.wait_fact(payment, "notice:payment.refunded.1:webhook")
    heard = [one for one in drain_tap(channel) if payment in one[2].decode() or one[1].message_id == key]
    connection.close()
    assert {one[0] for one in heard} >= {"payment.create", "authorize.capture", "payment.refund", "notify.send"}
    effects, facts = world.stripe_books(payment), world.facts(payment)
    again = heard * 3
    random.Random(17).shuffle(again)
    for kind, properties, raw in again:
        if properties.user_id == publisher:
            world.publish([(kind, properties.message_id, raw)], publisher)
        else:
            world.publish_internal(kind, properties.message_id, json.loads(raw))
    settle(world, payment)
    assert world.stripe_books(payment) == effects and world.facts(payment) == facts


def settle(world, payment):
    """A later payment through the same queues has ended: what was published before it was taken before it."""
    publisher = world.created[payment]
    body = world.dual() if publisher == "tickets" else world.plain()
    after = world.pay(body, publisher)
    world.wait_fact(after, "notice:payment.completed:webhook")
    for queue in ("authorize", "pop-validate", "token-activate", "refund", "notify"):
        farms.wait_for(lambda q=queue: world.queue_depth("acquit." + q)[0] == 0, 20, f"an empty queue {queue}")


def test_same_key_twice_at_once_is_one_payment(world):
    key, body = world.key(), world.plain(777)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        payments = set(pool.map(lambda _: world.pay(body, key=key), range(8)))
    assert len(payments) == 1
    world.wait_state(payments.pop(), "completed")


def test_same_key_other_body_has_no_effect(world):
    key = world.key()
    payment = world.pay(world.plain(500), key=key)
    world.wait_state(payment, "completed")
    status, answer = world.http("POST", "/api/payments/process", world.plain(501), key=key)
    assert status == 409 and "amount" in json.dumps(answer), answer
    world.publish([("payment.create", key, world.plain(502))])
    farms.wait_for(lambda: [x for x in world.dead_letters() if x.get("messageId") == key and x["reason"] == "idempotency_conflict"], 20, "the conflict")
    assert world.state(payment) == "completed" and world.ledger_net(payment)[0] == 500


def test_two_bodies_under_one_key_before_either_is_recorded(world):
    """L10 over both doors: the second gets a 202 while nobody knows, and the 409 for ever at its statusUrl."""
    world.farm.stop_program("authorize-1")
    key = world.key()
    world.publish([("payment.create", key, world.plain(610))])
    status, answer = world.http("POST", "/api/payments/process", world.plain(611), key=key)
    assert status == 202, answer
    payment = world.expect(key, "shop")
    world.farm.start_worker("authorize-1")
    world.wait_state(payment, "completed")
    assert world.ledger_net(payment)[0] == 610
    assert world.http("GET", answer["data"]["statusUrl"])[0] == 409
    assert world.http("GET", f"/api/payments/{payment}/status")[0] == 200
    farms.wait_for(lambda: [x for x in world.dead_letters() if x.get("messageId") == key], 20, "the loser's archive")


def test_sixty_four_refunds_of_sixty_on_a_hundred(world, three_of_each):
    """One wins, sixty-three are told no, the twin sees one refund (L2)."""
    payment = world.pay(world.plain(100))
    world.wait_state(payment, "completed")
    world.publish([("payment.refund", world.key(), {"paymentId": payment, "amount": 60}) for _ in range(64)])
    farms.wait_for(lambda: sum(slot.startswith("refund:") and slot.count(":") == 1 for slot in world.facts(payment)) == 64, 60, "64 answers")
    world.wait_state(payment, "partially_refunded")
    outcomes = [outcome for slot, outcome in world.facts(payment).items() if slot.startswith("refund:") and slot.count(":") == 1]
    assert sorted(outcomes) == ["accepted"] + ["refused"] * 63
    sent = [request for request in world.requests(payment, "stripe.refund")]
    assert len({request["idempotencyKey"] for request in sent}) == 1 and world.stripe_books(payment)[0]["refunded"] == 60


def test_one_key_for_refunds_of_two_payments(world):
    """L10: the key counts once, whichever payment it names; the other has no effect."""
    first, second = world.pay(world.plain(300)), world.pay(world.plain(400))
    world.wait_state(first, "completed")
    world.wait_state(second, "completed")
    key = world.key()
    world.publish([("payment.refund", key, {"paymentId": first, "amount": 10}), ("payment.refund", key, {"paymentId": second, "amount": 10})])
    farms.wait_for(lambda: [x for x in world.dead_letters() if x.get("messageId") == key], 20, "the conflict")
    assert sorted(world.state(payment) for payment in (first, second)) == ["completed", "partially_refunded"]

