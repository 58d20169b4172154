"""test_callbacks.py - validators that take their time: votes by callback, and word of commit and abort"""

import base64
import copy
import time
import urllib.request
import uuid

import farm as farms
import pika
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

VALIDATORS = ("validator-1", "validator-2", "validator-3")


def validations(world, payment):
    return {row["validator"]: row for row in world.twin(f"/_twin/books/validators?paymentId={payment}")["validations"]}


def votes(world, payment):
    return {slot.removeprefix("pop:vote:"): outcome for slot, outcome in world.facts(payment).items() if slot.startswith("pop:vote:")}


def post_vote(world, body):
    status, answer, _ = farms.http("POST", world.farm.url + "/webhooks/pop", body)
    return status, answer


def deferred(world, codes, delay_ms=300, **more):
    """A dual payment whose validators answer 202 and then call back, with these codes ("" for yes)."""
    key = world.key()
    payment = world.expect(key, "shop")
    for n, code in enumerate(codes, 1):
        if code is not None:
            world.fault(payment, "validator.validate", "pending", validator=n, delayMs=delay_ms, code=code)
    world.pay(world.dual(**more), key=key)
    return payment


@pytest.fixture
def unwatched(world):
    """No keeper looks at what stands still: it would hide a payment that nobody brings on."""
    world.farm.stop_program("keeper")
    yield world
    world.farm.start_keeper()


@pytest.fixture
def unasked(unwatched):
    """Whoever is told to wait is not asked again for half a minute: only the callback can bring the payment on."""
    farm, settings = unwatched.farm, unwatched.farm.settings
    farm.reconfigure(settings | {"question": {"base_ms": 60000, "cap_ms": 60000}}, farm.publishers, ["pop-validate-1"])
    yield unwatched
    farm.reconfigure(settings, farm.publishers, ["pop-validate-1"])


def test_votes_by_callback_complete_a_payment(unasked):
    payment = deferred(unasked, ["", "", ""])
    unasked.wait_state(payment, "completed", seconds=15)
    facts = unasked.facts(payment)
    assert facts["pop"] == "validated" and len(votes(unasked, payment)) >= 2 and set(votes(unasked, payment).values()) == {"valid"}
    body = unasked.sql("select body from ledger.event where payment_id = %s and slot = 'pop'", payment)[0][0]
    assert len(body["votes"]) >= 2 and all(vote["paymentId"] == payment for vote in body["votes"])


def test_votes_by_callback_reject_a_payment(unasked):
    payment = deferred(unasked, ["invalid", "", "invalid"])
    unasked.wait_state(payment, "failed", seconds=15)
    given = validations(unasked, payment)
    assert "invalid" in votes(unasked, payment).values()
    assert all(outcome == given[name]["vote"]["verdict"] for name, outcome in votes(unasked, payment).items())
    assert unasked.facts(payment)["pop"] == "rejected" and unasked.status(payment)["reason"] == "POP_REJECTED"


def test_one_answers_one_is_silent_one_calls_back(unasked):
    key = unasked.key()
    payment = unasked.expect(key, "shop")
    unasked.fault(payment, "validator.validate", "answer_500_before", validator=2, times=-1)
    unasked.fault(payment, "validator.validate", "pending", validator=3, delayMs=300)
    unasked.pay(unasked.dual(), key=key)
    unasked.wait_state(payment, "completed", seconds=15)
    assert votes(unasked, payment) == {"validator-3": "valid"}


def test_callbacks_that_are_lost_cost_time_only(unwatched):
    payment = deferred(unwatched, ["lost", "lost", "lost"], delay_ms=1500)
    unwatched.wait_state(payment, "completed")
    assert votes(unwatched, payment) == {} and not unwatched.dead_letters(payment), "waiting is no failure"


