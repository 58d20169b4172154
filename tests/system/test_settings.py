"""What the configuration says, as an operator sees it: the programs themselves, files and variables; and SIGHUP."""

import json
import os
import re
import signal
import subprocess

import pytest

import farm as farms

KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
STRIPE = 'providers = ( { name = "stripe"; kind = "stripe"; url = "https://x"; } );\n'
PARTS = {"DB_HOST": "db.example", "DB_NAME": "n", "DB_USER": "u"}


class Settings:
    """A configuration in a folder of its own, and an environment that is empty but for what a test says."""

    def __init__(self, folder, build):
        self.folder, self.build = folder, build
        (folder / "broker.url").write_text("amqp://u:hush@127.0.0.1:1/acquit\n")
        (folder / "ledger.url").write_text("postgresql://u:hush@127.0.0.1:1/acquit\n")

    def write(self, lines="", ledger='ledger: { url_file = "ledger.url"; };\n'):
        (self.folder / "acquit.conf").write_text('broker: { url_file = "broker.url"; };\n' + ledger + lines)

    def run(self, program, *words, **environment):
        return subprocess.run([os.path.join(self.build, program), *words, "--config", str(self.folder / "acquit.conf")], env=environment,
                              capture_output=True, text=True, timeout=30, check=False)

    def show(self, **environment):
        done = self.run("acquit", "config", "show", "--json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def settings(tmp_path):
    one = Settings(tmp_path, os.environ.get("ACQUIT_TEST_BUILD", os.path.join(farms.ROOT, "build")))
    one.write()
    return one


def manual(settings):
    return json.loads(settings.run("acquit", "config", "manual", "--json").stdout)


# --- the environment ---

# what requirements name, our own names for the same, and what each is
OVERRIDES = {
    "PORT": "4001", "PAYMENT_SERVICE_PORT": "4002", "ACQUIT_INGRESS_PORT": "4003", "METRICS_PORT": "4004", "ACQUIT_INGRESS_METRICS_PORT": "4005",
    "DATABASE_URL": "postgresql://a:hush@b/c", "LOG_LEVEL": "warn", "ACQUIT_LOG_LEVEL": "debug", "ENABLE_METRICS": "false",
    "ACQUIT_METRICS_ENABLED": "false", "ACQUIT_BROKER_URL": "amqp://a:hush@b/c", "ACQUIT_BROKER_MANAGEMENT_URL": "http://a:hush@b", "ACQUIT_LEDGER_URL": "dbname=hush",
    "ACQUIT_LEDGER_READ_URL": "dbname=hush", "ACQUIT_SIMULATED_URL": "dbname=hush", "ACQUIT_TOKENS_KEY": "hush", "ACQUIT_MAIL_URL": "smtp://mail",
    "ACQUIT_MAIL_PASSWORD": "hush", "ACQUIT_SEAL_KEY": "hush",
}
WITHOUT_EFFECT = ("REDIS_URL JWT_SECRET CORS_ORIGIN RATE_LIMIT_WINDOW_MS RATE_LIMIT_MAX_REQUESTS STRIPE_WEBHOOK_SECRET PAYPAL_CLIENT_ID "
                  "PAYPAL_CLIENT_SECRET PAYPAL_MODE CINETPAY_API_KEY CINETPAY_SECRET_KEY CINETPAY_SITE_ID CIH_API_KEY ATTIJARIWAFA_API_KEY "
                  "RESEND_API_KEY TWILIO_ACCOUNT_SID TWILIO_AUTH_TOKEN FRAUD_SERVICE_PORT NOTIFICATION_SERVICE_PORT ML_MODEL_PATH NODE_ENV "
                  "APP_ENV STROWALLET_PUBLIC_KEY STROWALLET_SECRET_KEY STROWALLET_BASE_URL STROWALLET_MODE STROWALLET_WEBHOOK_SECRET").split()


def test_no_variable_is_left_out_here(settings):
    told = manual(settings)
    assert {name for row in told["settings"] for name in row["environment"]} == set(OVERRIDES)
    assert {name for rows in told["lists"].values() for row in rows for name in row["environment"]} == {"STRIPE_SECRET_KEY"}
    with open(os.path.join(farms.ROOT, "docs", "operations.md"), encoding="utf-8") as text:
        operations = text.read()
    assert all(f"`{name}`" in operations for name in [*OVERRIDES, *PARTS, "DB_PORT", "DB_PASSWORD", "STRIPE_SECRET_KEY"])
    listed = settings.run("acquit", "config", "manual").stdout.partition("VARIABLES WITHOUT EFFECT\n")[2]
    assert {line.split()[0] for line in listed.splitlines()} == set(WITHOUT_EFFECT)


@pytest.mark.parametrize("name", OVERRIDES)
def test_each_variable_changes_what_holds(settings, name):
    settings.write('mail: { from = "a@b"; };\n')
    (setting,) = [row for row in manual(settings)["settings"] if name in row["environment"]]
    before, after = settings.show(), settings.show(**{name: OVERRIDES[name]})
    shown = after["settings"][setting["name"]]
    assert shown["from"] == "$" + name and shown != before["settings"][setting["name"]]
    wanted = "***" if setting["secret"] else OVERRIDES[name]
    assert str(shown["value"]).lower() == wanted and "hush" not in json.dumps(after)
    assert after["withoutEffect"] == []


def test_metrics_are_switched_off_as_a_whole(settings):
    settings.write("worker: { metrics_port = 9100; };\nkeeper: { metrics_port = 9300; };\n")
    after = settings.show(ENABLE_METRICS="false")["settings"]
    for group in ("worker", "ingress", "keeper"):
        assert (after[group + ".metrics_port"]["value"], after[group + ".metrics_port"]["from"]) == (0, "metrics.enabled")


@pytest.mark.parametrize("more", [{}, {"DB_PORT": "5433"}, {"DB_PASSWORD": "hush"}])
def test_the_database_in_parts(settings, more):
    settings.write(ledger="")
    assert settings.run("acquit", "config", "check").returncode == 78
    shown = settings.show(**PARTS, **more)
    assert shown["settings"]["ledger.url"] == {"value": "***", "unit": "", "from": "$DB_HOST, $DB_NAME ..."} and shown["withoutEffect"] == []
    settings.write()  # beside a ledger.url they are named as useless, each
    assert [row["variable"] for row in settings.show(**PARTS, **more)["withoutEffect"]] == sorted(PARTS | more, key="DB_HOST DB_PORT DB_NAME DB_USER DB_PASSWORD".index)


def test_stripes_key(settings):
    (settings.folder / "key").write_text("hush")
    for lines in (STRIPE, STRIPE.replace("; }", '; secret_file = "key"; }')):
        settings.write(lines)
        before, after = settings.show()["providers"][0], settings.show(STRIPE_SECRET_KEY="hush")["providers"][0]
        assert before != after and (after["secret"], after["secretFrom"]) == ("***", "$STRIPE_SECRET_KEY")
    settings.write()
    (idle,) = settings.show(STRIPE_SECRET_KEY="hush")["withoutEffect"]
    assert idle == {"variable": "STRIPE_SECRET_KEY", "why": "no provider of kind stripe is configured"}


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_a_variable_without_effect_is_named(settings, name):
    for command in ("check", "show"):
        done = settings.run("acquit", "config", command, **{name: "hush"})
        assert done.returncode == 0 and re.search(rf"^{name} is set and has no effect: \w.{{10,}}$", done.stdout, re.M), done.stdout
        assert "hush" not in done.stdout
    (idle,) = settings.show(**{name: "hush"})["withoutEffect"]
    assert idle["variable"] == name


DAEMONS = [("acquit-worker", ("notify",)), ("acquit-ingress", ()), ("acquit-keeper", ())]


@pytest.mark.parametrize("program, words", DAEMONS)
def test_programs_say_it_once(settings, program, words):
    """Broker and database are away: a program ends by itself after that line, or when it is told to."""
    command = [os.path.join(settings.build, program), *words, "--config", str(settings.folder / "acquit.conf")]
    environment = {"REDIS_URL": "hush", "PORT": str(farms.Farm._free_port(0))}
    with subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE) as process:
        said = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=30)[1]
    assert said.count("REDIS_URL is set and has no effect: ") == 1 and " info " in said.splitlines()[0] and "hush" not in said, said


