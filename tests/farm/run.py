#!/usr/bin/python3
"""run.py - `make run`: starts the farm, sends a sample day of payments both ways, shows what became of each

    run.py [--stop]

Exits 1 when any payment ended otherwise than its scenario expects. The farm stays up; another run finds it and sends another day.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
import uuid

import psycopg2

import farm as farms
import sample_day
from ids import payment_id

DAY_SECONDS = 60


def say(text):
    print(f"  {text}", flush=True)


class Payment:
    """One scenario under way."""

    def __init__(self, number, scenario, day):
        self.number = number
        self.scenario = scenario
        self.key = f"{day}-{number}"
        self.id = payment_id(scenario.publisher, self.key)
        self.state = None      # as HTTP tells it
        self.ledger = None     # as the ledger tells it
        self.reason = None
        self.millis = None
        self.wrong = []        # what differs from the scenario


class Day:
    """A sample day against a running farm."""

    def __init__(self, farm):
        self.farm = farm
        self.day = time.strftime("day-%Y%m%d-%H%M%S") + "-" + uuid.uuid4().hex[:4]
        self.payments = [Payment(n, scenario, self.day) for n, scenario in enumerate(sample_day.scenarios(), 1)]
        self.letters = []

    # --- sending ---

    def tell_twins(self):
        for payment in self.payments:
            for fault in payment.scenario.faults:
                status, answer, _ = farms.http("POST", self.farm.twins_url + "/_twin/faults", {"paymentId": payment.id, "times": 1} | fault)
                if status != 201:
                    raise farms.FarmError(f"the twins refuse the fault {fault}: {answer}")

    def headers(self, publisher, key=None):
        headers = {"Authorization": "Bearer " + self.farm.api_key(publisher)}
        return headers | ({"Idempotency-Key": key} if key else {})

    def post(self, payment):
        for _ in range(payment.scenario.again):
            status, answer, _ = farms.http("POST", self.farm.url + "/api/payments/process", payment.scenario.body(payment.number),
                                           self.headers(payment.scenario.publisher, payment.key))
            if status not in (200, 202):
                payment.wrong.append(f"HTTP {status}: {answer}")
            elif answer["data"]["paymentId"] != payment.id:
                payment.wrong.append(f"its id is not the documented recipe's: {answer['data']}")

    def publish(self, publisher, commands):
        """Through the foreign app: another process, another language, no code of ours."""
        script = os.path.join(farms.ROOT, "docs", "examples", "publish.py")
        text = "".join(json.dumps(command) + "\n" for command in commands)
        done = subprocess.run(["/usr/bin/python3", script], input=text, capture_output=True, text=True, check=False, timeout=60,
                              env=os.environ | {"ACQUIT_AMQP_URL": self.farm.amqp_url(publisher)})
        if done.returncode != 0 or len(done.stdout.splitlines()) != len(commands):
            raise farms.FarmError(f"the app could not publish: {done.stderr[-600:]}")

    def send(self):
        for payment in self.payments:
            if payment.scenario.door == "http":
                self.post(payment)
        for publisher in self.farm.publishers:
            commands = [{"type": "payment.create", "messageId": payment.key, "body": payment.scenario.body(payment.number)}
                        for payment in self.payments if payment.scenario.door == "queue" and payment.scenario.publisher == publisher
                        for _ in range(payment.scenario.again)]
            self.publish(publisher, commands)
        self.publish("shop", [{"type": kind, "messageId": f"{self.day}-malformed-{n}", "body": body}
                              for n, (_, kind, body, _) in enumerate(sample_day.MALFORMED)])

    # --- what became of it ---

    def status(self, payment):
        status, answer, _ = farms.http("GET", f"{self.farm.url}/api/payments/{payment.id}/status", headers=self.headers(payment.scenario.publisher))
        return answer["data"] if status == 200 else {"status": f"HTTP {status}"}

    def await_states(self, payments, wanted, what):
        """Waits until every payment shows the state wanted of it; shows how many are left."""
        deadline = time.monotonic() + DAY_SECONDS
        left = list(payments)
        while left and time.monotonic() < deadline:
            for payment in left:
                data = self.status(payment)
                payment.state, payment.reason = data["status"], data.get("reason")
            left = [payment for payment in left if payment.state != wanted(payment)]
            if sys.stdout.isatty():
                print(f"\r  {what}: {len(left)} left   ", end="", flush=True)
        if sys.stdout.isatty():
            print("\r\033[K", end="")

    @staticmethod
    def first_end(payment):
        return "completed" if payment.scenario.then else payment.scenario.expect

    def refund(self, payments):
        for payment in payments:
            for number, (_, amount) in enumerate(payment.scenario.then):
                body = {"paymentId": payment.id} | ({"amount": amount} if amount else {})
                key = f"{payment.key}-refund-{number}"
                if payment.scenario.door == "http":
                    status, answer, _ = farms.http("POST", self.farm.url + "/api/refunds/create?wait_ms=8000", body,
                                                   self.headers(payment.scenario.publisher, key))
                    if status != 200:
                        payment.wrong.append(f"refund: HTTP {status} {answer}")
                else:
                    self.publish(payment.scenario.publisher, [{"type": "payment.refund", "messageId": key, "body": body}])
                    self.await_refund(payment, number + 1)

    def await_refund(self, payment, number):
        with contextlib.suppress(farms.FarmError):
            farms.wait_for(lambda: self.has_fact(payment, f"refund:{number}:result"), 10, "the refund")

    def has_fact(self, payment, slot):
        with self.books.cursor() as cursor:
            cursor.execute("select 1 from ledger.event where payment_id = %s and slot = %s", (payment.id, slot))
            return cursor.fetchone() is not None

    def dead_letters(self):
        return json.loads(self.farm.acquit("dlq", "list", "--limit", "200", "--json"))["deadLetters"]

    def letter_of(self, payment, state):
        letters = self.dead_letters()
        return next((letter for letter in letters if letter.get("paymentId") == payment.id and letter["state"] == state), None)

    def check_letters(self):
        for payment in self.payments:
            if payment.scenario.dead:
                found = None
                with contextlib.suppress(farms.FarmError):
                    found = farms.wait_for(lambda p=payment: self.letter_of(p, p.scenario.dead), 20, "its dead letter")
                if not found:
                    payment.wrong.append(f"no dead letter in state {payment.scenario.dead}")
                elif payment.scenario.replay:
                    self.farm.acquit("dlq", "replay", found["id"], "--reason", "sample day: the token system is back")
        for n, (name, _, _, reason) in enumerate(sample_day.MALFORMED):
            key = f"{self.day}-malformed-{n}"

            def archived(key=key):
                return next((letter for letter in self.dead_letters() if letter.get("messageId") == key), None)
            letter = None
            with contextlib.suppress(farms.FarmError):
                letter = farms.wait_for(archived, 20, "the malformed message's archive")
            self.letters.append((name, reason, letter))

    def listed(self):
        """{payment id: state} as `acquit payment list` has them."""
        states = {}
        before = None
        while len(states) < len(self.payments):
            arguments = ["payment", "list", "--limit", "200", "--json"] + (["--before", before] if before else [])
            page = json.loads(self.farm.acquit(*arguments))
            states |= {row["paymentId"]: row["status"] for row in page["payments"]}
            before = page.get("before")
            if not before:
                break
        return states

    def read_ledger(self):
        states = {}

        def as_told():
            states.update(self.listed())
            return all(states.get(payment.id) == payment.state for payment in self.payments)
        with contextlib.suppress(farms.FarmError):  # lists lag behind a little; whatever differs then is judged
            farms.wait_for(as_told, 10, "the list")
        with self.books.cursor() as cursor:
            cursor.execute("select payment_id::text, extract(epoch from max(at) filter (where slot !~ '^(notice|refund|replay|dead)') - min(at)) * 1000"
                           " from ledger.event where payment_id = any(%s::uuid[]) group by 1", ([payment.id for payment in self.payments],))
            millis = dict(cursor.fetchall())
        self.books.rollback()
        for payment in self.payments:
            payment.ledger = states.get(payment.id)
            payment.millis = millis.get(payment.id)

    def judge(self):
        for payment in self.payments:
            scenario = payment.scenario
            expected = scenario.after_replay or scenario.expect
            if payment.state != expected:
                payment.wrong.append(f"expected {expected}")
            if payment.ledger != payment.state:
                payment.wrong.append(f"the ledger says {payment.ledger}")
            if scenario.reason and payment.reason != scenario.reason:
                payment.wrong.append(f"expected the reason {scenario.reason}, found {payment.reason}")

    def run(self):
        self.books = psycopg2.connect(self.farm.pg_url("acquit_auditor"))
        self.books.autocommit = True
        self.tell_twins()
        say(f"sending {len(self.payments)} payments ({self.day}), half over HTTP, half published by an app")
        self.send()
        self.await_states(self.payments, self.first_end, "waiting for their ends")
        refunded = [payment for payment in self.payments if payment.scenario.then and payment.state == "completed"]
        say(f"refunding {len(refunded)} of them")
        self.refund(refunded)
        say("looking at the dead letters, replaying the one that is held")
        self.check_letters()
        self.await_states(self.payments, lambda payment: payment.scenario.after_replay or payment.scenario.expect, "waiting for refunds and the replay")
        self.read_ledger()
        self.judge()

    # --- showing it ---

    def show(self):
        print(f"\n{'id':36} {'scenario':30} {'by':6} {'flow':6} {'amount':>12} {'state':19} {'ms':>6}")
        for payment in self.payments:
            scenario = payment.scenario
            public = "tx_" + payment.id.replace("-", "")
            why = f" ({payment.reason})" if payment.reason else ""
            wrong = "  <-- " + "; ".join(payment.wrong) if payment.wrong else ""
            amount = f"{scenario.amount} {scenario.currency}"
            millis = "-" if payment.millis is None else f"{payment.millis:.0f}"
            print(f"{public:36} {scenario.name:30} {scenario.door:6} {scenario.flow:6} {amount:>12} {payment.state or '-':19} {millis:>6}{why}{wrong}")
        for name, reason, letter in self.letters:
            found = f"archived as {letter['reason']}" if letter else "NOT ARCHIVED"
            print(f"{'(no payment)':36} {'malformed: ' + name:30} {'queue':6} {'-':6} {'-':>12} {found:19}")
        print("\nTrial balance:")
        print(self.farm.acquit("ledger", "balance"))
        print("Dead letters:")
        print(self.farm.acquit("dlq", "list", "--limit", "10"))

    def wrong(self):
        letters = [name for name, reason, letter in self.letters if not letter or letter["reason"] != reason]
        return [payment for payment in self.payments if payment.wrong] + letters


def next_steps(farm, day):
    relative = os.path.relpath(farm.directory)
    some = "tx_" + day.payments[0].id.replace("-", "")
    print(f"""What to try next:
  . {relative}/env                               # URLs, keys and passwords of this farm
  curl -s -H "Authorization: Bearer $ACQUIT_API_KEY" -H 'Content-Type: application/json' \\
       -d '{{"amount":2500,"currency":"EUR"}}' "$ACQUIT_URL/api/payments/process?wait_ms=2000"
  build/acquit payment show {some}
  build/acquit dlq list
  build/acquit ledger prove {some} --output receipt.json
  build/acquit receipt verify receipt.json --key "$(build/acquit ledger key)"
  make stop""")


def stop(farm):
    if not os.path.isdir(farm.directory):
        print("nothing runs here")
        return 0
    farm.stop()
    print("stopped")
    return 0


def main():
    parser = argparse.ArgumentParser(description="starts the farm and sends a sample day of payments")
    parser.add_argument("--stop", action="store_true", help="end the farm and everything that it started")
    parser.add_argument("--directory", default=os.path.join(farms.ROOT, "var"), help="where the farm lives")
    options = parser.parse_args()
    farm = farms.Farm(options.directory)
    if options.stop:
        return stop(farm)
    began = time.monotonic()
    farm.start(say)
    say(f"the farm is up after {time.monotonic() - began:.1f} s: {farm.url}")
    day = Day(farm)
    day.run()
    day.show()
    next_steps(farm, day)
    wrong = day.wrong()
    print(f"\n{len(day.payments) + len(day.letters)} scenarios, {len(wrong)} differ from what was expected; {time.monotonic() - began:.1f} s in all")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except farms.FarmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
