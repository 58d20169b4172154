"""test_verify.py - `acquit ledger verify` is green on an honest ledger and names what was done to a tampered one

The ledger is made by a farm of its own, so that it holds payments and nothing else. Every mutation works on a fresh copy of it, as a superuser with the
triggers off, and puts the triggers back: nothing but the verification can tell.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import threading

import farm as farms
import psycopg2
import pytest
import test_sealing as sealing
import world as worlds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ORIGIN = "acquit.test/ledger"
# the payment that is tampered with
ONE = "(select payment_id from ledger.event where slot = 'capture' order by xid, seq limit 1)"


@pytest.fixture(scope="module")
def farm():
    """Beside the one of the other tests, whose ledger holds what their probes put there."""
    directory = os.environ.get("ACQUIT_TEST_DIR", os.path.join(farms.ROOT, "var", "test"))
    shutil.rmtree(directory + "-verify", ignore_errors=True)
    one = farms.Farm(directory + "-verify", build=os.environ.get("ACQUIT_TEST_BUILD"), settings=worlds.SETTINGS)
    one.start()
    yield one
    one.stop()


# --- keys and heads, independently ---

def public_of(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(key):
    return hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public_of(key)).digest()[:4]


def key_text(key):
    return f"{ORIGIN}+{key_id(key).hex()}+{base64.b64encode(b'%c' % 1 + public_of(key)).decode()}"


def sign(key, size, root, line):
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(root).decode()}\n{line}\n"
    return text + f"\n\u2014 {ORIGIN} {base64.b64encode(key_id(key) + key.sign(text.encode())).decode()}\n"


# --- a ledger to tamper with ---

class Copy:
    """One copy of the ledger in the same server."""

    def __init__(self, farm, name, template):
        self.farm, self.name = farm, name
        farm.services.psql(f"drop database if exists {name}", database="postgres")
        farm.services.psql(f"create database {name} template {template}", database="postgres")
        self.connection = psycopg2.connect(farm.services.pg_url.rsplit("/", 1)[0] + "/" + name)
        self.connection.autocommit = True

    def close(self):
        self.connection.close()
        self.farm.services.psql(f"drop database {self.name}", database="postgres")

    def sql(self, statement, *parameters):
        with self.connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def tamper(self, *statements):
        """As a superuser who has switched the triggers off, and on again as they were."""
        tables = [row[0] for row in self.sql("select distinct tgrelid::regclass::text from pg_trigger where not tgisinternal")]
        triggers = self.sql("select tgrelid::regclass::text, tgname from pg_trigger where not tgisinternal")
        for table in tables:
            self.sql(f"alter table {table} disable trigger user")
        for statement in statements:
            with self.connection.cursor() as cursor:
                cursor.execute(statement)
                assert cursor.rowcount > 0, f"changed nothing: {statement}"
        for table, trigger in triggers:
            self.sql(f"alter table {table} enable always trigger {trigger}")

    def reseal(self, key=None, order="e.xid, e.seq"):
        """Every hash anew, in blocks of the sizes there were; new heads if somebody signs them."""
        rows = self.sql((sealing.FACT + f" join ledger.seal_leaf l using (payment_id, slot) order by {order}").format(at=sealing.time_of("e.at")))
        leaves = list(sealing.leaves_of(self, rows))
        heights = self.sql("select height, size, head from ledger.seal order by height")
        self.tamper(*(f"update ledger.seal_leaf set hash = '\\x{digest.hex()}' where payment_id = '{row[0]}' and slot = '{row[1]}'"
                      for row, digest in zip(rows, leaves)))
        nodes = self.sql("select level, position from ledger.seal_node")
        self.tamper(*(f"update ledger.seal_node set hash = '\\x{sealing.root(leaves[position << level:position + 1 << level]).hex()}'"
                      f" where level = {level} and position = {position}" for level, position in nodes))
        previous = "-"
        for height, size, old in heights if key else []:
            more = re.search("\n(acquit-map-v1 [^\n]+)\n", old)  # no slot is another one
            head = sign(key, size, sealing.root(leaves[:size]), f"acquit-seal-v1 epoch=1 block={height} previous={previous}" + ("\n" + more[1] if more else ""))
            previous = hashlib.sha256(head.encode()).hexdigest()
            self.tamper(f"update ledger.seal set head = '{head}' where height = {height}")

    def verify(self, *arguments, heads=True, key=None):
        """Exit code, and the answer."""
        arguments = [*arguments, *(["--heads", self.farm.path("verify-heads")] if heads is True else ["--heads", heads] if heads else [])]
        arguments += ["--key", key] if key else []
        url = self.farm.pg_url("acquit_operator").rsplit("/", 1)[0] + "/" + self.name
        done = self.farm.acquit("ledger", "verify", "--json", *arguments, environment={"ACQUIT_LEDGER_URL": url}, check=False)
        assert done.returncode in (0, 1) and done.stderr == "", done.stdout + done.stderr
        answer = json.loads(done.stdout)
        assert (done.returncode == 0) == answer["good"] == (answer["faultCount"] == 0), answer
        return answer

    def rebuild(self):
        """The lists and the map, too, as who has changed the facts would."""
        self.sql("truncate view.map_part")
        self.farm.acquit("ledger", "rebuild", environment={"ACQUIT_LEDGER_URL": self.farm.services.pg_url.rsplit("/", 1)[0] + "/" + self.name})


def rules(answer):
    return {fault["rule"] for fault in answer["faults"]}


@pytest.fixture(scope="module")
def real_key(farm):
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(farm.secret("seal")))


@pytest.fixture(scope="module")
def sealed(farm):
    """A database with payments of many kinds, every fact sealed, and the heads of that moment: restored from a dump, nobody writes to it any more."""
    world = worlds.World(farm)
    world.reset()
    payments = [world.pay(world.plain(amount=1000 + n)) for n in range(6)] + [world.pay(world.dual()) for _ in range(4)]
    payments.append(world.pay(world.plain(token="pm_card_chargeDeclined")))
    payments.append(world.pay(world.plain(token="pm_card_chargeDeclined", preferredGateways=["stripe", "simulated"])))
    payments.append(world.pay(world.plain(token="tok_timeout", gateway="simulated")))
    world.publish([("payment.create", world.key(), b"no json")])  # dies: a dead letter
    world.wait_ended(payments)
    for n, amount in enumerate((100, 333, 1)):
        world.publish([("payment.refund", world.key(), {"paymentId": payments[0], "amount": amount})])
        world.wait_fact(payments[0], f"refund:{n + 1}:result")
        sealing.until_sealed(world)  # so that there are some blocks, however fast all of it goes
    farms.wait_for(lambda: world.sql("select count(*) from ledger.dead_letter") != [(0,)], 20, "a dead letter")
    for _ in range(3):
        world.wait_ended([world.pay(world.plain())])
        sealing.until_sealed(world)
    assert world.sql("select max(height) from ledger.seal")[0][0] >= 6
    sealing.until_mapped(world)
    world.close()
    services, base, heads = farm.services, "verify_base", farm.path("verify-heads")
    services.psql(f"drop database if exists {base}", database="postgres")
    services.psql(f"create database {base}", database="postgres")
    dump = subprocess.run(["pg_dump", services.pg_url], capture_output=True, text=True, timeout=60, check=True)
    services.psql(dump.stdout, database=base)
    names = [f"{height:012}.head" for height in range(int(services.psql("select max(height) + 1 from ledger.seal", database=base)))]
    farms.wait_for(lambda: os.path.exists(farm.path("heads", names[-1])), 20, "the last head's file")
    shutil.rmtree(heads, ignore_errors=True)
    os.mkdir(heads)
    for name in names:  # those of the dump: the farm goes on
        shutil.copy(farm.path("heads", name), heads)
    yield base
    services.psql(f"drop database {base}", database="postgres")


@pytest.fixture
def copy(farm, sealed, request):
    one = Copy(farm, "verify_copy", sealed)
    yield one
    one.close()


# --- honest ---

def test_an_honest_ledger_is_good(world, copy, real_key):
    answer = copy.verify()
    assert answer["good"], answer
    facts, transfers = copy.sql("select (select count(*) from ledger.event), (select count(*) from ledger.transfer)")[0]
    assert (answer["facts"], answer["transfers"]) == (facts - answer["unsealed"], transfers) and answer["balances"]
    assert answer["blocks"] == answer["height"] + 1 == answer["heads"] > 6
    assert answer["payments"] == copy.sql("select count(distinct payment_id) from ledger.event")[0][0]
    assert copy.verify(key=key_text(real_key))["good"]
    slots, kinds = ({row[0] for row in copy.sql(f"select {column} from ledger.{table}")} for column, table in (("slot", "event"), ("kind", "transfer")))
    assert {"auth:2", "refund:3:result", "token:active", "decision"} <= slots and any(slot.startswith("dead:") for slot in slots), slots
    assert {"hold", "post", "transfer", "in_doubt"} <= kinds, kinds
    live = json.loads(world.farm.acquit("ledger", "verify", "--json", "--heads", world.farm.path("heads")))
    assert live["good"], live


def test_any_number_of_jobs_finds_the_same(copy):
    answers = [copy.verify("--jobs", jobs) for jobs in ("1", "3", "8")]
    assert answers[0]["good"] and answers[0] == answers[1] == answers[2], answers
    copy.tamper("update ledger.event set actor = 'somebody' where mod(seq, 41) = 0")
    told = [sorted(json.dumps(fault, sort_keys=True) for fault in copy.verify("--jobs", jobs)["faults"]) for jobs in ("1", "8")]
    changed = [fault for fault in told[0] if '"row-changed"' in fault]  # a projection may tell, too
    assert told[0] == told[1] and len(changed) == copy.sql("select count(*) from ledger.event where mod(seq, 41) = 0")[0][0], told


def test_every_column_of_the_projections_is_compared(copy):
    """The lists of columns in ledger/verify_internal.h, which a migration of schema view has to go on with."""
    with open(os.path.join(farms.ROOT, "ledger", "verify_internal.h"), encoding="utf-8") as text:
        source = text.read().replace("\\\n", " ")
    for table in ("payment", "attempt", "refund", "commission"):
        listed = re.findall(r"X\((\w+)\)", re.search(rf"#define VIEW_{table.upper()}_COLUMNS\(X\)(.*)", source)[1])
        there = [row[0] for row in copy.sql("select column_name::text from information_schema.columns where table_schema = 'view' and table_name = %s", table)]
        assert sorted(["payment_id", *listed]) == sorted(there)


# what is made of one payment of the projections, and whether it is a fault
CELLS = {
    "update view.payment set {column} = {value}": [("description", "'x'"), ("merchant", "'x'"), ("amount", "amount + 1"), ("facts", "facts + 1"), ("exponent", "3"),
                                                   ("created_at", "created_at + interval '1 microsecond'"), ("contradiction", "true"), ("expires_at", "null"),
                                                   ("metadata", "'{{}}'"), ("decided_by", "null")],
    "update view.attempt set {column} = {value}": [("gateway_response", "jsonb_set(gateway_response, '{{status}}', '201')"), ("gateway_response", "null"),
                                                   ("attempt_id", "gen_random_uuid()"), ("doubts", "doubts + 1"), ("error_code", "'x'")],
    "update view.refund set {column} = {value}": [("reason", "'x'"), ("amount", "amount - 1"), ("refund_id", "gen_random_uuid()")],
    "update view.commission set {column} = {value}": [("type", "'x'"), ("reversed_amount", "reversed_amount + 1")],
}


@pytest.mark.parametrize("statement", CELLS, ids=lambda statement: statement.split()[1])
def test_every_cell_of_a_projection_counts(copy, statement):
    payment = copy.sql("select payment_id::text from view.refund order by refund_number limit 1")[0][0]
    table = statement.split()[1]
    for column, value in CELLS[statement]:
        copy.sql("begin; create temporary table kept as select * from " + table)
        copy.sql(f"{statement.format(column=column, value=value.format())} where payment_id = '{payment}'; commit")
        answer = copy.verify()
        assert rules(answer) == {"projection"}, (column, answer["faults"])
        assert {(fault["paymentId"], fault["message"].split(" has ")[1].split()[0]) for fault in answer["faults"]} == {(payment, column)}, answer["faults"]
        copy.sql(f"delete from {table}; insert into {table} select * from kept; drop table kept")
    assert copy.verify()["good"]
    copy.sql(f"delete from {table} where payment_id = '{payment}'")
    assert rules(copy.verify()) == {"projection"}
    copy.sql("update view.progress set last_xid = '0', last_seq = 0")
    answer = copy.verify()
    assert answer["good"] == (table == "view.payment") and answer["unprojected"] == (table == "view.payment"), answer  # or made of all facts, and wrong


def test_people_read_it_too(world, sealed):
    text = world.farm.acquit("ledger", "verify", "--heads", world.farm.path("heads"))
    assert text.endswith("good\n") and "balances derived anew and compared" in text


# --- tampered ---

def body_edited(copy, key):
    copy.tamper(f"update ledger.event set body = replace(body::text, '\"plain\"', '\"plaim\"')::jsonb where slot = 'received' and payment_id = {ONE}")


def amount_rehashed(copy, key):
    copy.tamper(f"update ledger.event set body = jsonb_set(body, '{{amount}}', '999999') where slot = 'received' and payment_id = {ONE}")
    copy.reseal()


def amount_rehashed_and_signed_badly(copy, key):
    amount_rehashed(copy, key)
    copy.reseal(key)
    copy.tamper("update ledger.seal set head = overlay(head placing 'AAAA' from length(head) - 20 for 4) where height = 1")


def rows_swapped(copy, key):
    (one, a, x, n), (two, b, y, m) = copy.sql("select payment_id::text, slot, xid::text, seq from ledger.event where slot <> 'received'"
                                              " order by xid, seq offset 5 limit 2")
    copy.sql("alter table ledger.event alter seq set generated by default")
    copy.tamper(f"update ledger.event set xid = '{x}', seq = {n} where payment_id = '{two}' and slot = '{b}'",
                f"update ledger.event set xid = '{y}', seq = {m} where payment_id = '{one}' and slot = '{a}'")
    copy.sql("alter table ledger.event alter seq set generated always")


def middle_row_deleted(copy, key):
    copy.tamper("delete from ledger.event e using ledger.seal_leaf l where l.position = 7 and (e.payment_id, e.slot) = (l.payment_id, l.slot)")


def middle_row_deleted_with_its_leaf(copy, key):
    middle_row_deleted(copy, key)
    copy.tamper("delete from ledger.seal_leaf where position = 7")


def middle_row_deleted_and_resealed_without_key(copy, key):
    middle_row_deleted_with_its_leaf(copy, key)
    copy.tamper("update ledger.seal_leaf set position = position + 1000000 where position > 7",
                "update ledger.seal_leaf set position = position - 1000001 where position > 1000000")


SMALLER = "size < (select max(size) from ledger.seal)"  # blocks before the last one with facts
BEHIND = "(xid, seq) > (select last_xid, last_seq from ledger.seal order by height desc limit 1)"


def last_rows_deleted(copy, key):
    copy.tamper(f"delete from ledger.event where (xid, seq) > (select last_xid, last_seq from ledger.seal where {SMALLER} order by height desc limit 1)")


def last_rows_deleted_with_their_leaves(copy, key):
    last_rows_deleted(copy, key)
    copy.tamper(f"delete from ledger.seal_leaf where position >= (select size from ledger.seal where {SMALLER} order by height desc limit 1)")


def last_blocks_deleted(copy, key):
    """As if the last blocks had never been."""
    copy.tamper("delete from ledger.seal where size > (select size from ledger.seal order by height desc offset 4 limit 1)",
                "delete from ledger.seal_leaf where position >= (select max(size) from ledger.seal)", f"delete from ledger.event where {BEHIND}")
    copy.sql("alter table ledger.transfer disable trigger user")
    copy.sql("alter table ledger.dead_letter disable trigger user")
    copy.sql("delete from ledger.transfer t where not exists (select from ledger.event e where (e.payment_id, e.slot) = (t.payment_id, t.slot))")
    copy.sql("delete from ledger.dead_letter where xid > (select max(last_xid) from ledger.seal)")
    copy.sql("alter table ledger.transfer enable always trigger insert_only; alter table ledger.transfer enable always trigger check_transfers;"
             " alter table ledger.transfer enable always trigger keep_floors;"
             " alter table ledger.dead_letter enable always trigger insert_only")
    copy.sql("alter table ledger.seal_node disable trigger user")
    copy.sql("delete from ledger.seal_node where (position + 1) << level > (select max(size) from ledger.seal)")
    copy.sql("alter table ledger.seal_node enable always trigger insert_only")


def row_back_dated(copy, key):
    copy.tamper("with home as (insert into ledger.payment (payment_id) values (gen_random_uuid()) returning *)"
                " insert into ledger.event (payment_id, began, cause, xid, seq, slot, outcome) overriding system value select h.payment_id, h.began,"
                " gen_random_uuid(), xid, -1, 'replay:' || gen_random_uuid() || ':1', 'replayed' from ledger.event, home h order by xid offset 9 limit 1")


def fact_moved_to_another_payment(copy, key):
    copy.tamper(f"update ledger.event set payment_id = (select payment_id from ledger.event where slot = 'received' and payment_id <> {ONE} and not exists"
                f" (select from ledger.event n where n.payment_id = event.payment_id and n.slot = 'notice:payment.completed:webhook') limit 1)"
                f" where slot ~ '^notice:' and payment_id = {ONE}")


def key_replaced(copy, key):
    copy.reseal(Ed25519PrivateKey.generate())


def forked(copy, key):
    """By who has the key, and breaks no other rule: the ledger alone is whole again."""
    copy.tamper(f"update ledger.event set actor = 'somebody' where slot = 'capture' and payment_id = {ONE}")
    copy.reseal(key)


def trigger_dropped(copy, key):
    copy.sql("drop trigger insert_only on ledger.transfer")


def trigger_disabled(copy, key):
    copy.sql("alter table ledger.event disable trigger fence")


def trigger_not_always(copy, key):
    copy.sql("alter table ledger.event enable trigger insert_only")


def trigger_changed(copy, key):
    copy.sql("drop trigger insert_only on ledger.event; create trigger insert_only before update or truncate on ledger.event for each statement"
             " execute function ledger.refuse_change(); alter table ledger.event enable always trigger insert_only")


def trigger_added(copy, key):
    copy.sql("create trigger more before insert on ledger.event for each row execute function suppress_redundant_updates_trigger()")


def function_changed(copy, key):
    copy.sql("create or replace function ledger.refuse_change() returns trigger language plpgsql as $$ begin return null; end $$")


def update_granted(copy, key):
    copy.sql("grant update on ledger.event to acquit_worker")


def delete_granted_to_everybody(copy, key):
    copy.sql("grant delete on ledger.transfer to public")


def column_granted(copy, key):
    copy.sql("grant insert (xid) on ledger.event to acquit_worker")


def owner_changed(copy, key):
    copy.sql("alter table ledger.event owner to acquit_worker")


def constraint_dropped(copy, key):
    copy.sql("alter table ledger.event drop constraint event_decision")


def index_dropped(copy, key):
    copy.sql("drop index ledger.transfer_pending_of")


def row_security_added(copy, key):
    copy.sql("create policy none on ledger.event for select using (slot <> 'capture'); alter table ledger.event enable row level security")


def migration_rewritten(copy, key):
    copy.tamper("update ledger.migration set sha256 = repeat('0', 64) where name like '001%'")


def transfer_changed(copy, key):
    copy.tamper(f"update ledger.transfer set amount = amount + 1 where kind = 'post' and payment_id = {ONE}")


def transfer_added(copy, key):
    copy.tamper("insert into ledger.transfer (payment_id, began, xid, amount, leg, currency, slot, kind, debit, credit) select payment_id, began, xid, 5, 9, currency,"
                f" slot, 'transfer', debit, 'payable:me' from ledger.transfer where kind = 'post' and payment_id = {ONE}")


def node_removed(copy, key):
    copy.tamper("delete from ledger.seal_node where level = 4 and position = 1")


def node_changed(copy, key):
    copy.tamper("update ledger.seal_node set hash = sha256('x') where level = 4 and position = 1")


def node_added(copy, key):
    copy.tamper("insert into ledger.seal_node values (40, 0, sha256('x'))")


def leaf_changed(copy, key):
    copy.tamper("update ledger.seal_leaf set hash = sha256('x') where position = 3")


def block_deleted(copy, key):
    copy.tamper("delete from ledger.seal where height = 1")


def block_lengthened(copy, key):
    copy.tamper("update ledger.seal set size = size + 1 where height = 1")


def last_head_deleted(copy, key):
    copy.tamper("delete from ledger.seal where size = (select max(size) from ledger.seal)")


def chain_broken(copy, key):
    size, head = copy.sql("select size, head from ledger.seal where height = 2")[0]
    line = "acquit-seal-v1 epoch=1 block=2 previous=" + "0" * 64
    copy.tamper(f"update ledger.seal set head = '{sign(key, size, base64.b64decode(head.splitlines()[2]), line)}' where height = 2")


def column_renamed(copy, key):
    copy.sql("alter table ledger.seal_leaf rename hash to digest")


# By who has the key, on a ledger whose heads nobody kept: what the laws alone tell.

def transfer_changed_by_the_sealer(copy, key):
    transfer_changed(copy, key)
    copy.reseal(key)


def post_to_another_account(copy, key):
    copy.tamper(f"update ledger.transfer set credit = 'payable:me' where kind = 'post' and payment_id = {ONE}")
    copy.reseal(key)


def captured_without_decision(copy, key):
    copy.tamper(f"update ledger.event set outcome = 'abort', body = '{{\"reason\": \"DECLINED\"}}' where slot = 'decision' and payment_id = {ONE}")
    copy.reseal(key)


def share_changed(copy, key):
    copy.tamper("update ledger.event set body = jsonb_set(body, '{commission}', to_jsonb((body->>'commission')::int + 1)) where slot = 'refund:2'")
    copy.reseal(key)


def refund_of_another_amount(copy, key):
    copy.tamper("update ledger.transfer set amount = amount - 1 where slot = 'refund:2:result' and leg = 1")
    copy.reseal(key)


def failed_over_without_evidence(copy, key):
    copy.tamper("update ledger.event set xid = (xid::text::bigint + 1)::text::xid8 where slot = 'auth:2'")
    copy.reseal(key)


def command_deleted(copy, key):
    copy.tamper(f"delete from ledger.command where payment_id = {ONE} and type = 'payment.create'")


def command_of_another_body(copy, key):
    copy.tamper(f"update ledger.command set sha256 = repeat('0', 64) where payment_id = {ONE} and type = 'payment.create'")


def letter_deleted(copy, key):
    copy.tamper("delete from ledger.dead_letter")


def transfer_of_another_transaction(copy, key):
    copy.tamper(f"update ledger.transfer set xid = (xid::text::bigint + 1)::text::xid8 where kind = 'post' and payment_id = {ONE}")
    copy.reseal(key)


def transfer_of_no_payment(copy, key):
    copy.tamper("insert into ledger.transfer (payment_id, began, xid, amount, leg, currency, slot, kind, debit, credit) select gen_random_uuid(), began, xid, 5, 1,"
                f" currency, 'capture', 'transfer', debit, credit from ledger.transfer where kind = 'post' and payment_id = {ONE}")


def sealed_out_of_order(copy, key):
    """Two facts of one block change places in the tree; every hash and every head is right."""
    first = copy.sql("select size from ledger.seal order by height limit 1")[0][0]
    copy.tamper(f"update ledger.seal_leaf set position = 1000000 where position = {first}",
                f"update ledger.seal_leaf set position = {first} where position = {first + 1}",
                f"update ledger.seal_leaf set position = {first + 1} where position = 1000000")
    copy.reseal(key, "l.position")


def leaf_of_another_slot(copy, key):
    copy.tamper("update ledger.seal_leaf set slot = 'pop:revoked' where position = 4")


def ends_elsewhere(copy, with_facts):
    heights = copy.sql("select height, size > lag(size) over (order by height) from ledger.seal")
    copy.tamper(f"update ledger.seal set last_seq = last_seq + 1 where height = {next(height for height, more in heights if more is with_facts)}")


def block_ends_elsewhere(copy, key):
    ends_elsewhere(copy, True)


def block_without_facts_ends_elsewhere(copy, key):
    ends_elsewhere(copy, False)


def fact_in_another_partition(copy, key):
    """No hash tells: `began` is not in a leaf, and need not be."""
    copy.tamper(f"update ledger.event set began = began + 100 where slot ~ '^notice:' and payment_id = {ONE}")


def transfer_in_another_partition(copy, key):
    copy.tamper(f"update ledger.transfer set began = began + 100 where slot = 'capture' and leg = 1 and payment_id = {ONE}")


def payment_forgotten(copy, key):
    copy.tamper(f"delete from ledger.payment where payment_id = {ONE}")


def partition_of(copy):
    return copy.sql("select min(inhrelid::regclass::text) from pg_inherits where inhparent = 'ledger.event'::regclass")[0][0]


def partition_trigger_dropped(copy, key):
    copy.sql(f"drop trigger insert_only on {partition_of(copy)}")


def partition_trigger_disabled(copy, key):
    copy.sql(f"alter table {partition_of(copy)} disable trigger fence")


def partition_granted(copy, key):
    copy.sql(f"grant insert on {partition_of(copy)} to acquit_worker")


def partition_of_ones_own(copy, key):
    """In a schema where nobody looks, and without a trigger."""
    copy.sql("create table public.event_extra (like ledger.event including defaults including constraints)")
    copy.sql("alter table ledger.event attach partition public.event_extra for values from ('2099-01-01') to ('2099-04-01')")


def rows_inherited(copy, key):
    """A table whose rows are seen as the parent's."""
    copy.sql("create table public.more_commands () inherits (ledger.command)")