def test_waiting_counts_no_attempt(unwatched):
    """Who waited long may fail as often as anybody else: three attempts in all, of which this takes one."""
    payment = deferred(unwatched, ["lost", "lost", "lost"], delay_ms=2500)
    farms.wait_for(lambda: len(unwatched.requests(payment, "validator.validate")) >= 5 * len(VALIDATORS), 20, "them to be asked often")
    farms.http("DELETE", unwatched.farm.twins_url + "/_twin/faults")
    for n in (1, 2):
        unwatched.fault(payment, "validator.validate", "answer_500_before", validator=n)
    unwatched.wait_state(payment, "completed")
    assert not unwatched.dead_letters(payment)


def test_a_validator_that_never_decides_ends_with_the_deadline(world):
    payment = deferred(world, ["lost", "lost", ""], delay_ms=3600000, expiresInMs=3000)
    world.wait_state(payment, "failed", seconds=30)
    assert world.status(payment)["reason"] == "EXPIRED"
    world.wait_fact(payment, "pop:revoked")


def test_a_vote_that_comes_late_changes_nothing(world):
    payment = deferred(world, ["", "", ""], delay_ms=60000)
    farms.wait_for(lambda: len(validations(world, payment)) == 3, 20, "all validators asked")
    world.publish([("payment.cancel", world.key(), {"paymentId": payment})])
    world.wait_state(payment, "cancelled")
    vote = validations(world, payment)["validator-1"]["vote"]
    assert post_vote(world, vote)[0] == 202
    farms.wait_for(lambda: not any(world.queue_depth("acquit.pop-validate")), 20, "the vote to be taken")
    assert votes(world, payment) == {} and world.state(payment) == "cancelled"


def test_a_vote_counts_once_however_often_it_comes(unasked):
    payment = deferred(unasked, ["", "", ""], delay_ms=60000)
    farms.wait_for(lambda: len(validations(unasked, payment)) == 3, 20, "all validators asked")
    given = validations(unasked, payment)
    for _ in range(5):
        assert post_vote(unasked, given["validator-2"]["vote"])[0] == 202
    unasked.wait_fact(payment, "pop:vote:validator-2")
    farms.wait_for(lambda: not any(unasked.queue_depth("acquit.pop-validate")), 20, "the votes to be taken")
    assert "pop" not in unasked.facts(payment), "two of three are needed"
    assert post_vote(unasked, given["validator-3"]["vote"])[0] == 202
    unasked.wait_state(payment, "completed", seconds=15)


def test_only_a_genuine_vote_is_taken(world):
    one, other = deferred(world, ["", "", ""], delay_ms=60000), deferred(world, ["", "", ""], delay_ms=60000, amount=2600)
    farms.wait_for(lambda: len(validations(world, one)) == len(validations(world, other)) == 3, 20, "all validators asked")
    vote = validations(world, one)["validator-1"]["vote"]
    forgeries = [{"paymentId": other}, {"amount": 1}, {"currency": "USD"}, {"verdict": "invalid"}, {"validator": "validator-2"},
                 {"validator": "validator-9"}, {"at": "2026-01-01T00:00:00Z"}, {"signature": "A" * 86 + "=="},
                 {"signature": validations(world, other)["validator-1"]["vote"]["signature"]}]
    for forgery in forgeries:
        status, answer = post_vote(world, vote | forgery)
        assert (status, answer["error"]) == (401, "INVALID_SIGNATURE"), forgery
    for wrong in ([], {}, "text", {"vote": vote}, vote | {"amount": "2500"}, vote | {"amount": -1}, vote | {"more": 1}, vote | {"verdict": "maybe"},
                  vote | {"validator": "../x"}, {key: value for key, value in vote.items() if key != "signature"}):
        status, answer = post_vote(world, wrong)
        assert status == 400 and answer["message"], wrong
    status, answer = post_vote(world, vote | {"reason": "paid with 4242 4242 4242 4242"})
    assert (status, answer["error"]) == (400, "CARD_DATA_REFUSED")
    assert votes(world, one) == votes(world, other) == {}
    for payment in (one, other):
        world.publish([("payment.cancel", world.key(), {"paymentId": payment})])
    world.wait_ended([one, other])


