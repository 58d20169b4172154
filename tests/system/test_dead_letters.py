"""What dies is kept, undone where that is allowed, and replayed without doing anything twice."""

import concurrent.futures
import json
import uuid

import pika
import pytest

import farm as farms


def dead_by_silent_validators(world):
    """A dual payment whose validators never answer: pop.validate runs out of attempts."""
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "validator.validate", "answer_500_before", times=-1)
    world.pay(world.dual(), "tickets", key)
    return payment


def test_exhausted_before_the_decision_is_undone(world):
    payment = dead_by_silent_validators(world)
    world.wait_state(payment, "failed")
    assert world.status(payment)["reason"] == "DEAD_LETTERED"
    letter = world.wait_dead_letter(payment)
    assert letter["type"] == "pop.validate" and letter["reason"] == "exhausted" and letter["state"] == "compensated" and letter["attempts"] == 3
    facts = world.facts(payment)
    assert facts["pop:revoked"] == "revoked" and facts["token:released"] == "released"


def test_replay_after_compensation_is_a_no_op(world):
    """By two operators at once, twice: the money, the twins' books and the state do not move."""
    payment = dead_by_silent_validators(world)
    world.wait_state(payment, "failed")
    letter = world.wait_dead_letter(payment)
    world.reset()
    before = world.stripe_books(payment), world.ledger_net(payment)
    for _ in range(2):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda _: world.farm.acquit("dlq", "replay", letter["id"], "--reason", "test", check=False), range(2)))
        assert {one.returncode for one in done} == {0}, [one.stdout + one.stderr for one in done]
    replays = [slot for slot in world.facts(payment) if slot.startswith("replay:")]
    assert 2 <= len(replays) <= 4
    settle_queue(world)
    assert (world.stripe_books(payment), world.ledger_net(payment)) == before and world.state(payment) == "failed"


def settle_queue(world):
    after = world.pay(world.dual(), "tickets")
    world.wait_state(after, "completed")
    for name in ("compensate", "pop-validate", "authorize", "token-activate"):
        farms.wait_for(lambda n=name: world.queue_depth("acquit." + n)[0] == 0, 20, f"an empty queue {name}")


def held_release(world):
    """A payment whose tokens nobody releases, and the letter that says so."""
    key = world.key()
    payment = world.expect(key, "tickets")
    world.fault(payment, "token.release", "answer_500_before", times=3)
    world.pay(world.dual(token="pm_card_chargeDeclined"), "tickets", key)
    return payment, world.wait_dead_letter(payment)


def test_replay_before_anything_else_finishes_the_work(world):
    """After the abort the release dies three times and is held; the operator's replay ends the payment."""
    payment, letter = held_release(world)
    assert letter["state"] == "held" and letter["type"] == "token.release" and world.state(payment) == "processing"
    world.farm.acquit("dlq", "replay", letter["id"], "--reason", "the token system is back", "--actor", "night-shift")
    world.wait_state(payment, "failed")
    (actor,) = world.sql("select actor from ledger.event where payment_id = %s and slot like 'replay:%%'", payment)
    assert actor == ("night-shift",)


def test_a_replay_needs_a_reason(world):
    assert world.farm.acquit("dlq", "replay", "00000000-0000-8000-8000-000000000000", check=False).returncode == 2


def test_a_dead_webhook_is_held_and_does_not_undo(world):
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, "webhook.deliver", "answer_500_before", times=3)
    world.pay(world.plain(), key=key)
    letter = world.wait_dead_letter(payment)
    assert letter["type"] == "notify.send" and letter["state"] == "held" and world.state(payment) == "completed"
    world.farm.acquit("dlq", "replay", letter["id"], "--reason", "the shop is back")
    world.wait_fact(payment, "notice:payment.completed:webhook")


