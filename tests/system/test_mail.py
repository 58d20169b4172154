"""test_mail.py - customers hear of their payments by e-mail: what is sent, when it is sent again, and where the address must not stand

The mail server is a sink in this file: it keeps what it takes and answers as it was told to.
"""

import contextlib
import email
import email.policy
import email.utils
import json
import os
import re
import socketserver
import ssl
import subprocess
import threading
import urllib.parse

import pytest

import farm as farms

CUSTOMER = "ada.lovelace@customers.example"
WORKERS = ("authorize-1", "notify-1")


class Session(socketserver.StreamRequestHandler):
    """One SMTP dialogue."""

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def start_tls(self):
        self.say("220 go ahead")
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", buffering=0)

    def text(self):
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def handle(self):
        with contextlib.suppress(OSError, ssl.SSLError):
            self.talk()

    def talk(self):
        sink, sender, recipient = self.server, None, None
        self.say("220 sink")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.say("250-sink\r\n250 STARTTLS" if not isinstance(self.request, ssl.SSLSocket) else "250 sink")
            elif verb == b"STAR":
                self.start_tls()
            elif verb == b"MAIL":
                sender = line[10:].strip().decode()
                self.say("250 ok")
            elif verb == b"RCPT":
                recipient = line[8:].strip().decode()
                answer = sink.next_answer()
                if answer in ("451", "550"):
                    self.say(f"{answer} 5.1.1 {recipient}: no, says the server of {recipient}")
                    continue
                sink.then = answer
                self.say("250 ok")
            elif verb == b"DATA":
                self.say("354 go on")
                raw = self.text()
                with sink.lock:
                    sink.mails.append({"sender": sender, "recipient": recipient, "raw": raw, "tls": isinstance(self.request, ssl.SSLSocket)})
                if sink.then == "drop":
                    return
                self.say("250 2.0.0 queued")
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("502 what")


class Sink(socketserver.ThreadingTCPServer):
    """Takes every mail, but for the answers it was told to give first: "451", "550" to RCPT, "drop" after the text."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, directory):
        super().__init__(("127.0.0.1", 0), Session)
        self.lock, self.mails, self.answers, self.asked, self.then = threading.Lock(), [], [], 0, None
        key, certificate = os.path.join(directory, "sink.key"), os.path.join(directory, "sink.crt")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                        certificate, "-days", "2", "-subj", "/CN=sink"], check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def next_answer(self):
        with self.lock:
            self.asked += 1
            return self.answers.pop(0) if self.answers else None

    def expect(self, *answers):
        with self.lock:
            self.mails, self.answers, self.asked = [], list(answers), 0

    def wait(self, count=1):
        farms.wait_for(lambda: len(self.mails) >= count, 20, f"{count} mails, {self.asked} asked for")
        return [email.message_from_bytes(mail["raw"], policy=email.policy.default) for mail in self.mails]


@pytest.fixture(scope="module")
def sink(farm, tmp_path_factory):
    """The farm's mails go to a sink, and shop wants them sent; afterwards all is as it was."""
    one = Sink(str(tmp_path_factory.mktemp("sink")))
    settings, publishers = farm.settings, farm.publishers
    mail = {"url": f"smtp://127.0.0.1:{one.server_address[1]}", "from": "The Shop <shop@acquit.example>", "tls": "opportunistic",
            "timeout_ms": 3000}
    farm.reconfigure(settings | {"mail": mail}, publishers | {"shop": publishers["shop"] | {"email": True}}, WORKERS)
    yield one
    farm.reconfigure(settings, publishers, WORKERS)
    one.shutdown()
    one.server_close()


@pytest.fixture
def mails(sink):
    sink.expect()
    return sink


def pay(world, **more):
    return world.pay(world.plain(2500, customerEmail=CUSTOMER, **more))


