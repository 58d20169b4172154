"""What a person at the keyboard does: cancel, refund, doctor, completion."""

import concurrent.futures
import json
import subprocess

import pytest

import farm as farms


def run(world, *words):
    """(exit code, JSON, what was said on standard error) of one command."""
    done = world.farm.acquit(*words, "--json", check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def refunds(world, payment):
    return {slot: outcome for slot, outcome in world.facts(payment).items() if slot.startswith("refund:")}


def waiting(world):
    """A payment that waits for its customer, undecided."""
    payment = world.pay(world.plain(token="tok_requires_action", gateway="simulated"))
    world.wait_state(payment, "requires_action")
    return payment


def completed(world, **more):
    payment = world.pay(world.plain(**more))
    world.wait_state(payment, "completed")
    return payment


# --- cancel ---

def test_cancel_before_the_decision(world):
    payment = waiting(world)
    code, answer, said = run(world, "payment", "cancel", payment, "--reason", "asked on the phone")
    assert (code, answer["result"]) == (0, "done"), answer
    assert answer["key"].startswith("operator-") and answer["key"] in said
    world.wait_state(payment, "cancelled")
    ((actor, cause, body),) = world.sql("select actor, cause, body from ledger.event where payment_id = %s and slot = 'decision'", payment)
    assert (actor, str(cause), body["reason"], body["message"]) == ("shop", answer["commandId"], "CANCELLED", "asked on the phone")
    again, repeated, _ = run(world, "payment", "cancel", payment, "--reason", "asked on the phone", "--key", answer["key"])
    assert (again, repeated["result"], repeated["commandId"]) == (0, "done", answer["commandId"])
    other, refused, _ = run(world, "payment", "cancel", payment)
    assert (other, refused["result"]) == (1, "refused") and "CANCELLED" in refused["message"]


def test_cancel_after_the_decision_is_refused(world):
    payment = completed(world)
    before = world.facts(payment)
    code, answer, _ = run(world, "payment", "cancel", payment)
    assert (code, answer["result"]) == (1, "refused") and "too late" in answer["message"]
    assert {slot for slot in world.facts(payment) if not slot.startswith("notice:")} <= set(before) and world.state(payment) == "completed"


def test_the_same_key_with_another_reason_is_refused(world):
    payment, key = waiting(world), world.key()
    assert run(world, "payment", "cancel", payment, "--key", key, "--reason", "one")[0] == 0
    code, answer, _ = run(world, "payment", "cancel", payment, "--key", key, "--reason", "two")
    assert code == 1 and "another body" in answer["message"]
    world.wait_state(payment, "cancelled")


def test_a_key_of_another_payment_dies_and_is_told(world):
    """L10: the ledger knows the key; the refusal stands among the dead letters, and the command says so."""
    first, second, key = waiting(world), waiting(world), world.key()
    assert run(world, "payment", "cancel", first, "--key", key)[0] == 0
    code, answer, _ = run(world, "payment", "cancel", second, "--key", key)
    assert (code, answer["result"]) == (1, "refused") and "idempotency_conflict" in answer["message"], answer
    assert world.state(second) == "requires_action"
    letter = next(letter for letter in world.dead_letters() if letter["commandId"] == answer["commandId"])
    shown = run(world, "dlq", "show", letter["id"])[1]
    assert shown["replayEffect"] == "nothing a replay could mend: publish a corrected message"
    assert run(world, "payment", "cancel", second)[0] == 0
    world.wait_ended([first, second])


def test_an_unanswered_cancel_is_not_yet_known_and_may_be_repeated(world):
    payment, key = waiting(world), world.key()
    world.farm.stop_program("authorize-1")
    code, answer, _ = run(world, "payment", "cancel", payment, "--key", key, "--wait-ms", "300")
    assert (code, answer["result"]) == (75, "unknown"), answer
    world.farm.start_worker("authorize-1")
    code, answer, _ = run(world, "payment", "cancel", payment, "--key", key)
    assert (code, answer["result"]) == (0, "done"), answer
    world.wait_state(payment, "cancelled")


# --- refund ---

@pytest.mark.parametrize("gateway,token", [("stripe", "pm_card_visa"), ("simulated", "tok_visa")])
def test_two_refunds_with_one_key_are_one(world, gateway, token):
    """One after the other, and two operators at once."""
    payment, key = completed(world, gateway=gateway, token=token), world.key()
    words = ("payment", "refund", payment, "--amount", "400", "--reason", "broken seat", "--key", key)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: run(world, *words), range(2))) + [run(world, *words)]
    assert [(code, answer["result"], answer["refund"]) for code, answer, _ in done] == [(0, "done", 1)] * 3, done
    assert refunds(world, payment) == {"refund:1": "accepted", "refund:1:result": "refunded"}
    assert world.ledger_net(payment) == (600, 0) and world.provider_net(payment)[0] == 600
    code, rest, _ = run(world, "payment", "refund", payment, "--key", world.key())
    assert (code, rest["refund"], rest["status"]) == (0, 2, "refunded") and world.ledger_net(payment) == (0, 0)


