"""test_archive.py - old partitions leave the ledger for a file, and come back; nothing can be paid twice meanwhile"""

import glob
import hashlib
import json
import os
import shutil
import subprocess
import threading

import farm as farms
import psycopg2
import pytest
import test_sealing as sealing
import test_verify as verifying

QUARTER, FIRST, LAST = "2023q3", "2023-07-01", "2023-10-01"
HEADS = "archive-heads"
AGED = ("update ledger.payment set began = '2023-08-09' where payment_id = any(%s::uuid[])",
        "update ledger.event set began = '2023-08-09' where payment_id = any(%s::uuid[])",
        "update ledger.transfer set began = '2023-08-09' where payment_id = any(%s::uuid[])")


def split_first(sql):
    """The first partition begins behind the quarter, which gets one of its own; the cuts are the ledger's owner's to make."""
    for table in ("event", "transfer"):
        ((bound,),) = sql("select pg_get_expr(relpartbound, oid) from pg_class where oid = %s::regclass", f"ledger.{table}_first")
        end = bound.rsplit("TO ", 1)[1]
        sql(f"alter table ledger.{table} detach partition ledger.{table}_first;"
            f" create table ledger.{table}_{QUARTER} (like ledger.{table} including defaults including constraints);"
            f" create trigger insert_only before update or delete or truncate on ledger.{table}_{QUARTER} for each statement"
            " execute function ledger.refuse_change();"
            f" alter table ledger.{table}_{QUARTER} enable always trigger insert_only;"
            f" alter table ledger.{table} attach partition ledger.{table}_{QUARTER} for values from ('{FIRST}') to ('{LAST}');"
            f" alter table ledger.{table} attach partition ledger.{table}_first for values from ('{LAST}') to {end}")


def age(sql, payments):
    """These payments began long ago. Nothing that is sealed says when: only where the rows stand changes."""
    with_triggers = sql("select tgrelid::regclass::text, tgname from pg_trigger where not tgisinternal and tgparentid = 0"
                        " and tgrelid::regclass::text ~ '^ledger[.](payment|event|transfer)'")
    tables = sorted({table for table, _ in with_triggers})
    sql("; ".join([f"alter table {table} disable trigger user" for table in tables]))
    for statement in AGED:
        sql(statement, payments)
    sql("; ".join([f"alter table {table} enable always trigger {name}" for table, name in with_triggers]))


def archive(farm, database, *arguments, check=True):
    """acquit ledger archive or restore, as the owner of the schema."""
    url = farm.services.pg_url.rsplit("/", 1)[0] + "/" + database
    done = farm.acquit("ledger", *arguments, environment={"ACQUIT_LEDGER_URL": url}, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def asking(connection):
    """One statement after the other, over this connection."""
    def sql(statement, *parameters):
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []
    return sql


def folder(farm):
    path = farm.path("archives")
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path)
    return path


# --- on a ledger that nobody writes to ---

@pytest.fixture(scope="module")
def old(farm):
    """A sealed ledger, most of whose payments began long ago: its name."""
    world = verifying.worlds.World(farm)
    world.reset()
    payments = [world.pay(world.plain(amount=500 + n)) for n in range(5)] + [world.pay(world.dual()) for _ in range(2)]
    payments.append(world.pay(world.plain(token="pm_card_chargeDeclined")))
    world.wait_ended(payments)
    world.publish([("payment.refund", world.key(), {"paymentId": payments[0], "amount": 100})])
    world.wait_fact(payments[0], "refund:1:result")
    sealing.until_mapped(world)
    world.close()
    base = "archive_base"
    shutil.rmtree(farm.path(HEADS), ignore_errors=True)
    shutil.copytree(farm.path("heads"), farm.path(HEADS))  # of the ledger as it is copied now; the farm's own goes on
    farm.services.psql(f"drop database if exists {base}", database="postgres")
    farm.services.psql(f"create database {base}", database="postgres")
    dump = subprocess.run(["pg_dump", farm.services.pg_url], capture_output=True, text=True, timeout=60, check=True)
    farm.services.psql(dump.stdout, database=base)
    connection = psycopg2.connect(farm.services.pg_url.rsplit("/", 1)[0] + "/" + base)
    connection.autocommit = True
    split_first(asking(connection))
    age(asking(connection), payments)
    connection.close()
    yield base, payments
    farm.services.psql(f"drop database {base}", database="postgres")


