"""Explicit-state model of the payment protocol (DESIGN.md, laws L1-L7 and section 6, 'The saga').

One payment; facts with outcome and cause; an at-least-once broker that may deliver in any order; two deliveries in work at
once, each split at: load and plan, commit intents, look and publish, call, commit results, look and publish, ack; a crash, a
duplicate, a provider fault before or after the effect, a late effect, cancel, deadline, expiry, dead letter, replay, a wiped
broker with a sweeper, two providers, refunds, validators that call back.

`python3 tests/unit/saga_model.py [SECONDS]` explores every interleaving within the budgets of each configuration and prints
what it found; `--without RULE` takes out one rule of the protocol (RULES) to see what then breaks. check_saga_model.py compares
the C saga with public_state() and next_commands() of states that random walks reach.

It is a specification to compare with, not part of the product. Its slots are those of the ledger; outcomes are shorter ("ok",
"no", "ref" for refused captures, "x" where there is only one), amounts are 1 or 2, and commands are:
create, start (authorize.start), resolve:N:K, late:N:K (authorize.resolve behind an absence), pop, confirm:V (pop.confirm), count:V (pop.validate after the vote of V), tell
(pop.commit), res, cap, act, void:N, revoke, release, unwind, refund:NAME:AMOUNT, dead:COMMAND, look, expire, cancel, notify. A message's name is its command id, and the cause of the facts its deliveries write.
"""
import sys
import time
from collections import deque
from types import SimpleNamespace

# Each rule can be taken out to see what it is good for.
RULES = {
    'because': 'L4: a delivery publishes what rests on its own facts (without: what was not yet due before them)',
    'late': 'L6: an approval that finds a negative result is written as auth:N:late and voided',
    'tombstones': 'validators and token system refuse what arrives after it was taken back',
    'both_undone': 'pop.revoke and token.release are always sent on abort, known or not',
    'undone_by_rule': 'L7: what fails for good after commit is undone by rule',
    'horizon': 'L6: absent is concluded only when nothing sent before can still arrive',
    'leaves_late_doubt': 'L6: who may have sent what was concluded absent leaves a doubt behind it',
    'asks_late': 'L6: a doubt behind an absence is asked about until it is answered',
    'own_intents': 'L5: a redelivery resumes its own open intents only',
    'unsent_is_doubt': 'L5: who sees abort between intent and call does not send, and the intent becomes a doubt',
    'arbiter': 'an exhausted activation is decided by what token.release answers',
    'archivist_says_all': 'L4: who archives a dead letter publishes all of next',
    'closes': 'L7: an abort that finds no authorization begun closes auth:1',
    'refunds_race': 'racing refunds race for the same N',
    'counts_votes': 'a vote that came by callback has the votes counted anew',
    'tells': 'the validators are told of a purchase that stands',
}
BUDGETS = ('crash', 'dup', 'fault', 'cancel', 'expire', 'delay', 'wipe', 'dead', 'replay', 'hexp', 'texp', 'sweep', 'callback', 'stall')


def config(without=(), **given):
    """A configuration: the flow, what may be refused, how often what may go wrong, and the rules that hold."""
    values = dict(flow='dual', routes=1, declines=True, rejects=True, refuses_tokens=True, refunds=(), workers=2, defers=False, resends=False)
    values.update(dict.fromkeys(BUDGETS, 0), sweep=6)
    values.update((rule, rule not in without) for rule in RULES)
    values.update(given)
    return SimpleNamespace(**values)


# --- facts: a frozenset of (slot, outcome, cause) ---------------------------------------------------------------------

def by_slot(facts):
    return {slot: (outcome, cause) for slot, outcome, cause in facts}


def outcome_of(d, slot):
    fact = d.get(slot)
    return fact[0] if fact else None


def authorizations(d):
    """N of the last authorization that was begun."""
    n = 0
    while 'auth:%d' % (n + 1) in d and d['auth:%d' % (n + 1)][0] != 'closed':
        n += 1
    return n


def doubts(d, n, about='auth:%d'):
    k = 0
    while (about + ':doubt:%d') % (n, k) in d:
        k += 1
    return k


def in_late_doubt(d, n):
    """K of the question that is open behind the absence of authorization N, or 0: none is."""
    k = doubts(d, n, 'auth:%d:late')
    last = outcome_of(d, 'auth:%d:late:doubt:%d' % (n, k - 1))
    return k if last == 'x' and 'auth:%d:late' % n not in d else 0


# --- section 6: state and next ----------------------------------------------------------------------------------------

def resolved(d):
    for n in range(1, authorizations(d) + 1):
        result = outcome_of(d, 'auth:%d:result' % n)
        if result is None or (result == 'approved' and 'void:%d' % n not in d):
            return False
    return True


def undone(d, cf):
    if cf.flow == 'plain':
        return True
    if cf.both_undone:
        return 'pop:revoked' in d and 'token:released' in d
    return ((outcome_of(d, 'pop') != 'ok' or 'pop:revoked' in d)
            and (outcome_of(d, 'token:reserved') != 'ok' or 'token:released' in d))


def public_state(d, cf):
    if 'received' not in d:
        return 'pending'
    decision = outcome_of(d, 'decision')
    if decision is None:
        return 'processing'
    if decision == 'abort':
        return 'failed' if resolved(d) and undone(d, cf) else 'processing'
    capture = outcome_of(d, 'capture')
    if capture is None:
        return 'processing'
    if capture == 'ref':
        voided = 'void:%s' % decision[-1] in d
        return 'failed' if cf.undone_by_rule and voided and undone(d, cf) else 'processing'
    if cf.flow == 'plain':
        return 'completed'
    active = outcome_of(d, 'token:active')
    if active is None:
        return 'processing'
    if active == 'ok':
        return 'completed'
    unwound = outcome_of(d, 'refund:1:result') == 'ok' and undone(d, cf)
    return 'failed' if cf.undone_by_rule and unwound else 'processing'