def signed(world, vote, number):
    """The vote as this validator would have signed it."""
    with open(world.farm.path(f"twins/keys/validator-{number}.key"), "rb") as file:
        key = load_pem_private_key(file.read(), None)
    members = [vote["paymentId"], str(vote["amount"]), vote["currency"], vote["verdict"], vote["validator"], vote["at"]]
    return vote | {"signature": base64.b64encode(key.sign(("\n".join(["acquit-pop-vote-v1", *members]) + "\n").encode())).decode()}


def test_a_signed_vote_on_something_else_is_a_persons_case(unasked):
    """The ingress cannot know what a payment is about; the worker does."""
    payment = deferred(unasked, ["", "", ""], delay_ms=60000)
    farms.wait_for(lambda: len(validations(unasked, payment)) == 3, 20, "all validators asked")
    given, before = validations(unasked, payment), {letter["id"] for letter in unasked.dead_letters()}

    def fresh_letters():
        return [letter for letter in unasked.dead_letters() if letter["type"] == "pop.confirm" and letter["id"] not in before]
    wrong = [{"amount": 1}, {"currency": "USD"}, {"at": "2026-01-01T00:00:00Z"}]
    for n, change in enumerate(wrong, 1):
        assert post_vote(unasked, signed(unasked, given[f"validator-{n}"]["vote"] | change, n))[0] == 202
    farms.wait_for(lambda: len(fresh_letters()) == len(wrong), 20, "their dead letters")
    assert {letter["state"] for letter in fresh_letters()} == {"held"} and votes(unasked, payment) == {}
    assert unasked.state(payment) == "processing", "nothing was decided by them"
    for n in (1, 2):
        again = signed(unasked, given[f"validator-{n}"]["vote"], n)
        assert again == given[f"validator-{n}"]["vote"] and post_vote(unasked, again)[0] == 202
    unasked.wait_state(payment, "completed", seconds=15)


def test_an_app_cannot_publish_a_vote(world):
    payment = deferred(world, ["", "", ""], delay_ms=60000)
    farms.wait_for(lambda: len(validations(world, payment)) == 3, 20, "all validators asked")
    vote = copy.deepcopy(validations(world, payment)["validator-1"]["vote"])
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refusal:
        world.publish([("pop.confirm", world.key(), {"paymentId": payment, "vote": vote})])
    assert refusal.value.reply_code == 403
    world.publish([("payment.cancel", world.key(), {"paymentId": payment})])
    world.wait_ended([payment])
    assert votes(world, payment) == {}


# --- commit and abort ---

def test_validators_are_told_of_a_commit_and_of_a_refund_in_full(world):
    payment = world.pay(world.dual())
    world.wait_state(payment, "completed")
    assert world.wait_fact(payment, "pop:committed") == "committed"
    asked = {row["validator"] for row in world.requests(payment, "validator.commit")}
    assert asked == {1, 2, 3}
    assert all(row["committed"] and row["status"] in ("valid", "committed") for row in validations(world, payment).values())
    world.publish([("payment.refund", world.key(), {"paymentId": payment})])
    world.wait_fact(payment, "pop:revoked")
    assert {row["status"] for row in validations(world, payment).values()} == {"revoked"}


def test_validators_are_told_of_an_abort_and_of_no_commit(world):
    payment = world.pay(world.dual(token="pm_card_chargeDeclined"))
    world.wait_state(payment, "failed")
    assert world.facts(payment)["pop:revoked"] == "revoked" and "pop:committed" not in world.facts(payment)
    assert world.requests(payment, "validator.commit") == []
    assert {row["status"] for row in validations(world, payment).values()} == {"revoked"}


