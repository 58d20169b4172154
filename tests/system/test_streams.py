"""Streams of rows and shared snapshots on a real server: tests/system/stream_probe.c says what it checked."""

import os
import subprocess


def test_stream_probe(farm):
    program = os.path.join(farm.build, "system", "stream_probe")
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"ACQUIT_TEST_PG": farm.services.pg_url})
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok", "not ok"))]
    assert done.returncode == 0 and len(lines) > 20 and not [line for line in lines if line.startswith("not ok")], done.stdout + done.stderr
