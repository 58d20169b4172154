#!/usr/bin/python3
"""ledger_bench.py - `make bench T=ledger`: what the ledger costs, each figure beside its peer in the same run

    ledger_bench.py [--build DIR] [--part NAME ...] [--rounds N] [--seconds N] [--facts N]

Starts a farm of its own in var/bench-ledger, empty each time. What is compared runs in turns, A B A B; a figure is the median of the
rounds' ratios. Parts: append, hot, size, seal, space, verify (all, if none is named). Prints a table, writes var/bench-ledger.json, and
exits 1 when a target is missed. docs/performance.md says how to read it.
"""

import argparse
import bisect
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "farm"))

import psycopg2  # noqa: E402

import bench as flows  # noqa: E402
import farm as farms  # noqa: E402
from publisher import Refused  # noqa: E402

# The server's settings, beside those of tests/farm/services.py; synchronous_commit and full_page_writes are on. Huge pages are used
# when there are enough of them (huge_pages = try; 2300 of 2 MB).
SERVER = {"shared_buffers": "4GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min", "wal_compression": "lz4",
          "shared_preload_libraries": "pg_stat_statements"}
ROUNDS, SECONDS = 3, 4      # of each pair; of one measurement of appends
FACTS = 1_000_000           # that are there when `size` is measured against an empty ledger
WARM_SECONDS = 45           # of appends until a checkpoint's first images of all pages are written
MANY, ONE = 1000, 1         # merchants' accounts
SEAL_PAYMENTS = 4000        # of one run of the whole flow
VERIFIED = 30_000           # payments more, of six facts each, when verify is measured
SEALED_SECONDS = 30         # how long facts may take to be sealed before a measurement begins
PARTS = ("append", "hot", "size", "seal", "space", "verify")

# name: (text, least, most)
TARGETS = {
    "append_ratio": ("our appends, of plain multi-row INSERTs of the same rows", 0.5, None),
    "transfers_per_second": ("transfers a second, two processes", 20000, None),
    "hot_ratio": ("all transfers on the same accounts, of the rate with many", 0.9, None),
    "deadlocks": ("deadlocks", None, 0),
    "size_ratio": ("with many facts, of the rate of an empty ledger", 0.9, None),
    "seal_ratio": ("payments a second with sealing, of those without", 0.95, None),
    "statements_differ": ("statements of the writers that are there only with, or only without, sealing", None, 0),
    "seal_lag_p99": ("seal lag, p99, seconds", None, 1.0),
    "verify_ratio": ("verify, of the rate of COPY", 0.5, None),
}


def huge_pages():
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith("HugePages_Total:")), 0)


