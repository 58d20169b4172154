"""Bad input over both doors, others' payments, and keys that were used before: what each gets, and that nothing else happens."""

import contextlib
import http.client
import json
import re
import urllib.parse
import uuid

import pika
import pytest

import farm as farms
from ids import command_id, payment_id

BODY_MAX = 256 * 1024           # of a command, ours
BROKER_MAX = 1024 * 1024        # of a message, the broker's (max_message_size)
CARDS = ["4242424242424242", "4242 4242 4242 4242", "5555-5555-5555-4444", "378282246310005"]
PLAIN = {"amount": 1000, "currency": "EUR", "flow": "plain", "preferredGateways": ["simulated"], "paymentToken": "tok_visa"}


def raw(world, method, path, body=None, headers=None, publisher="shop"):
    """(status, headers, bytes) as they came; `headers` with None in them leave a usual one out."""
    parts = urllib.parse.urlsplit(world.farm.url)
    usual = {"Authorization": "Bearer " + world.farm.api_key(publisher), "Content-Type": "application/json"}
    sent = {name: value for name, value in (usual | (headers or {})).items() if value is not None}
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with contextlib.closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)) as connection:
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


@contextlib.contextmanager
def tap(world):
    """A queue that hears whatever is published to acquit.in; afterwards `heard` holds its message ids."""
    heard = []
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(world.farm.services.amqp_url))) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "acquit.in", "#")
        yield heard
        after = world.pay(PLAIN)        # what was published before it is in the queue before it
        world.wait_state(after, "completed")
        while (message := channel.basic_get(queue, auto_ack=True))[0]:
            heard.append(message[1].message_id)
        assert [payment_id("shop", key) for key in heard[-1:]] == [after], "the tap heard nothing at all"
        heard.pop()


# --- a card number anywhere, in every command ---

def with_card(card):
    """(what, command type, body) for every place of a command's body where a text may stand, and for names that say what stands there."""
    places = {name: card for name in ("currency", "country", "flow", "paymentMethod", "paymentToken", "customerId", "customerEmail", "description", "merchant")}
    places |= {"preferredGateways": [card], "tokens": {"id": card, "quantity": 1}, "reference": {"type": "booking", "id": card},
               "metadata": {"note": "it is " + card}, "unknown": card, "deep": {"a": [{"b": card}]}, "amount": card}
    for name, value in places.items():
        yield f"{name} with {card}", "payment.create", PLAIN | {name: value}
    yield f"a name of metadata that is {card}", "payment.create", PLAIN | {"metadata": {card: "x"}}
    for name in ("paymentId", "reason", "amount"):
        yield f"{name} of a refund with {card}", "payment.refund", {"paymentId": str(uuid.uuid4())} | {name: card}
    yield f"reason of a cancel with {card}", "payment.cancel", {"paymentId": str(uuid.uuid4()), "reason": "card " + card}


def with_security_code():
    for name in ("cvv", "cvc", "card_number", "cardNumber", "PAN", "securityCode", "track2"):
        yield f"a member {name}", "payment.create", PLAIN | {name: "123"}
        yield f"a member {name} in metadata", "payment.create", PLAIN | {"metadata": {name: "123"}}
    yield "a card number as a number", "payment.create", PLAIN | {"metadata": {"note": 4242424242424242}}


CARD_BODIES = [one for card in CARDS for one in with_card(card)] + list(with_security_code())

# --- bodies that are wrong, over both doors: what is wrong, the field that the answer names, a word of the remedy ---