def next_undo(d, cf, reasons, out):
    if cf.flow == 'plain':
        return
    for command, done, undo in (('revoke', 'pop:revoked', 'pop'), ('release', 'token:released', 'token:reserved')):
        if done not in d and (cf.both_undone or outcome_of(d, undo) == 'ok'):
            out.append((command, reasons if cf.both_undone else reasons | {undo}))


def refunded_slots(d):
    return {slot for slot in d if slot.startswith('refund:') and slot.endswith(':result') and outcome_of(d, slot) == 'ok'}


def given_back(d):
    """All of a completed dual payment was refunded: its proof and tokens are taken back, too."""
    amount = sum(int(outcome_of(d, slot[:-len(':result')])) for slot in refunded_slots(d))
    return outcome_of(d, 'token:active') == 'ok' and amount == 2


def next_undecided(d, cf, approved, out):
    dual = cf.flow == 'dual'
    last = 'auth:%d:result' % authorizations(d)
    refused = (dual and 'no' in (outcome_of(d, 'pop'), outcome_of(d, 'token:reserved'))
               or outcome_of(d, last) in ('declined', 'absent') and authorizations(d) >= cf.routes)
    if dual and not refused:
        if 'token:reserved' not in d:
            out.append(('res', {'received'}))
        else:
            if 'auth:1' not in d:
                out.append(('start', {'token:reserved'}))
            if 'pop' not in d:
                out.append(('pop', {'token:reserved'}))
                if cf.counts_votes:
                    out += [('count:' + slot[-1], {slot}) for slot in d if slot.startswith('pop:vote:')]
    if approved and (not dual or outcome_of(d, 'pop') == outcome_of(d, 'token:reserved') == 'ok'):
        out.append(('cap', {'auth:%d:result' % approved} | ({'pop', 'token:reserved'} if dual else set())))


def next_committed(d, cf, n, out):
    capture = outcome_of(d, 'capture')
    if capture is None:
        out.append(('cap', set()))
    elif capture == 'ref':
        if cf.undone_by_rule:
            if 'void:%d' % n not in d:
                out.append(('void:%d' % n, {'capture'}))
            next_undo(d, cf, {'capture'}, out)
    elif cf.flow == 'dual':
        active = outcome_of(d, 'token:active')
        if active is None:
            exhausted = cf.arbiter and 'dead:act' in d
            out.append(('release', {'dead:act'}) if exhausted else ('act', {'capture'}))
        elif active == 'ok' and not given_back(d):
            if cf.tells and 'pop:committed' not in d and 'pop:revoked' not in d:
                out.append(('tell', {'token:active'}))
        elif given_back(d):
            for command, done in (('revoke', 'pop:revoked'), ('release', 'token:released')):
                if done not in d:
                    out.append((command, refunded_slots(d)))
        elif active == 'no' and cf.undone_by_rule:
            if outcome_of(d, 'refund:1:result') is None:
                out.append(('unwind', {'token:active'}))
            next_undo(d, cf, {'token:active'}, out)


def next_notice(d, cf, out):
    state = public_state(d, cf)
    if state not in ('completed', 'failed') or 'notice' in d:
        return
    if state == 'completed':
        reasons = {'token:active'} if cf.flow == 'dual' else {'token:active', 'capture'}
    else:
        ends = ('decision', 'pop:revoked', 'token:released', 'capture', 'token:active', 'refund:1:result')
        reasons = {slot for slot in d if slot in ends or slot.startswith('void') or slot.endswith('result')}
    out.append(('notify', reasons))


def next_commands(d, cf):
    """What the payment needs: [(command, slots it rests on)]."""
    out = []
    if 'received' not in d:
        return out
    decision = outcome_of(d, 'decision')
    approved = None
    for n in range(1, authorizations(d) + 1):
        result = outcome_of(d, 'auth:%d:result' % n)
        if result is None:
            k = doubts(d, n)
            out.append(('resolve:%d:%d' % (n, k), {'auth:%d:doubt:%d' % (n, k - 1)} if k else set()))
        if result == 'approved':
            approved = n
        if 'auth:%d:late' % n in d and 'void:%d' % n not in d:
            out.append(('void:%d' % n, {'auth:%d:late' % n}))
        k = in_late_doubt(d, n)
        if k and cf.asks_late:
            out.append(('late:%d:%d' % (n, k), {'auth:%d:late:doubt:%d' % (n, k - 1)}))
    if decision is None:
        next_undecided(d, cf, approved, out)
    elif decision == 'abort':
        for n in range(1, authorizations(d) + 1):
            if outcome_of(d, 'auth:%d:result' % n) == 'approved' and 'void:%d' % n not in d:
                out.append(('void:%d' % n, {'decision', 'auth:%d:result' % n}))
        next_undo(d, cf, {'decision'}, out)
    else:
        next_committed(d, cf, int(decision[-1]), out)
    for n in range(1, 4):
        accepted = outcome_of(d, 'refund:%d' % n) not in (None, 'refused')
        if accepted and 'refund:%d:result' % n not in d and d['refund:%d' % n][1] != 'unwind':
            out.append((d['refund:%d' % n][1], set()))
    next_notice(d, cf, out)
    return out


