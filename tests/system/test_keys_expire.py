"""test_keys_expire.py - a provider's key is worth what it is worth: past that nothing is sent again, it is only asked (L6)"""

import json
import os
import subprocess

import farm as farms
import pika
import pytest

LATER_S = 25 * 3600  # Stripe forgets a key after 24 hours


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """Environment of a program that lives 25 hours later."""
    library = tmp_path_factory.mktemp("clock") / "clock_ahead.so"
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clock_ahead.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), source], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_AHEAD_S": str(LATER_S), "ASAN_OPTIONS": "verify_asan_link_order=0"}


def let_it_die(world, worker, payment):
    """The next message of this payment in the stopped worker's queue is dead-lettered, as after its twentieth delivery."""
    queue = "acquit." + worker.rsplit("-", 1)[0]
    connection = pika.BlockingConnection(pika.URLParameters(world.farm.services.amqp_url))
    channel = connection.channel()

    def taken():
        got, _, content = channel.basic_get(queue)
        if got and json.loads(content).get("paymentId") == payment:
            channel.basic_nack(got.delivery_tag, requeue=False)
            return True
        return False
    farms.wait_for(taken, 20, f"a message of {payment} in {queue}")
    connection.close()
    return world.wait_dead_letter(payment)


def sent(world, payment, at):
    return len(world.requests(payment, at))


@pytest.mark.parametrize("at, fault, worker, end", [
    ("stripe.capture", "close_after", "authorize-1", "completed"),
    ("stripe.capture", "close_before", "authorize-1", "failed"),
    ("stripe.refund", "close_after", "refund-1", "partially_refunded"),
    ("stripe.refund", "close_before", "refund-1", None),
])
def test_a_dead_letter_replayed_25_hours_later_only_asks(world, later, at, fault, worker, end):
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, at, fault, times=-1)
    world.pay(world.plain(3100), key=key)
    if worker == "refund-1":
        world.wait_state(payment, "completed")
        world.publish([("payment.refund", world.key(), {"paymentId": payment, "amount": 1100})])
    world.wait_fact(payment, ("capture" if worker == "authorize-1" else "refund:1") + ":doubt:0")
    world.farm.stop_program(worker)
    letter = let_it_die(world, worker, payment)
    assert letter["state"] == "held" and world.has(payment, "capture") == (worker == "refund-1")
    before = sent(world, payment, at)
    assert before >= 1
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    farms.http("POST", world.farm.twins_url + "/_twin/clock", {"advanceSeconds": LATER_S})
    try:
        world.farm.start_worker(worker, later)
        world.farm.acquit("dlq", "replay", letter["id"], "--reason", "a day later")
        if end:
            world.wait_state(payment, end)
        else:
            world.wait_fact(payment, "refund:1:doubt:2")
            assert "refund:1:result" not in world.facts(payment), "a refund is never concluded absent: a case for a person"
            words = ("payment", "resolve", payment, "refund:1", "--as", "refused", "--reason", "their statement lacks it", "--evidence", "statement")
            assert world.farm.acquit(*words, check=False).returncode == 75, "to our own clock its key is still good"
            told = json.loads(world.farm.acquit(*words, "--json", environment=later))
            assert (told["result"], told["outcome"]) == ("recorded", "refused")
        assert sent(world, payment, at) == before, "nothing is sent again"
    finally:
        world.farm.stop_program(worker)
        world.farm.start_worker(worker)
