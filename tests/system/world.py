"""world.py - what a system test does to a farm, what it reads back, and the oracle"""

import concurrent.futures
import contextlib
import json
import threading
import urllib.parse
import uuid

import pika
import psycopg2

import farm as farms
from ids import payment_id

# Short waits, so that a test sees the end of a retry or a doubt within seconds. Sent payments may be re-sent for 2 s.
SETTINGS = {
    "retry": {"base_ms": 100, "cap_ms": 300},
    "question": {"base_ms": 100, "cap_ms": 400, "give_up_ms": 2000},
    "keeper": {"stand_still_ms": 3000, "sweep_ms": 200},
    "provider": {"timeout_ms": 1500, "visibility_horizon_ms": 200, "send_window_ms": 3000},
    "breaker": {"enabled": False},  # a test that breaks a provider means that provider; test_routing.py switches it on
    "log": {"level": "info"},
}
ENDED = ("completed", "failed", "cancelled", "partially_refunded", "refunded")


class World:
    def __init__(self, farm):
        self.farm = farm
        self.books = psycopg2.connect(farm.services.pg_url)
        self.books.autocommit = True
        self.created = {}  # payment id -> publisher
        self.lock = threading.Lock()

    def close(self):
        self.books.close()

    def reset(self):
        """The twins behave again, and every program of the farm runs."""
        farms.http("DELETE", self.farm.twins_url + "/_twin/faults")
        for name in self.farm.worker_names():
            if not self.farm.pid(name):
                self.farm.start_worker(name)

    # --- sending ---

    @staticmethod
    def key():
        return "test-" + uuid.uuid4().hex

    @staticmethod
    def plain(amount=1000, currency="EUR", token="pm_card_visa", gateway="stripe", **more):
        return {"amount": amount, "currency": currency, "paymentToken": token, "preferredGateways": [gateway], "flow": "plain"} | more

    @staticmethod
    def dual(amount=2500, currency="EUR", token="pm_card_visa", stock="seat", quantity=1, **more):
        return {"amount": amount, "currency": currency, "paymentToken": token, "preferredGateways": ["stripe"], "flow": "dual",
                "tokens": {"id": stock, "quantity": quantity}} | more

    def expect(self, key, publisher):
        with self.lock:
            self.created[payment_id(publisher, key)] = publisher
        return payment_id(publisher, key)

    def headers(self, publisher, key=None):
        headers = {"Authorization": "Bearer " + self.farm.api_key(publisher)}
        return headers | ({"Idempotency-Key": key} if key else {})

    def http(self, method, path, body=None, publisher="shop", key=None, headers=None):
        status, answer, _ = farms.http(method, self.farm.url + path, body, self.headers(publisher, key) | (headers or {}))
        return status, answer

    def pay(self, body, publisher="shop", key=None, wait_ms=0):
        """A payment over HTTP; its id."""
        key = key or self.key()
        path = "/api/payments/process" + (f"?wait_ms={wait_ms}" if wait_ms else "")
        status, answer = self.http("POST", path, body, publisher, key)
        assert status in (200, 202), answer
        return self.expect(key, publisher)

    @contextlib.contextmanager
    def channel(self, user):
        """A confirming AMQP channel of this broker user."""
        connection = pika.BlockingConnection(pika.URLParameters(self.farm.amqp_url(user)))
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
        connection.close()

    def publish(self, commands, publisher="shop"):
        """(type, message id, body) as an app publishes them; body may be bytes."""
        with self.channel(publisher) as channel:
            for kind, message_id, body in commands:
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=message_id, user_id=publisher)
                channel.basic_publish("acquit.in", kind, raw, properties, mandatory=True)

    def publish_internal(self, kind, message_id, body, headers=None):
        """A command as our own worker would say it (to repeat one)."""
        with self.channel("acquit-worker") as channel:
            properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=message_id, user_id="acquit-worker",
                                              type=kind, headers=headers)
            channel.basic_publish("acquit.cmd", kind, json.dumps(body).encode(), properties, mandatory=True)

    # --- the twins ---

    def fault(self, payment, at, fault, **more):
        status, answer, _ = farms.http("POST", self.farm.twins_url + "/_twin/faults", {"paymentId": payment, "at": at, "fault": fault} | more)
        assert status == 201, answer

    def twin(self, path):
        status, answer, _ = farms.http("GET", self.farm.twins_url + path)
        assert status == 200, answer
        return answer

    def requests(self, payment, at=None):
        answer = self.twin(f"/_twin/requests?paymentId={payment}" + (f"&at={urllib.parse.quote(at)}" if at else ""))
        return answer["requests"] if isinstance(answer, dict) else answer

    def stripe_books(self, payment):
        """[{"intent","amount","captured","refunded","status",...}] of one payment."""
        return self.twin(f"/_twin/books/stripe?paymentId={payment}")["payments"].get(payment, [])

    def paypal_books(self, payment):
        """[{"order","amount","authorized","captured","refunded","status",...}] of one payment."""
        return self.twin(f"/_twin/books/paypal?paymentId={payment}")["payments"].get(payment, [])

    def gateway_books(self, payment):
        return self.stripe_books(payment) + self.paypal_books(payment)

    # --- the ledger ---

    def sql(self, statement, *parameters):
        with self.books.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def facts(self, payment):
        """{slot: outcome}"""
        return dict(self.sql("select slot, outcome from ledger.event where payment_id = %s", payment))

    def has(self, payment, slot):
        return slot in self.facts(payment)

    def wait_fact(self, payment, slot, seconds=20):
        return farms.wait_for(lambda: self.facts(payment).get(slot), seconds, lambda: f"{slot} of {payment}, which has {self.facts(payment)}")

    def status(self, payment):
        status, answer = self.http("GET", f"/api/payments/{payment}/status", publisher=self.created[payment])
        return answer["data"] if status == 200 else {"status": f"HTTP {status}"}

    def state(self, payment):
        return self.status(payment)["status"]

    def wait_state(self, payment, *states, seconds=30):
        try:
            return farms.wait_for(lambda: (lambda now: now if now in states else None)(self.state(payment)), seconds, "x")
        except farms.FarmError:
            raise AssertionError(f"{payment} is {self.state(payment)}, not {states}: {self.facts(payment)}") from None

    def wait_ended(self, payments=None, seconds=60):
        left = set(payments or self.created)

        def none_left():
            for payment in list(left):
                if self.state(payment) in ENDED:
                    left.discard(payment)
            return not left
        try:
            farms.wait_for(none_left, seconds, "x")
        except farms.FarmError:
            one = next(iter(left))
            raise AssertionError(f"{len(left)} payments have not ended, e.g. {one}: {self.status(one)} {self.facts(one)}") from None

    def dead_letters(self, payment=None):
        letters = json.loads(self.farm.acquit("dlq", "list", "--limit", "200", "--json"))["deadLetters"]
        return [letter for letter in letters if payment is None or letter.get("paymentId") == payment]

    def wait_dead_letter(self, payment, seconds=20):
        return farms.wait_for(lambda: next(iter(self.dead_letters(payment)), None), seconds, f"a dead letter of {payment}")

    def queue_depth(self, queue):
        """Ready and unacknowledged messages, as the broker counts them now."""
        vhost = urllib.parse.quote("acquit", safe="")
        answer = self.farm.services.mgmt("GET", f"/api/queues/{vhost}/{queue}")
        return answer.get("messages", 0), answer.get("messages_unacknowledged", 0)

    def ready(self, queue):
        """Messages that wait for a worker, at this very moment (the management API tells it seconds later)."""
        connection = pika.BlockingConnection(pika.URLParameters(self.farm.services.amqp_url))
        try:
            return connection.channel().queue_declare(queue, passive=True).method.message_count
        finally:
            connection.close()

    def until_listed(self, payments):
        """The keeper has projected all facts that these payments have now."""
        behind = ("select count(*) from ledger.payment h left join view.payment p using (payment_id) where h.payment_id = any(%s::uuid[])"
                  " and (select count(*) from ledger.event e where e.payment_id = h.payment_id) <> coalesce(p.facts, 0)")
        farms.wait_for(lambda: self.sql(behind, list(payments)) == [(0,)], 20, f"the projections of {payments}")

    # --- the oracle ---

    def ledger_net(self, payment):
        """What the provider owes us for it, as booked: captures less refunds, and holds still pending."""
        return booked_net(self.sql("select kind, debit, credit, amount, slot, pending_of from ledger.transfer where payment_id = %s", payment))

    def provider_net(self, payment):
        """The same from the providers' own books: the twins of Stripe and PayPal, and the simulated provider."""
        return provided_net(self.gateway_books(payment),
                            self.sql("select status, amount, captured, refunded from sim.payment where payment_id = %s", payment))

    def told(self, payment):
        return self.http("GET", f"/api/payments/{payment}", publisher=self.created[payment])[1]["data"]

    def by_payment(self, statement):
        """{payment id: rows} of all created payments, whose id is the first column."""
        found = {payment: [] for payment in self.created}
        for payment, *row in self.sql(statement, list(self.created)):
            found[payment].append(row)
        return found

    def today(self):
        """As the ledger dates commands."""
        return self.sql("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD')")[0][0]

    def conserve(self, directory, lines, *more):
        """`acquit audit conserve` of what a publisher wrote down as confirmed, [(id, type, day, publisher)]: (exit code, what it says)."""
        path = directory / "confirmed.csv"
        path.write_text("id,type,day,publisher\n" + "".join(",".join(line) + "\n" for line in lines))
        done = self.farm.acquit("audit", "conserve", "--published", str(path), "--json", *more, check=False, seconds=120)
        return done.returncode, json.loads(done.stdout)

    def judge(self):
        if not self.created:
            return
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            told = dict(zip(self.created, pool.map(self.told, self.created)))
        transfers = self.by_payment("select payment_id::text, kind, debit, credit, amount, slot, pending_of from ledger.transfer"
                                    " where payment_id = any(%s::uuid[])")
        simulated = self.by_payment("select payment_id::text, status, amount, captured, refunded from sim.payment where payment_id = any(%s::uuid[])")
        if len(self.created) > 20:
            stripe, paypal = (self.twin(f"/_twin/books/{name}")["payments"] for name in ("stripe", "paypal"))
            books = {one: stripe.get(one, []) + paypal.get(one, []) for one in self.created}
        else:
            books = {one: self.gateway_books(one) for one in self.created}
        wrong = []
        for payment, data in told.items():
            paid, (booked, pending) = told_net(data), booked_net(transfers[payment])
            provided, held, captures = provided_net(books.get(payment, []), simulated[payment])
            if not (paid == booked == provided and pending == held == 0 and captures <= 1):
                wrong.append(f"{payment}: told {paid}, booked {booked} (+{pending} held), provider {provided} (+{held} held, {captures} captures): "
                             f"{data['status']} {self.facts(payment)}")
        assert not wrong, "the oracle: " + "\n".join(wrong)
        ended = {payment for payment, data in told.items() if data["status"] in ENDED}
        open_doubts = [row for row in self.sql("select payment_id::text, intent, amount from ledger.in_doubt where intent !~ '^refund:'")
                       if row[0] in ended]
        assert not open_doubts, f"the oracle: in doubt, though ended: {open_doubts}"
        rows = json.loads(self.farm.acquit("ledger", "balance", "--json"))["accounts"]
        for currency in {row["currency"] for row in rows}:
            assert sum(row["balance"] for row in rows if row["currency"] == currency) == 0, f"the trial balance of {currency}"


def booked_net(transfers):
    """(captures less refunds, holds still pending) of rows (kind, debit, credit, amount, slot, pending_of)."""
    resolved = {row[5] for row in transfers if row[0] in ("post", "void")}
    net = 0
    for kind, debit, credit, amount, _, _ in transfers:
        if kind in ("post", "transfer"):
            net += amount * (debit.startswith("receivable:")) - amount * (credit.startswith("receivable:"))
    return net, sum(amount for kind, _, _, amount, slot, _ in transfers if kind == "hold" and slot not in resolved)


def provided_net(intents, simulated):
    """(captured less refunded, still held, how many captures) at the twins of Stripe and PayPal and at the simulated provider."""
    net = held = captures = 0
    for intent in intents:
        net += intent["captured"] - intent["refunded"]
        captures += intent["captured"] > 0
        held += intent["authorized"]
    for status, amount, captured, refunded in simulated:
        net += captured - refunded
        captures += captured > 0
        held += amount if status == "authorized" else 0
    return net, held, captures


def told_net(data):
    """What the caller was told he paid in the end; None before it."""
    if data["status"] in ("failed", "cancelled"):
        return 0
    return data["amount"] - data["refundedAmount"] if data["status"] in ENDED else None