def to_publish(facts, message, cf, everything):
    """What a delivery publishes when it looks (L4)."""
    d = by_slot(facts)
    commands = next_commands(d, cf)
    if everything:
        return {command for command, _ in commands}
    if cf.because:
        return {command for command, reasons in commands if any(s in d and d[s][1] == message for s in reasons)}
    before = by_slot(fact for fact in facts if fact[2] != message)
    return {command for command, _ in commands} - {command for command, _ in next_commands(before, cf)}


# --- the steps: (intents, call) before the call -----------------------------------------------------------------------
# A call is (operation, ...): auth N FRESH, query N K, resend N K, late N K, cap N, void N, pop, revoke, res, act, release, refund N AMOUNT.

def own_open_authorization(d, message, cf):
    for n in range(1, authorizations(d) + 1):
        open_intent = 'auth:%d:result' % n not in d and doubts(d, n) == 0
        if open_intent and (not cf.own_intents or d['auth:%d' % n][1] == message):
            return n
    return 0


def observation(d, n, cf):
    """What a delivery leaves that may have sent authorization N without an answer: a doubt that nobody wrote before."""
    result = outcome_of(d, 'auth:%d:result' % n)
    if result is None:
        return [('auth:%d:doubt:%d' % (n, doubts(d, n)), 'x')]
    if result == 'absent' and 'auth:%d:late' % n not in d:
        return [('auth:%d:late:doubt:%d' % (n, doubts(d, n, 'auth:%d:late')), 'x')]
    return []


def is_asked_about(d, doubt):
    """Not if it was concluded meanwhile that the authorization is absent, or that nothing is behind the absence."""
    n = int(doubt.split(':')[1])
    if 'auth:%d:late' % n in d:
        return True
    if ':late:' in doubt:
        return outcome_of(d, doubt) == 'x'
    return outcome_of(d, 'auth:%d:result' % n) != 'absent'


def owed_at_once(message, d, cf):
    """Of a delivery that has not sent anything: a redelivery may be that of one which has, and so may whoever first finds an absence."""
    redelivered = message.endswith('!')
    message = message.rstrip('!')
    asked = int(message.split(':')[1]) if message.startswith('resolve:') else 0
    for n in range(1, authorizations(d) + 1):
        mine = d['auth:%d' % n][1] == message or n == asked
        result = d.get('auth:%d:result' % n)
        first = result and result[1] != message and not doubts(d, n, 'auth:%d:late')
        if cf.leaves_late_doubt and mine and result and (redelivered or first) and observation(d, n, cf):
            return observation(d, n, cf)
    return []


def plan_authorize(delivered, d, cf):
    message = delivered.rstrip('!')
    if message == 'create' and 'received' not in d:
        if cf.flow == 'dual':
            return [('received', 'ok')], None
        return [('received', 'ok'), ('auth:1', 'i')], ('auth', 1, 1)
    undecided = outcome_of(d, 'decision') is None
    if message == 'start' and 'auth:1' not in d and outcome_of(d, 'token:reserved') == 'ok' and undecided:
        return [('auth:1', 'i')], ('auth', 1, 1)
    n = own_open_authorization(d, message, cf)
    if n:
        return [], ('auth', n, 0)
    return owed_at_once(delivered, d, cf), None


def plan_resolve(delivered, d, cf):
    message = delivered.rstrip('!')
    n, k = map(int, message.split(':')[1:])
    own = own_open_authorization(d, message, cf) if cf.own_intents else 0
    if own:
        return [], ('auth', own, 0)
    if 'auth:%d:result' % n in d or doubts(d, n) > k:
        return owed_at_once(delivered, d, cf), None
    return [], ('resend' if cf.resends and k < 1 else 'query', n, k)


def plan_late(message, d):
    n, k = map(int, message.split(':')[1:])
    return [], ('late', n, k) if in_late_doubt(d, n) == k else None


def plan_capture(d, cf):
    decision = outcome_of(d, 'decision')
    if decision is None:
        if 'cap' not in dict(next_commands(d, cf)):
            return [], None
        n = max(n for n in range(1, authorizations(d) + 1) if outcome_of(d, 'auth:%d:result' % n) == 'approved')
        return [('decision', 'commit:%d' % n)], ('cap', n)
    if decision == 'abort' or 'capture' in d:
        return [], None
    return [], ('cap', int(decision[-1]))


def plan_refund(message, d, cf):
    unwind = message == 'unwind'
    amount = 2 if unwind else int(message.split(':')[2])
    for n in range(1, 5):
        fact = d.get('refund:%d' % n)
        if fact and fact[1] == message:
            done = fact[0] == 'refused' or 'refund:%d:result' % n in d
            return [], None if done else ('refund', n, amount)
    used, n = 0, 1
    while 'refund:%d' % n in d:
        if outcome_of(d, 'refund:%d' % n) != 'refused' and outcome_of(d, 'refund:%d:result' % n) != 'no':
            used += int(outcome_of(d, 'refund:%d' % n))
        n += 1
    if not cf.refunds_race:
        used = sum(int(fact[0]) for slot, fact in d.items()
                   if slot.startswith('refund:') and 'result' not in slot and fact[0] != 'refused')
        n = 1 if unwind else 'abc'.index(message.split(':')[1]) + 1
    if not unwind and (public_state(d, cf) != 'completed' or used + amount > 2):
        return [('refund:%d' % n, 'refused')], None
    if unwind and 'unwind' not in dict(next_commands(d, cf)):
        return [], None
    return [('refund:%d' % n, str(amount))], ('refund', n, amount)


def plan_dead(message, d):
    facts = [] if message in d else [(message, 'x')]
    if 'received' in d and outcome_of(d, 'decision') is None:
        facts.append(('decision', 'abort'))
    return facts, None


