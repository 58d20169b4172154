"""Broker and database restarted, killed, frozen and in alarm, programs told to end or to read their settings again: always under load.

Nothing accepted is lost: every confirmed publish and every 202 comes to an end, and the oracle judges the money of all of them.
"""

import contextlib
import json
import logging
import signal
import threading
import time

import pika
import psycopg2
import pytest

import farm as farms

PACE_S = 0.1  # between two payments of one thread: some forty a second in all
ANSWER_S = 2.0  # within this the ingress says that it cannot
RESUME_S = 90  # the longest back-off towards the broker is 30 s
PROGRAMS = ("ingress", "keeper")

logging.getLogger("pika").setLevel(logging.CRITICAL)  # a broker that is away is no news here


class Load:
    """Payments of both flows through both doors, one after the other, until it is told to stop. What is not accepted is sent again under its key,
    as an app does; what was accepted is never sent again."""

    def __init__(self, world):
        self.world = world
        self.stopping = threading.Event()
        self.accepted = {"http": 0, "queue": 0}
        self.refusals = []  # (seconds, status, answer, headers) of each HTTP request that was not accepted
        self.wrong = []
        doors = [(door, publisher) for door in (self.over_http, self.over_queue) for publisher in ("shop", "tickets")]
        self.threads = [threading.Thread(target=self.run, args=one, daemon=True) for one in doors]

    def run(self, door, publisher):
        try:
            door(publisher)
        except Exception as error:  # whatever it is, the test reports it
            self.wrong.append(f"{door.__name__} of {publisher}: {error!r}")

    def body(self, publisher, number):
        if publisher == "tickets":
            return self.world.dual(1000 + number, stock=f"load-{number}")
        return self.world.plain(1000 + number) if number % 2 else self.world.plain(1000 + number, token="tok_visa", gateway="simulated")

    def over_http(self, publisher):
        number = 0
        while not self.stopping.wait(PACE_S):
            number += 1
            key = self.world.key()
            while not self.post(self.body(publisher, number), publisher, key) and not self.stopping.wait(PACE_S):
                pass

    def post(self, body, publisher, key):
        began = time.monotonic()
        status, answer, headers = farms.http("POST", self.world.farm.url + "/api/payments/process", body, self.world.headers(publisher, key))
        if status in (200, 202):
            self.world.expect(key, publisher)
            self.accepted["http"] += 1
            return True
        self.refusals.append((time.monotonic() - began, status, answer, headers))
        return False

    def over_queue(self, publisher):
        """An app: publishes with confirms, connects again when that fails, and says the same command again until it is confirmed."""
        address = pika.URLParameters(self.world.farm.amqp_url(publisher) + "?heartbeat=4&blocked_connection_timeout=3&socket_timeout=2")
        left, number = None, 0
        while not self.stopping.is_set():
            with contextlib.suppress(pika.exceptions.AMQPError, OSError):
                connection = pika.BlockingConnection(address)
                channel = connection.channel()
                channel.confirm_delivery()
                while not self.stopping.wait(PACE_S):
                    number += left is None
                    left = left or (self.world.key(), json.dumps(self.body(publisher, number)).encode())
                    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=left[0], user_id=publisher)
                    channel.basic_publish("acquit.in", "payment.create", left[1], properties, mandatory=True)
                    self.world.expect(left[0], publisher)
                    self.accepted["queue"] += 1
                    left = None
                connection.close()
            self.stopping.wait(PACE_S)

    def await_more(self, count, seconds=RESUME_S, doors=("http", "queue")):
        """Waits until so many further payments were accepted at each of these doors."""
        before = dict(self.accepted)

        def enough():
            assert not self.wrong, self.wrong
            return all(self.accepted[door] >= before[door] + count for door in doors)
        farms.wait_for(enough, seconds, f"{count} more accepted payments at {doors}; {self.accepted}, last refusal {self.refusals[-1:]}")

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.wrong and not any(thread.is_alive() for thread in self.threads), self.wrong


@pytest.fixture
def load(world):
    """Payments all the time, from before the test does what it does until after it; then all that was accepted must end, in the very same workers."""
    pids = {name: world.farm.pid(name) for name in (*world.farm.worker_names(), *PROGRAMS)}
    one = Load(world)
    for thread in one.threads:
        thread.start()
    one.await_more(10)
    yield one
    one.await_more(10)
    one.stop()
    world.wait_ended(seconds=RESUME_S)
    assert_no_bad_letters(world)
    now = {name: world.farm.pid(name) for name in pids}
    assert now == pids or getattr(one, "replaced", False), f"programs died: {pids} then, {now} now"
    for _, status, answer, headers in one.refusals:
        assert status == 503 and answer["error"] == "SERVICE_UNAVAILABLE", answer
        assert answer["retryAfter"] == int(headers["Retry-After"]) > 0, (answer, headers)


