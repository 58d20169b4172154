"""test_secrets.py - L11: card numbers and security codes, sent through every door and in every place a client has, stand nowhere afterwards; nor do
our own secrets stand anywhere but in the files that hold them.

Each place gets a number of its own (the last four digits), so that a hit names its place. What came over HTTP is refused before it is published: it
is looked for in the storage of broker and database, too. What an app itself publishes to the broker passes the broker's storage before any
program of ours sees it; there, and only there, it is not looked for.
"""

import contextlib
import itertools
import json
import logging
import os
import re
import subprocess

import pika
import pytest

import farm as farms
import services as private_services
from ids import payment_id

HTTP, QUEUE, OPERATOR = "400717283946", "520482917364", "371449"  # how the numbers of each door begin
CODES = {HTTP: "83920571", QUEUE: "61094827", OPERATOR: "50718392"}  # the security codes: of a length that occurs nowhere else
SPLITS = {16: (4, 4, 4, 4), 15: (4, 6, 5)}

logging.getLogger("pika").setLevel(logging.CRITICAL + 1)  # wrong passwords are refused, as they should be


def luhn(digits):
    total = sum(sum(divmod(2 * int(d), 10)) if i % 2 == 0 else int(d) for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


class Marks:
    """Card numbers of one door, each another one, in turn without separators, with blanks and with dashes."""

    def __init__(self, head):
        self.head, self.numbers, self.places = head, itertools.count(100), {}

    def __call__(self, place):
        number = next(self.numbers)
        length = 15 if self.head.startswith("37") else 16
        digits = luhn(self.head + str(number).zfill(length - 1 - len(self.head)))
        self.places[digits] = place
        separator = ("", " ", "-")[number % 3]
        cuts = [0, *itertools.accumulate(SPLITS[length])]
        return separator.join(digits[a:b] for a, b in zip(cuts, cuts[1:]))

    def text(self, place):
        """Without blanks, where the place takes none."""
        return self(place).replace(" ", "-")


def needles(head):
    """How a number or code of this door would look: plain, in groups, and as the hex digits in which SQL shows bytes."""
    first = [head[:12], " ".join((head[:4], head[4:8], head[8:12])), "-".join((head[:4], head[4:8], head[8:12]))]
    if len(head) < 12:  # 15 digits are grouped otherwise; what follows the first six is a counter
        first = [head + "000000", f"{head[:4]} {head[4:]}0000 00", f"{head[:4]}-{head[4:]}0000-00"]
    texts = [*first, CODES[head]]
    return [text.encode() for text in texts] + [text.encode().hex().encode() for text in texts]


def find(data, wanted, where):
    """Where these bytes hold one of the wanted, with what stands around it."""
    lower = data.lower()
    return [f"{where}: ...{data[max(0, at - 60):at + 40]!r}" for needle in wanted for at in [lower.find(needle)] if at >= 0]


def find_in_files(folder, wanted, leave_out=()):
    hits = []
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(path, name) not in leave_out]
        for name in names:
            one = os.path.join(path, name)
            if one not in leave_out and os.path.isfile(one):
                with contextlib.suppress(FileNotFoundError), open(one, "rb") as file:  # a log that is set aside, a file of the database
                    hits += find(file.read(), wanted, one)
    return hits


# --- the places ---

TEXTS = ("paymentMethod", "country", "paymentToken", "customerId", "customerEmail", "description", "flow", "merchant", "currency", "expiresInMs", "amount",
         "unknownField")


def create_bodies(world, mark, code):
    """Every place of a payment.create, one at a time."""
    for field in TEXTS:
        yield world.plain() | {field: f"{mark.text(field)}@example.org" if field == "customerEmail" else mark(field)}
        yield world.plain() | {field: f"card {mark(field + ', inside')} of a customer"}
    yield world.plain() | {"preferredGateways": [mark("a gateway")]}
    yield world.plain() | {"reference": {"type": mark("reference.type"), "id": "1"}}
    yield world.plain() | {"reference": {"type": "booking", "id": mark("reference.id")}}
    yield world.plain() | {"metadata": {"note": mark("metadata")}}
    yield world.plain() | {"metadata": {mark("the name of a metadata"): "note"}}
    yield world.plain() | {mark("the name of a field"): 1}
    yield world.plain() | {"card": {"deep": [{"er": mark("deep inside")}]}}
    yield world.plain() | {"customerId": int(mark.text("a number").replace("-", ""))}
    yield world.dual(stock=mark("tokens.id"))
    for name in ("cvv", "cvc", "CVV2", "security_code", "cardCvc", "card-verification-value"):
        yield world.plain() | {name: code}
        yield world.plain() | {name: int(code)}
        yield world.plain() | {"metadata": {name: code}}
    yield world.plain() | {"cvv": {"value": code, "also": [code]}}
    yield world.plain() | {"cvv": f"\"{code}\\"}
    yield [{"cvv": code, "number": mark("in an array")}]
    yield f"{mark('no JSON')} {{\"cvv\": \"{code}\"".encode()
    yield f"{{\"amount\":1,\"cvv\" :\n  {code}, \"number\":\"{mark('broken JSON')}".encode()
    yield f"{{\"amount\":5,\"currency\":\"EUR\",\"c\\u0076v\":\"{code}\"}}".encode()