def partition_constrained(copy, key):
    copy.sql(f"alter table {partition_of(copy)} add constraint more check (slot <> 'capture')")


def view_falsified(copy, key):
    definition = copy.sql("select pg_get_viewdef('ledger.in_doubt'::regclass)")[0][0].rstrip().rstrip(";")
    copy.sql(f"create or replace view ledger.in_doubt as {definition.replace('NOT (EXISTS', '(EXISTS')}")


def projection_changed(copy, key):
    copy.sql(f"update view.payment set status = 'failed' where payment_id = {ONE}")


# The sorted map, by who has the key, or who has only the database.

def restate(copy, key, change):
    """All heads signed anew, with the map that change(height, size, root) gives for the one that they state."""
    previous = "-"
    for height, size, old in copy.sql("select height, size, head from ledger.seal order by height"):
        lines, stated = old.split("\n"), sealing.map_of(old)
        line = re.sub("previous=.*", f"previous={previous}", lines[3])
        if stated:
            line += "\nacquit-map-v1 size={} root={}".format(*(lambda new: (new[0], base64.b64encode(new[1]).decode()))(change(height, *stated)))
        head = sign(key, size, base64.b64decode(lines[2]), line)
        previous = hashlib.sha256(head.encode()).hexdigest()
        copy.tamper(f"update ledger.seal set head = '{head}' where height = {height}")


