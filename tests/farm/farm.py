"""farm.py - a whole Acquit farm on loopback: services, twins, schema, topology, workers, ingress, keeper

Used by `make run` (run.py) and by the system tests, each with a directory of its own, so that they never meet. Everything a
farm knows of itself stands under that directory: secrets/ (0600), acquit.conf, log/, pids/, env (shell exports for any client).
Processes are told to be ready by the READY=1 that they would send to systemd.
"""

import base64
import contextlib
import hashlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import services as private_services

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READY_SECONDS = 20
STOP_SECONDS = 40
VALIDATORS = 3
WORKER_TYPES = ("authorize", "pop-validate", "token-activate", "refund", "notify", "compensate")
BROKER_USERS = ("acquit-worker", "acquit-keeper", "acquit-operator", "acquit-ingress")
SANITIZER_OPTIONS = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")  # where sanitized programs report to; passed on to all programs

# The apps of the sample: what the configuration says of them.
PUBLISHERS = {
    "shop": {"flow": "plain", "gateways": ["simulated"], "merchant": "shop"},
    "tickets": {"flow": "dual", "gateways": ["stripe"], "merchant": "tickets"},
}


class FarmError(Exception):
    """Something of the farm did not come up or go down; the text says what and where its log is."""


def wait_for(condition, seconds, what):
    """The first true value of condition(), asked until the deadline; raises FarmError naming `what` after it."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise FarmError(f"waited {seconds} s in vain for {what() if callable(what) else what}")
        time.sleep(0.02)  # the pace of asking, not the wait itself


def http(method, url, body=None, headers=None, seconds=15):
    """(status, decoded JSON or text, headers) of one request; HTTP errors are answers, too."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            status, raw, got = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        status, raw, got = error.code, error.read(), error.headers
    try:
        return status, json.loads(raw), got
    except ValueError:
        return status, raw.decode(errors="replace"), got