def plan(delivered, facts, cf):
    """`delivered`: the message, with a ! behind it if it is a redelivery."""
    d = by_slot(facts)
    message = delivered.rstrip('!')
    kind = message.split(':')[0]
    undecided = outcome_of(d, 'decision') is None
    if kind in ('create', 'start'):
        return plan_authorize(delivered, d, cf)
    if kind == 'resolve':
        return plan_resolve(delivered, d, cf)
    if kind == 'late':
        return plan_late(message, d)
    if kind in ('pop', 'count'):
        return [], ('pop',) if 'pop' not in d and undecided else None
    if kind == 'confirm':
        return [('pop:vote:' + message[8:9], message[10:])] if 'pop' not in d and undecided else [], None
    if kind == 'tell':
        return [], ('tell',) if 'tell' in dict(next_commands(d, cf)) else None
    if kind == 'res':
        return [], ('res',) if 'token:reserved' not in d and undecided else None
    if kind == 'cap':
        return plan_capture(d, cf)
    if kind == 'act':
        return [], ('act',) if outcome_of(d, 'capture') == 'ok' and 'token:active' not in d else None
    if kind == 'void':
        wanted = message in dict(next_commands(d, cf)) and message not in d
        return [], ('void', int(message[-1])) if wanted else None
    if kind == 'revoke':
        return [], ('revoke',) if 'pop:revoked' not in d else None
    if kind == 'release':
        if 'token:released' in d:
            return [], None
        if outcome_of(d, 'token:active') == 'ok':
            return [], ('deactivate',) if given_back(d) else None
        return [], ('release',)
    if kind in ('cancel', 'expire'):
        return [('decision', 'abort')] if undecided else [], None
    if kind == 'dead':
        return plan_dead(message, d)
    if kind == 'notify':
        due = 'notice' not in d and public_state(d, cf) in ('completed', 'failed')
        return [('notice', 'x')] if due else [], None
    if kind in ('unwind', 'refund'):
        return plan_refund(message, d, cf)
    return [], None


def insert(facts, slots, cause, cf):
    """One transaction: (facts after it, slots won)."""
    d = by_slot(facts)
    won = [(slot, outcome, cause) for slot, outcome in slots if slot not in d]
    aborts = any(slot == 'decision' and outcome == 'abort' for slot, outcome, _ in won)
    if cf.closes and aborts and 'auth:1' not in d and 'auth:1' not in [slot for slot, _, _ in won]:
        won.append(('auth:1', 'closed', cause))
    return frozenset(facts | set(won)), [slot for slot, _, _ in won]


# --- the providers: (authorization 1, authorization 2, tokens, purchase, refunds) -------------------------------------

def put(providers, i, value):
    return providers[:i] + (value,) + providers[i + 1:]


def effect_of_authorization(call, providers, flight, cf):
    kind, n = call[0], call[1]
    state = providers[n - 1]
    if kind in ('auth', 'resend'):
        if state == 'closed':
            return [(providers, 'toolate')]
        if state == 'none':
            declined = [(put(providers, n - 1, 'declined'), 'declined')] if cf.declines else []
            return [(put(providers, n - 1, 'hold'), 'hold')] + declined
    elif state == 'none':
        if cf.horizon and any(c[0] in ('auth', 'resend') and c[1] == n for c in flight):
            return [(providers, 'doubt')]
        closes = kind == 'query' and cf.horizon
        return [(put(providers, n - 1, 'closed') if closes else providers, 'notfound')]
    elif state == 'closed':
        return [(providers, 'notfound')]
    return [(providers, 'declined' if state == 'declined' else 'hold')]


def effects(call, providers, flight, cf):
    """What the call may do: [(providers after it, answer)]."""
    kind = call[0]
    tokens, purchase, refunds = providers[2:]
    if kind in ('auth', 'resend', 'query', 'late'):
        return effect_of_authorization(call, providers, flight, cf)
    if kind == 'cap':
        state = providers[call[1] - 1]
        if state == 'hold':
            return [(put(providers, call[1] - 1, 'captured'), 'ok')]
        return [(providers, 'ok' if state == 'captured' else 'ref')]
    if kind == 'void':
        state = providers[call[1] - 1]
        if state == 'hold':
            return [(put(providers, call[1] - 1, 'voided'), 'ok')]
        return [(providers, 'ok' if state != 'captured' else 'CAPTURED')]
    if kind == 'pop' and cf.defers and purchase in ('none', 'asked'):
        return [(put(providers, 3, 'asked'), 'later')]
    if kind == 'tell':
        return [(providers, 'no' if purchase == 'revoked' else 'ok')]
    if kind == 'pop':
        if purchase == 'none':
            rejected = [(put(providers, 3, 'rejected'), 'no')] if cf.rejects else []
            return [(put(providers, 3, 'valid'), 'ok')] + rejected
        return [(providers, 'ok' if purchase == 'valid' else 'no')]
    if kind == 'revoke':
        return [(put(providers, 3, 'revoked' if cf.tombstones or purchase == 'valid' else purchase), 'ok')]
    if kind == 'res':
        if tokens == 'none':
            refused = [(put(providers, 2, 'refused'), 'no')] if cf.refuses_tokens else []
            return [(put(providers, 2, 'reserved'), 'ok')] + refused
        return [(providers, 'ok' if tokens in ('reserved', 'active') else 'no')]
    if kind == 'act':
        if tokens == 'reserved':
            return [(put(providers, 2, 'active'), 'ok')]
        return [(providers, 'ok' if tokens == 'active' else 'no')]
    if kind == 'release':
        if tokens == 'active':
            return [(providers, 'active')]
        return [(put(providers, 2, 'released' if cf.tombstones or tokens == 'reserved' else tokens), 'ok')]
    if kind == 'deactivate':
        if tokens in ('active', 'deactivated'):
            return [(put(providers, 2, 'deactivated'), 'ok')]
        return [(providers, 'no')]
    _, n, amount = call
    if n in dict(refunds):
        return [(providers, 'ok')]
    return [(put(providers, 4, tuple(sorted(refunds + ((n, amount),)))), 'ok')]