@pytest.fixture
def copy(farm, old):
    one = verifying.Copy(farm, "archive_copy", old[0])
    yield one
    one.close()


def balance(farm, copy):
    url = farm.pg_url("acquit_operator").rsplit("/", 1)[0] + "/" + copy.name
    return json.loads(farm.acquit("ledger", "balance", "--json", environment={"ACQUIT_LEDGER_URL": url}))


EVERYTHING = ("select e.*, (select json_agg(t.* order by t.slot, t.leg) from ledger.transfer t where t.payment_id = e.payment_id and t.slot = e.slot)::text"
              " from ledger.event e order by e.xid, e.seq")


def test_a_partition_leaves_and_comes_back(farm, old, copy):
    files, before, money = folder(farm), copy.sql(EVERYTHING), balance(farm, copy)
    assert copy.verify(heads=farm.path(HEADS))["good"]
    assert archive(farm, copy.name, "archive", "--dry-run").stdout == f"{QUARTER}: payments that began from {FIRST} up to {LAST}\n"
    assert archive(farm, copy.name, "archive", "--older-than", "9y", "--dry-run").stdout == "no partition is that old\n"
    answer = json.loads(archive(farm, copy.name, "archive", "--directory", files, "--json").stdout)["archived"]
    path = f"{files}/acquit-{QUARTER}.archive"
    assert [(one["name"], one["payments"], one["file"]) for one in answer] == [(QUARTER, len(old[1]), path)]
    assert copy.sql("select count(*) from ledger.event where payment_id = any(%s::uuid[])", old[1]) == [(0,)]
    assert copy.sql("select to_regclass(%s)", f"ledger.event_{QUARTER}") == [(None,)]
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    assert copy.sql("select name, file_sha256, facts from ledger.archived") == [(QUARTER, digest, answer[0]["facts"])]
    assert balance(farm, copy)["accounts"] == money["accounts"]
    verified = copy.verify("--archives", files, heads=farm.path(HEADS))
    assert verified["good"] and verified["archived"] == answer[0]["facts"], verified
    assert archive(farm, copy.name, "archive", "--older-than", "2y", "--dry-run").stdout == "no partition is that old\n"

    back = json.loads(archive(farm, copy.name, "restore", path, "--json").stdout)
    assert back["facts"] == answer[0]["facts"] and back["transfers"] == answer[0]["transfers"]
    assert copy.sql(EVERYTHING) == before
    assert balance(farm, copy)["accounts"] == money["accounts"]
    assert copy.verify(heads=farm.path(HEADS))["good"]
    assert "is not archived in this ledger" in archive(farm, copy.name, "restore", path, check=False).stderr
    os.unlink(path)
    archive(farm, copy.name, "archive", "--directory", files)  # and once more: what came back may leave again
    assert copy.verify(heads=farm.path(HEADS))["good"]


def line_edited(lines):
    at = next(i for i, line in enumerate(lines) if b'"captured"' in line)
    return lines[:at] + [lines[at].replace(b'"captured"', b'"refused"', 1)] + lines[at + 1:]


CHANGES = {"a word": line_edited, "a payment left out": lambda lines: lines[:1] + lines[2:], "a payment twice": lambda lines: lines[:2] + lines[1:],
           "no tail": lambda lines: lines[:-1], "cut": lambda lines: lines[:-2] + [lines[-2][:50]], "more behind": lambda lines: lines + [b"{}\n"],
           "another head": lambda lines: [lines[0].replace(b"2023q3", b"2023q2")] + lines[1:], "no archive": lambda lines: [b"hello\n"],
           "nothing": lambda lines: []}


