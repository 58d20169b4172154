#!/usr/bin/env python3
"""verify_receipt.py - checks a receipt of `acquit ledger prove` without Acquit: verify_receipt.py FILE KEY...

KEY is the ledger's public key, name+id+base64, or a file that holds it. Needs Python 3.8 and the openssl command (1.1.1 or later).
Exit code 0: good, 1: refused, with the reason, 2: wrong usage. The formats are described in sealing.md.
"""

import base64, hashlib, json, pathlib, re, subprocess, sys, tempfile

FACT = ["payment_id", "slot", "outcome", "cause", "actor", "at", "xid", "seq", "body"]
TRANSFER = ["leg", "kind", "pending_of", "debit", "credit", "amount", "currency", "at", "xid", "seq"]
SIZE_MAX, FACTS_MAX, HEAD_MAX, PROOF_MAX = 32 * 1024 * 1024, 8192, 8191, 96
ABOUT = ("Facts of one payment, each with the proof that it stands in a ledger whose signed head is below (docs/sealing.md). The summary is derived "
         "from them. Votes, and hashes of what providers were asked and answered, stand in the bodies. That no further facts exist is not proven.")
NEEDS = [(r"(auth:\d+):(?:result|late|action).*", r"\1=intent"), (r"(refund:\d+):result.*", r"\1=accepted"), (r"token:active.*", "capture=captured"),
         (r"decision=commit (\d+)", r"auth:\1:result=approved"), (r"capture.*", "decision=commit"), (r"pop:committed.*", "token:active=active"),
         (r"void:(\d+).*", r"auth:\1:late auth:\1:action decision=abort capture=refused"), (r"(?:pop|token:active)=.*", "token:reserved=reserved"),
         *((f"auth:{n + 1}=intent", " ".join(f"auth:{n}:result={outcome}" for outcome in ("declined", "cancelled", "absent"))) for n in range(1, 8))]
HEAD = r"(([^\n]+)\n(0|[1-9][0-9]{0,14})\n([^\n]+)\n(acquit-seal-v1 [^\n]+)\n(?:[^\n]+\n)*)\n\u2014 ([^ \n]+) ([^ \n]+)\n"

def need(condition, why):
    if not condition:
        raise ValueError(why)

def members(value, names, what):
    need(type(value) is dict and set(value) == set(names), f"{what}: it has not the members that it should")
    return [value[name] for name in names]

def decode(text, size, what):
    """Base64 in its one canonical form."""
    need(type(text) is str and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text), f"{what}: it is no base64")
    data = base64.b64decode(text)
    need(len(data) == size and base64.b64encode(data).decode() == text, f"{what}: it is not the base64 of {size} bytes")
    return data

def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()

def load_key(text):
    """(name, key id, public key) of a verifier's key (C2SP signed-note)."""
    text = pathlib.Path(text).read_text(encoding="utf-8").split("\n")[0].strip() if pathlib.Path(text).is_file() else text
    match = re.fullmatch(r"([^ +]+)\+([0-9a-f]{8})\+(.+)", text)
    typed = decode(match[3] if match else "", 33, "key")
    need(typed[0] == 1 and sha256(match[1].encode(), b"\n", typed)[:4].hex() == match[2], "key: its id is another's")
    return match[1], bytes.fromhex(match[2]), typed[1:]

def signature_good(public_key, data, signature):
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, name) for name in ("key", "data", "signature")]
        _ = [path.write_bytes(content) for path, content in zip(paths, (bytes.fromhex("302a300506032b6570032100") + public_key, data, signature))]
        command = "openssl pkeyutl -verify -pubin -keyform DER -rawin -inkey {} -in {} -sigfile {}".format(*paths)
        return subprocess.run(command.split(), capture_output=True, check=False).returncode == 0

def check_head(head, keys):
    """(origin, size, root) of a checkpoint under one signature (C2SP tlog-checkpoint) by one of the keys."""
    match = re.fullmatch(HEAD, head)
    need(match and len(head.encode()) <= HEAD_MAX, "head: it is no checkpoint with one signature")
    text, origin, size, root, _, name, signature = match.groups()
    signed = decode(signature, 68, "head's signature")
    need(any(name == key[0] and signed[:4] == key[1] and signature_good(key[2], text.encode(), signed[4:]) for key in keys),
         "head: none of the given keys has signed it")
    need(name == origin, "head: it is signed by a key that is another ledger's")
    return origin, int(size), decode(root, 32, "head's root")

def leaf(values):
    """RFC 6962's leaf over the values: each its length and its bytes, null a length of all ones."""
    return sha256(b"\0", *(b"\xff" * 4 if value is None else len(value.encode()).to_bytes(4, "big") + value.encode() for value in values))

def included(node, position, size, proof, root):
    """RFC 9162, section 2.1.3.2."""
    last = size - 1
    for other in proof:
        need(last > 0, "a proof is too long")
        left = position & 1 or position == last
        node = sha256(b"\1", other, node) if left else sha256(b"\1", node, other)
        while left and not position & 1 and position:
            position, last = position >> 1, last >> 1
        position, last = position >> 1, last >> 1
    return last == 0 and node == root

