"""test_schema_agreement.py - our validator and python3-jsonschema give the same verdict on generated bodies

A body is made from the schema: each member is left out, right, at or just beyond a bound, or of a wrong kind. Two things we
read more strictly than the standard library of the other side, and tell it so: an integer is written as one (1.0 is none:
money is never a real), and `$` in a pattern is the end of the text, as in ECMA-262, not also the place before a last line
feed. `format` is an annotation to others; we check iso-4217, so the other side is told that, too.
"""

import json
import os
import random
import re
import subprocess

import jsonschema
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCHEMAS = os.path.join(ROOT, "queues", "schema")
BODIES = 3000       # per type
SEED = 20261120

PUBLIC = ["payment.create", "payment.cancel", "payment.refund"]
INTERNAL = ["authorize.resolve", "payment.compensate", "payment.expire", "payment.look", "deadletter.replay", "deadletter.discard", "pop.confirm", "pop.commit",
            "notify.send", "authorize.attest", "refund.attest"]

CURRENCIES = ["EUR", "USD", "XOF", "JPY", "KWD", "ZZZ", "QQQ"]     # the last two exist nowhere
CHARACTERS = "aZ0 _-.:@/\\\"'é密😀\n\t"
WRONG = [None, True, False, 0, -1, 1, 1.5, 2.0, 10**15, 2**63 - 1, -2**63, "", "x", "tx_12", "EUR", "\n", [], [1], ["a", "a"], {}, {"a": 1}]


# -- the other side -----------------------------------------------------------------------------------------------------