def other_bodies(mark, code, payment):
    """(type, path, body) of what is asked of a payment."""
    for field in ("reason", "paymentId", "unknownField"):
        yield "payment.refund", "/api/refunds/create", {"paymentId": payment, "amount": 1} | {field: mark("refund " + field)}
    yield "payment.refund", "/api/refunds/create", {"paymentId": payment, "amount": 1, "cvv": code}
    for field in ("reason", "unknownField"):
        yield "payment.cancel", f"/api/payments/{payment}/cancel", {"paymentId": payment, field: mark("cancel " + field)}
    yield "payment.cancel", f"/api/payments/{payment}/cancel", {"paymentId": payment, "cvc": code}


def url(text):
    return text.replace(" ", "%20")


def send_over_http(world, mark, code, payment, answers):
    """Bodies, headers, queries, paths. Whatever is answered is kept: it must not say the number again."""
    def ask(method, path, body=None, headers=None, refused=True):
        status, answer, got = farms.http(method, world.farm.url + path, body, {"Authorization": world.headers("shop")["Authorization"]} | (headers or {}))
        answers.append((status, answer, dict(got)))
        assert status < 500 and (400 <= status or not refused), (method, path, headers, status, answer)
    for body in create_bodies(world, mark, code):
        ask("POST", "/api/payments/process", body)
    for _, path, body in other_bodies(mark, code, payment):
        ask("POST", path, body if "refunds" in path else {name: value for name, value in body.items() if name != "paymentId"})
    for path, body in (("/api/payments/process", world.plain()), ("/api/refunds/create", {"paymentId": payment, "amount": 1}),
                       (f"/api/payments/{payment}/cancel", {})):
        ask("POST", path, body, {"Idempotency-Key": mark("Idempotency-Key of " + path)})
    ask("POST", "/api/payments/process", b"{}", {"Content-Type": mark("Content-Type")})
    ask("POST", "/api/payments/process", {}, {"Authorization": "Bearer " + mark("Authorization")})
    for name in ("traceparent", "tracestate", "Prefer", "User-Agent", "Referer", "Cookie", "X-Forwarded-For", "X-Card", "Accept", "X-Request-Id"):
        ask("GET", "/api/payments", None, {name: mark(name), "X-Cvv": code}, refused=False)
    # accepted, as what is wrong is ignored; the payment is none the worse for it
    for trace in (mark("traceparent of a payment"), f"00-4bf92f3577b34da6a3ce929d0e0e4736-{mark.text('a span').replace('-', '')}-01"):
        headers = {"traceparent": trace, "tracestate": mark("tracestate"), "X-Cvc": code, "Idempotency-Key": world.key()}
        ask("POST", "/api/payments/process", world.plain(), headers, refused=False)
        world.expect(headers["Idempotency-Key"], "shop")
    for name in ("wait_ms", "limit", "before", "status", "command", "card", "cvv"):
        ask("GET", f"/api/payments?{name}={url(mark('query ' + name))}&cvc={code}", refused=False)
        ask("GET", f"/api/payments/{payment}/status?{name}={url(mark('query of a status, ' + name))}", refused=False)
        ask("POST", f"/api/payments/process?{name}={url(mark('query of a payment, ' + name))}", {}, refused=True)
    for path in ("/api/payments/{}", "/api/payments/{}/status", "/api/payments/status/{}", "/api/payments/{}/events", "/api/payments/refunds/{}",
                 "/api/{}", "/{}"):
        ask("GET", path.format(url(mark("path " + path))))


