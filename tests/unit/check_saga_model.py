"""Does the C saga agree with its model? Random walks of saga_model.py against build/unit/saga_cli.

    python3 tests/unit/check_saga_model.py [PATH OF saga_cli] [WALKS PER CONFIGURATION]

saga_cli (tests/unit/saga_cli.c) has to be built first (`make build/unit/saga_cli`); the default path is
build/unit/saga_cli. ACQUIT_SEED chooses other walks. Every set of facts that a walk reaches is translated to slots, outcomes and
bodies of the ledger, and three things are compared: the public state, the commands that follow with the facts each of them rests
on, and whether a step that is delivered a command said before would begin anything. Any difference is a failure (exit code 1) and
is printed with its facts. What the ledger's saga does beyond the model stands in DIFFERENCES, and nowhere else.
"""
import json
import os
import random
import subprocess
import sys
import uuid

import saga_model as model

AMOUNT = 2
CHANNEL = 'webhook'

# The model's commands: type, slot that names it.
COMMANDS = {
    'res': ('token.reserve', 'token:reserved'),
    'start': ('authorize.start', 'auth:1'),
    'pop': ('pop.validate', 'pop'),
    'cap': ('authorize.capture', 'capture'),
    'act': ('token.activate', 'token:active'),
    'tell': ('pop.commit', 'pop:committed'),
    'revoke': ('pop.revoke', 'pop:revoked'),
    'release': ('token.release', 'token:released'),
    'unwind': ('payment.unwind', 'refund:1'),
    'void:1': ('authorize.void', 'void:1'),
    'void:2': ('authorize.void', 'void:2'),
    'create': ('payment.create', ''),
    'resolve': ('authorize.resolve', ''),
    'late': ('authorize.resolve', ''),
}
# Those of which plan() says nothing but whether they begin anything.
PLANNED = ('res', 'pop', 'tell', 'cap', 'act', 'revoke', 'release', 'void:1', 'void:2')

OUTCOMES = {
    'received': {'ok': 'accepted'},
    'pop': {'ok': 'validated', 'no': 'rejected'},
    'pop vote': {'ok': 'valid', 'no': 'invalid'},
    'pop:committed': {'ok': 'committed'},
    'pop:revoked': {'ok': 'revoked'},
    'token:reserved': {'ok': 'reserved', 'no': 'refused'},
    'token:active': {'ok': 'active', 'no': 'refused'},
    'token:released': {'ok': 'released', 'off': 'deactivated'},
    'decision': {'abort': 'abort', 'commit:1': 'commit:1', 'commit:2': 'commit:2'},
    'capture': {'ok': 'captured', 'ref': 'refused'},
    'auth': {'i': 'intent', 'closed': 'closed'},
    'auth result': {'approved': 'approved', 'declined': 'declined', 'absent': 'absent'},
    'auth late': {'x': 'approved'},
    'auth doubt': {'x': 'unknown'},
    'auth late doubt': {'x': 'unknown', 'no': 'nothing'},
    'void': {'ok': 'voided'},
    'refund': {'1': 'accepted', '2': 'accepted', 'refused': 'refused'},
    'refund result': {'ok': 'refunded'},
    'notice': {'x': 'delivered'},
}
REASONS = {'cancel': 'CANCELLED', 'expire': 'EXPIRED', 'pop': 'POP_REJECTED', 'res': 'TOKENS_UNAVAILABLE'}


# --- the model's facts as facts of the ledger -------------------------------------------------------------------------

def end_of(d, cf):
    """The model has one failed state; the ledger's saga tells a cancelled payment from others."""
    public = model.public_state(d, cf)
    cancelled = public == 'failed' and d['decision'] == ('abort', 'cancel')
    return 'cancelled' if cancelled else public


def ledger_slot(slot, d, cf):
    if slot == 'notice':
        return 'notice:payment.%s:%s' % (end_of(d, cf), CHANNEL)
    if slot.startswith('dead:'):
        return 'dead:%s:1' % uuid.uuid5(uuid.NAMESPACE_OID, slot)
    return slot


def ledger_outcome(slot, outcome):
    if slot.startswith('dead:'):
        command = slot[5:]
        return COMMANDS.get(command, COMMANDS.get(command.split(':')[0], (command,)))[0]
    parts = slot.split(':')
    kind = slot if slot in OUTCOMES else ' '.join(part for part in parts if not part.isdigit())
    return OUTCOMES[kind][outcome]