def test_a_refund_of_too_much_is_refused_with_a_reason(world):
    payment = completed(world)
    code, answer, _ = run(world, "payment", "refund", payment, "--amount", "1001", "--key", world.key())
    assert code == 1 and "exceeds_capture" in answer["message"] and "10.00 EUR is left" in answer["message"], answer


def test_a_refund_in_doubt_is_not_yet_known(world):
    payment, key = completed(world), world.key()
    world.fault(payment, "stripe.refund", "answer_500_after", times=1)
    code, answer, _ = run(world, "payment", "refund", payment, "--key", key, "--wait-ms", "0")
    assert (code, answer["result"]) == (75, "unknown"), answer
    world.wait_state(payment, "refunded")
    assert run(world, "payment", "refund", payment, "--key", key)[0] == 0 and len(refunds(world, payment)) >= 2


@pytest.mark.parametrize("words,code", [
    (("payment", "refund", "tx_" + "0" * 32), 2),  # no key
    (("payment", "refund", "tx_" + "0" * 32, "--key", "k", "--amount", "0"), 2),
    (("payment", "refund", "tx_" + "0" * 32, "--key", "k"), 1),  # no such payment
    (("payment", "cancel", "nonsense"), 2),
    (("payment", "cancel", "tx_" + "0" * 32, "--key", "4242424242424242"), 1),
])
def test_misuse(world, words, code):
    assert world.farm.acquit(*words, check=False).returncode == code


def test_what_its_worker_would_refuse_is_never_sent(world):
    payment, letters = waiting(world), len(world.dead_letters())
    for words in (("--key", "4242424242424242"), ("--reason", "card 4242424242424242"), ("--reason", "x" * 501)):
        assert world.farm.acquit("payment", "cancel", payment, *words, check=False).returncode == 2
    assert len(world.dead_letters()) == letters and world.state(payment) == "requires_action"
    assert run(world, "payment", "cancel", payment)[0] == 0
    world.wait_state(payment, "cancelled")


# --- dead letters that no replay mends ---

def test_a_replay_of_a_bad_message_is_called_vain(world):
    key = world.key()
    world.publish([("payment.create", key, {"amount": 1})])
    letter = farms.wait_for(lambda: next((x for x in world.dead_letters() if x.get("messageId") == key), None), 20, "the archive")
    vain = "nothing a replay could mend: publish a corrected message"
    assert run(world, "dlq", "show", letter["id"])[1]["replayEffect"] == vain
    assert vain in world.farm.acquit("dlq", "replay", letter["id"], "--reason", "to see")


def test_a_refund_that_came_too_early_can_be_mended_once_its_payment_is_there(world):
    key, refund = world.key(), world.key()
    payment = world.expect(key, "shop")
    world.publish([("payment.refund", refund, {"paymentId": payment, "amount": 5})])
    letter = farms.wait_for(lambda: next((x for x in world.dead_letters() if x.get("messageId") == refund), None), 30, "its dead letter")
    assert run(world, "dlq", "show", letter["id"])[1]["replayEffect"].startswith("nothing a replay could mend")
    world.pay(world.plain(), key=key)
    world.wait_state(payment, "completed")
    assert run(world, "dlq", "show", letter["id"])[1]["replayEffect"] == "something is left to do"


# --- doctor ---

def doctor(world, **environment):
    done = world.farm.acquit("doctor", "--json", check=False, environment=environment)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["ok"] else 1)
    return answer


def problems(answer, check=None):
    return [row for row in answer["checks"] if row["state"] == "problem" and check in (None, row["check"])]


def wait_green(world):
    farms.wait_for(lambda: doctor(world)["ok"], 40, f"a farm without problems: {problems(doctor(world))}")


def wait_problem(world, check, part):
    """The broker's statistics are some seconds late."""
    return farms.wait_for(lambda: next((row for row in problems(doctor(world), check) if part in row["detail"]), None), 40, f"{check}: {part}")


def test_a_healthy_farm_is_green(world):
    completed(world)
    wait_green(world)
    answer = doctor(world)
    checks = {row["check"] for row in answer["checks"]}
    assert checks == {"configuration", "providers", "ledger", "clock", "ledger role", "schema", "epoch", "partitions", "dead letters", "cases", "payments", "lists", "trial balance", "transit accounts", "broker",
                      "broker user", "topology", "workers", "dead-letter queues"}
    assert "acquit_operator reads only" in next(row["detail"] for row in answer["checks"] if row["check"] == "ledger role")
    assert "ok " in world.farm.acquit("doctor")