def stated_maps(copy):
    """{size: root}, the smallest first."""
    found = [sealing.map_of(row[0]) for row in copy.sql("select head from ledger.seal order by height")]
    return dict(stated for stated in found if stated)


def map_without(copy, size, payment, slot):
    leaves = copy.sql("select payment_id::text, slot from ledger.seal_leaf where position < %s", size)
    return sealing.map_root([leaf for leaf in leaves if leaf != (payment, slot)])


def fact_left_out_of_the_map(copy, key):
    """The leaf is in the tree, and a false proof that it is not there could be made: from then on, in every head."""
    payment = copy.sql(f"select {ONE}::text")[0][0]
    false = {size: map_without(copy, size, payment, "capture") for size in stated_maps(copy)}
    restate(copy, key, lambda height, size, root: (size, false[size]))


def map_goes_back(copy, key):
    (size, root), last = list(stated_maps(copy).items())[0], copy.sql("select max(height) from ledger.seal")[0][0]
    restate(copy, key, lambda height, *stated: (size, root) if height == last else stated)


def map_stated_twice(copy, key):
    """Heads of one map of which one says another root."""
    first = min(height for height, head in copy.sql("select height, head from ledger.seal") if sealing.map_of(head))
    restate(copy, key, lambda height, size, root: (size, bytes(32)) if height == first else (size, root))