BAD = {
    "no JSON": b"{\"amount\": 1",
    "invalid UTF-8": b"{\"amount\": 1, \"currency\": \"\xff\xfe\"}",
    "an array": b"[1]",
    "empty": b"",
    "nested": b"[" * 5000,
    "unknown field": {"amount": 1, "currency": "EUR", "amoumt": 2},
    "a card number": {"amount": 1, "currency": "EUR", "description": "card 4242424242424242"},
    "no currency": {"amount": 1},
    "a real amount": {"amount": 1.5, "currency": "EUR"},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_messages_are_archived_and_their_neighbours_processed(world, name):
    key = world.key()
    body = BAD[name]
    before = world.farm.pid("authorize-1")
    world.publish([("payment.create", key, body)])
    neighbour = world.pay(world.plain())
    letter = farms.wait_for(lambda: next((x for x in world.dead_letters() if x.get("messageId") == key), None), 20, "the archive")
    assert letter["reason"] == "invalid"
    whole = json.loads(world.farm.acquit("dlq", "show", letter["id"], "--json"))
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if name == "a card number":
        assert "4242424242424242" not in json.dumps(whole)
    elif name != "invalid UTF-8":
        assert whole["body"].encode() == raw
    world.wait_state(neighbour, "completed")
    assert world.farm.pid("authorize-1") == before


def test_hostile_properties_are_archived(world):
    """Line feeds, invalid UTF-8 and card numbers where ids and addresses belong: each its own row, masked, the worker untouched."""
    before = world.farm.pid("authorize-1"), world.farm.pid("compensate-1")
    ids = ["two\nlines", "x" * 200, "4242 4242 4242 4242", "bell\a"]
    mark = len(world.sql("select 1 from ledger.dead_letter"))
    with world.channel("shop") as channel:
        for message_id in ids:
            properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=message_id, user_id="shop",
                                              correlation_id="5555555555554444", headers={"x-death": "no array", "note": "4242424242424242"})
            channel.basic_publish("acquit.in", "payment.create", b'{"amount":5,"currency":"EUR","flow":"plain"}', properties, mandatory=True)
    with world.channel("acquit-worker") as channel:
        channel.basic_publish("acquit.cmd", "no\nsuch", b"{}", pika.BasicProperties(message_id="a\nb"), mandatory=True)
    farms.wait_for(lambda: len(world.sql("select 1 from ledger.dead_letter")) >= mark + 5, 20, "five rows")
    everything = json.dumps(world.sql("select message_id, properties::text, encode(body, 'escape'), history::text from ledger.dead_letter"))
    assert "4242424242424242" not in everything and "4242 4242" not in everything and "5555555555554444" not in everything
    assert (world.farm.pid("authorize-1"), world.farm.pid("compensate-1")) == before


HOSTILE = {
    "a line feed in our own header": {"headers": {"x-acquit-replay-of": "a\nb", "x-acquit-replay-number": 7}},
    "a message id of odd bytes": {"message_id": "\udcff" * 100},
    "a long message id of wide characters": {"message_id": "\u20ac" * 50},
    "a trace of 90 kB": {"headers": {"traceparent": "0" * 90000}},
    "a reply address the broker chokes on": {"reply_to": "amq.rabbitmq.reply-to.!!!.x"},
    "a card number as correlation id": {"correlation_id": "4242424242424242"},
    "an odd type": {"type": "\x07" * 200},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_hurt_nobody(world, name):
    """Each is archived (or simply done), workers and their connections live on, and a neighbour is paid."""
    workers = [world.farm.pid(worker) for worker in world.farm.worker_names()]
    mark = len(world.sql("select 1 from ledger.dead_letter"))
    fields = {"message_id": "hostile-" + world.key()} | HOSTILE[name]
    if "\udcff" in fields["message_id"]:
        fields["message_id"] = "bytes"
    with world.channel("shop") as channel:
        properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, user_id="shop", **fields)
        if name == "a message id of odd bytes":
            properties.encode = lambda: odd_properties(100)
        channel.basic_publish("acquit.in", "payment.create", b"{}", properties, mandatory=True)
    farms.wait_for(lambda: len(world.sql("select 1 from ledger.dead_letter")) == mark + 1, 20, "its row")
    neighbour = world.pay(world.plain())
    world.wait_state(neighbour, "completed")
    assert [world.farm.pid(worker) for worker in world.farm.worker_names()] == workers
    assert "4242424242424242" not in json.dumps(world.sql("select properties::text from ledger.dead_letter"))


