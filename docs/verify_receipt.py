#!/usr/bin/env python3
"""verify_receipt.py - checks a receipt of `acquit ledger prove` without Acquit: verify_receipt.py FILE KEY...

KEY is the ledger's public key, name+id+base64, or a file that holds it. Needs Python 3.8 and the openssl command (1.1.1 or later), and
verify_absence.py beside it, which has what receipts of both kinds are made of: keys, heads, the tree; and what is proven by the map.
Exit code 0: good, 1: refused, with the reason, 2: wrong usage. The formats are described in sealing.md.
"""

import json, re
import verify_absence
from verify_absence import check_head, included, leaf, load, main, members, need

FACT = ["payment_id", "slot", "outcome", "cause", "actor", "at", "xid", "seq", "body"]
TRANSFER = ["leg", "kind", "pending_of", "debit", "credit", "amount", "currency", "at", "xid", "seq"]
FACTS_MAX = 8192
ABOUT = ("Facts of one payment, each with the proof that it stands in a ledger whose signed head is below (docs/sealing.md). The summary is derived "
         "from them. Votes, and hashes of what providers were asked and answered, stand in the bodies. That no further facts exist is not proven.")
NEEDS = [(r"(auth:\d+):(?:result|late|action).*", r"\1=intent"), (r"(refund:\d+):result.*", r"\1=accepted"), (r"token:active.*", "capture=captured"),
         (r"decision=commit (\d+)", r"auth:\1:result=approved"), (r"capture.*", "decision=commit"), (r"pop:committed.*", "token:active=active"),
         (r"void:(\d+).*", r"auth:\1:late auth:\1:action decision=abort capture=refused"), (r"(?:pop|token:active)=.*", "token:reserved=reserved"),
         *((f"auth:{n + 1}=intent", " ".join(f"auth:{n}:result={outcome}" for outcome in ("declined", "cancelled", "absent"))) for n in range(1, 8))]

def check_facts(items, payment, size, root):
    need(type(items) is list and 0 < len(items) <= FACTS_MAX, "facts: the receipt has none, or too many")
    facts, before = {}, -1
    for number, item in enumerate(items, 1):
        position, _, fact, transfers = members(item, ["position", "proof", "fact", "transfers"], f"fact {number}")
        need(type(transfers) is list, f"fact {number}: its transfers are no list")
        columns = members(fact, FACT, f"fact {number}")
        booked = [value for transfer in transfers for value in members(transfer, TRANSFER, f"fact {number}, transfer")]
        need(columns[0] == payment, f"fact {number}: it is of another payment")
        need(type(position) is int and before < position < size, f"fact {number}: its position is not behind the last one's, or not in the tree")
        need(included(leaf(["acquit-fact-v1", *columns, str(len(transfers)), *booked]), size, item, root), f"fact {number}: it does not lead to the head's root")
        need(columns[1] not in facts, f"fact {number}: its slot stands there twice")
        facts[columns[1]], before = (columns[2], json.loads(columns[8])), position
    return facts

def summary(facts):
    """What follows from the facts. Of the laws that they keep only those are checked that one missing fact would break."""
    need("received" in facts, "the facts are no payment's: there is none of slot received")
    stands = {f"{slot}={outcome}".replace("decision=commit:", "decision=commit ") for slot, (outcome, _) in facts.items()}
    beside = {word for line in stands for word in (line, line.split(" ")[0], line.split("=")[0])}
    for pattern, needed in NEEDS:
        for match in filter(None, (re.fullmatch(pattern, line) for line in stands)):
            need(any(word in beside for word in match.expand(needed).split()), f"the facts contradict each other: {match[0]} needs {match.expand(needed)}")
    has, body = (lambda slot: facts.get(slot, (None,))[0]), (lambda slot: facts[slot][1])
    amount, plain, decision = body("received")["amount"], body("received")["flow"] == "plain", has("decision")
    authorizations = [n for n in range(1, 9) if has(f"auth:{n}") == "intent"]
    committed = bool(decision) and decision != "abort"
    captured = body("capture").get("amount", amount) if has("capture") == "captured" else 0
    accepted = sorted(int(slot[7:]) for slot in facts if re.fullmatch("refund:[0-9]+", slot) and has(slot) == "accepted")
    refunded = sum(body(f"refund:{n}")["amount"] for n in accepted if has(f"refund:{n}:result") == "refunded")
    undo = "abort" == decision or "refused" in (has("capture"), has("token:active")) or refunded == captured > 0
    need(undo or not (has("pop:revoked") or has("token:released")), "the facts contradict each other: undone without a cause")
    undone = plain or (has("pop:revoked") and has("token:released"))
    asked = any(has(f"auth:{n}:action") and not has(f"auth:{n}:result") for n in authorizations[-1:])
    need(plain or not committed or has("pop") == "validated", "the facts contradict each other: a decision without its votes")
    state = "requires_action" if asked and not decision else "processing"
    if decision == "abort":
        results = [(has(f"auth:{n}:result"), has(f"void:{n}")) for n in authorizations]
        if undone and all(result and (void or result != "approved") for result, void in results):
            state = "cancelled" if body("decision")["reason"] == "CANCELLED" else "failed"
    elif committed and not has("capture"):
        state = "authorized"
    elif captured and (plain or has("token:active") == "active"):
        state = "completed" if not refunded else "refunded" if refunded == captured else "partially_refunded"
    elif committed and undone:  # what could not be sold was given back
        last = f"refund:{accepted[-1]}:result" if captured and accepted and has("token:active") else "void:" + decision[7:]
        state = "failed" if has(last) in ("refunded", "voided", "expired", "nothing") else state
    return {"state": state, "amount": amount, "currency": body("received")["currency"], "captured": captured, "refunded": refunded, "facts": len(facts)}

def verify(path, keys):
    receipt = load(path)
    if type(receipt) is dict and receipt.get("format") == "acquit-absence":
        return verify_absence.verify(path, keys)
    kind, version, payment, about, claimed, _, items = members(receipt, "format version payment about summary head facts".split(), "the receipt", ["keys"])
    need(kind == "acquit-receipt" and type(version) is int and version == 1, "format, version: this is no receipt of version 1")
    need(about == ABOUT, "about: the text is not that of a receipt")
    _, origin, size, root = check_head(receipt, keys)
    derived = summary(check_facts(items, payment, size, root))
    need(json.dumps(claimed, sort_keys=True) == json.dumps(derived, sort_keys=True), "summary: another one follows from the facts")
    return f"good: {len(items)} facts of {payment} are sealed in {origin}, among {size}; from them follows {derived}"

if __name__ == "__main__":
    main(verify, __doc__)
