#!/usr/bin/python3
"""make_seeds.py - the seeds of the fuzz targets, out of what the unit tests know to be right and wrong

Writes tests/fuzz/corpus/TARGET/seed-*; run it again when those cases have changed. Other files there (crash-*: inputs that once
broke something) are left alone.
"""

import base64
import glob
import hashlib
import json
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPUS = os.path.join(ROOT, "tests/fuzz/corpus")
PAYMENT = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f"
INTENT = "pi_3MtwBwLkdIwHu7ix28a3tqPa"


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as text:
        return text.read()


def write(target, seeds):
    """`seeds`: texts or bytes."""
    folder = os.path.join(CORPUS, target)
    os.makedirs(folder, exist_ok=True)
    for old in glob.glob(os.path.join(folder, "seed-*")):
        os.unlink(old)
    for n, seed in enumerate(dict.fromkeys(seed if isinstance(seed, bytes) else seed.encode() for seed in seeds)):
        with open(os.path.join(folder, f"seed-{n:03}"), "wb") as out:
            out.write(seed)


def lines(*fields):
    return "\n".join(str(field) for field in fields)


def pan():
    return ["4111 1111 1111 1111", "card=5555555555554444;exp=12/29", "3782-822463-10005", "{\"a\":\"\\b4111111111111111\"}",
            "6011000990139424 123", "4222222222222", PAYMENT, "4111-1111-1111-1112", "deadbeef4111111111111111", "36227206271667",
            "4111111111111111 4111111111111111", "3530111333300000\0x2223003122003222", "1795168800000 40128888888818810"]