def odd_properties(size):
    """Encoded AMQP properties whose message_id is bytes that are no text: flags (message_id, user_id), then both short strings."""
    return [bytes([0x00, 0x80 | 0x10]), bytes([size]) + b"\xff" * size, bytes([4]) + b"shop"]


def test_a_type_that_nobody_knows_is_caught(world):
    """L9: unroutable messages are caught, not lost: at the app by its own broker rights, behind them by acquit.unroutable."""
    with world.channel("acquit-worker") as channel:
        channel.basic_publish("acquit.cmd", "payment.creat", b"{}", mandatory=True)
    farms.wait_for(lambda: [x for x in world.dead_letters() if x["reason"] == "unroutable"], 20, "the unroutable message")


def test_a_refund_of_a_payment_that_nobody_knows_waits_and_dies(world):
    key = world.key()
    world.publish([("payment.refund", key, {"paymentId": "00000000-0000-8000-8000-000000000001", "amount": 5})])
    letter = farms.wait_for(lambda: next((x for x in world.dead_letters() if x.get("messageId") == key), None), 30, "its dead letter")
    assert letter["reason"] == "unknown_payment"


def test_nobody_cancels_the_payment_of_another(world):
    payment = world.pay(world.plain())
    world.wait_state(payment, "completed")
    key = world.key()
    world.publish([("payment.refund", key, {"paymentId": payment})], "tickets")
    farms.wait_for(lambda: [x for x in world.dead_letters() if x.get("messageId") == key and x["reason"] == "unknown_payment"], 30, "the refusal")
    assert world.state(payment) == "completed"


# --- discards ---

def say(world, word, letter, *more, reason="the seat was sold at the counter", actor="night-shift"):
    """(exit code, what is told of this letter) of `acquit dlq replay` or `discard`."""
    done = world.farm.acquit("dlq", word, letter, "--reason", reason, "--actor", actor, "--json", *more, check=False)
    (told,) = json.loads(done.stdout)[word + "s"]
    return done.returncode, told


def show(world, letter):
    return json.loads(world.farm.acquit("dlq", "show", letter, "--json"))


def in_state(world, state):
    return [letter["id"] for letter in json.loads(world.farm.acquit("dlq", "list", "--state", state, "--limit", "200", "--json"))["deadLetters"]]


def words_of(world, payment):
    """[(slot's number, outcome, actor, reason)] of all words on the letters of this payment, or on the letter with this id."""
    rows = world.sql("select slot, outcome, actor, body->>'reason' from ledger.event where payment_id = %s and slot like 'replay:%%' order by seq", payment)
    return [(int(slot.rsplit(":", 1)[1]), *rest) for slot, *rest in rows]


def look(world, payment):
    """Has the payment looked at, and waits until that and what followed from it are done."""
    def looks():
        with open(world.farm.path("log", "compensate-1.log"), encoding="utf-8") as log:
            return sum(f"payment.look payment={payment} " in line and "result=done" in line for line in log)
    before = looks()
    world.publish_internal("payment.look", str(uuid.uuid4()), {"paymentId": payment})
    farms.wait_for(lambda: looks() > before, 20, "a look")
    settle_queue(world)


def test_what_is_discarded_is_recorded_and_stays_unsaid(world):
    """Who and why stand in the ledger, the operator is told that the payment hangs; a look says everything but that command."""
    payment, letter = held_release(world)
    assert letter["state"] == "held" and letter["words"] == 0
    before = world.requests(payment)
    assert len([one for one in before if one["at"] == "token.release"]) == 3
    code, told = say(world, "discard", letter["id"])
    public = "tx_" + payment.replace("-", "")
    assert (code, told["result"], told["n"], told["actor"]) == (0, "discarded", 1, "night-shift"), told
    assert told["effect"] == f"its payment {public} is still processing: something is left for this command to do, and nobody else will do it"
    assert words_of(world, payment) == [(1, "discarded", "night-shift", "the seat was sold at the counter")]
    assert letter["id"] in in_state(world, "discarded") and letter["id"] not in in_state(world, "held") + in_state(world, "replayed")
    shown = show(world, letter["id"])
    assert (shown["state"], shown["words"], shown["replays"]) == ("discarded", 1, 0) and shown["discardEffect"] == told["effect"]
    assert shown["facts"][-1]["outcome"] == "discarded" and shown["facts"][-1]["body"] == {"reason": "the seat was sold at the counter"}
    text = world.farm.acquit("dlq", "show", letter["id"])
    assert "last word    discarded by night-shift at " in text and "if discarded its payment " + public in text
    for _ in range(2):
        look(world, payment)
    assert world.requests(payment) == before and not world.has(payment, "token:released") and world.state(payment) == "processing"
    assert len(world.dead_letters(payment)) == 1
    assert say(world, "replay", letter["id"])[0] == 0
    world.wait_state(payment, "failed")


