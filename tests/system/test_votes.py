"""Five validators, three of whom have to say yes: every mixture of voices, and votes that are none."""

import itertools
import subprocess

import pytest

import farm as farms

VALIDATORS, QUORUM = 5, 3
POP = {"quorum": QUORUM, "timeout_ms": 1000}

# No vote that counts, for as long as anybody asks: one after the other, so that each comes at every place.
SILENCES = ("answer_500_before", "close_before", "garbage", "silent")
LATER = {"fault": "delay", "delayMs": 200}  # the honest speak last, so that every false vote is read
FALSE_VOTES = [("forged", "valid"), ("forged", "invalid"), ("replayed", "as given"), ("replayed", "relabelled")]


def with_validators(farm, settings):
    """The farm's twins and its pop-validate worker started anew with as many validators as farm.py counts now."""
    farm.stop_program("twins")
    subprocess.run([farm.program("acquit-twins"), "--make-keys", "--keys", farm.path("twins/keys"), "--validators", str(farms.VALIDATORS)],
                   check=True, stdout=subprocess.DEVNULL)
    farm.start_twins()
    farm.reconfigure(settings, farm.publishers, ["pop-validate-1"])


@pytest.fixture(scope="module")
def five_of_them(farm):
    settings, count = farm.settings, farms.VALIDATORS
    farms.VALIDATORS = VALIDATORS
    with_validators(farm, settings | {"pop": POP})
    yield
    farms.VALIDATORS = count
    with_validators(farm, settings)


@pytest.fixture
def five(five_of_them, world):
    return world


def pay_with(world, faults):
    """One dual payment for each entry: {validator: fault}. Their ids, all ended."""
    payments, commands = [], []
    for wanted in faults:
        key = world.key()
        payments.append(world.expect(key, "tickets"))
        for n, fault in wanted.items():
            world.fault(payments[-1], "validator.validate", validator=n, times=-1, **fault)
        commands.append(("payment.create", key, world.dual()))
    world.publish(commands, "tickets")
    world.wait_ended(payments)
    return payments


def counted(world, payment):
    """{validator: verdict}: the votes that the fact of the proof rests on; None when there is no such fact."""
    rows = world.sql("select body->'votes' from ledger.event where payment_id = %s and slot = 'pop'", payment)
    return {vote["validator"]: vote["verdict"] for vote in rows[0][0]} if rows else None


def check_undecided(world, payment):
    """Nobody decides for the silent: the attempts end, and with them the payment, undone and left to a person (docs/architecture.md)."""
    facts = world.facts(payment)
    assert (world.state(payment), world.status(payment)["reason"], counted(world, payment)) == ("failed", "DEAD_LETTERED", None), facts
    assert facts["pop:revoked"] == "revoked" and facts["token:released"] == "released"


def check(world, payment, voices):
    """voices: yes, no or silent, of validators 1 to 5."""
    named = {f"validator-{n + 1}": {"yes": "valid", "no": "invalid"}.get(voice) for n, voice in enumerate(voices)}
    if voices.count("yes") >= QUORUM:
        assert world.state(payment) == "completed" and world.facts(payment)["pop"] == "validated", (voices, world.facts(payment))
    elif voices.count("no") > VALIDATORS - QUORUM:
        assert (world.state(payment), world.status(payment)["reason"]) == ("failed", "POP_REJECTED"), (voices, world.facts(payment))
    else:
        check_undecided(world, payment)
    assert (counted(world, payment) or {}).items() <= named.items(), (voices, counted(world, payment))


@pytest.mark.parametrize("first", ["yes", "no", "silent"])
def test_every_mixture_of_voices(five, first):
    silences = itertools.cycle(SILENCES)
    mixtures = [(first, *others) for others in itertools.product(["yes", "no", "silent"], repeat=VALIDATORS - 1)]
    faults = {"no": lambda: {"fault": "decline"}, "silent": lambda: {"fault": next(silences)}}
    payments = pay_with(five, [{n + 1: faults[voice]() for n, voice in enumerate(voices) if voice in faults} for voices in mixtures])
    assert len(payments) == 81
    for payment, voices in zip(payments, mixtures):
        check(five, payment, voices)


@pytest.mark.parametrize("kind,code", FALSE_VOTES)
def test_a_false_vote_does_not_count(five, kind, code):
    """Forged, or given for another payment: nothing is validated nor rejected by it; three honest validators are enough, two are not."""
    five.wait_state(five.pay(five.dual(), "tickets"), "completed")  # whose votes are replayed
    for honest in (QUORUM, QUORUM - 1):
        everybody, false = range(1, VALIDATORS + 1), {"fault": kind, "code": code}
        groups = list(itertools.combinations(everybody, honest))
        payments = pay_with(five, [{n: LATER if n in group else false for n in everybody} for group in groups])
        assert all(fault["hits"] for fault in five.twin("/_twin/faults"))
        for payment, group in zip(payments, groups):
            if honest < QUORUM:
                check_undecided(five, payment)
            else:
                assert five.state(payment) == "completed", five.facts(payment)
                assert counted(five, payment) == {f"validator-{n}": "valid" for n in group}
