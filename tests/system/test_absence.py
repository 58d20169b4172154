"""test_absence.py - that a fact was not recorded, proven to a stranger; both verifiers refuse whatever was changed, and the map follows the ledger"""

import base64
import copy
import hashlib
import json
import re

import farm as farms
import psycopg2
import pytest
import test_receipts as receipts
import test_sealing as sealing

NOBODY = "tx_" + "7" * 32


def absent(world, payment, slot, *more):
    return world.farm.acquit("ledger", "prove", "--absent", payment, slot, *more, check=False)


def prove(world, payment, slot):
    done = absent(world, payment, slot)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def both_say(world, tmp_path, receipt, key):
    """What the two verifiers print of a good one."""
    path = receipts.write(tmp_path, "receipt.json", receipt)
    c, python = receipts.in_c(world, path, key), receipts.in_python(path, key)
    assert (c[0], python[0]) == (0, 0), (c, python)
    return c[1], python[1]


def test_what_is_not_there_is_proven(world, tmp_path):
    key = receipts.key_of(world)
    payments = {kind: receipts.pay_one(world, kind) for kind in ("plain", "dual", "refunded")}
    for kind, payment in payments.items():
        receipt = prove(world, payment, "refund:9")
        c, python = both_say(world, tmp_path, receipt, key)
        assert sorted(world.facts(payment)) == receipt["end"]["slots"], kind
        assert "there is no fact refund:9 of this payment" in c and all(slot in c and slot in python for slot in receipt["end"]["slots"])
        assert "That none was recorded later." in c
        view = json.loads(receipts.in_c(world, receipts.write(tmp_path, "receipt.json", receipt), key, "--json")[1])
        assert view["good"] and view["absent"] and view["slots"] == receipt["end"]["slots"] and view["among"] <= view["head"]["size"]
    receipt = prove(world, NOBODY, "received")
    assert "It has no fact at all among them." in both_say(world, tmp_path, receipt, key)[0]
    assert receipt["end"] is None or receipt["end"]["payment"] != receipt["payment"]
    file = tmp_path / "file.json"
    assert world.farm.acquit("ledger", "prove", "--absent", NOBODY, "received", "--output", str(file)) == ""
    assert json.loads(file.read_text())["way"] == receipt["way"]
    # more is recorded: what was given away stays good, and says no more than it did
    world.farm.acquit("payment", "refund", payments["plain"], "--amount", "1", "--key", world.key())
    before = prove(world, payments["plain"], "refund:2")
    world.wait_fact(payments["plain"], "refund:1:result")
    assert "refund:1" in prove(world, payments["plain"], "refund:2")["end"]["slots"]
    assert "refund:2" not in both_say(world, tmp_path, before, key)[0].split("Those that it has")[1]


def test_what_is_there_is_not_absent(world):
    """The answer is no: exit 1. Also of a fact that no map has yet."""
    payment = receipts.pay_one(world, "plain")
    receipts.until_sealed(world)
    done = absent(world, payment, "capture")
    assert done.returncode == 1 and re.match(f"no: capture of {payment} stands in the ledger, recorded .*, sealed at position [0-9]+\n", done.stdout), done
    answer = absent(world, payment, "capture", "--json")
    assert answer.returncode == 1 and json.loads(answer.stdout)["absent"] is False
    world.farm.stop_program("keeper")
    try:
        world.farm.acquit("payment", "refund", payment, "--amount", "100", "--key", world.key())
        world.wait_fact(payment, "refund:1:result")
        done = absent(world, payment, "refund:1")
        assert done.returncode == 1 and "not sealed yet" in done.stdout
        assert absent(world, payment, "refund:2", "--wait-ms", "200").returncode == 75
        assert absent(world, payment, "refund:2", "--sealed-only").returncode == 0  # up to that head
    finally:
        world.farm.start_keeper()
    assert absent(world, payment, "refund:2").returncode == 0
    for wrong in (["refund 1"], ["REFUND"], ["x" * 96], [""]):
        assert absent(world, payment, *wrong).returncode == 2, wrong
    assert absent(world, "nonsense", "capture").returncode == 2
    for usage in (["--absent", payment], [payment, "capture"]):
        assert world.farm.acquit("ledger", "prove", *usage, check=False).returncode == 2


