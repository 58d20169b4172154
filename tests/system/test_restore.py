"""test_restore.py - the ledger is set back, or moved into another server: what is refused, how it goes on, and what that costs nobody

A farm of its own, whose database archives its WAL. First it is set back to a moment between payments (base backup and WAL), while the broker, the
providers and the heads outside know what came after; then it is dumped into a new server, whose transaction ids are far below. docs/operations.md
has the same steps for people.
"""

import base64
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess

import farm as farms
import psycopg2
import pytest
import test_receipts as receipts
import test_sealing as sealing
import test_verify as verifying
import world as worlds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DELAY_MS = 2000  # of a provider's answer: long enough to see that it has not come
SETTINGS = worlds.SETTINGS | {"keeper": {"stand_still_ms": 1000, "sweep_ms": 200}, "pop": {"timeout_ms": 2 * DELAY_MS},
                              "provider": {"timeout_ms": 2 * DELAY_MS, "visibility_horizon_ms": 200, "send_window_ms": 3000}}
SPENT_XIDS = 20000  # by the first server, more than a new one has after a restore
AGAIN, REFUSED = 75, 78


@pytest.fixture(scope="module")
def farm():
    directory = os.environ.get("ACQUIT_TEST_DIR", os.path.join(farms.ROOT, "var", "test"))
    one = farms.Farm(directory + "-restore", build=os.environ.get("ACQUIT_TEST_BUILD"), settings=SETTINGS)
    forget(one)
    one.services.archive = True
    one.start()
    one.services.psql(f"do $$ begin for i in 1..{SPENT_XIDS} loop perform pg_current_xact_id(); commit; end loop; end $$")
    yield one
    one.stop()


def forget(farm):
    """What an earlier run has left: its database is not where this one's begins."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(farm.path("pids")):
            farm.stop_program(name, signal.SIGKILL)
    farm.services.stop()
    shutil.rmtree(farm.directory, ignore_errors=True)


# --- what a person types ---

def answer(farm, *arguments, owner=False):
    """Exit code, and the answer or the error."""
    environment = {"ACQUIT_LEDGER_URL": farm.services.pg_url} if owner else None
    done = farm.acquit(*arguments, "--json", environment=environment, check=False)
    return done.returncode, json.loads(done.stdout)


def verify(farm, *arguments, heads=None):
    """Exit code, and the rules that are broken."""
    code, found = answer(farm, "ledger", "verify", *(["--heads", heads] if heads else []), *arguments)
    assert (code == 0) == found["good"], found
    return code, {fault["rule"] for fault in found["faults"]}, found


def begin_epoch(farm, reason, *more):
    code, found = answer(farm, "ledger", "epoch", "begin", "--reason", reason, *more, owner=True)
    assert code == 0, found
    return found


def refusal(farm, name, *program):
    """What a program says that will not start; it has to end at once, with 78."""
    done = subprocess.run([farm.program(program[0]), *program[1:]], env=farm._environment(name), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == REFUSED, f"{program}: exit code {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


# --- a farm that stops, and goes on ---

def programs(farm):
    return [*farm.worker_names(), "ingress", "keeper"]


def stop(farm, but=""):
    for name in programs(farm):
        if name != but:
            farm.stop_program(name)


def go_on(farm):
    for name in farm.worker_names():
        farm.start_worker(name)
    farm.start_ingress()
    farm.start_keeper()


def reconnect(world):
    with contextlib.suppress(psycopg2.Error):
        world.books.close()
    world.books = psycopg2.connect(world.farm.services.pg_url)
    world.books.autocommit = True


def until_sealed(world):
    """Every fact in a block, and every head outside."""
    receipts.until_sealed(world)
    last = world.sql("select epoch, height from ledger.seal order by height desc limit 1")[0]
    farms.wait_for(lambda: last in heads(world.farm), 20, f"the file of head {last}")


def heads(farm):
    """{(epoch, height): text} of those outside."""
    found = {}
    for path in glob.glob(farm.path("heads", "*.head")):
        name = re.fullmatch(r"([0-9]{12})(?:-epoch([0-9]+))?\.head", os.path.basename(path))
        with open(path, encoding="utf-8") as file:
            found[int(name[2] or 1), int(name[1])] = file.read()
    return found


def receipt(world, payment, path):
    """One, as a stranger keeps it."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(receipts.prove(world, payment), file)
    return path


