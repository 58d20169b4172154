#!/usr/bin/python3
"""run.py - runs the tests and counts the cases; `make test` builds first and then comes here

    run.py [-k NAME] [--build DIR]

Unit tests (tests/unit/test_*.c, cmocka) run from build/unit and, with sanitizers, from build/asan/unit; then the system
tests (tests/system, pytest) with the programs in build/ and a private broker and database under var/test; then some of
them (SANITIZED) on a farm whose programs are all sanitized, those in build/asan, under var/test-asan. With --build all of
it comes from that folder instead, once. The system tests find the programs in $ACQUIT_TEST_BUILD and the services'
directory in $ACQUIT_TEST_DIR.

Sanitized programs are ended by SIGTERM like all others, and look for leaks then; each report of a sanitizer is a failure.

A passing unit program or system test is one line; what fails shows all it said. A crash, a time limit, a skipped test
and a case that never reported count as failures. The last line is "N passed, N failed"; the exit code is 1 if any
failed or none ran. When it ends, however it ends, so do the services and whatever the tests left running.
"""

import argparse
import concurrent.futures
import contextlib
import ctypes
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "farm"))
import services as farm     # noqa: E402  (found through the line above)

SUITE_SECONDS = int(os.environ.get("ACQUIT_TEST_SECONDS", "1800"))
UNIT_SECONDS = 120          # one unit program
SYSTEM_SECONDS = 180        # one system test, unless it is marked otherwise
REPORT_SHOWN = 20000        # characters of one sanitizer's report
GRACE_SECONDS = 15          # from being asked to end to being killed

# run on sanitized programs as well, as pytest's -k has it: the whole way of a payment, all that may come in, all that is said
SANITIZED = "sample_day or flows or (dead_letters and not (two_words or misuse or several)) or (hostile and not queues) or replies or mail"
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
                     "UBSAN_OPTIONS": "print_stacktrace=1"}

PYTHON = "/usr/bin/python3"
TEST_DIR = os.path.join(ROOT, "var", "test")
SANITIZED_DIR = TEST_DIR + "-asan"
PR_SET_CHILD_SUBREAPER = 36


class Suite:
    def __init__(self):
        self.passed = self.failed = 0
        self.deadline = time.monotonic() + SUITE_SECONDS

    def left(self):
        return max(1, self.deadline - time.monotonic())

    def count(self, passed, failed):
        self.passed += passed
        self.failed += failed


def say(text):
    print(text, flush=True)