def test_a_reader_is_enough(world):
    as_reader = {"ACQUIT_LEDGER_URL": world.farm.pg_url("acquit_auditor"), "ACQUIT_LEDGER_READ_URL": world.farm.pg_url("acquit_auditor"), "ACQUIT_SEAL_KEY": ""}
    done = world.farm.acquit("ledger", "prove", "--absent", NOBODY, "received", environment=as_reader, check=False)
    assert done.returncode == 0, done.stderr


def other_way(way):
    flipped = base64.b64encode(bytes([base64.b64decode(way)[0] ^ 1]) + base64.b64decode(way)[1:]).decode()
    return [flipped, way[:-1], way + "\n", "", None, 7]


def says_another_truth(new, given):
    """Another slot that is not there either, or another payment whose way ends at the same place."""
    if new == given | {"slot": new.get("slot")}:
        return isinstance(new["slot"], str) and re.fullmatch("[a-z0-9.:_-]{1,95}", new["slot"]) and not (given["end"] and new["slot"] in given["end"]["slots"])
    if new != given | {"payment": new.get("payment")} or (given["end"] and given["end"]["payment"] == given["payment"]):
        return False
    return bits_of(new["payment"])[:len(given["way"])] == bits_of(given["payment"])[:len(given["way"])] and new["payment"] == new["payment"].lower()


def bits_of(payment):
    return format(int(payment.replace("-", ""), 16), "0128b") if isinstance(payment, str) and re.fullmatch("[0-9A-Fa-f-]{36}", payment) else ""


def changes(receipt, other):
    """(name, changed receipt): of the known payment's; `other` is the unknown one's."""
    cases = [(name, new) for given in (receipt, other) for name, new in receipts.by_member(given) if new != given and not says_another_truth(new, given)]
    for n, way in enumerate(receipt["way"]):
        cases += [(f"way {n} as {new!r}", receipts.changed(receipt, ("way", n), receipts.put(new))) for new in other_way(way)[:2]]
    slots = receipt["end"]["slots"]
    for n, slot in enumerate(slots):  # the fact was there and is taken out: the very thing that nobody may do
        cases.append((f"without {slot}", receipt | {"slot": slot, "end": receipt["end"] | {"slots": slots[:n] + slots[n + 1:]}}))
        cases.append((f"absent: {slot}", receipt | {"slot": slot}))
    digest = base64.b64encode(sealing.slots_hash(slots)).decode()
    cases += [("one slot more", receipt | {"end": receipt["end"] | {"slots": sorted([*slots, "void:1"])}}),
              ("the payment as if it were another", receipt | {"slot": slots[0], "end": receipt["end"] | {"slots": digest}}),
              ("another payment's end", receipt | {"end": other["end"]}), ("another payment's way", receipt | {"way": other["way"]}),
              ("another payment's end and way", receipt | {"end": other["end"], "way": other["way"]}), ("as if it had no fact", receipt | {"end": None}),
              ("another payment", receipt | {"payment": other["payment"]}), ("a longer way", receipt | {"way": receipt["way"] + [receipt["way"][-1]]}),
              ("129 steps", receipt | {"way": (receipt["way"] * 130)[:129]}), ("keys none", receipt | {"keys": []}), ("keys null", receipt | {"keys": None}),
              ("keys of nobody", receipt | {"keys": [{"position": 0, "proof": [], "statement": ""}]})]
    cases += receipts.by_byte(receipt, 30) + receipts.by_form(receipt)[:6]
    return [case for case in cases if case[1] != receipt]  # in a small map two may share their way