WRONG = {
    "cut JSON": (b'{"amount": 1', None, ""),
    "no JSON": (b"amount=1&currency=EUR", None, ""),
    "an array": (b"[1]", None, "object"),
    "a text": (b'"pay"', None, "object"),
    "nothing": (b"", None, ""),
    "two objects": (b'{"amount":1,"currency":"EUR"}{}', None, ""),
    "the same member twice": (b'{"amount":1,"amount":2,"currency":"EUR"}', None, ""),
    "invalid UTF-8": (b'{"amount":1,"currency":"EUR","description":"\xff\xfe"}', None, ""),
    "an overlong sequence": (b'{"amount":1,"currency":"EUR","description":"\xc0\xaf"}', None, ""),
    "half a surrogate pair": (b'{"amount":1,"currency":"EUR","description":"\\ud800"}', None, ""),
    "a NUL": (b'{"amount":1,"currency":"EUR","description":"\\u0000"}', None, ""),
    "200 kB of arrays": (b"[" * 200_000, None, ""),
    "200 kB of objects": (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, None, ""),
    "nested metadata": ({"amount": 1, "currency": "EUR", "metadata": {"a": {"b": "c"}}}, "metadata.a", "text"),
    "amount as text": (PLAIN | {"amount": "1000"}, "amount", "integer"),
    "amount as boolean": (PLAIN | {"amount": True}, "amount", "integer"),
    "amount as null": (PLAIN | {"amount": None}, "amount", "integer"),
    "negative amount": (PLAIN | {"amount": -1}, "amount", "1"),
    "no money": (PLAIN | {"amount": 0}, "amount", "1"),
    "fractional amount": (PLAIN | {"amount": 10.5}, "amount", "integer"),
    "a real that is whole": (b'{"amount":1000.0,"currency":"EUR"}', "amount", "integer"),
    "amount with an exponent": (b'{"amount":1e3,"currency":"EUR"}', "amount", "integer"),
    "amount above all": (PLAIN | {"amount": 9_000_000_000_000_001}, "amount", "9000000000000000"),
    "amount beyond 64 bits": (PLAIN | {"amount": 2**63}, None, ""),
    "amount of 400 digits": (b'{"amount":' + b"9" * 400 + b',"currency":"EUR"}', None, ""),
    "no amount": ({"currency": "EUR"}, "amount", "required"),
    "no currency": ({"amount": 1}, "currency", "required"),
    "unknown currency": (PLAIN | {"currency": "ZZZ"}, "currency", "ISO 4217"),
    "currency in small letters": (PLAIN | {"currency": "eur"}, "currency", ""),
    "unknown field": (PLAIN | {"amoumt": 5}, "amoumt", ""),
    "unknown field below": (PLAIN | {"reference": {"type": "a", "id": "b", "c": 1}}, "reference.c", ""),
    "unknown flow": (PLAIN | {"flow": "triple"}, "flow", "plain"),
    "unknown method": (PLAIN | {"paymentMethod": "cash"}, "paymentMethod", "card"),
    "no e-mail address": (PLAIN | {"customerEmail": "ada"}, "customerEmail", "e-mail"),
    "a deadline in the past": (PLAIN | {"expiresInMs": -1}, "expiresInMs", "1000"),
    "no tokens": (PLAIN | {"tokens": {"id": "a", "quantity": 0}}, "tokens.quantity", "1"),
    "a token with blanks": (PLAIN | {"paymentToken": "a b"}, "paymentToken", ""),
    "a body over the limit": (json.dumps(PLAIN).encode().ljust(BODY_MAX + 1), None, ""),
}


def said_of(answer):
    return answer["message"] + " " + json.dumps(answer["details"])


# --- over HTTP ---

def check_refusal(name, got, status, code, field, word):
    """What is wrong with this answer, or None."""
    number, headers, body = got
    try:
        answer = json.loads(body)
    except ValueError:
        return f"{name}: HTTP {number}, no JSON: {body[:200]}"
    fields = [detail.get("field") for detail in answer.get("details", [])]
    good = (number == status and headers["Content-Type"] == "application/json" and answer["success"] is False and answer["error"] == code
            and answer["error_code"] == code and answer["message"] and (field is None or field in fields) and word in said_of(answer)
            and not any(card in body.decode() for card in CARDS))
    return None if good else f"{name}: wanted {status} {code} {field} {word!r}, got {number} {answer}"


def test_wrong_bodies_over_http(world):
    """Every wrong body: 4xx with code, field and remedy, and not a message published."""
    said = []
    with tap(world) as heard:
        for path in ("/api/payments/process", "/api/payments"):
            for name, (body, field, word) in WRONG.items():
                size = len(body) if isinstance(body, bytes) else 0
                status, code = (413, "PAYLOAD_TOO_LARGE") if size > BODY_MAX else (400, "VALIDATION_ERROR" if field else "INVALID_JSON")
                got = raw(world, "POST", path, body, {"Idempotency-Key": world.key()})
                said.append(check_refusal(name, got, status, code, field, word))
    assert not list(filter(None, said)), "\n".join(filter(None, said))
    assert not heard