def is_proven(world, path):
    key = receipts.key_of(world)
    ours = subprocess.run([world.farm.program("acquit"), "receipt", "verify", path, "--key", key], capture_output=True, text=True, timeout=20, check=False)
    theirs = subprocess.run(["python3", "-B", receipts.VERIFIER, path, key], capture_output=True, text=True, timeout=20, check=False)
    return ours.returncode == theirs.returncode == 0


# --- back to a moment between ---

class Shop:
    """An app: remembers what it has sent, and can say all of it again."""

    def __init__(self, world):
        self.world, self.sent = world, []

    def send(self, kind, body, publisher, key):
        self.sent.append((kind, key, body, publisher))
        self.world.publish([(kind, key, body)], publisher)

    def pay(self, body, slow_at=None):
        key, publisher = self.world.key(), "tickets" if "tokens" in body else "shop"
        payment = self.world.expect(key, publisher)
        if slow_at:
            self.world.fault(payment, slow_at, "delay", delayMs=DELAY_MS, times=farms.VALIDATORS if slow_at.startswith("validator") else 1)
        self.send("payment.create", body, publisher, key)
        return payment

    def refund(self, payment, slow_at=None):
        if slow_at:
            self.world.fault(payment, slow_at, "delay", delayMs=DELAY_MS)
        self.send("payment.refund", {"paymentId": payment}, self.world.created[payment], self.world.key())

    def repeat(self):
        for kind, key, body, publisher in self.sent:
            self.world.publish([(kind, key, body)], publisher)


def captures(world, payment):
    """How often the provider has captured it."""
    return sum(intent["captured"] > 0 for intent in world.stripe_books(payment))


