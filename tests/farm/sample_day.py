"""sample_day.py - the payments of a sample day, and what must become of each

A scenario is data: what is sent, through which door, what the twins are told to do first, what is done afterwards, and the end that is expected.
"""

import dataclasses


@dataclasses.dataclass
class Scenario:
    """One payment. `faults` go to the twins before it is sent (without paymentId, which is added); `then` are commands after it ended:
    ("refund", amount or None); `again`: how often the same command is sent in all; `expect`: its public state; `reason`: why it failed; `dead`:
    the state of the dead letter that it leaves, or None; `replay`: replay that dead letter, then expect `after_replay`."""

    name: str
    door: str  # "http" or "queue"
    publisher: str
    amount: int
    currency: str
    expect: str
    token: str | None = None
    tokens: dict | None = None
    gateways: list | None = None
    reason: str | None = None
    faults: list = dataclasses.field(default_factory=list)
    then: list = dataclasses.field(default_factory=list)
    again: int = 1
    dead: str | None = None
    replay: bool = False
    after_replay: str | None = None

    @property
    def flow(self):
        return "dual" if self.tokens else "plain"

    def body(self, n):
        body = {"amount": self.amount, "currency": self.currency, "flow": self.flow, "description": self.name,
                "customerId": f"customer-{n % 7}", "reference": {"type": "booking", "id": f"booking-{n}"}}
        if self.token:
            body["paymentToken"] = self.token
        if self.tokens:
            body["tokens"] = self.tokens
        if self.gateways:
            body["preferredGateways"] = self.gateways
        if n % 3 == 0:
            body["customerEmail"] = f"customer-{n % 7}@example.org"
        return body


DOORS = ("http", "queue")
CURRENCIES = ("EUR", "MAD", "XOF")


def _plain(name, door, n, expect, token=None, gateway="stripe", **more):
    return Scenario(name, door, "shop", 1000 + 137 * n, CURRENCIES[n % 3], expect, token=token, gateways=[gateway], **more)


def _dual(name, door, n, expect, token="pm_card_visa", stock="seat", **more):
    return Scenario(name, door, "tickets", 2500 + 250 * n, CURRENCIES[n % 3], expect, token=token, gateways=["stripe"],
                    tokens={"id": f"{stock}-{n}", "quantity": 1 + n % 2}, **more)


def scenarios():
    """The day: at least 40 payments, half through each door, both flows, three currencies, most through Stripe's twin."""
    day = []
    for n in range(6):
        day.append(_plain("plain, paid", DOORS[n % 2], n, "completed", "pm_card_visa"))
    for n in range(4):
        day.append(_plain("plain, simulated", DOORS[n % 2], n, "completed", "tok_visa", "simulated"))
    for n in range(10):
        day.append(_dual("dual, paid", DOORS[n % 2], n, "completed"))
    day += [
        _plain("plain, declined", "http", 1, "failed", "pm_card_chargeDeclined", reason="DECLINED"),
        _plain("plain, no funds", "queue", 2, "failed", "pm_card_chargeDeclinedInsufficientFunds", reason="DECLINED"),
        _plain("simulated, declined", "http", 3, "failed", "tok_insufficient_funds", "simulated", reason="DECLINED"),
        _plain("simulated, card expired", "queue", 4, "failed", "tok_expired_card", "simulated", reason="DECLINED"),
        _dual("dual, declined", "http", 1, "failed", "pm_card_chargeDeclined", reason="DECLINED"),
        _dual("dual, declined", "queue", 2, "failed", "pm_card_chargeDeclined", reason="DECLINED"),
        _dual("dual, tokens sold out", "http", 3, "failed", stock="soldout", reason="TOKENS_UNAVAILABLE"),
        _dual("dual, tokens sold out", "queue", 4, "failed", stock="soldout", reason="TOKENS_UNAVAILABLE"),
    ]
    reject = [{"at": "validator.validate", "validator": n, "fault": "decline"} for n in (1, 2)]
    for n, door in enumerate(DOORS):
        day.append(_dual("dual, rejected by validators", door, n, "failed", reason="POP_REJECTED", faults=reject))
        day.append(_dual("dual, one validator says no", door, n + 2, "completed", faults=reject[:1]))
        day.append(_plain("refunded in part", door, n + 3, "partially_refunded", "pm_card_visa", then=[("refund", 300)]))
        day.append(_plain("refunded in full", door, n + 4, "refunded", "pm_card_visa", then=[("refund", None)]))
        day.append(_plain("refunded twice", door, n + 5, "refunded", "tok_visa", "simulated", then=[("refund", 500), ("refund", None)]))
        day.append(_plain("same key three times", door, n + 6, "completed", "pm_card_visa", again=3))
        cut = [{"at": "stripe.authorize", "fault": "close_after"}]
        day.append(_plain("answer lost after the effect", door, n + 7, "completed", "pm_card_visa", faults=cut))
        after = [{"at": "stripe.capture", "fault": "answer_500_after"}]
        day.append(_plain("captured, answered 500", door, n + 8, "completed", "pm_card_visa", faults=after))
    silent = [{"at": "validator.validate", "fault": "answer_500_before", "times": -1}]
    day.append(_dual("dead-lettered, compensated", "queue", 5, "failed", reason="DEAD_LETTERED", faults=silent, dead="compensated"))
    stuck = [{"at": "token.release", "fault": "answer_500_before", "times": 3}]
    day.append(_dual("held, then replayed", "http", 6, "processing", "pm_card_chargeDeclined", reason="DECLINED", faults=stuck, dead="held",
                     replay=True, after_replay="failed"))
    return day


# Bytes that are no command at all; each ends as an archived dead letter with this reason.
MALFORMED = [
    ("not JSON", "payment.create", "{\"amount\": 12", "invalid"),
    ("amount is no integer", "payment.create", {"amount": "12.50", "currency": "EUR"}, "invalid"),
]