def test_a_discard_is_not_the_last_word_for_ever(world):
    """Twice is refused, and told who did it; a replay after it works; then it may be discarded again."""
    payment, letter = held_release(world)
    assert say(world, "discard", letter["id"])[0] == 0
    code, told = say(world, "discard", letter["id"], actor="day-shift")
    assert (code, told["result"]) == (1, "refused") and told["message"].startswith("it is discarded already, by night-shift at 2"), told
    assert told["message"].endswith(": the seat was sold at the counter") and len(words_of(world, payment)) == 1
    code, told = say(world, "replay", letter["id"], actor="day-shift", reason="it was not")
    assert (code, told["result"], told["n"]) == (0, "replayed", 2), told
    world.wait_state(payment, "failed")
    assert world.facts(payment)["token:released"] == "released"
    shown = show(world, letter["id"])
    assert (shown["state"], shown["words"], shown["replays"]) == ("replayed", 2, 1)
    code, told = say(world, "discard", letter["id"])
    assert (code, told["result"], told["n"], told["effect"]) == (0, "discarded", 3, "nothing left to do"), told
    assert [word[:3] for word in words_of(world, payment)] == [(1, "discarded", "night-shift"), (2, "replayed", "day-shift"), (3, "discarded", "night-shift")]


@pytest.mark.parametrize("name", ["no JSON", "a card number"])
def test_what_cannot_be_replayed_can_be_discarded(world, name):
    key, body = world.key(), BAD[name]
    world.publish([("payment.create", key, body)])
    letter = farms.wait_for(lambda: next((x for x in world.dead_letters() if x.get("messageId") == key), None), 20, "the archive")
    code, told = say(world, "discard", letter["id"], reason="the app was told")
    assert (code, told["result"], told["effect"]) == (0, "discarded", "nothing a replay could mend: publish a corrected message"), told
    home = letter["paymentId"] or letter["id"]
    assert words_of(world, home) == [(1, "discarded", "night-shift", "the app was told")] and letter["id"] in in_state(world, "discarded")


def test_a_type_that_nobody_knows_can_be_discarded(world):
    key = world.key()
    with world.channel("acquit-worker") as channel:
        channel.basic_publish("acquit.cmd", "payment.creat", b"\xff\xfe", pika.BasicProperties(message_id=key), mandatory=True)
    letter = farms.wait_for(lambda: next((x for x in world.dead_letters() if x.get("messageId") == key), None), 20, "the unroutable message")
    assert say(world, "replay", letter["id"])[1]["result"] == "refused"
    code, told = say(world, "discard", letter["id"])
    assert (code, told["result"], told["effect"]) == (0, "discarded", "it could not be sent again anyway"), told
    assert say(world, "replay", letter["id"])[1]["result"] == "refused" and letter["id"] in in_state(world, "discarded")


def test_a_notice_that_is_discarded_is_not_told(world):
    """Its payment has ended, so nothing hangs; the shop hears nothing, also after a look."""
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, "webhook.deliver", "answer_500_before", times=3)
    world.pay(world.plain(), key=key)
    letter = world.wait_dead_letter(payment)
    code, told = say(world, "discard", letter["id"], reason="the shop has closed for good")
    assert code == 0 and " is completed: something is left " in told["effect"], told
    before = world.requests(payment, "webhook.deliver")
    look(world, payment)
    assert world.requests(payment, "webhook.deliver") == before and not world.has(payment, "notice:payment.completed:webhook")


