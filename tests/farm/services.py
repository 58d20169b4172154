#!/usr/bin/python3
"""services.py - a private RabbitMQ 3.10 and PostgreSQL 15 on loopback, with all their data under one directory

    services.py start DIR | stop DIR | status DIR [--json] | restart DIR

or, from Python:

    services = Services("var/test")
    services.start()            # both at once; finds those that run already
    ... services.amqp_url, services.pg_url, services.kill_broker() ...
    services.stop()

DIR/ports.json and DIR/secrets.json (mode 0600) are made once and kept, so clients find both again after a restart.
The daemons have a session of their own and outlive the caller; only stop() ends them. Everything is ended by process
id, checked against the process's start time, so that a reused id is never hit.

Start, stop and restart raise ServicesError with the end of the log concerned. They are serialised by DIR/lock between
processes; one Services object belongs to one thread.
"""

import argparse
import concurrent.futures
import contextlib
import base64
import fcntl
import json
import os
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

RABBITMQ_BIN = "/usr/lib/rabbitmq/bin"          # Debian's wrappers in /usr/sbin change the user: not those
POSTGRES_BIN = "/usr/lib/postgresql/15/bin"
POSTGRES_NAMESPACE = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
LOOPBACK = "127.0.0.1"
NODE = "acquit@localhost"

START_SECONDS = 60
STOP_SECONDS = 30
KILL_SECONDS = 10
LOCK_SECONDS = 2 * (START_SECONDS + STOP_SECONDS)
POLL_SECONDS = 0.05
HTTP_SECONDS = 10
LOG_TAIL_LINES = 25
LOG_BYTES = 8 << 20                             # a longer one is set aside at the next start

PORT_NAMES = ("amqp", "mgmt", "dist", "epmd", "pg")

RABBITMQ_CONF = """\
# written by services.py at every start
listeners.tcp.local = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {mgmt}
default_vhost = {vhost}
default_user = {user}
default_pass = {password}
default_user_tags.administrator = true
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
max_message_size = 1048576
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
collect_statistics_interval = 1000
log.console = false
log.file.level = warning
"""

# at-least-once dead-lettering: how long an unconfirmed dead letter waits for its next try, and how many are under way; how often (ms) a
# quorum queue tells its depth
RABBITMQ_ADVANCED = """\
[{rabbit, [{quorum_tick_interval, 1000},
           {dead_letter_worker_publisher_confirm_timeout, 10000},
           {dead_letter_worker_consumer_prefetch, 256}]}].
"""

# Without this a graceful stop stands still for 5 s: while the application controller ends the broker, the statistics
# handler's last act is a call to the application controller.
RABBITMQ_BEFORE_STOP = "gen_event:delete_handler(rabbit_event, rabbit_mgmt_db_handler, [])."
RABBITMQ_BEFORE_STOP_SECONDS = 10

POSTGRES_CONF = """\
# written by services.py at every start
listen_addresses = '127.0.0.1'
port = {pg}
unix_socket_directories = ''
max_connections = 200
shared_buffers = 128MB
fsync = on
synchronous_commit = on
full_page_writes = on
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
"""

# every finished WAL file into a folder beside the data, for backups
POSTGRES_ARCHIVE = """\
archive_mode = on
archive_command = 'test ! -f {folder}/%f && cp %p {folder}/%f.new && mv {folder}/%f.new {folder}/%f'
"""
POSTGRES_RECOVERY = """\
restore_command = 'cp {folder}/%f %p'
recovery_target_name = '{point}'
recovery_target_action = 'promote'
"""

POSTGRES_HBA = "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"


class ServicesError(Exception):
    """A service did not start, stop or answer; the text says which and shows the end of its log."""


# -- processes, by id and start time ------------------------------------------------------------------------------------

def start_time(pid):
    """The start time of a living process in clock ticks since boot, None if there is none or only its corpse."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return None
    return int(fields[19])


def descendants(pid):
    """Children, their children and so on, as {pid: start time}."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
                    fields = f.read().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), {})[int(name)] = int(fields[19])
    found, todo = {}, [pid]
    while todo:
        below = children.get(todo.pop(), {})
        found.update(below)
        todo.extend(below)
    return found