def map_of_the_future(copy, key):
    last = copy.sql("select max(height) from ledger.seal")[0][0]
    restate(copy, key, lambda height, size, root: (size + 1, root) if height == last else (size, root))


def kept_part_changed(copy, key):
    copy.tamper("update view.map_part set children = overlay(children placing sha256('x') from 3)")


def kept_root_changed(copy, key):
    copy.tamper("update view.map_part set root = '\\x02' || sha256('x')")


def change_of_the_key_added(copy, key):
    copy.tamper("insert into ledger.seal_key (position, statement) values (3, 'acquit-key-v1')")


# The twelve that the ledger has to tell, whoever makes them.
TWELVE = {
    "edit one byte of a body": body_edited, "change an amount and recompute every hash without the key": amount_rehashed, "swap two rows": rows_swapped,
    "delete a middle row": middle_row_deleted, "delete the last sealed rows": last_rows_deleted, "delete the last blocks": last_blocks_deleted,
    "insert a back-dated row": row_back_dated, "move a fact to another payment": fact_moved_to_another_payment, "replace the key": key_replaced,
    "fork after a published head, with the real key": forked, "change a projection": projection_changed,
    "drop a trigger": trigger_dropped,
}

# what is done, the rule that tells, and whether such a fault names the payment
MUTATIONS = [
    (body_edited, "row-changed", True), (amount_rehashed, "root", False), (amount_rehashed_and_signed_badly, "signature", False),
    (rows_swapped, "row-moved", False), (middle_row_deleted, "row-missing", False), (middle_row_deleted_with_its_leaf, "leaf-missing", False),
    (middle_row_deleted_and_resealed_without_key, "root", False), (last_rows_deleted, "row-missing", False),
    (last_rows_deleted_with_their_leaves, "leaf-missing", False), (last_blocks_deleted, "truncated", False), (row_back_dated, "row-added", False),
    (fact_moved_to_another_payment, "row-missing", True), (fact_moved_to_another_payment, "row-added", False), (key_replaced, "signature", False),
    (forked, "fork", False), (trigger_dropped, "trigger", False), (trigger_disabled, "trigger", False), (trigger_not_always, "trigger", False),
    (trigger_changed, "trigger", False), (trigger_added, "trigger", False), (function_changed, "function", False), (update_granted, "grant", False),
    (delete_granted_to_everybody, "grant", False), (column_granted, "grant", False), (owner_changed, "grant", False),
    (constraint_dropped, "schema", False), (index_dropped, "schema", False), (row_security_added, "schema", False),
    (migration_rewritten, "migration", False), (transfer_changed, "row-changed", True), (transfer_changed, "booking", True),
    (transfer_added, "row-changed", True), (transfer_added, "booking", True), (node_removed, "node", False), (node_changed, "node", False),
    (node_added, "node", False), (leaf_changed, "row-changed", False), (leaf_changed, "root", False), (block_deleted, "block", False),
    (block_lengthened, "block", False), (chain_broken, "chain", False), (column_renamed, "schema", False), (column_renamed, "unreadable", False),
    (last_head_deleted, "leaf-added", False), (last_head_deleted, "truncated", False),
    (transfer_changed_by_the_sealer, "booking", True), (post_to_another_account, "hold", True), (captured_without_decision, "saga", True),
    (share_changed, "share", False), (refund_of_another_amount, "booking", False), (failed_over_without_evidence, "fence", False),
    (command_deleted, "command", True), (command_of_another_body, "command", True), (letter_deleted, "dead-letter", False),
    (transfer_of_another_transaction, "transfer", True), (transfer_of_no_payment, "transfer", False), (view_falsified, "balance", False),
    (projection_changed, "projection", True),
    (sealed_out_of_order, "row-moved", False), (leaf_of_another_slot, "row-missing", False), (leaf_of_another_slot, "row-added", False),
    (fact_left_out_of_the_map, "map", False), (map_goes_back, "map", False), (map_stated_twice, "map", False), (map_of_the_future, "map", False),
    (kept_part_changed, "map", False), (kept_root_changed, "map", False), (change_of_the_key_added, "key", False),
    (block_without_facts_ends_elsewhere, "block", False), (block_ends_elsewhere, "block", False), (fact_in_another_partition, "home", True), (transfer_in_another_partition, "home", True),
    (payment_forgotten, "home", True), (partition_trigger_dropped, "trigger", False), (partition_trigger_disabled, "trigger", False),
    (partition_granted, "grant", False), (partition_of_ones_own, "trigger", False), (partition_of_ones_own, "schema", False),
    (rows_inherited, "schema", False), (partition_constrained, "schema", False),
]
ONLY_HEADS_TELL = {forked, last_blocks_deleted}
assert set(TWELVE.values()) <= {row[0] for row in MUTATIONS}


