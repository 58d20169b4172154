#!/usr/bin/python3
"""lint.py - layout, static analysis, and what we agreed on: lint.py [CHECK...]

Each check is a function below that returns its findings as text; none means it passed. Files that clang-tidy has found
good are remembered in build/lint until they, a header, or its settings change. Exit code 1 if any check found something.
"""

import ast
import concurrent.futures
import fnmatch
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REMEMBERED = os.path.join(ROOT, "build", "lint")        # one empty file per file found good
REMEMBER_SECONDS = 30 * 86400
TOOL_SECONDS = 300      # one run of one tool

C_FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-I.", "-isystem", "/usr/include/postgresql"]

# DESIGN, files: the whole tree, dot files aside
TOP_LEVEL = {"Makefile", "README.md", "workers", "queues", "ledger", "config", "common", "systemd", "docs", "tests", "LICENSE",
             "CHANGELOG.md"}
MADE = {"build", "var", "debian", "node_modules"}       # by us, ignored by git

# which of our folders a folder's files may include; the longest name that fits counts
MAY_INCLUDE = {
    "common": ["common"],
    "config": ["config", "common"],
    "queues": ["queues", "common"],
    "ledger": ["ledger", "common"],
    "workers": ["workers", "queues", "ledger", "config", "common"],
    "workers/providers": ["workers/providers", "common"],
    "tests": ["tests", "workers", "queues", "ledger", "config", "common"],
    "tests/twins": ["tests/twins"],
}

# who may see a foreign header, directly or through one of ours
BEHIND = {
    re.compile(r"(amqp.*|rabbitmq-c/.*)\.h"): re.compile(r"queues/amqp(_\w+)?\.[ch]"),
    re.compile(r"libpq-fe\.h"): re.compile(r"ledger/db(_\w+)?\.[ch]"),
}

MAINS = re.compile(r"workers/((ingress|keeper|operator)/)?main\.c|tests/.*|docs/examples/.*")


def run(command, **more):
    """Its exit code and all it said."""
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=TOOL_SECONDS, check=False, **more)
    return done.returncode, done.stdout


def all_files():
    """Tracked, and new but not ignored; without git everything that is not made."""
    if os.path.exists(os.path.join(ROOT, ".git")):
        # a clone may belong to another user than the one who lints it
        code, out = run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        if code == 0:
            return sorted(f for f in set(out.split("\0")) if f and os.path.isfile(os.path.join(ROOT, f)))
    found = []
    for folder, folders, files in os.walk(ROOT):
        if folder == ROOT:
            folders[:] = [f for f in folders if f not in MADE]
        folders[:] = [f for f in folders if f != "__pycache__"]
        found += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    return sorted(found)


def like(*patterns):
    return [f for f in FILES if any(fnmatch.fnmatch(os.path.basename(f), p) for p in patterns)]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def side_by_side(function, items):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [finding for finding in pool.map(function, items) if finding]


# -- what we agreed on --------------------------------------------------------------------------------------------------

def check_tree():
    names = {f.split("/")[0] for f in FILES} | set(os.listdir(ROOT))
    return [f"{name}: not one of the tree's top-level names"
            for name in sorted(names) if not name.startswith(".") and name not in TOP_LEVEL | MADE]


