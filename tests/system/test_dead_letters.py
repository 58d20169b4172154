"""What dies is kept, undone where that is allowed, and replayed without doing anything twice."""

import concurrent.futures
import json

import pika
import pytest

import farm as farms


def dead_by_silent_validators(world):
    """A dual payment whose validators never answer: pop.validate runs out of attempts."""
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "validator.validate", "answer_500_before", times=-1)
    world.pay(world.dual(), "tickets", key)
    return payment


def test_exhausted_before_the_decision_is_undone(world):
    payment = dead_by_silent_validators(world)
    world.wait_state(payment, "failed")
    assert world.status(payment)["reason"] == "DEAD_LETTERED"
    letter = world.wait_dead_letter(payment)
    assert letter["type"] == "pop.validate" and letter["reason"] == "exhausted" and letter["state"] == "compensated" and letter["attempts"] == 3
    facts = world.facts(payment)
    assert facts["pop:revoked"] == "revoked" and facts["token:released"] == "released"


def test_replay_after_compensation_is_a_no_op(world):
    """By two operators at once, twice: the money, the twins' books and the state do not move."""
    payment = dead_by_silent_validators(world)
    world.wait_state(payment, "failed")
    letter = world.wait_dead_letter(payment)
    world.reset()
    before = world.stripe_books(payment), world.ledger_net(payment)
    for _ in range(2):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda _: world.farm.acquit("dlq", "replay", letter["id"], "--reason", "test", check=False), range(2)))
        assert {one.returncode for one in done} == {0}, [one.stdout + one.stderr for one in done]
    replays = [slot for slot in world.facts(payment) if slot.startswith("replay:")]
    assert 2 <= len(replays) <= 4
    settle_queue(world)
    assert (world.stripe_books(payment), world.ledger_net(payment)) == before and world.state(payment) == "failed"


def settle_queue(world):
    after = world.pay(world.dual(), "tickets")
    world.wait_state(after, "completed")
    for name in ("compensate", "pop-validate", "authorize", "token-activate"):
        farms.wait_for(lambda n=name: world.queue_depth("acquit." + n)[0] == 0, 20, f"an empty queue {name}")


def test_replay_before_anything_else_finishes_the_work(world):
    """After the abort the release dies three times and is held; the operator's replay ends the payment."""
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "token.release", "answer_500_before", times=3)
    world.pay(world.dual(token="pm_card_chargeDeclined"), "tickets", key)
    letter = world.wait_dead_letter(payment)
    assert letter["state"] == "held" and letter["type"] == "token.release" and world.state(payment) == "processing"
    world.farm.acquit("dlq", "replay", letter["id"], "--reason", "the token system is back", "--actor", "night-shift")
    world.wait_state(payment, "failed")
    (actor,) = world.sql("select actor from ledger.event where payment_id = %s and slot like 'replay:%%'", payment)
    assert actor == ("night-shift",)


def test_a_replay_needs_a_reason(world):
    assert world.farm.acquit("dlq", "replay", "00000000-0000-8000-8000-000000000000", check=False).returncode == 2


def test_a_dead_webhook_is_held_and_does_not_undo(world):
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, "webhook.deliver", "answer_500_before", times=3)
    world.pay(world.plain(), key=key)
    letter = world.wait_dead_letter(payment)
    assert letter["type"] == "notify.send" and letter["state"] == "held" and world.state(payment) == "completed"
    world.farm.acquit("dlq", "replay", letter["id"], "--reason", "the shop is back")
    world.wait_fact(payment, "notice:payment.completed:webhook")