# --- what is wrong, and where ---

@pytest.mark.parametrize("lines, says", [
    ("\nworker: { bach = 3; };", r"acquit\.conf:4: unknown setting worker\.bach; did you mean worker\.batch\?"),
    ("worker: { batch = 999; };", r"acquit\.conf:3: worker\.batch is 999, it must be from 1 to 256 deliveries"),
    ("tokens: { key = \"hush\"; };", r"acquit\.conf:3: the secret tokens\.key must not stand in the configuration"),
    ('retry_types = (\n { type = "pop.validat"; } );', r'acquit\.conf:4: there is no command type "pop\.validat"; did you mean pop\.validate\?'),
    ('retry_types = ( { type = "pop.validate"; attemps = 3; } );', r"acquit\.conf:3: unknown setting attemps; did you mean attempts\?"),
    ('providers = ( { name = "a"; kind = "strip"; } );', r'acquit\.conf:3: kind is "strip", it must be one of simulated, stripe'),
    (f'validators = ( {{ name = "a"; url = "http://v"; public_key = "{KEY}"; }} );', r"acquit\.conf:3: validators has 1 element"),
])
@pytest.mark.parametrize("program, words", [("acquit", ("config", "check")), *DAEMONS])
def test_every_program_refuses_it_with_its_line(settings, program, words, lines, says):
    settings.write(lines)
    done = settings.run(program, *words)
    assert done.returncode == 78 and re.search(says, done.stderr) and "hush" not in done.stderr, done.stderr