def includes(path):
    """[(line number, our file or None, foreign header or None)]; a quoted name that is no file of ours is (n, None, None)."""
    found = []
    for number, line in enumerate(read(path).splitlines(), 1):
        if match := re.match(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', line):
            quoted, foreign = match.groups()
            if foreign:
                found.append((number, None, foreign))
            else:
                beside = os.path.normpath(os.path.join(os.path.dirname(path), quoted))
                found.append((number, next((p for p in (beside, quoted) if p in FILES), None), None))
    return found


def check_includes():
    findings = []
    graph = {path: includes(path) for path in like("*.c", "*.h")}

    def foreign_of(path, seen):
        for _, ours, foreign in graph.get(path, []):
            if foreign:
                seen.setdefault(foreign, path)
            elif ours and ours not in seen:
                seen[ours] = path
                foreign_of(ours, seen)
        return seen

    for path, found in graph.items():
        folder = max((f for f in MAY_INCLUDE if path.startswith(f + "/")), key=len, default=None)
        if folder is None:
            continue
        for number, ours, foreign in found:
            if not ours and not foreign:
                findings.append(f"{path}:{number}: includes a file that is not there")
            elif ours and not ours.startswith(tuple(f + "/" for f in MAY_INCLUDE[folder])):
                findings.append(f"{path}:{number}: {folder} may not include {ours}")
        for header, through in foreign_of(path, {}).items():
            for hidden, behind in BEHIND.items():
                if hidden.fullmatch(header) and not behind.fullmatch(path) and not path.startswith("tests/"):
                    findings.append(f"{path}: may not see <{header}> (included by {through})")
    return findings


def check_mains():
    return [f"{path}: only the main.c of a program in workers/ (and tests) has a main()"
            for path in like("*.c") if re.search(r"^(int\s+)?main\s*\(", read(path), re.M) and not MAINS.fullmatch(path)]


def check_json():
    """JSON that parses; the schemas in queues/schema are JSON Schemas."""
    import jsonschema   # not in the standard library
    findings = []
    for path in like("*.json"):
        try:
            content = json.loads(read(path))
            if path.startswith("queues/schema/"):
                jsonschema.Draft202012Validator.check_schema(content)
        except (ValueError, jsonschema.SchemaError) as error:
            findings.append(f"{path}: {error}")
    return findings


# -- scripts ------------------------------------------------------------------------------------------------------------

def check_shell():
    scripts = [path for path in FILES if re.match(r"#!/(usr/)?bin/(env )?(ba|da)?sh\b", read(path)[:40])]
    if not scripts:
        return []
    code, out = run(["shellcheck", "--format=gcc", *scripts])
    return [out] if code else []


def check_python():
    scripts = [path for path in FILES if path.endswith(".py") or re.match(r"#!.*\bpython3?\b", read(path)[:40])]
    findings = []
    for path in scripts:
        try:
            ast.parse(read(path), path)
        except SyntaxError as error:
            findings.append(f"{path}:{error.lineno}: {error.msg}")
    code, out = run(["/usr/bin/python3", "-m", "pyflakes", *scripts]) if scripts and not findings else (0, "")
    return findings + ([out] if code else [])


def check_units():
    """systemd's own opinion of the units, with stand-ins for the programs."""
    units = [f for f in FILES if re.fullmatch(r"systemd/[^/]+\.(service|target|socket|slice|timer|path)", f)]
    if not units:
        return []
    with tempfile.TemporaryDirectory() as folder:
        for name in ["acquit", *("acquit-" + p for p in ("worker", "ingress", "keeper"))]:
            os.symlink("/bin/true", os.path.join(folder, name))
        for path in units:
            text = read(path).replace("@BINDIR@", folder).replace("@SYSCONFDIR@", "/etc")
            text = re.sub(r"/usr/bin/(?=acquit)", folder + "/", text)
            with open(os.path.join(folder, os.path.basename(path)), "w", encoding="utf-8") as f:
                f.write(text)
        names = [os.path.join(folder, re.sub(r"@(?=\.)", "@lint-1", os.path.basename(path))) for path in units]
        code, out = run(["systemd-analyze", "verify", "--man=no", *names],
                        env=dict(os.environ, SYSTEMD_UNIT_PATH=folder + ":", SYSTEMD_LOG_LEVEL="warning"))
        # of the machine's own units it may say what it likes
        ours = [line.replace(folder, "systemd") for line in out.splitlines() if "acquit" in line or folder in line]
    return ["\n".join(ours)] if ours else [f"systemd-analyze: exit code {code}\n{out}"] if code else []


# -- C ------------------------------------------------------------------------------------------------------------------

def check_format():
    code, out = run(["clang-format", "--dry-run", "-Werror", "-ferror-limit=5", *like("*.c", "*.h")])
    return [out + "(`make format` sets it right)"] if code else []


def check_cppcheck():
    code, out = run(["cppcheck", "--quiet", f"-j{os.cpu_count()}", "--enable=warning,performance,portability", "--error-exitcode=1",
                     "--inline-suppr", "--suppressions-list=tests/lint/cppcheck.suppress", "--library=posix",
                     "--library=tests/lint/cppcheck.cfg", "--std=c11", "-D_GNU_SOURCE", "-I.", *like("*.c")])
    return [out] if code else []


def check_tidy():
    """clang-tidy on the programs and the twins (cmocka's macros mean nothing to its analyser), one process per file; a good file is not looked at
    again until something it may see has changed."""
    around = hashlib.sha256(json.dumps(C_FLAGS).encode())
    for path in [".clang-tidy", *like("*.h")]:
        around.update(f"{path}\0{read(path)}\0".encode())
    around.update(run(["clang-tidy", "--version"])[1].encode())
    os.makedirs(REMEMBERED, exist_ok=True)

    def tidy(path):
        key = around.copy()
        key.update(f"{path}\0{read(path)}".encode())
        good = os.path.join(REMEMBERED, key.hexdigest())
        if os.path.exists(good):
            os.utime(good)
            return None
        code, out = run(["clang-tidy", "--quiet", path, "--", *C_FLAGS])
        if code:
            return re.sub(r"^\d+ warnings? (generated|treated as errors?)\.?\n|^Suppressed .*\n", "", out, flags=re.M)
        with open(good, "w", encoding="ascii"):
            return None

    programs = [path for path in like("*.c") if not path.startswith(("tests/unit/", "tests/system/", "tests/fuzz/"))]
    findings = side_by_side(tidy, sorted(programs, key=lambda p: -os.path.getsize(os.path.join(ROOT, p))))
    for old in glob.glob(os.path.join(REMEMBERED, "*")):
        if time.time() - os.path.getmtime(old) > REMEMBER_SECONDS:
            os.unlink(old)
    return findings


CHECKS = {"tree": check_tree, "includes": check_includes, "mains": check_mains, "json": check_json, "shell": check_shell,
          "python": check_python, "units": check_units, "format": check_format, "cppcheck": check_cppcheck, "tidy": check_tidy}
FILES = all_files()


def main():
    wanted = sys.argv[1:] or list(CHECKS)
    if not set(wanted) <= set(CHECKS):
        sys.exit(f"{__doc__}\nThe checks: {' '.join(CHECKS)}")
    failed = []
    for name in wanted:
        started = time.monotonic()
        findings = CHECKS[name]()
        for finding in findings:
            print(finding.rstrip())
        print(f"{'FAILED' if findings else 'ok':7} lint {name}, {time.monotonic() - started:.1f} s", flush=True)
        failed += [name] if findings else []
    if failed:
        sys.exit(f"lint: {' '.join(failed)} failed")


if __name__ == "__main__":
    main()