def calls(call, providers, flight, budget, cf):
    """Everything that may become of a call: [(providers, flight, budget, answer)]."""
    out = []
    faults = budget['fault'] > 0
    for after, answer in effects(call, providers, flight, cf):
        out.append((after, flight, budget, answer))
        if faults and after != providers:
            out.append((after, flight, less(budget, 'fault'), 'doubt'))
    if faults:
        out.append((providers, flight, less(budget, 'fault'), 'doubt'))
    if budget['delay'] > 0 and call[0] in ('auth', 'resend', 'res', 'pop'):
        out.append((providers, tuple(sorted(flight + (call,))), less(budget, 'delay'), 'doubt'))
    return out


def settle_late(message, call, answer, facts, cf):
    n, k = call[1:]
    if answer == 'doubt':
        return facts, None, 'retry'
    if answer == 'hold':
        return (insert(facts, [('auth:%d:late' % n, 'x')], message, cf)[0] if cf.late else facts), None, 'done'
    return insert(facts, [('auth:%d:late:doubt:%d' % (n, k), 'no')], message, cf)[0], None, 'done'


def settle_authorization(message, call, answer, facts, cf):
    kind, n = call[0], call[1]
    d = by_slot(facts)
    result = 'auth:%d:result' % n

    def written(*slots):
        return insert(facts, slots, message, cf)[0], None, 'done'

    if kind == 'late':
        return settle_late(message, call, answer, facts, cf)
    if answer == 'doubt' and kind == 'query':
        return (facts, None, 'done') if result in d else written(('auth:%d:doubt:%d' % (n, call[2]), 'x'))
    if answer == 'doubt':
        left = observation(d, n, cf) if cf.leaves_late_doubt or result not in d else []
        return (written(*left) if left else (facts, None, 'done'))
    if answer == 'toolate':
        return facts, None, 'done'
    outcome = {'hold': 'approved', 'declined': 'declined', 'notfound': 'absent'}[answer]
    if result in d:
        if outcome == 'approved' and outcome_of(d, result) != 'approved' and cf.late:
            return written(('auth:%d:late' % n, 'x'))
        return facts, None, 'done'
    slots, following = [(result, outcome)], None
    if outcome == 'absent' and cf.leaves_late_doubt and doubts(d, n) > call[2]:
        slots.append(('auth:%d:late:doubt:0' % n, 'x'))  # somebody may have sent after this question
    if outcome != 'approved':
        if n >= cf.routes:
            slots.append(('decision', 'abort'))
        elif outcome_of(d, 'decision') is None:
            slots.append(('auth:%d' % (n + 1), 'i'))
            following = ('auth', n + 1, 1)
    return insert(facts, slots, message, cf)[0], following, 'done'


def settle(message, call, answer, facts, cf):
    """(facts, the call that follows, done or retry)."""
    d = by_slot(facts)
    kind = call[0]

    def written(*slots):
        return insert(facts, slots, message, cf)[0], None, 'done'

    if kind in ('auth', 'resend', 'query', 'late'):
        return settle_authorization(message, call, answer, facts, cf)
    if answer == 'later':
        return facts, None, 'done'  # the callback alone has to bring it on; in truth it is also asked again
    if answer == 'doubt' or (kind == 'tell' and answer == 'no'):
        return facts, None, 'retry'
    if kind == 'tell':
        return written(('pop:committed', 'ok'))
    if kind == 'cap':
        return written(('capture', answer))
    if kind == 'void':
        return written(('void:%d' % call[1], answer))
    if kind in ('pop', 'res'):
        slot = 'pop' if kind == 'pop' else 'token:reserved'
        if slot in d:
            return facts, None, 'done'
        return written((slot, answer), *([('decision', 'abort')] if answer == 'no' else []))
    if kind == 'act':
        return written(('token:active', answer))
    if kind == 'revoke':
        return written(('pop:revoked', 'ok'))
    if kind == 'release':
        if answer == 'active':
            return written(('token:active', 'ok'))
        if outcome_of(d, 'decision') not in (None, 'abort') and outcome_of(d, 'capture') == 'ok':
            return written(('token:active', 'no'), ('token:released', 'ok'))
        return written(('token:released', 'ok'))
    if kind == 'deactivate':
        return written(('token:released', 'off'))
    return written(('refund:%d:result' % call[1], answer))


# --- states and their successors --------------------------------------------------------------------------------------
# A state: (facts, queue, deliveries in work, providers, requests in flight, budgets left, broker was wiped).
# A delivery in work: (message, phase, what the phase needs, what it has published).

def less(budget, kind):
    return {**budget, kind: budget[kind] - 1}


def enqueued(queue, commands):
    queue = list(queue)
    for command in commands:
        if queue.count(command) < 2:
            queue.append(command)
    return queue


