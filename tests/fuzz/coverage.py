#!/usr/bin/python3
"""coverage.py - which lines the fuzz targets reach: coverage.py BUILD [NAME]

Runs each target of BUILD (made with VARIANT=fuzzcoverage) once over its seeds and over what `make fuzz` has found (var/fuzz), and
prints the share of lines reached in the files that the target is about.
"""

import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CRASHED = 60  # seconds for one corpus

# What each target is about.
FILES = {
    "pan": ["common/pan.c"],
    "schema": ["common/json.c", "queues/schema.c"],
    "envelope": ["queues/envelope.c", "queues/message.c", "queues/amqp_properties.c"],
    "stripe": ["workers/providers/stripe_wire.c"],
    "paypal": ["workers/providers/paypal_wire.c", "workers/providers/paypal_answers.c"],
    "tokens": ["workers/providers/tokens_wire.c"],
    "pop": ["workers/providers/pop_wire.c"],
    "pop_state": ["workers/providers/pop_state_wire.c"],
    "note": ["ledger/note.c", "ledger/key_change.c"],
    "receipt": ["ledger/receipt.c", "ledger/leaf.c", "ledger/proof.c"],
    "absence": ["ledger/absence.c", "ledger/proof.c", "ledger/map.c", "ledger/key_change.c"],
    "row": ["ledger/db_row.c"],
    "body": ["ledger/verify_body.c"],
    "archive": ["ledger/archive_file.c", "ledger/archive_reader.c"],
    "simulated": ["workers/providers/simulated.c"],
    "config": ["config/source.c", "config/scalars.c", "config/lists.c", "config/check.c", "config/config.c"],
    "ingress": ["workers/ingress/handlers.c", "workers/ingress/params.c", "workers/ingress/routes.c", "workers/ingress/payments.c",
                "workers/ingress/refunds.c", "workers/ingress/submission.c", "workers/ingress/answer.c", "workers/ingress/listing.c"],
    "saga": ["ledger/saga.c", "ledger/saga_slot.c", "ledger/saga_check.c", "ledger/saga_next.c", "ledger/saga_wants.c", "workers/ingress/views.c",
             "workers/events.c"],
}


def run(command, **more):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=CRASHED, **more).stdout


def inputs(name):
    """Not those that are known to break it: a crash writes no profile."""
    for folder in (f"tests/fuzz/corpus/{name}", f"var/fuzz/fuzz_{name}"):
        path = os.path.join(ROOT, folder)
        for file in sorted(os.listdir(path)) if os.path.isdir(path) else []:
            if not file.startswith("crash-"):
                yield os.path.join(path, file)


def reached(build, name):
    """{file: (lines, reached)}"""
    program, profile = os.path.join(build, "fuzz_" + name), os.path.join(build, f"fuzz_{name}.profile")
    files = list(inputs(name))
    run([program, *files], env=os.environ | {"LLVM_PROFILE_FILE": profile + ".raw"})
    run(["llvm-profdata", "merge", "-o", profile, profile + ".raw"])
    report = json.loads(run(["llvm-cov", "export", "-summary-only", "-instr-profile", profile, program]))
    found = {}
    for file in report["data"][0]["files"]:
        path = os.path.relpath(file["filename"], ROOT)
        if path in FILES[name]:
            found[path] = (file["summary"]["lines"]["count"], file["summary"]["lines"]["covered"])
    return len(files), found


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    for name in FILES:
        if len(sys.argv) == 3 and sys.argv[2] not in name:
            continue
        count, found = reached(os.path.abspath(sys.argv[1]), name)
        lines, hit = (sum(pair[i] for pair in found.values()) for i in (0, 1))
        print(f"{name:10} {100 * hit / lines:5.1f} %  of {lines:4} lines, {count} inputs")
        if len(found) > 1:
            for path, (most, some) in found.items():
                print(f"           {100 * some / most:5.1f} %  {path}")


if __name__ == "__main__":
    main()