def end_group(process, first_signal):
    """Ends a process that leads a session of its own, with its group."""
    for number in (first_signal, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            return


# -- unit tests ---------------------------------------------------------------------------------------------------------

def count_tap(output):
    """(passed, failed, planned) of what cmocka wrote. A test's own output may stand before a result on its line, so a
    result is known by its number, too."""
    passed = failed = planned = 0
    number = 1
    for line in output.splitlines():
        if plan := re.search(r"1\.\.(\d+)$", line):
            planned += int(plan[1])
            number = 1
        elif result := re.search(r"(not )?ok (\d+) ", line):
            if int(result[2]) == number:
                number += 1
                passed, failed = (passed, failed + 1) if result[1] else (passed + 1, failed)
    return passed, failed, planned


def run_unit(program, suite):
    """Runs one cmocka program; (passed, failed, text to show)."""
    name = os.path.relpath(program, ROOT)
    if not os.path.exists(program):
        return 0, 1, f"FAILED  {name}: it was not built"
    environment = dict(os.environ, **SANITIZER_OPTIONS, CMOCKA_MESSAGE_OUTPUT="TAP")
    environment["ASAN_OPTIONS"] += ":handle_segv=2"
    started = time.monotonic()
    with subprocess.Popen([program], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True, text=True, errors="replace") as process:
        problems = []
        try:
            output, _ = process.communicate(timeout=min(UNIT_SECONDS, suite.left()))
        except subprocess.TimeoutExpired:
            problems.append("was not done in time")
            end_group(process, signal.SIGABRT)
            output, _ = process.communicate()
    passed, failed, planned = count_tap(output)
    if process.returncode < 0 and not problems:
        problems.append(f"died of {signal.Signals(-process.returncode).name}")
    elif process.returncode != 0 and failed == 0 and not problems:
        problems.append(f"ended with exit code {process.returncode}")
    elif planned == 0 and not problems:
        problems.append("has no test cases")
    elif passed + failed != planned and not problems:
        problems.append(f"reported {passed + failed} of {planned} cases")
    failed += len(problems)
    took = f"{time.monotonic() - started:.1f} s"
    if failed == 0:
        return passed, failed, f"ok      {name}: {passed} passed, {took}"
    text = f"FAILED  {name}: {passed} passed, {failed} failed, {took}"
    text += "".join(f"; {problem}" for problem in problems)
    return passed, failed, f"{text}\n{output.rstrip() or '(no output)'}\n--- end of {name}"


def run_check(script, suite):
    """Runs a script that compares the C code with something independent (a model, another language): one test each."""
    name = os.path.relpath(script, ROOT)
    interpreter = "node" if script.endswith(".mjs") else PYTHON
    started = time.monotonic()
    try:
        done = subprocess.run([interpreter, script], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=min(UNIT_SECONDS, suite.left()), check=False)
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        output, code = f"{error.output or ''}\nwas not done in time", 1
    took = f"{time.monotonic() - started:.1f} s"
    if code == 0:
        return 1, 0, f"ok      {name}: {took}"
    return 0, 1, f"FAILED  {name}: exit code {code}, {took}\n{output.rstrip() or '(no output)'}\n--- end of {name}"


def wanted_checks(name):
    found = sorted(glob.glob(os.path.join(ROOT, "tests", "unit", "**", "check_*"), recursive=True))
    return [path for path in found if path.endswith((".py", ".mjs")) and (name is None or name in os.path.basename(path))]


def run_units(folders, name, suite):
    sources = sorted(glob.glob("test_*.c", root_dir=os.path.join(ROOT, "tests", "unit")))
    programs = [os.path.join(folder, "unit", f.removesuffix(".c")) for folder in folders for f in sources
                if name is None or name in f]
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        work = [pool.submit(run_unit, p, suite) for p in programs] + [pool.submit(run_check, p, suite) for p in wanted_checks(name)]
        for result in concurrent.futures.as_completed(work):
            passed, failed, text = result.result()
            suite.count(passed, failed)
            say(text)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        end_leftovers()     # those still running, so that their threads come back
        raise
    pool.shutdown()


# -- system tests -------------------------------------------------------------------------------------------------------

def pytest_command(name, *more):
    return [PYTHON, "-m", "pytest", "tests/system", "-p", "no:cacheprovider", *(["-k", name] if name else []), *more]


def wanted_system_tests(name):
    """Whether there are any; what cannot be collected is wanted, to see why."""
    if not glob.glob(os.path.join(ROOT, "tests", "system", "**", "test_*.py"), recursive=True):
        return False
    found = subprocess.run(pytest_command(name, "--collect-only", "-q"), cwd=ROOT, check=False, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return found.returncode != 5


def end_earlier_run(directory):
    """The farm's programs of a run that could not clean up; each has a file with its process id and start time."""
    for path in glob.glob(os.path.join(directory, "pids", "*")):
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as f:
            farm.send_signal(*map(int, f.read().split()), signal.SIGKILL)


class ServicesStart(threading.Thread):
    """Starts fresh services while the unit tests run."""

    def __init__(self):
        super().__init__()
        self.services = farm.Services(TEST_DIR)
        self.error = None

    def run(self):
        try:
            end_earlier_run(TEST_DIR)
            self.services.stop()
            shutil.rmtree(TEST_DIR, ignore_errors=True)
            os.makedirs(TEST_DIR)
            self.services.start()
        except Exception as error:  # the thread that joins reports it, whatever it is
            self.error = error


def reporting_to(folder):
    """Options by which sanitized programs write what they find into files of their own there."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return {name: f"{options}:log_path={folder}/report" for name, options in SANITIZER_OPTIONS.items()}


def judge_reports(folder, logs, suite):
    """One failure per report. UBSan of GCC writes its own to standard error, wherever the others go: to the programs' logs."""
    reports = []
    for path in sorted(glob.glob(os.path.join(folder, "*")) + glob.glob(os.path.join(logs, "*.log"))):
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
        found = re.search(r"[^\n]*(runtime error:|ERROR: \w+Sanitizer)[^\0]*", text)
        if found or os.path.dirname(path) == folder:
            reports.append(path)
            say(f"FAILED  a sanitizer's report, {os.path.relpath(path, ROOT)}:\n{(found[0] if found else text)[:REPORT_SHOWN]}\n--- end of the report")
    if not reports:
        say("ok      no sanitizer had anything to report, and no program leaked")
    suite.count(not reports, len(reports))


def run_sanitized(name, suite):
    """Some of the system tests once more, with sanitized programs, on a farm that they start and end themselves."""
    wanted = f"({name}) and ({SANITIZED})" if name else SANITIZED
    if not wanted_system_tests(wanted):
        return
    end_earlier_run(SANITIZED_DIR)
    farm.Services(SANITIZED_DIR).stop()
    shutil.rmtree(SANITIZED_DIR, ignore_errors=True)
    os.makedirs(SANITIZED_DIR)
    try:
        run_system(os.path.join(ROOT, "build", "asan"), wanted, suite, SANITIZED_DIR)
    finally:
        farm.Services(SANITIZED_DIR).stop()


def run_system(build, name, suite, directory=TEST_DIR):
    report = os.path.join(directory, "system.xml")
    findings = os.path.join(directory, "sanitizer")
    environment = dict(os.environ, **reporting_to(findings), ACQUIT_TEST_BUILD=build, ACQUIT_TEST_DIR=directory, PYTHONUNBUFFERED="1")
    command = pytest_command(name, "-v", "--tb=long", f"--junitxml={report}", f"--timeout={SYSTEM_SECONDS}",
                             "-o", "console_output_style=classic", "--durations=25", "--durations-min=5")
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            process.wait(suite.left())
        except subprocess.TimeoutExpired:
            say(f"FAILED  the system tests were not done within the suite's {SUITE_SECONDS} s")
            suite.count(0, 1)
            end_group(process, signal.SIGINT)
        except BaseException:
            end_group(process, signal.SIGTERM)
            raise
    if os.path.basename(build) == "asan":
        judge_reports(findings, os.path.join(directory, "log"), suite)
    try:
        cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
    except (FileNotFoundError, xml.etree.ElementTree.ParseError) as error:
        say(f"FAILED  the system tests left no report (exit code {process.returncode}): {error}")
        suite.count(0, 1)
        return
    bad = [case for case in cases if any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))]
    for case in bad:
        if case.find("skipped") is not None:
            say(f"FAILED  {case.get('classname')}.{case.get('name')}: skipped, which counts as a failure")
    suite.count(len(cases) - len(bad), len(bad))
    if process.returncode not in (0, 1) and not bad:
        say(f"FAILED  pytest ended with exit code {process.returncode}")
        suite.count(0, 1)


