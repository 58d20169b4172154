"""test_cases.py - what no provider tells is a case for a person, who says what became of it, with evidence (ADR 24)"""

import hashlib
import json
import urllib.request

import farm as farms
import pytest

QUESTIONS = ("stripe.search", "stripe.retrieve", "stripe.refund_retrieve")
EVIDENCE = "mail of the provider, case 4711"


def silence(world, payment, at, fault="close_after", questions=QUESTIONS):
    """The call has its effect, or none (close_before), and neither it nor any question about it is answered."""
    for point in (at, *questions):
        world.fault(payment, point, fault, times=-1)


def cases(world, payment, *arguments):
    rows = json.loads(world.farm.acquit("payment", "cases", "--json", *arguments))["cases"]
    return [row for row in rows if row["paymentId"] == payment]


def resolve(world, payment, slot, outcome, *more, evidence=EVIDENCE):
    done = world.farm.acquit("payment", "resolve", payment, slot, "--as", outcome, "--reason", "their support says so", "--evidence", evidence,
                             "--actor", "nora", "--json", *more, check=False)
    return done.returncode, json.loads(done.stdout)


def body(world, payment, slot):
    return world.sql("select body, actor from ledger.event where payment_id = %s and slot = %s", payment, slot)[0]


def in_doubt(world, payment):
    return world.sql("select intent from ledger.in_doubt where payment_id = %s", payment)


def begin(world, at, amount, **more):
    """A payment whose call at this point is in doubt."""
    key = world.key()
    payment = world.expect(key, "shop")
    silence(world, payment, at, **more)
    world.pay(world.plain(amount), key=key)
    return payment


def test_a_capture_that_nobody_knows_of_is_resolved_by_a_person(world):
    payment = begin(world, "stripe.capture", 2100)
    world.wait_fact(payment, "capture:doubt:0")
    (case,) = cases(world, payment, "--all")
    assert (case["slot"], case["provider"], case["amount"], case["currency"]) == ("capture", "stripe", 2100, "EUR")
    assert case["questions"] >= 1 and case["lastCode"] and case["publisher"] == "shop"

    code, told = resolve(world, payment, "capture", "refused")
    assert code == 75 and "may still be sent" in told["message"], "its key is good for hours: nobody can know that it was not done"
    assert not world.has(payment, "capture")

    code, told = resolve(world, payment, "capture:doubt:0", "captured")
    assert (code, told["result"], told["slot"]) == (0, "recorded", "capture"), told
    facts, actor = body(world, payment, "capture")
    attested = facts["evidence"]["attested"]
    assert actor == attested["actor"] == "nora" and attested["reason"] == "their support says so" and attested["evidence"] == EVIDENCE
    assert attested["evidenceSha256"] == hashlib.sha256(EVIDENCE.encode()).hexdigest()
    assert facts["evidence"]["asked"]["code"], "what the provider answered when it was asked once more"
    world.wait_state(payment, "completed")
    assert in_doubt(world, payment) == [] and cases(world, payment, "--all") == []
    assert world.sql("select kind, amount from ledger.transfer where payment_id = %s and slot = 'capture' and leg = 1", payment) == [("post", 2100)]
    acts = json.loads(world.farm.acquit("audit", "list", "--action", "payment.resolve", "--object", payment, "--json"))["acts"]
    assert [act["actorId"] for act in acts] == ["nora"]

    code, told = resolve(world, payment, "capture", "refused")
    assert (code, told["result"], told["outcome"]) == (1, "answered", "captured"), "the slot has a result"


def test_the_provider_is_asked_once_more_and_wins(world):
    """While its key is good a capture in doubt is sent again, which stays unanswered; only the word's question asks otherwise."""
    payment = begin(world, "stripe.capture", 2200, questions=())
    world.wait_fact(payment, "capture:doubt:0")
    code, told = resolve(world, payment, "capture", "captured")
    assert (code, told["result"], told["outcome"]) == (1, "answered", "captured") and "asked once more" in told["message"], told
    facts, actor = body(world, payment, "capture")
    assert "attested" not in facts["evidence"] and actor != "nora"
    world.wait_state(payment, "completed")


def test_a_refund_is_resolved_by_a_person_with_a_file(world, tmp_path):
    payment = world.pay(world.plain(2400))
    world.wait_state(payment, "completed")
    silence(world, payment, "stripe.refund")
    world.publish([("payment.refund", world.key(), {"paymentId": payment, "amount": 900})])
    world.wait_fact(payment, "refund:1:doubt:0")
    evidence = tmp_path / "statement.txt"
    evidence.write_text("refund of 9.00 EUR, 28 Nov\n" * 400)
    code, told = resolve(world, payment, "refund:1", "refunded", evidence=f"@{evidence}")
    assert (code, told["slot"], told["result"]) == (0, "refund:1:result", "recorded"), told
    attested = body(world, payment, "refund:1:result")[0]["evidence"]["attested"]
    assert attested["evidenceName"] == "statement.txt" and len(attested["evidence"]) == 4000
    assert attested["evidenceSha256"] == hashlib.sha256(evidence.read_bytes()).hexdigest(), "of all of it"
    world.wait_state(payment, "partially_refunded")
    assert in_doubt(world, payment) == []