def send_signal(pid, started, number):
    if start_time(pid) == started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


class Daemon:
    """One daemon process with its pid file (two numbers: id and start time) and its log."""

    def __init__(self, name, pid_file, log):
        self.name, self.pid_file, self.log = name, pid_file, log

    def identity(self):
        """(pid, start time) while it runs, else None."""
        try:
            with open(self.pid_file, encoding="ascii") as f:
                pid, started = map(int, f.read().split())
        except (FileNotFoundError, ValueError):
            return None
        return (pid, started) if start_time(pid) == started else None

    def spawn(self, command, environment, directory):
        with contextlib.suppress(FileNotFoundError):
            if os.path.getsize(self.log) > LOG_BYTES:
                os.replace(self.log, self.log + ".1")
        with open(self.log, "ab") as log:
            process = subprocess.Popen(command, env=environment, cwd=directory, stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, start_new_session=True)
        process.returncode = 0      # not ours to wait for: it outlives us, or start_time() reaps it
        with open(self.pid_file, "w", encoding="ascii") as f:
            f.write(f"{process.pid} {start_time(process.pid) or 0}\n")

    def end(self, number, seconds):
        """Sends the signal, waits, then kills what is left, helpers included. Nothing to do if it does not run."""
        identity = self.identity()
        if identity:
            family = dict([identity]) | descendants(identity[0])
            gone = lambda: all(start_time(pid) != started for pid, started in family.items())
            send_signal(*identity, number)
            send_signal(*identity, signal.SIGCONT)      # a test may have stopped it
            if not wait_until(gone, seconds):
                family |= descendants(identity[0])
                for pid, started in family.items():
                    send_signal(pid, started, signal.SIGKILL)
                if not wait_until(gone, KILL_SECONDS):
                    raise ServicesError(f"{self.name} (process {identity[0]}) survived SIGKILL")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.pid_file)

    def failure(self, what, *more_logs):
        text = f"{self.name} {what}"
        for log in (self.log, *more_logs):
            text += f"\n--- end of {log}\n{log_tail(log)}"
        return ServicesError(text)

    def wait_ready(self, ready, seconds, *more_logs):
        def settled():
            return ready() or not self.identity()
        if not wait_until(settled, seconds):
            raise self.failure(f"was not ready within {seconds} s", *more_logs)
        if not self.identity():
            raise self.failure("ended while starting", *more_logs)


def log_tail(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-LOG_TAIL_LINES:]) or "(empty)\n"
    except FileNotFoundError:
        return "(there is none)\n"


# -- ports --------------------------------------------------------------------------------------------------------------

