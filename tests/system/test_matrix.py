"""Every way in which a provider can misbehave, at every call that we make to one, all side by side

`make test` runs it once, ten payments for each, all of them struck. `make chaos` sets ACQUIT_CHAOS, and it runs with many more, all or five per
cent of them struck, with and without another provider to fail over to; and with one provider away for all of them.
"""

import collections
import dataclasses
import os

import farm as farms
import pytest
import world as worlds

CHAOS = int(os.environ.get("ACQUIT_CHAOS", "0"))  # payments of each kind
EACH = CHAOS or 10
SHARES = (100, 5) if CHAOS else (100,)  # per cent of the requests that are struck
WAYS = (False, True) if CHAOS else (False,)  # is there another provider to fail over to?
UNDER_WAY = 300  # payments at once, so that it is the fault that delays and not the load
SECONDS = 130 if not CHAOS else 1500
FEW_ENOUGH = 0.001  # of the payments that may end otherwise than they should while a provider is down

# The twin's fault and how often it strikes. Cut connections twice: libcurl by itself sends once more what was cut on a kept connection.
FAULTS = {
    "decline": {"fault": "decline"},
    "delay past timeout": {"fault": "delay", "delayMs": 2500},
    "500 before": {"fault": "answer_500_before"},
    "500 after": {"fault": "answer_500_after"},
    "500 before, not kept": {"fault": "answer_500_before", "stored": False},
    "500 after, not kept": {"fault": "answer_500_after", "stored": False},
    "reset before": {"fault": "close_before", "times": 2},
    "reset after": {"fault": "close_after", "times": 2},
    "garbage": {"fault": "garbage"},
    "slow body": {"fault": "slow_body"},
    "late effect": {"fault": "late_effect", "times": 2},
    "silent": {"fault": "silent"},
    "rate limited": {"fault": "rate_limit"},
    "cut body": {"fault": "cut_body"},
    "answered twice": {"fault": "answer_twice"},
    "out of order": {"fault": "out_of_order", "delayMs": 800},
    "failed 200": {"fault": "failed_200"},
    "behind": {"fault": "lag", "delayMs": 1500},
}
KEPT_ONLY_BY_STRIPE = ("500 before, not kept", "500 after, not kept", "failed 200")
ONLY_OF_QUESTIONS = ("behind",)

# How a payment may end: its state, how the last of its facts begins, and what its merchant was told, in this order.
ENDS = {
    "completed": ("completed", "notice:payment.completed:webhook", ["completed"]),
    "sold": ("completed", "pop:committed", ["completed"]),
    "failed": ("failed", "notice:payment.failed:webhook", ["failed"]),
    "refunded": ("refunded", "notice:payment.refunded.1:webhook", ["completed", "refunded"]),
    "taken back": ("refunded", "token:released", ["completed", "refunded"]),
    "not taken back": ("refunded", "dead:", ["completed", "refunded"]),  # refused for good: left to a person
    "refund refused": ("completed", "notice:payment.refund_failed.1:webhook", ["completed", "refund_failed"]),
    "refund in doubt": ("completed", "refund:1:doubt:4", ["completed"]),  # L6: never concluded absent, left to a person
}


@dataclasses.dataclass
class Point:
    """A call: the payment that makes it, what leads there, and how it ends under any fault but those in `other`."""

    flow: str
    end: str
    other: dict = dataclasses.field(default_factory=dict)
    before: dict = None  # a fault that has to come first
    refund: bool = False
    token: str = "pm_card_visa"
    gateway: str = "stripe"
    faults: tuple = tuple(name for name in FAULTS if name not in ONLY_OF_QUESTIONS)


def kept_500(at):
    return {"at": at, "fault": "answer_500_after"}