def schema():
    seeds = []
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/unit/cases/schema/*.json"))):
        with open(path, encoding="utf-8") as text:
            cases = json.load(text)
        seeds += [json.dumps(case["body"], ensure_ascii=False) for case in cases]
    return [seed for n, seed in enumerate(seeds) if n % 3 == 0 and len(seed) < 1500] + ["[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "{\"a\":1,\"a\":2}", "\"\\u0000\""]


def envelope():
    seeds = []
    for case in json.loads(read("tests/unit/cases/envelope.json")):
        message = case["message"]
        fields = [message.get(name, "-") for name in ("routing_key", "user_id", "message_id", "type", "reply_to", "correlation_id")]
        fields = [str(field).replace("\n", " ") for field in fields]
        seeds.append(lines(case["queue"], int(case["requireUser"]), message.get("exchange", ""), *fields,
                           json.dumps(message.get("headers")), message.get("body", "")))
    # a content header as it stands on the wire, behind a body of two bytes: flags, then what they announce
    short = lambda text: bytes([len(text)]) + text
    table = (b"\x01tt\x01\x01iI\x00\x00\x00\x07\x01sS\x00\x00\x00\x02hi\x01dD\x02\x00\x00\x00\x09\x01TT" + bytes(8) + b"\x01vV\x01fF" +
             b"\x00\x00\x00\x05\x01xb\x05" + b"\x01aA\x00\x00\x00\x03VVV" + b"\x01lL" + b"\xff" * 8 + b"\x01gd" + bytes(8) +
             b"\x01hf" + bytes(4) + b"\x01yx\x00\x00\x00\x02\x00\xff" + b"\x01us\xff\xff" + b"\x01zu\xff\xff" + b"\x01BB\x07" + b"\x01ii\xff\xff\xff\xff")
    headers = len(table).to_bytes(4, "big") + table
    parts = [(1 << 15, short(b"application/json")), (1 << 14, short(b"gzip")), (1 << 13, headers), (1 << 12, b"\x02"), (1 << 11, b"\x05"),
             (1 << 10, short(b"c-1")), (1 << 9, short(b"app.shop.x")), (1 << 8, short(b"1000")), (1 << 7, short(b"k-1")),
             (1 << 6, bytes(6) + b"\x69\x20"), (1 << 5, short(b"payment.create")), (1 << 4, short(b"shop")), (1 << 3, short(b"app"))]
    def wire(wanted):
        flags = sum(flag for flag, _ in parts if flag & wanted)
        return b"!\n1\n2\n{}" + flags.to_bytes(2, "big") + b"".join(value for flag, value in parts if flag & wanted)
    return seeds[::2] + [wire(0xfff8), wire(1 << 13 | 1 << 7 | 1 << 4), wire(0x90b8), wire(0), b"!\n0\n0\n\xff\xff"]


def stripe():
    seeds = []
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/unit/fixtures/stripe/*.json"))):
        name, body = os.path.basename(path)[:-5], read(path)
        status = 402 if name.startswith("error_card") else 400 if name.startswith("error") else 200
        asked = [(3, 0, 1), (3, 1, 1)] if name.startswith("refund") else [(0, 0, 0)] if name.startswith("search") else \
            [(0, 0, 1), (0, 1, 1), (1, 0, 1), (2, 0, 1)]
        for operation, ask, step in asked:
            reference = "" if operation == 0 else INTENT
            slot = ("auth:1", "capture", "void:1", "refund:1")[operation]
            amount = 1000 if operation == 3 else 2500
            seeds.append(lines(operation, ask, step, status, amount, "EUR", slot, reference, "pm_secret_token_1", body))
    more = [(500, "EUR", 2500), (409, "ISK", 2500), (429, "JPY", 100), (302, "UGX", 2500), (404, "KWD", 25005), (401, "XXX", 1)]
    seeds += [lines(operation, 1, 1, status, amount, currency, "refund:2", INTENT, "", "{\"error\":{\"type\":\"api_error\"}}")
              for operation in (0, 3) for status, currency, amount in more]
    return seeds


def paypal():
    seeds, order, authorization = [], "5O190127TN364715T", "5O190127TN364715T/3C679366HE055180Y"
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/unit/fixtures/paypal/*.json"))):
        name, body = os.path.basename(path)[:-5], read(path)
        status = 422 if name.startswith("error") else 200 if name == "token" else 201
        asked = [(0, 0, 3)] if name == "token" else [(0, 0, 0), (0, 0, 2), (0, 1, 1), (1, 0, 1), (2, 0, 1), (3, 0, 1)] if name.startswith("order") else \
            [(1, 0, 2)] if name.startswith("capture") else [(3, 0, 2)] if name.startswith("refund") else [(2, 0, 2)] if name.startswith("authorization") else \
            [(0, 0, 2), (1, 0, 2), (2, 0, 2)]
        for operation, ask, step in asked:
            reference = "" if step == 0 else order if operation == 0 else authorization
            slot = ("auth:1", "capture", "void:1", "refund:1")[operation]
            seeds.append(lines(operation, ask, step, status, 1000 if operation == 3 else 2500, "EUR", slot, reference, "vault-secret-1", body))
    more = [(500, "HUF", 2500), (409, "JPY", 2500), (429, "XOF", 100), (302, "TND", 2500), (404, "TWD", 100), (401, "XXX", 1), (204, "USD", 1)]
    return seeds + [lines(operation, 0, 2, status, amount, currency, "refund:2", authorization, "paypal:12.50", "{\"name\":\"RESOURCE_NOT_FOUND\"}")
                    for operation in (0, 2, 3) for status, currency, amount in more]


def tokens():
    ours = {"paymentId": PAYMENT, "tokenId": "seat-1", "quantity": 2}
    told = [(0, 201, ours | {"status": "reserved"}), (0, 409, {"error": "tokens_unavailable"}), (0, 404, {"error": "unknown_token"}),
            (0, 200, ours | {"status": "reserved", "quantity": 3}), (1, 200, ours | {"status": "active"}), (1, 409, {"error": "expired"}),
            (2, 200, ours | {"status": "released"}), (2, 200, ours | {"status": "active"}), (2, 200, {"status": "released"}), (0, 401, {}),
            (1, 500, {"error": "broken"}), (0, 201, []), (3, 200, ours | {"status": "deactivated"}), (3, 409, {"error": "not_active"})]
    told += [(4, 200, ours | {"status": status, "changedAt": "2026-11-20T10:00:00Z"})
             for status in ("reserved", "refused", "active", "expired", "released", "deactivated", "unknown", "lent")]
    told += [(4, 200, {"paymentId": PAYMENT, "tokenId": None, "quantity": 0, "status": "unknown"}), (4, 404, {"error": "not_found"}),
             (4, 200, ours | {"status": "active", "quantity": 0}), (4, 200, ours | {"status": "active", "changedAt": "yesterday"})]
    return [lines(operation, status, "seat-1", 2, json.dumps(body)) for operation, status, body in told]


def pop():
    vote = {"validator": "validator-1", "paymentId": PAYMENT, "amount": 2500, "currency": "EUR", "verdict": "valid", "at": "2026-11-20T10:00:00Z",
            "reason": "because", "signature": "AAAA"}
    seeds = [lines(asked, status, 2, voices, json.dumps(vote | change))
             for asked, status, voices, change in [
                 (2, 200, "223", {}), (2, 200, "233", {"verdict": "invalid"}), (0, 200, "244", {}), (2, 200, "22", {"at": "2026-11-20T09:00:00Z"}),
                 (2, 200, "40", {"at": "yesterday"}), (2, 200, "2222222222222222", {"amount": 1}), (2, 200, "1", {"validator": "validator-2"}),
                 (2, 200, "012", {"verdict": "perhaps"}), (0, 500, "111", {}), (2, 200, "222", {"currency": "USD", "type": "booking", "id": "7"}),
                 (2, 200, "222", {"type": "booking", "id": "7", "reason": "x" * 400})]]
    seeds += [lines(1, status, 3, "444", json.dumps(body)) for status, body in [
        (200, {"paymentId": PAYMENT, "status": "revoked"}), (200, {"paymentId": PAYMENT, "status": "open"}), (503, {})]]
    seeds += [lines(3, status, 3, "666", json.dumps(body)) for status, body in [
        (200, {"paymentId": PAYMENT, "status": "committed"}), (200, {"paymentId": PAYMENT, "status": "valid"}), (409, {"error": "revoked"}), (404, {})]]
    seeds += [lines(0, 202, 2, "552", json.dumps({"paymentId": PAYMENT, "status": "pending"}))]
    return seeds + [lines(0, 409, 2, "441", "{\"error\":\"revoked\"}"), lines(0, 200, 2, "222", "not JSON"), lines(2, 200, 2, "22", "[]"),
                    lines(2, 200, 2, "333", "\"booking\"")]


def pop_state():
    vote = {"validator": "validator-1", "paymentId": PAYMENT, "amount": 2500, "currency": "EUR", "verdict": "valid", "at": "2026-11-20T10:00:00Z"}
    word = {"validator": "validator-1", "paymentId": PAYMENT, "status": "committed", "changedAt": "2026-11-20T10:00:00Z", "vote": vote,
            "nonce": "00112233445566778899aabbccddeeff", "signature": "AAAA"}
    changes = [{"status": status, "vote": one} for status in ("unknown", "pending", "valid", "invalid", "committed", "revoked", "gone")
               for one in (None, vote, vote | {"verdict": "invalid"})]
    changes += [{"nonce": ""}, {"validator": "validator-2"}, {"changedAt": "yesterday"}, {"changedAt": None}, {"vote": vote | {"amount": 1}}, {"vote": []}]
    seeds = [lines(1, 200, json.dumps(word | change)) for change in changes]
    return seeds + [lines(0, 200, json.dumps(word)), lines(0, 404, "{\"error\":\"not_found\"}"), lines(0, 200, "[]"), lines(1, 200, "not JSON"), lines(1, 503, "")]


def published():
    """Fields: the publisher named by the caller ("" for none); the rest is a publisher's list."""
    texts = ["id,type,day,publisher\nk-1,payment.create,2026-11-20,shop\n", "k-1,payment.refund,2026-11-20\r\n\nk-2,payment.cancel,2026-11-21",
             '{"id":"k","type":"payment.create","day":"2026-11-20","publisher":"shop"}\n', '{"id":1}', "a,b,c,d,e", "[]", "{", "x" * 5000, "k,payment.look,2026-11-20,shop",
             "k,payment.create,2026-02-30,shop", ",payment.create,2026-11-20,", "k,payment.create,2026-11-20,a b"]
    return [lines(name, text) for text in texts for name in ("", "shop")]


def note():
    root = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
    text = f"acquit.example/ledger\n18\n{root}\nacquit-seal-v1 epoch=1 block=3 previous=-\n"
    notes = [text + "\n", text, text + "\n\u2014 acquit.example/ledger AAAAAAAA\n", text + "\n\u2014 witness.example AAAA\n", "a\n\n\u2014 a b\n", "\n\n", "a\n0\n\n",
             f"x\n9999999999999999999\n{root}\n\n", f"x\n1\n{root}\n" + "line\n" * 17 + "\n"]
    keys = ["PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a+b+c", "a+00000000+", "-", ""]
    old, new = "acquit.example/ledger+72e1a51a+AcqWvp3OwCtMue7R3/Zf9yD/iy3EYaMIuR1ra6yRcfon", "acquit.example/ledger+0d96e862+AWHA3mQ/GAWmnZTILPvmFl4QxqLpHHZPAT9Lf/ipjUin"
    change = f"acquit-key-v1\nacquit.example/ledger\n{old}\n{new}\n2026-11-20T10:00:00.123Z\n"
    notes += [change, change.replace("v1", "v2"), change + "\n\u2014 acquit.example/ledger AAAA\n", change.replace(".123", ""),
              "acquit-map-v1 size=682 root=" + root, "acquit-map-v1 size=0 root=" + root, root, root + " " + base64.b64encode(change.encode()).decode()]
    return [lines(signed, keys[n % len(keys)], one) for n, one in enumerate(notes) for signed in (0, 1)]


def simulated():
    outcomes = ("done", "refused", "action", "expired", "absent", "unknown", "perhaps")
    answers = [{"outcome": outcome, "code": "Some Code!", "reference": "sim_1", "action": {"type": "redirect", "url": "https://x"}} for outcome in outcomes]
    answers += [{"lost": True}, {"outcome": "refused", "code": "idempotency_conflict"}, {"outcome": "done", "reference": "a b"}, [], None, "done"]
    return [json.dumps(answer) for answer in answers]


def config():
    minimal = 'broker: { url_file = "broker.url"; };\nledger: { url_file = "ledger.url"; };\n'
    groups = [
        'worker: { batch = 256; batch_wait_ms = 0x10; };\nlog: { level = "debug"; };\n',
        'worker: { batch = 5000000000; };\n', 'worker: { bach = 1; };\n', 'retry: { base_ms = 900; cap_ms = 100; };\n', '/* no end',
        'broker: { require_user = false; };\n', '@include "x"\n', 'log = "debug";\n', 'tokens: { url = "ftp://x"; };\n', 'pop: { quorum = 3; };\n',
        'ingress: { port = "3003"; listen = ""; };\n', 'webhook: { timeout_ms = 1.5; };\n', 'simulated: { url_file = "secret"; };\n',
        'providers = ( { name = "simulated"; kind = "simulated"; timeout_ms = 2000; },\n'
        '  { name = "stripe"; kind = "stripe"; url = "https://api.stripe.com"; secret_file = "secret"; send_window_ms = 100; } );\n',
        'providers = ( { name = "stripe"; kind = "stripe"; url = "http://x/"; } );\n', 'providers = ( { name = "a b"; kind = "sim"; } );\n',
        'providers = ( { name = "s"; kind = "simulated"; url = "x"; }, { name = "s"; kind = "simulated"; } );\n',
        'providers = ( { name = "simulated"; kind = "simulated"; } );\npublishers = ( { name = "shop"; api_key_sha256 = "' + "ab" * 32 + '"; merchant = "m";\n'
        '  flow = "dual"; payment_method = "wallet"; gateways = [ "simulated" ]; commission_ppm = 25000; expires_in_ms = 900000;\n'
        '  webhook_url = "https://x/y"; webhook_secret_file = "secret"; amount_max = 100; } );\ntokens: { url = "http://t"; };\n',
        'publishers = ( { name = "a"; }, { name = "a"; } );\n', 'publishers = ( { name = "a"; gateways = [ "nobody" ]; } );\n',
        'publishers = ( { name = "a"; api_key_sha256 = "xx"; } );\n', 'publishers = ( { name = "a"; webhook_url = "http://x"; } );\n',
        'validators = ( { name = "v1"; url = "http://v/1"; public_key_file = "validator.pub"; key_file = "secret"; },\n'
        '  { name = "v2"; url = "http://v/2"; public_key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="; } );\npop: { quorum = 2; };\n',
        'retry_types = ( { type = "pop.validate"; attempts = 8; base_ms = 500; cap_ms = 30000; }, { type = "notify.send"; } );\n',
        'providers = ( { name = "a"; kind = "simulated"; currencies = [ "EUR" ]; exposure_limit = [ "EUR=500" ]; } );\n'
        'routes = ( { name = "r"; amount_from = 1; currencies = [ "EUR" ]; countries = [ "DE" ]; methods = [ "card" ]; providers = [ "a" ];\n'
        '  order = "cost"; costs = [ "a=25+14000" ]; shares = [ "a=70" ]; preferred = "only"; failover = [ "none" ]; unavailable = "refuse"; } );\n',
        'providers = ( { name = "a"; kind = "simulated"; exposure_limit = [ "EUR=x" ]; } );\nroutes = ( { name = "r"; providers = [ "a" ]; shares = [ "b=" ]; } );\n',
        'retry_types = ( { type = "a"; base_ms = 2; cap_ms = 1; } );\n', 'retry_types = ( { type = "a"; }, { type = "a"; } );\n',
        'tokens: { key = "secret"; };\n', 'metrics: { enabled = false; };\nworker: { metrics_port = 9100; };\n',
        'validators = ( { name = "v1"; url = "http://v/1"; public_key = "short"; } );\n', 'validators = [ 1, 2 ];\n', 'nonsense: { };\n', 'worker: {',
    ]
    return ["", minimal, *(minimal + group for group in groups), 'broker: { url_file = "secret"; };\n', 'ledger: { url = "x"; };\n' + minimal]


def ingress():
    def request(method, path, body="", authorization="Bearer key", content_type="application/json", key="k-1", prefer="-", wait_ms="-", limit="-",
                cursor="-", state="-", currency="-", gateway="-", begin="-", end="-", traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01", fate=0):
        return lines(method, path, authorization, content_type, key, prefer, wait_ms, limit, cursor, state, currency, gateway, begin, end, traceparent, fate,
                     body if isinstance(body, str) else json.dumps(body))
    create, cancel, refund = "/api/payments/process", f"/api/payments/{PAYMENT}/cancel", "/api/refunds/create"
    good = {"amount": 2500, "currency": "EUR", "paymentToken": "tok_visa", "metadata": {"a": "b"}, "reference": {"type": "booking", "id": "1"}}
    seeds = [request("POST", create, good, fate=fate, prefer="wait=2") for fate in range(4)]
    seeds += [request("POST", cancel, {"reason": "x"}, fate=3), request("POST", cancel, "", content_type="-"), request("POST", cancel, {"paymentId": PAYMENT}),
              request("POST", cancel.replace(PAYMENT, "tx_" + "1" * 32), {}), request("POST", refund, {"paymentId": PAYMENT, "amount": 100}, fate=1),
              request("POST", refund, {"paymentId": "tx_" + PAYMENT.replace("-", ""), "reason": "r"}, fate=3), request("POST", refund, {"paymentId": "x"}),
              request("POST", create, {"amount": "12.50", "currency": "EURO", "x": 1}), request("POST", create, {"amount": 1, "currency": "EUR", "flow": "dual"}),
              request("POST", create, {"amount": 999999999, "currency": "EUR"}), request("POST", create, {"amount": 1, "currency": "EUR", "description": "4111 1111 1111 1111"}),
              request("POST", create, "{"), request("POST", create, "[]"), request("POST", create, good, content_type="text/plain"),
              request("POST", create, good, key="4111111111111111"), request("POST", create, good, key="-", wait_ms="2000"),
              request("POST", create, good, wait_ms="soon"), request("POST", create, good, prefer="respond-async, wait=\"5\"; x"),
              request("POST", create, good, authorization="Bearer nobody"), request("POST", create, good, authorization="-"),
              request("PUT", create, good), request("GET", "/nowhere"), request("GET", "/openapi.json"), request("GET", "/health"),
              request("GET", "/api/payments", limit="2", cursor="1764000000000-9", state="completed", currency="EUR"), request("GET", "/api/payments", limit="0", state="x", currency="eur"),
              request("GET", "/api/payments", gateway="stripe", begin="2026-11-20", end="2026-11-20T10:00:00Z"), request("GET", "/api/payments", begin="yesterday"),
              request("GET", f"/api/payments/{PAYMENT}"), request("HEAD", f"/api/payments/{PAYMENT}/status"), request("GET", f"/api/payments/status/{PAYMENT}"),
              request("GET", f"/api/payments/{PAYMENT}/events"), request("GET", "/api/payments/refunds/rf_" + "1" * 32), request("GET", "/api/payments/x")]
    return seeds


def saga():
    """The histories that the unit tests write as text, and one of every slot."""
    seeds = []
    text = read("tests/unit/test_saga.c") + read("tests/unit/test_saga_facts.c")
    known = {"RESERVED": "received token:reserved=reserved "}
    for name, value in re.findall(r"#define (\w+) (.*)", read("tests/unit/saga_text.h")):
        parts = re.findall(r'"([^"]*)"|(\w+)', value)
        if parts and all(quoted or word in known for quoted, word in parts):
            known[name] = "".join(quoted or known[word] for quoted, word in parts)
    usual = {"received": "accepted", "late": "approved", "action": "required", "revoked": "revoked", "released": "released"}
    def fact(word):
        word, _, cause = word.partition("@")
        word, _, extra = word.partition("/")
        slot, _, outcome = word.partition("=")
        if not outcome:
            outcome = "unknown" if ":doubt:" in slot else "intent" if re.fullmatch(r"auth:\d+", slot) else "voided" if slot.startswith("void") else \
                "delivered" if slot.startswith("notice") else usual.get(slot.split(":")[-1], "?")
        body = {} if not extra else {"reason": extra} if slot == "decision" else {"amount": int(extra)} if extra.isdigit() else {}
        if slot == "capture":
            body = body or {"amount": 1000}
        return f"{slot} {outcome} {cause or '-'} {json.dumps(body)}"
    for flow, pieces in re.findall(r'FLOW_(\w+),\s*((?:"[^"]*"|[A-Z_]+|\s)+)', text) + [("DUAL", piece) for piece in re.findall(r'\{((?:"[^"]*"|[A-Z_]+| )+),', text)]:
        history = "".join(quoted or known.get(word, "") for quoted, word in re.findall(r'"([^"]*)"|(\w+)', pieces))
        words = [word for word in history.split() if not word.startswith("received")]
        if words:
            seeds.append(lines(f"{flow.lower()} 1000", *map(fact, words)))
    dead = "11111111-2222-8333-8444-555555555555"
    seeds.append(lines("dual 1000", *map(fact, f"token:reserved=reserved auth:1 auth:1:doubt:0 auth:1:result=declined auth:2 auth:2:result=approved pop=validated "
                       f"decision=commit:2 capture:doubt:0 capture=captured token:active=active refund:1=accepted/400 refund:1:doubt:0 refund:1:result=refunded "
                       f"refund:2=refused/9000 auth:1:late void:1:doubt:0 void:1 dead:{dead}:1=token.activate replay:{dead}:1=replayed "
                       f"notice:payment.completed:webhook notice:payment.refunded.1:mail".split())))
    paid = "auth:1 auth:1:result=approved decision=commit:1 capture=captured"
    for more in ("", "refund:1=accepted/1000 refund:1:result=refunded", "refund:1=accepted/600 refund:2=refused/600 refund:1:result=refused refund:3=accepted/1"):
        seeds.append(lines("plain 1000", *map(fact, (paid + " " + more).split())))
    seeds.append(lines("plain 1000", *map(fact, "auth:1=closed decision=abort/CANCELLED".split())))
    seeds.append(lines("plain 1000", *map(fact, "auth:1 auth:1:action auth:1:result=approved decision=abort/EXPIRED void:1=nothing".split())))
    seeds.append(lines("", fact("decision=abort/DECLINED")))
    return seeds[:160]


def receipt():
    def fact(number, slot, outcome, body, transfers=()):
        columns = [PAYMENT, slot, outcome, PAYMENT, None if number % 2 else "shop", "2026-11-20T10:00:00.123456Z", "800", str(number), json.dumps(body)]
        names = ["payment_id", "slot", "outcome", "cause", "actor", "at", "xid", "seq", "body"]
        return {"position": number, "proof": [], "fact": dict(zip(names, columns)), "transfers": list(transfers)}
    def transfer(leg, kind, pending_of, debit, credit, amount):
        return {"leg": str(leg), "kind": kind, "pending_of": pending_of, "debit": debit, "credit": credit, "amount": str(amount), "currency": "EUR",
                "at": "2026-11-20T10:00:00.123456Z", "xid": "800", "seq": str(leg)}
    about = "".join(re.findall(r'"([^"]*)"', re.search(r'RECEIPT_ABOUT\[\] =((?:\s*"[^"]*")+);', read("ledger/receipt.c"))[1]))
    plain = [fact(0, "received", "accepted", {"flow": "plain", "amount": 1000, "currency": "EUR"}), fact(1, "auth:1", "intent", {"provider": "simulated"}),
             fact(2, "auth:1:result", "approved", {}, [transfer(1, "hold", None, "receivable:x", "payable:y", 1000)]), fact(3, "decision", "commit:1", {}),
             fact(4, "capture", "captured", {"amount": 1000}, [transfer(1, "post", "auth:1:result", "receivable:x", "payable:y", 1000),
                                                               transfer(2, "transfer", None, "payable:y", "commission", 25)])]
    back = plain + [fact(5, "refund:1", "accepted", {"amount": 400}),
                    fact(6, "refund:1:result", "refunded", {}, [transfer(1, "transfer", None, "payable:y", "receivable:x", 400)])]
    failed = plain[:1] + [fact(1, "auth:1", "closed", {}), fact(2, "decision", "abort", {"reason": "CANCELLED"})]
    waiting = plain[:2] + [fact(2, "auth:1:action", "required", {})]
    seeds = []
    for facts, state, captured, refunded in ((plain, "completed", 1000, 0), (back, "partially_refunded", 1000, 400), (failed, "cancelled", 0, 0),
                                             (waiting, "requires_action", 0, 0), (plain[1:], "pending", 0, 0), (plain + plain[:1], "completed", 1000, 0)):
        whole = {"format": "acquit-receipt", "version": 1, "payment": PAYMENT, "about": about, "summary": {
            "state": state, "amount": 1000, "currency": "EUR", "captured": captured, "refunded": refunded, "facts": len(facts)}, "head": "x/y\n1\n", "facts": facts}
        seeds += [lines(mode, json.dumps(whole)) for mode in ("as-it-is", "signed", "whole")]
    head = "fuzz/ledger\n5\n" + "A" * 43 + "=\nacquit-seal-v1 epoch=1 block=0 previous=-\n\n\u2014 fuzz/ledger " + "A" * 91 + "=\n"
    return seeds + [lines("as-it-is", json.dumps(whole | {"head": head})), lines("whole", json.dumps(whole | {"facts": []})), lines("as-it-is", "{}"), ""]


def absence():
    about = "".join(re.findall(r'"([^"]*)"', re.search(r'ABSENCE_ABOUT\[\] =((?:\s*"[^"]*")+);', read("ledger/absence.c"))[1]))
    hashed, seeds = base64.b64encode(bytes(range(32))).decode(), []
    slots = ["auth:1", "auth:1:result", "received"]
    for way, end in (([], {"payment": PAYMENT, "slots": slots}), ([hashed] * 3, {"payment": PAYMENT, "slots": slots}), ([hashed], None),
                     ([hashed] * 4, {"payment": PAYMENT[:-1] + "0", "slots": hashed}), ([hashed] * 128, {"payment": PAYMENT, "slots": slots[::-1]}),
                     ([hashed[:-1]], {"payment": PAYMENT, "slots": []}), ([hashed] * 2, {"payment": "1" + PAYMENT[1:], "slots": hashed})):
        whole = {"format": "acquit-absence", "version": 1, "payment": PAYMENT, "slot": "refund:1", "about": about, "head": "x/y\n1\n", "way": way, "end": end}
        seeds += [lines(mode, json.dumps(one)) for one in (whole, whole | {"slot": "received"}) for mode in ("as-it-is", "signed", "changed")]
    return seeds


def archive():
    columns = ["payment_id", "slot", "outcome", "cause", "actor", "at", "xid", "seq", "body"]
    transfers = ["leg", "kind", "pending_of", "debit", "credit", "amount", "currency", "at", "xid", "seq"]
    at = "2023-08-09T10:00:00.000001Z"
    head = {"format": "acquit-archive", "version": 1, "name": "2023q3", "from": "2023-07-01", "to": "2023-10-01", "fact": columns, "transfer": transfers}
    facts = [{"position": 4, "fact": [PAYMENT, "received", "accepted", PAYMENT, "shop", at, "7", "9", "{}"], "transfers": []},
             {"position": 11, "fact": [PAYMENT, "capture", "captured", PAYMENT, None, at, "8", "10", "{}"],
              "transfers": [["1", "post", "auth:1:result", "receivable:x", "payable:y", "1000", "EUR", at, "8", "3"]]}]
    payment = {"payment": PAYMENT, "began": "2023-08-09", "facts": facts}
    leaves = hashlib.sha256()
    for fact in facts:
        texts = ["acquit-fact-v1", *fact["fact"], str(len(fact["transfers"])), *(text for transfer in fact["transfers"] for text in transfer)]
        data = b"".join(b"\xff\xff\xff\xff" if text is None else len(text).to_bytes(4, "big") + text.encode() for text in texts)
        leaves.update(fact["position"].to_bytes(8, "big") + hashlib.sha256(b"\0" + data).digest())
    tail = {"payments": 1, "facts": 2, "transfers": 1, "leaves": leaves.hexdigest()}
    parts = [json.dumps(part) for part in (head, payment, tail)]
    first = json.dumps(head | {"name": "first", "from": None})
    return ["\n".join(parts) + "\n", "\n".join([first, *parts[1:]]) + "\n", "\n".join(parts[:2]), "\n".join([parts[0], parts[2]]) + "\n", *parts,
            "\n".join([parts[0], parts[1], parts[1], parts[2]]) + "\n", ""]


def row():
    """Messages of a binary COPY: whether it is the first, what its columns are taken for, the bytes."""
    header = b"PGCOPY\n\xff\r\n\0" + bytes(8)

    def message(*values):
        return len(values).to_bytes(2, "big") + b"".join(b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value for value in values)
    identity, body = bytes(range(16)), b"\1{\"flow\": \"plain\"}"
    fact = message(identity, (9800).to_bytes(4, "big"), b"received", b"accepted", identity, None, bytes(8), bytes(8), bytes(8), body)
    return [b"0u4ttut888j\n" + fact, b"1u4ttut888j\n" + header + fact, b"0\n\xff\xff", b"1\n" + header + b"\xff\xff", b"08t\n" + message(bytes(8), b""),
            b"02\n" + message(b"\xff\xfe"), b"1t\n" + header[:-1] + b"\3abc" + message(b"x"), b"0tt\n" + message(b"x")]


def body():
    evidence = {"sentAt": "2026-11-20T10:00:00.663Z", "status": 200, "answerSha256": "ab" * 32}
    received = {"flow": "plain", "amount": 1000, "routes": ["simulated"], "channels": ["webhook"], "currency": "EUR", "expiresAt": 1795833119659,
                "metadata": {"a": [{"b": "}\""}]}, "tokens": {}, "none": None, "yes": True, "no": False, "list": [], "deep": [1, [2]]}
    bodies = [received, {"code": "", "evidence": evidence, "provider": "stripe"}, {"amount": -5, "message": "a \"quote\""}, {"rate": 1.5}, {"big": 2**63 - 1}, {}]
    return [json.dumps(one, ensure_ascii=False) for one in bodies] + ["{\"a\": [1, {\"b\"", "[1]", " { } ", "{\"caf\u00e9\": \"\u00e9\"}"]


def main():
    for make in (published, pan, schema, envelope, stripe, paypal, tokens, pop, pop_state, note, simulated, config, ingress, saga, receipt, absence, archive, row, body):
        write(make.__name__, make())
        print(f"{make.__name__:10} {len(os.listdir(os.path.join(CORPUS, make.__name__)))} files")


if __name__ == "__main__":
    main()