def listening(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((LOOPBACK, port)) == 0


def free_ports(count):
    """Below the kernel's range for outgoing connections, which could otherwise take a port while its owner restarts."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        top = int(f.read().split()[0])
    candidates = range(10240, top) if top > 12000 else range(20000, 32000)
    found = []
    with contextlib.ExitStack() as held:
        for port in random.SystemRandom().sample(candidates, len(candidates)):
            s = held.enter_context(socket.socket())
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                s.bind((LOOPBACK, port))
                found.append(port)
            if len(found) == count:
                return found
    raise ServicesError(f"no {count} free ports on {LOOPBACK}")


def write_private(path, text, mode=0o600):
    """Whole or not at all: a reader never sees half a file."""
    with open(path + ".new", "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, mode)) as f:
        f.write(text)
    os.chmod(path + ".new", mode)
    os.replace(path + ".new", path)


class Services:
    """The broker and the database under one directory.

    amqp_port, mgmt_port, pg_port; amqp_user, amqp_password, amqp_vhost (an administrator);
    pg_user, pg_password, pg_database (a superuser); amqp_url, mgmt_url, pg_url;
    broker_pid, postgres_pid (None when it does not run). archive: set before start(), WAL is archived. data: the name of the
    database's data directory; backups and new clusters stand beside it.
    """

    amqp_user = pg_user = "acquit_admin"
    amqp_vhost = pg_database = "acquit"

    def __init__(self, directory):
        self.dir = os.path.abspath(directory)
        self._rabbit_dir = os.path.join(self.dir, "rabbitmq")
        self._pg_dir = os.path.join(self.dir, "postgres")
        self.broker_log = os.path.join(self._rabbit_dir, "log", "broker.log")
        self.postgres_log = os.path.join(self._pg_dir, "log", "postgres.log")
        self._epmd = Daemon("epmd", os.path.join(self.dir, "epmd.pid"), os.path.join(self._rabbit_dir, "log", "epmd.log"))
        self._broker = Daemon("RabbitMQ", os.path.join(self.dir, "rabbitmq.pid"),
                              os.path.join(self._rabbit_dir, "log", "start.log"))
        self._postgres = Daemon("PostgreSQL", os.path.join(self.dir, "postgres.pid"), self.postgres_log)
        self._ports = self._read_json("ports.json")
        self._secrets = self._read_json("secrets.json")
        self._lock_depth = 0
        self.archive = False
        self.data = "data"

    # what clients need

    amqp_port = property(lambda self: self._ports["amqp"])
    mgmt_port = property(lambda self: self._ports["mgmt"])
    pg_port = property(lambda self: self._ports["pg"])
    amqp_password = property(lambda self: self._secrets["amqp"])
    pg_password = property(lambda self: self._secrets["pg"])

    @property
    def amqp_url(self):
        return f"amqp://{self.amqp_user}:{self.amqp_password}@{LOOPBACK}:{self.amqp_port}/{self.amqp_vhost}"

    @property
    def mgmt_url(self):
        return f"http://{LOOPBACK}:{self.mgmt_port}"

    @property
    def pg_url(self):
        return f"postgresql://{self.pg_user}:{self.pg_password}@{LOOPBACK}:{self.pg_port}/{self.pg_database}"

    @property
    def broker_pid(self):
        identity = self._broker.identity()
        return identity and identity[0]

    @property
    def postgres_pid(self):
        identity = self._postgres.identity()
        return identity and identity[0]

    # both

    def start(self):
        """Starts what does not run and returns once both answer. After a failure neither runs."""
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        with self._locked():
            self._settle_ports()
            try:
                with concurrent.futures.ThreadPoolExecutor() as pool:
                    for started in [pool.submit(self._start_broker), pool.submit(self._start_postgres)]:
                        started.result()
            except BaseException:
                self._stop()
                raise

    def stop(self):
        """Ends both and everything they started; raises if one of their ports still listens. The data stay."""
        if os.path.isdir(self.dir):
            with self._locked():
                self._stop()

    def status(self):
        """{"broker": {"running", "pid", "ports"}, "postgres": {...}}; running means it answers."""
        return {
            "broker": {"running": bool(self._broker.identity()) and self._broker_ready(), "pid": self.broker_pid,
                       "amqp_port": self._ports.get("amqp"), "mgmt_port": self._ports.get("mgmt"), "log": self.broker_log},
            "postgres": {"running": bool(self._postgres.identity()) and self._postgres_ready(), "pid": self.postgres_pid,
                         "port": self._ports.get("pg"), "log": self.postgres_log},
        }

    # one at a time, for tests of what happens then

    def start_broker(self):
        with self._locked():
            self._start_broker()

    def stop_broker(self):
        with self._locked():
            self._end_broker()

    def kill_broker(self):
        """SIGKILL, no goodbye; start_broker() or start() brings it back on the same ports and data."""
        with self._locked():
            self._broker.end(signal.SIGKILL, KILL_SECONDS)

    def restart_broker(self):
        with self._locked():
            self._end_broker()
            self._start_broker()

    def start_postgres(self):
        with self._locked():
            self._start_postgres()

    def stop_postgres(self, immediate=False):
        """Fast shutdown: open transactions are rolled back, clients disconnected. Immediate: no checkpoint, the next start recovers."""
        with self._locked():
            self._postgres.end(signal.SIGQUIT if immediate else signal.SIGINT, STOP_SECONDS)

    def kill_postgres(self):
        """As if the power went: SIGKILL to the postmaster and all its backends."""
        with self._locked():
            identity = self._postgres.identity()
            if identity:
                for pid, started in [identity, *descendants(identity[0]).items()]:
                    send_signal(pid, started, signal.SIGKILL)
            self._postgres.end(signal.SIGKILL, KILL_SECONDS)

    def restart_postgres(self):
        with self._locked():
            self._postgres.end(signal.SIGINT, STOP_SECONDS)
            self._start_postgres()

    # backups; each takes the place of what ran on the same port, and lets it stand aside

    def backup_postgres(self, data):
        """A base backup of the database as it runs, into this data directory."""
        prefix, owner = self._postgres_user()
        self._make_data(owner, data)
        self._run_postgres([*prefix, os.path.join(POSTGRES_BIN, "pg_basebackup"), "-h", LOOPBACK, "-p", str(self.pg_port), "-U", self.pg_user,
                            "-c", "fast", "--no-sync", "-D", os.path.join(self._pg_dir, data)])

    def recover_postgres(self, data, point):
        """From now on this base backup runs, with what was archived since up to a named restore point."""
        with self._locked():
            self._postgres.end(signal.SIGINT, STOP_SECONDS)
            _, owner = self._postgres_user()
            self.data = data
            folder = os.path.join(self._pg_dir, "archive")
            self._write_postgres(owner, self._data_path("postgresql.auto.conf"), POSTGRES_RECOVERY.format(folder=folder, point=point))
            self._write_postgres(owner, self._data_path("recovery.signal"), "")
            self._start_postgres()     # ready for reading, perhaps in the midst of its recovery

            def recovered():
                return self.psql("select pg_is_in_recovery()") == "f\n"
            if not wait_until(recovered, START_SECONDS):
                raise self._postgres.failure("did not end its recovery")

    def new_postgres(self, data):
        """From now on a new cluster runs, with an empty database."""
        with self._locked():
            self._postgres.end(signal.SIGINT, STOP_SECONDS)
            self.data = data
            self._start_postgres()

    @contextlib.contextmanager
    def frozen(self, *names):
        """"broker", "postgres" or both stand still (SIGSTOP, with all their processes) for the length of a with."""
        daemons = [{"broker": self._broker, "postgres": self._postgres}[name].identity() for name in names]
        family = [one for daemon in daemons for one in [daemon, *descendants(daemon[0]).items()]]
        try:
            for pid, started in family:
                send_signal(pid, started, signal.SIGSTOP)
            yield
        finally:
            for pid, started in family:
                send_signal(pid, started, signal.SIGCONT)

    # talking to them as administrator

    def mgmt(self, method, path, body=None):
        """One call to the broker's management API, path from /api on; the decoded answer, None if it is empty."""
        request = urllib.request.Request(self.mgmt_url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode())
        token = base64.b64encode(f"{self.amqp_user}:{self.amqp_password}".encode()).decode()
        request.add_header("Authorization", "Basic " + token)
        request.add_header("Content-Type", "application/json")
        # no proxy that the environment may name: this is loopback
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=HTTP_SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def rabbitmqctl(self, *arguments, tool="rabbitmqctl", seconds=START_SECONDS):
        """Runs rabbitmqctl (or another of the broker's tools) on this broker; its output. Takes a second or two."""
        done = subprocess.run([os.path.join(RABBITMQ_BIN, tool), *arguments], env=self._rabbit_environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode != 0:
            raise ServicesError(f"{tool} {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def psql(self, sql, database=None):
        """Runs SQL as the superuser; unaligned rows without headings."""
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", LOOPBACK, "-p", str(self.pg_port),
                               "-U", self.pg_user, "-d", database or self.pg_database],
                              env=dict(os.environ, PGPASSWORD=self.pg_password, PGCONNECT_TIMEOUT="5"), input=sql,
                              capture_output=True, text=True, timeout=START_SECONDS, check=False)
        if done.returncode != 0:
            raise ServicesError(f"psql: {done.stderr.strip()}")
        return done.stdout

    # -- within the lock ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self):
        """The directory's lock; the same object may nest it."""
        if self._lock_depth == 0:
            self._lock = open(os.path.join(self.dir, "lock"), "w", encoding="ascii")

            def taken():
                try:
                    fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                return True
            if not wait_until(taken, LOCK_SECONDS):
                self._lock.close()
                raise ServicesError(f"{self.dir}: another start or stop holds the lock for {LOCK_SECONDS} s")
            # another process may have made them since
            self._ports = self._read_json("ports.json")
            self._secrets = self._read_json("secrets.json")
        self._lock_depth += 1
        try:
            yield
        finally:
            self._lock_depth -= 1
            if self._lock_depth == 0:
                self._lock.close()

    def _read_json(self, name):
        try:
            with open(os.path.join(self.dir, name), encoding="utf-8") as f:
                return json.load(f)
        except FileNotFoundError:
            return {}

    def _settle_ports(self):
        """Keeps the remembered ports, unless they are incomplete or a stranger listens on one while ours is down."""
        if not self._secrets:
            self._secrets = {name: secrets.token_hex(16) for name in ("amqp", "pg", "cookie")}
            write_private(os.path.join(self.dir, "secrets.json"), json.dumps(self._secrets, indent=1) + "\n")
        owners = {"amqp": self._broker, "mgmt": self._broker, "dist": self._broker, "epmd": self._epmd, "pg": self._postgres}
        if set(self._ports) != set(PORT_NAMES):
            taken = list(PORT_NAMES)
        else:
            taken = [name for name in PORT_NAMES if not owners[name].identity() and listening(self._ports[name])]
        if taken:
            self._ports = self._ports | dict(zip(taken, free_ports(len(taken))))
            write_private(os.path.join(self.dir, "ports.json"), json.dumps(self._ports, indent=1) + "\n", mode=0o644)

    def _stop(self):
        ran = any(daemon.identity() for daemon in (self._broker, self._postgres, self._epmd))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            ended = [pool.submit(self._end_broker),
                     pool.submit(self._postgres.end, signal.SIGINT, STOP_SECONDS)]
        self._epmd.end(signal.SIGTERM, KILL_SECONDS)
        for one in ended:
            one.result()
        left = [f"{name} {port}" for name, port in self._ports.items() if listening(port)]
        if left and ran:        # otherwise a stranger has found a free port
            raise ServicesError(f"{self.dir}: stopped, but something still listens on port {', '.join(left)}")

    # -- RabbitMQ -------------------------------------------------------------------------------------------------------

    def _rabbit_environment(self):
        own = {
            "HOME": self._rabbit_dir,                       # for .erlang.cookie
            "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "ERL_EPMD_ADDRESS": LOOPBACK, "ERL_EPMD_PORT": str(self._ports["epmd"]),
            "ERL_CRASH_DUMP": os.path.join(self._rabbit_dir, "log", "erl_crash.dump"),
            "RABBITMQ_NODENAME": NODE, "RABBITMQ_USE_LONGNAME": "false",
            "RABBITMQ_DIST_PORT": str(self._ports["dist"]),
            "RABBITMQ_CONF_ENV_FILE": os.path.join(self._rabbit_dir, "etc", "none"),    # not the machine's
            "RABBITMQ_CONFIG_FILE": os.path.join(self._rabbit_dir, "etc", "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": os.path.join(self._rabbit_dir, "etc", "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": os.path.join(self._rabbit_dir, "etc", "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": os.path.join(self._rabbit_dir, "etc", "generated"),
            "RABBITMQ_MNESIA_BASE": os.path.join(self._rabbit_dir, "data"),
            "RABBITMQ_LOG_BASE": os.path.join(self._rabbit_dir, "log"),
            "RABBITMQ_LOGS": self.broker_log,
            "RABBITMQ_PID_FILE": os.path.join(self._rabbit_dir, "data", "broker.pid"),
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",            # several programs share these cores: bind to none
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
            "RUNNING_UNDER_SYSTEMD": "true",                # the script becomes the broker instead of watching over it
        }
        return own | {name: os.environ[name] for name in ("TMPDIR", "TZ") if name in os.environ}

    def _start_broker(self):
        environment = self._rabbit_environment()
        for name in ("etc", "data", "log"):
            os.makedirs(os.path.join(self._rabbit_dir, name), mode=0o700, exist_ok=True)
        if not self._epmd.identity():
            self._epmd.spawn(["/usr/bin/epmd", "-address", LOOPBACK, "-port", str(self._ports["epmd"])],
                             environment, self._rabbit_dir)
        self._epmd.wait_ready(lambda: listening(self._ports["epmd"]), START_SECONDS)
        if not self._broker.identity():
            etc = os.path.join(self._rabbit_dir, "etc")
            write_private(os.path.join(self._rabbit_dir, ".erlang.cookie"), self._secrets["cookie"], mode=0o400)
            write_private(os.path.join(etc, "rabbitmq.conf"),
                          RABBITMQ_CONF.format(amqp=self.amqp_port, mgmt=self.mgmt_port, vhost=self.amqp_vhost,
                                               user=self.amqp_user, password=self.amqp_password))
            write_private(os.path.join(etc, "advanced.config"), RABBITMQ_ADVANCED)
            write_private(os.path.join(etc, "enabled_plugins"), "[rabbitmq_management].\n")
            self._broker.spawn([os.path.join(RABBITMQ_BIN, "rabbitmq-server")], environment, self._rabbit_dir)
        self._broker.wait_ready(self._broker_ready, START_SECONDS, self.broker_log)

    def _broker_ready(self):
        """The management API answers, knows our administrator, and says that AMQP clients are listened to."""
        try:
            self.mgmt("GET", f"/api/health/checks/port-listener/{self.amqp_port}")
        except (OSError, ValueError, KeyError):     # urllib's errors are OSErrors; without ports: KeyError
            return False
        return True

    def _end_broker(self):
        if self._broker.identity():
            with contextlib.suppress(ServicesError, subprocess.TimeoutExpired):
                self.rabbitmqctl("eval", RABBITMQ_BEFORE_STOP, seconds=RABBITMQ_BEFORE_STOP_SECONDS)
        self._broker.end(signal.SIGTERM, STOP_SECONDS)

    # -- PostgreSQL -----------------------------------------------------------------------------------------------------

    def _postgres_user(self):
        """The command prefix under which PostgreSQL runs, and the owner of its files.

        It refuses root. Best is a user namespace in which we are not root: the files stay ours. It is no way into a
        directory that another user has closed (sudo in somebody's home), nor does every container allow it: then the
        user whose directory it is must do, or the user postgres. Files that exist already stay with their owner.
        """
        if os.getuid() != 0:
            return [], None
        data = os.path.join(self._pg_dir, "data")
        owner = os.stat(data).st_uid if os.path.exists(data) else None
        if owner in (None, 0) and self._may_enter(POSTGRES_NAMESPACE):
            return POSTGRES_NAMESPACE, None
        for path in (self.dir, self._pg_dir):       # may be passed through; what matters below has a closed door of its own
            os.chmod(path, os.stat(path).st_mode | 0o011)
        for user in self._other_users():
            prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            if owner in (None, user.pw_uid) and self._may_enter(prefix):
                return prefix, user
        raise ServicesError(f"PostgreSQL refuses to run as root, and nobody else may enter {self._pg_dir}: "
                            f"open the way (chmod a+x), or do this as another user")

    def _other_users(self):
        """Owners of the directories above, the nearest first, and postgres."""
        path = self._pg_dir
        while path != "/":
            path = os.path.dirname(path)
            with contextlib.suppress(KeyError):
                user = pwd.getpwuid(os.stat(path).st_uid)
                if user.pw_uid != 0:
                    yield user
        with contextlib.suppress(KeyError):
            yield pwd.getpwnam("postgres")

    def _may_enter(self, prefix):
        return subprocess.run([*prefix, "test", "-x", self._pg_dir], check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def _start_postgres(self):
        for name in ("", "log"):
            os.makedirs(os.path.join(self._pg_dir, name), mode=0o700, exist_ok=True)
        if not self._postgres.identity():
            prefix, owner = self._postgres_user()
            data = self._data_path()
            if not os.path.exists(os.path.join(data, "acquit.ready")):
                self._init_postgres(prefix, owner, data)
            # left behind by a kill; ours does not run, so its number may by now be somebody else's
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(data, "postmaster.pid"))
            self._write_postgres(owner, os.path.join(data, "acquit.conf"), POSTGRES_CONF.format(pg=self.pg_port) + self._archive_conf(owner))
            self._write_postgres(owner, os.path.join(data, "pg_hba.conf"), POSTGRES_HBA)
            self._postgres.spawn([*prefix, os.path.join(POSTGRES_BIN, "postgres"), "-D", data],
                                 self._postgres_environment(), self._pg_dir)
        self._postgres.wait_ready(self._postgres_ready, START_SECONDS)

    def _data_path(self, *names):
        return os.path.join(self._pg_dir, self.data, *names)

    def _make_data(self, owner, name):
        os.mkdir(os.path.join(self._pg_dir, name), mode=0o700)
        if owner:
            os.chown(os.path.join(self._pg_dir, name), owner.pw_uid, owner.pw_gid)

    def _archive_conf(self, owner):
        if not self.archive:
            return ""
        if not os.path.exists(os.path.join(self._pg_dir, "archive")):
            self._make_data(owner, "archive")
        return POSTGRES_ARCHIVE.format(folder=os.path.join(self._pg_dir, "archive"))

    def _postgres_environment(self):
        """Without PGPORT, PGDATA and the like of the caller."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        return kept | {"LC_ALL": "C.UTF-8", "PATH": POSTGRES_BIN + ":/usr/bin:/bin", "PGPASSWORD": self.pg_password}

    @staticmethod
    def _write_postgres(owner, path, text):
        write_private(path, text)
        if owner:
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _init_postgres(self, prefix, owner, data):
        """A new cluster with the superuser and the database; one that an interruption left half made is thrown away."""
        shutil.rmtree(data, ignore_errors=True)
        os.mkdir(data, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=self._pg_dir) as password:
            password.write(self.pg_password + "\n")
            password.flush()
            if owner:
                os.chown(data, owner.pw_uid, owner.pw_gid)
                os.chown(password.name, owner.pw_uid, owner.pw_gid)
            self._run_postgres([*prefix, os.path.join(POSTGRES_BIN, "initdb"), "-D", data, "-U", self.pg_user, "-E", "UTF8",
                                "--locale=C.UTF-8", "--auth=scram-sha-256", "--data-checksums", "--no-sync",
                                "--pwfile", password.name])
        self._run_postgres([*prefix, os.path.join(POSTGRES_BIN, "postgres"), "--single", "-D", data, "postgres"],
                           stdin=f"CREATE DATABASE {self.pg_database}\n")
        with open(os.path.join(data, "postgresql.conf"), "a", encoding="ascii") as f:
            f.write("include 'acquit.conf'\n")
        # it was made without waiting for the disk: once, at the end, is enough
        self._run_postgres([*prefix, os.path.join(POSTGRES_BIN, "initdb"), "--sync-only", "-D", data])
        self._write_postgres(owner, os.path.join(data, "acquit.ready"), "")

    def _run_postgres(self, command, stdin=""):
        with open(self.postgres_log, "ab") as log:
            done = subprocess.run(command, input=stdin.encode(), env=self._postgres_environment(), cwd=self._pg_dir,
                                  stdout=log, stderr=log, timeout=START_SECONDS, check=False)
        if done.returncode != 0:
            raise self._postgres.failure(f"could not be set up: {os.path.basename(command[-1])}: exit code {done.returncode}")

    def _postgres_ready(self):
        """The postmaster itself says so in its pid file, and it listens."""
        try:
            with open(self._data_path("postmaster.pid"), encoding="ascii") as f:
                lines = f.read().split("\n")
        except FileNotFoundError:
            return False
        return len(lines) > 7 and re.match("ready", lines[7]) is not None and listening(self.pg_port)


def main():
    parser = argparse.ArgumentParser(description="a private RabbitMQ and PostgreSQL on loopback")
    parser.add_argument("command", choices=["start", "stop", "status", "restart"])
    parser.add_argument("directory")
    parser.add_argument("--json", action="store_true", help="status as JSON")
    arguments = parser.parse_args()
    services = Services(arguments.directory)
    try:
        if arguments.command in ("stop", "restart"):
            services.stop()
        if arguments.command in ("start", "restart"):
            services.start()
    except ServicesError as error:
        sys.exit(f"services: {error}")
    if arguments.command == "stop":
        return
    status = services.status()
    if arguments.json:
        print(json.dumps(status))
    else:
        for name, one in status.items():
            ports = " ".join(f"{key} {value}" for key, value in one.items() if key.endswith("port"))
            print(f"{name:9} {'running, process ' + str(one['pid']) + ', ' + ports if one['running'] else 'not running'}")
    if arguments.command == "status" and not all(one["running"] for one in status.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