def test_doctor_finds_a_deleted_binding(world):
    wait_green(world)
    world.farm.services.mgmt("DELETE", "/api/bindings/acquit/e/acquit.cmd/q/acquit.refund/payment.refund")
    found = wait_problem(world, "topology", "payment.refund")
    assert "acquit topology apply" in found["remedy"]
    world.farm.acquit("topology", "apply", environment={"ACQUIT_BROKER_URL": world.farm.services.amqp_url})
    wait_green(world)


def test_doctor_finds_a_policy(world):
    wait_green(world)
    world.farm.services.mgmt("PUT", "/api/policies/acquit/stray", {"pattern": "^acquit\\.refund$", "definition": {"overflow": "drop-head"}, "apply-to": "queues"})
    try:
        assert "stray" in wait_problem(world, "topology", "overflow")["remedy"]
    finally:
        world.farm.services.mgmt("DELETE", "/api/policies/acquit/stray")
    wait_green(world)


def test_doctor_finds_a_stopped_worker_and_what_stands_still(world):
    wait_green(world)
    world.farm.stop_program("refund-1")
    assert "acquit-worker@refund" in wait_problem(world, "workers", "acquit.refund")["remedy"]
    world.farm.start_worker("refund-1")
    world.farm.stop_program("authorize-1")
    payment = world.expect(key := world.key(), "tickets")
    world.publish([("payment.create", key, world.dual())], "tickets")
    assert "1 messages" in wait_problem(world, "workers", "acquit.authorize: no consumers, 1")["detail"]
    world.farm.start_worker("authorize-1")
    world.wait_state(payment, "completed")
    wait_green(world)


def test_doctor_counts_payments_that_stand_still(world):
    world.farm.stop_program("notify-1")
    payment = completed(world)

    def still():
        return [row for row in doctor(world)["checks"] if row["check"] == "payments" and row["state"] == "warning"
                and payment.replace("-", "") in row["detail"]]  # others' refunds in doubt may stand still, too
    (row,) = farms.wait_for(still, 20, "the payment that stands still")
    assert "stand still" in row["detail"]
    world.farm.start_worker("notify-1")
    world.wait_fact(payment, "notice:payment.completed:webhook")


def test_doctor_without_ledger_broker_or_configuration(world):
    nowhere = doctor(world, ACQUIT_LEDGER_URL="postgresql://nobody@127.0.0.1:1/acquit", ACQUIT_BROKER_URL="amqp://a:b@127.0.0.1:1/acquit")
    assert problems(nowhere, "ledger") and problems(nowhere, "broker")
    done = subprocess.run([world.farm.program("acquit"), "doctor", "--config", "/nowhere/acquit.conf"], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1 and "configuration" in done.stdout


def test_doctor_names_the_role_and_warns_of_the_owner(world):
    answer = doctor(world, ACQUIT_LEDGER_URL=world.farm.services.pg_url)
    (row,) = [row for row in answer["checks"] if row["check"] == "ledger role"]
    assert row["state"] == "warning" and "owns the ledger" in row["detail"]
    (row,) = [row for row in doctor(world, ACQUIT_LEDGER_URL=world.farm.pg_url("acquit_farm"))["checks"] if row["check"] == "ledger role"]
    assert row["state"] == "ok" and row["detail"].startswith("acquit_farm reads and inserts")


# --- completion ---

def complete(world, *words):
    """What bash offers for the last word."""
    script = ('source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _acquit; printf "%s\\n" "${COMPREPLY[@]}"')
    program = world.farm.program("acquit")
    done = subprocess.run(["bash", "-c", script, program, program, *words], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.split()


def test_bash_completes_commands_options_and_ids(world):
    payment = completed(world)
    config = ("--config", world.farm.config)
    assert complete(world, "do") == ["doctor"] and "payment" in complete(world, "")
    assert complete(world, "payment", "can") == ["cancel"]
    assert complete(world, "dlq", "list", "--st") == ["--state"]
    assert complete(world, "migrate", "--ch") == ["--check"]
    farms.wait_for(lambda: "tx_" + payment.replace("-", "") in complete(world, "payment", "show", *config, ""), 10, "the payment in the lists")
    assert complete(world, "payment", "show", *config, "tx_zz") == []
    assert complete(world, "payment", "list", "--limit", "") == []
    letters = [letter["id"] for letter in world.dead_letters()][:20]
    assert complete(world, "dlq", "show", *config, "") == letters