@pytest.mark.parametrize("mutation", list(dict.fromkeys(row[0] for row in MUTATIONS)), ids=lambda mutation: mutation.__name__)
def test_tampering_is_told(copy, real_key, mutation):
    payment = copy.sql(f"select {ONE}::text")[0][0]
    mutation(copy, real_key)
    if mutation in ONLY_HEADS_TELL:
        copy.rebuild()
    answer = copy.verify()
    assert not answer["good"]
    for rule, named in [row[1:] for row in MUTATIONS if row[0] is mutation]:
        assert rule in rules(answer), answer["faults"]
        if named:
            assert any(fault["rule"] == rule and fault.get("paymentId") == payment for fault in answer["faults"]), answer["faults"]
    if mutation in ONLY_HEADS_TELL:
        assert rules(answer) == {"fork"} or rules(answer) == {"truncated"}, answer["faults"]
        assert copy.verify(heads=False)["good"], "the ledger is whole: that is why heads are kept outside"


def test_heads_of_strangers(copy, real_key, tmp_path):
    """A folder with any names; a head that no given key signed, or that cannot be read, is told."""
    last = max(name for name in os.listdir(copy.farm.path("verify-heads")) if name.endswith(".head"))
    shutil.copy(copy.farm.path("verify-heads", last), tmp_path / "seen by the auditor.head")
    assert copy.verify(heads=str(tmp_path)) | {"good": True, "heads": 1} == copy.verify(heads=str(tmp_path))
    (tmp_path / "b.head").write_text(sign(Ed25519PrivateKey.generate(), 1, b"x" * 32, "x"), encoding="utf-8")
    (tmp_path / "c.head").write_bytes(b"\0no head")
    answer = copy.verify(heads=str(tmp_path))
    assert rules(answer) == {"head"} and answer["faultCount"] == 2
    (tmp_path / "d.head").write_text(sign(real_key, 2, b"x" * 32, "x"), encoding="utf-8")
    (tmp_path / "e.head").write_text(sign(real_key, 10**9, b"x" * 32, "x"), encoding="utf-8")
    assert {"fork", "truncated"} <= rules(copy.verify(heads=str(tmp_path)))