def send_over_the_queue(world, mark, code, payment):
    """Bodies, properties, headers, of all public types; each a dead letter or, where the number stood in what is ignored, done."""
    sent = []

    def publish(kind, body, **fields):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        properties = {"content_type": "application/json", "delivery_mode": 2, "message_id": world.key(), "user_id": "shop"} | fields
        sent.append((kind, properties["message_id"], str(fields or body)[:60]))
        channel.basic_publish("acquit.in", kind, raw, pika.BasicProperties(**properties), mandatory=True)
    with world.channel("shop") as channel:
        for body in create_bodies(world, mark, code):
            publish("payment.create", body)
        for kind, _, body in other_bodies(mark, code, payment):
            publish(kind, body)
        unknown = {"paymentId": "00000000-0000-8000-8000-000000000002"}  # waits on the retry ladder before it dies
        bodies = {"payment.create": world.plain(), "payment.refund": unknown | {"amount": 1}, "payment.cancel": unknown}
        for kind, body in bodies.items():
            for name in ("message_id", "correlation_id", "type", "app_id", "content_type", "content_encoding", "reply_to", "cluster_id"):
                publish(kind, body, **{name: mark(f"{name} of {kind}")})
            publish(kind, body, reply_to=f"app.shop.{mark('a reply queue for ' + kind)}")
            publish(kind, body, headers={"traceparent": mark("traceparent of " + kind), "card": mark("a header of " + kind), "cvv": code})
            publish(kind, body, headers={"traceparent": (mark.text("a long traceparent of " + kind).replace("-", "") + "-").ljust(55, "0")})
            publish(kind, body, headers={mark("the name of a header of " + kind): "x", "deep": {"er": [mark("deep in a header")], "cvc": code}})
            publish(kind, body, headers={"x-acquit-history": mark("a header like ours"), "x-acquit-replay-of": mark("another"), "cvv": int(code)})
    return sent


def send_as_operator(world, mark, payment, letter):
    """An operator's reasons and keys are texts of a person, who may paste anything."""
    shown = []
    for arguments in (["dlq", "replay", letter, "--reason", mark("the reason of a replay")],
                      ["dlq", "replay", letter, "--reason", "test", "--actor", mark("the actor of a replay")],
                      ["payment", "refund", payment, "--amount", "1", "--key", world.key(), "--reason", mark("the reason of a refund")],
                      ["payment", "refund", payment, "--amount", "1", "--key", mark("the key of a refund")],
                      ["payment", "cancel", payment, "--reason", mark("the reason of a cancel")],
                      ["payment", "show", mark("payment show")], ["dlq", "show", mark("dlq show")]):
        done = world.farm.acquit(*arguments, "--wait-ms" if arguments[1] not in ("show",) else "--json",
                                 *(["2000"] if arguments[1] != "show" else []), check=False)
        shown.append((arguments, done.returncode, done.stdout + done.stderr))
    return shown


# --- what is looked through ---

@contextlib.contextmanager
def tap(world):
    """Hears all that our own programs publish: commands, events, retries, dead letters. An administrator's, not an app's."""
    connection = pika.BlockingConnection(pika.URLParameters(world.farm.services.amqp_url))
    channel = connection.channel()
    channel.queue_declare("test.secrets", exclusive=True, arguments={"x-max-length": 100000})
    exchanges = {one["name"]: one["type"] for one in world.farm.services.mgmt("GET", "/api/exchanges/acquit") if one["name"].startswith("acquit.")}
    for name, kind in exchanges.items():
        if kind == "direct":
            for worker in farms.WORKER_TYPES:
                channel.queue_bind("test.secrets", name, "acquit." + worker)
        elif name != "acquit.in":
            channel.queue_bind("test.secrets", name, "#")

    def heard():
        found = []
        while True:
            method, properties, body = channel.basic_get("test.secrets", auto_ack=True)
            if not method:
                return found
            found.append((method.exchange, method.routing_key, properties, body))
    yield heard
    connection.close()


def queues(world):
    return [one["name"] for one in world.farm.services.mgmt("GET", "/api/queues/acquit") if one["name"] != "test.secrets"]


def await_all(world, sent, before):
    """Each of these messages is archived, or its payment is in the ledger: nothing of them is on its way any more, on the retry ladder neither. (The
    depths that the broker tells of quorum queues are seconds old.)"""
    masked = [one for one in sent if re.search(r"\d{4}[ -]?\d{4}[ -]?\d{4}", one[1])]

    def missing():
        archived = {row[0] for row in world.sql("select message_id from ledger.dead_letter where message_id = any(%s)", [one[1] for one in sent])}
        return [one for one in sent if one not in masked and one[1] not in archived
                and not (one[0] == "payment.create" and world.facts(payment_id("shop", one[1])))]
    try:
        farms.wait_for(lambda: not missing(), 40, "x")
    except farms.FarmError:
        raise AssertionError(f"neither archived nor paid: {missing()}") from None
    assert world.sql("select count(*) from ledger.dead_letter")[0][0] - before > 80