class Successors:
    """Collects [(label, state)]: what one state may become."""

    def __init__(self, state, cf):
        self.cf = cf
        self.facts, self.queue, self.work, self.providers, self.flight, left, self.wiped = state
        self.budget = dict(zip(BUDGETS, left))
        self.d = by_slot(self.facts)
        self.out = []
        self.deliveries()
        self.duplicates()
        for i, delivery in enumerate(self.work):
            self.crashes(delivery, self.work[:i] + self.work[i + 1:])
            getattr(self, 'phase_' + delivery[1])(delivery, self.work[:i] + self.work[i + 1:])
        self.landings()
        self.outside()

    def emit(self, label, **change):
        def get(name):
            return change.get(name, getattr(self, name))

        budget = get('budget')
        self.out.append((label, (get('facts'), tuple(sorted(get('queue'))), tuple(sorted(get('work'), key=repr)),
                                 get('providers'), get('flight'), tuple(budget[k] for k in BUDGETS), get('wiped'))))

    def deliveries(self):
        if len(self.work) >= self.cf.workers:
            return
        for delivered in set(self.queue):
            message = delivered.rstrip('!')
            kind = message.split(':')[0]
            if kind in ('cancel', 'expire', 'refund') and 'received' not in self.d:
                continue  # waits on the ladder
            if kind == 'refund' and public_state(self.d, self.cf) in ('processing', 'pending'):
                continue  # would be written as refused; waiting shows more
            queue = list(self.queue)
            queue.remove(delivered)
            self.emit('deliver ' + delivered, queue=queue, work=self.work + (self.begun(delivered, ()),))

    def begun(self, delivered, sent):
        intents, call = plan(delivered, self.facts, self.cf)
        message = delivered.rstrip('!')
        if intents:
            return message, 'intents', (tuple(intents), call), sent
        return (message, 'call', call, sent) if call else (message, 'look', None, sent)

    def duplicates(self):
        if self.budget['dup'] <= 0:
            return
        for message in set(self.queue):
            if self.queue.count(message) < 2:
                self.emit('dup ' + message, queue=list(self.queue) + [message], budget=less(self.budget, 'dup'))
        for delivery in self.work:
            if delivery[0] not in self.queue and delivery[0] + '!' not in self.queue:
                others = list(self.work)
                others.remove(delivery)
                queue, lost = self.taken_away([delivery])
                self.emit('redeliver ' + delivery[0], queue=queue, work=tuple(others) + lost, budget=less(self.budget, 'dup'))

    def taken_away(self, deliveries):
        """The broker gives them to others, while whoever had them goes on: (queue, those deliveries)."""
        queue = list(self.queue)
        for message, *_ in deliveries:
            if queue.count(message + '!') < 2:
                queue.append(message + '!')
        return queue, tuple((message, phase, info, tuple(sorted(set(sent) | {'LOST'}))) for message, phase, info, sent in deliveries)

    def crashes(self, delivery, rest):
        message, phase = delivery[:2]
        if self.budget['crash'] <= 0:
            return
        budget = less(self.budget, 'crash')
        lost = 'LOST' in delivery[3]
        if lost and phase == 'settle' and delivery[2][0][0] in ('auth', 'resend'):
            return  # sent, and nobody is left who could know: a bound of the promise
        again = [message + '!'] if self.queue.count(message + '!') < 2 and not lost else []
        # what a lost one has not said is said by payment.look alone, as after a wipe
        self.emit('crash %s@%s' % (message, phase), queue=list(self.queue) + again, work=rest, budget=budget,
                  wiped=1 if lost else self.wiped)
        if budget['dead'] > 0 and not message.startswith(('dead', 'look', 'refund', 'cancel', 'expire')):
            self.emit('crash loop, dead letter %s@%s' % (message, phase), work=rest, budget=less(budget, 'dead'),
                      queue=enqueued(self.queue, ['dead:' + message]))

    def phase_intents(self, delivery, rest):
        message, _, (intents, call), sent = delivery
        facts, won = insert(self.facts, intents, message, self.cf)
        d = by_slot(facts)
        if message.startswith(('refund', 'unwind')) and intents[0][0] not in won:
            self.emit('commit-int(lost) ' + message, work=rest + ((message, 'replan', None, sent),))
            return
        if ':doubt:' in intents[0][0] and not is_asked_about(d, intents[0][0]):
            n = int(intents[0][0].split(':')[1])
            again = (tuple(observation(d, n, self.cf)), call)
            self.emit('commit-int(late) ' + message, facts=facts, work=rest + ((message, 'intents', again, sent),))
            return
        if call and call[0] == 'cap' and 'decision' not in won and outcome_of(d, 'decision') != intents[0][1]:
            call = None
        if call and call[0] == 'auth':
            fresh = 'auth:%d' % call[1] in won
            lost = not fresh and message == 'start' and d['auth:1'][1] != message
            call = None if lost or 'auth:%d:result' % call[1] in d else ('auth', call[1], 1 if fresh else 0)
        self.emit('commit-int ' + message, facts=facts, work=rest + ((message, 'look', call, sent),))

    def phase_replan(self, delivery, rest):
        self.emit('replan ' + delivery[0], work=rest + (self.begun(delivery[0], delivery[3]),))

    def phase_look(self, delivery, rest):
        message, _, call, sent = delivery
        everything = message == 'look' or (message.startswith('dead') and self.cf.archivist_says_all)
        commands = to_publish(self.facts, message, self.cf, everything) - set(sent)
        sent = tuple(sorted(set(sent) | commands))
        aborted = outcome_of(self.d, 'decision') == 'abort' and self.cf.unsent_is_doubt
        if call and call[0] == 'auth' and aborted:
            after = (message, 'settle', (('auth', call[1], 2), 'doubt'), sent)
        else:
            after = (message, 'call', call, sent) if call else (message, 'ack', None, ())
        self.emit('look+pub %s %s' % (message, sorted(commands)), queue=enqueued(self.queue, commands), work=rest + (after,))

    def phase_call(self, delivery, rest):
        message, _, call, sent = delivery
        for providers, flight, budget, answer in calls(call, self.providers, self.flight, self.budget, self.cf):
            self.emit('call %s %s=%s' % (message, call, answer), providers=providers, flight=flight, budget=budget,
                      work=rest + ((message, 'settle', (call, answer), sent),))
        if call[0] == 'query' and self.budget['stall'] > 0 and self.providers[call[1] - 1] == 'none':
            self.stall(delivery, rest)

    def stall(self, delivery, rest):
        """Others stand still between their look at the clock and their call, and send later than anybody waits for."""
        message, _, call, sent = delivery
        still = [other for other in rest if other[1] == 'call' and other[2] and other[2][0] in ('auth', 'resend') and other[2][1] == call[1]]
        if still:
            queue, lost = self.taken_away(still)
            work = tuple(other for other in rest if other not in still) + lost
            self.emit('others stand still, call %s %s=notfound' % (message, call), queue=queue, budget=less(self.budget, 'stall'),
                      work=work + ((message, 'settle', (call, 'notfound'), sent),))

    def phase_settle(self, delivery, rest):
        message, _, (call, answer), sent = delivery
        facts, following, verdict = settle(message, call, answer, self.facts, self.cf)
        if verdict == 'done':
            self.emit('commit-set ' + message, facts=facts, work=rest + ((message, 'look', following, sent),))
            return
        work = rest + ((message, 'ack', None, ()),)
        self.emit('retry ' + message, queue=enqueued(self.queue, [message]), work=work)
        if self.budget['dead'] > 0 and message in ('pop', 'res', 'act'):
            self.emit('deadletter ' + message, queue=enqueued(self.queue, ['dead:' + message]), work=work,
                      budget=less(self.budget, 'dead'))

    def phase_ack(self, delivery, rest):
        self.emit('ack ' + delivery[0], work=rest)

    def landings(self):
        for call in set(self.flight):
            rest = list(self.flight)
            rest.remove(call)
            for providers, _ in effects(call, self.providers, self.flight, self.cf):
                self.emit('lands %s' % (call,), providers=providers, flight=tuple(rest))

    def outside(self):
        received = 'received' in self.d
        if self.budget['cancel'] > 0:
            self.emit('customer cancel', queue=enqueued(self.queue, ['cancel']), budget=less(self.budget, 'cancel'))
        if self.budget['expire'] > 0 and received:
            self.emit('keeper expire', queue=enqueued(self.queue, ['expire']), budget=less(self.budget, 'expire'))
        for i in (0, 1):
            if self.budget['hexp'] > 0 and self.providers[i] == 'hold':
                self.emit('hold expires', providers=put(self.providers, i, 'expired'), budget=less(self.budget, 'hexp'))
        if self.budget['texp'] > 0 and self.providers[2] == 'reserved':
            self.emit('reservation expires', providers=put(self.providers, 2, 'released'),
                      budget=less(self.budget, 'texp'))
        for slot in self.d:
            if self.budget['replay'] > 0 and slot.startswith('dead:'):
                self.emit('replay ' + slot[5:], queue=enqueued(self.queue, [slot[5:]]),
                          budget=less(self.budget, 'replay'))
        if self.cf.defers and self.providers[3] == 'asked':
            for verdict, purchase in (('ok', 'valid'),) + ((('no', 'rejected'),) if self.cf.rejects else ()):
                self.emit('validators decide ' + verdict, providers=put(self.providers, 3, purchase),
                          queue=enqueued(self.queue, ['confirm:1:' + verdict]))
        voted = {'valid': 'ok', 'rejected': 'no'}.get(self.providers[3])
        if self.budget['callback'] > 0 and voted:
            self.emit('callback %d' % self.budget['callback'], budget=less(self.budget, 'callback'),
                      queue=enqueued(self.queue, ['confirm:%d:%s' % (self.budget['callback'], voted)]))
        if self.budget['wipe'] > 0 and received:
            self.emit('BROKER WIPED', queue=(), work=(), budget=less(self.budget, 'wipe'), wiped=1)
        stands_still = self.wiped and not self.queue and not self.work
        if stands_still and self.budget['sweep'] > 0 and next_commands(self.d, self.cf):
            self.emit('sweep', queue=['look'], budget=less(self.budget, 'sweep'))