def test_another_key_is_nobodys(copy):
    answer = copy.verify(key=key_text(Ed25519PrivateKey.generate()), heads=False)
    assert rules(answer) == {"signature"} and answer["faultCount"] == answer["blocks"]


def test_going_on_from_a_block(copy):
    whole = copy.verify()
    middle = whole["height"] // 2
    rest = copy.verify("--since", str(middle))
    assert rest["good"] and rest["blocks"] == whole["height"] - middle and 0 < rest["facts"] < whole["facts"] and rest["heads"] == whole["heads"]
    assert not rest["balances"] and 0 < rest["payments"] <= whole["payments"]
    early, late = (copy.sql(f"select payment_id::text, slot from ledger.seal_leaf order by position {order} limit 1")[0] for order in ("", "desc"))
    change = "update ledger.event set actor = 'somebody' where payment_id = '{}' and slot = '{}'"
    copy.tamper(change.format(*early))
    assert copy.verify("--since", str(middle))["good"], "what was verified before is not read again"
    copy.tamper(change.format(*late))
    assert rules(copy.verify("--since", str(middle))) == {"row-changed"}
    assert copy.verify()["faultCount"] == 2


def test_maps_since_a_block(copy, real_key):
    """A false map that was stated only for a while is told by who goes on from a block before it; and by its head, if that was seen outside."""
    maps = stated_maps(copy)
    sizes = sorted(maps)
    assert len(sizes) > 4
    middle = sizes[len(sizes) // 2]
    heights = [height for height, head in copy.sql("select height, head from ledger.seal order by height") if (sealing.map_of(head) or (0,))[0] == middle]
    good = copy.verify("--since", str(heights[0] - 1))
    assert good["good"] and good["maps"] == len([size for size in sizes if size >= middle]) + 1, (good, sizes, middle)
    payment, slot = copy.sql("select payment_id::text, slot from ledger.seal_leaf where position = %s", middle - 1)[0]
    false = map_without(copy, middle, payment, slot)
    restate(copy, real_key, lambda height, size, root: (size, false if size == middle else root))
    assert copy.verify(heads=False)["good"], "the newest map is right"
    assert rules(copy.verify()) == {"fork"}, "heads that were kept have other lines"
    answer = copy.verify("--since", str(heights[0] - 1), heads=False)
    assert [(fault["rule"], fault["block"]) for fault in answer["faults"]] == [("map", heights[0])], answer["faults"]
    assert copy.verify("--since", str(heights[-1]), heads=False)["faultCount"] == 1, "what the block itself states is looked at, too"
    assert copy.verify("--since", str(heights[-1] + 1), heads=False)["good"]


def test_a_head_that_is_not_in_the_ledger(copy, real_key, tmp_path):
    """Of the right tree, and with another map; or of a block without facts that was deleted."""
    text = copy.sql("select head from ledger.seal order by height desc limit 1")[0][0].split("\n\n")[0].split("\n")
    stated = sealing.map_of("\n".join(text) + "\n")
    line = f"{text[3]}\nacquit-map-v1 size={stated[0]} root={base64.b64encode(bytes(32)).decode()}"
    (tmp_path / "a.head").write_text(sign(real_key, int(text[1]), base64.b64decode(text[2]), line), encoding="utf-8")
    answer = copy.verify(heads=str(tmp_path))
    assert rules(answer) == {"fork"} and "other lines" in answer["faults"][0]["message"], answer
    os.unlink(tmp_path / "a.head")
    later = re.sub("block=[0-9]+", "block=1000000", text[3])
    (tmp_path / "b.head").write_text(sign(real_key, int(text[1]), base64.b64decode(text[2]), later), encoding="utf-8")
    answer = copy.verify(heads=str(tmp_path))
    assert rules(answer) == {"truncated"} and "is not there" in answer["faults"][0]["message"], answer


# --- of any size ---

MEMORY_KB = 4 * 1024  # more for 27 000 facts more, which are 12 MB


def verified(farm, url, key):
    """What the verification says, and the most memory that it had, in KB."""
    command = [farm.program("acquit"), "ledger", "verify", "--json", "--key", key, "--config", farm.config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"ACQUIT_LEDGER_URL": url}) as process:
        answer = json.loads(process.stdout.read())
        _, process.returncode, usage = os.wait4(process.pid, 0)
    return answer, usage.ru_maxrss


