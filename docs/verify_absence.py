#!/usr/bin/env python3
"""verify_absence.py - checks a receipt of `acquit ledger prove --absent` without Acquit: verify_absence.py FILE KEY...

KEY is the ledger's public key, name+id+base64, or a file that holds it. Needs Python 3.8 and the openssl command (1.1.1 or later).
Exit code 0: good, 1: refused, with the reason, 2: wrong usage. The formats are described in sealing.md. verify_receipt.py checks both kinds.
"""

import base64, hashlib, json, pathlib, re, subprocess, sys, tempfile, uuid

SIZE_MAX, HEAD_MAX, PROOF_MAX, KEYS_MAX, SLOTS_MAX = 32 * 1024 * 1024, 8191, 96, 256, 8192
ABOUT = ("Proof that this payment has no fact of this slot among the first facts of a ledger, as many as the map in its signed head below is of "
         "(docs/sealing.md). What was recorded later is not seen.")
SIGNED = r"\n\u2014 ([^ \n]+) ([^ \n]+)\n"
HEAD = r"(([^\n]+)\n(0|[1-9][0-9]{0,14})\n([^\n]+)\n(acquit-seal-v1 [^\n]+)\n(?:[^\n]+\n)*)" + SIGNED
STATEMENT = r"(acquit-key-v1\n([^\n]+)\n([^\n]+)\n([^\n]+)\n[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z\n)" + SIGNED + SIGNED[2:]
MAP = r"\nacquit-map-v1 size=([1-9][0-9]{0,14}) root=([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)\n"
SLOT = r"[a-z0-9:._-]{1,95}"

def need(condition, why):
    if not condition:
        raise ValueError(why)

def members(value, names, what, more=()):
    need(type(value) is dict and set(value) - set(more) == set(names), f"{what}: it has not the members that it should")
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
    match = re.fullmatch(r"([^ +]+)\+([0-9a-f]{8})\+(.+)", text)
    typed = decode(match[3] if match else "", 33, "key")
    need(typed[0] == 1 and sha256(match[1].encode(), b"\n", typed)[:4].hex() == match[2], "key: its id is another's")
    return match[1], bytes.fromhex(match[2]), typed[1:]

def signed(text, name, signature, key):
    data = decode(signature, 68, "signature")
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, name) for name in ("key", "data", "signature")]
        _ = [path.write_bytes(content) for path, content in zip(paths, (bytes.fromhex("302a300506032b6570032100") + key[2], text.encode(), data[4:]))]
        command = "openssl pkeyutl -verify -pubin -keyform DER -rawin -inkey {} -in {} -sigfile {}".format(*paths)
        return (name, data[:4]) == key[:2] and subprocess.run(command.split(), capture_output=True, check=False).returncode == 0

def follow_keys(items, keys):
    """The key to which the statements lead, if one of them names a given key: in each a key names the next one, and both have signed."""
    need(type(items) is list and 0 < len(items) <= KEYS_MAX, "keys: there are none, or too many")
    chain = []
    for item in items:
        match = re.fullmatch(STATEMENT, members(item, ["position", "proof", "statement"], "keys")[2])
        old, new = [load_key(key) for key in (match[3], match[4])] if match else (None, None)
        need(match and match[2] == old[0] == new[0] and old != new and chain[-1:] in ([], [old]), "keys: a statement is none, or does not follow")
        need(signed(match[1], match[5], match[6], old) and signed(match[1], match[7], match[8], new), "keys: a statement is not signed by its keys")
        chain += [old, new]
    need(set(chain) & set(keys), "keys: none of the given keys is among them")
    return chain[-1:]

def check_head(receipt, keys):
    """(text, origin, size, root) of a checkpoint under one signature (C2SP tlog-checkpoint) by one of the keys, or one to which they lead."""
    head, items = receipt["head"], receipt.get("keys", [])
    match = re.fullmatch(HEAD, head)
    need(match and len(head.encode()) <= HEAD_MAX, "head: it is no checkpoint with one signature")
    text, origin, size, root, _, name, signature = match.groups()
    keys, size, root = follow_keys(items, keys) if "keys" in receipt else keys, int(size), decode(root, 32, "head's root")
    need(any(signed(text, name, signature, key) for key in keys), "head: none of the given keys has signed it")
    need(name == origin, "head: it is signed by a key that is another ledger's")
    for before, item in zip([{"position": -1}, *items], items):
        need(type(item["position"]) is int and before["position"] < item["position"] < size and included(leaf(["acquit-key-v1", item["statement"]]), size, item, root),
             "keys: a statement is not sealed in its place")
    return text, origin, size, root