def test_a_void_is_resolved_by_a_person(world):
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, "validator.validate", "decline", times=-1, delayMs=2000)  # late enough for the hold to stand
    world.pay(world.dual(2300), key=key)
    world.wait_fact(payment, "auth:1:result")
    silence(world, payment, "stripe.cancel")
    world.wait_fact(payment, "void:1:doubt:0")
    code, told = resolve(world, payment, "void:1", "voided")
    assert (code, told["slot"], told["result"]) == (0, "void:1", "recorded"), told
    world.wait_state(payment, "failed")
    assert in_doubt(world, payment) == []


def measured(world, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{world.farm.port('keeper-metrics')}/metrics", timeout=10) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
    return int(lines.get(name + '{provider="stripe",currency="JPY"}', -1))


def test_what_stays_unknown_is_a_case_and_a_persons_absent_goes_to_the_next_provider(world):
    """It never arrived, and nobody says so. Nothing fails by itself; the person's word is the negative evidence of L6."""
    key = world.key()
    payment = world.expect(key, "shop")
    silence(world, payment, "stripe.authorize", "close_before")
    world.pay(world.plain(2500, "JPY", preferredGateways=["stripe", "simulated"]), key=key)
    world.wait_fact(payment, "auth:1:doubt:0")
    code, told = resolve(world, payment, "auth:1", "absent")
    assert code == 75, "it may still be sent"
    farms.wait_for(lambda: cases(world, payment), 10, "the case, after question.give_up_ms")
    farms.wait_for(lambda: measured(world, "acquit_cases_open") == 1, 10, "the keeper's count")
    findings = json.loads(world.farm.acquit("doctor", "--json", check=False).stdout)["checks"]
    assert [row["state"] for row in findings if row["check"] == "cases"] == ["warning"]
    assert world.state(payment) == "processing", "never silently failed"
    code, told = farms.wait_for(lambda: (lambda said: said if said[0] != 75 else None)(resolve(world, payment, "auth:1", "absent")), 15, "quiet")
    assert (code, told["result"], told["outcome"]) == (0, "recorded", "absent"), told
    world.wait_state(payment, "failed")
    assert world.facts(payment)["auth:2:result"] == "declined", "the simulated provider was asked next; it has no such token"
    assert in_doubt(world, payment) == []


@pytest.mark.parametrize("slot, outcome, evidence, code, text", [
    ("capture", "captured", "e", 1, "nothing is in doubt"),
    ("received", "captured", "e", 2, "must be that of a call"),
    ("auth:1", "captured", "e", 1, "nothing is in doubt"),
])
def test_a_word_that_has_no_place_is_refused_before_it_is_sent(world, slot, outcome, evidence, code, text):
    payment = world.pay(world.plain(2600))
    world.wait_state(payment, "completed")
    mark = len(world.dead_letters())
    got, told = resolve(world, payment, slot, outcome, evidence=evidence)
    assert got == code and text in told["message"], told
    assert len(world.dead_letters()) == mark


def test_no_card_number_comes_in_as_evidence(world):
    payment = begin(world, "stripe.capture", 2700)
    world.wait_fact(payment, "capture:doubt:0")
    code, told = resolve(world, payment, "capture", "captured", evidence="card 4242 4242 4242 4242 was charged")
    assert code == 2 and "card number" in told["message"]
    code, told = resolve(world, payment, "capture", "voided")
    assert code == 2 and "captured, refused" in told["message"]
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.wait_state(payment, "completed")


def test_an_answer_that_contradicts_the_word_is_kept_for_a_person(world):
    """It was being asked while the person spoke: the answer loses the slot, and is not dropped."""
    payment = world.pay(world.plain(2800))
    world.wait_state(payment, "completed")
    world.fault(payment, "stripe.refund", "pending", code="failed", delayMs=1)
    world.fault(payment, "stripe.refund_retrieve", "delay", delayMs=1300)
    world.fault(payment, "stripe.refund_retrieve", "close_before", times=-1)
    world.publish([("payment.refund", world.key(), {"paymentId": payment, "amount": 800})])
    farms.wait_for(lambda: world.requests(payment, "stripe.refund_retrieve"), 10, "the question under way")
    code, told = resolve(world, payment, "refund:1", "refunded")
    assert (code, told["result"]) == (0, "recorded"), told
    letter = world.wait_dead_letter(payment)
    assert (letter["reason"], letter["state"]) == ("refused", "held")
    (fact,) = world.sql("select body->>'message' from ledger.event where payment_id = %s and slot like 'dead:%%'", payment)
    assert "refund 1: refused at the provider" in fact[0] and fact[0].endswith("although the ledger says refunded")
    del world.created[payment]  # the word was wrong: ledger and provider differ, which the oracle would say, too


def test_what_the_provider_knows_nothing_of_cannot_be_called_done(world):
    """It never arrived, and is found nowhere: for good or not yet, the questions will tell. A person cannot have seen it there."""
    payment = begin(world, "stripe.authorize", 2900, fault="close_before", questions=())
    world.wait_fact(payment, "auth:1:doubt:0")
    code, told = resolve(world, payment, "auth:1", "approved")
    assert (code, told["result"]) == (1, "refused"), told
    letter = next(x for x in world.dead_letters() if x["type"] == "authorize.attest")
    assert letter["reason"] == "invalid" and "auth:1:result" not in world.facts(payment)
    world.farm.acquit("dlq", "discard", letter["id"], "--reason", "a wrong word")
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    world.wait_ended([payment])