def ledger_body(slot, outcome, cause, cf):
    if slot == 'received':
        return {'flow': cf.flow, 'amount': AMOUNT, 'currency': 'EUR', 'channels': [CHANNEL]}
    if slot == 'decision' and outcome == 'abort':
        return {'reason': 'DEAD_LETTERED' if cause.startswith('dead:') else REASONS.get(cause, 'DECLINED')}
    if slot.startswith('refund:') and outcome != 'ok':
        return {'amount': AMOUNT if outcome == 'refused' else int(outcome)}
    return {}


def ledger_facts(facts, cf):
    d = model.by_slot(facts)
    return [{'slot': ledger_slot(slot, d, cf), 'outcome': ledger_outcome(slot, outcome),
             'body': ledger_body(slot, outcome, cause, cf)} for slot, outcome, cause in facts]


# --- the model's next as commands of the ledger -----------------------------------------------------------------------

def ledger_command(command, d, cf):
    if command.startswith('resolve:'):
        _, n, k = command.split(':')
        return 'authorize.resolve', 'auth:%s:doubt:%s' % (n, k)
    if command.startswith('late:'):
        _, n, k = command.split(':')
        return 'authorize.resolve', 'auth:%s:late:doubt:%s' % (n, k)
    if command.startswith('count:'):
        return 'pop.validate', 'pop:vote:' + command[6:]
    if command == 'notify':
        return 'notify.send', ledger_slot('notice', d, cf)
    if command.startswith('refund:'):
        return 'refund.resolve', '%s:doubt:0' % next(slot for slot, fact in d.items() if fact[1] == command)
    return COMMANDS[command]


def ledger_next(d, cf):
    """{(type, slot): slots it rests on}"""
    return {ledger_command(command, d, cf): {ledger_slot(slot, d, cf) for slot in reasons if slot in d}
            for command, reasons in model.next_commands(d, cf)}


def authorized(d, _cf, public, commands):
    """A payment with a commit and no capture is `authorized` to the public, and with a refund it is no longer `completed`."""
    if str(model.outcome_of(d, 'decision')).startswith('commit') and 'capture' not in d:
        return 'authorized', commands
    refunded = sum(int(d['refund:%d' % n][0]) for n in range(1, 5) if model.outcome_of(d, 'refund:%d:result' % n) == 'ok')
    if public == 'completed' and refunded:
        return 'refunded' if refunded == AMOUNT else 'partially_refunded', commands
    return public, commands


def cancelled(d, cf, public, commands):
    """An abort because of a cancel ends as `cancelled`."""
    return end_of(d, cf) if public == 'failed' else public, commands


def unwind_resumed(d, _cf, public, commands):
    """Once its refund has an intent, refund.resolve goes on with an unwind, as with every refund (the model sends unwind again)."""
    if 'refund:1' in d and ('payment.unwind', 'refund:1') in commands:
        del commands['payment.unwind', 'refund:1']
        commands['refund.resolve', 'refund:1:doubt:0'] = set()
    return public, commands


def refund_notices(d, _cf, public, commands):
    """Each refund of a completed payment is told; the model has no such notice."""
    for n in range(1, 5):
        slot = 'refund:%d:result' % n
        if public in ('completed', 'partially_refunded', 'refunded') and slot in d:
            commands['notify.send', 'notice:payment.refunded.%d:%s' % (n, CHANNEL)] = {slot}
    return public, commands


def end_rests_on(d, _cf, public, commands):
    """The notice of a failure rests on the facts that DESIGN.md names for it; the model adds some that never come last."""
    undone = {slot for slot in ('pop:revoked', 'token:released') if slot in d}
    results = {'auth:%d:result' % n for n in range(1, model.authorizations(d) + 1)}
    voids = {'void:%d' % n for n in (1, 2)
             if 'void:%d' % n in d and model.outcome_of(d, 'auth:%d:result' % n) == 'approved'}
    for (kind, slot), rests in commands.items():
        if kind != 'notify.send' or not slot.startswith(('notice:payment.failed', 'notice:payment.cancelled')):
            continue
        if model.outcome_of(d, 'decision') == 'abort':
            named = {'decision'} | results | voids | undone
        elif model.outcome_of(d, 'capture') == 'ref':
            named = voids | undone
        else:
            named = {'refund:1:result'} | undone
        if not named <= rests:
            raise AssertionError('the model rests less on: %s' % (named - rests))
        commands[kind, slot] = named
    return public, commands


# What was decided beyond the model. (The model knows no doubt of a capture, void or refund, no challenge and no channel.)
DIFFERENCES = (authorized, cancelled, unwind_resumed, refund_notices, end_rests_on)


def expected(facts, cf):
    d = model.by_slot(facts)
    public, commands = model.public_state(d, cf), ledger_next(d, cf)
    for difference in DIFFERENCES:
        public, commands = difference(d, cf, public, commands)
    return public, commands