@pytest.mark.parametrize("url, says", [("amqp://u:hush@h:99999/x", "the port must be 1 to 65535"), ("amqp://u:hush%zz@h/x", "bad percent-encoding in the password")])
@pytest.mark.parametrize("program, words", [("acquit", ("config", "check")), *DAEMONS])
def test_a_broker_url_that_nobody_can_use(settings, program, words, url, says):
    for environment, place in (({"ACQUIT_BROKER_URL": url}, "environment: ACQUIT_BROKER_URL: "), ({}, "acquit.conf:1: broker.url: ")):
        (settings.folder / "broker.url").write_text(url)
        done = settings.run(program, *words, **environment)
        assert done.returncode == 78 and place in done.stderr and says in done.stderr and "hush" not in done.stderr, done.stderr


@pytest.mark.parametrize("program, words", [("acquit", ("config", "check")), *DAEMONS])
def test_every_program_names_the_variable_that_is_wrong(settings, program, words):
    done = settings.run(program, *words, PORT="hush")
    assert done.returncode == 78 and "environment: PORT must be a whole number" in done.stderr and "hush" not in done.stderr, done.stderr


def test_lists_are_shown_and_keep_their_secrets(settings):
    (settings.folder / "key").write_text("hush")
    settings.write(STRIPE.replace("; }", '; secret_file = "key"; }') + 'retry_types = ( { type = "pop.validate"; attempts = 8; } );\n'
                   'publishers = ( { name = "shop"; gateways = [ "stripe" ]; webhook_url = "https://x"; webhook_secret_file = "key"; } );\n')
    shown, text = settings.show(), settings.run("acquit", "config", "show").stdout
    assert shown["retry_types"] == [{"type": "pop.validate", "attempts": 8, "base_ms": 200, "cap_ms": 60000}]
    assert shown["publishers"][0]["webhook_secret"] == shown["providers"][0]["secret"] == "***" and shown["publishers"][0]["gateways"] == ["stripe"]
    assert re.search(r"^retry_types 1 +attempts +8$", text, re.M) and re.search(r"^broker\.url +\*\*\* +file of line 1 ", text, re.M)
    assert "hush" not in text + json.dumps(shown)


# --- SIGHUP ---

def reload_with(world, name, text):
    """Writes the configuration, and waits until this worker has read it."""
    with open(world.farm.config, "w", encoding="ascii") as out:
        out.write(text)
    log = world.farm.path("log", name + ".log")
    size = os.path.getsize(log)

    def read_again():
        with open(log, encoding="utf-8", errors="replace") as said:
            said.seek(size)
            return "settings read again" in said.read()
    os.kill(world.farm.pid(name), signal.SIGHUP)
    farms.wait_for(read_again, 10, f"{name} to read its settings")


def test_sighup_changes_how_often_a_type_is_tried(world):
    """pop.validate dies after as many attempts as its type has by now, without a restart."""
    with open(world.farm.config, encoding="ascii") as config:
        before = config.read()
    try:
        for attempts in (1, 5):
            reload_with(world, "pop-validate-1", before +
                        f'retry_types = ( {{ type = "pop.validate"; attempts = {attempts}; base_ms = 1; cap_ms = 1; }} );\n')
            key = world.key()
            payment = world.expect(key, "tickets")
            world.fault(payment, "validator.validate", "answer_500_before", times=-1)
            world.pay(world.dual(), "tickets", key)
            world.wait_state(payment, "failed")
            letter = world.wait_dead_letter(payment)
            assert (letter["type"], letter["reason"], letter["attempts"]) == ("pop.validate", "exhausted", attempts), letter
    finally:
        reload_with(world, "pop-validate-1", before)
