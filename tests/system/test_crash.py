"""kill -9 at every point where a law could break; slow providers; draining under load."""

import signal
import time

import pytest

import farm as farms

POINTS = ["after-delivery", "after-intents", "before-call", "after-answer", "after-results", "after-publish", "before-ack"]


def killed(world, name, point, nth=1):
    """The worker `name` runs with this fault armed; it dies at the nth pass of the point."""
    world.farm.stop_program(name)
    return world.farm.start_worker(name, {"ACQUIT_FAULT": f"{point}=kill:{nth}"})


def await_death(world, name, process):
    farms.wait_for(lambda: process.poll() is not None, 20, f"the death of {name}")
    assert process.returncode == -signal.SIGKILL
    world.farm.start_worker(name)


def one_key_per_operation(world, payment):
    """The twin's request log never shows a second key for one operation (L5)."""
    for at in ("stripe.authorize", "stripe.capture", "stripe.cancel"):
        keys = {request["idempotencyKey"] for request in world.requests(payment, at)}
        assert len(keys) <= 1, f"{at}: {keys}"


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_authorize_killed(world, point, nth):
    """The authorize worker of a dual payment dies at each point, in the authorization and in the capture."""
    process = killed(world, "authorize-1", point, nth)
    payment = world.pay(world.dual(), "tickets")
    await_death(world, "authorize-1", process)
    world.wait_state(payment, "completed", seconds=40)
    one_key_per_operation(world, payment)


@pytest.mark.parametrize("name", ["pop-validate-1", "token-activate-1", "refund-1", "notify-1"])
@pytest.mark.parametrize("point", ["after-answer", "after-results", "before-ack"])
def test_others_killed(world, name, point):
    process = killed(world, name, point)
    payment = world.pay(world.dual(), "tickets")
    if name == "refund-1":
        world.wait_state(payment, "completed")
        world.publish([("payment.refund", world.key(), {"paymentId": payment})], "tickets")
    await_death(world, name, process)
    world.wait_state(payment, "refunded" if name == "refund-1" else "completed", seconds=40)
    world.wait_fact(payment, "notice:payment.completed:webhook")
    refunds = {request["idempotencyKey"] for request in world.requests(payment, "stripe.refund")}
    assert len(refunds) == (1 if name == "refund-1" else 0)


@pytest.mark.parametrize("fault", ["close_before", "close_after", "answer_500_after", "garbage"])
@pytest.mark.parametrize("at", ["stripe.authorize", "stripe.capture", "stripe.cancel", "stripe.refund"])
def test_unknown_answers_are_resolved_with_the_same_provider(world, at, fault):
    """L6: unknown is not failure; the provider is asked, the key stays the same."""
    key = world.key()
    publisher = "tickets" if at == "stripe.cancel" else "shop"
    payment = world.expect(key, publisher)
    # Twice: libcurl repeats a request by itself when a kept connection is closed before the first byte of an answer.
    world.fault(payment, at, fault, times=2 if fault.startswith("close") else 1)
    if at == "stripe.cancel":
        for n in (1, 2):
            world.fault(payment, "validator.validate", "decline", validator=n)
            world.fault(payment, "validator.validate", "delay", delayMs=300, validator=n)
        world.pay(world.dual(), "tickets", key)
        world.wait_state(payment, "failed", seconds=40)
    else:
        world.pay(world.plain(640), key=key)
        world.wait_state(payment, "completed", seconds=40)
    if at == "stripe.refund":
        world.publish([("payment.refund", world.key(), {"paymentId": payment})])
        world.wait_state(payment, "refunded", seconds=40)
    one_key_per_operation(world, payment)