def peek(world):
    """The contents of every queue, left where they are."""
    found = b""
    for queue in queues(world):
        messages = world.farm.services.mgmt("POST", f"/api/queues/acquit/{queue}/get",
                                            {"count": 500, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 500000})
        found += json.dumps([queue, messages], ensure_ascii=False).encode()
    return found


def dump(world):
    """pg_dump of everything, all schemas."""
    services = world.farm.services
    done = subprocess.run([os.path.join(private_services.POSTGRES_BIN, "pg_dump"), "-h", "127.0.0.1", "-p", str(services.pg_port), "-U", services.pg_user,
                           services.pg_database], env=os.environ | {"PGPASSWORD": services.pg_password}, capture_output=True, check=True)
    assert b"ledger.dead_letter" in done.stdout and b"ledger.event" in done.stdout
    return done.stdout


def command_lines(world):
    """{pid: command line} of every process of the farm, broker and database with all of theirs included."""
    roots = [world.farm.pid(name) for name in (*world.farm.worker_names(), "ingress", "keeper", "twins")]
    roots += [world.farm.services.broker_pid, world.farm.services.postgres_pid]
    pids = {*roots, *(pid for root in roots for pid in private_services.descendants(root))}
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as text:
            found[pid] = text.read()
    assert len(found) >= len(roots)
    return found


def storage(world):
    """The broker's and the database's own files."""
    return [world.farm.path("rabbitmq", "data"), world.farm.path("postgres", "data")]


def look_everywhere(world, wanted, heard=(), leave_out=()):
    hits = find(dump(world), wanted, "pg_dump") + find(peek(world), wanted, "a queue")
    hits += find_in_files(world.farm.directory, wanted, {*storage(world), *leave_out})
    for pid, text in command_lines(world).items():
        hits += find(text, wanted, f"the command line of {pid}")
    for exchange, key, properties, body in heard:
        hits += find(repr((key, vars(properties), body)).encode(), wanted, f"a message of {properties.user_id} to {exchange}")
    return hits


def test_no_card_number_nor_security_code_stays_anywhere(world):
    """L11, whole. The dead letters' worker stands still at first, so that its queue is looked into while it is full."""
    payment = world.pay(world.plain(4000))
    world.wait_state(payment, "completed")
    http, queue, operator = Marks(HTTP), Marks(QUEUE), Marks(OPERATOR)
    answers = []
    with tap(world) as heard:
        send_over_http(world, http, CODES[HTTP], payment, answers)
        assert not find(repr(answers).encode(), needles(HTTP), "an answer")
        before = world.sql("select count(*) from ledger.dead_letter")[0][0]
        world.farm.stop_program("compensate-1")
        sent = send_over_the_queue(world, queue, CODES[QUEUE], payment)
        # Refused, or on the ladder for the five seconds that an unknown payment is waited for: until the workers have taken all of them, they
        # stand in the queues as the app published them.
        farms.wait_for(lambda: world.queue_depth("acquit.authorize") == (0, 0) == world.queue_depth("acquit.refund"), 60, "workers that took all")
        assert not find(peek(world), needles(QUEUE), "a queue")
        world.farm.start_worker("compensate-1")
        await_all(world, sent, before)
        letters = [row[0] for row in world.sql("select id::text from ledger.dead_letter where message_id = any(%s)", [one[1] for one in sent])]
        shown = send_as_operator(world, operator, payment, letters[0])
        for arguments, _, text in shown:
            assert not find(text.encode(), needles(OPERATOR), str(arguments[:2]))
        world.farm.acquit("payment", "refund", payment, "--amount", "1", "--key", world.key(), "--reason", "a broken seat")
        world.wait_fact(payment, "notice:payment.refunded.1:webhook")  # it came after all of the operator's
        said = [one for one in heard() if one[2].user_id != "shop"]
    assert len(said) > 150
    wanted = needles(HTTP) + needles(QUEUE) + needles(OPERATOR)
    assert not (hits := look_everywhere(world, wanted, said)), f"{len(hits)} hits:\n" + "\n".join(hits)
    in_storage = find_in_files(storage(world)[0], needles(HTTP)) + find_in_files(storage(world)[1], wanted)
    assert not in_storage, "\n".join(in_storage)
    for kind, key, _ in sent:
        if kind == "payment.create" and world.facts(payment_id("shop", key)):
            world.expect(key, "shop")  # the number stood in what is ignored
    world.wait_ended()