@pytest.mark.parametrize("first,second", [("replay", "discard"), ("discard", "replay"), ("discard", "discard")])
def test_of_two_words_at_once_the_first_stands(world, first, second):
    """Both are said of the same state of affairs, so both have number 1: one is recorded. Who said the other word is told; who said the same has what he wants."""
    payment, letter = held_release(world)
    farms.wait_for(lambda: world.ready("acquit.compensate") == 0, 20, "an idle compensation worker")
    world.farm.stop_program("keeper")  # its looks would stand between the two words
    world.farm.stop_program("compensate-1")
    try:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            done = []
            for word, actor in ((first, "early"), (second, "late")):
                done.append(pool.submit(say, world, word, letter["id"], "--wait-ms", "40000", actor=actor, reason=f"{actor} {word}"))
                farms.wait_for(lambda: world.ready("acquit.compensate") == len(done), 20, f"{len(done)} words in the queue")
            world.farm.start_worker("compensate-1")
            (code, told), (late_code, late_told) = [one.result() for one in done]
    finally:
        world.farm.start_keeper()
    recorded = {"replay": "replayed", "discard": "discarded"}[first]
    assert words_of(world, payment) == [(1, recorded, "early", "early " + first)]
    assert (code, told["result"], told["actor"]) == (0, recorded, "early"), told
    assert (late_code, late_told["result"], late_told["n"], late_told["actor"]) == (int(first != second), recorded, 1, "early"), late_told
    if first != second:
        other = {"replay": "replayed", "discard": "discarded"}[second]
        assert late_told["message"] == f"it is {recorded}, not {other}: early said so at the same moment (number 1): early {first}"
    if first == "discard":
        look(world, payment)
        assert world.state(payment) == "processing" and not world.has(payment, "token:released"), "the word that lost has no effect"
        assert say(world, "replay", letter["id"])[0] == 0
    world.wait_state(payment, "failed")


def test_a_word_that_is_not_recorded_yet_may_be_said_again(world):
    payment, letter = held_release(world)
    world.farm.stop_program("compensate-1")
    code, told = say(world, "discard", letter["id"], "--wait-ms", "1500")
    assert (code, told["result"]) == (75, "sent"), told
    assert words_of(world, payment) == []
    world.farm.start_worker("compensate-1")
    world.wait_fact(payment, f"replay:{letter['id']}:1")
    code, told = say(world, "discard", letter["id"])
    assert (code, told["result"]) == (1, "refused") and len(words_of(world, payment)) == 1
    assert say(world, "replay", letter["id"])[0] == 0
    world.wait_state(payment, "failed")


def test_several_letters_each_have_their_answer(world):
    payment, letter = held_release(world)
    done = world.farm.acquit("dlq", "discard", letter["id"], str(uuid.uuid4()), "nonsense", "--reason", "test", check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and len(lines) == 3, done.stdout
    assert "  discarded (number 1, by " in lines[0] and " is still processing: " in lines[0]
    assert "  refused: there is no dead letter" in lines[1] and "nonsense  refused: " in lines[2]
    assert say(world, "replay", letter["id"])[0] == 0
    world.wait_state(payment, "failed")


@pytest.mark.parametrize("words", [
    ("discard", "ID"),  # no reason
    ("discard", "--reason", "test"),  # no letter
    ("discard", "ID", "--reason", "card 4242424242424242"),
    ("discard", "ID", "--reason", "x" * 501),
    ("discard", "ID", "--reason", "test", "--actor", ""),
    ("replay", "ID", "--reason", "card 4242424242424242"),
    ("list", "--state", "forgotten"),
])
def test_misuse(world, words):
    """Exit code 2, and nothing was said: its worker would refuse it, and it would become a dead letter of its own."""
    mark = len(world.sql("select 1 from ledger.dead_letter"))
    done = world.farm.acquit("dlq", *[str(uuid.UUID(int=8 << 76)) if word == "ID" else word for word in words], check=False)
    assert done.returncode == 2 and "4242424242424242" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert len(world.sql("select 1 from ledger.dead_letter")) == mark