def test_back_to_a_moment_between(farm, world, tmp_path):
    services, shop = farm.services, Shop(world)
    plain, dual = world.plain(), world.dual()
    before = [shop.pay(plain), shop.pay(dual)]
    world.wait_ended(before)
    services.backup_postgres("restored")

    # after the backup: ended before the moment, ...
    between = [shop.pay(plain), shop.pay(dual), shop.pay(plain), shop.pay(plain)]
    world.wait_ended(between)
    until_sealed(world)
    proven = receipt(world, between[0], tmp_path / "before.json")
    # ... and open at it, each at another place
    authorizing, capturing = shop.pay(plain, slow_at="stripe.authorize"), shop.pay(plain, slow_at="stripe.capture")
    voting = shop.pay(dual, slow_at="validator.validate")
    shop.refund(between[2], slow_at="stripe.refund")
    wanted = {authorizing: ("auth:1", "auth:1:result"), capturing: ("decision", "capture"), voting: ("auth:1:result", "pop"),
              between[2]: ("refund:1", "refund:1:result")}
    for payment, (has, _) in wanted.items():
        world.wait_fact(payment, has)
    services.psql("select pg_create_restore_point('moment'), pg_switch_wal()")
    for payment, (_, has_not) in wanted.items():
        assert not world.has(payment, has_not), f"{payment} was too fast: {world.facts(payment)}"

    # the future that will be lost: all of it ends, a refund, new payments, and heads that leave
    world.wait_ended([authorizing, capturing, voting])
    world.wait_fact(between[2], "refund:1:result")
    shop.refund(between[3])
    world.wait_fact(between[3], "refund:1:result")
    later = [shop.pay(plain), shop.pay(dual)]
    world.wait_ended(later)
    until_sealed(world)
    vanishing = receipt(world, later[0], tmp_path / "vanishing.json")
    seen, known = heads(farm), {payment: captures(world, payment) for payment in world.created}
    stop(farm, but="keeper")
    waiting = [shop.pay(plain), shop.pay(dual)]  # with the broker, taken by nobody
    services.recover_postgres("restored", "moment")
    reconnect(world)
    came_back = world.sql("select count(*) from ledger.event")[0][0]

    # who had read the other history forgets it
    assert farm.processes.pop("keeper").wait(20) == AGAIN
    assert "the ledger is another one now" in farm.log_tail("keeper")

    # what is there is whole; what is missing is seen from outside, and by the keeper
    for payment, (has, has_not) in wanted.items():
        assert world.has(payment, has) and not world.has(payment, has_not), world.facts(payment)
    assert not any(world.facts(payment) for payment in later) and not world.has(between[3], "refund:1")
    assert verify(farm)[:2] == (0, set())
    assert verify(farm, heads=farm.path("heads"))[:2] == (1, {"truncated"})
    said = refusal(farm, "keeper", "acquit-keeper")
    assert "was set back" in said and "acquit ledger epoch begin --number 2" in said, said
    assert begin_epoch(farm, "disk lost; back to the moment")["epoch"] == 2
    assert verify(farm)[:2] == (0, set())
    assert verify(farm, "--epoch", "2", heads=farm.path("heads"))[:2] == (1, {"truncated"})  # a row of the database proves nothing

    # it goes on: what was open, and what the broker had
    go_on(farm)
    world.wait_ended([authorizing, capturing, voting, *waiting])
    world.wait_fact(between[2], "refund:1:result")
    assert {payment: captures(world, payment) for payment in known} == known, "captured again"
    # the provider has what the ledger does not: those that the apps now say again
    lost = {payment for payment in known if known[payment] and not world.facts(payment)}
    assert lost == set(later)
    shop.repeat()
    world.wait_ended()
    world.wait_fact(between[3], "refund:1:result")
    until_sealed(world)
    assert {payment: captures(world, payment) for payment in known} == known, "captured again"

    # the heads say what was given up, to whoever has one of them
    now = heads(farm)
    assert {place: now[place] for place in seen} == seen, "a head that was outside has been changed"
    given_up = [place for place, text in seen.items() if int(text.split("\n")[1]) > came_back]
    assert given_up and min(height for epoch, height in now if epoch == 2) <= min(given_up)[1]
    assert all(re.search(rf"^acquit-seal-v1 epoch={epoch} block={height} ", text, re.M) for (epoch, height), text in now.items())
    assert verify(farm)[:2] == (0, set())
    code, rules, found = verify(farm, heads=farm.path("heads"))
    assert (code, rules) == (1, {"lost"}) and found["faultCount"] == len(given_up), (found["faults"], given_up, came_back)
    code, rules, found = verify(farm, "--epoch", "2", heads=farm.path("heads"))
    assert (code, rules, found["lost"], found["epoch"]) == (0, set(), len(given_up), 2) and len(found["notes"]) == len(given_up), found
    # knowing of the restore excuses nothing that it did not lose
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(farm.secret("seal")))
    for epoch, size in ((1, 3), (2, 10**6)):
        forged = tmp_path / f"forged-{epoch}"
        forged.mkdir()
        with open(forged / "one.head", "w", encoding="utf-8") as file:
            file.write(verifying.sign(key, size, b"x" * 32, f"acquit-seal-v1 epoch={epoch} block=0 previous=-"))
        assert verify(farm, "--epoch", "2", heads=forged)[:2] == (1, {"fork"} if epoch == 1 else {"truncated"})
    # receipts from before, from after, and from what was given up: the ledger had vouched for that
    assert is_proven(world, proven) and is_proven(world, receipt(world, later[0], tmp_path / "after.json")) and is_proven(world, vanishing)


# --- into another server ---