BAD = {
    "no JSON": b"{\"amount\": 1",
    "invalid UTF-8": b"{\"amount\": 1, \"currency\": \"\xff\xfe\"}",
    "an array": b"[1]",
    "empty": b"",
    "nested": b"[" * 5000,
    "unknown field": {"amount": 1, "currency": "EUR", "amoumt": 2},
    "a card number": {"amount": 1, "currency": "EUR", "description": "card 4242424242424242"},
    "no currency": {"amount": 1},
    "a real amount": {"amount": 1.5, "currency": "EUR"},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_messages_are_archived_and_their_neighbours_processed(world, name):
    key = world.key()
    body = BAD[name]
    before = world.farm.pid("authorize-1")
    world.publish([("payment.create", key, body)])
    neighbour = world.pay(world.plain())
    letter = farms.wait_for(lambda: next((x for x in world.dead_letters() if x.get("messageId") == key), None), 20, "the archive")
    assert letter["reason"] == "invalid"
    whole = json.loads(world.farm.acquit("dlq", "show", letter["id"], "--json"))
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if name == "a card number":
        assert "4242424242424242" not in json.dumps(whole)
    elif name != "invalid UTF-8":
        assert whole["body"].encode() == raw
    world.wait_state(neighbour, "completed")
    assert world.farm.pid("authorize-1") == before


def test_hostile_properties_are_archived(world):
    """Line feeds, invalid UTF-8 and card numbers where ids and addresses belong: each its own row, masked, the worker untouched."""
    before = world.farm.pid("authorize-1"), world.farm.pid("compensate-1")
    ids = ["two\nlines", "x" * 200, "4242 4242 4242 4242", "bell\a"]
    mark = len(world.sql("select 1 from ledger.dead_letter"))
    with world.channel("shop") as channel:
        for message_id in ids:
            properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=message_id, user_id="shop",
                                              correlation_id="5555555555554444", headers={"x-death": "no array", "note": "4242424242424242"})
            channel.basic_publish("acquit.in", "payment.create", b'{"amount":5,"currency":"EUR","flow":"plain"}', properties, mandatory=True)
    with world.channel("acquit-worker") as channel:
        channel.basic_publish("acquit.cmd", "no\nsuch", b"{}", pika.BasicProperties(message_id="a\nb"), mandatory=True)
    farms.wait_for(lambda: len(world.sql("select 1 from ledger.dead_letter")) >= mark + 5, 20, "five rows")
    everything = json.dumps(world.sql("select message_id, properties::text, encode(body, 'escape'), history::text from ledger.dead_letter"))
    assert "4242424242424242" not in everything and "4242 4242" not in everything and "5555555555554444" not in everything
    assert (world.farm.pid("authorize-1"), world.farm.pid("compensate-1")) == before


HOSTILE = {
    "a line feed in our own header": {"headers": {"x-acquit-replay-of": "a\nb", "x-acquit-replay-number": 7}},
    "a message id of odd bytes": {"message_id": "\udcff" * 100},
    "a long message id of wide characters": {"message_id": "\u20ac" * 50},
    "a trace of 90 kB": {"headers": {"traceparent": "0" * 90000}},
    "a reply address the broker chokes on": {"reply_to": "amq.rabbitmq.reply-to.!!!.x"},
    "a card number as correlation id": {"correlation_id": "4242424242424242"},
    "an odd type": {"type": "\x07" * 200},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_hurt_nobody(world, name):
    """Each is archived (or simply done), workers and their connections live on, and a neighbour is paid."""
    workers = [world.farm.pid(worker) for worker in world.farm.worker_names()]
    mark = len(world.sql("select 1 from ledger.dead_letter"))
    fields = {"message_id": "hostile-" + world.key()} | HOSTILE[name]
    if "\udcff" in fields["message_id"]:
        fields["message_id"] = "bytes"
    with world.channel("shop") as channel:
        properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, user_id="shop", **fields)
        if name == "a message id of odd bytes":
            properties.encode = lambda: odd_properties(100)
        channel.basic_publish("acquit.in", "payment.create", b"{}", properties, mandatory=True)
    farms.wait_for(lambda: len(world.sql("select 1 from ledger.dead_letter")) == mark + 1, 20, "its row")
    neighbour = world.pay(world.plain())
    world.wait_state(neighbour, "completed")
    assert [world.farm.pid(worker) for worker in world.farm.worker_names()] == workers
    assert "4242424242424242" not in json.dumps(world.sql("select properties::text from ledger.dead_letter"))


def odd_properties(size):
    """Encoded AMQP properties whose message_id is bytes that are no text: flags (message_id, user_id), then both short strings."""
    return [bytes([0x00, 0x80 | 0x10]), bytes([size]) + b"\xff" * size, bytes([4]) + b"shop"]


def test_a_type_that_nobody_knows_is_caught(world):
    """L9: unroutable messages are caught, not lost: at the app by its own broker rights, behind them by acquit.unroutable."""
    with world.channel("acquit-worker") as channel:
        channel.basic_publish("acquit.cmd", "payment.creat", b"{}", mandatory=True)
    farms.wait_for(lambda: [x for x in world.dead_letters() if x["reason"] == "unroutable"], 20, "the unroutable message")


def test_a_refund_of_a_payment_that_nobody_knows_waits_and_dies(world):
    key = world.key()
    world.publish([("payment.refund", key, {"paymentId": "00000000-0000-8000-8000-000000000001", "amount": 5})])
    letter = farms.wait_for(lambda: next((x for x in world.dead_letters() if x.get("messageId") == key), None), 30, "its dead letter")
    assert letter["reason"] == "unknown_payment"


def test_nobody_cancels_the_payment_of_another(world):
    payment = world.pay(world.plain())
    world.wait_state(payment, "completed")
    key = world.key()
    world.publish([("payment.refund", key, {"paymentId": payment})], "tickets")
    farms.wait_for(lambda: [x for x in world.dead_letters() if x.get("messageId") == key and x["reason"] == "unknown_payment"], 30, "the refusal")
    assert world.state(payment) == "completed"