class Farm:
    """One farm in one directory. `instances`: how many of each worker type; `settings`: lines that go into the configuration's groups,
    {"retry": {"base_ms": 50}}; `environment`: for the workers (fault points)."""

    def __init__(self, directory, build=None, instances=None, settings=None, publishers=None):
        self.directory = os.path.abspath(directory)
        self.build = os.path.abspath(build or os.path.join(ROOT, "build"))
        self.instances = {name: 1 for name in WORKER_TYPES} | (instances or {})
        self.settings = settings or {}
        self.publishers = publishers or PUBLISHERS
        self.services = private_services.Services(self.directory)
        self.processes = {}  # what this object started, for its exit codes

    # --- names and secrets ---

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def secret(self, name, make=lambda: secrets.token_urlsafe(24)):
        """A secret of this farm, made once."""
        path = self.path("secrets", name)
        if not os.path.exists(path):
            os.makedirs(self.path("secrets"), mode=0o700, exist_ok=True)
            with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
                out.write(make())
        with open(path, encoding="ascii") as text:
            return text.read()

    def secret_url(self, name, url):
        """A URL with a password, in a file of its own: the configuration holds no secrets. The file's name in it."""
        self.secret(name, lambda: "")
        with open(self.path("secrets", name), "w", encoding="ascii") as out:
            out.write(url)
        return f"secrets/{name}"

    def seal_key(self):
        self.secret("seal", lambda: base64.b64encode(secrets.token_bytes(32)).decode())
        os.makedirs(self.path("heads"), exist_ok=True)
        return "secrets/seal"

    def port(self, name):
        path = self.path("ports-farm.json")
        ports = json.load(open(path, encoding="ascii")) if os.path.exists(path) else {}
        if name not in ports:
            ports[name] = self._free_port(3003 if name == "ingress" and os.path.basename(self.directory) == "var" else 0)
            with open(path, "w", encoding="ascii") as out:
                json.dump(ports, out)
        return ports[name]

    @staticmethod
    def _free_port(wish):
        for port in (wish, 0):
            with contextlib.closing(socket.socket()) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    probe.bind(("127.0.0.1", port))
                    return probe.getsockname()[1]
        raise FarmError("no free port on 127.0.0.1")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port('ingress')}"

    @property
    def twins_url(self):
        return f"http://127.0.0.1:{self.port('twins')}"

    def api_key(self, publisher):
        return self.secret(f"api-key-{publisher}", lambda: "ak_" + secrets.token_urlsafe(24))

    def amqp_url(self, user):
        return f"amqp://{user}:{self.secret('broker-' + user)}@127.0.0.1:{self.services.amqp_port}/acquit"

    def pg_url(self, user):
        return f"postgresql://{user}:{self.secret('pg-' + user)}@127.0.0.1:{self.services.pg_port}/acquit"

    @property
    def management_url(self):
        services = self.services
        return f"http://{services.amqp_user}:{services.amqp_password}@127.0.0.1:{services.mgmt_port}"

    # --- configuration ---

    def _group(self, name, values):
        values = values | self.settings.get(name, {})
        lines = "".join(f"    {key} = {json.dumps(value)};\n" for key, value in values.items())
        return f"{name}: {{\n{lines}}};\n"

    def _publisher(self, name, wish):
        key = hashlib.sha256(self.api_key(name).encode()).hexdigest()
        gateways = ", ".join(json.dumps(gateway) for gateway in wish["gateways"])
        return (f'    {{ name = "{name}"; api_key_sha256 = "{key}"; merchant = "{wish["merchant"]}"; flow = "{wish["flow"]}";\n'
                f'      gateways = [ {gateways} ]; commission_ppm = 25000; webhook_url = "{self.twins_url}/webhooks/{name}";\n'
                f'      webhook_secret_file = "secrets/webhook"; email = {json.dumps(wish.get("email", False))}; }}')

    def _validator(self, n):
        return (f'    {{ name = "validator-{n}"; url = "{self.twins_url}/validators/{n}";\n'
                f'      public_key_file = "twins/keys/validator-{n}.pub"; }}')

    def _write_config(self):
        self.secret("webhook", lambda: "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode())
        self.secret("stripe", lambda: "sk_test_" + secrets.token_hex(16))
        self.secret("paypal", lambda: "client-" + secrets.token_hex(8) + ":" + secrets.token_hex(16))
        self.secret("tokens")
        groups = {
            "broker": {"url_file": self.secret_url("broker.url", self.amqp_url("acquit-operator")),
                       "management_url_file": self.secret_url("broker.management_url", self.management_url)},
            "ledger": {"url_file": self.secret_url("ledger.url", self.pg_url("acquit_operator"))},
            "ingress": {"port": self.port("ingress")},
            "worker": {"batch_wait_ms": 1},
            "retry": {"base_ms": 200, "cap_ms": 2000},
            "question": {"base_ms": 200, "cap_ms": 2000},
            "keeper": {"stand_still_ms": 5000, "metrics_port": self.port("keeper-metrics")},
            "seal": {"origin": "acquit.test/ledger", "key_file": self.seal_key(), "heads_dir": self.path("heads"), "interval_ms": 200,
                     "map_interval_ms": 400},
            "pop": {"quorum": 2, "timeout_ms": 2000, "callback_url": self.url + "/webhooks/pop"},
            "tokens": {"url": self.twins_url + "/tokens", "key_file": "secrets/tokens", "timeout_ms": 2000},
            "webhook": {"timeout_ms": 2000},
        }
        window = {"timeout_ms": 2000, "visibility_horizon_ms": 500, "send_window_ms": 4000} | self.settings.get("provider", {})
        timing = " ".join(f"{key} = {value};" for key, value in window.items())
        providers = (f'    {{ name = "simulated"; kind = "simulated"; {timing} }},\n'
                     f'    {{ name = "stripe"; kind = "stripe"; url = "{self.twins_url}/stripe"; secret_file = "secrets/stripe"; {timing} }},\n'
                     f'    {{ name = "paypal"; kind = "paypal"; url = "{self.twins_url}/paypal"; secret_file = "secrets/paypal"; {timing} }}')
        names = set(groups) | (set(self.settings) - {"provider"})
        text = "# Written by tests/farm/farm.py; the documented sample is config/acquit.conf\n"
        text += "".join(self._group(name, groups.get(name, {})) for name in sorted(names))
        text += f"providers = (\n{providers}\n);\n"
        text += "publishers = (\n" + ",\n".join(self._publisher(*item) for item in self.publishers.items()) + "\n);\n"
        text += "validators = (\n" + ",\n".join(self._validator(n + 1) for n in range(VALIDATORS)) + "\n);\n"
        with open(os.open(self.config, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
            out.write(text)

    def reconfigure(self, settings, publishers, workers):
        """Other settings and publishers from now on, and these workers started anew with them."""
        self.settings, self.publishers = settings, publishers
        self._write_config()
        for name in workers:
            self.stop_program(name)
            self.start_worker(name)

    @property
    def config(self):
        return self.path("acquit.conf")

    # --- programs ---

    def program(self, name):
        return os.path.join(self.build, name)

    def acquit(self, *arguments, environment=None, check=True, seconds=60):
        """Runs the operator's command; its standard output. `check`: FarmError unless it exits 0."""
        done = subprocess.run([self.program("acquit"), *arguments, "--config", self.config], capture_output=True, text=True, timeout=seconds,
                              env=os.environ | (environment or {}), check=False)
        if check and done.returncode != 0:
            raise FarmError(f"acquit {' '.join(arguments)} exited {done.returncode}: {done.stdout}{done.stderr}")
        return done if not check else done.stdout

    def _environment(self, name):
        """What one program may see: its own broker user and database role, nothing else."""
        user = {"ingress": "acquit-ingress", "keeper": "acquit-keeper"}.get(name, "acquit-worker")
        role = {"ingress": "acquit_auditor", "keeper": "acquit_keeper"}.get(name, "acquit_farm")
        return {"PATH": os.environ["PATH"], "ACQUIT_CONFIG": self.config, "ACQUIT_BROKER_URL": self.amqp_url(user),
                "ACQUIT_LEDGER_URL": self.pg_url(role)}

    def start_program(self, name, command, environment=None, ready=True):
        """Starts a daemon with its log and pid file, and waits for its READY=1."""
        os.makedirs(self.path("log"), exist_ok=True)
        os.makedirs(self.path("pids"), exist_ok=True)
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notify:
            address = f"@acquit-{os.getpid()}-{secrets.token_hex(8)}"
            notify.bind("\0" + address[1:])
            seen = {option: os.environ[option] for option in SANITIZER_OPTIONS if option in os.environ}
            seen |= (environment or {}) | ({"NOTIFY_SOCKET": address} if ready else {})
            with open(self.path("log", name + ".log"), "ab") as log:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                           cwd=self.directory, env=seen)
            self.processes[name] = process
            with open(self.path("pids", name), "w", encoding="ascii") as out:
                out.write(f"{process.pid} {private_services.start_time(process.pid)}")
            if ready:
                self._wait_ready(name, process, notify)
        return process

    def _wait_ready(self, name, process, notify):
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if select.select([notify], [], [], 0.1)[0] and b"READY=1" in notify.recv(4096):
                return
            if process.poll() is not None:
                break
        raise FarmError(f"{name} is not ready: {self.log_tail(name)}")

    def log_tail(self, name, lines=12):
        with contextlib.suppress(OSError):
            with open(self.path("log", name + ".log"), encoding="utf-8", errors="replace") as log:
                return "".join(log.readlines()[-lines:])
        return "(no log)"

    def pid(self, name):
        """The process id, while that very process lives; else None."""
        with contextlib.suppress(OSError, ValueError):
            with open(self.path("pids", name), encoding="ascii") as text:
                pid, started = text.read().split()
            if str(private_services.start_time(int(pid))) == started:
                return int(pid)
        return None

    def worker_names(self):
        return [f"{name}-{n + 1}" for name in WORKER_TYPES for n in range(self.instances.get(name, 0))]

    def start_worker(self, name, environment=None):
        return self.start_program(name, [self.program("acquit-worker"), name], self._environment(name) | (environment or {}))

    def start_ingress(self):
        return self.start_program("ingress", [self.program("acquit-ingress")], self._environment("ingress"))

    def start_keeper(self):
        return self.start_program("keeper", [self.program("acquit-keeper")], self._environment("keeper"))

    def start_twins(self):
        command = [self.program("acquit-twins"), "--port", str(self.port("twins")), "--keys", self.path("twins/keys"), "--validators",
                   str(VALIDATORS), "--state", self.path("twins/state.jsonl")]
        environment = {"TWINS_STRIPE_KEY": self.secret("stripe"), "TWINS_PAYPAL_KEY": self.secret("paypal"), "TWINS_TOKEN_KEY": self.secret("tokens"),
                       "TWINS_WEBHOOK_SECRET": self.secret("webhook")}
        self.start_program("twins", command, environment, ready=False)
        wait_for(self._twins_healthy, READY_SECONDS, f"the twins, {self.path('log/twins.log')}")

    def _twins_healthy(self):
        with contextlib.suppress(OSError):
            return http("GET", self.twins_url + "/_twin/health", seconds=2)[0] == 200
        return False

    def stop_program(self, name, number=signal.SIGTERM, seconds=STOP_SECONDS):
        pid = self.pid(name)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            wait_for(lambda: self._gone(name, pid), seconds, f"the end of {name}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path("pids", name))

    def end_program(self, name, number=signal.SIGTERM, seconds=STOP_SECONDS):
        """stop_program() of one that this object started; its exit code."""
        process = self.processes.pop(name)
        process.send_signal(number)
        code = process.wait(seconds)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path("pids", name))
        return code

    def _gone(self, name, pid):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return self.pid(name) != pid

    # --- the whole ---

    def running(self):
        names = [*self.worker_names(), "ingress", "keeper", "twins"]
        return all(self.pid(name) for name in names)

    def _roles(self):
        grants = {"acquit_farm": "acquit_worker, acquit_sim", "acquit_auditor": "acquit_reader", "acquit_operator": "acquit_reader",
                  "acquit_keeper": "acquit_reader, acquit_sealer"}
        statements = []
        for role, groups in grants.items():
            password = self.secret("pg-" + role)
            statements.append(f"do $$ begin if not exists (select from pg_roles where rolname = '{role}') then create role {role} login; end if; end $$;"
                              f" alter role {role} password '{password}'; grant {groups} to {role};")
        self.services.psql("\n".join(statements), database="acquit")

    def _prepare(self, say):
        os.makedirs(self.path("twins/keys"), mode=0o700, exist_ok=True)
        subprocess.run([self.program("acquit-twins"), "--make-keys", "--keys", self.path("twins/keys"), "--validators", str(VALIDATORS)],
                       check=True, stdout=subprocess.DEVNULL)
        self._write_config()
        say("schema and roles")
        self.acquit("migrate", environment={"ACQUIT_LEDGER_URL": self.services.pg_url})
        self._roles()
        say("queues and broker users")
        self.acquit("topology", "apply", environment={"ACQUIT_BROKER_URL": self.services.amqp_url})
        passwords = {"ACQUIT_BROKER_PASSWORD_" + user.upper().replace("-", "_"): self.secret("broker-" + user)
                     for user in (*BROKER_USERS, *self.publishers)}
        self.acquit("topology", "users", environment=passwords)

    def start(self, say=lambda what: None):
        """Starts what does not run yet, in order; a farm that runs whole is left as it is."""
        os.makedirs(self.directory, exist_ok=True)
        say("RabbitMQ and PostgreSQL")
        self.services.start()
        if not self.running():
            self._prepare(say)
            say("twins, workers, ingress, keeper")
            if not self.pid("twins"):
                self.start_twins()
            for name in self.worker_names():
                if not self.pid(name):
                    self.start_worker(name)
            if not self.pid("ingress"):
                self.start_ingress()
            if not self.pid("keeper"):
                self.start_keeper()
        self._write_env()

    def stop(self):
        """Ends all of it. FarmError when a program that this object started drained otherwise than with exit code 0 (a sanitizer's is another)."""
        ours = {}
        for name in ("ingress", "keeper", *self.worker_names()):
            pid = self.pid(name)
            if pid:
                if name in self.processes and self.processes[name].pid == pid:
                    ours[name] = self.processes.pop(name)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)  # all drain at once
        bad = {name: code for name, process in ours.items() if (code := self._exit_code(process)) != 0}
        if os.path.isdir(self.path("pids")):
            for name in [name for name in os.listdir(self.path("pids")) if name != "twins"] + ["twins"]:
                self.stop_program(name)
        self.services.stop()
        if bad:
            raise FarmError(f"did not drain and exit 0: {bad}; their logs are in {self.path('log')}")

    @staticmethod
    def _exit_code(process):
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return None  # still there

    def _write_env(self):
        publisher = next(iter(self.publishers))
        values = {"ACQUIT_URL": self.url, "ACQUIT_API_KEY": self.api_key(publisher), "ACQUIT_AMQP_URL": self.amqp_url(publisher),
                  "ACQUIT_AMQP_ADMIN_URL": self.services.amqp_url, "ACQUIT_PG": self.pg_url("acquit_auditor"),
                  "ACQUIT_PG_ADMIN": self.services.pg_url, "ACQUIT_TWINS_URL": self.twins_url, "ACQUIT_CONFIG": self.config}
        with open(os.open(self.path("env"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
            out.writelines(f"export {name}='{value}'\n" for name, value in values.items())