OTHERS = tuple(name for name in FAULTS if name not in KEPT_ONLY_BY_STRIPE + ONLY_OF_QUESTIONS)
QUESTIONS = (*OTHERS, *ONLY_OF_QUESTIONS)
PAYPAL = (*OTHERS, "failed 200")  # it keeps no 500
REJECTED = {"at": "validator.validate", "fault": "decline", "delayMs": 1000, "times": 3}  # late enough for the hold to stand
DECLINED = "pm_card_chargeDeclined"
POINTS = {
    # a 500 that Stripe keeps spends the key: nothing was done, nothing can be done any more (ADR 9)
    "stripe.authorize": Point("plain", "completed", {"decline": "failed", "500 before": "failed", "failed 200": "failed"}),
    "stripe.capture": Point("plain", "completed", {"decline": "failed", "500 before": "failed", "failed 200": "failed"}),
    "stripe.cancel": Point("dual", "failed", before=REJECTED),
    "stripe.refund": Point("plain", "refunded", {"decline": "refund refused", "failed 200": "refund refused", "500 before": "refund in doubt"}, refund=True),
    "stripe.search": Point("plain", "completed", before=kept_500("stripe.authorize"), faults=QUESTIONS),
    "stripe.retrieve": Point("plain", "completed", before=kept_500("stripe.capture"), faults=QUESTIONS),
    "stripe.refund_retrieve": Point("plain", "refunded", before=kept_500("stripe.refund"), refund=True, faults=QUESTIONS),
    "paypal.order": Point("plain", "completed", {"decline": "failed"}, gateway="paypal", faults=OTHERS),
    "paypal.authorize": Point("plain", "completed", {"decline": "failed", "failed 200": "failed"}, gateway="paypal", faults=PAYPAL),
    "paypal.capture": Point("plain", "completed", {"decline": "failed", "failed 200": "failed"}, gateway="paypal", faults=PAYPAL),
    "paypal.void": Point("dual", "failed", before=REJECTED, gateway="paypal", faults=PAYPAL),
    "paypal.refund": Point("plain", "refunded", {"decline": "refund refused", "failed 200": "refund refused"}, refund=True, gateway="paypal", faults=PAYPAL),
    "paypal.retrieve": Point("plain", "refunded", refund=True, gateway="paypal", faults=QUESTIONS),
    "validator.validate": Point("dual", "completed", {"decline": "failed"}, faults=OTHERS),
    "validator.commit": Point("dual", "sold", faults=OTHERS),
    "validator.revoke": Point("dual", "failed", token=DECLINED, faults=OTHERS),
    "token.reserve": Point("dual", "completed", {"decline": "failed"}, faults=OTHERS),
    "token.activate": Point("dual", "completed", {"decline": "failed"}, faults=OTHERS),
    "token.release": Point("dual", "failed", token=DECLINED, faults=OTHERS),
    "token.deactivate": Point("dual", "taken back", {"decline": "not taken back"}, refund=True, faults=OTHERS),
    "webhook.deliver": Point("plain", "completed", faults=OTHERS),
}
CALLS = [at for at in POINTS if at.startswith(("stripe.", "paypal."))]
KEYED = [at for at in CALLS if at.endswith((".authorize", ".capture", ".cancel", ".refund", ".order"))]
PUBLISHERS = {"plain": "shop", "dual": "tickets"}
# A void whose key is spent is sent again under the key of its question (ADR 9).
KEYS = {("stripe.cancel", fault): 2 for fault in ("decline", "500 before", "500 after", "failed 200")}


class Run:
    """All payments of the table: what each is for, and what was shown of it on its way."""

    def __init__(self, world, share=100, failover=False):
        self.world, self.share, self.failover = world, share, failover
        self.points = {at: POINTS[at] for at in CALLS} if failover else POINTS
        self.kinds = sum(len(point.faults) for point in self.points.values())
        self.cells = {}  # payment -> (point, fault)
        self.confirmed = []  # (id, type, day, publisher) of each publish that the broker confirmed
        self.asked_back = set()
        self.replayed = set()
        self.shown = collections.defaultdict(list)  # payment -> the states that its publisher saw, without repeats
        self.under_way = set()

    def point(self, payment):
        return POINTS[self.cells[payment][0]]

    def end(self, payment):
        at, fault = self.cells[payment]
        return POINTS[at].other.get(fault, POINTS[at].end)

    def ends(self, payment):
        """What it may come to: not struck, or by another provider, it goes as if nothing had been wrong; a part of the validators may outvote the rest."""
        at, _ = self.cells[payment]
        return {self.end(payment)} | ({POINTS[at].end} if self.share < 100 or self.failover else set())

    def begin_one_of_each(self):
        commands = {"shop": [], "tickets": []}
        for at, point in self.points.items():
            for fault in point.faults:
                publisher, key = PUBLISHERS[point.flow], self.world.key()
                payment = self.world.expect(key, publisher)
                self.cells[payment] = (at, fault)
                self.under_way.add(payment)
                self.arm(payment, point, at, fault)
                body = self.world.dual(token=point.token) if point.flow == "dual" else self.world.plain()
                body["preferredGateways"] = [point.gateway, "simulated"] if self.failover else [point.gateway]
                commands[publisher].append(("payment.create", key, body))
        for publisher, wanted in commands.items():
            self.publish(wanted, publisher)

    def publish(self, wanted, publisher):
        day = self.world.today()
        self.world.publish(wanted, publisher)
        self.confirmed += [(key, kind, day, publisher) for kind, key, _ in wanted]

    def arm(self, payment, point, at, fault):
        if point.before:
            self.world.fault(payment, **point.before)
        wish = {"times": 1} | FAULTS[fault]
        if at.startswith("validator."):
            wish["times"] *= farms.VALIDATORS  # all of them
        if self.share < 100:
            wish |= {"percent": self.share, "seed": int(payment[:8], 16)}
        self.world.fault(payment, at, **wish)

    def ask_back(self, payments):
        """The whole payment, as soon as it is completed."""
        for publisher in PUBLISHERS.values():
            wanted = [payment for payment in payments if self.world.created[payment] == publisher]
            if wanted:
                self.publish([("payment.refund", self.world.key(), {"paymentId": payment}) for payment in wanted], publisher)
        self.asked_back.update(payments)

    def look(self):
        """Notes what is shown of each payment, and lets go of those at their end."""
        rows = self.world.sql("select payment_id::text, array_agg(slot) from ledger.event where payment_id = any(%s::uuid[]) group by 1",
                              list(self.under_way))
        back = []
        for payment, slots in rows:
            state = self.note_shown(payment)
            if state == "completed" and self.point(payment).refund and payment not in self.asked_back:
                back.append(payment)
            ends = [ENDS[end][1] for end in self.ends(payment)]
            if any(slot.startswith(end) for end in ends for slot in slots):
                self.under_way.discard(payment)
            elif self.share < 100 and any(slot.startswith("dead:") for slot in slots):
                self.replay(payment)
        self.ask_back(back)

    def replay(self, payment):
        """Struck at every attempt by chance: what died is for the person on call, who sends it again once."""
        for letter, in self.world.sql("select body->>'deadLetter' from ledger.event where payment_id = %s and slot like 'dead:%%'", payment):
            if letter not in self.replayed:
                self.replayed.add(letter)
                self.world.farm.acquit("dlq", "replay", letter, "--reason", "the provider is back")

    def note_shown(self, payment):
        state = self.world.state(payment)
        if [state] != self.shown[payment][-1:]:
            self.shown[payment].append(state)
        return state

    def all_ended(self):
        if len(self.cells) < EACH * self.kinds and len(self.under_way) < UNDER_WAY:
            self.begin_one_of_each()
        self.look()
        return not self.under_way