def check_facts(items, payment, size, root):
    need(type(items) is list and 0 < len(items) <= FACTS_MAX, "facts: the receipt has none, or too many")
    facts, before = {}, -1
    for number, item in enumerate(items, 1):
        position, proof, fact, transfers = members(item, ["position", "proof", "fact", "transfers"], f"fact {number}")
        need(type(transfers) is list and type(proof) is list and len(proof) <= PROOF_MAX, f"fact {number}: its transfers or its proof are no list")
        columns = members(fact, FACT, f"fact {number}")
        booked = [value for transfer in transfers for value in members(transfer, TRANSFER, f"fact {number}, transfer")]
        need(columns[0] == payment, f"fact {number}: it is of another payment")
        need(type(position) is int and before < position < size, f"fact {number}: its position is not behind the last one's, or not in the tree")
        need(included(leaf(["acquit-fact-v1", *columns, str(len(transfers)), *booked]), position, size,
                      [decode(text, 32, f"fact {number}, proof") for text in proof], root), f"fact {number}: it does not lead to the head's root")
        need(columns[1] not in facts, f"fact {number}: its slot stands there twice")
        facts[columns[1]], before = (columns[2], json.loads(columns[8])), position
    return facts

def summary(facts):
    """What follows from the facts. Of the laws that they keep only those are checked that one missing fact would break."""
    need("received" in facts, "the facts are no payment's: there is none of slot received")
    stands = {f"{slot}={outcome}".replace("decision=commit:", "decision=commit ") for slot, (outcome, _) in facts.items()}
    beside = {word for line in stands for word in (line, line.split(" ")[0], line.split("=")[0])}
    for pattern, needed in NEEDS:
        for match in filter(None, (re.fullmatch(pattern, line) for line in stands)):
            need(any(word in beside for word in match.expand(needed).split()), f"the facts contradict each other: {match[0]} needs {match.expand(needed)}")
    has, body = (lambda slot: facts.get(slot, (None,))[0]), (lambda slot: facts[slot][1])
    amount, plain, decision = body("received")["amount"], body("received")["flow"] == "plain", has("decision")
    authorizations = [n for n in range(1, 9) if has(f"auth:{n}") == "intent"]
    committed = bool(decision) and decision != "abort"
    captured = body("capture").get("amount", amount) if has("capture") == "captured" else 0
    accepted = sorted(int(slot[7:]) for slot in facts if re.fullmatch("refund:[0-9]+", slot) and has(slot) == "accepted")
    refunded = sum(body(f"refund:{n}")["amount"] for n in accepted if has(f"refund:{n}:result") == "refunded")
    undo = "abort" == decision or "refused" in (has("capture"), has("token:active")) or refunded == captured > 0
    need(undo or not (has("pop:revoked") or has("token:released")), "the facts contradict each other: undone without a cause")
    undone = plain or (has("pop:revoked") and has("token:released"))
    asked = any(has(f"auth:{n}:action") and not has(f"auth:{n}:result") for n in authorizations[-1:])
    need(plain or not committed or has("pop") == "validated", "the facts contradict each other: a decision without its votes")
    state = "requires_action" if asked and not decision else "processing"
    if decision == "abort":
        results = [(has(f"auth:{n}:result"), has(f"void:{n}")) for n in authorizations]
        if undone and all(result and (void or result != "approved") for result, void in results):
            state = "cancelled" if body("decision")["reason"] == "CANCELLED" else "failed"
    elif committed and not has("capture"):
        state = "authorized"
    elif captured and (plain or has("token:active") == "active"):
        state = "completed" if not refunded else "refunded" if refunded == captured else "partially_refunded"
    elif committed and undone:  # what could not be sold was given back
        last = f"refund:{accepted[-1]}:result" if captured and accepted and has("token:active") else "void:" + decision[7:]
        state = "failed" if has(last) in ("refunded", "voided", "expired", "nothing") else state
    return {"state": state, "amount": amount, "currency": body("received")["currency"], "captured": captured, "refunded": refunded, "facts": len(facts)}

def verify(path, keys):
    need(pathlib.Path(path).stat().st_size <= SIZE_MAX, "the receipt is too large")
    unique = lambda pairs: need(len(dict(pairs)) == len(pairs), "the receipt has a member twice") or dict(pairs)
    receipt = json.loads(pathlib.Path(path).read_bytes().decode(), object_pairs_hook=unique)
    kind, version, payment, about, claimed, head, items = members(receipt, "format version payment about summary head facts".split(), "the receipt")
    need(kind == "acquit-receipt" and type(version) is int and version == 1, "format, version: this is no receipt of version 1")
    need(about == ABOUT, "about: the text is not that of a receipt")
    origin, size, root = check_head(head, [load_key(key) for key in keys])
    derived = summary(check_facts(items, payment, size, root))
    need(json.dumps(claimed, sort_keys=True) == json.dumps(derived, sort_keys=True), "summary: another one follows from the facts")
    return f"good: {len(items)} facts of {payment} are sealed in {origin}, among {size}; from them follows {derived}"

if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(print(__doc__, file=sys.stderr) or 2)
    try:
        print(verify(sys.argv[1], sys.argv[2:]))
    except (ValueError, OSError, LookupError, TypeError, AttributeError, RecursionError) as why:
        sys.exit(print(f"refused: {why}", file=sys.stderr) or 1)