def test_card_numbers_over_http(world):
    """In every field, under every name, in the key itself (L11): refused without repeating it, and nothing is published."""
    said, other = [], world.pay(PLAIN)
    world.wait_state(other, "completed")
    paths = {"payment.create": "/api/payments/process", "payment.refund": "/api/refunds/create", "payment.cancel": f"/api/payments/{other}/cancel"}
    with tap(world) as heard:
        for name, kind, body in CARD_BODIES:
            sent = {"reason": body["reason"]} if kind == "payment.cancel" else body
            got = raw(world, "POST", paths[kind], sent)
            said.append(check_refusal(name, got, 400, "CARD_DATA_REFUSED", None, "paymentToken"))
        for card in CARDS:
            got = raw(world, "POST", paths["payment.create"], PLAIN, {"Idempotency-Key": card})
            said.append(check_refusal("the key " + card, got, 400, "VALIDATION_ERROR", "Idempotency-Key", "UUID"))
    assert not list(filter(None, said)), "\n".join(filter(None, said))
    assert not heard


HEADS = {       # what is wrong with the head: headers, status, code, field, a word of the remedy
    "no key": ({"Authorization": None}, 401, "UNAUTHORIZED", None, "Authorization: Bearer"),
    "a wrong key": ({"Authorization": "Bearer ak_nobody"}, 401, "UNAUTHORIZED", None, "api_key_sha256"),
    "an empty key": ({"Authorization": "Bearer "}, 401, "UNAUTHORIZED", None, ""),
    "another scheme": ({"Authorization": "Basic c2hvcDpzZWNyZXQ="}, 401, "UNAUTHORIZED", None, ""),
    "a form": ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE", None, "application/json"),
    "plain text": ({"Content-Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE", None, "application/json"),
    "no content type": ({"Content-Type": None}, 415, "UNSUPPORTED_MEDIA_TYPE", None, "application/json"),
    "nearly JSON": ({"Content-Type": "application/jsonx"}, 415, "UNSUPPORTED_MEDIA_TYPE", None, "application/json"),
    "an empty Idempotency-Key": ({"Idempotency-Key": ""}, 400, "VALIDATION_ERROR", "Idempotency-Key", "1 to 128"),
    "a long Idempotency-Key": ({"Idempotency-Key": "k" * 129}, 400, "VALIDATION_ERROR", "Idempotency-Key", "1 to 128"),
    "an odd Idempotency-Key": ({"Idempotency-Key": "k\x7fk"}, 400, "VALIDATION_ERROR", "Idempotency-Key", "printable"),
}


def test_wrong_heads_over_http(world):
    said = []
    with tap(world) as heard:
        for name, (headers, *wanted) in HEADS.items():
            said.append(check_refusal(name, raw(world, "POST", "/api/payments/process", PLAIN, headers), *wanted))
        said.append(check_refusal("a wrong wait", raw(world, "POST", "/api/payments/process?wait_ms=soon", PLAIN), 400, "VALIDATION_ERROR", "wait_ms", "integer"))
        said.append(check_refusal("no path", raw(world, "POST", "/api/pay", PLAIN), 404, "NOT_FOUND", None, "openapi.json"))
        said.append(check_refusal("another method", raw(world, "PUT", "/api/payments/process", PLAIN), 405, "METHOD_NOT_ALLOWED", None, "POST"))
    assert not list(filter(None, said)), "\n".join(filter(None, said))
    assert not heard


def test_without_a_key_one_is_made(world):
    """Idempotency-Key may be left out: the answer says which key was made, and that one can be repeated."""
    status, headers, body = raw(world, "POST", "/api/payments/process", PLAIN)
    made = headers["Idempotency-Key"]
    assert status == 202 and uuid.UUID(made) and json.loads(body)["data"]["paymentId"] == payment_id("shop", made)
    payment = world.expect(made, "shop")
    world.wait_state(payment, "completed")
    status, headers, body = raw(world, "POST", "/api/payments/process", PLAIN, {"Idempotency-Key": made})
    assert (status, headers["Idempotency-Key"], json.loads(body)["data"]["paymentId"]) == (200, made, payment)


def test_a_body_of_the_very_limit_is_taken(world):
    for size in (BODY_MAX - 1, BODY_MAX):
        payment = world.pay(json.dumps(PLAIN).encode().ljust(size))
        world.wait_state(payment, "completed")
    key = world.key()
    world.publish([("payment.create", key, json.dumps(PLAIN).encode().ljust(BODY_MAX))])
    world.wait_state(world.expect(key, "shop"), "completed")


# --- over the queue ---

class Sender:
    """An app that marks each message with an app_id of its own, and listens for answers."""

    def __init__(self, world, user="shop"):
        self.user = user
        self.connection = pika.BlockingConnection(pika.URLParameters(world.farm.amqp_url(user)))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.queue = f"app.{user}.door-{uuid.uuid4().hex[:8]}"
        self.channel.queue_declare(self.queue, auto_delete=True)
        self.answers = {}

    def send(self, kind, body, **properties):
        """The mark; also the correlation id of its answer. A property that is None is left out."""
        mark = "door-" + uuid.uuid4().hex
        fields = {"content_type": "application/json", "delivery_mode": 2, "message_id": mark, "user_id": self.user, "app_id": mark,
                  "correlation_id": mark, "reply_to": self.queue} | properties
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.channel.basic_publish("acquit.in", kind, data, pika.BasicProperties(**fields), mandatory=True)
        return mark

    def answer(self, mark):
        def look():
            while (message := self.channel.basic_get(self.queue, auto_ack=True))[0]:
                self.answers[message[1].correlation_id] = json.loads(message[2])
            return self.answers.get(mark)
        return farms.wait_for(look, 30, f"an answer to {mark}")


@pytest.fixture
def sender(world):
    one = Sender(world)
    yield one
    one.connection.close()


def archived(world, marks, seconds=40):
    """{mark: (reason, text of the last attempt, message id, body)} of these messages, once all are archived."""
    def look():
        rows = world.sql("select case when message_id = any(%s) then message_id else properties->>'appId' end, reason, history->-1->>'reason',"
                         " message_id, body from ledger.dead_letter where properties->>'appId' = any(%s) or message_id = any(%s)", *[list(marks)] * 3)
        return {row[0]: row[1:] for row in rows} if len(rows) >= len(marks) else None
    try:
        found = farms.wait_for(look, seconds, "x")
    except farms.FarmError:
        there = {one for row in world.sql("select properties->>'appId', message_id from ledger.dead_letter") for one in row}
        raise AssertionError(f"not archived: {[marks[mark] if isinstance(marks, dict) else mark for mark in marks if mark not in there]}") from None
    assert len(found) == len(marks)
    return found


HEADERS = {     # properties and headers that are wrong: properties, words of the reason
    "no message id": ({"message_id": None}, "message_id: is required"),
    "an empty message id": ({"message_id": ""}, "message_id: is required"),
    "a long message id": ({"message_id": "m" * 129}, "message_id: must have at most 128"),
    "a message id of two lines": ({"message_id": "a\nb"}, "message_id: must be printable"),
    "a message id that is a card number": ({"message_id": "4242424242424242"}, "message_id: looks like a card number"),
    "a correlation id that is a card number": ({"correlation_id": "4242 4242 4242 4242"}, "correlation_id: looks like a card number"),
    "nobody": ({"user_id": None}, "user_id: is required"),
    "somebody else by header": ({"headers": {"x-acquit-publisher": "tickets"}}, "x-acquit-publisher: only our own users"),
    "an answer to somebody else": ({"reply_to": "app.tickets.answers"}, "reply_to: only"),
    "an answer into our own queues": ({"reply_to": "acquit.authorize"}, "reply_to: only"),
}
UNANSWERED = {"nobody", "an answer to somebody else", "an answer into our own queues", "a correlation id that is a card number"}

ODD_HEADERS = {     # what means nothing to us: a good command with it is done, a bad one archived
    "x-death that is a text": {"x-death": "no array"},
    "x-death that is a number": {"x-death": 7},
    "x-death of texts": {"x-death": ["a", "b"]},
    "x-death of odd tables": {"x-death": [{"queue": 7, "routing-keys": "x", "count": "many"}]},
    "60 kB of headers": {f"h{n}": "x" * 1000 for n in range(60)},
    "one header of 60 kB": {"note": "x" * 60_000},
    "headers of ours": {"x-acquit-attempt": -1, "x-acquit-history": "none", "x-acquit-replay-of": "a\nb"},
}


def test_bad_messages_are_archived_answered_and_harm_nobody(world, sender):
    """All wrong bodies, properties and headers in one stream, with good payments before, between and after."""
    workers = {name: world.farm.pid(name) for name in world.farm.worker_names()}
    wanted, good = {}, []

    def pay(**properties):
        good.append(world.expect(sender.send("payment.create", PLAIN, **properties), "shop"))

    pay()
    for name, (body, field, word) in WRONG.items():
        wanted[sender.send("payment.create", body)] = (name, field or "", word)
        pay()
    for name, kind, body in CARD_BODIES:
        wanted[sender.send(kind, body)] = (name, "", "card number or security code")
    for name, (properties, words) in HEADERS.items():
        # messages without a usable id are told apart by their content
        wanted[sender.send("payment.create", PLAIN | {"description": world.key()}, **properties)] = (name, "", words)
        pay()
    for name, headers in ODD_HEADERS.items():
        wanted[sender.send("payment.create", PLAIN | {"amount": 0}, headers=headers)] = (name, "amount", "")
        pay(headers=headers)
    wanted[sender.send("payment.create", json.dumps(PLAIN).encode().ljust(BROKER_MAX))] = ("as much as the broker takes", "", "262144")
    pay()

    found, wrong = archived(world, wanted), []
    for mark, (name, field, words) in wanted.items():
        reason, text, _, _ = found[mark]
        if not (reason == "invalid" and field in text and words in text):
            wrong.append(f"{name}: archived as {reason}: {text}; wanted {field} {words!r}")
        if name not in UNANSWERED:
            answer = sender.answer(mark)
            if not (answer["success"] is False and answer["error"] == answer["error_code"] == "invalid" and answer["message"] == text):
                wrong.append(f"{name}: answered {answer}, archived {text}")
    assert not wrong, "\n".join(wrong)
    for payment in good:
        world.wait_state(payment, "completed")
    assert {name: world.farm.pid(name) for name in workers} == workers
    everything = json.dumps(world.sql("select message_id, properties::text, encode(body, 'escape'), history::text from ledger.dead_letter"))
    assert not [card for card in CARDS if card in everything]


def test_what_is_archived_is_the_message_byte_for_byte(world, sender):
    """L9, also of bodies that are no text and of those over our limit."""
    bodies = [WRONG["invalid UTF-8"][0], b"[" * 200_000, WRONG["a body over the limit"][0], b"\x00\xff" * 1000, b" " * BROKER_MAX]
    marks = {sender.send("payment.create", body): body for body in bodies}
    for mark, (_, _, _, kept) in archived(world, marks).items():
        assert bytes(kept) == marks[mark]


def test_a_forged_user_is_refused_by_the_broker(world):
    with world.channel("shop") as channel:
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            channel.basic_publish("acquit.in", "payment.create", json.dumps(PLAIN).encode(), pika.BasicProperties(message_id="m", user_id="tickets"))
        assert refused.value.reply_code == 406 and "user_id" in refused.value.reply_text


def test_a_body_over_the_brokers_limit_is_refused_by_the_broker(world):
    """One byte more, and the channel is closed; whoever else publishes notices nothing."""
    key = world.key()
    with world.channel("shop") as other, world.channel("shop") as channel:
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            channel.basic_publish("acquit.in", "payment.create", b" " * (BROKER_MAX + 1), pika.BasicProperties(message_id="large", user_id="shop"))
        assert refused.value.reply_code == 406 and str(BROKER_MAX) in refused.value.reply_text
        other.basic_publish("acquit.in", "payment.create", json.dumps(PLAIN).encode(), pika.BasicProperties(message_id=key, user_id="shop"), mandatory=True)
    world.wait_state(world.expect(key, "shop"), "completed")
    assert not world.sql("select 1 from ledger.dead_letter where message_id = 'large'")


@pytest.fixture
def generous(world):
    """The farm's broker as RabbitMQ comes: it takes messages of 128 MiB. Channels that are open keep what they had."""
    limit = "application:set_env(rabbit, max_message_size, {})."
    world.farm.services.rabbitmqctl("eval", limit.format(128 << 20))
    yield world
    world.farm.services.rabbitmqctl("eval", limit.format(BROKER_MAX))


def test_a_broker_without_the_limit_is_found_and_what_it_lets_through_is_cut(generous):
    """L12: `acquit topology check` and `acquit doctor` say what to do; meanwhile a worker keeps the first MiB of a body, archives it, and lives on."""
    world, pids = generous, [generous.farm.pid(name) for name in generous.farm.worker_names()]
    found = world.farm.acquit("topology", "check", "--json", check=False)
    (difference,) = [row for row in json.loads(found.stdout)["differences"] if row["field"] == "max_message_size"]
    assert found.returncode == 1 and "max_message_size = 1048576" in difference["remedy"]
    (problem,) = [row for row in json.loads(world.farm.acquit("doctor", "--json", check=False).stdout)["checks"] if "max_message_size" in row["detail"]]
    assert problem["state"] == "problem" and problem["remedy"] == difference["remedy"]
    sender = Sender(world)
    body = json.dumps(PLAIN).encode().ljust(20 * BROKER_MAX, b".")
    mark = sender.send("payment.create", body)
    neighbour = world.expect(sender.send("payment.create", PLAIN), "shop")
    ((reason, kept, cut),) = [archived(world, [mark])[mark][:1] + world.sql(
        "select body, (properties->>'bodyCut')::bigint from ledger.dead_letter where message_id = %s", mark)[0]]
    assert reason == "invalid" and bytes(kept) == body[:len(kept)] and len(kept) + cut == len(body) and len(kept) <= BROKER_MAX
    assert sender.answer(mark)["error"] == "invalid"
    sender.connection.close()
    world.wait_state(neighbour, "completed")
    assert [world.farm.pid(name) for name in world.farm.worker_names()] == pids


# --- payments of others look unknown ---

def answers_about(world, payment, publisher, refund):
    """Every answer that `publisher` gets about a payment and a refund, with both ids taken out."""
    spelled = {payment: "PAYMENT", "tx_" + payment.replace("-", ""): "PAYMENT", refund: "REFUND", "rf_" + refund.replace("-", ""): "REFUND"}
    got = []
    for name in [one for one in spelled if spelled[one] == "PAYMENT"]:
        for method, path, body in [("GET", f"/api/payments/{name}", None), ("GET", f"/api/payments/{name}/status", None),
                                   ("GET", f"/api/payments/status/{name}", None), ("GET", f"/api/payments/{name}/events", None),
                                   ("GET", f"/api/payments/{name}/status?command={refund}.{'0' * 64}", None),
                                   ("POST", f"/api/payments/{name}/cancel", {"reason": "mine"}),
                                   ("POST", "/api/refunds/create", {"paymentId": name, "amount": 5})]:
            got.append((method, path, raw(world, method, path, body, publisher=publisher)))
    for name in [one for one in spelled if spelled[one] == "REFUND"]:
        got.append(("GET", f"/api/payments/refunds/{name}", raw(world, "GET", f"/api/payments/refunds/{name}", publisher=publisher)))

    def hidden(text):
        for name, word in spelled.items():
            text = text.replace(name, word)
        return text
    return [(method, hidden(path), status, {name: value for name, value in headers.items() if name != "Date"}, hidden(body.decode()))
            for method, path, (status, headers, body) in got]


def test_payments_of_others_look_unknown_over_http(world):
    """To the byte: completed, refunded, undecided, failed, and accepted a moment ago by this very ingress, as one that never was."""
    completed = world.pay(PLAIN)
    world.wait_state(completed, "completed")
    key = world.key()
    world.http("POST", "/api/refunds/create?wait_ms=5000", {"paymentId": completed, "amount": 10}, key=key)
    refund = command_id("payment.refund", "shop", key)
    assert world.http("GET", f"/api/payments/refunds/{refund}")[0] == 200
    undecided = world.pay(PLAIN | {"paymentToken": "tok_requires_action"})
    world.wait_state(undecided, "requires_action")
    declined = world.pay(PLAIN | {"paymentToken": "tok_chargeDeclined"})
    world.wait_state(declined, "failed")
    nothing = answers_about(world, str(uuid.uuid4()), "tickets", str(uuid.uuid4()))
    assert {status for _, _, status, _, _ in nothing} == {404}, nothing
    with tap(world) as heard:
        for payment in (completed, undecided, declined):
            assert answers_about(world, payment, "tickets", refund) == nothing
        fresh = world.pay(PLAIN)
        assert answers_about(world, fresh, "tickets", refund) == nothing
    assert len(heard) == 1      # the fresh payment: nothing was asked for in the name of the other
    world.until_listed([completed, undecided, declined, fresh])
    listed = json.loads(raw(world, "GET", "/api/payments?limit=200", publisher="tickets")[2])["data"]["payments"]
    assert not {payment["paymentId"] for payment in listed} & {completed, undecided, declined, fresh}
    assert world.http("POST", f"/api/payments/{undecided}/cancel?wait_ms=5000", {})[0] == 200
    world.wait_ended([undecided, fresh])
    assert world.state(completed) == "partially_refunded" and world.facts(completed)["refund:1:result"] == "refunded"


def test_payments_of_others_look_unknown_over_the_queue(world):
    """A cancel and a refund of another's payment die as those of a payment that never was, and are answered with the same words."""
    payment = world.pay(PLAIN)
    waiting = world.pay(PLAIN | {"paymentToken": "tok_requires_action"})
    world.wait_state(payment, "completed")
    world.wait_state(waiting, "requires_action")
    stranger = Sender(world, "tickets")
    said = {}
    for kind in ("payment.cancel", "payment.refund"):
        for target in (payment, waiting, str(uuid.uuid4())):
            said[stranger.send(kind, {"paymentId": target})] = kind
    found = archived(world, said)
    for kind in ("payment.cancel", "payment.refund"):
        marks = [mark for mark in said if said[mark] == kind]
        assert len({found[mark][:2] for mark in marks}) == 1 and found[marks[0]][0] == "unknown_payment", found
        assert len({json.dumps(stranger.answer(mark), sort_keys=True) for mark in marks}) == 1, stranger.answers
    stranger.connection.close()
    assert world.state(payment) == "completed" and world.state(waiting) == "requires_action"
    assert world.http("POST", f"/api/payments/{waiting}/cancel?wait_ms=5000", {})[0] == 200
    world.wait_ended([waiting])


# --- a key that was used before (L10) ---

FULL = PLAIN | {"paymentMethod": "wallet", "country": "DE", "tokens": {"id": "seat", "quantity": 1}, "customerId": "c-1", "customerEmail": "ada@example.org",
                "description": "two seats", "merchant": "hall", "reference": {"type": "booking", "id": "b-1"}, "metadata": {"cart": "9"},
                "expiresInMs": 600_000}
OTHER = {"amount": 1001, "currency": "USD", "flow": "dual", "preferredGateways": ["stripe"], "paymentToken": "tok_mastercard", "paymentMethod": "card",
         "country": "AT",
         "tokens": {"id": "seat", "quantity": 2}, "customerId": "c-2", "customerEmail": "bob@example.org", "description": "one seat", "merchant": "shop",
         "reference": {"type": "booking", "id": "b-2"}, "metadata": {"cart": "10"}, "expiresInMs": 600_001}
UNTOLD = {"customerEmail", "expiresInMs"}       # of these values no fact tells: they are named together


def without(body, name):
    return {key: value for key, value in body.items() if key != name}


def conflicts():
    """(first body, second body, fields that differ) for each field: another value, left out, and added."""
    for name in FULL:
        yield FULL, FULL | {name: OTHER[name]}, UNTOLD if name in UNTOLD else {name}
    for name in FULL:
        if name not in ("amount", "currency"):
            yield FULL, without(FULL, name), UNTOLD if name == "expiresInMs" else {name}
            yield without(FULL, name), FULL, {name}
    yield FULL, FULL | {"amount": 7, "description": "other"}, {"amount", "description"}
    yield without(without(FULL, "merchant"), "flow"), FULL | {"merchant": "shop", "flow": "plain"}, {"merchant", "flow"}


def fields_of(answer):
    return {detail.get("field") for detail in answer["details"]}


def test_conflicts_name_the_fields_over_both_doors(world, sender):
    """Each field of payment.create, changed, left out and added: 409 at once over HTTP, dead letter and answer over the queue."""
    cases = [(sender.send("payment.create", first), first, second, differ) for first, second, differ in conflicts()]
    for mark, *_ in cases:
        world.wait_ended([world.expect(mark, "shop")])
    facts = {mark: world.facts(payment_id("shop", mark)) for mark, *_ in cases}
    wrong, again = [], {}
    for mark, _, second, differ in cases:
        status, _, body = raw(world, "POST", "/api/payments/process", second, {"Idempotency-Key": mark})
        answer = json.loads(body)
        if (status, answer["error"], fields_of(answer)) != (409, "IDEMPOTENCY_CONFLICT", differ):
            wrong.append(f"HTTP: wanted {differ}, got {status} {answer}")
        again[sender.send("payment.create", second, message_id=mark)] = differ
    for mark, (reason, text, _, _) in archived(world, again).items():
        named = set(re.sub(r".*; it differs in ", "", text).split(", "))
        answer = sender.answer(mark)
        if (reason, named, answer["error"], answer["message"]) != ("idempotency_conflict", again[mark], "idempotency_conflict", text):
            wrong.append(f"queue: wanted {again[mark]}, got {reason} {text}, answered {answer}")
    assert not wrong, "\n".join(wrong)
    notices = {slot for mark in facts for slot in world.facts(payment_id("shop", mark)) if slot not in facts[mark]}
    assert all(slot.startswith("notice:") for slot in notices), notices     # a conflict has no effect


def test_conflicts_of_refunds_and_cancels_name_the_fields(world, sender):
    first, second = world.pay(PLAIN), world.pay(PLAIN)
    waiting = world.pay(PLAIN | {"paymentToken": "tok_requires_action"})
    world.wait_state(first, "completed")
    world.wait_state(second, "completed")
    world.wait_state(waiting, "requires_action")
    refund, cancel = world.key(), world.key()
    asked = {"paymentId": first, "amount": 10, "reason": "torn"}
    sender.answer(sender.send("payment.refund", asked, message_id=refund))
    sender.answer(sender.send("payment.cancel", {"paymentId": waiting, "reason": "late"}, message_id=cancel))
    cases = [(refund, "payment.refund", asked | {"amount": 11}, {"amount"}), (refund, "payment.refund", asked | {"reason": "lost"}, {"reason"}),
             (refund, "payment.refund", without(asked, "amount"), {"amount"}), (refund, "payment.refund", asked | {"paymentId": second}, {"paymentId"}),
             (cancel, "payment.cancel", {"paymentId": waiting, "reason": "soon"}, {"reason"}), (cancel, "payment.cancel", {"paymentId": waiting}, {"reason"})]
    marks = {sender.send(kind, body, message_id=key): differ for key, kind, body, differ in cases}
    for mark, (reason, text, _, _) in archived(world, marks).items():
        assert (reason, set(re.sub(r".*; it differs in ", "", text).split(", "))) == ("idempotency_conflict", marks[mark]), text
        assert sender.answer(mark)["message"] == text
    for key, kind, body, differ in cases:
        path = "/api/refunds/create" if kind == "payment.refund" else f"/api/payments/{waiting}/cancel"
        sent = body if kind == "payment.refund" else without(body, "paymentId")
        if kind == "payment.refund":
            status, _, got = raw(world, "POST", path, sent, {"Idempotency-Key": key})
            assert (status, fields_of(json.loads(got))) == (409, differ), got
    world.wait_ended([waiting])
    assert world.facts(first)["refund:1:result"] == "refunded" and "refund:2" not in world.facts(first) and "refund:1" not in world.facts(second)


def test_a_decline_is_the_same_answer_for_ever(world, sender):
    """Over HTTP, waited for and asked again, and over the queue; another body gets the conflict and the decline stands."""
    key, body = world.key(), PLAIN | {"preferredGateways": ["stripe"], "paymentToken": "pm_card_chargeDeclinedInsufficientFunds"}
    payment = world.expect(key, "shop")
    status, _, first = raw(world, "POST", "/api/payments/process", body, {"Idempotency-Key": key, "Prefer": "wait=9"})
    said = json.loads(first)
    assert (status, said["success"], said["error"], said["data"]["status"], said["data"]["reason"]) == (402, False, "PAYMENT_GATEWAY_ERROR", "failed", "DECLINED"), said
    (detail,) = said["details"]
    assert (detail["code"], detail["gateway"], detail["reason"]) == ("insufficient_funds", "stripe", "DECLINED"), said
    world.wait_fact(payment, "notice:payment.failed:webhook")
    world.fault(payment, "stripe.authorize", "answer_500_before", times=-1)     # nobody is asked again
    later = [raw(world, "POST", "/api/payments/process", body, {"Idempotency-Key": key} | wait) for wait in ({}, {"Prefer": "wait=5"}, {})]
    assert {(status, answer) for status, _, answer in later} == {(402, later[0][2])}
    assert without(json.loads(later[0][2])["data"], "updatedAt") == without(said["data"], "updatedAt")
    assert raw(world, "POST", "/api/payments/process", body | {"amount": 1}, {"Idempotency-Key": key})[0] == 409
    before = world.requests(payment)
    sender.send("payment.create", body, message_id=key)
    mark = sender.send("payment.create", body | {"description": "more"}, message_id=key)
    assert "it differs in description" in archived(world, [mark])[mark][1]
    assert world.requests(payment) == before and world.state(payment) == "failed"


def test_who_waits_hears_of_the_conflict_with_its_fields(world, sender):
    """The first body came by the queue, and nobody has recorded it when the second is sent: with wait the 409 comes as soon as it is."""
    world.farm.stop_program("authorize-1")
    mark = sender.send("payment.create", PLAIN)
    payment = world.expect(mark, "shop")
    parts = urllib.parse.urlsplit(world.farm.url)
    with contextlib.closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)) as connection:
        connection.request("POST", "/api/payments/process?wait_ms=10000", json.dumps(PLAIN | {"amount": 5, "description": "b"}),
                           world.headers("shop", mark) | {"Content-Type": "application/json"})
        world.farm.start_worker("authorize-1")
        answer = connection.getresponse()
        said = json.loads(answer.read())
    assert (answer.status, said["error"], fields_of(said)) == (409, "IDEMPOTENCY_CONFLICT", {"amount", "description"}), said
    world.wait_state(payment, "completed")
    assert world.ledger_net(payment)[0] == 1000
