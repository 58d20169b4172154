#!/usr/bin/python3
"""bench.py - `make bench`: how many payments a second, how long one takes, and what broker and database alone can do

    bench.py [--build DIR] [--scale X] [--keep]

Starts a farm of its own in var/bench (two of each worker, twins that answer at once), empty each time. Times between facts are the
ledger's own. After each measurement all payments must have ended as expected, and at the end the trial balance must be zero and
the ledger must agree with the twin's books: exit 1 otherwise. Writes var/bench.json. docs/performance.md says how to read it.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "farm"))

import pika  # noqa: E402
import psycopg2  # noqa: E402

import farm as farms  # noqa: E402
from ids import payment_id  # noqa: E402
from publisher import Publisher, Refused  # noqa: E402

INSTANCES = 2               # of each worker type
SIMULATED, STRIPE, DUAL = 2000, 1000, 400  # payments at once
WARM_UP = 100
PACED_SECONDS = 8           # of the open loop
PACED_SHARE = 0.5           # of the rate found
HOPS = 3000                 # refunds that are refused
LIMIT_SECONDS = 4           # of each measurement of what is possible
LIMIT_MESSAGES = 6000
END_SECONDS = 60            # how long payments may take to end once all are published
ROW_BYTES = 400             # a fact with its evidence is about that long
PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"

# No waits of ours, and timeouts so long that a busy machine is not taken for a fault.
SETTINGS = {
    "worker": {"batch_wait_ms": 1},
    "retry": {"base_ms": 200, "cap_ms": 60000},
    "question": {"base_ms": 500, "cap_ms": 60000},
    "keeper": {"stand_still_ms": 30000},
    "provider": {"timeout_ms": 10000, "visibility_horizon_ms": 5000, "send_window_ms": 30000},
    "pop": {"quorum": 2, "timeout_ms": 10000},
    "tokens": {"timeout_ms": 10000},
    "webhook": {"timeout_ms": 10000},
    "log": {"level": "info"},
}
FLOWS = {
    "plain, simulated": {"publisher": "shop", "end": ("capture", "captured"),
                         "body": {"paymentToken": "tok_visa", "preferredGateways": ["simulated"], "flow": "plain"}},
    "plain, stripe twin": {"publisher": "shop", "end": ("capture", "captured"),
                           "body": {"paymentToken": "pm_card_visa", "preferredGateways": ["stripe"], "flow": "plain"}},
    "dual": {"publisher": "tickets", "end": ("token:active", "active"),
             "body": {"paymentToken": "pm_card_visa", "preferredGateways": ["stripe"], "flow": "dual", "tokens": {"id": "seat", "quantity": 1}}},
}


class Wrong(Exception):
    """A payment ended otherwise than it had to, or the books do not agree."""


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def spread(seconds):
    """p50, p99 and the longest, in ms."""
    return {"p50_ms": round(1000 * percentile(seconds, 0.5), 1), "p99_ms": round(1000 * percentile(seconds, 0.99), 1),
            "max_ms": round(1000 * max(seconds), 1)}


class CpuShares:
    """Processor seconds of the farm's parts between two looks, from /proc."""

    def __init__(self, farm):
        self.farm, self.tick = farm, os.sysconf("SC_CLK_TCK")
        self.before = self.look()

    def family(self, pid):
        found = {pid} if pid else set()
        for name in os.listdir("/proc"):
            if name.isdigit() and pid:
                try:
                    with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as text:
                        if int(text.read().rpartition(")")[2].split()[1]) in found:
                            found.add(int(name))
                except OSError:
                    continue
        return found

    def seconds(self, pids):
        total = 0
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
                    fields = text.read().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
            except OSError:
                continue
        return total / self.tick

    def look(self):
        services = self.farm.services
        parts = {"PostgreSQL": self.family(services.postgres_pid), "RabbitMQ": self.family(services.broker_pid), "bench": {os.getpid()},
                 "twins": {self.farm.pid("twins")}, "keeper": {self.farm.pid("keeper")}}
        for kind in farms.WORKER_TYPES:
            parts[kind] = {self.farm.pid(f"{kind}-{n + 1}") for n in range(INSTANCES)}
        return {name: self.seconds(pid for pid in pids if pid) for name, pids in parts.items()}

    def since(self):
        now = self.look()
        return {name: round(now[name] - self.before[name], 2) for name in now if now[name] - self.before[name] > 0.05}