# --- our own secrets ---

MAIL_PASSWORD = "mail-password-8c1f0e5d77"


@pytest.fixture
def with_a_mail_password(farm):
    """A mail server that wants a password; nobody listens there, no mail is sent."""
    settings, publishers = farm.settings, farm.publishers
    farm.secret("mail", lambda: MAIL_PASSWORD)
    mail = {"url": "smtps://127.0.0.1:1", "from": "shop@acquit.example", "user": "shop", "password_file": "secrets/mail"}
    farm.reconfigure(settings | {"mail": mail}, publishers, ["notify-1"])
    yield
    farm.reconfigure(settings, publishers, ["notify-1"])


def own_secrets(world):
    """{name: value} of all passwords and keys of the farm, its broker's and its database's."""
    found = {}
    for name in os.listdir(world.farm.path("secrets")):
        found[name] = world.farm.secret(name)
    with open(world.farm.path("secrets.json"), encoding="utf-8") as text:
        found |= {"services " + name: value for name, value in json.load(text).items()}
    assert {"stripe", "tokens", "webhook", "mail", "api-key-shop", "broker-acquit-worker", "pg-acquit_farm", "services pg", "services cookie"} <= set(found)
    return found


def holders(world):
    """The files whose purpose is to hold secrets."""
    return {world.farm.path("secrets"), world.farm.path("secrets.json"), world.farm.config, world.farm.path("env"), world.farm.path("rabbitmq", "etc"),
            world.farm.path("rabbitmq", ".erlang.cookie")}


def test_our_secrets_stand_nowhere_else(world, with_a_mail_password):
    """A client sends them where they do not belong, programs fail with them at hand, and an operator looks at everything."""
    secrets = own_secrets(world)
    done = []
    payment = world.pay(world.plain())
    dual = world.pay(world.dual(), "tickets")
    for secret in secrets.values():
        key = re.sub(r"[^!-~]", "", secret)
        for headers in ({"Authorization": "Bearer " + key}, {"Authorization": "Basic " + key}, {"Authorization": key}, {"Cookie": key},
                        {"X-Api-Key": key}, {"traceparent": key}, {"Prefer": key}, {"User-Agent": key}):
            done.append(farms.http("POST", world.farm.url + "/api/payments/process", {"unknown": key}, headers))
            done.append(farms.http("POST", world.farm.url + "/api/payments/process", {"amount": key, "currency": key, "flow": key},
                                   world.headers("shop") | headers))
        done.append(farms.http("GET", world.farm.url + f"/api/payments?api_key={key}&limit=1", headers=world.headers("shop")))
        done.append(farms.http("POST", world.farm.url + "/api/payments/process", b"{" + key.encode(), world.headers("shop")))
        # Wrong users and passwords at our neighbours: their logs are ours, too.
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", world.farm.services.amqp_port, "acquit",
                                                              pika.PlainCredentials("shop", key + "x"))).close()
    for user in ("acquit-worker", "acquit-keeper"):
        wrong = {"ACQUIT_BROKER_URL": world.farm.amqp_url(user).replace("/acquit", "/no-such-vhost")}
        done.append(vars(world.farm.acquit("topology", "check", environment=wrong, check=False)))
    wrong = {"ACQUIT_LEDGER_URL": world.farm.pg_url("acquit_farm").replace("/acquit", "/no_such_database")}
    done.append(vars(world.farm.acquit("payment", "list", environment=wrong, check=False)))
    for arguments in (["config", "show"], ["config", "check"], ["doctor"], ["config", "show", "--json"]):
        done.append(vars(world.farm.acquit(*arguments, check=False)))
    for name in (*world.farm.worker_names(), "ingress", "keeper"):
        world.farm.processes[name].send_signal(1)
    with world.farm.services.frozen("broker", "postgres"):
        farms.wait_for(lambda: farms.http("POST", world.farm.url + "/api/payments/process", world.plain(), world.headers("shop", world.key()))[0] == 503,
                       20, "a refusal")
    world.wait_ended()
    assert world.state(payment) == world.state(dual) == "completed"
    for name, secret in secrets.items():
        wanted = [secret.lower().encode(), secret.encode().hex().encode()]
        for one in done:
            told = json.dumps(str({key: value for key, value in one.items() if key != "args"} if isinstance(one, dict) else one[1:]))
            assert not find(told.encode(), wanted, f"what {name} was answered with")
        hits = look_everywhere(world, wanted, leave_out=holders(world))
        assert not hits, f"{name}: " + "\n".join(hits)