def successors(state, cf):
    return Successors(state, cf).out


def first_state(cf):
    queue = sorted(['create'] + ['refund:%s:%d' % refund for refund in cf.refunds])
    providers = ('none', 'none', 'none', 'none', ())
    return frozenset(), tuple(queue), (), providers, (), tuple(getattr(cf, k) for k in BUDGETS), 0


# --- what must hold ---------------------------------------------------------------------------------------------------

def broken_now(state, cf):
    """In every state."""
    facts, providers = state[0], state[3]
    d = by_slot(facts)
    decision = outcome_of(d, 'decision')
    captured = 'captured' in providers[:2]
    out = []
    for n in (1, 2):
        if providers[n - 1] == 'captured' and decision != 'commit:%d' % n:
            out.append('capture without commit')
        if providers[n - 1] == 'voided' and decision == 'commit:%d' % n and outcome_of(d, 'capture') != 'ref':
            out.append('void after commit')
        if outcome_of(d, 'void:%d' % n) == 'CAPTURED':
            out.append('void hits capture')
    if not cf.stall and all(authorization in ('hold', 'captured') for authorization in providers[:2]):
        out.append('two live authorizations')
    if providers[:2] == ('captured', 'captured'):
        out.append('TWO CAPTURES')
    if sum(amount for _, amount in providers[4]) > (2 if captured else 0):
        out.append('over-refund')
    if providers[2] == 'active' and not captured:
        out.append('token active without capture')
    return out