def globals_of(services):
    """The roles, as people take them along."""
    return subprocess.run(["pg_dumpall", "--globals-only", "-d", services.pg_url], capture_output=True, text=True, timeout=30, check=True).stdout


def test_into_another_server(farm, world, tmp_path):
    services, dump = farm.services, tmp_path / "ledger.dump"
    before = [world.pay(world.plain()), world.pay(world.dual(), "tickets")]
    world.wait_ended(before)
    until_sealed(world)
    epoch = world.sql("select coalesce(max(epoch), 1) from ledger.epoch")[0][0]
    proven, seen = receipt(world, before[0], tmp_path / "before.json"), heads(farm)
    stop(farm)
    roles = globals_of(services)
    subprocess.run(["pg_dump", "-Fc", "-f", dump, services.pg_url], timeout=60, check=True)
    services.new_postgres("moved")
    services.psql(re.sub(rf"(create|alter) role {services.pg_user}\b.*", "", roles, flags=re.I), database="postgres")
    subprocess.run(["pg_restore", "--exit-on-error", "-d", services.pg_url, dump], timeout=60, check=True)
    reconnect(world)
    highest = int(world.sql("select max(xid)::text from ledger.event")[0][0])
    assert int(services.psql("select pg_current_xact_id()")) < highest, "the new server is too far already"

    # nobody writes: an id of this server would look like one that is there
    for name, *program in (("ingress", "acquit-ingress"), ("keeper", "acquit-keeper"), *(("worker", "acquit-worker", kind) for kind in farms.WORKER_TYPES)):
        said = refusal(farm, name, *program)
        assert f"it holds transaction ids up to {highest}" in said and "acquit ledger epoch begin" in said, said
    code, found = answer(farm, "ledger", "epoch")
    assert (code, found["writable"]) == (1, False), found
    code, found = answer(farm, "doctor")
    assert code == 1 and {row["check"]: row["state"] for row in found["checks"]}["epoch"] == "problem", found

    begun = begin_epoch(farm, "moved to a larger machine", "--number", str(epoch + 3))  # as if heads of others were outside
    assert begun["epoch"] == epoch + 3 and begun["xidOffset"] > 0
    stored = [row[0] for row in world.sql("select format('select max(%%I)::text::bigint from %%s', a.attname, a.attrelid::regclass) from pg_attribute a"
                                          " join pg_class c on c.oid = a.attrelid where a.atttypid = 'xid8'::regtype and c.relkind = 'r'")]
    assert len(stored) > 4
    for one in ("ledger.horizon()", "ledger.next_xid()", "ledger.xid()"):
        assert world.sql(f"select {one}::text::bigint")[0][0] > max(world.sql(query)[0][0] or 0 for query in stored), one
    assert verify(farm, heads=farm.path("heads"), *["--epoch", str(epoch)] if epoch > 1 else [])[:2] == (0, set())
    code, found = answer(farm, "ledger", "epoch")
    assert (code, found["writable"], found["epochs"][-1]["reason"]) == (0, True, "moved to a larger machine"), found
    code, found = answer(farm, "audit", "list", "--action", "ledger.epoch")
    assert [act["reason"] for act in found["acts"] if act["diff"]["epoch"] == epoch + 3] == ["moved to a larger machine"], found

    go_on(farm)
    after = [world.pay(world.plain()), world.pay(world.dual(), "tickets")]
    world.wait_ended(after)
    until_sealed(world)
    assert world.sql("select min(xid)::text::bigint from ledger.event where payment_id = any(%s::uuid[])", after)[0][0] > highest
    assert verify(farm, heads=farm.path("heads"), *["--epoch", str(epoch)] if epoch > 1 else [])[:2] == (0, set())
    now = heads(farm)
    assert {place: now[place] for place in seen} == seen and max(now)[0] == epoch + 3
    assert is_proven(world, proven) and is_proven(world, receipt(world, before[1], tmp_path / "again.json"))
    assert is_proven(world, receipt(world, after[1], tmp_path / "after.json"))
    for name in ("xid", "horizon", "next_xid"):     # what the last epoch makes of them, and nothing else
        kept = world.sql(f"select pg_get_functiondef('ledger.{name}'::regproc)")[0][0]
        services.psql(re.sub(r"bigint \+ [0-9]+", f"bigint + {begun['xidOffset'] + 1}", kept))
        assert verify(farm)[:2] == (1, {"function"}), name
        services.psql(kept)
    assert verify(farm)[:2] == (0, set())


