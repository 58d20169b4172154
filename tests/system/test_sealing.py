"""test_sealing.py - the ledger is sealed block by block; heads stand where the database's owner does not reach"""

import base64
import collections
import hashlib
import os
import re
import signal
import struct
import threading
import uuid

import farm as farms
import pika
import psycopg2
import pytest

FACT = "select e.payment_id::text, e.slot, e.outcome, e.cause::text, e.actor, {at}, e.xid::text, e.seq::text, e.body::text from ledger.event e"
TRANSFERS = ("select t.payment_id::text, t.slot, t.leg::text, t.kind, t.pending_of, t.debit, t.credit, t.amount::text, t.currency::text, {at}, t.xid::text, t.seq::text"
             " from ledger.transfer t order by t.payment_id, t.slot, t.leg")

NO_PAYMENT = str(uuid.UUID(int=0))  # whose leaves are changes of the key
NEW_PAYMENT = "with home as (insert into ledger.payment (payment_id) values (gen_random_uuid()) returning *)"
NEW_FACT = (NEW_PAYMENT + " insert into ledger.event (payment_id, began, cause, slot, outcome, body) select payment_id, began, gen_random_uuid(),"
            " 'dead:' || gen_random_uuid() || ':1', 'test', '{}' from home returning payment_id::text")


def time_of(column):
    return f"to_char({column} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


# --- the tree once more, independently ---

def value(text):
    return struct.pack(">I", 0xFFFFFFFF) if text is None else struct.pack(">I", len(text.encode())) + text.encode()


def leaves_of(world, rows):
    transfers = collections.defaultdict(list)
    for payment, slot, *transfer in world.sql(TRANSFERS.format(at=time_of("t.at"))):
        transfers[payment, slot].append(transfer)
    for row in rows:
        own = transfers[row[0], row[1]]
        data = b"".join(map(value, ["acquit-fact-v1", *row, str(len(own)), *(text for transfer in own for text in transfer)]))
        yield hashlib.sha256(b"\0" + data).digest()


def root(leaves):
    return roots(leaves, {len(leaves)})[len(leaves)]


def roots(leaves, sizes):
    """{size: root} of the trees of the first so many leaves; the tree grows leaf by leaf, as [(leaves below, root)] of its complete subtrees."""
    def join(left, right):
        return hashlib.sha256(b"\1" + left + right).digest()
    found, edge = {}, []
    for number, leaf in enumerate(leaves, 1):
        edge.append((1, leaf))
        while len(edge) > 1 and edge[-2][0] == edge[-1][0]:
            (count, left), (_, right) = edge[-2:]
            edge[-2:] = [(2 * count, join(left, right))]
        if number in sizes:
            whole = edge[-1][1]
            for _, left in reversed(edge[:-1]):
                whole = join(left, whole)
            found[number] = whole
    return found


# --- heads ---

# --- the sorted map once more, independently ---

def slots_hash(slots):
    return hashlib.sha256(b"".join(struct.pack(">I", len(slot)) + slot for slot in sorted(slot.encode() for slot in slots))).digest()


def map_root(leaves):
    """Of [(payment, slot)]."""
    slots = collections.defaultdict(set)
    for payment, slot in leaves:
        slots[uuid.UUID(payment)].add(slot)

    def subtree(payments, depth):
        if len(payments) < 2:
            return hashlib.sha256(b"\2" + payments[0].bytes + slots_hash(slots[payments[0]])).digest() if payments else bytes(32)
        halves = [[payment for payment in payments if payment.int >> 127 - depth & 1 == bit] for bit in (0, 1)]
        return hashlib.sha256(b"\3" + b"".join(subtree(half, depth + 1) for half in halves)).digest()
    return subtree(list(slots), 0)


def map_of(text):
    """(size, root) that a head states; None if it states none."""
    found = re.search("\nacquit-map-v1 size=([0-9]+) root=([^\n]+)\n", text)
    return found and (int(found[1]), base64.b64decode(found[2]))