def assert_no_bad_letters(world):
    """An outage may use up attempts; it never makes facts contradict each other, nor kills a worker again and again."""
    reasons = {row[0] for row in world.sql("select reason from ledger.dead_letter where payment_id = any(%s::uuid[])", list(world.created))}
    assert reasons <= {"exhausted"}, reasons


@contextlib.contextmanager
def away(world, end):
    """Broker or database ended for the length of a with; afterwards both are back, and so is our own connection."""
    services = world.farm.services
    try:
        end(services)
        yield
    finally:
        services.start()
        with contextlib.suppress(psycopg2.Error):
            world.books.close()
        world.books = psycopg2.connect(services.pg_url)
        world.books.autocommit = True


def ask(world, method, path, body=None, key=None, seconds=15):
    """(seconds, status, answer, headers) of one request of the shop."""
    began = time.monotonic()
    status, answer, headers = farms.http(method, world.farm.url + path, body, world.headers("shop", key), seconds)
    return time.monotonic() - began, status, answer, headers


def assert_refused(world, within_s=ANSWER_S):
    """503, what to do, and when: at once or nearly so. A process is healthy that only waits for its neighbours."""
    for _ in range(3):
        took, status, answer, headers = ask(world, "POST", "/api/payments/process", world.plain(), world.key())
        assert status == 503 and took < within_s, (took, status, answer)
        assert answer["success"] is False and answer["error"] == answer["error_code"] == "SERVICE_UNAVAILABLE", answer
        assert isinstance(answer["retryAfter"], int) and headers["Retry-After"] == str(answer["retryAfter"]), (answer, headers)
    took, status, answer, _ = ask(world, "GET", "/health")
    assert status == 200 and took < 1, (took, answer)
    assert ask(world, "GET", "/health/detailed")[1] == 503


def waiting(world, queue):
    """(ready, unacknowledged) messages in it, as the broker itself counts them now. The number of consumers would not tell: a quorum queue counts one
    that cancelled for as long as it still holds a message."""
    listed = world.farm.services.rabbitmqctl("-q", "list_queues", "-p", "acquit", "name", "messages_ready", "messages_unacknowledged", "--no-table-headers")
    return next((int(row[1]), int(row[2])) for row in (line.split() for line in listed.splitlines()) if row[0] == queue)


def test_broker_restart(world, load):
    """The broker ends and comes back with its data. Meanwhile: 503 over HTTP, reading goes on; then everything resumes by itself."""
    known = next(iter(world.created))
    with away(world, lambda services: services.stop_broker()):
        assert_refused(world, within_s=1)
        assert ask(world, "GET", "/health/database")[1] == 200
        assert world.state(known) != "HTTP 503", "what stands in the ledger can be read without a broker"
        refused = len(load.refusals)
        farms.wait_for(lambda: len(load.refusals) > refused + 5, 20, "refusals")
    load.await_more(10)


@pytest.mark.parametrize("immediate", [False, True], ids=["fast", "immediate"])
def test_postgres_restart(world, load, immediate):
    """Workers stop consuming while the database is away, messages wait in the queues, and both resume by themselves."""
    known = next(iter(world.created))
    with away(world, lambda services: services.stop_postgres(immediate)):
        assert_refused(world, within_s=1)
        took, status, answer, headers = ask(world, "GET", f"/api/payments/{known}/status")
        assert status == 503 and took < 1 and headers["Retry-After"] == str(answer["retryAfter"]), (took, status, answer)
        _, status, answer, _ = ask(world, "POST", "/api/payments/process", world.plain())
        assert status == 202, "without a key there is nothing to look up"
        with world.lock:
            world.created[answer["data"]["paymentId"]] = "shop"
        farms.wait_for(lambda: waiting(world, "acquit.authorize")[0] >= 20, 30, "commands that nobody takes")
        assert waiting(world, "acquit.authorize")[1] < 64, "what was in hand, and no prefetched hundreds"
    load.await_more(10)
    farms.wait_for(lambda: waiting(world, "acquit.authorize")[0] == 0, RESUME_S, "a worker that consumes again")


def stop_both(services):
    services.stop_postgres(immediate=True)
    services.stop_broker()


def kill_both(services):
    """As if the power went, for the broker and the database with all their processes."""
    services.kill_postgres()
    services.kill_broker()


@pytest.mark.parametrize("end", [stop_both, kill_both])
def test_both_restart(world, load, end):
    with away(world, end):
        assert_refused(world, within_s=1)
    load.await_more(10)


