"""test_rotation.py - a new key for the ledger's heads: named by the old one, sealed like a fact, and followed by whoever trusts either"""

import base64
import json
import os
import re
import shutil

import farm as farms
import test_absence as absence
import test_receipts as receipts
import test_sealing as sealing


def replace_key(world, path):
    """The keeper's file is another one; the keeper is started anew with it."""
    world.farm.stop_program("keeper")
    shutil.copy(path, world.farm.path("secrets", "seal"))
    world.farm.start_keeper()


def rotate(world, tmp_path, name):
    """As the guide says. Returns the old public key and the new one."""
    new, old = tmp_path / name, receipts.key_of(world)
    public = world.farm.acquit("ledger", "rotate-key", world.farm.path("secrets", "seal"), str(new)).strip()
    assert public != old and public.startswith("acquit.test/ledger+") and new.stat().st_mode & 0o777 == 0o600
    replace_key(world, new)
    assert receipts.key_of(world) == public
    return old, public


def key_ids(world):
    """{size: ids of the keys that signed heads of trees so large}"""
    found = {}
    for head in sealing.heads(world):
        found.setdefault(head["size"], set()).add(base64.b64decode(head["text"].rstrip().split(" ")[-1])[:4].hex())
    return found


def verify(world, *arguments):
    done = world.farm.acquit("ledger", "verify", "--json", "--heads", world.farm.path("heads"), *arguments, check=False)
    return json.loads(done.stdout)


def faults(answer):
    return {fault["rule"] for fault in answer["faults"]}


def until_head_by(world, key):
    wanted = key.split("+")[1]
    farms.wait_for(lambda: base64.b64decode(sealing.heads(world)[-1]["text"].rstrip().split(" ")[-1])[:4].hex() == wanted, 20, "a head by the new key")


def test_a_new_key_twice(world, tmp_path):
    payment = receipts.pay_one(world, "plain")
    sealing.until_mapped(world)
    early = receipts.prove(world, payment)
    before = len(early.get("keys", []))  # the farm may have changed it before
    first, second = rotate(world, tmp_path, "second.key")
    until_head_by(world, second)  # at once, without a fact
    late = receipts.pay_one(world, "plain")
    _, third = rotate(world, tmp_path, "third.key")
    until_head_by(world, third)
    # statements are leaves, in the order of the tree, and each size has one key
    rows = world.sql("select k.position, k.statement, l.payment_id::text, l.slot from ledger.seal_key k join ledger.seal_leaf l using (position) order by 1")
    assert [row[2:] for row in rows] == [("0" * 8 + "-0000-0000-0000-" + "0" * 12, f"key:{n + 1}") for n in range(before + 2)]
    assert [row[1].split("\n")[2:4] for row in rows[-2:]] == [[first, second], [second, third]]
    ids = key_ids(world)
    for size, signers in ids.items():
        key = first if size <= rows[-2][0] else second if size <= rows[-1][0] else third
        assert size <= rows[-3][0] if before and signers != {key.split("+")[1]} else signers == {key.split("+")[1]}, (size, signers)
    # receipts from before stay good for who has that key; those of now for who has any
    keys = [first, second, third]
    now = receipts.prove(world, payment)
    assert len(now["keys"]) == before + 2 and "keys" in now
    gone = absence.prove(world, late, "refund:1")
    for key in keys:
        for receipt in (now, gone):
            codes, said = receipts.both(world, receipts.write(tmp_path, "now.json", receipt), key)
            assert codes == (0, 0), said
        codes, said = receipts.both(world, receipts.write(tmp_path, "early.json", early), key)
        assert codes == ((0, 0) if key == first else (1, 1)), said
        assert verify(world, "--key", key)["good"], key
    assert "changed its key" in receipts.in_c(world, receipts.write(tmp_path, "now.json", now), first)[1]
    # whatever is changed in what leads there
    other = receipts.sign(re.split("\n\n", now["keys"][-1]["statement"])[0] + "\n", receipts.FORGER, "acquit.test/ledger")[0]
    chain, statement = now["keys"], now["keys"][-1]["statement"]
    swapped = "\n".join(statement.split("\n")[:6] + [statement.split("\n")[7], statement.split("\n")[6], ""])
    cases = [("none", {name: value for name, value in now.items() if name != "keys"}), ("the last one left out", now | {"keys": chain[:-1]}),
             ("the first two left out", now | {"keys": chain[:before] + chain[-1:]} if before else now | {"keys": chain[:1]}),
             ("turned around", now | {"keys": chain[::-1]}), ("twice", now | {"keys": chain + chain[-1:]}), ("all twice", now | {"keys": chain + chain}),
             ("signed by somebody", now | {"keys": chain[:-1] + [chain[-1] | {"statement": other}]}),
             ("signatures swapped", now | {"keys": chain[:-1] + [chain[-1] | {"statement": swapped}]}),
             ("a blank more", now | {"keys": chain[:-1] + [chain[-1] | {"statement": statement + " "}]}),
             ("position one more", now | {"keys": chain[:-1] + [chain[-1] | {"position": chain[-1]["position"] + 1}]}),
             ("position of the other", now | {"keys": chain[:-1] + [chain[-1] | {"position": chain[-2]["position"]}]}),
             ("position true", now | {"keys": chain[:-1] + [chain[-1] | {"position": True}]}), ("no proof", now | {"keys": chain[:-1] + [chain[-1] | {"proof": []}]}),
             ("the other's proof", now | {"keys": chain[:-1] + [chain[-1] | {"proof": chain[-2]["proof"]}]}),
             ("a member more", now | {"keys": chain[:-1] + [chain[-1] | {"more": 1}]}), ("another head", now | {"head": early["head"]})]
    assert receipts.judge_all(world, tmp_path, first, cases, 1) == len(cases)


