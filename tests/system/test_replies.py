"""What is said to apps: answers to reply_to, and events on acquit.evt."""

import contextlib
import json
import uuid

import pika
import pytest

import farm as farms


class App:
    """A foreign app with a queue of its own for answers."""

    def __init__(self, world, publisher):
        self.publisher = publisher
        self.connection = pika.BlockingConnection(pika.URLParameters(world.farm.amqp_url(publisher)))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.queue = f"app.{publisher}.answers-{uuid.uuid4().hex[:8]}"
        self.channel.queue_declare(self.queue, auto_delete=True)

    def send(self, kind, key, body, reply_to=None):
        properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=key, user_id=self.publisher,
                                          reply_to=reply_to or self.queue, correlation_id="corr-" + key)
        self.channel.basic_publish("acquit.in", kind, json.dumps(body).encode(), properties, mandatory=True)

    def answer(self, key):
        def look():
            method, properties, body = self.channel.basic_get(self.queue, auto_ack=True)
            return (properties, json.loads(body)) if method and properties.correlation_id == "corr-" + key else None
        return farms.wait_for(look, 20, f"an answer to {key}")


@pytest.fixture
def app(world):
    one = App(world, "shop")
    yield one
    one.connection.close()


def test_the_end_comes_back(world, app):
    key = world.key()
    payment = world.expect(key, "shop")
    app.send("payment.create", key, world.plain(900))
    _, body = app.answer(key)
    assert body["type"] == "payment.completed" and body["data"]["paymentId"] == payment and body["specversion"] == "1.0"
    refund = world.key()
    app.send("payment.refund", refund, {"paymentId": payment, "amount": 400})
    assert app.answer(refund)[1]["type"] == "payment.refunded"
    too_much = world.key()
    app.send("payment.refund", too_much, {"paymentId": payment, "amount": 501})
    assert app.answer(too_much)[1]["type"] == "payment.refund_refused"


def test_direct_reply_to(world):
    """amq.rabbitmq.reply-to needs no queue at all."""
    key = world.key()
    world.expect(key, "shop")
    connection = pika.BlockingConnection(pika.URLParameters(world.farm.amqp_url("shop")))
    channel = connection.channel()
    heard = []
    channel.basic_consume("amq.rabbitmq.reply-to", lambda *message: heard.append(message), auto_ack=True)
    properties = pika.BasicProperties(content_type="application/json", message_id=key, user_id="shop", reply_to="amq.rabbitmq.reply-to",
                                      correlation_id="direct")
    channel.basic_publish("acquit.in", "payment.create", json.dumps(world.plain(901)).encode(), properties)
    farms.wait_for(lambda: connection.process_data_events(0.05) or heard, 20, "the direct reply")
    assert heard[0][2].correlation_id == "direct" and json.loads(heard[0][3])["type"] == "payment.completed"
    connection.close()


def test_a_bad_command_is_answered(app, world):
    key = world.key()
    app.send("payment.create", key, {"amount": -5, "currency": "EUR"})
    _, body = app.answer(key)
    assert body["success"] is False and body["error"] == "invalid" and "amount" in body["message"]


def test_answers_go_to_nobody_elses_queue(world, app):
    key = world.key()
    app.send("payment.create", key, world.plain(), reply_to="app.tickets.answers")
    letter = farms.wait_for(lambda: next((x for x in world.dead_letters() if x.get("messageId") == key), None), 20, "the refusal")
    assert letter["reason"] == "invalid"


def test_a_vanished_reply_queue_is_no_failure(world, app):
    key = world.key()
    payment = world.expect(key, "shop")
    app.send("payment.create", key, world.plain(), reply_to="app.shop.gone")
    world.wait_fact(payment, "notice:payment.completed:webhook")
    assert not world.dead_letters(payment)


def test_events_tell_the_story_in_order(world):
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(world.farm.services.amqp_url))) as connection:
        channel = connection.channel()
        channel.queue_declare("test.events", exclusive=True)
        channel.queue_bind("test.events", "acquit.evt", "payment.*")
        payment = world.pay(world.dual(), "tickets")
        world.wait_fact(payment, "notice:payment.completed:webhook")
        heard = {}

        def complete():
            method, _, body = channel.basic_get("test.events", auto_ack=True)
            if method:
                event = json.loads(body)
                if event["data"]["paymentId"] == payment:
                    heard[event["id"]] = (event["sequence"], method.routing_key)
            return "payment.completed" in {key for _, key in heard.values()}
        farms.wait_for(complete, 20, "payment.completed")
    story = [key for _, key in sorted(heard.values())]
    assert story == ["payment.received", "payment.authorized", "payment.captured", "payment.completed"], story
