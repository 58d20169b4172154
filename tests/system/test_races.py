"""Five hundred times each: a cancel, and a deadline, that races the capture. One decision, and the money follows it."""

import collections
import json
import random
import time

import pika
import pytest

ROUNDS, ROUND = 10, 50
LEAST = 50  # races that either side has to win


@pytest.fixture
def three_of_each(farm):
    """Three instances of the workers that write decisions: the race is run in the database, too."""
    more = [f"{name}-{n}" for name in ("authorize", "compensate") for n in (2, 3)]
    for name in more:
        farm.start_worker(name)
    yield
    for name in more:
        farm.stop_program(name)


def publish_at(world, timetable):
    """Publishes each (seconds from now, type, message id, body) at its moment, over one channel."""
    began = time.monotonic()
    with world.channel("shop") as channel:
        for moment, kind, message_id, body in sorted(timetable, key=lambda row: row[0]):
            while time.monotonic() - began < moment:
                channel.connection.process_data_events(max(0, moment - (time.monotonic() - began)))
            properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=message_id, user_id="shop")
            channel.basic_publish("acquit.in", kind, json.dumps(body).encode(), properties, mandatory=True)


def won(world, payments):
    """{payment: "commit:1" or "abort"}; every payment has ended as its one decision says, and its provider heard of nothing else."""
    world.wait_ended(payments)
    decided = dict(world.sql("select payment_id::text, outcome from ledger.event where slot = 'decision' and payment_id = any(%s::uuid[])",
                             payments))
    called = {at: {request["paymentId"] for request in world.twin(f"/_twin/requests?at={at}&limit=10000")}
              for at in ("stripe.capture", "stripe.cancel")}
    for payment in payments:
        committed = decided[payment] == "commit:1"
        assert (payment in called["stripe.capture"]) == committed, world.facts(payment)
        assert not (committed and payment in called["stripe.cancel"]), world.facts(payment)
        assert (world.state(payment) == "completed") == committed, (world.state(payment), world.facts(payment))
    return decided


def tune(moment, decided, step):
    """The moment for the next round: nearer to where both win equally often. `step` is the factor that gives the capture more time."""
    commits = sum(outcome == "commit:1" for outcome in decided.values())
    return moment / step if commits > 0.6 * len(decided) else moment * step if commits < 0.4 * len(decided) else moment


def both_won(outcomes):
    wins = collections.Counter(outcomes.values())
    assert wins.keys() == {"commit:1", "abort"} and wins.total() == ROUNDS * ROUND and min(wins.values()) >= LEAST, wins


def test_cancel_races_capture(world, three_of_each):
    """A payment every 10 ms, each cancelled at some moment of its life, which is as long as those before have shown."""
    outcomes, life = {}, 0.030
    for _ in range(ROUNDS):
        timetable, payments = [], []
        for n in range(ROUND):
            key = world.key()
            payments.append(world.expect(key, "shop"))
            timetable.append((0.010 * n, "payment.create", key, world.plain(1000 + n)))
            timetable.append((0.010 * n + random.uniform(0, 2 * life), "payment.cancel", world.key(), {"paymentId": payments[-1]}))
        publish_at(world, timetable)
        decided = won(world, payments)
        assert all(world.state(payment) == "cancelled" for payment in payments if decided[payment] == "abort")
        outcomes |= decided
        life = tune(life, decided, 1.25)
    both_won(outcomes)


def test_deadline_races_capture(world, three_of_each):
    """The authorization takes about as long as the payment may: the keeper's payment.expire and the capture come at the same moment."""
    outcomes, moment = {}, 1.0
    for _ in range(ROUNDS):
        timetable, payments = [], []
        for n in range(ROUND):
            key = world.key()
            payments.append(world.expect(key, "shop"))
            world.fault(payments[-1], "stripe.authorize", "delay", delayMs=round(1000 * moment * random.uniform(0.9, 1.1)))
            timetable.append((0, "payment.create", key, world.plain(1000 + n, expiresInMs=1000)))
        publish_at(world, timetable)
        decided = won(world, payments)
        assert all(world.status(payment)["reason"] == "EXPIRED" for payment in payments if decided[payment] == "abort")
        outcomes |= decided
        moment = tune(moment, decided, 1 / 1.05)
    both_won(outcomes)
