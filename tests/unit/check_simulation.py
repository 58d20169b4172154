#!/usr/bin/python3
"""check_simulation.py - ten thousand simulated payments with all that can go wrong, and what the simulation replaced (docs/simulation.md)

build/simulate has to be built first. ACQUIT_SEED chooses other payments.
"""

import os
import subprocess
import sys

PAYMENTS = 10000
FOUND = (158, 286, 323, 1357)  # worlds beyond them in which something was wrong once


def main():
    checks = [
        [sys.executable, "tests/simulate/check_link.py", "build/simulate.map"],
        ["build/simulate", "--seed", os.environ.get("ACQUIT_SEED", "1"), "--payments", str(PAYMENTS), "--tables", "--shrink"],
        *(["build/simulate", "--seed", str(seed), "--payments", "64"] for seed in FOUND),
    ]
    return max(subprocess.run(check, check=False).returncode for check in checks)


if __name__ == "__main__":
    sys.exit(main())