class Bench:
    def __init__(self, build, scale):
        self.farm = farms.Farm(os.path.join(ROOT, "var", "bench"), build=build, instances={name: INSTANCES for name in farms.WORKER_TYPES},
                               settings=SETTINGS)
        self.scale, self.round, self.expected = scale, uuid.uuid4().hex[:6], {}
        self.books = None
        self.result = {"at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "cores": os.cpu_count(),
                       "kernel": platform.release(), "load": os.getloadavg()[0], "instances": INSTANCES, "flows": {}, "limits": {}}

    def start(self):
        self.farm.stop()  # one that was kept
        shutil.rmtree(self.farm.directory, ignore_errors=True)
        self.farm = farms.Farm(self.farm.directory, build=self.farm.build, instances=self.farm.instances, settings=SETTINGS)
        self.farm.start()
        self.books = psycopg2.connect(self.farm.services.pg_url)
        self.books.autocommit = True

    def stop(self):
        if self.books:
            self.books.close()
        self.farm.stop()

    def sql(self, statement, *parameters):
        with self.books.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    # --- payments ---

    def payments(self, flow, name, count):
        """[(type, key, body)] and their ids."""
        wish, commands, ids = FLOWS[flow], [], []
        for n in range(count):
            key = f"bench-{self.round}-{name}-{n}"
            body = {"amount": 1000 + n % 500, "currency": "EUR", "reference": {"type": "booking", "id": key}} | wish["body"]
            commands.append(("payment.create", key, body))
            ids.append(payment_id(wish["publisher"], key))
            self.expected[ids[-1]] = (flow, body["amount"])
        return commands, ids

    def await_end(self, flow, first_seq, count):
        slot, outcome = FLOWS[flow]["end"]
        deadline = time.monotonic() + END_SECONDS
        while True:
            ended = self.sql("select count(*) from ledger.event where seq > %s and slot = %s and outcome = %s", first_seq, slot, outcome)[0][0]
            if ended >= count:
                return
            if time.monotonic() > deadline:
                raise Wrong(f"{flow}: {count - ended} of {count} payments have not ended after {END_SECONDS} s")
            time.sleep(0.2)

    def await_told(self, ids):
        """Until every end was told to its webhook too, so that the next measurement begins in peace."""
        deadline = time.monotonic() + END_SECONDS
        while self.sql("select count(*) from ledger.event where payment_id = any(%s::uuid[]) and slot like 'notice:%%'", ids)[0][0] < len(ids):
            if time.monotonic() > deadline:
                raise Wrong("not every end was told")
            time.sleep(0.1)

    def last_seq(self):
        return self.sql("select coalesce(max(seq), 0) from ledger.event")[0][0]

    def times(self, flow, ids):
        """{payment: (received, ended, told)} as epoch seconds of the ledger."""
        slot, outcome = FLOWS[flow]["end"]
        rows = self.sql("select payment_id::text, min(extract(epoch from at)) filter (where slot = 'received'), "
                        "min(extract(epoch from at)) filter (where slot = %s and outcome = %s), "
                        "max(extract(epoch from at)) filter (where slot like 'notice:%%') "
                        "from ledger.event where payment_id = any(%s::uuid[]) group by 1", slot, outcome, ids)
        return {row[0]: tuple(float(value) if value is not None else None for value in row[1:]) for row in rows}

    def check(self, flow, ids):
        """As expected: the money captured, nothing refused, nothing dead, no doubt that stands."""
        wrong = self.sql("select payment_id::text, slot, outcome from ledger.event where payment_id = any(%s::uuid[]) and "
                         "(slot like 'dead:%%' or outcome in ('abort', 'refused', 'declined', 'absent', 'rejected')) limit 5", ids)
        captured = self.sql("select count(distinct payment_id) from ledger.event where payment_id = any(%s::uuid[]) and slot = 'capture' and "
                            "outcome = 'captured'", ids)[0][0]
        if wrong or captured != len(ids):
            raise Wrong(f"{flow}: {captured} of {len(ids)} captured; {wrong}")
        return self.sql("select count(*) from ledger.event where payment_id = any(%s::uuid[]) and slot like '%%:doubt:%%'", ids)[0][0]

    def commits(self):
        return self.sql("select pg_stat_clear_snapshot(), xact_commit from pg_stat_database where datname = 'acquit'")[0][1]

    def run(self, flow, name, count, rate=None):
        commands, ids = self.payments(flow, name, count)
        publisher = Publisher(self.farm.amqp_url(FLOWS[flow]["publisher"]), FLOWS[flow]["publisher"])
        first_seq, cpu, wal = self.last_seq(), CpuShares(self.farm), self.sql("select pg_current_wal_lsn()")[0][0]
        publishing = publisher.publish(commands, rate=rate)
        self.await_end(flow, first_seq, count)
        times = self.times(flow, ids)
        shares = cpu.since()
        wal_bytes = self.sql("select pg_current_wal_lsn() - %s::pg_lsn", wal)[0][0]
        self.await_told(ids)
        told = self.times(flow, ids)
        sent = {payment_id(FLOWS[flow]["publisher"], key): at for key, at in publisher.sent.items()}
        seconds = max(ended for _, ended, _ in times.values()) - min(sent.values())
        facts = self.sql("select count(*) from ledger.event where payment_id = any(%s::uuid[])", ids)[0][0]
        return {"payments": count, "seconds": round(seconds, 2), "per_second": round(count / seconds, 1),
                "publishing_seconds": round(publishing, 2),
                "received_to_ended": spread([ended - received for received, ended, _ in times.values()]),
                "published_to_ended": spread([times[payment][1] - at for payment, at in sent.items()]),
                "told_per_second": round(count / (max(at[2] for at in told.values()) - min(sent.values())), 1),
                "facts_per_payment": round(facts / count, 1), "wal_bytes_per_payment": int(wal_bytes / count),
                "cpu_ms_per_payment": {part: round(1000 * value / count, 2) for part, value in shares.items()},
                "doubts": self.check(flow, ids)}

    def flow(self, flow, count):
        self.run(flow, f"{flow}-warm", WARM_UP)
        burst = self.run(flow, f"{flow}-burst", max(20, int(count * self.scale)))
        rate = burst["per_second"] * PACED_SHARE
        paced = self.run(flow, f"{flow}-paced", max(20, int(rate * PACED_SECONDS)), rate=rate)
        self.result["flows"][flow] = {"burst": burst, "paced": paced | {"offered_per_second": round(rate, 1)}}

    # --- one worker type alone ---

    def hops(self):
        """Refunds beyond the capture: each is taken, folded, recorded as refused in one commit, acked; no provider is asked. They wait in the
        queue before the workers come; the ledger's own times count."""
        workers = [f"refund-{n + 1}" for n in range(INSTANCES)]
        ids = [payment for payment, (flow, _) in self.expected.items() if FLOWS[flow]["publisher"] == "shop"]
        self.result["hops"] = {}
        for count in (1, INSTANCES):
            for name in workers:
                self.farm.stop_program(name)
            total, mark = max(200, int(HOPS * self.scale)), f"bench-{self.round}-hop-{count}-"
            commands = [("payment.refund", mark + str(n), {"paymentId": ids[n % len(ids)], "amount": 9000000}) for n in range(total)]
            Publisher(self.farm.amqp_url("shop"), "shop").publish(commands)
            first_seq, cpu = self.last_seq(), CpuShares(self.farm)
            for name in workers[:count]:
                self.farm.start_worker(name)
            done, deadline = (0, None), time.monotonic() + END_SECONDS
            while done[0] < total:
                done = self.sql("select count(*), extract(epoch from max(at) - min(at))::float from ledger.event where seq > %s and slot like 'refund:%%' "
                                "and outcome = 'refused'", first_seq)[0]
                if time.monotonic() > deadline:
                    raise Wrong(f"{total - done[0]} of {total} refunds were not refused")
                time.sleep(0.1)
            self.result["hops"][str(count)] = {"commands": total, "per_second": round(total / done[1], 1),
                                               "cpu_ms_per_command": {part: round(1000 * value / total, 2) for part, value in cpu.since().items()}}
            for name in workers:
                if not self.farm.pid(name):
                    self.farm.start_worker(name)

    # --- what is possible at all ---

    def database_limit(self):
        """Commits of one row each, from one client and from as many as the farm has workers that write."""
        self.sql("create schema bench; create table bench.row (id bigserial primary key, at timestamptz default clock_timestamp(), body text); select 1")
        script = self.farm.path("insert.sql")
        with open(script, "w", encoding="ascii") as out:
            out.write(f"insert into bench.row (body) values (repeat('x', {ROW_BYTES}));\n")
        rates = {}
        for clients in (1, 4, 12):
            done = subprocess.run([PGBENCH, "-n", "-f", script, "-c", str(clients), "-j", "1", "-T", str(LIMIT_SECONDS), "-M", "prepared",
                                   self.farm.services.pg_url], capture_output=True, text=True, check=True, timeout=60)
            line = next(line for line in done.stdout.splitlines() if line.startswith("tps"))
            rates[str(clients)] = round(float(line.split()[2]), 1)
        self.sql("drop schema bench cascade; select 1")
        self.result["limits"]["commits_per_second"] = rates

    def broker_limit(self):
        """Messages like ours through a quorum queue, confirmed; nobody consumes."""
        queue, url = "bench.limit", self.farm.services.amqp_url
        connection = pika.BlockingConnection(pika.URLParameters(url))
        connection.channel().queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        body = json.dumps(self.payments("plain, simulated", "limit", 1)[0][0][2]).encode()
        self.expected = {payment: what for payment, what in self.expected.items() if payment != payment_id("shop", f"bench-{self.round}-limit-0")}
        count = max(500, int(LIMIT_MESSAGES * self.scale))
        rates, user = {}, self.farm.services.amqp_user
        for window in (1, 256, 1024):
            share = count if window > 1 else count // 6
            cpu, publisher = time.process_time(), Publisher(url, user, window)
            seconds = publisher.publish([(queue, f"limit-{window}-{n}", body) for n in range(share)], exchange="")
            rates[str(window)] = {"per_second": round(share / seconds, 1), "publisher_cpu_share": round((time.process_time() - cpu) / seconds, 2)}
        connection.channel().queue_delete(queue)
        connection.close()
        self.result["limits"]["publishes_per_second"] = rates
        self.result["limits"]["message_bytes"] = len(body)

    # --- the books ---

    def judge(self):
        rows = json.loads(self.farm.acquit("ledger", "balance", "--json"))["accounts"]
        off = {currency: sum(row["balance"] for row in rows if row["currency"] == currency) for currency in {row["currency"] for row in rows}}
        if any(off.values()):
            raise Wrong(f"the trial balance is not zero: {off}")
        wanted = sum(amount for flow, amount in self.expected.values() if flow != "plain, simulated")
        twin = farms.http("GET", self.farm.twins_url + "/_twin/books/stripe", seconds=60)[1]["totals"].get("eur", {"captured": 0})["captured"]
        simulated = self.sql("select coalesce(sum(captured - refunded), 0) from sim.payment")[0][0]
        wanted_simulated = sum(amount for flow, amount in self.expected.values() if flow == "plain, simulated")
        if (twin, simulated) != (wanted, wanted_simulated):
            raise Wrong(f"providers' books: stripe's twin captured {twin} of {wanted}, simulated {simulated} of {wanted_simulated}")
        dead = self.sql("select count(*) from ledger.dead_letter")[0][0]
        if dead:
            raise Wrong(f"{dead} dead letters")
        self.result["judged"] = {"payments": len(self.expected), "trial_balance": off, "dead_letters": dead}

    def measure(self, say):
        began = time.monotonic()
        say("what the database and the broker alone can do")
        self.database_limit()
        self.broker_limit()
        for flow, count in zip(FLOWS, (SIMULATED, STRIPE, DUAL)):
            say(flow)
            self.flow(flow, count)
        say("one worker type alone")
        self.hops()
        self.judge()
        self.result["seconds"] = round(time.monotonic() - began, 1)

    def table(self):
        limits, lines = self.result["limits"], []
        lines.append(f"{'flow':20} {'payments/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'offered/s':>10}   at the offered rate: received to ended (published to ended)")
        for flow, found in self.result["flows"].items():
            paced = found["paced"]
            lines.append(f"{flow:20} {found['burst']['per_second']:10.1f} {paced['received_to_ended']['p50_ms']:8.1f} {paced['received_to_ended']['p99_ms']:8.1f} "
                         f"{paced['offered_per_second']:10.1f}   ({paced['published_to_ended']['p50_ms']:.1f}, {paced['published_to_ended']['p99_ms']:.1f})")
        commits, publishes = limits["commits_per_second"], limits["publishes_per_second"]
        for count, found in self.result["hops"].items():
            lines.append(f"one hop, {count} worker{'s' if count != '1' else ''}: {found['per_second']:.0f} commands/s, "
                         f"{found['per_second'] / max(commits.values()):.2f} of the commits that the database alone does")
        lines.append("database alone, commits/s: " + ", ".join(f"{rate:.0f} with {clients} clients" for clients, rate in commits.items()))
        lines.append(f"broker alone, publishes/s of {limits['message_bytes']} bytes: "
                     + ", ".join(f"{rate['per_second']:.0f} with {window} unconfirmed" for window, rate in publishes.items()))
        lines.append(f"all {self.result['judged']['payments']} payments ended as expected, the books agree; {self.result['seconds']:.0f} s")
        return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="which programs (build)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of payments (1)")
    parser.add_argument("--keep", action="store_true", help="leave the farm running")
    arguments = parser.parse_args()
    bench = Bench(arguments.build, arguments.scale)
    failure = None
    try:
        bench.start()
        bench.measure(lambda what: print(f"  {what}", flush=True))
    except (Wrong, Refused, farms.FarmError) as error:
        failure = str(error)
    finally:
        if not arguments.keep:
            bench.stop()
    bench.result["failure"] = failure
    with open(os.path.join(ROOT, "var", "bench.json"), "w", encoding="ascii") as out:
        json.dump(bench.result, out, indent=1)
    if failure:
        sys.exit(f"bench: {failure}")
    print(bench.table())


if __name__ == "__main__":
    main()