def test_a_key_that_nobody_named_signs_nothing(world, tmp_path):
    """The keeper refuses to go on; a head by such a key, or by a key that has been replaced, is told by verify."""
    receipts.pay_one(world, "plain")
    sealing.until_mapped(world)
    kept, stranger = tmp_path / "kept.key", tmp_path / "stranger.key"
    shutil.copy(world.farm.path("secrets", "seal"), kept)
    world.farm.acquit("ledger", "keygen", str(stranger))
    replace_key(world, stranger)
    try:
        farms.wait_for(lambda: "is not of our key, nor of one that names it" in world.farm.log_tail("keeper", 30), 20, "the keeper's complaint")
        height = world.sql("select max(height) from ledger.seal")
        receipts.pay_one(world, "plain")
        assert world.sql("select max(height) from ledger.seal") == height
    finally:
        replace_key(world, kept)
    sealing.until_mapped(world)
    # its statement is by somebody else
    world.farm.acquit("ledger", "rotate-key", str(stranger), str(tmp_path / "of a stranger.key"))
    replace_key(world, tmp_path / "of a stranger.key")
    try:
        farms.wait_for(lambda: world.farm.log_tail("keeper", 3).count("is not of our key, nor of one that names it") >= 1, 20, "the keeper's complaint")
    finally:
        replace_key(world, kept)
    sealing.until_mapped(world)
    old, new = rotate(world, tmp_path, "next.key")
    until_head_by(world, new)
    receipts.pay_one(world, "plain")
    sealing.until_mapped(world)
    seen, last = tmp_path / "seen", sealing.heads(world)[-1]["text"]
    os.mkdir(seen)
    text, name = last.split("\n\n")[0] + "\n", "acquit.test/ledger"
    for who, private in (("old", base64.b64decode(kept.read_text().split(" ")[0].strip())), ("stranger", base64.b64decode(stranger.read_text().strip()))):
        (seen / f"{who}.head").write_text(receipts.sign(text, private, name)[0], encoding="utf-8")
    for key in (old, new):
        done = world.farm.acquit("ledger", "verify", "--json", "--heads", str(seen), "--key", key, check=False)
        told = json.loads(done.stdout)["faults"]
        assert {fault["rule"] for fault in told} == {"head"} and len(told) == 2, told
        assert any("was not the ledger's when it had" in fault["message"] for fault in told), told
        assert verify(world, "--key", key)["good"]


def test_misuse(world, tmp_path):
    seal, new = world.farm.path("secrets", "seal"), tmp_path / "new.key"
    new.write_text("there\n")
    done = world.farm.acquit("ledger", "rotate-key", seal, str(new), check=False)
    assert done.returncode == 1 and "never overwritten" in done.stderr and new.read_text() == "there\n"
    assert world.farm.acquit("ledger", "rotate-key", str(tmp_path / "none"), str(tmp_path / "x"), check=False).returncode == 1
    assert world.farm.acquit("ledger", "rotate-key", str(new), str(tmp_path / "x"), check=False).returncode == 78
    assert world.farm.acquit("ledger", "rotate-key", seal, check=False).returncode == 2 and not (tmp_path / "x").exists()
    named = world.farm.acquit("ledger", "rotate-key", seal, str(tmp_path / "y"), "--origin", "example.org/books").strip()
    assert named.startswith("example.org/books+") and world.farm.acquit("ledger", "key", str(tmp_path / "y"), "--origin", "example.org/books").strip() == named
