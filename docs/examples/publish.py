#!/usr/bin/python3
"""publish.py - how an app publishes payment commands straight to the queue, in Python with pika (package python3-pika)

    publish.py < commands.jsonl

Reads one command per line, {"type": "payment.create", "messageId": "order-17", "body": {...}}, and prints one line per command once
the broker has confirmed it. ACQUIT_AMQP_URL names the broker, with the app's own user: that user is the publisher.

It shares no code with Acquit; everything it relies on stands in docs/integration.md.
"""

import json
import os
import sys
import time
import urllib.parse

import pika

EXCHANGE = "acquit.in"


def main():
    url = os.environ["ACQUIT_AMQP_URL"]
    user = urllib.parse.urlsplit(url).username
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()  # without it a lost message is lost silently
    for line in sys.stdin:
        command = json.loads(line)
        body = command["body"]
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,  # survives a restart of the broker
            message_id=command["messageId"],  # the idempotency key: the same for every repeat
            user_id=user,  # checked by the broker
            timestamp=int(time.time()),
        )
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        channel.basic_publish(EXCHANGE, command["type"], raw, properties, mandatory=True)
        print(json.dumps({"messageId": command["messageId"], "published": command["type"]}), flush=True)
    connection.close()


if __name__ == "__main__":
    main()