def told(world):
    """{payment: what its merchant was told, in order}; a repeat must say the same."""
    stories = collections.defaultdict(list)
    for webhook in world.twin("/_twin/books/webhooks")["webhooks"]:
        assert webhook["differing"] == 0, webhook
        stories[webhook["paymentId"]].append(webhook["type"].removeprefix("payment."))
    return stories


def keys_used(world):
    """{(payment, point): the idempotency keys of its requests}"""
    used = collections.defaultdict(set)
    for at in KEYED:
        for request in world.twin(f"/_twin/requests?at={at}&limit=10000"):
            used[request["paymentId"], at].add(request["idempotencyKey"])
    return used


TOKENS = {"completed": {"active"}, "sold": {"active"}, "failed": {"released", "refused", "expired"}, "taken back": {"deactivated"},
          "not taken back": {"active"}}
PROOFS = {"completed": {"valid", "committed"}, "sold": {"committed"}, "failed": {"revoked"}, "taken back": {"revoked"},
          "not taken back": {"revoked"}}


def statuses(rows):
    found = collections.defaultdict(set)
    for row in rows:
        found[row["paymentId"]].add(row["status"])
    return found


def complaints(world, run):
    """(payment, what is wrong with it), for each thing that is."""
    stories, keys = told(world), keys_used(world)
    stripe, paypal = (world.twin(f"/_twin/books/{name}")["payments"] for name in ("stripe", "paypal"))
    tokens = statuses(world.twin("/_twin/books/tokens")["reservations"])
    # told that it stands; who voted against it too, if the others were enough
    proofs = statuses(row | ({"status": "committed"} if row["committed"] and row["status"] in ("valid", "invalid") else {})
                      for row in world.twin("/_twin/books/validators")["validations"])
    hits = {(fault["paymentId"], fault["at"]): fault["hits"] for fault in world.twin("/_twin/faults")}
    for payment, (at, fault) in run.cells.items():
        run.note_shown(payment)
        possible = [end for end in run.ends(payment) if ENDS[end][0] == run.shown[payment][-1]]
        end = (possible or [run.end(payment)])[0]
        state, _, story = ENDS[end]
        if not hits[payment, at] and run.share == 100 and not run.failover:
            yield payment, "the fault did not strike"
        ends = [shown for shown in run.shown[payment] if shown in worlds.ENDED]
        if ends != (["completed", "refunded"] if state == "refunded" else [state]) or run.shown[payment][-1] != state:
            yield payment, f"was shown as {run.shown[payment]}"
        if stories[payment] != story:
            yield payment, f"its merchant was told {stories[payment]}"
        for call in KEYED:
            if len(keys[payment, call]) > (KEYS.get((at, fault), 1) if call == at else 1):
                yield payment, f"{call} under {keys[payment, call]}"
        intents = stripe.get(payment, []) + paypal.get(payment, [])
        if len(intents) > 1 or any(len(intent["refunds"]) > 1 for intent in intents):
            yield payment, f"twice at its provider: {intents}"
        if run.point(payment).flow == "dual":
            if not tokens[payment] or not tokens[payment] <= set().union(*(TOKENS[one] for one in possible)):
                yield payment, f"its tokens are {tokens[payment]}"
            if not proofs[payment] or not proofs[payment] <= set().union(*(PROOFS[one] for one in possible)):
                yield payment, f"its proofs are {proofs[payment]}"