def test_what_is_not_the_archive_is_refused(farm, old, copy):
    files = folder(farm)
    archive(farm, copy.name, "archive", "--directory", files)
    path, other = f"{files}/acquit-{QUARTER}.archive", f"{files}/other"
    with open(path, "rb") as file:
        lines = file.readlines()
    for name, change in CHANGES.items():
        with open(other, "wb") as file:
            file.writelines(change(list(lines)))
        done = archive(farm, copy.name, "restore", other, check=False)
        assert done.returncode == 1 and done.stderr.startswith("acquit: "), (name, done)
        assert copy.sql("select to_regclass(%s)", f"ledger.event_{QUARTER}") == [(None,)], name
    # a forger who fits the tail and the note still meets the sealed leaves
    tail = json.loads(lines[-1])
    forged = line_edited(list(lines))
    leaves = hashlib.sha256()
    for line in forged[1:-1]:
        for fact in json.loads(line)["facts"]:
            values = [*fact["fact"], str(len(fact["transfers"])), *(text for transfer in fact["transfers"] for text in transfer)]
            leaf = hashlib.sha256(b"\0" + b"".join(map(sealing.value, ["acquit-fact-v1", *values]))).digest()
            leaves.update(fact["position"].to_bytes(8, "big") + leaf)
    forged[-1] = json.dumps(tail | {"leaves": leaves.hexdigest()}).encode() + b"\n"
    with open(other, "wb") as file:
        file.writelines(forged)
    copy.tamper(f"update ledger.archive set leaves = '{leaves.hexdigest()}', file_sha256 = '{hashlib.sha256(b''.join(forged)).hexdigest()}'")
    done = archive(farm, copy.name, "restore", other, check=False)
    assert done.returncode == 1 and "are not those that were sealed" in done.stderr, done
    for arguments in ((), ("--archives", files)):
        assert verifying.rules(copy.verify(*arguments, heads=farm.path(HEADS))) == {"archive"}
    digest = hashlib.sha256(b"".join(lines)).hexdigest()
    copy.tamper(f"update ledger.archive set leaves = '{tail['leaves']}', file_sha256 = '{digest}'")
    assert copy.verify("--archives", files, heads=farm.path(HEADS))["good"]
    copy.tamper("update ledger.archive_balance set debits = debits + 5 where debits > 0", "update ledger.archive_balance set credits = credits + 5 where credits > 0")
    faults = copy.verify("--archives", files, heads=farm.path(HEADS))
    assert verifying.rules(faults) == {"archive"} and "are not the sums" in faults["faults"][0]["message"], faults
    shutil.copy(other, path)
    assert verifying.rules(copy.verify("--archives", files, heads=farm.path(HEADS))) == {"archive"}
    copy.tamper("delete from ledger.archive_balance", "delete from ledger.archive")
    assert "row-missing" in verifying.rules(copy.verify(heads=farm.path(HEADS)))