class LedgerBench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.flows = flows.Bench(arguments.build, 1.0)
        self.flows.farm = farms.Farm(os.path.join(ROOT, "var", "bench-ledger"), build=arguments.build, instances=self.flows.farm.instances,
                                     settings=flows.SETTINGS)
        self.statements, self.flow_runs = {True: set(), False: set()}, 0  # what writers said, with sealing and without
        self.found, self.result = {}, {"at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                                       "cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0], "huge_pages": huge_pages(),
                                       "server": SERVER, "rounds": arguments.rounds, "seconds": arguments.seconds, "details": {}}

    farm = property(lambda self: self.flows.farm)
    services = property(lambda self: self.flows.farm.services)

    def start(self):
        self.farm.stop()  # one that was kept
        shutil.rmtree(self.farm.directory, ignore_errors=True)
        self.flows.farm = farms.Farm(self.farm.directory, build=self.farm.build, instances=self.farm.instances, settings=flows.SETTINGS)
        os.makedirs(self.farm.directory)
        self.services.start()
        for name, value in SERVER.items():
            self.services.psql(f"alter system set {name} = '{value}'")
        self.services.restart_postgres()

    # --- databases of their own, beside the farm's ---

    def url(self, database):
        return self.services.pg_url.rpartition("/")[0] + "/" + database

    def make_database(self, name):
        self.services.psql(f"create database {name}", database="postgres")
        migrations = sorted(os.listdir(os.path.join(ROOT, "ledger", "schema")))
        for path in [*(f"ledger/schema/{one}" for one in migrations), "tests/bench/ledger_raw.sql"]:
            with open(os.path.join(ROOT, path), encoding="utf-8") as text:
                self.services.psql("begin;\n" + text.read() + "\ncommit;", database=name)

    def drop_database(self, name):
        self.services.psql(f"drop database if exists {name} with (force)", database="postgres")

    def sql(self, database, statement, *parameters):
        with psycopg2.connect(self.url(database)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows = cursor.fetchall()
        connection.close()
        return rows

    def append(self, database, *options, seconds=None):
        seconds = seconds or self.arguments.seconds
        done = subprocess.run([os.path.join(self.farm.build, "bench", "ledger_append"), "--seconds", str(seconds), *options,
                               self.url(database)], capture_output=True, text=True, timeout=seconds + 60, check=False)
        if done.returncode != 0:
            raise flows.Wrong(f"ledger_append: {done.stderr}")
        return json.loads(done.stdout)

    def turns(self, name, one, other):
        """The median of one() / other(), in turns; keeps what each gave."""
        one(), other()  # connections, prepared statements, caches
        rounds = [(one(), other()) for _ in range(self.arguments.rounds)]
        self.result["details"][name] = rounds
        return statistics.median(a["per_second"] / b["per_second"] for a, b in rounds), rounds

    # --- the parts ---

    def measure_append(self):
        self.make_database("appends")
        ratio, rounds = self.turns("append", lambda: self.append("appends", "--merchants", str(MANY)),
                                   lambda: self.append("appends", "--merchants", str(MANY), "--raw"))
        self.found["append_ratio"] = ratio
        self.found["transfers_per_second"] = statistics.median(ours["per_second"] for ours, _ in rounds)

    def measure_hot(self):
        self.make_database("hot")
        ratio, rounds = self.turns("hot", lambda: self.append("hot", "--merchants", str(ONE)),
                                   lambda: self.append("hot", "--merchants", str(MANY)))
        self.found["hot_ratio"] = ratio
        self.found["deadlocks"] = sum(run["deadlocks"] for pair in rounds for run in pair)

    def fill(self, database):
        """Facts in the shape of ledger_append's, by INSERT ... SELECT."""
        payments = self.arguments.facts // 2
        body = json.dumps({"code": "", "message": "", "amount": 2750, "provider": "simulated", "reference": "sim_pay_1",
                           "evidence": {"sentAt": "2026-11-20T10:00:00.663Z", "answeredAt": "2026-11-20T10:00:00.679Z", "status": 200,
                                        "requestSha256": "9f" * 32, "answerSha256": "9f" * 32}})
        with psycopg2.connect(self.url(database)) as connection, connection.cursor() as cursor:
            cursor.execute("set enable_seqscan = off; set plan_cache_mode = force_generic_plan")  # the triggers' looks, as in ledger/db.c
            for first in range(0, payments, 250_000):
                count = min(250_000, payments - first)
                cursor.execute("create temp table made on commit drop as select gen_random_uuid() as id, n from generate_series(1, %s) n", (count,))
                cursor.execute("insert into ledger.payment (payment_id) select id from made")
                cursor.execute("insert into ledger.event (payment_id, cause, slot, outcome, actor, body, began) select m.id, m.id, s.slot, s.outcome, "
                               "'acquit-worker', %s, p.began from made m join ledger.payment p on p.payment_id = m.id "
                               "cross join (values ('auth:1:result', 'approved'), ('capture', 'captured')) s(slot, outcome)", (body,))
                cursor.execute("insert into ledger.transfer (payment_id, amount, leg, currency, slot, kind, pending_of, debit, credit, began) "
                               "select m.id, 2750, t.leg, 'EUR', t.slot, t.kind, t.pending_of, case t.kind when 'transfer' then 'payable:shop' || n % 1000 "
                               "else 'receivable:simulated' end, case t.kind when 'transfer' then 'commission' else 'payable:shop' || n % 1000 end, p.began "
                               "from made m join ledger.payment p on p.payment_id = m.id cross join (values ('auth:1:result', 1, 'hold', null), "
                               "('capture', 1, 'post', 'auth:1:result'), ('capture', 2, 'transfer', null)) t(slot, leg, kind, pending_of)")
                connection.commit()
        connection.close()
        self.vacuum(database)

    def vacuum(self, database):
        """Now, and not in the middle of a measurement."""
        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name in ("payment", "event", "transfer"):
                cursor.execute(f"vacuum analyze ledger.{name}")
        connection.close()

    def measure_size(self):
        self.make_database("small")
        self.make_database("large")
        self.fill("large")
        self.services.psql("checkpoint", database="postgres")
        self.result["size_after_checkpoint"], _ = self.turns("size_after_checkpoint", lambda: self.append("large"), lambda: self.append("small"))
        self.append("large", seconds=WARM_SECONDS)
        ratio, _ = self.turns("size", lambda: self.append("large"), lambda: self.append("small"))
        self.found["size_ratio"] = ratio
        self.result["facts_at_size"] = self.arguments.facts

    def sealing(self, on):
        """The keeper anew, with or without; what stands unsealed is sealed before anything is measured."""
        self.farm.stop_program("keeper")
        settings = flows.SETTINGS | ({} if on else {"seal": {"origin": ""}})
        self.farm.reconfigure(settings, self.farm.publishers, [])
        self.farm.start_keeper()
        if on:
            farms.wait_for(lambda: self.sql("acquit", "select (select count(*) from ledger.event) - (select count(*) from ledger.seal_leaf)")
                           [0][0] == 0, SEALED_SECONDS, "all facts to be sealed")

    def calls(self):
        """How often the workers have sent each statement, by its number: a text stands there as it was first met."""
        return dict(self.sql("postgres", "select s.queryid, sum(s.calls) from pg_stat_statements s join pg_roles r on r.oid = s.userid "
                             "where r.rolname = 'acquit_farm' group by 1"))

    def whole_flow(self, on):
        self.sealing(on)
        first = self.flows.last_seq()
        self.flow_runs += 1
        before = self.calls()
        found = self.flows.run("plain, simulated", f"seal-{self.flow_runs}", SEAL_PAYMENTS)
        self.statements[on] |= {query for query, calls in self.calls().items() if calls > before.get(query, 0)}
        if on:
            found["lags"] = self.lags(first)
        return found

    def lags(self, first_seq):
        """From each fact's `at` to that of the block it stands in."""
        farms.wait_for(lambda: self.sql("acquit", "select (select count(*) from ledger.event) - (select count(*) from ledger.seal_leaf)")
                       [0][0] == 0, SEALED_SECONDS, "the last facts to be sealed")
        heads = self.sql("acquit", "select size, extract(epoch from at)::float from ledger.seal order by height")
        rows = self.sql("acquit", "select l.position, extract(epoch from e.at)::float from ledger.event e join ledger.seal_leaf l "
                        "using (payment_id, slot) where e.seq > %s", first_seq)
        sizes = [size for size, _ in heads]
        return [heads[bisect.bisect_right(sizes, position)][1] - at for position, at in rows]

    def measure_seal(self):
        self.farm.start()
        self.flows.books = psycopg2.connect(self.services.pg_url)
        self.flows.books.autocommit = True
        self.services.psql("create extension pg_stat_statements", database="postgres")
        self.whole_flow(True)  # sessions are set up, accounts opened
        self.statements = {True: set(), False: set()}
        ratio, rounds = self.turns("seal", lambda: self.whole_flow(True), lambda: self.whole_flow(False))
        differing = self.statements[True] ^ self.statements[False]
        self.found["statements_differ"] = len(differing) if self.statements[True] else 1  # none seen: not shown
        self.result["statements"] = {"compared": len(self.statements[True]), "differing": self.sql(
            "postgres", "select distinct query from pg_stat_statements where queryid = any(%s)", list(differing))}
        lags = [lag for on, _ in rounds for lag in on.pop("lags")]
        self.found["seal_ratio"] = ratio
        self.found["seal_lag_p99"] = flows.percentile(lags, 0.99)
        self.result["seal_lag"] = {"facts": len(lags), "p50": flows.percentile(lags, 0.5), "max": max(lags)}
        self.sealing(True)
        for name in [*self.farm.worker_names(), "ingress", "keeper"]:
            self.farm.stop_program(name)

    def timed(self, act):
        began = time.monotonic()
        act()
        return {"per_second": 1 / (time.monotonic() - began)}

    def copy(self):
        with psycopg2.connect(self.services.pg_url) as connection, connection.cursor() as cursor, open(os.devnull, "w", encoding="utf-8") as out:
            for table in ("event", "transfer"):
                cursor.copy_expert(f"copy (select * from ledger.{table}) to stdout", out)
        connection.close()

    def measure_verify(self):
        """Of the farm's ledger, with VERIFIED payments more."""
        if not self.flows.books:
            raise flows.Wrong("part verify needs part seal before it")
        subprocess.run([os.path.join(self.farm.build, "bench", "ledger_fill"), "--payments", str(VERIFIED), "--key", self.farm.path("secrets", "seal"),
                        "--origin", "acquit.test/ledger", self.services.pg_url], check=True, stdout=subprocess.DEVNULL, timeout=600)
        self.found["verify_ratio"], _ = self.turns("verify", lambda: self.timed(lambda: self.farm.acquit("ledger", "verify", seconds=600)),
                                                   lambda: self.timed(self.copy))

    def measure_space(self):
        """Bytes of the farm's ledger, a payment, a fact, a transfer."""
        if not self.flows.books:
            raise flows.Wrong("part space needs part seal before it")
        sizes = dict((name, (heap, indexes)) for name, heap, indexes in self.sql(
            "acquit", "select coalesce(p.relname, c.relname), sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint "
            "from pg_class c left join pg_inherits i on i.inhrelid = c.oid left join pg_class p on p.oid = i.inhparent "
            "where c.relnamespace = 'ledger'::regnamespace and c.relkind = 'r' group by 1"))
        counts = {name: self.sql("acquit", f"select count(*) from ledger.{name}")[0][0] for name in ("payment", "event", "transfer", "seal_leaf")}
        seal = [sizes[name] for name in ("seal", "seal_leaf", "seal_node")]
        facts = [sizes[name] for name in ("event", "transfer", "payment", "command", "account")]
        wal = statistics.median(run["wal_bytes_per_payment"] for pair in self.result["details"]["seal"] for run in pair[:1])
        wal_unsealed = statistics.median(run["wal_bytes_per_payment"] for pair in self.result["details"]["seal"] for run in pair[1:])
        self.result["space"] = {
            "rows": counts, "bytes": sizes,
            "heap_and_indexes_per_payment": sum(map(sum, facts)) / counts["payment"],
            "with_seal_tables_per_payment": sum(map(sum, facts + seal)) / counts["payment"],
            "heap_per_fact": sizes["event"][0] / counts["event"], "indexes_per_fact": sizes["event"][1] / counts["event"],
            "seal_tables_per_fact": sum(map(sum, seal)) / counts["seal_leaf"],
            "heap_per_transfer": sizes["transfer"][0] / counts["transfer"], "indexes_per_transfer": sizes["transfer"][1] / counts["transfer"],
            "wal_per_payment_sealed": wal, "wal_per_payment_unsealed": wal_unsealed}

    # --- the whole ---

    def measure(self):
        for part in self.arguments.part:
            print(f"  {part}", flush=True)
            getattr(self, "measure_" + part)()
            for name in ("appends", "hot", "small", "large"):
                self.drop_database(name)

    def judge(self):
        """The targets missed; prints all that was found."""
        missed = []
        for name, value in self.found.items():
            text, least, most = TARGETS[name]
            good = (least is None or value >= least) and (most is None or value <= most)
            print(f"{text:65} {value:10.3f}   {'at least' if most is None else 'at most'} {least if most is None else most:<8g} {'' if good else 'MISSED'}")
            missed += [] if good else [name]
        for name, value in self.result.get("space", {}).items():
            if isinstance(value, (int, float)):
                print(f"bytes: {name.replace('_', ' '):58} {value:10.0f}")
        return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="which programs (build)")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="what to measure (all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each pair ({ROUNDS})")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"of one measurement of appends ({SECONDS})")
    parser.add_argument("--facts", type=int, default=FACTS, help=f"in the large ledger ({FACTS})")
    arguments = parser.parse_args()
    bench, failure, missed = LedgerBench(arguments), None, []
    try:
        bench.start()
        bench.measure()
        missed = bench.judge()
    except (flows.Wrong, Refused, farms.FarmError) as error:
        failure = str(error)
    finally:
        bench.flows.stop()
    bench.result |= {"found": bench.found, "missed": missed, "failure": failure}
    with open(os.path.join(ROOT, "var", "bench-ledger.json"), "w", encoding="ascii") as out:
        json.dump(bench.result, out, indent=1)
    if failure or missed:
        sys.exit(f"ledger_bench: {failure or 'missed: ' + ', '.join(missed)}")


if __name__ == "__main__":
    main()
