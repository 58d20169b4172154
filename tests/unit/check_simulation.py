#!/usr/bin/python3
"""check_simulation.py - ten thousand simulated payments with all that can go wrong, and what the simulation replaced (docs/simulation.md)

build/simulate has to be built first. ACQUIT_SEED chooses other payments.
"""

import os
import subprocess
import sys

PAYMENTS = 10000


def events_of(seed, worlds=1):
    done = subprocess.run(["build/simulate", "--seed", str(seed), "--payments", str(64 * worlds), "--jobs", "1"], stdout=subprocess.PIPE, text=True, check=False)
    return int(done.stdout.split(" events")[0].split()[-1])


def repeats():
    """A world is the same alone and after another in one process: else a seed would not be enough to see again what was wrong."""
    alone, together = [events_of(5587), events_of(5588)], events_of(5587, 2)
    if sum(alone) != together:
        print(f"the worlds 5587 and 5588 have {alone} events alone and {together} together")
    return sum(alone) != together


def main():
    checks = [
        [sys.executable, "tests/simulate/check_link.py", "build/simulate.map"],
        ["build/simulate", "--seed", os.environ.get("ACQUIT_SEED", "1"), "--payments", str(PAYMENTS), "--tables", "--shrink"],
    ]
    return max(repeats(), *(subprocess.run(check, check=False).returncode for check in checks))


if __name__ == "__main__":
    sys.exit(main())