def test_a_larger_ledger_takes_no_more_memory(world, tmp_path):
    """Ledgers of tests/bench/ledger_fill, which are good, and of which one fact in thousands is not."""
    services, fill = world.farm.services, os.path.join(world.farm.build, "bench", "ledger_fill")
    key = tmp_path / "key"
    public = world.farm.acquit("ledger", "keygen", "--origin", "acquit.bench/ledger", str(key)).strip()
    peaks = []
    with contextlib.ExitStack() as end:
        for payments in (500, 5000):
            name = f"verify_fill_{payments}"
            services.psql(f"drop database if exists {name}", database="postgres")
            services.psql(f"create database {name}", database="postgres")
            end.callback(services.psql, f"drop database {name}", database="postgres")
            url = services.pg_url.rsplit("/", 1)[0] + "/" + name
            world.farm.acquit("migrate", environment={"ACQUIT_LEDGER_URL": url})
            subprocess.run([fill, "--payments", str(payments), "--key", key, url], check=True, capture_output=True, timeout=60)
            answer, peak = verified(world.farm, url, public)
            assert answer["good"] and (answer["facts"], answer["payments"], answer["transfers"]) == (6 * payments, payments, 3 * payments), answer
            peaks.append(peak)
        services.psql("alter table ledger.event disable trigger user; update ledger.event set actor = 'somebody' where slot = 'capture' and seq ="
                      " (select max(seq) from ledger.event where slot = 'capture' and seq < 20000); alter table ledger.event enable always trigger insert_only;"
                      " alter table ledger.event enable always trigger check_home; alter table ledger.event enable always trigger fence", database=name)
        answer = verified(world.farm, url, public)[0]
        assert rules(answer) == {"row-changed"} and answer["faultCount"] == 1, answer["faults"]
    if os.path.basename(world.farm.build) != "asan":
        assert peaks[1] - peaks[0] < MEMORY_KB, peaks


