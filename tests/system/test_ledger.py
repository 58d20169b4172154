"""The ledger's own guarantees, in a database of its own: tests/system/ledger_probe.c says what it checked."""

import os
import subprocess

import farm as farms


def test_ledger_probe(farm):
    program = os.path.join(farm.build, "system", "ledger_probe")
    done = subprocess.run([program], capture_output=True, text=True, timeout=170, check=False, env=os.environ | {"ACQUIT_TEST_PG": farm.services.pg_url})
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok", "not ok"))]
    assert done.returncode == 0 and len(lines) > 10 and not [line for line in lines if line.startswith("not ok")], done.stdout + done.stderr


def test_the_roles_may_not_change_what_is_written(farm):
    """INSERT and SELECT only; triggers refuse the owner, too (DESIGN section 5)."""
    for user, statement in [("acquit_farm", "update ledger.event set outcome = 'x'"), ("acquit_farm", "delete from ledger.transfer"),
                            ("acquit_auditor", "insert into ledger.account (name, currency) values ('x', 'EUR')")]:
        done = subprocess.run(["psql", farm.pg_url(user), "-c", statement], capture_output=True, text=True, check=False)
        assert done.returncode != 0 and "permission denied" in done.stderr, done.stderr
    for statement in ("update ledger.event set outcome = 'x'", "delete from ledger.event", "truncate ledger.transfer cascade"):
        done = subprocess.run(["psql", farm.services.pg_url, "-c", statement], capture_output=True, text=True, check=False)
        assert done.returncode != 0 and "insert-only" in done.stderr, done.stderr


def test_a_second_migration_applies_nothing(farm):
    said = farm.acquit("migrate", environment={"ACQUIT_LEDGER_URL": farm.services.pg_url})
    assert "0" in said or "nothing" in said.lower() or "up to date" in said.lower(), said


def test_install_and_units(farm, tmp_path):
    """`make install DESTDIR=` and `systemd-analyze verify` on what it installed."""
    subprocess.run(["make", "install", f"DESTDIR={tmp_path}"], cwd=farms.ROOT, check=True, capture_output=True, timeout=170)
    for path in ("usr/bin/acquit", "usr/bin/acquit-worker", "usr/bin/acquit-ingress", "usr/bin/acquit-keeper", "etc/acquit/acquit.conf",
                 "usr/lib/systemd/system/acquit-worker@.service", "usr/lib/systemd/system/acquit.target",
                 "usr/lib/systemd/system/acquit-audit-dual.service", "usr/lib/systemd/system/acquit-audit-dual.timer"):
        assert (tmp_path / path).exists(), path
    done = subprocess.run([tmp_path / "usr/bin/acquit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("acquit ")


def test_the_simulated_providers_books(farm):
    """tests/unit/simulated_books.sql checks the books' own functions; it raises at the first thing that is wrong."""
    script = os.path.join(farms.ROOT, "tests", "unit", "simulated_books.sql")
    done = subprocess.run(["psql", farm.services.pg_url, "-v", "ON_ERROR_STOP=1", "-q", "-f", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