def test_no_epoch_begins_while_somebody_writes(farm, world):
    stop(farm)
    before = world.sql("select epoch, xid_offset from ledger.epoch order by epoch")
    has_been = str(before[-1][0] - 1 if before else 1)  # one that was left out
    with psycopg2.connect(farm.pg_url("acquit_farm")) as writer, writer.cursor() as cursor:
        cursor.execute(sealing.NEW_FACT)
        done = farm.acquit("ledger", "epoch", "begin", "--reason", "too early", environment={"ACQUIT_LEDGER_URL": farm.services.pg_url}, check=False)
        writer.rollback()
    assert done.returncode == AGAIN and "is everything stopped that writes to the ledger?" in done.stderr, done
    for wrong in (["--number", has_been], ["--reason", ""], ["--reason", "x" * 501]):
        assert answer(farm, "ledger", "epoch", "begin", *(["--reason", "x"] if "--number" in wrong else []), *wrong, owner=True)[0] == 2, wrong
    denied, found = answer(farm, "ledger", "epoch", "begin", "--reason", "not mine to do")
    assert denied == 1 and "permission denied" in found["message"], found
    assert world.sql("select epoch, xid_offset from ledger.epoch order by epoch") == before
    go_on(farm)


# --- partitions to come ---

def days_left(farm):
    return answer(farm, "ledger", "partitions")[1]["daysLeft"]


def doctor_says(farm, check):
    return next(row for row in answer(farm, "doctor")[1]["checks"] if row["check"] == check)


def test_the_keeper_makes_partitions_ahead(farm, world):
    assert days_left(farm) >= 400 and doctor_says(farm, "partitions")["state"] == "ok"
    farm.stop_program("keeper")
    to_come = "select inhrelid::regclass::text from pg_inherits where inhparent in ('ledger.event'::regclass, 'ledger.transfer'::regclass)"
    for name, in world.sql(to_come + " and inhrelid::regclass::text !~ '_first$'"):
        farm.services.psql(f"drop table {name}")
    left = days_left(farm)
    assert 0 < left <= 92 and doctor_says(farm, "partitions")["state"] == "warning"
    farm.start_keeper()
    listed = farms.wait_for(lambda: days_left(farm) >= 400 and answer(farm, "ledger", "partitions")[1]["partitions"], 10, "partitions to come")
    assert {row["table"] for row in listed} == {"event", "transfer"} and all(row["bytes"] > 0 for row in listed)
    ends = [(row.get("from"), row["to"]) for row in listed if row["table"] == "event"][1:]
    assert all(end == begin for (_, end), (begin, _) in zip(ends, ends[1:])), ends
    page = farms.http("GET", f"http://127.0.0.1:{farm.port('keeper-metrics')}/metrics")[1]
    assert int(re.search(r"^acquit_ledger_partition_days_left (\d+)$", page, re.M)[1]) == days_left(farm)
    assert verify(farm)[:2] == (0, set())
    # a quarter that has none ends what is left, whatever comes behind it
    farm.stop_program("keeper")
    gone = next(row for row in listed if row["table"] == "transfer" and row.get("from") == ends[2][0])
    farm.services.psql(f"drop table ledger.{gone['name']}")
    assert days_left(farm) == world.sql("select %s::date - (now() at time zone 'UTC')::date", gone["from"])[0][0]