def notice(world, payment, event="payment.completed"):
    """The fact: (outcome, body, cause)."""
    world.wait_fact(payment, f"notice:{event}:email")
    return world.sql("select outcome, body, cause::text from ledger.event where payment_id = %s and slot = %s", payment, f"notice:{event}:email")[0]


def nowhere_the_address(world, payment):
    """L11: not in facts, dead letters or logs, whole or in part."""
    rows = world.sql("select body::text from ledger.event where payment_id = %s union all select d::text || convert_from(d.body, 'utf8') "
                     "from ledger.dead_letter d where payment_id = %s", payment, payment)
    for row in rows:
        assert "ada.lovelace" not in row[0], row
    for name in os.listdir(world.farm.path("log")):
        with open(world.farm.path("log", name), encoding="utf-8", errors="replace") as log:
            assert "ada.lovelace" not in log.read(), name


def test_a_completed_payment_is_told(world, mails):
    payment = pay(world, description="Two <b>seats</b> & a café", merchant="opera")
    outcome, body, cause = notice(world, payment)
    mail, = mails.wait()
    assert outcome == "delivered" and body["evidence"]["status"] == 250 and "code" not in body
    assert mail["Message-ID"] == f"<{cause}@acquit.example>" == f"<{body['evidence']['messageId']}>"
    assert mail["From"] == "The Shop <shop@acquit.example>" and mail["To"] == CUSTOMER and mail["Auto-Submitted"] == "auto-generated"
    assert mail["Subject"] == "Your payment of 25.00 EUR" and mail["MIME-Version"] == "1.0" and not mail.defects
    at = world.sql("select extract(epoch from at)::bigint from ledger.event where payment_id = %s and slot = 'capture'", payment)[0][0]
    assert abs(email.utils.parsedate_to_datetime(mail["Date"]).timestamp() - at) <= 1
    assert mail.get_content_type() == "multipart/alternative"
    plain, html = mail.iter_parts()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    public = "tx_" + payment.replace("-", "")
    assert all(part in plain.get_content() for part in ("25.00 EUR", "opera", "Two <b>seats</b> & a café", public))
    assert "Two &lt;b&gt;seats&lt;/b&gt; &amp; a café" in html.get_content() and public in html.get_content()
    assert mails.mails[0]["sender"] == "<shop@acquit.example>" and mails.mails[0]["recipient"] == f"<{CUSTOMER}>" and mails.mails[0]["tls"]
    world.wait_fact(payment, "notice:payment.completed:webhook")
    nowhere_the_address(world, payment)


def test_failures_and_refunds(world, mails):
    payment = pay(world, token="pm_card_chargeDeclined")
    assert notice(world, payment, "payment.failed")[0] == "delivered"
    assert "declined by the payment provider" in mails.wait()[0].get_body(("plain",)).get_content()
    mails.expect()
    payment = pay(world)
    notice(world, payment)
    status, answer = world.http("POST", "/api/refunds/create", {"paymentId": payment, "amount": 700}, key=world.key())
    assert status in (200, 202), answer
    assert notice(world, payment, "payment.refunded.1")[0] == "delivered"
    assert mails.wait(2)[1]["Subject"] == "Your refund of 7.00 EUR"


def test_without_an_address_there_is_no_channel(world, mails):
    payment = world.pay(world.plain())
    world.wait_fact(payment, "notice:payment.completed:webhook")
    channels, = world.sql("select body->'channels' from ledger.event where payment_id = %s and slot = 'received'", payment)[0]
    assert channels == ["webhook"] and mails.asked == 0


def test_a_4xx_is_tried_again(world, mails):
    mails.expect("451", "451")
    payment = pay(world)
    assert notice(world, payment)[0] == "delivered"
    assert mails.asked == 3 and len(mails.mails) == 1 and not world.dead_letters(payment)
    nowhere_the_address(world, payment)


def test_an_unknown_outcome_is_sent_again_as_the_same_mail(world, mails):
    mails.expect("drop")
    payment = pay(world)
    assert notice(world, payment)[0] == "delivered"
    assert len(mails.wait(2)) == 2 and mails.mails[0]["raw"] == mails.mails[1]["raw"]