@pytest.fixture
def impatient(world):
    """A broker that is silent for 10 s is taken for gone, so that a frozen one is noticed within the test."""
    farm, settings, publishers = world.farm, world.farm.settings, world.farm.publishers

    def restart(now):
        farm.reconfigure(now, publishers, farm.worker_names())
        for name, start in (("ingress", farm.start_ingress), ("keeper", farm.start_keeper)):
            farm.stop_program(name)
            start()
    restart(settings | {"broker": {"heartbeat_s": 5, "connect_timeout_ms": 5000}})
    yield
    restart(settings)


def watch(world, seconds):
    """Asks the ingress for all these seconds; (longest /health, longest refusal, statuses)."""
    until, health, refusal, statuses = time.monotonic() + seconds, 0.0, 0.0, set()
    while time.monotonic() < until:
        health = max(health, ask(world, "GET", "/health")[0])
        took, status, answer, _ = ask(world, "POST", "/api/payments/process", world.plain(), world.key())
        refusal = max(refusal, took)
        statuses.add(status)
        assert status == 503 and answer["retryAfter"] > 0, (status, answer)
    return health, refusal, statuses


def test_a_frozen_broker(world, impatient, load):
    """It takes connections and says nothing, for longer than two heartbeats: the ingress refuses in time, before and after it has given the
    connection up, and goes on when the broker does."""
    with world.farm.services.frozen("broker"):
        health, refusal, _ = watch(world, 22)
    print(f"frozen broker: /health within {health:.2f} s, refusals within {refusal:.2f} s")
    assert health < ANSWER_S and refusal < ANSWER_S
    load.await_more(10)


def test_a_frozen_database(world, load):
    with world.farm.services.frozen("postgres"):
        health, refusal, _ = watch(world, 12)
    print(f"frozen database: /health within {health:.2f} s, refusals within {refusal:.2f} s")
    assert health < ANSWER_S and refusal < ANSWER_S
    load.await_more(10)


@pytest.mark.parametrize("alarm", ["memory", "disk"])
def test_an_alarm_of_the_broker(world, load, alarm):
    """It takes nothing any more, from anybody: 503 at the ingress, and workers keep what they have in hand until they may publish again."""
    control = world.farm.services.rabbitmqctl
    raise_it, clear_it = {
        "memory": (("set_vm_memory_high_watermark", "0.0000001"), ("set_vm_memory_high_watermark", "absolute", "1GB")),
        "disk": (("set_disk_free_limit", "900000000000000"), ("set_disk_free_limit", "50MB")),
    }[alarm]
    try:
        control(*raise_it)
        began = len(load.refusals)
        farms.wait_for(lambda: len(load.refusals) > began + 3, 20, "refusals")
        assert_refused(world)
        print(f"{alarm} alarm: refusals within {max(one[0] for one in load.refusals[began:]):.2f} s")
    finally:
        control(*clear_it)
    load.await_more(10)


def test_sighup_under_load(world, load):
    """Every program reads its settings again and again, and drops nothing."""
    names = (*world.farm.worker_names(), *PROGRAMS)
    marks = {name: read_again(world, name) for name in names}
    for number in range(1, 11):
        for name in names:
            world.farm.processes[name].send_signal(signal.SIGHUP)
        farms.wait_for(lambda n=number: all(read_again(world, name) >= marks[name] + n for name in names), 20, f"settings read {number} times")
    load.await_more(10)
    assert not load.refusals


def read_again(world, name):
    return sum("settings read again" in line for line in open(world.farm.path("log", name + ".log"), encoding="utf-8", errors="replace"))


def test_sigterm_of_each_program_under_load(world, load):
    """Each worker type, then the keeper: drains, exits 0, and what it had queued goes on in the next one."""
    load.replaced = True
    for name in (*world.farm.worker_names(), "keeper"):
        assert world.farm.end_program(name) == 0, world.farm.log_tail(name)
        assert "drain took too long" not in world.farm.log_tail(name, 5)
        if name == "keeper":
            world.farm.start_keeper()
        else:
            world.farm.start_worker(name)
        load.await_more(3)


def test_sigterm_of_the_ingress_under_load(world):
    """Requests in hand are answered before it exits 0; who waited for an end got a 202 or the end."""
    answers = []
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, "stripe.authorize", "delay", delayMs=1000)
    waiter = threading.Thread(target=lambda: answers.append(ask(world, "POST", "/api/payments/process?wait_ms=9000", world.plain(), key)))
    waiter.start()
    farms.wait_for(lambda: world.requests(payment, "stripe.authorize"), 20, "the call")
    assert world.farm.end_program("ingress") == 0
    waiter.join(20)
    world.farm.start_ingress()
    assert [one[1] for one in answers] in ([200], [202]), answers
    world.wait_state(payment, "completed")