def forge(receipt, change):
    """The head's text changed and signed by the forger; the receipt and his key."""
    text = change(receipt["head"].split("\n\n")[0] + "\n")
    name = text.split("\n")[0]
    head, public, key_id = receipts.sign(text, receipts.FORGER, name)
    return receipt | {"head": head}, f"{name}+{key_id.hex()}+{base64.b64encode(bytes([1]) + public).decode()}"


def test_whatever_was_changed_is_refused(world, tmp_path):
    key, payment = receipts.key_of(world), receipts.pay_one(world, "plain")
    receipts.until_sealed(world)
    receipt, other = prove(world, payment, "refund:1"), prove(world, NOBODY, "received")
    assert receipt["head"] == other["head"]
    cases = changes(receipt, other)
    assert len(cases) > 120 and receipts.judge_all(world, tmp_path, key, [("good", receipt), ("good too", other)], 0) == 2
    assert receipts.judge_all(world, tmp_path, key, cases, 1) == len(cases)


def test_heads_without_a_map_prove_nothing(world, tmp_path):
    """By who may sign what he likes: of a head that states no map, or one of more facts than there are, nothing follows."""
    receipt = prove(world, receipts.pay_one(world, "plain"), "refund:1")
    good, forger = forge(receipt, lambda text: text)
    size = int(receipt["head"].split("\n")[1])
    lines = {"no map": "", "too large": f"acquit-map-v1 size={size + 1} ", "none": "acquit-map-v1 size=0 ", "another form": "acquit-map-v1 facts=1 ",
             "another root": f"acquit-map-v1 size={size} root={base64.b64encode(bytes(32)).decode()}\nmore "}
    cases = [(name, forge(receipt, lambda text, line=line: re.sub("acquit-map-v1 size=[0-9]+ ", line, text))[0]) for name, line in lines.items()]
    cases.append(("not by our key", forge(receipt, lambda text: text)[0]))
    assert receipts.judge_all(world, tmp_path, forger, [("good", good)], 0) == 1 and receipts.judge_all(world, tmp_path, forger, cases[:-1], 1) == 5
    assert receipts.judge_all(world, tmp_path, receipts.key_of(world), cases, 1) == 6


# --- the map follows the ledger ---

def test_every_head_states_the_map_of_its_leaves(world):
    world.wait_ended([world.pay(world.plain() if n % 2 else world.dual()) for n in range(8)])
    sealing.until_mapped(world)
    leaves = world.sql("select payment_id::text, slot from ledger.seal_leaf order by position")
    stated = {}
    for head in sealing.heads(world):
        if head["map"]:
            assert head["map"][0] <= head["size"] and stated.setdefault(*head["map"]) == head["map"][1], head["text"]
            assert head["map"][0] == max(stated), "maps do not go back"
    assert len(stated) > 3 and max(stated) == len(leaves)
    for size in sorted(stated)[-6:]:
        assert sealing.map_root(leaves[:size]) == stated[size], f"the map of the first {size} leaves"


def heads_go_on(world):
    """A payment more, and a map that has it."""
    world.wait_ended([world.pay(world.plain())])
    sealing.until_mapped(world)
    leaves = world.sql("select payment_id::text, slot from ledger.seal_leaf order by position")
    assert sealing.heads(world)[-1]["map"] == (len(leaves), sealing.map_root(leaves))