# --- while it is written to ---

def test_what_is_not_sealed_yet_is_no_fault(world, sealed):
    """A transaction held open keeps all later ones out of the blocks; verify says how many, and goes on being content."""
    heads = world.farm.path("heads")
    connection = psycopg2.connect(world.farm.pg_url("acquit_farm"))
    with connection.cursor() as cursor:
        cursor.execute(sealing.NEW_PAYMENT + " insert into ledger.event (payment_id, began, cause, slot, outcome) select payment_id, began,"
                       " gen_random_uuid(), 'replay:' || gen_random_uuid() || ':1', 'replayed' from home returning payment_id::text")
        late = cursor.fetchone()[0]
    stop, payments = threading.Event(), []

    def pay():
        while not stop.is_set():
            payments.append(world.pay(world.plain(), wait_ms=2000))
    payer = threading.Thread(target=pay)
    payer.start()
    try:
        farms.wait_for(lambda: len(payments) >= 3, 30, "three payments")
        answers = [json.loads(world.farm.acquit("ledger", "verify", "--json", "--heads", heads)) for _ in range(4)]
        connection.commit()
        connection.close()
        answers += [json.loads(world.farm.acquit("ledger", "verify", "--json", "--heads", heads)) for _ in range(4)]
    finally:
        stop.set()
        payer.join()
    assert all(answer["good"] and answer["balances"] for answer in answers), answers
    assert answers[0]["unsealed"] > 0 and answers[3]["unsealed"] > answers[0]["unsealed"], answers
    world.wait_ended(payments)
    sealing.until_sealed(world, late)
    sealing.until_sealed(world)
    last = json.loads(world.farm.acquit("ledger", "verify", "--json", "--heads", heads))
    assert last["good"] and last["facts"] > answers[-1]["facts"]


# --- when it cannot be done ---

def test_away_is_not_a_fault(world, tmp_path):
    away = world.farm.acquit("ledger", "verify", environment={"ACQUIT_LEDGER_URL": "postgresql://x:y@127.0.0.1:1/acquit"}, check=False)
    assert away.returncode == 75 and away.stdout == ""
    assert world.farm.acquit("ledger", "verify", "--key", "nonsense", check=False).returncode == 2
    assert world.farm.acquit("ledger", "verify", "--heads", str(tmp_path / "none"), check=False).returncode == 2


def test_a_new_database_is_good(world):
    """The schema as it is compared is the one that the migrations make: a new migration needs new lines in ledger/verify_manifest.c."""
    services = world.farm.services
    services.psql("drop database if exists verify_new", database="postgres")
    services.psql("create database verify_new", database="postgres")
    url = services.pg_url.rsplit("/", 1)[0] + "/verify_new"
    with contextlib.ExitStack() as end:
        end.callback(services.psql, "drop database verify_new", database="postgres")
        world.farm.acquit("migrate", environment={"ACQUIT_LEDGER_URL": url})
        answer = json.loads(world.farm.acquit("ledger", "verify", "--json", environment={"ACQUIT_LEDGER_URL": url}, check=False).stdout)
        assert answer["good"] and answer["blocks"] == 0, answer
        with open(os.path.join(farms.ROOT, "ledger", "verify_manifest.c"), encoding="utf-8") as lines:
            manifest = [line for line in lines if line.startswith('    {"')]
        assert manifest == world.farm.acquit("ledger", "verify", "--manifest", environment={"ACQUIT_LEDGER_URL": url}).splitlines(keepends=True)
