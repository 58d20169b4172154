"""test_receipts.py - what happened to a payment, proven to a stranger; whatever was changed is refused, by both verifiers"""

import base64
import concurrent.futures
import copy
import hashlib
import itertools
import json
import os
import random
import stat
import subprocess
import sys

import farm as farms
import psycopg2
import test_sealing as sealing

VERIFIER = os.path.join(farms.ROOT, "docs", "verify_receipt.py")
sys.path.insert(0, os.path.dirname(VERIFIER))
sys.dont_write_bytecode = True  # docs/ holds documents

import verify_receipt  # noqa: E402

KINDS = ("plain", "dual", "refunded", "failed", "cancelled", "fail-over")
EMPTY = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ACQUIT_CONFIG": "/nonexistent/acquit.conf"}
ASAN = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}


# --- making them ---

def prove(world, payment, *more, environment=None):
    done = world.farm.acquit("ledger", "prove", payment, *more, check=False, environment=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def key_of(world):
    return world.farm.acquit("ledger", "key").strip()


def until_sealed(world):
    """And no further head comes by itself."""
    sealing.until_mapped(world)


def pay_one(world, kind):
    if kind in ("dual", "refunded"):
        payment = world.pay(world.dual(900), "tickets")
        world.wait_state(payment, "completed")
    elif kind == "cancelled":
        payment = world.pay(world.plain(token="tok_requires_action", gateway="simulated"))
        world.wait_state(payment, "requires_action")
        world.farm.acquit("payment", "cancel", payment)
    elif kind == "failed":
        payment = world.pay(world.plain(token="tok_capture_refused", gateway="simulated"))
    else:
        payment = world.pay(world.plain(preferredGateways=["stripe", "simulated"], paymentToken="tok_visa")
                            if kind == "fail-over" else world.plain(reference={"type": "booking", "id": "b-\u00e9-\U0001f3ab"}))
    if kind == "refunded":
        for more in (["--amount", "300"], []):
            world.farm.acquit("payment", "refund", payment, "--key", world.key(), *more)
    world.wait_state(payment, {"refunded": "refunded", "failed": "failed", "cancelled": "cancelled"}.get(kind, "completed"))
    return payment


def receipts_of(world):
    """{kind: (payment, receipt)} over one head: nothing is sealed between."""
    payments = {kind: pay_one(world, kind) for kind in KINDS}
    until_sealed(world)
    return {kind: (payment, prove(world, payment)) for kind, payment in payments.items()}


# --- the two verifiers ---

def in_c(world, path, key, *more):
    """Without settings, database or home."""
    done = subprocess.run([world.farm.program("acquit"), "receipt", "verify", path, "--key", key, *more], capture_output=True, text=True, cwd="/",
                          env=EMPTY | ASAN, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def in_python(path, key):
    done = subprocess.run([sys.executable, VERIFIER, path, key], capture_output=True, text=True, cwd="/", env=EMPTY, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def write(folder, name, content):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def both(world, path, key):
    """Both exit codes, and both reasons."""
    c, python = in_c(world, path, key), in_python(path, key)
    return (c[0], python[0]), f"C: {c[1][:300]}{c[2][:300]} Python: {python[1][:300]}{python[2][-300:]}"


def judge_all(world, folder, key, cases, wanted):
    """Every case, a (name, content), has this exit code with both. Returns how many."""
    def judge(numbered):
        number, (name, content) = numbered
        path = write(folder, f"{number}.json", content)
        codes, said = both(world, path, key)
        os.unlink(path)
        return None if codes == (wanted, wanted) else f"{name}: {codes} {said}"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = [finding for finding in pool.map(judge, enumerate(cases)) if finding]
    assert not wrong, f"{len(wrong)} of {len(cases)}: " + "\n".join(wrong[:10])
    return len(cases)


# --- good ones ---

def test_receipts_of_every_kind_are_good(world, tmp_path):
    key, before = key_of(world), {}
    for kind, (payment, receipt) in receipts_of(world).items():
        path = write(tmp_path, kind + ".json", receipt)
        facts, data = world.facts(payment), world.http("GET", f"/api/payments/{payment}", publisher=world.created[payment])[1]["data"]
        assert {item["fact"]["slot"]: item["fact"]["outcome"] for item in receipt["facts"]} == facts
        assert receipt["summary"] == {"state": data["status"], "amount": data["amount"], "currency": data["currency"], "captured": data.get("capturedAmount", 0),
                                      "refunded": data["refundedAmount"], "facts": len(facts)}, kind
        transfers = world.sql("select count(*) from ledger.transfer where payment_id = %s", payment)[0][0]
        assert sum(len(item["transfers"]) for item in receipt["facts"]) == transfers
        code, said, why = in_c(world, path, key)
        assert code == 0, f"{kind}: {why}"
        assert f"These {len(facts)} facts and their {transfers} transfers" in said and "no further facts" in said, said
        assert all(slot in said for slot in facts) and hashlib.sha256(receipt["head"].encode()).hexdigest() in said
        view = json.loads(in_c(world, path, key, "--json")[1])
        assert view["good"] is True and view["summary"] == receipt["summary"] and [fact["slot"] for fact in view["facts"]] == [
            item["fact"]["slot"] for item in receipt["facts"]]
        code, said, why = in_python(path, key)
        assert code == 0 and str(receipt["summary"]) in said, f"{kind}: {why}"
        before[path] = receipt
    assert any("auth:2:result" in (item["fact"]["slot"] for item in receipt["facts"]) for receipt in before.values())
    # more is sealed: what was given away stays good, and a new receipt is under the new head
    heights = world.sql("select max(height) from ledger.seal")
    world.wait_ended([world.pay(world.plain()) for _ in range(3)])
    until_sealed(world)
    assert world.sql("select max(height) from ledger.seal") > heights
    for path, receipt in before.items():
        assert both(world, path, key)[0] == (0, 0)
        again = prove(world, receipt["payment"])
        assert again["head"] != receipt["head"] and [item["fact"] for item in again["facts"]] == [item["fact"] for item in receipt["facts"]]
        assert both(world, write(tmp_path, "again.json", again), key)[0] == (0, 0)


def test_states_between_are_agreed_upon(world, tmp_path):
    """What is derived, at every moment that can be caught."""
    key, seen = key_of(world), set()
    waiting = world.pay(world.plain(token="tok_requires_action", gateway="simulated"))
    world.wait_state(waiting, "requires_action")
    undone, silent = world.key(), world.key()
    world.fault(world.expect(undone, "tickets"), "token.activate", "answer_500_before", times=-1)
    world.fault(world.expect(silent, "shop"), "stripe.capture", "answer_500_before", times=-1)
    payments = [waiting, world.pay(world.dual(), "tickets", undone), world.pay(world.plain(), "shop", silent), world.pay(world.dual(stock="soldout-1"), "tickets"),
                world.pay(world.dual(token="pm_card_chargeDeclined"), "tickets")]
    world.wait_fact(payments[2], "decision")

    def look():
        for payment in payments:
            done = world.farm.acquit("ledger", "prove", payment, "--sealed-only", check=False)
            if done.returncode == 0:
                receipt = json.loads(done.stdout)
                seen.add(receipt["summary"]["state"])
                codes, said = both(world, write(tmp_path, "now.json", receipt), key)
                assert codes == (0, 0), said
        return {"requires_action", "failed", "authorized"} <= seen
    farms.wait_for(look, 60, f"the states, of which {seen} were seen")
    farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
    assert world.farm.acquit("payment", "cancel", waiting, check=False).returncode == 0
    world.wait_ended(payments)


def test_another_layout_is_the_same_receipt(world, tmp_path):
    payment = pay_one(world, "plain")
    receipt, key = prove(world, payment), key_of(world)
    turned = dict(reversed(receipt.items())) | {"facts": [dict(reversed(item.items())) for item in receipt["facts"]]}
    layouts = [json.dumps(receipt, indent=1), json.dumps(receipt, sort_keys=True), json.dumps(receipt, ensure_ascii=False, separators=(",", ":")), json.dumps(turned)]
    assert judge_all(world, tmp_path, key, [(f"layout {n}", text.encode()) for n, text in enumerate(layouts)], 0) == 4
    file = tmp_path / "receipt.json"
    assert world.farm.acquit("ledger", "prove", payment, "--output", str(file)) == ""
    kept, again = json.loads(file.read_text()), prove(world, payment)
    assert {name: kept[name] for name in kept if name not in ("head", "facts")} == {name: again[name] for name in again if name not in ("head", "facts")}
    assert [item["fact"] for item in kept["facts"]] == [item["fact"] for item in again["facts"]]
    key_file = tmp_path / "ledger.pub"
    key_file.write_text(key + "\n")
    assert both(world, str(file), str(key_file))[0] == (0, 0)
    other = world.farm.acquit("ledger", "keygen", str(tmp_path / "other.key")).strip()
    assert in_c(world, str(file), other, "--key", key)[0] == 0 and in_python(str(file), other)[0] == 1
    assert subprocess.run([sys.executable, VERIFIER, str(file), other, key], capture_output=True, check=False).returncode == 0


# --- changed ones ---

def scalars(value, path=()):
    """Paths to all that is no list or object."""
    if isinstance(value, dict):
        return [found for name, member in value.items() for found in scalars(member, (*path, name))]
    if isinstance(value, list):
        return [found for n, member in enumerate(value) for found in scalars(member, (*path, n))]
    return [path]


def containers(value, path=()):
    if not isinstance(value, (dict, list)):
        return []
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [path] + [found for name, member in inner for found in containers(member, (*path, name))]


def at(value, path):
    for step in path:
        value = value[step]
    return value


def changed(receipt, path, change):
    """A copy in which change(parent, last step) was done."""
    mutant = copy.deepcopy(receipt)
    change(at(mutant, path[:-1]), path[-1])
    return mutant


def place(path):
    """Where it is, whichever fact: facts of one kind are tried once."""
    return tuple("*" if isinstance(step, int) else step for step in path)


def put(value):
    return lambda parent, step: parent.__setitem__(step, value)


def other_values(old):
    if isinstance(old, str):
        flipped = old[:-1] + chr(ord(old[-1]) ^ 1) if old else "x"
        return [flipped, "", old + " ", " " + old, old.upper() if old != old.upper() else old.lower() + "x", None, 7, [old]]
    if isinstance(old, int):
        return [old + 1, old - 1, -old - 1, float(old), str(old), True, None, old + 2 ** 40]
    return ["", "null", 0, False]


def by_member(receipt):
    """Each kind of member changed, removed; each object with one more; each list cut, doubled, turned around."""
    cases, seen = [], set()
    for path in scalars(receipt):
        if place(path) in seen and path[-1] not in ("outcome", "amount"):
            continue
        seen.add(place(path))
        old = at(receipt, path)
        cases += [(f"{path}={value!r}", changed(receipt, path, put(value))) for value in other_values(old)
                  if value != old or type(value) is not type(old)]
        cases.append((f"without {path}", changed(receipt, path, lambda parent, step: parent.pop(step))))
    for path in containers(receipt):
        if place(path) in seen and path:
            continue
        seen.add(place(path))
        value = at(receipt, path)
        if isinstance(value, dict):
            cases.append((f"{path}: one member more", changed({"": receipt}, ("", *path), lambda parent, step: parent[step].update({"more": "x"}))[""]))
        elif len(value) > 0:
            turned = {"cut before": value[1:], "cut behind": value[:-1], "doubled": value + value[-1:], "twice": value + value, "empty": []}
            if len(value) > 1 and value != value[::-1]:
                turned |= {"turned around": value[::-1], "rotated": value[1:] + value[:1]}
            cases += [(f"{path} {name}", changed(receipt, path, put(new))) for name, new in turned.items()]
    return cases


def by_swapping(receipt):
    """Between facts: columns, positions, proofs, transfers; the facts themselves."""
    cases, items = [], receipt["facts"]
    for one, other in ((0, 1), (1, len(items) - 1)):
        names = [("position",), ("proof",), ("transfers",), ("fact",), *(("fact", column) for column in items[0]["fact"])]
        for name in names:
            a, b = at(items[one], name), at(items[other], name)
            if a != b:
                mutant = copy.deepcopy(receipt)
                at(mutant["facts"][one], name[:-1])[name[-1]], at(mutant["facts"][other], name[:-1])[name[-1]] = b, a
                cases.append((f"{name} of {one} and {other} swapped", mutant))
        mutant = copy.deepcopy(receipt)
        mutant["facts"][one], mutant["facts"][other] = items[other], items[one]
        cases.append((f"facts {one} and {other} swapped", mutant))
    booked = next(n for n, item in enumerate(items) if len(item["transfers"]) > 1)
    cases.append(("transfers reordered", changed(receipt, ("facts", booked, "transfers"), put(items[booked]["transfers"][::-1]))))
    for n in range(len(items) - 1):
        moved = copy.deepcopy(receipt)
        moved["facts"][n + 1]["transfers"] = moved["facts"][n]["transfers"] + moved["facts"][n + 1]["transfers"]
        moved["facts"][n]["transfers"] = []
        if moved != receipt:
            cases.append((f"transfers of fact {n} moved to the next", moved))
    return cases


def by_dropping(receipt, other):
    """Facts left out, doubled, or taken from another payment."""
    cases, items = [], receipt["facts"]
    for n, item in enumerate(items):
        without = items[:n] + items[n + 1:]
        cases.append((f"without {item['fact']['slot']}", receipt | {"facts": without}))
        cases.append((f"{item['fact']['slot']} twice", receipt | {"facts": items[:n + 1] + items[n:]}))
        cases.append((f"{item['fact']['slot']} twice, counted", receipt | {"facts": items[:n + 1] + items[n:], "summary": receipt["summary"] | {
            "facts": len(items) + 1}}))
        if item["fact"]["slot"] in ("received", "decision", "capture", "token:active", "refund:1:result", "refund:2"):
            cases.append((f"without {item['fact']['slot']}, counted", receipt | {"facts": without, "summary": receipt["summary"] | {"facts": len(without)}}))
    for item in other["facts"]:
        for foreign in (item, item | {"fact": item["fact"] | {"payment_id": receipt["payment"]}}):
            mixed = sorted([*items, foreign], key=lambda one: one["position"])
            cases.append((f"{item['fact']['slot']} of another payment", receipt | {"facts": mixed, "summary": receipt["summary"] | {"facts": len(mixed)}}))
    cases.append(("another payment's facts", receipt | {"facts": other["facts"]}))
    cases.append(("another payment's facts and summary", receipt | {"facts": other["facts"], "summary": other["summary"]}))
    cases.append(("another payment's name", receipt | {"payment": other["payment"]}))
    return cases


def sign(text, private_key, name):
    """A note of ours, signed again."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519
    key = ed25519.Ed25519PrivateKey.from_private_bytes(private_key)
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    key_id = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    return text + f"\n\u2014 {name} " + base64.b64encode(key_id + key.sign(text.encode())).decode() + "\n", public, key_id


def by_head(receipt, other_head):
    """The head of another tree, edited, or signed by somebody else."""
    head = receipt["head"]
    text, signature = head.split("\n\n")
    text += "\n"
    lines, name = text.split("\n"), text.split("\n")[0]
    ours = base64.b64decode(signature.split(" ")[2])
    forged, _, forged_id = sign(text, b"\7" * 32, name)
    heads = {"of another tree": other_head, "by another key": forged, "by another key under our id": text + f"\n\u2014 {name} " + base64.b64encode(
        ours[:4] + base64.b64decode(forged.split(" ")[-1])[4:]).decode() + "\n",
        "ours and another signature": head + forged.split("\n\n")[1], "another signature and ours": forged + signature, "twice signed": head + signature,
        "no signature": text, "no end": head[:-1], "one line end more": head + "\n", "CRLF": head.replace("\n", "\r\n"), "no dash": head.replace("\u2014 ", "- "),
        "signed by another name": head.replace(f"\u2014 {name}", "\u2014 somebody.else"), "a blank more": head.replace(f"\u2014 {name} ", f"\u2014 {name}  "),
        "one size more": head.replace(f"\n{lines[1]}\n", f"\n{int(lines[1]) + 1}\n"), "size 0": head.replace(f"\n{lines[1]}\n", "\n0\n"),
        "a size with a zero before it": head.replace(f"\n{lines[1]}\n", f"\n0{lines[1]}\n"), "another root": head.replace(lines[2], base64.b64encode(bytes(32)).decode()),
        "another origin": "x" + head, "another block": head.replace("block=", "block=1"), "no seal line": head.replace(lines[3] + "\n", ""),
        "a line more": text + "more\n\n" + signature, "S above the order": text + f"\n\u2014 {name} " + base64.b64encode(ours[:36] + (
            int.from_bytes(ours[36:], "little") + 2 ** 252 + 27742317777372353535851937790883648493).to_bytes(32, "little")).decode() + "\n"}
    for n in (0, 3, 4, 20, 40, 67):
        heads[f"byte {n} of the signature"] = text + f"\n\u2014 {name} " + base64.b64encode(
            ours[:n] + bytes([ours[n] ^ 1]) + ours[n + 1:]).decode() + "\n"
    assert forged_id != ours[:4] and all(new != head for new in heads.values())
    return [(f"head: {what}", receipt | {"head": new}) for what, new in heads.items()]


def variants(text):
    """Other ways to write the same bytes in base64."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = text.rstrip("=")[-1]
    found = [text.rstrip("="), text + "=", text + "\n", "\n" + text, text[:4] + "\n" + text[4:], text[:4] + " " + text[4:], text.replace("+", "-").replace("/", "_")]
    if text.endswith("="):
        found.append(text.rstrip("=")[:-1] + alphabet[alphabet.index(last) ^ 1] + "=" * text.count("="))
    return [new for new in found if new != text]


def by_base64(receipt):
    cases, proof = [], receipt["facts"][1]["proof"]
    for n in (0, len(proof) - 1):
        cases += [(f"proof {n} as {new!r}", changed(receipt, ("facts", 1, "proof", n), put(new))) for new in variants(proof[n])]
        cases.append((f"proof {n} in hex", changed(receipt, ("facts", 1, "proof", n), put(base64.b64decode(proof[n]).hex()))))
    root, signature = receipt["head"].split("\n")[2], receipt["head"].split(" ")[-1].strip()
    cases += [(f"{old[:8]} as {new!r}", receipt | {"head": receipt["head"].replace(old, new)}) for old in (root, signature) for new in variants(old)]
    extra = base64.b64encode(bytes(32)).decode()
    for n, item in enumerate(receipt["facts"]):
        for proof in (item["proof"] + [extra], [extra] + item["proof"], item["proof"] * 20):
            cases.append((f"fact {n}: a proof of {len(proof)}", changed(receipt, ("facts", n, "proof"), put(proof))))
    return cases


def by_byte(receipt, count):
    """Any byte of the file that is no blank, as another one."""
    raw, chance = json.dumps(receipt, indent=2).encode(), random.Random(4)
    places = [n for n in range(len(raw)) if raw[n:n + 1].strip()]
    cases = []
    for n in chance.sample(places, count):
        new = chance.choice([byte for byte in b"abcxyzABC0189:.,-{}[]\"\\\xff\x01" if byte != raw[n]])
        mutant = raw[:n] + bytes([new]) + raw[n + 1:]
        cases.append((f"byte {n}: {raw[n:n + 1]!r} as {bytes([new])!r}", mutant))
    return cases


def by_form(receipt):
    """What is no receipt at all, or JSON only to some."""
    raw = json.dumps(receipt)
    texts = {"nothing": "", "null": "null", "a list": f"[{raw}]", "a text": json.dumps(raw), "twice": raw + raw, "cut": raw[:-1], "more behind it": raw + "x",
             "a member twice": raw[:-1] + ', "version": 1}', "a mark before it": "\ufeff" + raw, "deep": "[" * 100000, "deep inside": raw.replace(
                 '"version": 1', '"version": ' + "[" * 3000 + "]" * 3000), "NaN": raw.replace('"version": 1', '"version": NaN'), "1.0": raw.replace('"version": 1', '"version": 1.0'),
             "1e0": raw.replace('"version": 1', '"version": 1e0'), "many digits": raw.replace('"version": 1', '"version": ' + "1" * 5000), "NUL": raw.replace(
                 "acquit-receipt", "acquit-receipt\\u0000"), "half a character": raw.replace("acquit-receipt", "\\ud800"), "a raw NUL": raw + "\0", "a tab in a text": raw.replace(
                     "acquit-receipt", "acquit-receipt\t"), "half a character in a body": raw.replace('"actor": "', '"actor": "\\udc00', 1),
             "version 2": raw.replace('"version": 1', '"version": 2'), "a comment": raw + " // x", "a comma": raw[:-1] + ",}", "false for 0": raw.replace('"refunded": 0', '"refunded": false')}
    cases = [(name, text.encode()) for name, text in texts.items() if text != raw]
    cases += [("UTF-16", raw.encode("utf-16")), ("no UTF-8", raw.encode().replace(b"acquit-receipt", b"acquit-receipt\xff")), ("overlong", raw.encode().replace(
        b"acquit-receipt", b"\xc1\xa1cquit-receipt"))]
    return cases


def test_whatever_was_changed_is_refused(world, tmp_path):
    receipts, key = receipts_of(world), key_of(world)
    dual, plain = receipts["refunded"][1], receipts["plain"][1]
    other_head = receipts["plain"][1]["head"]
    world.wait_ended([world.pay(world.plain())])
    until_sealed(world)
    later = prove(world, plain["payment"])
    assert later["head"] != other_head and dual["head"] not in (later["head"],)
    cases = [*by_member(dual), *by_swapping(dual), *by_dropping(dual, plain), *by_head(dual, later["head"]), *by_base64(dual), *by_byte(dual, 60),
             *by_byte(plain, 40), *by_form(plain)]
    cases += [("an old proof under a new head", plain | {"head": later["head"]}), ("a new proof under an old head", later | {"head": plain["head"]})]
    for kind, (_, receipt) in receipts.items():
        cases += [(f"{kind}: summary.{name}", receipt | {"summary": receipt["summary"] | {name: value}}) for name, value in itertools.chain(
            (("state", state) for state in ("pending", "processing", "authorized", "completed", "failed", "refunded", "cancelled", "partially_refunded")),
            (("captured", 1), ("refunded", 1), ("currency", "USD"))) if receipt["summary"][name] != value]
    for _, (_, receipt) in receipts.items():
        assert both(world, write(tmp_path, "good.json", receipt), key)[0] == (0, 0), "the ones that were changed are good themselves"
    assert len({name for name, _ in cases}) >= 300
    assert judge_all(world, tmp_path, key, cases, 1) == len(cases)


FORGER = b"\7" * 32  # a private key


def forge(receipt, size=None, origin=None):
    """A tree of the receipt's facts alone, whatever they say, and its head under the name of the ledger; the receipt and the forger's public key."""
    forged, leaves = copy.deepcopy(receipt), []
    name = receipt["head"].split("\n")[0]
    for item in forged["facts"]:
        values = ["acquit-fact-v1", *item["fact"].values(), str(len(item["transfers"])), *(value for transfer in item["transfers"] for value in transfer.values())]
        leaves.append(hashlib.sha256(b"\0" + b"".join(b"\xff" * 4 if value is None else len(value.encode()).to_bytes(4, "big") + value.encode()
                                                      for value in values)).digest())

    def root(part):
        split = 1 << (len(part) - 1).bit_length() - 1 if len(part) > 1 else 0
        return hashlib.sha256(b"\1" + root(part[:split]) + root(part[split:])).digest() if split else part[0]

    def path(number, part):
        split = 1 << (len(part) - 1).bit_length() - 1 if len(part) > 1 else 0
        if not split:
            return []
        return path(number, part[:split]) + [root(part[split:])] if number < split else path(number - split, part[split:]) + [root(part[:split])]
    for number, item in enumerate(forged["facts"]):
        item |= {"position": number, "proof": [base64.b64encode(other).decode() for other in path(number, leaves)]}
    text = f"{origin or name}\n{size or len(leaves)}\n{base64.b64encode(root(leaves)).decode()}\nacquit-seal-v1 epoch=1 block=0 previous=-\n"
    forged["head"], public, key_id = sign(text, FORGER, name)
    return forged, f"{name}+{key_id.hex()}+{base64.b64encode(bytes([1]) + public).decode()}"


def test_a_forged_ledger_is_refused(world, tmp_path):
    """Somebody changes a receipt, builds a tree that fits, and signs its head under our name with a key of his own."""
    receipt, key = prove(world, pay_one(world, "plain")), key_of(world)
    changed_one = copy.deepcopy(receipt)
    changed_one["facts"][0]["fact"]["body"] = changed_one["facts"][0]["fact"]["body"].replace('"amount": 1000', '"amount": 9000')
    changed_one["summary"] |= {"amount": 9000}
    forged, forgers = forge(changed_one)
    assert forged["facts"][0]["fact"] != receipt["facts"][0]["fact"]
    # nothing of it holds a verifier up but the key: with the forger's own it is good
    path = write(tmp_path, "forged.json", forged)
    assert both(world, path, forgers)[0] == (0, 0), both(world, path, forgers)
    codes, said = both(world, path, key)
    assert codes == (1, 1) and "none of the given keys has signed" in said, said
    codes, said = both(world, write(tmp_path, "other.json", forge(receipt, origin="another.ledger")[0]), forgers)
    assert codes == (1, 1) and "another ledger's" in said, said
    # what no ledger of ours can be made to say, whoever signs it
    twice = receipt | {"facts": receipt["facts"] + copy.deepcopy(receipt["facts"][-1:]), "summary": receipt["summary"] | {"facts": len(receipt["facts"]) + 1}}
    good = forge(receipt)[0]
    cases = [("a slot twice", forge(twice)[0]), ("a slot twice, counted once", forge(receipt | {"facts": twice["facts"]})[0]),
             ("a tree of another size", forge(receipt, size=len(receipt["facts"]) + 50)[0]), ("a smaller tree", forge(receipt, size=1)[0]),
             ("position true", changed(good, ("facts", 1, "position"), put(True))), ("position false", changed(good, ("facts", 0, "position"), put(False))),
             ("position 1.0", changed(good, ("facts", 1, "position"), put(1.0)))]
    assert judge_all(world, tmp_path, forgers, [("good", good)], 0) == 1 and judge_all(world, tmp_path, forgers, cases, 1) == 7


def test_what_a_receipt_does_not_prove(world, tmp_path):
    """Who leaves facts out and derives the summary anew is not found out, and the receipt says so."""
    receipt, key = prove(world, pay_one(world, "refunded")), key_of(world)
    early = [item for item in receipt["facts"] if not item["fact"]["slot"].startswith(("refund:", "notice:", "pop:revoked", "token:released"))]
    shown = receipt | {"facts": early, "summary": receipt["summary"] | {"state": "completed", "refunded": 0, "facts": len(early)}}
    path = write(tmp_path, "early.json", shown)
    assert both(world, path, key)[0] == (0, 0)
    assert "That the payment has no further facts" in in_c(world, path, key)[1] and shown["about"].endswith("That no further facts exist is not proven.")


def derive(receipt, items):
    """With these facts, and the summary that follows from them; the old one if none does."""
    facts = {item["fact"]["slot"]: (item["fact"]["outcome"], json.loads(item["fact"]["body"])) for item in items}
    try:
        return receipt | {"facts": items, "summary": verify_receipt.summary(facts)}
    except ValueError:
        return receipt | {"facts": items, "summary": receipt["summary"] | {"facts": len(items)}}


def test_facts_left_out_are_judged_alike(world, tmp_path):
    """Every fact left out, every beginning, every end: facts that contradict each other are refused, and otherwise both derive the same."""
    key, cases = key_of(world), []
    for kind, (_, receipt) in receipts_of(world).items():
        items = receipt["facts"]
        for n in range(len(items)):
            for left in (items[:n] + items[n + 1:], items[:n], items[n:]):
                cases += [(f"{kind} {n} {len(left)}", derive(receipt, left))] if left else []

    def judge(numbered):
        codes, said = both(world, write(tmp_path, f"{numbered[0]}.json", numbered[1][1]), key)
        return codes, f"{numbered[1][0]}: {codes} {said}"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        judged = list(pool.map(judge, enumerate(cases)))
    wrong = [said for codes, said in judged if codes not in ((0, 0), (1, 1))]
    assert not wrong, f"{len(wrong)} of {len(cases)}: " + "\n".join(wrong[:10])
    assert sum(codes == (0, 0) for codes, _ in judged) > 40 and sum(codes == (1, 1) for codes, _ in judged) > 40
    assert any("contradict" in said.split("Python: ")[0] for _, said in judged)


def test_bounds(world, tmp_path):
    key, receipt = key_of(world), prove(world, pay_one(world, "plain"))
    large = tmp_path / "large.json"
    with open(large, "wb") as file:
        file.write(json.dumps(receipt).encode())
        file.truncate(32 * 1024 * 1024 + 1)
    many = receipt | {"facts": receipt["facts"] * 1500}
    assert len(many["facts"]) > 8192
    for path, word in ((str(large), "large"), (write(tmp_path, "many.json", many), "too many"), (str(tmp_path), "directory"), (str(tmp_path / "none"), "No such file")):
        c, python = in_c(world, path, key), in_python(path, key)
        assert (c[0], python[0]) == (1, 1) and word in c[2] + python[2], (path, c, python)
    path = write(tmp_path, "good.json", receipt)
    for wrong in ("", "nonsense", key[:-2], key.replace("+", " "), key.replace("acquit", "acquis")):
        assert in_c(world, path, wrong)[0] == 2 and in_python(path, wrong)[0] == 1, wrong
    done = subprocess.run([world.farm.program("acquit"), "receipt", "verify", path], capture_output=True, text=True, env=EMPTY | ASAN, check=False)
    assert done.returncode == 2 and "--key is missing" in done.stderr


# --- proving ---

def test_facts_that_are_not_sealed_yet(world, tmp_path):
    """Exit 75, unless what is sealed is enough."""
    key = key_of(world)
    payment = world.pay(world.plain())
    world.wait_ended([payment])
    until_sealed(world)
    world.farm.stop_program("keeper")
    world.farm.acquit("payment", "refund", payment, "--amount", "100", "--key", world.key())
    world.wait_state(payment, "partially_refunded")
    done = world.farm.acquit("ledger", "prove", payment, "--wait-ms", "300", check=False)
    assert done.returncode == 75 and "are not sealed yet" in done.stderr and done.stdout == "", done
    done = world.farm.acquit("ledger", "prove", payment, "--sealed-only")
    receipt = json.loads(done)
    assert receipt["summary"]["state"] == "completed" and both(world, write(tmp_path, "early.json", receipt), key)[0] == (0, 0)
    other = world.pay(world.plain())
    world.wait_ended([other])
    assert world.farm.acquit("ledger", "prove", other, "--sealed-only", "--wait-ms", "0", check=False).returncode == 75
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(prove, world, payment, "--wait-ms", "30000")
        world.farm.start_keeper()
        receipt = waiting.result()
    assert receipt["summary"]["state"] == "partially_refunded" and both(world, write(tmp_path, "late.json", receipt), key)[0] == (0, 0)


def test_a_reader_is_enough_and_nothing_is_proven_of_nothing(world):
    payment = pay_one(world, "plain")
    as_reader = {"ACQUIT_LEDGER_URL": world.farm.pg_url("acquit_auditor"), "ACQUIT_LEDGER_READ_URL": world.farm.pg_url("acquit_auditor"), "ACQUIT_SEAL_KEY": ""}
    assert prove(world, payment, environment=as_reader)["summary"]["state"] == "completed"
    done = world.farm.acquit("ledger", "prove", "tx_" + "0" * 32, "--wait-ms", "0", check=False)
    assert done.returncode == 1 and "there is no payment" in done.stderr
    assert world.farm.acquit("ledger", "prove", "nonsense", check=False).returncode == 2


def test_what_was_changed_in_the_ledger_gets_no_receipt(world):
    """As a superuser with the trigger off; put back afterwards."""
    payment = pay_one(world, "plain")
    prove(world, payment)

    def change(statement, *parameters):
        with psycopg2.connect(world.farm.services.pg_url) as connection, connection.cursor() as cursor:
            cursor.execute("alter table ledger.event disable trigger insert_only")
            cursor.execute(statement, parameters)
            cursor.execute("alter table ledger.event enable always trigger insert_only")
    change("update ledger.event set actor = 'nobody' where payment_id = %s and slot = 'decision' and actor is distinct from 'nobody'", payment)
    try:
        done = world.farm.acquit("ledger", "prove", payment, check=False)
        assert done.returncode == 1 and "fact decision is not what was sealed" in done.stderr, done
    finally:
        actor = world.sql("select actor from ledger.event where payment_id = %s and slot = 'capture'", payment)[0][0]
        change("update ledger.event set actor = %s where payment_id = %s and slot = 'decision'", actor, payment)
    prove(world, payment)


# --- keys ---

def test_keys(world, tmp_path):
    path = tmp_path / "seal.key"
    public = world.farm.acquit("ledger", "keygen", str(path)).strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and public.startswith("acquit.test/ledger+")
    private = path.read_text()
    assert private.endswith("\n") and len(base64.b64decode(private.strip(), validate=True)) == 32
    assert world.farm.acquit("ledger", "key", str(path)).strip() == public
    assert world.farm.acquit("ledger", "key", environment={"ACQUIT_SEAL_KEY": private.strip()}).strip() == public != key_of(world)
    done = world.farm.acquit("ledger", "keygen", str(path), check=False)
    assert done.returncode == 1 and "never overwritten" in done.stderr and path.read_text() == private
    named = subprocess.run([world.farm.program("acquit"), "ledger", "key", str(path), "--origin", "example.org/books"], capture_output=True, text=True,
                           env=EMPTY | ASAN, check=False)
    assert named.returncode == 0 and named.stdout.startswith("example.org/books+") and named.stdout[-45:] == public[-44:] + "\n"
    assert world.farm.acquit("ledger", "keygen", str(tmp_path / "second")).strip() != public
    assert private.strip() not in public and world.farm.acquit("ledger", "keygen", str(tmp_path / "no/such/folder"), check=False).returncode == 1
    for wrong in ("a blank", "a+plus", ""):
        done = world.farm.acquit("ledger", "keygen", str(tmp_path / "third"), "--origin", wrong, check=False)
        assert done.returncode == 2 and not (tmp_path / "third").exists()
    # the head that the keeper signs is the configured key's
    name, _, _ = key_of(world).split("+", 2)
    assert name == "acquit.test/ledger" and prove(world, pay_one(world, "plain"))["head"].split("\u2014 ")[1].startswith(name)