@pytest.mark.parametrize("at,end", [("stripe.authorize", "failed"), ("stripe.capture", "failed"), ("stripe.cancel", "failed")])
def test_a_kept_500_spends_the_key_and_ends_without_a_charge(world, at, end):
    """Stripe repeats a 500 under its key for a day: the intent is only asked about from then on, and found absent (ADR 9)."""
    key = world.key()
    publisher = "tickets" if at == "stripe.cancel" else "shop"
    payment = world.expect(key, publisher)
    world.fault(payment, at, "answer_500_before")
    if at == "stripe.cancel":
        for n in (1, 2):
            world.fault(payment, "validator.validate", "decline", validator=n)
            world.fault(payment, "validator.validate", "delay", delayMs=300, validator=n)
    world.pay(world.dual() if at == "stripe.cancel" else world.plain(), publisher, key)
    world.wait_state(payment, end, seconds=40)
    assert world.ledger_net(payment) == (0, 0)


def test_a_refund_in_doubt_is_never_concluded_absent(world):
    """L6: under a spent key it stays in doubt, for a person; the payment is told as paid, which it is."""
    payment = world.pay(world.plain(640))
    world.wait_state(payment, "completed")
    world.fault(payment, "stripe.refund", "answer_500_before")
    world.publish([("payment.refund", world.key(), {"paymentId": payment})])
    world.wait_fact(payment, "refund:1:doubt:4", seconds=40)
    assert "refund:1:result" not in world.facts(payment) and world.state(payment) == "completed"


@pytest.fixture
def patient(world):
    """The authorize worker waits 15 s for an answer, as it would by default for 10."""
    settings, publishers = world.farm.settings, world.farm.publishers
    patience = {"provider": {"timeout_ms": 15000, "visibility_horizon_ms": 200, "send_window_ms": 30000}}
    world.farm.reconfigure(settings | patience, publishers, ["authorize-1"])
    yield world
    world.farm.reconfigure(settings, publishers, ["authorize-1"])


def test_a_stalled_provider_delays_nobody_else(patient):
    """One payment's provider is silent for 10 s; payments of the same worker take no longer than before (50 ms)."""
    world = patient

    def took():
        began = time.monotonic()
        payment = world.pay(world.plain(token="tok_visa", gateway="simulated"), wait_ms=9000)
        elapsed = time.monotonic() - began
        assert world.state(payment) == "completed"
        return elapsed
    took()
    before = sorted(took() for _ in range(40))
    key = world.key()
    stalled = world.expect(key, "shop")
    world.fault(stalled, "stripe.authorize", "delay", delayMs=10000)
    during = []
    world.pay(world.plain(), key=key)
    farms.wait_for(lambda: world.requests(stalled, "stripe.authorize"), 20, "the stalled request")
    began = time.monotonic()
    while not world.has(stalled, "auth:1:result"):
        during.append(took())
    assert time.monotonic() - began > 8 and len(during) > 40
    world.wait_state(stalled, "completed")
    during.sort()
    for share in (0.5, 0.9):
        assert during[int(len(during) * share)] < before[int(len(before) * share)] + 0.050, (share, before, during)


def test_drain_under_load(world):
    """SIGTERM while calls are under way and more is queued: the worker ends by itself, nothing is lost, nothing done twice."""
    world.fault("*", "stripe.authorize", "delay", delayMs=500, times=-1)

    def calls_under_way():
        return world.sql("select count(*) from ledger.event i where slot = 'auth:1' and payment_id = any(%s::uuid[]) and not exists (select 1"
                         " from ledger.event r where r.payment_id = i.payment_id and r.slot = 'auth:1:result')", list(world.created))[0][0]
    for _ in range(3):
        commands = []
        for n in range(50):
            key = world.key()
            world.expect(key, "shop")
            commands.append(("payment.create", key, world.plain(100 + n)))
        world.publish(commands)
        farms.wait_for(calls_under_way, 20, "calls under way")
        process_id = world.farm.pid("authorize-1")
        world.farm.stop_program("authorize-1")
        assert process_id and world.farm.pid("authorize-1") is None
        assert calls_under_way() == 0, "what was begun was finished"
        assert "drain took too long" not in world.farm.log_tail("authorize-1", 5)
        world.farm.start_worker("authorize-1")
    world.wait_ended(seconds=120)
    assert {world.state(payment) for payment in world.created} == {"completed"}
    farms.wait_for(lambda: world.queue_depth("acquit.authorize") == (0, 0), 30, "an empty queue, nothing unacknowledged")