def leaf(values):
    """RFC 6962's leaf over the values: each its length and its bytes, null a length of all ones."""
    return sha256(b"\0", *(b"\xff" * 4 if value is None else len(value.encode()).to_bytes(4, "big") + value.encode() for value in values))

def included(node, size, item, root):
    """RFC 9162, section 2.1.3.2."""
    position, last, proof = item["position"], size - 1, item["proof"]
    need(type(position) is int and type(proof) is list and len(proof) <= PROOF_MAX, "a position is no number, or a proof no list")
    for other in (decode(text, 32, "proof") for text in proof):
        need(last > 0, "a proof is too long")
        left = position & 1 or position == last
        node = sha256(b"\1", other, node) if left else sha256(b"\1", node, other)
        while left and not position & 1 and position:
            position, last = position >> 1, last >> 1
        position, last = position >> 1, last >> 1
    return last == 0 and node == root

def load(path):
    need(pathlib.Path(path).stat().st_size <= SIZE_MAX, "the receipt is too large")
    unique = lambda pairs: need(len(dict(pairs)) == len(pairs), "the receipt has a member twice") or dict(pairs)
    return json.loads(pathlib.Path(path).read_bytes().decode(), object_pairs_hook=unique)

def slots_hash(slots):
    need(0 < len(slots) <= SLOTS_MAX and all(type(slot) is str and re.fullmatch(SLOT, slot) for slot in slots) and sorted(set(slots)) == slots,
         "end: the payment's slots are no slots in their order")
    return sha256(*(len(slot).to_bytes(4, "big") + slot.encode() for slot in slots))

def identity(text):
    need(type(text) is str and str(uuid.UUID(text)) == text, "a payment is no id")
    return uuid.UUID(text).int

def check_end(end, payment, slot):
    """(id, hash) of the leaf of the map at the end of the way; the payment's own has every slot of it but this one."""
    if end is None:
        return identity(payment), bytes(32)
    other, slots = members(end, ["payment", "slots"], "end")
    need(other != payment or type(slots) is list and slot not in slots, "end: the slot is among those that the payment has")
    digest = slots_hash(slots) if other == payment else decode(slots, 32, "end: another payment's slots")
    return identity(other), sha256(b"\2", identity(other).to_bytes(16, "big"), digest)

def verify(path, keys):
    receipt = load(path)
    kind, version, payment, slot, about, _, way, end = members(receipt, "format version payment slot about head way end".split(), "the receipt", ["keys"])
    need(kind == "acquit-absence" and type(version) is int and version == 1, "format, version: this is no receipt of an absence, version 1")
    need(about == ABOUT, "about: the text is not that of a receipt")
    need(type(slot) is str and re.fullmatch(SLOT, slot), "slot: it is none")
    text, origin, size, _ = check_head(receipt, keys)
    match = re.search(MAP, text)
    need(match and int(match[1]) <= size, "head: it states no map of its facts")
    need(type(way) is list and len(way) <= 128, "way: it is no list of hashes")
    (found, node), own = check_end(end, payment, slot), identity(payment)
    need(found >> 128 - len(way) == own >> 128 - len(way), "end: that payment stands elsewhere")
    for depth, sibling in reversed([*enumerate(decode(text, 32, "way") for text in way)]):
        node = sha256(b"\3", sibling, node) if own >> 127 - depth & 1 else sha256(b"\3", node, sibling)
    need(node == base64.b64decode(match[2]), "way: it does not lead to the head's map")
    return f"good: among the first {match[1]} facts of {origin} there is no fact {slot} of {payment}; it has {end['slots'] if end and found == own else 'none'}"

def main(verify_one, usage):
    if len(sys.argv) < 3:
        sys.exit(print(usage, file=sys.stderr) or 2)
    try:
        texts = [pathlib.Path(key).read_text("utf-8").split("\n")[0].strip() if pathlib.Path(key).is_file() else key for key in sys.argv[2:]]
        print(verify_one(sys.argv[1], [load_key(text) for text in texts]))
    except (ValueError, OSError, LookupError, TypeError, AttributeError, RecursionError) as why:
        sys.exit(print(f"refused: {why}", file=sys.stderr) or 1)

if __name__ == "__main__":
    main(verify, __doc__)
