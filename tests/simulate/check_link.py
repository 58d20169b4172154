#!/usr/bin/python3
"""check_link.py - says what the simulation replaced, from its link map, and fails when that is not what docs/simulation.md promises

    check_link.py build/simulate.map [--print]

Two things are read: which objects of our libraries were linked, and which were not although the programs have them. The simulation's own objects come first, so
an object of ours is left out only when every symbol that is asked of it is defined by the simulation. MUST are objects that have to be the programs' own;
REPLACED is the whole list of those that the simulation stands in for.
"""

import re
import subprocess
import sys

MUST = """
workers/worker workers/job workers/publish workers/steps workers/policy workers/guard workers/events workers/differing
workers/authorize workers/pop_validate workers/token_activate workers/refund workers/notify workers/compensate
workers/providers/provider workers/providers/answer workers/providers/stripe workers/providers/stripe_wire
workers/providers/tokens workers/providers/tokens_wire workers/providers/pop workers/providers/pop_wire workers/providers/webhook workers/keeper/keeper workers/keeper/watch
ledger/saga ledger/saga_next ledger/saga_wants ledger/saga_check ledger/saga_slot ledger/book ledger/chart ledger/epoch
queues/envelope queues/schema queues/message queues/topology
config/config common/ids common/json common/money common/pan common/crypto common/clock_text
""".split()

REPLACED = """
common/clock common/fault common/loop common/http
queues/consumer queues/publisher
ledger/store ledger/read ledger/db ledger/db_run
workers/providers/simulated
""".split()


def linked(path):
    """The objects of our libraries that the map says were taken, as tests/simulate/x or common/x; and the simulation's own."""
    ours, own = set(), set()
    with open(path, encoding="utf-8") as file:
        for line in file:
            found = re.match(r"^LOAD \S*?obj/(tests/simulate/\S+)\.o$", line)
            if found:
                own.add(found.group(1))
            found = re.match(r"^ \.text\S*\s+\S+\s+\S+ (\S*/lib(\w+)\.a)\((\w+)\.o\)$", line)
            if found:
                ours.add((found.group(2), found.group(3)))
    return ours, own


def symbols(path, kind):
    """The names that an object defines (kind T) or a library's members, by member."""
    out = subprocess.run(["nm", "-A", "--defined-only", "--extern-only", path], check=True, capture_output=True, text=True).stdout
    names = {}
    for line in out.splitlines():
        where, _, rest = line.rpartition(":")
        member = where.rsplit(":", 1)[-1].removesuffix(".o").rsplit("/", 1)[-1]
        fields = rest.split()
        if len(fields) == 3 and fields[1] in kind:
            names.setdefault(member, set()).add(fields[2])
    return names


LIBRARY_OF = {"common": "common", "config": "config", "queues": "queues", "ledger": "ledger"}


def library_of(name):
    folder = name.rsplit("/", 1)[0]
    return {"workers/keeper": "keeper", "workers/providers": "workers"}.get(folder, LIBRARY_OF.get(folder, "workers"))


def main():
    path = sys.argv[1]
    build = path.rsplit("/", 1)[0]
    ours, own = linked(path)
    defined = set()
    for object_ in own:
        for names in symbols(f"{build}/obj/{object_}.o", "TDBR").values():
            defined |= names
    replaced = set()
    for library in ("common", "config", "queues", "ledger", "workers", "keeper"):
        for member, names in symbols(f"{build}/lib/lib{library}.a", "TDBR").items():
            if names & defined:
                replaced.add((library, member))
    wrong = []
    for name in MUST:
        key = (library_of(name), name.rsplit("/", 1)[-1])
        if key not in ours:
            wrong.append(f"{name} was not linked: the simulation has to run the programs' own")
    wanted = {(library_of(name), name.rsplit("/", 1)[-1]) for name in REPLACED}
    wrong += [f"{library}/{member} is replaced, and nobody said so" for library, member in sorted(replaced - wanted)]
    wrong += [f"{library}/{member} is said to be replaced, and is not" for library, member in sorted(wanted - replaced)]
    wrong += [f"{library}/{member} is replaced only in part" for library, member in sorted(replaced & ours)]
    if "--print" in sys.argv:
        for library, member in sorted(ours):
            print(f"linked    {library:8} {member}")
        for library, member in sorted(replaced):
            print(f"replaced  {library:8} {member}")
    for line in wrong:
        print(line)
    if not own or not ours:
        wrong.append("")
        print(f"{path} names no objects")
    print(f"{len(ours)} objects of the programs linked, {len(replaced)} replaced")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
