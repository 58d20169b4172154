"""Does the sorted map say what it is defined to be? Random sets of payments and slots through build/unit/map_cli, and once more here.

    python3 tests/unit/check_map.py [PATH OF map_cli] [SETS]

map_cli (tests/unit/map_cli.c) has to be built first (`make build/unit/map_cli`). The definition stands in docs/sealing.md; what is below was written
from it alone. For each set the roots have to be the same, refreshed in rounds of any order and built at once, and each proof, of payments that
are there and of others, has to end where the payment stands or would stand, and lead to the root. ACQUIT_SEED chooses other sets. Exit code 1
and the set if anything differs.
"""
import hashlib
import json
import os
import random
import subprocess
import sys
import uuid

EMPTY = bytes(32)

# "vectors": sets and roots that docs/sealing.md shows, and tests/unit/test_map.c has
ONE, OTHER = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f", "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6e"
VECTORS = [({}, EMPTY.hex()),
           ({ONE: ["received"]}, "191f645231e3f2e03f59c6568ad24c9ec6f6baa2518ce13f7c69ca0d00754f98"),
           ({ONE: ["received", "auth:1"]}, "0463d8ac9c33fd240cdfadb6f1b96d5fc715de8351f5bb66cc52c13ad47e8cca"),
           ({ONE: ["received", "auth:1"], OTHER: ["received"]}, "3aa7f026cec18ec52ca4afe80185021149204ec1bb5cb9236a5980f3bacdb570")]


def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()


def slots_hash(slots):
    return sha256(*(len(slot).to_bytes(4, "big") + slot for slot in sorted(slot.encode() for slot in slots)))


def leaf(name, slots):
    return sha256(b"\2", uuid.UUID(name).bytes, slots)


def bits(name):
    return format(uuid.UUID(name).int, "0128b")


def root(payments, depth=0):
    """Of {bits of the id: (id, hash of its slots)}."""
    if not payments:
        return EMPTY
    if len(payments) == 1:
        return leaf(*next(iter(payments.values())))
    halves = [{key: value for key, value in payments.items() if key[depth] == bit} for bit in "01"]
    return sha256(b"\3", *(root(half, depth + 1) for half in halves))


def end(payments, key):
    """Where the way of an id ends: (id, hash of slots) or None, and how many bits down."""
    depth = 0
    while len(payments) > 1:
        payments = {other: value for other, value in payments.items() if other[depth] == key[depth]}
        depth += 1
    return next(iter(payments.values()), None), depth


def led_to(answer, key):
    node = EMPTY if answer["end"] is None else leaf(answer["end"][0], bytes.fromhex(answer["end"][1]))
    for depth in reversed(range(len(answer["way"]))):
        sibling = bytes.fromhex(answer["way"][depth])
        node = sha256(b"\3", sibling, node) if key[depth] == "1" else sha256(b"\3", node, sibling)
    return node


def some_set(chance):
    """Payments of which many begin alike, in rounds; some come twice, with more slots."""
    alike, payments = chance.choice([0, 0, 0, 1, 4, 15]), {}
    for _ in range(chance.choice([0, 1, 2, 5, 40, 150, 400])):
        prefix = bytes(chance.choice((0, 0x55, 0xff)) for _ in range(alike))
        name = str(uuid.UUID(bytes=prefix + chance.randbytes(16 - alike)))
        payments[name] = sorted({f"slot:{chance.randrange(40)}" for _ in range(chance.randint(1, 6))} | set(["received"][:chance.randint(0, 1)]))
    names, rounds = list(payments), []
    chance.shuffle(names)
    while names:
        size = chance.randint(1, len(names))
        rounds.append(names[:size])
        names = names[size:]
    near = [str(uuid.UUID(int=uuid.UUID(name).int ^ 1 << chance.randrange(128))) for name in chance.sample(list(payments), min(8, len(payments)))]
    ask = near + chance.sample(list(payments), min(8, len(payments))) + [str(uuid.UUID(bytes=chance.randbytes(16))) for _ in range(4)]
    return {"payments": payments, "rounds": rounds, "ask": ask}


def check(program, question, expected=None):
    program.stdin.write(json.dumps(question) + "\n")
    program.stdin.flush()
    said = json.loads(program.stdout.readline())
    known = {bits(name): (name, slots_hash(slots)) for name, slots in question["payments"].items()}
    wanted = root(known)
    assert expected is None or wanted.hex() == expected, (wanted.hex(), expected)
    assert said.get("root") == wanted.hex() and said["built"] == wanted.hex(), said.get("error", "another root")
    for name, answer in zip(question["ask"], said["proofs"], strict=True):
        found, depth = end(known, bits(name))
        assert (answer["end"] and tuple(answer["end"])) == (found and (found[0], found[1].hex())), (name, answer["end"], found)
        assert len(answer["way"]) == depth and led_to(answer, bits(name)) == wanted, name


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join("build", "unit", "map_cli")
    sets = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    seed = int(os.environ.get("ACQUIT_SEED", "4"))
    chance = random.Random(seed)
    with subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        for payments, expected in VECTORS:
            check(program, {"payments": payments, "rounds": [list(payments)], "ask": [ONE, OTHER]}, expected)
        for number in range(sets):
            question = some_set(chance)
            try:
                check(program, question)
            except (AssertionError, json.JSONDecodeError) as why:
                sys.exit(f"set {number} of seed {seed}: {why}\n{json.dumps(question)[:4000]}")
        program.stdin.close()
    print(f"{sets} sets of seed {seed} and {len(VECTORS)} vectors agree")


if __name__ == "__main__":
    main()
