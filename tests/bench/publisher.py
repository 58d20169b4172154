"""publisher.py - publishes many commands over one AMQP connection: confirmed, in flight together, at a pace or as fast as it goes"""

import collections
import json
import time

import pika

TICK_SECONDS = 0.002
IDLE_SECONDS = 60  # without any confirm: given up


class Refused(Exception):
    """The broker returned or refused a message, or stopped confirming."""


class Publisher:
    """One connection of one broker user. publish() returns when all is confirmed."""

    def __init__(self, url, user, window=256):
        self.parameters, self.user, self.window = pika.URLParameters(url), user, window
        self.sent = {}       # message id -> wall time at which it was published
        self.confirmed = {}  # message id -> wall time of its confirm

    def publish(self, commands, exchange="acquit.in", rate=None):
        """`commands`: (routing key, message id, body). `rate`: a second, kept whatever the broker does (open loop); None: as fast as the
        window of unconfirmed messages lets it. Seconds from the first publish to the last confirm."""
        run = _Run(self, list(commands), exchange, rate)
        connection = pika.SelectConnection(self.parameters, on_open_callback=run.on_open, on_open_error_callback=run.on_error,
                                           on_close_callback=run.on_closed)
        connection.ioloop.start()
        if run.failure:
            raise Refused(run.failure)
        return run.ended - run.began


class _Run:
    def __init__(self, publisher, commands, exchange, rate):
        self.publisher, self.exchange, self.rate = publisher, exchange, rate
        self.commands = [(kind, message_id, body if isinstance(body, bytes) else json.dumps(body).encode()) for kind, message_id, body in commands]
        self.next = self.last_confirm = 0
        self.unconfirmed = collections.OrderedDict()  # delivery tag -> message id
        self.began = self.ended = self.failure = self.connection = self.channel = None

    def on_error(self, connection, error):
        self.failure = str(error)
        connection.ioloop.stop()

    def on_closed(self, connection, reason):
        if self.ended is None and self.failure is None:
            self.failure = str(reason)
        connection.ioloop.stop()

    def on_open(self, connection):
        self.connection = connection
        connection.channel(on_open_callback=self.on_channel)

    def on_channel(self, channel):
        self.channel = channel
        channel.add_on_return_callback(self.on_return)
        channel.confirm_delivery(self.on_confirm, callback=lambda _: self.begin())

    def begin(self):
        self.began = self.last_confirm = time.monotonic()
        self.tick()

    def due(self):
        if self.rate is None:
            return self.publisher.window - len(self.unconfirmed)
        return int((time.monotonic() - self.began) * self.rate) + 1 - self.next

    def send_due(self):
        for kind, message_id, raw in self.commands[self.next:self.next + max(0, self.due())]:
            properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=message_id, user_id=self.publisher.user)
            self.next += 1
            self.unconfirmed[self.next] = message_id
            self.publisher.sent[message_id] = time.time()
            self.channel.basic_publish(self.exchange, kind, raw, properties, mandatory=True)

    def tick(self):
        if self.failure or self.ended:
            return
        self.send_due()
        if time.monotonic() - self.last_confirm > IDLE_SECONDS:
            self.fail(f"no confirm for {IDLE_SECONDS} s")
        else:
            self.connection.ioloop.call_later(TICK_SECONDS, self.tick)

    def fail(self, why):
        self.failure = why
        self.connection.close()

    def on_return(self, channel, method, properties, body):
        del channel, properties, body
        self.fail(f"returned: {method.reply_text} {method.routing_key}")

    def on_confirm(self, frame):
        method, now = frame.method, time.time()
        if method.NAME != "Basic.Ack":
            self.fail("refused by the broker")
            return
        self.last_confirm = time.monotonic()
        while self.unconfirmed:
            tag = next(iter(self.unconfirmed)) if method.multiple else method.delivery_tag
            if tag > method.delivery_tag:
                break
            self.publisher.confirmed[self.unconfirmed.pop(tag)] = now
            if not method.multiple:
                break
        if self.next == len(self.commands) and not self.unconfirmed:
            self.ended = time.monotonic()
            self.connection.close()
        elif self.rate is None:
            self.send_due()