def begins(command, facts, cf):
    intents, call = model.plan(command, facts, cf)
    return bool(intents or call)


# --- comparing --------------------------------------------------------------------------------------------------------

def configurations():
    """Those of the model, and wider ones that only walks can afford."""
    wide = dict(routes=2, crash=1, dup=1, fault=2, cancel=1, delay=1, dead=2, replay=1)
    refunds = (('a', 1), ('b', 1), ('c', 2))
    calm = dict(declines=False, rejects=False, refuses_tokens=False)
    return {
        **model.configurations(),
        'wide dual': model.config(**wide, expire=1),
        'wide dual, calm': model.config(**wide, hexp=1, texp=1, **calm),
        'wide dual, wiped': model.config(**wide, wipe=1, texp=1),
        'wide plain': model.config(flow='plain', **wide, expire=1, hexp=1, refunds=refunds),
        'dual, refunds': model.config(routes=1, crash=1, dup=1, fault=1, texp=1, refunds=refunds, **calm),
        'dual, called back': model.config(routes=2, crash=1, dup=1, fault=1, cancel=1, callback=2, dead=1),
        'dual, activation dies': model.config(fault=3, dead=3, replay=1, texp=1, **calm),
        'late approvals': model.config(('horizon',), flow='plain', routes=2, fault=1, delay=2, dup=1, dead=1, crash=1),
        'stalled': model.config(flow='plain', routes=2, stall=2, fault=2, dup=2, crash=1, resends=True),
    }


def reached(cf, walks, dice):
    """{facts: commands said on some way to them}"""
    found = {frozenset(): set()}
    for _ in range(walks):
        said = set()
        for facts in model.walk(cf, dice):
            said |= {command for command, _ in model.next_commands(model.by_slot(facts), cf)}
            found.setdefault(facts, set()).update(said)
    return found


def ask(program, questions):
    lines = ''.join(json.dumps(question) + '\n' for question in questions)
    done = subprocess.run([program], input=lines, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def difference_of(facts, asked, answer, cf):
    """What the two say differently; empty when they agree."""
    if 'error' in answer:
        return 'the fold refuses: ' + answer['error']
    public, commands = expected(facts, cf)
    if answer['public'] != public:
        return 'public state %s, in the model %s' % (answer['public'], public)
    found = {(f['type'], f['slot']): set(f['rests']) for f in answer['next']}
    if len(found) != len(answer['next']):
        return 'a command twice: %s' % answer['next']
    for command in sorted(set(found) | set(commands)):
        if found.get(command) != commands.get(command):
            return '%s %s rests on %s, in the model on %s' % (*command, found.get(command), commands.get(command))
    for command, wanted in zip(asked, answer['wants']):
        if wanted != begins(command, facts, cf):
            return '%s is %swanted, in the model it is not so' % (command, '' if wanted else 'not ')
    return ''


def check(name, cf, program, walks, dice):
    """(sets of facts compared, differences)"""
    states = sorted(reached(cf, walks, dice).items(), key=lambda item: sorted(item[0]))
    asked = [sorted(said & set(PLANNED)) for _, said in states]
    questions = [{'facts': dice.sample(facts, len(facts)), 'ask': [question_of(c) for c in commands]}
                 for facts, commands in zip([ledger_facts(facts, cf) for facts, _ in states], asked)]
    answers = ask(program, questions)
    differences = 0
    for (facts, _), commands, answer in zip(states, asked, answers):
        what = difference_of(facts, commands, answer, cf)
        differences += bool(what)
        if what and differences <= 3:
            print('%s: %s\n   %s' % (name, what, ' '.join('%s=%s(%s)' % fact for fact in sorted(facts))))
    if len(answers) != len(states):
        raise SystemExit('saga_cli answered %d of %d questions' % (len(answers), len(states)))
    print('%-40s %6d sets of facts, %d differ' % (name, len(states), differences), flush=True)
    return len(states), differences


def question_of(command):
    return [COMMANDS[command][0], int(command[-1]) if command.startswith('void:') else 0]


def main(arguments):
    program = arguments[0] if arguments else 'build/unit/saga_cli'
    walks = int(arguments[1]) if len(arguments) > 1 else 500
    seed = os.environ.get('ACQUIT_SEED', '20261120')
    dice = random.Random(seed)
    print('ACQUIT_SEED=%s, %d walks each' % (seed, walks))
    results = [check(name, cf, program, walks, dice) for name, cf in configurations().items()]
    compared, differ = (sum(column) for column in zip(*results))
    print('%d sets of facts compared, %d differ' % (compared, differ))
    return 1 if differ or compared < 1000 else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