def test_a_5xx_is_the_end(world, mails):
    mails.expect("550", "550", "550")
    payment = pay(world)
    outcome, body, _ = notice(world, payment)
    assert (outcome, body["code"]) == ("refused", "smtp_550") and mails.asked == 1 and not mails.mails
    assert world.state(payment) == "completed" and not world.dead_letters(payment)
    nowhere_the_address(world, payment)


def test_what_cannot_be_delivered_is_held_and_replayed(world, mails):
    mails.expect("451", "451", "451")
    payment = pay(world)
    letter = world.wait_dead_letter(payment)
    assert letter["state"] == "held" and letter["reason"] == "exhausted" and world.state(payment) == "completed"
    assert "smtp_451" in world.farm.acquit("dlq", "show", letter["id"])
    nowhere_the_address(world, payment)
    world.farm.acquit("dlq", "replay", letter["id"], "--reason", "the mail server is back")
    assert notice(world, payment)[0] == "delivered" and len(mails.mails) == 1


def test_an_erased_address_is_never_written_to(world, mails):
    world.farm.stop_program("notify-1")
    payment = pay(world)
    world.wait_state(payment, "completed")
    connection = world.books.cursor()
    connection.execute("update ledger.personal set data = '{}' where payment_id = %s", (payment,))
    world.farm.start_worker("notify-1")
    assert notice(world, payment)[:2] == ("refused", {"code": "no_address"}) and mails.asked == 0


def test_an_address_that_is_none_injects_nothing(world, mails):
    payment = world.pay(world.plain(customerEmail="a@b.example>NOTIFY=NEVER"))
    assert notice(world, payment)[:2] == ("refused", {"code": "bad_address"}) and mails.asked == 0


def test_a_repeated_webhook_has_the_same_bytes(world, mails):
    key = world.key()
    payment = world.expect(key, "shop")
    world.fault(payment, "webhook.deliver", "answer_500_after", times=2)
    world.pay(world.plain(), key=key)
    world.wait_fact(payment, "notice:payment.completed:webhook")
    row, = world.twin(f"/_twin/books/webhooks?paymentId={urllib.parse.quote(payment)}")["webhooks"]
    assert (row["attempts"], row["differing"]) == (3, 0), row
    data = json.loads(row["body"])["data"] if isinstance(row["body"], str) else row["body"]["data"]
    assert (data["status"], data["refunded"], data["amount"]) == ("completed", 0, 1000), row


@pytest.mark.parametrize("name, text, wanted", [
    ("payment.completed.txt", "Subject: Paid\n\nHello\n{amonut}\n", r"payment\.completed\.txt:4: unknown placeholder \{amonut\}"),
    ("payment.failed.html", "<p>\n{amount}{ammount}", r"payment\.failed\.html:2: unknown placeholder \{ammount\}"),
    ("payment.completed.txt", "Hello", r"payment\.completed\.txt:1: the first line must be"),
])
def test_a_wrong_template_stops_the_start(world, mails, tmp_path, name, text, wanted):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / name).write_text(text)
    with open(world.farm.config, encoding="ascii") as config:
        changed = re.sub(r"(?m)^mail: \{", f'mail: {{\n    templates_dir = "{tmp_path}/texts";', config.read())
    for secrets in ("secrets", "twins"):
        os.symlink(world.farm.path(secrets), tmp_path / secrets)
    (tmp_path / "acquit.conf").write_text(changed)
    (tmp_path / "acquit.conf").chmod(0o600)
    done = subprocess.run([world.farm.program("acquit-worker"), "notify", "--config", str(tmp_path / "acquit.conf")], capture_output=True, text=True,
                          timeout=20, check=False, env=world.farm._environment("notify-9"))
    assert done.returncode == 78 and re.search(wanted, done.stderr), done.stderr