def test_only_what_is_ended_and_sealed_may_leave(farm, old, copy):
    files, url = folder(farm), farm.services.pg_url.rsplit("/", 1)[0] + "/" + copy.name
    one = old[1][1]

    def refused(why):
        done = archive(farm, copy.name, "archive", "--directory", files, check=False)
        assert done.returncode == 1 and why in done.stderr and glob.glob(f"{files}/*") == [], done
        assert copy.sql("select count(*) > 0 from ledger.event where payment_id = any(%s::uuid[])", old[1]) == [(True,)]
    ((slot, outcome),) = copy.sql("select slot, outcome from ledger.event where payment_id = %s and slot = 'capture'", one)
    copy.tamper(f"update ledger.event set outcome = 'refused' where payment_id = '{one}' and slot = '{slot}'")
    refused(f"payment tx_{one.replace('-', '')}")
    copy.tamper(f"update ledger.event set outcome = '{outcome}', actor = 'me' where payment_id = '{one}' and slot = '{slot}'")
    refused("is not what was sealed")
    copy.tamper(f"update ledger.event set actor = 'acquit-worker' where payment_id = '{one}' and slot = '{slot}'")
    ((leaf,),) = copy.sql("select row_to_json(l) from ledger.seal_leaf l where payment_id = %s and slot = %s", one, slot)
    copy.tamper(f"delete from ledger.seal_leaf where payment_id = '{one}' and slot = '{slot}'")
    refused("is not sealed yet")
    copy.tamper(f"insert into ledger.seal_leaf select * from json_populate_record(null::ledger.seal_leaf, '{json.dumps(leaf)}')")
    # somebody writes while the file is being written: their transaction began before, and ends when the partition is about to go
    writer, watcher = psycopg2.connect(url), psycopg2.connect(url)
    watcher.autocommit = True
    with writer.cursor() as cursor:
        cursor.execute("insert into ledger.event (payment_id, began, cause, slot, outcome) select payment_id, began, gen_random_uuid(), 'notice:late:mail',"
                       " 'delivered' from ledger.payment where payment_id = %s", (one,))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(archive(farm, copy.name, "archive", "--directory", files, check=False)))
    thread.start()

    def is_waiting():
        with watcher.cursor() as cursor:
            cursor.execute("select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'")
            return cursor.fetchone()[0] > 0
    farms.wait_for(is_waiting, 20, "the archive to wait for the writer")
    writer.commit()
    thread.join()
    writer.close()
    watcher.close()
    assert answers[0].returncode == 75 and "went on while it was archived" in answers[0].stderr, answers
    assert glob.glob(f"{files}/*") == []
    assert "--directory: must be given" in archive(farm, copy.name, "archive", check=False).stderr
    assert "is no age" in archive(farm, copy.name, "archive", "--older-than", "2w", "--directory", files, check=False).stderr


# --- on the farm ---

def test_nothing_is_paid_twice_while_a_payment_is_away(world):
    """Publishers that repeat themselves after years, and refunds of what is away: nothing moves, a person is told, and it goes on when the partition is back."""
    farm, files, key = world.farm, folder(world.farm), world.key()
    body = world.plain(amount=4321)
    payment = world.pay(body, key=key)
    world.wait_state(payment, "completed")
    sealing.until_sealed(world)
    split_first(asking(world.books))
    age(asking(world.books), [payment])
    database = farm.services.pg_url.rsplit("/", 1)[1]
    archive(farm, database, "archive", "--directory", files)
    status, answer = world.http("GET", f"/api/payments/{payment}")
    assert (status, answer["error"]) == (410, "PAYMENT_ARCHIVED")
    assert world.http("GET", f"/api/payments/{payment}", publisher="tickets")[0] == 404
    for words in (("payment", "show"), ("ledger", "prove")):
        done = farm.acquit(*words, payment, check=False)
        assert done.returncode == 1 and f"acquit-{QUARTER}.archive" in done.stderr, done
    charges, refund = len(world.requests(payment)), world.key()
    world.publish([("payment.create", key, body), ("payment.create", key, body | {"amount": 1}), ("payment.refund", refund, {"paymentId": payment, "amount": 21})])

    def letters():
        return [row for row in world.sql("select type, reason from ledger.dead_letter where message_id in (%s, %s)", key, refund)]
    farms.wait_for(lambda: len(letters()) == 3, 20, "three dead letters")
    assert sorted(letters()) == [("payment.create", "archived")] * 2 + [("payment.refund", "archived")]
    assert len(world.requests(payment)) == charges and world.sql("select count(*) from ledger.event where payment_id = %s", payment) == [(0,)]
    archive(farm, database, "restore", f"{files}/acquit-{QUARTER}.archive")
    assert world.state(payment) == "completed"
    ((letter,),) = world.sql("select id::text from ledger.dead_letter where message_id = %s", refund)
    farm.acquit("dlq", "replay", letter, "--reason", "the partition is back")
    world.wait_fact(payment, "refund:1:result")
    assert world.stripe_books(payment)[0]["refunded"] == 21