def sql_as_owner(world, statement):
    with psycopg2.connect(world.farm.services.pg_url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("harm", ["truncate view.map_part", "delete from view.map_part where first = (select first from view.map_part order by first limit 1)",
                                  "update view.map_part set root = '\\x02' || sha256('x')", "update view.map_part set children = children || ''::bytea, depth = 124",
                                  "update view.map_part set children = overlay(children placing sha256('x') from 3)"])
def test_what_is_kept_of_the_map_can_be_thrown_away(world, harm):
    """Gone or changed, while the keeper runs and while it does not: it is built anew, and every map is the right one."""
    heads_go_on(world)
    sql_as_owner(world, harm)
    heads_go_on(world)
    assert absent(world, NOBODY, "received").returncode == 0
    world.farm.stop_program("keeper")
    sql_as_owner(world, harm)
    world.farm.start_keeper()
    heads_go_on(world)
    assert absent(world, NOBODY, "received").returncode == 0
    assert json.loads(world.farm.acquit("ledger", "verify", "--json", check=False).stdout)["good"]


def test_the_map_is_found_as_it_was_left(world):
    """A keeper that starts again goes on from what is kept: no part is written that did not change."""
    heads_go_on(world)
    world.farm.stop_program("keeper")
    kept = world.sql("select first::text, xmin::text from view.map_part")
    world.farm.start_keeper()
    farms.wait_for(lambda: "caught up" in world.farm.log_tail("keeper", 3), 20, "the keeper")
    last = sealing.heads(world)[-1]["map"]
    assert world.sql("select first::text, xmin::text from view.map_part") == kept and last[0] == world.sql("select count(*) from ledger.seal_leaf")[0][0]
    heads_go_on(world)


def test_a_leaf_taken_away_is_not_absent(world):
    """As the owner, with the trigger off and the keeper away: neither is its fact proven absent, nor anything of a payment beside it; put back afterwards."""
    payment = receipts.pay_one(world, "plain")
    sealing.until_mapped(world)
    world.farm.stop_program("keeper")
    position, digest = world.sql("select position, hash from ledger.seal_leaf where payment_id = %s and slot = 'capture'", payment)[0]
    off, on = "alter table ledger.{0} disable trigger insert_only;", "alter table ledger.{0} enable always trigger insert_only;"
    fact = world.sql("select to_jsonb(e)::text from ledger.event e where payment_id = %s and slot = 'capture'", payment)[0][0]
    try:
        sql_as_owner(world, off.format("seal_leaf") + off.format("event") + f"delete from ledger.seal_leaf where position = {position};"
                     f"delete from ledger.event where payment_id = '{payment}' and slot = 'capture'")
        done = absent(world, payment, "capture", "--wait-ms", "0")
        assert done.returncode == 1 and "not the one that its last head states" in done.stderr and done.stdout == "", done
        told = json.loads(world.farm.acquit("ledger", "verify", "--json", check=False).stdout)["faults"]
        assert {"map", "leaf-missing"} <= {fault["rule"] for fault in told}, told
    finally:
        sql_as_owner(world, f"insert into ledger.seal_leaf values ({position}, '{payment}', 'capture', '\\x{bytes(digest).hex()}');"
                     "insert into ledger.event overriding system value select (jsonb_populate_record(null::ledger.event, '"
                     + fact.replace("'", "''") + "'::jsonb)).*;" + on.format("seal_leaf") + on.format("event"))
        world.farm.start_keeper()
    assert absent(world, payment, "capture").returncode == 1 and absent(world, payment, "refund:1").returncode == 0
    assert json.loads(world.farm.acquit("ledger", "verify", "--json", check=False).stdout)["good"]


def test_vectors(world, tmp_path):
    """The ways and hashes of docs/sealing.md, by nothing but its words."""
    receipt = prove(world, receipts.pay_one(world, "plain"), "refund:1")
    bits = format(int(receipt["payment"].replace("-", ""), 16), "0128b")
    node = hashlib.sha256(b"\2" + bytes.fromhex(receipt["payment"].replace("-", "")) + sealing.slots_hash(receipt["end"]["slots"])).digest()
    for depth in reversed(range(len(receipt["way"]))):
        other = base64.b64decode(receipt["way"][depth])
        node = hashlib.sha256(b"\3" + (other + node if bits[depth] == "1" else node + other)).digest()
    assert node == sealing.map_of(receipt["head"])[1]
    again = copy.deepcopy(receipt)
    assert both_say(world, tmp_path, again, receipts.key_of(world))
