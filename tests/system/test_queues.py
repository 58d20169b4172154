"""test_queues.py - queues/ against a broker of its own, which is closed, frozen, killed and put into alarm

broker_probe.c holds the connections and judges what it sees; here stands what is done to the broker meanwhile. It has its
own broker under $ACQUIT_TEST_DIR/queues, because the farm of the other tests would not survive this.
"""

import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "farm"))

from services import Services, send_signal, start_time  # noqa: E402  (found through the line above)

CASE_SECONDS = 120
WORK_QUEUES = ["authorize", "pop-validate", "token-activate", "refund", "notify", "compensate"]


class Broker(Services):
    """A broker without a database."""

    def _start_postgres(self):
        pass

    @property
    def environment(self):
        mgmt = self.mgmt_url.replace("//", f"//{self.amqp_user}:{self.amqp_password}@")
        return dict(os.environ, ACQUIT_AMQP_URL=self.amqp_url, ACQUIT_MGMT_URL=mgmt)

    def probe(self, *arguments, **more):
        """The probe's exit code and what it said on standard output."""
        program = os.path.join(ROOT, os.environ.get("ACQUIT_TEST_BUILD", "build"), "system", "broker_probe")
        done = subprocess.run([program, *arguments], env=self.environment | more, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              text=True, timeout=CASE_SECONDS, check=False)
        return done.returncode, done.stdout

    def case(self, name, url=None, **helps):
        """Runs a case; `helps` are what it may ask for, by the words of its line."""
        environment = self.environment | ({"ACQUIT_AMQP_URL": url} if url else {})
        program = os.path.join(ROOT, os.environ.get("ACQUIT_TEST_BUILD", "build"), "system", "broker_probe")
        with subprocess.Popen([program, name], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
            said = []
            for line in probe.stdout:
                said.append(line.rstrip())
                print(line, end="")
                if help_ := helps.get(line.strip().replace(" ", "_")):
                    help_()
                    probe.stdin.write("done\n")
                    probe.stdin.flush()
            assert probe.wait(CASE_SECONDS) == 0, said
        assert said[-1] == "ok"

    def through(self, proxy, host="127.0.0.1", scheme="amqp", query=""):
        return f"{scheme}://{self.amqp_user}:{self.amqp_password}@{host}:{proxy.port}/{self.amqp_vhost}{query}"

    def check(self):
        code, said = self.probe("check")
        assert code == 0, said
        return json.loads(said)

    def until(self, differences, seconds=30):
        """Waits for what the broker lists late (policies of queues); returns the last answer."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.check()
            if differences(found) or time.monotonic() > deadline:
                return found
            time.sleep(0.2)


@pytest.fixture(scope="module")
def broker():
    directory = os.environ.get("ACQUIT_TEST_DIR", os.path.join(ROOT, "var", "test"))
    one = Broker(os.path.join(directory, "queues"))
    one.start()
    code, said = one.probe("apply")
    assert code == 0, said
    yield one
    one.stop()


class Proxy:
    """A TCP (or TLS) relay to the broker that hands the broker's bytes on in pieces of at most `piece` bytes."""

    def __init__(self, target, context=None, piece=65536):
        self.target, self.context, self.piece = target, context, piece
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = threading.Thread(target=self.relay, args=(client, server, 65536), daemon=True)
        other.start()
        self.relay(server, client, self.piece)
        other.join()
        client.close()
        server.close()

    @staticmethod
    def relay(source, target, piece):
        try:
            while data := source.recv(65536):
                while data:
                    n = random.randint(1, piece) if piece < 65536 else piece
                    target.sendall(data[:n])
                    data = data[n:]
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


# -- the topology -------------------------------------------------------------------------------------------------------

def test_topology_can_be_applied_again_and_is_what_the_check_expects(broker):
    assert broker.probe("apply") == (0, "")
    assert broker.check() == []


def test_topology_of_other_arguments_is_a_conflict_that_names_the_queue(broker):
    broker.mgmt("DELETE", "/api/queues/acquit/acquit.dead.refund")
    broker.mgmt("PUT", "/api/queues/acquit/acquit.dead.refund", {"durable": True, "arguments": {"x-queue-type": "classic"}})
    code, said = broker.probe("apply")
    assert code == 1 and said.startswith("conflict: queue acquit.dead.refund exists with other arguments"), said
    found = {(d["object"], d["field"]) for d in broker.check()}
    assert {("queue acquit.dead.refund", "queue-type"), ("queue acquit.dead.refund", "overflow")} <= found
    broker.mgmt("DELETE", "/api/queues/acquit/acquit.dead.refund")
    missing = broker.check()
    assert [d["field"] for d in missing] == ["exists", "acquit.dlx -> queue acquit.dead.refund with key 'acquit.refund'"]
    assert all("topology apply" in d["remedy"] for d in missing)
    assert broker.probe("apply") == (0, "")
    assert broker.check() == []


def test_check_sees_policies_that_do_harm(broker):
    """All at once, because the API lists a change only after several seconds. What changes nothing is left alone."""
    def put(kind, name, pattern, **definition):
        definition = {key.replace("_", "-"): value for key, value in definition.items()}
        broker.mgmt("PUT", f"/api/{kind}/acquit/{name}", {"pattern": pattern, "apply-to": "queues", "definition": definition})
    put("policies", "stray", "^acquit\\.authorize$", overflow="drop-head", delivery_limit=3)
    put("policies", "lengthy", "^acquit\\.wait\\.1s$", message_ttl=5000, max_length=10, dead_letter_exchange="other")
    put("policies", "harmless", "^acquit\\.notify$", overflow="reject-publish", delivery_limit=50)
    put("operator-policies", "operator", "^acquit\\.(refund|notify)$", expires=3600000)
    expected = {
        ("queue acquit.authorize", "overflow", "drop-head", "stray"),
        ("queue acquit.authorize", "delivery-limit", 3, "stray"),
        ("queue acquit.wait.1s", "max-length", 10, "lengthy"),
        ("queue acquit.refund", "expires", 3600000, "operator"),
        ("queue acquit.notify", "expires", 3600000, "harmless"),    # both set something; the user's is named first
    }
    found = broker.until(lambda d: len(d) == len(expected))
    named = re.compile("policy '(.*)'")
    assert {(d["object"], d["field"], d["found"], named.search(d["remedy"])[1]) for d in found} == expected
    for kind, name in [("policies", "stray"), ("policies", "lengthy"), ("policies", "harmless"), ("operator-policies", "operator")]:
        broker.mgmt("DELETE", f"/api/{kind}/acquit/{name}")
    assert broker.until(lambda d: not d) == []


def test_check_sees_missing_and_further_bindings(broker):
    bindings = "/api/bindings/acquit/e/acquit.cmd/q/acquit.refund"
    broker.mgmt("DELETE", f"{bindings}/payment.refund")
    broker.mgmt("POST", "/api/bindings/acquit/e/acquit.dlx/q/acquit.dead.notify", {"routing_key": "acquit.authorize"})
    broker.mgmt("POST", "/api/bindings/acquit/e/acquit.in/e/acquit.cmd", {"routing_key": "token.#"})
    broker.mgmt("PUT", "/api/queues/acquit/tap", {"durable": True})
    broker.mgmt("POST", "/api/bindings/acquit/e/acquit.evt/q/tap", {"routing_key": "#"})     # events are for anybody
    broker.mgmt("POST", "/api/bindings/acquit/e/acquit.cmd/q/tap", {"routing_key": "#"})
    assert {d["field"]: d["found"] for d in broker.check()} == {
        "acquit.cmd -> queue acquit.refund with key 'payment.refund'": False,
        "acquit.dlx -> queue acquit.dead.notify with key 'acquit.authorize'": True,
        "acquit.in -> exchange acquit.cmd with key 'token.#'": True,
        "acquit.cmd -> queue tap with key '#'": True,
    }
    broker.mgmt("DELETE", "/api/queues/acquit/tap")
    broker.mgmt("DELETE", "/api/bindings/acquit/e/acquit.dlx/q/acquit.dead.notify/acquit.authorize")
    broker.mgmt("DELETE", "/api/bindings/acquit/e/acquit.in/e/acquit.cmd/" + urllib.parse.quote("token.#", safe=""))
    assert broker.probe("apply") == (0, "")
    assert broker.check() == []


def test_check_sees_an_exchange_without_its_alternate(broker):
    broker.mgmt("DELETE", "/api/exchanges/acquit/acquit.in")
    broker.mgmt("PUT", "/api/exchanges/acquit/acquit.in", {"type": "topic", "durable": True})
    assert ("exchange acquit.in", "alternate-exchange") in {(d["object"], d["field"]) for d in broker.check()}
    code, said = broker.probe("apply")
    assert code == 1 and "exchange acquit.in exists with other arguments" in said
    broker.mgmt("DELETE", "/api/exchanges/acquit/acquit.in")
    assert broker.probe("apply") == (0, "")
    assert broker.check() == []


def test_what_cannot_be_reached_or_is_refused_says_so_without_the_password(broker):
    code, said = broker.probe("check", ACQUIT_MGMT_URL="http://u:secret@127.0.0.1:9")
    assert code == 1 and said.startswith("try again: management API") and "secret" not in said
    code, said = broker.probe("check", ACQUIT_MGMT_URL=broker.environment["ACQUIT_MGMT_URL"].replace(broker.amqp_password, "secret"))
    assert code == 1 and said.startswith("denied: management API") and "secret" not in said
    code, said = broker.probe("apply", ACQUIT_AMQP_URL=broker.amqp_url.replace(broker.amqp_password, "secret"))
    assert code == 1 and said.startswith("denied: broker 127.0.0.1") and "ACCESS_REFUSED" in said and "secret" not in said
    code, said = broker.probe("apply", ACQUIT_AMQP_URL=broker.amqp_url + "_other")
    assert code == 1 and said.startswith("denied: broker 127.0.0.1") and "acquit_other" in said
    code, said = broker.probe("apply", ACQUIT_AMQP_URL="amqp://u:secret@127.0.0.1:9")
    assert code == 1 and said.startswith("try again: broker 127.0.0.1:9: cannot connect") and "secret" not in said


# -- users --------------------------------------------------------------------------------------------------------------

def may(broker, user, exchange, key, **properties):
    """Does the broker take this message from this user?"""
    import pika
    url = f"amqp://{user}:pw@127.0.0.1:{broker.amqp_port}/acquit"
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish(exchange, key, b"{}", pika.BasicProperties(**properties))
        return True
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code in (403, 406), error
        return False
    finally:
        connection.close()


def may_read(broker, user, queue):
    import pika
    connection = pika.BlockingConnection(pika.URLParameters(f"amqp://{user}:pw@127.0.0.1:{broker.amqp_port}/acquit"))
    channel = connection.channel()
    try:
        channel.basic_get(queue)
        return True
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 403, error
        return False
    finally:
        connection.close()


def test_users_may_do_what_their_role_says_and_nothing_else(broker):
    users = ["acquit-worker:worker:pw", "acquit-ingress:ingress:pw", "acquit-keeper:keeper:pw", "acquit-operator:operator:pw",
             "shop.1:app:pw", "shopx1:app:pw"]
    assert broker.probe("users", *users) == (0, "")
    assert broker.probe("users", *(u.replace(":pw", ":") for u in users)) == (0, "")    # again, and each keeps his password
    for app in ("shop.1", "shopx1"):
        broker.mgmt("PUT", f"/api/queues/acquit/app.{app}.replies", {"durable": True})
    public, internal = ["payment.create", "payment.cancel", "payment.refund"], ["token.activate", "payment.create.x", "payment"]
    for app in ("shop.1", "acquit-ingress"):
        assert all(may(broker, app, "acquit.in", key) for key in public)
        assert not any(may(broker, app, "acquit.in", key) for key in internal)
        assert not any(may(broker, app, exchange, "payment.create") for exchange in ("acquit.cmd", "acquit.dlx", "acquit.wait.1s", ""))
        assert not may_read(broker, app, "acquit.authorize")
    assert may(broker, "shop.1", "acquit.in", "payment.create", user_id="shop.1")
    assert not may(broker, "shop.1", "acquit.in", "payment.create", user_id="shopx1")       # forged
    assert may(broker, "acquit-ingress", "acquit.in", "payment.create", user_id="shop.1")   # impersonator
    assert may_read(broker, "shop.1", "app.shop.1.replies") and not may_read(broker, "shop.1", "app.shopx1.replies")
    for exchange in ("acquit.cmd", "acquit.evt", "acquit.dlx", "acquit.wait.200ms"):
        assert may(broker, "acquit-worker", exchange, "payment.create")
    assert not may(broker, "acquit-worker", "acquit.in", "payment.create")
    assert all(may_read(broker, "acquit-worker", queue) for queue in ("acquit.authorize", "acquit.dead.refund", "acquit.unroutable"))
    for user in ("acquit-keeper", "acquit-operator"):
        assert may(broker, user, "acquit.cmd", "payment.look")
        assert not any(may(broker, user, exchange, "x") for exchange in ("acquit.in", "acquit.dlx"))
        assert not may_read(broker, user, "acquit.authorize")
    assert may(broker, "acquit-keeper", "acquit.evt", "ledger.sealed") and not may(broker, "acquit-operator", "acquit.evt", "ledger.sealed")
    assert may(broker, "acquit-ingress", "acquit.in", "pop.confirm") and not may(broker, "shop.1", "acquit.in", "pop.confirm")
    for app in ("shop.1", "shopx1"):
        broker.mgmt("DELETE", f"/api/queues/acquit/app.{app}.replies")
    for queue in [f"acquit.{name}" for name in WORK_QUEUES] + ["acquit.unroutable"]:
        broker.mgmt("DELETE", f"/api/queues/acquit/{queue}/contents")


def test_a_user_without_a_password_must_exist(broker):
    code, said = broker.probe("users", "nobody:worker:")
    assert code == 1 and said.startswith("not found: broker user nobody"), said
    code, said = broker.probe("users", "a|b:app:pw")
    assert code == 1 and said.startswith("invalid input"), said


def test_a_vhost_that_is_missing_is_made(broker):
    broker.mgmt("DELETE", "/api/vhosts/acquit")
    code, said = broker.probe("check")
    assert code == 1 and said.startswith("not found"), said
    assert broker.probe("users", "acquit-worker:worker:pw") == (0, "")
    broker.mgmt("PUT", f"/api/permissions/acquit/{broker.amqp_user}", {"configure": ".*", "write": ".*", "read": ".*"})
    assert broker.probe("apply") == (0, "")
    assert broker.check() == []


# -- publishing and consuming -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["publish", "acks", "requeue", "returned", "wait", "large", "pause", "refused", "speed"])
def test_case(broker, name):
    broker.case(name)


@pytest.fixture
def generous(broker):
    """A broker as it comes: it takes bodies of 128 MiB."""
    limit = "application:set_env(rabbit, max_message_size, {})."
    broker.rabbitmqctl("eval", limit.format(128 << 20))
    yield broker
    broker.rabbitmqctl("eval", limit.format(1 << 20))


def messages(broker):
    """What all queues hold, counted by themselves."""
    said = broker.rabbitmqctl("list_queues", "-p", "acquit", "messages", "--quiet", "--no-table-headers")
    return sum(int(count) for count in said.split())


def test_a_broker_that_takes_everything_is_found_and_a_worker_keeps_a_bounded_part(generous):
    """L12: by an administrator and by the operator's own user; asking leaves no message anywhere."""
    generous.probe("users", "acquit-operator:operator:secret")
    url = f"amqp://acquit-operator:secret@127.0.0.1:{generous.amqp_port}/acquit"
    held = messages(generous)
    for asked in (generous.amqp_url, url):
        code, said = generous.probe("check", ACQUIT_AMQP_URL=asked)
        (difference,) = json.loads(said)
        assert (code, difference["object"], difference["field"], difference["expected"]) == (0, "broker", "max_message_size", 1 << 20), said
        assert "max_message_size = 1048576" in difference["remedy"]
    assert messages(generous) == held
    generous.case("cut")


def test_hostile_headers_are_read_and_harm_nobody(broker):
    import pika

    def publish():
        connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
        channel = connection.channel()
        channel.confirm_delivery()
        deep = []
        for _ in range(5000):       # the broker itself takes two seconds for 20000
            deep = [deep]
        for message_id, exchange, headers in [("deep", "acquit.cmd", {"deep": deep}),
                                              ("many", "acquit.cmd", {f"k{i}": i for i in range(8000)}),
                                              ("large", "acquit.wait.200ms", {"large": "x" * (131072 - 100)})]:
            channel.basic_publish(exchange, "notify.send", b"{}", pika.BasicProperties(headers=headers, message_id=message_id))
        connection.close()

    def with_room():
        sys.setrecursionlimit(100000)       # pika encodes tables recursively
        threading.stack_size(512 << 20)
        thread = threading.Thread(target=publish)
        thread.start()
        thread.join()
        threading.stack_size(0)
        sys.setrecursionlimit(1000)
    broker.case("hostile", publish_hostile=with_room)


def test_frames_that_come_in_pieces(broker):
    proxy = Proxy(broker.amqp_port, piece=7)
    for name in ("acks", "returned", "pause"):
        broker.case(name, url=broker.through(proxy))
    proxy.close()


def certificate(directory, name, host):
    """A self-signed certificate for `host`; (certificate file, key file)."""
    files = [os.path.join(directory, f"{name}.{end}") for end in ("pem", "key")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-out", files[0], "-keyout", files[1]],
                   check=True, stderr=subprocess.DEVNULL)
    return files


def test_tls(broker, tmp_path):
    good, good_key = certificate(tmp_path, "good", "localhost")
    other, other_key = certificate(tmp_path, "other", "elsewhere.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(good, good_key)
    proxy = Proxy(broker.amqp_port, context)
    for name in ("publish", "large", "refused"):
        broker.case(name, url=broker.through(proxy, "localhost", "amqps", f"?cacertfile={good}"))

    def refused(context, host, query):
        proxy = Proxy(broker.amqp_port, context)
        code, said = broker.probe("apply", ACQUIT_AMQP_URL=broker.through(proxy, host, "amqps", query))
        proxy.close()
        return code == 1 and said.startswith("try again: broker "), said
    assert refused(context, "localhost", "")[0]                             # a certificate of nobody we know
    assert refused(context, "localhost", f"?cacertfile={other}")[0]
    wrong = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    wrong.load_cert_chain(other, other_key)
    assert refused(wrong, "localhost", f"?cacertfile={other}")[0]           # another host's certificate
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(good, good_key)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    assert refused(old, "localhost", f"?cacertfile={good}")[0]
    code, said = broker.probe("apply", ACQUIT_AMQP_URL=broker.through(proxy, "localhost", "amqps", "?cacertfile=/nowhere"))
    assert code == 1 and "cannot read the certificate authorities in /nowhere" in said
    proxy.close()


def test_connections_that_an_operator_closes_come_back(broker):
    def close():
        names = []
        deadline = time.monotonic() + 15
        while len(names) < 2 and time.monotonic() < deadline:   # the API lists connections late
            names = [c["name"] for c in broker.mgmt("GET", "/api/connections")
                     if c.get("client_properties", {}).get("connection_name", "").startswith("broker_probe")]
            time.sleep(0.1)
        assert len(names) == 2
        for name in names:
            broker.mgmt("DELETE", "/api/connections/" + urllib.parse.quote(name, safe=""))
    broker.case("kill", close_connections=close)


def test_what_a_killed_broker_confirmed_is_there_when_it_is_back(broker):
    broker.case("crash", kill_broker=broker.kill_broker, start_broker=broker.start_broker)


def test_a_frozen_broker_holds_up_nobody(broker):
    pid = broker.broker_pid
    started = start_time(pid)
    try:
        broker.case("freeze", freeze_broker=lambda: send_signal(pid, started, signal.SIGSTOP),
                    thaw_broker=lambda: send_signal(pid, started, signal.SIGCONT))
    finally:
        send_signal(pid, started, signal.SIGCONT)


def test_a_memory_alarm_blocks_publishers_only(broker):
    def level(value):
        return lambda: broker.rabbitmqctl("set_vm_memory_high_watermark", *value)
    try:
        broker.case("alarm", raise_alarm=level(["0.0000001"]), clear_alarm=level(["absolute", "1GB"]))
    finally:
        level(["absolute", "1GB"])()


def test_a_deleted_queue_is_noticed(broker):
    broker.case("deleted", delete_queue=lambda: broker.mgmt("DELETE", "/api/queues/acquit/acquit.notify"))
