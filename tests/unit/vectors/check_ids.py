#!/usr/bin/env python3
"""Recomputes ids.json with the Python function of docs/ids.md, as an app developer would copy it.

Exits with 1 on any difference.
"""
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
DOC = HERE.parents[2] / "docs" / "ids.md"


def recipe():
    """The names that the page's Python block defines."""
    block = re.search(r"^```python\n(.*?)^```$", DOC.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names = {}
    exec(compile(block.group(1), str(DOC), "exec"), names)  # our own page
    return names


def computed(vectors, names):
    """Pairs of what the file says and what the recipe gives."""
    acquit_id, public_id = names["acquit_id"], names["public_id"]
    for v in vectors["payment"]:
        payment_id = acquit_id("payment", v["publisher"], v["messageId"])
        yield v["id"], str(payment_id)
        yield v["publicId"], public_id(payment_id)
    for v in vectors["command"]:
        yield v["id"], str(acquit_id("command", v["type"], v["publisher"], v["messageId"]))
    for v in vectors["followUp"]:
        yield v["id"], str(acquit_id("follow-up", v["paymentId"], v["type"], v["slot"]))


def main():
    vectors = json.loads((HERE / "ids.json").read_text(encoding="utf-8"))
    pairs = list(computed(vectors, recipe()))
    wrong = [pair for pair in pairs if pair[0] != pair[1]]
    for said, found in wrong:
        print(f"ids.json says {said}, the recipe gives {found}")
    print(f"{len(pairs)} ids, {len(wrong)} wrong")
    return 1 if wrong or not pairs else 0


if __name__ == "__main__":
    sys.exit(main())