def broken_at_rest(state, cf):
    """In states that nothing leaves."""
    facts, _, _, providers, _, _, wiped = state
    d = by_slot(facts)
    public = public_state(d, cf)
    if 'received' not in d and 'dead:create' in d:
        return []
    if public not in ('completed', 'failed'):
        return ['STUCK (%s)' % public] if 'received' in d or not wiped else []
    out = [] if 'notice' in d else ['no notice']
    captured = 'captured' in providers[:2]
    if public == 'completed':
        if not captured:
            out.append('completed, no capture')
        wanted = ('deactivated', 'revoked') if given_back(d) else ('active', 'valid')
        if cf.flow == 'dual' and providers[2:4] != wanted:
            out.append('completed, purchase wrong')
        if cf.flow == 'dual' and not given_back(d) and 'pop:committed' not in d:
            out.append('completed, validators not told')
    else:
        if captured and sum(amount for _, amount in providers[4]) != 2:
            out.append('failed but charged')
        if providers[2] in ('reserved', 'active') or providers[3] == 'valid':
            out.append('failed, purchase not undone')
    if 'hold' in providers[:2]:
        out.append(public + ' with live hold')
    for n in range(1, 4):
        if (outcome_of(d, 'refund:%d:result' % n) == 'ok') != (n in dict(providers[4])):
            out.append('refund books')
    return out


OUTSIDE = ('customer', 'keeper', 'hold exp', 'reservation', 'replay', 'BROKER', 'dup', 'callback')


def at_rest(state, steps):
    """Nothing moves by itself any more. None: it should, and cannot."""
    if any(not label.startswith(OUTSIDE) for label, _ in steps):
        return False
    waits = [m for m in state[1] if not m.startswith(('refund', 'cancel', 'expire'))]
    return None if waits or state[2] else True


def explore(name, cf, seconds):
    """Every interleaving within the budgets; prints the first way to everything that broke."""
    start = time.time()
    first = first_state(cf)
    seen, queue, broken, edges, ends = {first: None}, deque([first]), {}, 0, 0
    while queue and time.time() - start < seconds:
        state = queue.popleft()
        steps = successors(state, cf)
        edges += len(steps)
        public = public_state(by_slot(state[0]), cf)
        rest = at_rest(state, steps)
        if rest is None:
            broken.setdefault('DEADLOCK', state)
        elif rest:
            ends += 1
            for what in broken_at_rest(state, cf):
                broken.setdefault(what, state)
        for label, after in steps:
            if public in ('completed', 'failed') and public_state(by_slot(after[0]), cf) != public:
                broken.setdefault('the end moved', state)
            if after not in seen:
                seen[after] = (state, label)
                queue.append(after)
                for what in broken_now(after, cf):
                    broken.setdefault(what, after)
    print('%-38s states %8d edges %8d ends %6d %s %5.1f s  %s' % (
        name, len(seen), edges, ends, 'partial ' if queue else 'complete', time.time() - start,
        ', '.join(sorted(broken)) or 'ok'), flush=True)
    for what, state in broken.items():
        trace = []
        while seen[state]:
            state, label = seen[state]
            trace.append(label)
        print('   %s: %s' % (what, ' > '.join(reversed(trace))))
    return broken


def walk(cf, dice):
    """One random history: yields every set of facts it goes through."""
    state = first_state(cf)
    while True:
        steps = successors(state, cf)
        likely = [s for s in steps if not s[0].startswith(OUTSIDE + ('redel', 'crash'))]
        if not steps or (not likely and not state[1] and not state[2] and dice.random() < .5):
            return
        _, after = dice.choice(likely if likely and dice.random() < .8 else steps)
        if after[0] != state[0]:
            yield after[0]
        state = after


def configurations(without=()):
    """Finite ones: `delay` has none, a request that stays in flight gives one more doubt at every question (walks use it)."""
    calm = dict(declines=False, rejects=False, refuses_tokens=False)
    three = (('a', 1), ('b', 1), ('c', 1))
    return {
        'dual refusals crash': config(without, crash=1),
        'dual refusals duplicate': config(without, dup=1),
        'dual cancel+deadline': config(without, cancel=1, expire=1),
        'dual cancel crash': config(without, crash=1, cancel=1, **calm),
        'dual 2 providers fault cancel': config(without, routes=2, fault=1, cancel=1),
        'dual expiries fault cancel': config(without, fault=1, cancel=1, hexp=1, texp=1, **calm),
        'dual broker wiped, sweeper': config(without, fault=1, wipe=1),
        'dual crash loop, dead letter, replay': config(without, crash=1, dead=1, replay=1, **calm),
        'plain 2 providers 2 faults cancel': config(without, flow='plain', routes=2, fault=2, cancel=1),
        'dual refunded in full': config(without, crash=1, refunds=(('a', 1), ('b', 1)), **calm),
        'dual called back': config(without, crash=1, callback=1, declines=False, refuses_tokens=False),
        'dual deferred': config(without, dup=1, expire=1, defers=True, declines=False, refuses_tokens=False),
        'plain stalled before a call': config(without, flow='plain', stall=1, fault=2, crash=1, dup=1, resends=True),
        'plain 2 providers stalled': config(without, flow='plain', routes=2, stall=1, fault=2, dup=1, resends=True, declines=False),
        'plain refunds': config(without, flow='plain', dup=1, fault=1, refunds=three),
    }


def main(arguments):
    without = ()
    if '--without' in arguments:
        at = arguments.index('--without')
        without = (arguments[at + 1],)
        if without[0] not in RULES:
            sys.exit('rules: ' + ', '.join(RULES))
        del arguments[at:at + 2]
    seconds = float(arguments[0]) if arguments else 60
    broken = [explore(name, cf, seconds) for name, cf in configurations(without).items()]
    return 1 if any(broken) else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