def ecma_pattern(validator, pattern, instance, schema):
    if validator.is_type(instance, "string") and not re.search(pattern.replace("$", r"\Z"), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


checker = jsonschema.FormatChecker(formats=())
checker.checks("iso-4217")(lambda value: not isinstance(value, str) or value in CURRENCIES[:-2])
types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": ecma_pattern}, type_checker=types)


# -- bodies -------------------------------------------------------------------------------------------------------------

def text(rng, length):
    return "".join(rng.choice(CHARACTERS) for _ in range(length))


def hex_digits(rng, n):
    return "".join(rng.choice("0123456789abcdefABCDEF") for _ in range(n))


def uuid(rng):
    return "-".join(hex_digits(rng, n) for n in (8, 4, 4, 4, 12))


def matching(rng, schema):
    """A text that a pattern of ours likes, most of the time; all of them are known by what they describe."""
    pattern = schema.get("pattern", "")
    if schema.get("format") == "iso-4217":
        return rng.choice(CURRENCIES)
    if "tx_" in pattern:
        return rng.choice([uuid(rng), "tx_" + hex_digits(rng, 32), "tx_" + hex_digits(rng, 31), uuid(rng) + "\n"])
    if pattern.startswith("^[0-9a-f]{8}"):
        return rng.choice([uuid(rng).lower()] * 5 + [uuid(rng).upper()])
    if "{64}" in pattern:
        return rng.choice([hex_digits(rng, 64).lower()] * 9 + [hex_digits(rng, 63).lower(), "A" * 64, "a" * 64 + "\n"])
    if "[A-Z]{3}" in pattern:
        return rng.choice(["EUR", "USD", "XOF", "MAD", "JPY", "TND", "eur", "EURO"])
    if "[A-Za-z0-9+/]" in pattern:
        return rng.choice(["AAAA", "ab+/", "A" * 86 + "==", "Zg==", "abcd", "AA+/", "A" * 88, "A" * 89, "a b="])
    if "[a-z0-9_-]" in pattern:
        return rng.choice(["validator-1", "v_2", "x" * 32, "v", "V1", "a b"])
    if "{8}" in pattern:
        return rng.choice([uuid(rng), uuid(rng)[:-1], " " + uuid(rng)])
    if "@" in pattern:
        return rng.choice(["a@b.c", "é@ü.org", "a@b", "a b@c.d", "@b.c", "a@.c", "a@b.c\n", "a@@b.c"])
    if ":result" in pattern:
        return rng.choice(["auth:1:result", "capture", "void:3"] * 3 + ["auth:1", "capture\n"] if "auth" in pattern else
                          ["refund:1:result", "refund:12:result"] * 4 + ["refund:0:result", "refund:1"])
    if ":" in pattern:
        return rng.choice(["auth:1", "auth:1:doubt:3", "capture", "Auth:1", "a b", "", "capture\n"])
    return rng.choice(["stripe", "pm_card_visa", "hotel.1", "A-1", "x" * rng.choice([32, 33, 64, 65]), "é", "a b", ".a", "a\n", ""])


def right(rng, schema):
    """A value of the right kind, often at a bound or one beyond."""
    if "enum" in schema:
        return rng.choice(schema["enum"] + [schema["enum"][0].upper()] * (rng.random() < 0.1))
    kind = schema.get("type")
    if kind == "integer":
        low, high = schema["minimum"], schema["maximum"]
        return rng.choice([low, high, rng.randint(low, high), low - 1, high + 1] if rng.random() < 0.3 else [rng.randint(low, high)])
    if kind == "string":
        if "pattern" in schema:
            return matching(rng, schema)
        most = schema.get("maxLength", 10)
        return text(rng, rng.choice([schema.get("minLength", 0), most, most + 1, 0] if rng.random() < 0.2 else [rng.randint(1, min(most, 20))]))
    if kind == "array":
        count = rng.choice([0, 1, 2, 3, schema["maxItems"], schema["maxItems"] + 1])
        return [right(rng, schema["items"]) for _ in range(count)]
    if kind == "object":
        return body(rng, schema)
    return rng.choice(WRONG)


def body(rng, schema):
    made = {}
    required = schema.get("required", [])
    for name, below in schema.get("properties", {}).items():
        if rng.random() < (0.97 if name in required else 0.35):
            made[name] = right(rng, below) if rng.random() < 0.97 else rng.choice(WRONG)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for _ in range(rng.choice([0, 1, 2, schema["maxProperties"], schema["maxProperties"] + 1])):
            made[text(rng, rng.choice([1, 5, 8, 64, 65] if rng.random() < 0.1 else [6, 7, 8, 9]))] = right(rng, extra) if rng.random() < 0.99 else 1
    elif rng.random() < 0.05:
        made[text(rng, 5)] = rng.choice(WRONG)
    return made


def verdicts(kind, bodies):
    program = os.path.join(ROOT, os.environ.get("ACQUIT_TEST_BUILD", "build"), "system", "schema_probe")
    lines = "".join(json.dumps(b, ensure_ascii=ascii_) + "\n" for ascii_, b in zip([True, False] * len(bodies), bodies))
    done = subprocess.run([program, f"{kind}.json"], input=lines, stdout=subprocess.PIPE, encoding="utf-8", timeout=60, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", PUBLIC + INTERNAL)
def test_agreement(kind):
    with open(os.path.join(SCHEMAS, f"{kind}.json"), encoding="utf-8") as f:
        schema = json.load(f)
    rng = random.Random(f"{SEED} {kind}")
    bodies = [body(rng, schema) for _ in range(BODIES)] + WRONG
    other = Validator(schema, format_checker=checker)
    ours = verdicts(kind, bodies)
    assert len(ours) == len(bodies)
    disagreed = []
    valid = 0
    for made, answer in zip(bodies, ours):
        errors = [error.message for error in other.iter_errors(made)]
        valid += answer == "valid"
        if (answer == "valid") != (not errors):
            disagreed.append((made, answer, errors))
    print(f"{kind}: {len(bodies)} bodies, {valid} valid")
    assert not disagreed, disagreed[:3]
    assert valid > len(bodies) / 20 and valid < len(bodies) * 19 / 20      # or the bodies prove little