# -- all of it ----------------------------------------------------------------------------------------------------------

def end_leftovers():
    """Orphans of the tests have become our children; none may outlive the run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = {pid: started for pid, started in farm.descendants(os.getpid()).items() if farm.start_time(pid) == started}
        for pid, started in left.items():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as f:
                    say(f"left running by the tests, ended with {number.name}: {pid} {f.read().replace(chr(0), ' ')}")
            farm.send_signal(pid, started, number)
        if farm.wait_until(lambda: all(farm.start_time(p) != s for p, s in left.items()), GRACE_SECONDS):
            return


def run(arguments, suite):
    build = os.path.join(ROOT, arguments.build or "build")
    folders = [build] if arguments.build else [build, os.path.join(build, "asan")]
    start = ServicesStart() if wanted_system_tests(arguments.k) else None
    try:
        if start:
            start.start()
        run_units(folders, arguments.k, suite)
        if start:
            start.join()
            if start.error:
                say(f"FAILED  the services for the system tests: {start.error}")
                suite.count(0, 1)
            else:
                run_system(build, arguments.k, suite)
        if not arguments.build:
            run_sanitized(arguments.k, suite)
    finally:
        if start:
            start.join()
            try:
                start.services.stop()
            except farm.ServicesError as error:
                say(f"FAILED  ending the services: {error}")
                suite.count(0, 1)
        end_leftovers()


def main():
    parser = argparse.ArgumentParser(description="runs the unit and system tests")
    parser.add_argument("-k", metavar="NAME", help="only unit programs and system tests whose name has NAME in it")
    parser.add_argument("--build", metavar="DIR", help="take all programs from there, e.g. build/asan")
    arguments = parser.parse_args()

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)

    suite = Suite()
    started = time.monotonic()
    try:
        run(arguments, suite)
    except KeyboardInterrupt:
        say("interrupted")
        suite.count(0, 1)
    say(f"{time.monotonic() - started:.0f} s")
    say(f"{suite.passed} passed, {suite.failed} failed")
    sys.exit(1 if suite.failed or not suite.passed else 0)


if __name__ == "__main__":
    main()