@pytest.mark.timeout(SECONDS + 100)
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("failover", WAYS)
def test_every_fault_at_every_call(world, tmp_path, share, failover):
    run = Run(world, share, failover)
    if failover:
        another_provider_takes_the_token(world)
    try:
        farms.wait_for(run.all_ended, SECONDS, "x")
    except farms.FarmError:
        left = collections.Counter(run.cells[payment] for payment in run.under_way)
        one = next(iter(run.under_way))
        raise AssertionError(f"have not ended: {left}; {one} {run.cells[one]}: {world.status(one)} {world.facts(one)}") from None
    wrong = collections.defaultdict(list)
    for payment, what in complaints(world, run):
        wrong[run.cells[payment]].append(f"{payment}: {what}")
    assert not wrong, "\n".join(f"{at}, {fault}: {len(found)} times, e.g. {found[0]}" for (at, fault), found in wrong.items())
    assert set(collections.Counter(run.cells.values()).values()) == {EACH}
    is_conserved(world, tmp_path, run.confirmed)
    assert len(run.replayed) <= FEW_ENOUGH * len(run.cells), run.replayed


def is_conserved(world, tmp_path, confirmed):
    """Every confirmed publish was settled, or is a dead letter that somebody knows of."""
    code, told = world.conserve(tmp_path, confirmed)
    assert (code, told["sum"], told["missing"]) == (0, "right", []), told


def another_provider_takes_the_token(world):
    """The simulated provider's books know it by name as well as Stripe's."""
    for token in ("pm_card_visa", DECLINED):
        world.books.cursor().execute("insert into sim.test_token (token, on_authorize) values (%s, %s) on conflict do nothing",
                                     (token, "declined" if token == DECLINED else "done"))


DOWN = ("answer_500_before", "close_before", "silent", "rate_limit", "late_effect", "close_after")


def open_ones(world, payments):
    ended = {payment for payment, in world.sql("select distinct payment_id::text from ledger.event where slot like 'notice:%%' and payment_id = any(%s::uuid[])", payments)}
    return set(payments) - ended


if CHAOS:
    @pytest.fixture(params=[False, True], ids=["no breaker", "breaker"])
    def breaker(world, request):
        """The farm's usual breakers are off; on, they are as an operator finds them, but for the time until one is tried."""
        settings, publishers = world.farm.settings, world.farm.publishers
        if request.param:
            world.farm.reconfigure(settings | {"breaker": {"enabled": True, "open_ms": 2000}}, publishers, ["authorize-1"])
        yield request.param
        if request.param:
            farms.http("DELETE", world.farm.twins_url + "/_twin/faults")
            world.wait_ended()
            world.farm.reconfigure(settings, publishers, ["authorize-1"])

    @pytest.mark.timeout(SECONDS + 100)
    @pytest.mark.parametrize("fault", DOWN)
    def test_while_one_provider_is_down(world, tmp_path, breaker, fault):
        """All requests to authorize at it are struck, whoever's; what was accepted ends as it should nevertheless, by the other one or late."""
        another_provider_takes_the_token(world)
        world.fault("*", "stripe.authorize", fault=fault, times=-1)
        world.fault("*", "stripe.search", fault="close_before", times=40)
        payments, confirmed = [], []
        while len(payments) < 20 * CHAOS:
            keys = [world.key() for _ in range(50)]
            payments += [world.pay(world.plain(preferredGateways=["stripe", "simulated"]), key=key) for key in keys]
            confirmed += [(key, "payment.create", world.today(), "shop") for key in keys]
            farms.wait_for(lambda: len(open_ones(world, payments)) < 50, SECONDS, "fewer open payments")
        farms.wait_for(lambda: not open_ones(world, payments), SECONDS, "the last ones")
        states = collections.Counter(world.state(payment) for payment in payments)
        assert states["completed"] >= (1 - FEW_ENOUGH) * len(payments), states
        is_conserved(world, tmp_path, confirmed)
        kept_away = sum("stripe=breaker_open" in (left or []) for left, in world.sql(
            "select body->'route'->'leftOut' from ledger.event where slot = 'received' and payment_id = any(%s::uuid[])", payments))
        assert (kept_away > 0) == breaker, f"{kept_away} of {len(payments)} were kept away from it"
