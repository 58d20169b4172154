#!/usr/bin/python3
"""coverage.py - which lines of our programs the tests reached: coverage.py BUILD LEAST

Adds up what gcov says of every object below BUILD (made with --coverage), prints one line per source file with the
lines never reached, and fails if less than LEAST per cent of all lines were.
"""

import collections
import glob
import json
import os
import subprocess
import sys

FOLDERS = ("common/", "config/", "queues/", "ledger/", "workers/")


def ranges(numbers):
    """1,2,3,7 -> 1-3 7"""
    found = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    build, least = sys.argv[1], float(sys.argv[2])
    lines = collections.defaultdict(collections.Counter)
    for note in glob.glob(os.path.join(build, "obj", "**", "*.gcno"), recursive=True):
        if not os.path.relpath(note, os.path.join(build, "obj")).startswith(FOLDERS):
            continue
        done = subprocess.run(["gcov", "--json-format", "--stdout", note], capture_output=True, text=True, check=True)
        for report in done.stdout.splitlines():
            for source in json.loads(report)["files"]:
                if source["file"].startswith(FOLDERS):
                    for line in source["lines"]:
                        lines[source["file"]][line["line_number"]] += line["count"]
    total = sum(len(counts) for counts in lines.values())
    reached = sum(1 for counts in lines.values() for count in counts.values() if count)
    if total == 0:
        sys.exit(f"coverage: nothing below {build} was made with --coverage")
    for name, counts in sorted(lines.items()):
        missed = sorted(number for number, count in counts.items() if not count)
        print(f"{100 * (len(counts) - len(missed)) / len(counts):6.1f} %  {name}{': not ' if missed else ''}{ranges(missed)}")
    print(f"{100 * reached / total:6.1f} %  of {total} lines")
    if 100 * reached / total < least:
        sys.exit(f"coverage: less than {least:g} %")


if __name__ == "__main__":
    main()