def place_of_head(name):
    """(epoch, height) by the name of its file; (0, -1) if it is none's."""
    match = re.fullmatch("([0-9]{12})(?:-epoch([0-9]+))?[.]head", name)
    return (int(match[2] or 1), int(match[1])) if match else (0, -1)


def heads(world):
    """Every exported head, oldest first: {"size", "root", "line", "map", "text"}."""
    folder = world.farm.path("heads")
    found = []
    for name in sorted(os.listdir(folder), key=place_of_head):
        if name.endswith(".head"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text = file.read()
            origin, size, digest, line, rest = text.split("\n", 4)
            assert origin == "acquit.test/ledger" and re.fullmatch("(acquit-map-v1 [^\n]+\n)?\n\u2014 acquit.test/ledger [^\n]+\n", rest), text
            found.append({"size": int(size), "root": base64.b64decode(digest), "line": line, "map": map_of(text), "text": text,
                          "height": place_of_head(name)[1]})
    return found


def until_sealed(world, payment=None):
    """All facts (of the payment) have their leaf, and the last head its file."""
    where, parameters = ("where e.payment_id = %s", (payment,)) if payment else ("", ())
    missing = f"select count(*) from ledger.event e left join ledger.seal_leaf l using (payment_id, slot) {where} " + ("and" if payment else "where")
    farms.wait_for(lambda: world.sql(missing + " l.position is null", *parameters) == [(0,)], 30, "the facts to be sealed")
    farms.wait_for(lambda: world.sql("select max(height) from ledger.seal")[0][0] == heads(world)[-1]["height"], 30, "the last head's file")


def until_mapped(world):
    """All facts are sealed, and the last head states the map of them all: nothing more is sealed by itself."""
    until_sealed(world)

    def mapped():
        text = world.sql("select head from ledger.seal order by height desc limit 1")[0][0]
        return map_of(text) and map_of(text)[0] == int(text.split("\n")[1])
    farms.wait_for(mapped, 30, "a map of all facts")
    until_sealed(world)


def test_every_fact_is_sealed_once_in_order_and_the_heads_say_so(world):
    payments = [world.pay(world.plain() if n % 2 else world.dual()) for n in range(12)]
    world.wait_ended(payments)
    for payment in payments:
        until_sealed(world, payment)
    known = heads(world)
    sealed = world.sql("select position, payment_id::text, slot, hash from ledger.seal_leaf order by position")
    assert [row[0] for row in sealed] == list(range(len(sealed)))
    facts = [row for row in sealed if row[1] != NO_PAYMENT]
    rows = world.sql((FACT + " join ledger.seal_leaf l using (payment_id, slot) order by e.xid, e.seq").format(at=time_of("e.at")))
    assert [(row[0], row[1]) for row in rows[:len(facts)]] == [(row[1], row[2]) for row in facts], "the order of (xid, seq)"
    assert list(leaves_of(world, rows[:len(facts)])) == [bytes(row[3]) for row in facts]
    leaves = [bytes(row[3]) for row in sealed]
    previous, expected = "-", roots(leaves, {head["size"] for head in known})
    for number, head in enumerate(known):
        assert head["height"] == number and head["root"] == expected[head["size"]], f"head {number}"
        assert head["line"] == f"acquit-seal-v1 epoch=1 block={number} previous={previous}"
        previous = hashlib.sha256(head["text"].encode()).hexdigest()


def test_late_commits_are_sealed_once_and_nobody_waits(world):
    """Transactions held open across many seals: what they wrote comes later, whole, and writers never wait for the sealer."""
    url = world.farm.pg_url("acquit_farm")
    open_ones = []
    for n in range(5):
        connection = psycopg2.connect(url)
        with connection.cursor() as cursor:
            cursor.execute(NEW_FACT)
            open_ones.append((connection, cursor.fetchone()[0]))
    before = world.sql("select max(height) from ledger.seal")[0][0]
    payments = [world.pay(world.plain()) for _ in range(10)]
    world.wait_ended(payments)  # nothing of it can be sealed yet: an older transaction has not ended
    assert world.sql("select count(*) from ledger.seal_leaf l where l.payment_id = any(%s::uuid[])", payments) == [(0,)]
    for connection, payment in open_ones:
        connection.commit()
        connection.close()
        until_sealed(world, payment)
    for payment in payments:
        until_sealed(world, payment)
    assert world.sql("select max(height) from ledger.seal")[0][0] > before
    doubles = world.sql("select payment_id, slot, count(*) from ledger.seal_leaf group by 1, 2 having count(*) > 1")
    assert doubles == []


def test_late_commits_under_load(world):
    """Every row in exactly one block, although transactions of any length come and go."""
    url, stop, written = world.farm.pg_url("acquit_farm"), threading.Event(), []

    def write(length):
        connection = psycopg2.connect(url)
        while not stop.is_set():
            with connection.cursor() as cursor:
                for _ in range(3):
                    cursor.execute(NEW_FACT)
                    written.append(cursor.fetchone()[0])
                    stop.wait(length)
            connection.commit()
        connection.close()
    writers = [threading.Thread(target=write, args=(length,)) for length in (0.001, 0.01, 0.1, 0.4)]
    for writer in writers:
        writer.start()
    before = world.sql("select max(height) from ledger.seal")[0][0]
    farms.wait_for(lambda: world.sql("select max(height) from ledger.seal")[0][0] >= before + 8, 60, "eight blocks")
    stop.set()
    for writer in writers:
        writer.join()
    until_sealed(world)
    counted = world.sql("select count(*), count(distinct payment_id) from ledger.seal_leaf where payment_id = any(%s::uuid[])", written)
    assert counted == [(len(written), len(set(written)))]
    last = heads(world)[-1]
    leaves = [bytes(row[0]) for row in world.sql("select hash from ledger.seal_leaf order by position")]
    assert last["root"] == root(leaves[:last["size"]])


def test_a_keeper_killed_while_sealing_goes_on(world):
    for _ in range(5):
        payments = [world.pay(world.plain()) for _ in range(4)]
        world.farm.stop_program("keeper", signal.SIGKILL)
        world.farm.start_keeper()
        world.wait_ended(payments)
    until_sealed(world)
    positions = world.sql("select count(*), max(position) + 1 from ledger.seal_leaf")
    assert positions[0][0] == positions[0][1]
    known = heads(world)
    leaves = [bytes(row[0]) for row in world.sql("select hash from ledger.seal_leaf order by position")]
    assert [head["height"] for head in known] == list(range(len(known)))
    last = known[-10:]
    expected = roots(leaves, {head["size"] for head in last})
    assert all(head["root"] == expected[head["size"]] for head in last)


def test_heads_are_announced(world):
    connection = pika.BlockingConnection(pika.URLParameters(world.farm.services.amqp_url))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "acquit.evt", "ledger.sealed")
    payment = world.pay(world.plain())
    until_sealed(world, payment)
    got = farms.wait_for(lambda: channel.basic_get(queue, auto_ack=True)[2], 20, "the head as an event")
    connection.close()
    assert got.decode() in {head["text"] for head in heads(world)}
    assert re.search(r"sealed block=\d+ size=\d+ root=", world.farm.log_tail("keeper", 200))


def test_nobody_changes_what_is_sealed(world):
    until_sealed(world)
    for statement in ("update ledger.seal set size = size + 1", "delete from ledger.seal_leaf", "truncate ledger.seal_node", "delete from ledger.seal"):
        with pytest.raises(psycopg2.Error) as refusal:
            with psycopg2.connect(world.farm.services.pg_url) as connection, connection.cursor() as cursor:
                cursor.execute(statement)
        assert refusal.value.pgcode == "AQ002", statement
    for role in ("acquit_farm", "acquit_auditor"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            with psycopg2.connect(world.farm.pg_url(role)) as connection, connection.cursor() as cursor:
                cursor.execute("insert into ledger.seal (height, epoch, size, last_xid, last_seq, head) values (999999, 1, 1, '1', 1, 'x')")
