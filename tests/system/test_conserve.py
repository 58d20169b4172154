"""test_conserve.py - every confirmed publish came to an end, is under way, or is named (ADR 24)"""

import json
import signal

import farm as farms
import pika


def listed(world, commands, publisher="shop"):
    """Publishes them, and writes down what the broker confirmed, as a publisher would."""
    world.publish(commands, publisher)
    return [(key, kind, world.today(), publisher) for kind, key, _ in commands]


def total(told, member):
    return sum(row[member] for row in told["rows"])


def test_a_run_with_faults_kills_and_dead_letters_adds_up_until_one_message_is_stolen(world, tmp_path):
    keys = [world.key() for _ in range(24)]
    payments = {key: world.expect(key, "shop") for key in keys}
    for payment in list(payments.values())[:12]:
        world.fault(payment, "stripe.authorize", "close_after")
        world.fault(payment, "stripe.capture", "answer_500_after", stored=False)
    unknown = [(kind, world.key(), {"paymentId": "00000000-0000-8000-8000-00000000000%d" % n}) for n, kind in
               enumerate(["payment.refund", "payment.cancel"])]
    lines = listed(world, [("payment.create", key, world.plain(1000 + n)) for n, key in enumerate(keys)])
    world.farm.stop_program("authorize-1", signal.SIGKILL)
    world.farm.start_worker("authorize-1")
    world.wait_ended(list(payments.values()))
    lines += listed(world, unknown)  # after the kill: it may have made two of what waited, and each would die
    lines += listed(world, [("payment.refund", world.key(), {"paymentId": payments[keys[0]], "amount": 100}),
                                      ("payment.cancel", world.key(), {"paymentId": payments[keys[1]]})])
    letters = farms.wait_for(lambda: (lambda found: found if len(found) == 2 else None)(
        [x for x in world.dead_letters() if x.get("messageId") in {key for _, key, _ in unknown}]), 30, "both dead letters")
    world.farm.acquit("dlq", "discard", letters[0]["id"], "--reason", "no such payment")

    code, told = world.conserve(tmp_path, lines)
    assert (code, told["sum"], told["missing"]) == (0, "right", []), told
    assert (total(told, "published"), total(told, "settled"), total(told, "dead"), total(told, "discarded")) == (28, 26, 1, 1)

    # Without the publisher's list nothing is proven, and it says so.
    counted = json.loads(world.farm.acquit("audit", "conserve", "--json"))
    assert counted["sum"] == "not proven" and total(counted, "settled") >= 26

    # One waits for a worker: it may be in the broker, which does not say so. Then somebody takes it.
    world.farm.stop_program("authorize-1")
    stolen = world.key()
    lines += listed(world, [("payment.create", stolen, world.plain(7))])
    farms.wait_for(lambda: world.queue_depth("acquit.authorize")[0] == 1, 20, "the management API to tell of it")
    code, told = world.conserve(tmp_path, lines, "--wait-ms", "0")
    assert (code, told["sum"], [one["id"] for one in told["missing"]]) == (75, "open", [stolen]), told
    connection = pika.BlockingConnection(pika.URLParameters(world.farm.services.amqp_url))
    taken, _, _ = connection.channel().basic_get("acquit.authorize", auto_ack=True)
    connection.close()
    assert taken
    world.farm.start_worker("authorize-1")
    farms.wait_for(lambda: world.queue_depth("acquit.authorize")[0] == 0, 20, "the management API to tell of it")
    code, told = world.conserve(tmp_path, lines, "--wait-ms", "1000")
    assert (code, told["sum"]) == (1, "wrong"), told
    assert [(one["id"], one["type"], one["publisher"], one["fate"]) for one in told["missing"]] == [(stolen, "payment.create", "shop", "absent")]
    assert [(group["queue"], group["lost"]) for group in told["groups"]] == [("acquit.authorize", 1)]

    # Published again under the same id it is done, once, and all is well.
    world.expect(stolen, "shop")
    world.publish([("payment.create", stolen, world.plain(7))])
    code, told = world.conserve(tmp_path, lines)
    assert (code, told["missing"]) == (0, [])


def test_a_line_that_is_no_line_is_named(world, tmp_path):
    code, told = world.conserve(tmp_path, [("k", "payment.look", "2026-11-20", "shop")])
    assert code == 2 and "line 2: type" in told["message"]