def test_a_commit_that_fails_is_said_again_and_is_at_last_a_persons(world):
    again, never = world.key(), world.key()
    payments = [world.expect(again, "shop"), world.expect(never, "shop")]
    world.fault(payments[0], "validator.commit", "answer_500_before", validator=2)
    world.fault(payments[1], "validator.commit", "answer_500_before", validator=2, times=-1)
    world.pay(world.dual(), key=again)
    world.pay(world.dual(), key=never)
    world.wait_state(payments[0], "completed")
    world.wait_state(payments[1], "completed")
    assert world.wait_fact(payments[0], "pop:committed") == "committed"
    letter = world.wait_dead_letter(payments[1])
    assert letter["type"] == "pop.commit" and letter["state"] == "held" and world.state(payments[1]) == "completed"
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.farm.acquit("dlq", "replay", letter["id"], "--reason", "the validator is back")
    assert world.wait_fact(payments[1], "pop:committed") == "committed"


def test_no_commit_is_said_once_all_was_given_back(world):
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, "validator.commit", "answer_500_before", validator=2, times=-1)
    world.pay(world.dual(), key=key)
    letter = world.wait_dead_letter(payment)
    assert letter["type"] == "pop.commit"
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.fault(payment, "validator.revoke", "answer_500_before", validator=2, times=-1)  # so that pop:revoked does not stand in its way
    world.publish([("payment.refund", world.key(), {"paymentId": payment})])
    revoke = farms.wait_for(lambda: next((one for one in world.dead_letters(payment) if one["type"] == "pop.revoke"), None), 20, "it not to be revoked")
    said = len(world.requests(payment, "validator.commit"))
    world.farm.acquit("dlq", "replay", letter["id"], "--reason", "too late")
    farms.wait_for(lambda: not any(world.queue_depth("acquit.compensate") + world.queue_depth("acquit.pop-validate")), 20, "the replay to be taken")
    assert len(world.requests(payment, "validator.commit")) == said and not world.has(payment, "pop:committed")
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.farm.acquit("dlq", "replay", revoke["id"], "--reason", "the validator is back")
    assert world.wait_fact(payment, "pop:revoked") == "revoked"


def watched(world):
    with urllib.request.urlopen(f"http://127.0.0.1:{world.farm.port('keeper-metrics')}/metrics", timeout=10) as answer:
        return next(int(line.split()[1]) for line in answer.read().decode().splitlines() if line.startswith("acquit_keeper_watched "))


def test_a_discarded_commit_is_watched_no_longer(world):
    """The payment has ended, and what is left was laid aside for good: looking again would change nothing."""
    key = world.key()
    payment = world.expect(key, "shop")
    farms.wait_for(lambda: watched(world) == 0, 30, "nothing to watch")
    world.fault(payment, "validator.commit", "answer_500_before", validator=2, times=-1)
    world.pay(world.dual(), key=key)
    letter = world.wait_dead_letter(payment)
    farms.wait_for(lambda: watched(world) == 0, 30, "a held command, watched by nobody")
    world.farm.acquit("dlq", "discard", letter["id"], "--reason", "the validator is gone")
    assert world.state(payment) == "completed"
    farms.wait_for(lambda: watched(world) == 0, 30, "a discarded command, watched by nobody")


def test_looks_do_not_multiply_the_questions(world):
    """A payment that waits long is looked at again and again; it is asked about no more often for that."""
    payment = deferred(world, ["lost", "lost", "lost"], delay_ms=3600000, expiresInMs=60000)

    def seconds_of(questions):
        enough, began = len(world.requests(payment, "validator.validate")) + questions, time.monotonic()
        farms.wait_for(lambda: len(world.requests(payment, "validator.validate")) >= enough, 60, f"{questions} questions")
        return time.monotonic() - began
    seconds_of(9)  # until the schedule has reached its longest delay
    before = seconds_of(30)
    for _ in range(8):
        world.publish_internal("payment.look", str(uuid.uuid4()), {"paymentId": payment})
    seconds_of(24)  # of the looks themselves
    after = seconds_of(30)
    world.publish([("payment.cancel", world.key(), {"paymentId": payment})])
    world.wait_ended([payment])
    assert after > before / 2, f"30 questions took {before:.1f} s before, {after:.1f} s after eight looks"
