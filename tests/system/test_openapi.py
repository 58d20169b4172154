"""/openapi.json: a valid OpenAPI 3.1 document, of exactly the routes there are, and every answer is as it says.

openapi/ holds the OpenAPI Initiative's own schema of such documents (Apache License 2.0, see openapi/LICENSE).
"""

import contextlib
import datetime
import http.client
import json
import os
import re
import urllib.parse
import uuid

import jsonschema
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OFFICIAL = os.path.join(ROOT, "tests", "system", "openapi", "oas-3.1-schema-2022-10-07.json")
NOWHERE = "postgresql://nobody@127.0.0.1:1/acquit"
METHODS = ("get", "post", "put", "delete", "patch", "options", "head", "trace")

# DESIGN, section 9
PROMISED = {
    ("post", "/api/payments/process"), ("post", "/api/payments"), ("get", "/api/payments/{id}"), ("get", "/api/payments/{id}/status"),
    ("get", "/api/payments/status/{id}"), ("get", "/api/payments/{id}/events"), ("get", "/api/payments"), ("post", "/api/payments/{id}/cancel"),
    ("post", "/api/refunds/create"), ("get", "/api/payments/refunds/{id}"), ("get", "/health"), ("get", "/health/database"),
    ("post", "/webhooks/pop"), ("get", "/health/gateways"), ("get", "/health/providers"), ("get", "/health/detailed"), ("get", "/openapi.json"),
}

# Answers that nothing a client or a broken neighbour does can provoke: they would be a defect of ours.
NOT_PROVOKED = {"500"}


def is_time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).tzinfo is not None and text.endswith("Z")


checker = jsonschema.FormatChecker(formats=())
checker.checks("uuid", raises=ValueError)(lambda value: not isinstance(value, str) or str(uuid.UUID(value)) == value)
checker.checks("date-time", raises=ValueError)(lambda value: not isinstance(value, str) or is_time(value))


class Interface:
    """The document, and what of it has been seen."""

    def __init__(self, world):
        self.world = world
        self.document = self.request("GET", "/openapi.json")[2]
        self.seen = set()

    def request(self, method, path, body=None, headers=None, url=None, publisher="shop"):
        """(status, headers, decoded JSON)"""
        parts = urllib.parse.urlsplit(url or self.world.farm.url)
        usual = {"Authorization": "Bearer " + self.world.farm.api_key(publisher)} | ({} if body is None else {"Content-Type": "application/json"})
        sent = {name: value for name, value in (usual | (headers or {})).items() if value is not None}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)) as connection:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), json.loads(answer.read())

    def operations(self):
        return {(method, path): operation for path, item in self.document["paths"].items() for method, operation in item.items() if method in METHODS}

    def validator(self, schema):
        """The document's components stand beside the schema, so that its references are found."""
        return jsonschema.Draft202012Validator({**schema, "components": self.document["components"]}, format_checker=checker)

    def errors(self, schema, value):
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in self.validator(schema).iter_errors(value)]

    def ask(self, method, route, status, path=None, body=None, headers=None, query="", url=None):
        """Asks, and compares the answer with what the document says of this route and status; the answer."""
        got, answered, value = self.request(method, (path or route) + query, body, headers, url)
        said = f"{method} {path or route}{query} with {str(body)[:200]}: {got} {str(value)[:600]}"
        assert got == status, said
        operation = self.operations()[method.lower(), route]
        response = operation["responses"].get(str(status))
        assert response, f"not documented: {said}"
        assert answered["Content-Type"] in response["content"], said
        errors = self.errors(response["content"][answered["Content-Type"]]["schema"], value)
        assert not errors, f"{said}\n" + "\n".join(errors)
        if status == 503:
            assert value["retryAfter"] == 30 and answered["Retry-After"] == "30", said
        if isinstance(body, dict) and status in (200, 202):
            errors = self.errors(operation["requestBody"]["content"]["application/json"]["schema"], body)
            assert not errors, f"a body that was taken is none by the document: {said}\n" + "\n".join(errors)
        self.seen.add((method.lower(), route, str(status)))
        return value


@pytest.fixture
def interface(world):
    return Interface(world)


# --- the document ---

def references(value):
    if isinstance(value, dict):
        yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        for below in value.values():
            yield from references(below)
    elif isinstance(value, list):
        for below in value:
            yield from references(below)


def resolve(document, reference):
    assert reference.startswith("#/"), f"{reference} is outside of the document"
    at = document
    for part in reference[2:].split("/"):
        at = at[urllib.parse.unquote(part).replace("~1", "/").replace("~0", "~")]
    return at


def test_the_document_is_valid(interface):
    """By the official schema; its own schemas are JSON Schemas, and no reference dangles."""
    with open(OFFICIAL, encoding="utf-8") as text:
        official = json.load(text)
    errors = [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
              for error in jsonschema.Draft202012Validator(official).iter_errors(interface.document)]
    assert not errors, "\n".join(errors)
    assert re.fullmatch(r"3\.1\.\d+", interface.document["openapi"])
    for name, schema in interface.document["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        jsonschema.Draft202012Validator.check_schema(schema)
    used = set(references(interface.document))
    for reference in used:
        resolve(interface.document, reference)
    unused = {f"#/components/schemas/{name}" for name in interface.document["components"]["schemas"]} - used
    assert not unused, unused


def test_every_operation_says_what_a_client_needs(interface):
    operations, wrong = interface.operations(), []
    ids = [operation.get("operationId") for operation in operations.values()]
    assert all(ids) and len(set(ids)) == len(ids), ids
    for (method, path), operation in operations.items():
        holes = set(re.findall(r"{(\w+)}", path))
        declared = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
        if not (operation.get("summary") and holes == declared and all("description" in parameter for parameter in operation.get("parameters", []))):
            wrong.append(f"{method} {path}: summary or parameters")
        for status, response in operation["responses"].items():
            media = response.get("content", {}).get("application/json", {})
            if not (response.get("description") and re.fullmatch(r"[2-5]\d\d", status) and media.get("schema")):
                wrong.append(f"{method} {path} {status}: description or schema")
        if "security" not in operation and "401" not in operation["responses"]:
            wrong.append(f"{method} {path}: needs a key and does not say so")
        if method == "post" and "requestBody" not in operation:
            wrong.append(f"{method} {path}: no body")
    assert not wrong, "\n".join(wrong)


def test_the_document_has_the_routes_there_are(interface):
    """Those of the table that the server follows, which has all that were promised."""
    with open(os.path.join(ROOT, "workers", "ingress", "routes.c"), encoding="utf-8") as source:
        table = {(method.lower(), path) for method, path in re.findall(r'\.method = "(\w+)",\s*\.path = "([^"]+)"', source.read())}
    assert set(interface.operations()) == table
    assert PROMISED <= table, PROMISED - table


# --- every route, every status that can be provoked ---

PLAIN = {"amount": 1500, "currency": "EUR", "flow": "plain", "preferredGateways": ["stripe"], "paymentToken": "pm_card_visa"}
FULL = PLAIN | {"paymentMethod": "card", "country": "DE", "tokens": {"id": "seat", "quantity": 1}, "customerId": "c-1", "customerEmail": "ada@example.org",
                "description": "two seats", "merchant": "hall", "reference": {"type": "booking", "id": "b-1"}, "metadata": {"cart": "9"},
                "expiresInMs": 600_000}
POSTS = {("post", "/api/payments/process"): FULL, ("post", "/api/payments"): PLAIN}
LARGE = b" " * (256 * 1024 + 1)


@contextlib.contextmanager
def ingress_without(farm, name, **environment):
    """The URL of a second ingress that lacks something."""
    port = farm._free_port(0)
    own = farm._environment("ingress") | {"PORT": str(port)} | environment
    farm.start_program(name, [farm.program("acquit-ingress")], own)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        farm.stop_program(name)


def refused_bodies(interface, route, path, good):
    """What every route with a body answers to a bad one."""
    interface.ask("POST", route, 400, path, {"amount": "x", "unknown": 1})
    interface.ask("POST", route, 400, path, b"{")
    interface.ask("POST", route, 400, path, good | {"reason": "4242424242424242"})
    interface.ask("POST", route, 400, path, good, {"Idempotency-Key": ""})
    interface.ask("POST", route, 400, path, good, query="?wait_ms=soon")
    interface.ask("POST", route, 401, path, good, {"Authorization": None})
    interface.ask("POST", route, 413, path, LARGE)
    interface.ask("POST", route, 415, path, b"amount=1", {"Content-Type": "text/plain"})


def exercise_creating(interface):
    world, shown = interface.world, []
    for (_, route), body in POSTS.items():
        refused_bodies(interface, route, route, body)
        key = world.key()
        payment = world.expect(key, "shop")
        answer = interface.ask("POST", route, 202, body=body, headers={"Idempotency-Key": key})
        interface.ask("GET", "/api/payments/{id}/status", 200, answer["data"]["statusUrl"].split("?")[0], query="?" + answer["data"]["statusUrl"].split("?")[1])
        world.wait_state(payment, "completed")
        interface.ask("POST", route, 200, body=body, headers={"Idempotency-Key": key, "Prefer": "wait=5"})
        interface.ask("POST", route, 409, body=body | {"amount": 2}, headers={"Idempotency-Key": key})
        key = world.key()
        failed = world.expect(key, "shop")
        declined = body | {"paymentToken": "pm_card_chargeDeclined"}
        answer = interface.ask("POST", route, 402, body=declined, headers={"Idempotency-Key": key}, query="?wait_ms=9000")
        assert answer["error"] == "PAYMENT_GATEWAY_ERROR" and answer["details"][0]["code"] == "generic_decline", answer
        key = world.key()
        ruled = world.expect(key, "shop")
        answer = interface.ask("POST", route, 402, body=body | {"preferredGateways": ["nobody"]}, headers={"Idempotency-Key": key}, query="?wait_ms=9000")
        assert answer["error"] == "PAYMENT_FAILED" and answer["details"][0]["reason"] == "NO_ROUTE", answer
        shown += [payment, failed, ruled]
    return shown


def exercise_reading(interface, payments, waiting):
    routes = {"/api/payments/{id}": "/api/payments/%s", "/api/payments/{id}/status": "/api/payments/%s/status",
              "/api/payments/status/{id}": "/api/payments/status/%s", "/api/payments/{id}/events": "/api/payments/%s/events"}
    lost = f"?command={uuid.uuid4()}.{'0' * 64}"
    for route, path in routes.items():
        for payment in (*payments, waiting):
            interface.ask("GET", route, 200, path % payment)
            interface.ask("GET", route, 200, path % ("tx_" + payment.replace("-", "")))
        interface.ask("GET", route, 401, path % payments[0], headers={"Authorization": "Bearer nobody"})
        interface.ask("GET", route, 404, path % uuid.uuid4())
        interface.ask("GET", route, 404, path % "nonsense")
        if "status" in route:
            interface.ask("GET", route, 200, path % payments[0], query=lost)
            interface.ask("GET", route, 400, path % payments[0], query="?command=nonsense")
            ((command,),) = interface.world.sql("select id::text from ledger.command where payment_id = %s and type = 'payment.create'", payments[0])
            interface.ask("GET", route, 409, path % payments[0], query=f"?command={command}.{'0' * 64}")
    for query in ("", "?limit=1", "?limit=200&state=completed&currency=EUR", "?merchant=hall&referenceType=booking&referenceId=b-1", "?state=failed",
                  "?gateway=stripe&from=2026-01-01&to=2099-01-01T00:00:00.5%2B02:00"):
        interface.ask("GET", "/api/payments", 200, query=query)
    for query in ("?limit=0", "?limit=x", "?cursor=-1", "?currency=eur", "?state=lost", "?from=yesterday", "?to=2026-02-30"):
        interface.ask("GET", "/api/payments", 400, query=query)
    interface.ask("GET", "/api/payments", 401, headers={"Authorization": None})


def exercise_archived(interface):
    """A payment of this publisher of which the ledger knows where it lived, and has no fact: its partition is in a file."""
    away = str(uuid.uuid4())
    with interface.world.books.cursor() as cursor:
        cursor.execute("insert into ledger.payment (payment_id, began) values (%s, '1990-05-05')", (away,))
        cursor.execute("insert into ledger.command (id, payment_id, publisher, message_id, type, sha256) values (%s, %s, 'shop', %s, 'payment.create', %s)",
                       (str(uuid.uuid4()), away, away, "0" * 64))
    for route in ("/api/payments/{id}", "/api/payments/{id}/status", "/api/payments/status/{id}", "/api/payments/{id}/events"):
        interface.ask("GET", route, 410, route.replace("{id}", away))
    interface.ask("POST", "/api/payments/{id}/cancel", 410, f"/api/payments/{away}/cancel", {})
    interface.ask("POST", "/api/refunds/create", 410, body={"paymentId": away})


def exercise_cancelling(interface, completed, waiting):
    route, world = "/api/payments/{id}/cancel", interface.world
    path = f"/api/payments/{waiting}/cancel"
    refused_bodies(interface, route, path, {})
    interface.ask("POST", route, 404, f"/api/payments/{uuid.uuid4()}/cancel", {})
    interface.ask("POST", route, 409, f"/api/payments/{completed}/cancel", {"reason": "late"})
    interface.ask("POST", route, 202, path, {"reason": "mine"})
    world.wait_state(waiting, "cancelled")
    interface.ask("POST", route, 200, path)


def exercise_refunding(interface, payment):
    route, world, key = "/api/refunds/create", interface.world, interface.world.key()
    body = {"paymentId": payment, "amount": 100, "reason": "torn"}
    refused_bodies(interface, route, route, body)
    interface.ask("POST", route, 404, body={"paymentId": str(uuid.uuid4())})
    answer = interface.ask("POST", route, 202, body=body, headers={"Idempotency-Key": key})
    refund = answer["data"]["refundId"]
    interface.ask("POST", route, 200, body=body, headers={"Idempotency-Key": key}, query="?wait_ms=9000")
    interface.ask("POST", route, 409, body=body | {"amount": 101}, headers={"Idempotency-Key": key})
    answer = interface.ask("POST", route, 200, body=body | {"amount": 9999}, query="?wait_ms=9000")
    assert answer["data"]["status"] == "failed" and answer["data"]["code"] == "exceeds_capture"
    world.wait_state(payment, "partially_refunded")
    shown = "/api/payments/refunds/{id}"
    for name in (refund, answer["data"]["refundId"]):
        interface.ask("GET", shown, 200, f"/api/payments/refunds/{name}")
    interface.ask("GET", shown, 401, f"/api/payments/refunds/{refund}", headers={"Authorization": None})
    interface.ask("GET", shown, 404, f"/api/payments/refunds/{uuid.uuid4()}")
    interface.ask("GET", "/api/payments/{id}", 200, f"/api/payments/{payment}")
    interface.ask("GET", "/api/payments/{id}/events", 200, f"/api/payments/{payment}/events")
    return refund


def exercise_voting(interface):
    """The vote that comes too late to change anything; it stays good to be sent."""
    world, route = interface.world, "/webhooks/pop"
    payment = world.pay(world.dual())
    world.wait_state(payment, "completed")
    vote = world.twin(f"/_twin/books/validators?paymentId={payment}")["validations"][0]["vote"]
    interface.ask("POST", route, 202, body=vote, headers={"Authorization": None})
    interface.ask("POST", route, 401, body=vote | {"verdict": "invalid"})
    interface.ask("POST", route, 400, body=vote | {"amount": "x"})
    interface.ask("POST", route, 400, body=b"{")
    interface.ask("POST", route, 400, body=vote | {"reason": "4242424242424242"})
    interface.ask("POST", route, 413, body=LARGE)
    interface.ask("POST", route, 415, body=b"amount=1", headers={"Content-Type": "text/plain"})
    return vote


OPEN = ("/health", "/health/database", "/health/gateways", "/health/providers", "/health/detailed", "/openapi.json")


def exercise_outages(interface, payment, refund, vote):
    """Every answer of an ingress whose ledger is away; what needs no ledger goes on."""
    with ingress_without(interface.world.farm, "ingress-2", ACQUIT_LEDGER_URL=NOWHERE, ACQUIT_LEDGER_READ_URL=NOWHERE) as url:
        for (_, route), body in POSTS.items():
            interface.ask("POST", route, 503, body=body, headers={"Idempotency-Key": interface.world.key()}, url=url)
        interface.ask("POST", "/api/payments/{id}/cancel", 503, f"/api/payments/{payment}/cancel", {}, url=url)
        interface.ask("POST", "/api/refunds/create", 503, body={"paymentId": payment}, url=url)
        for route in ("/api/payments/{id}", "/api/payments/{id}/status", "/api/payments/{id}/events", "/api/payments/status/{id}"):
            interface.ask("GET", route, 503, route.format(id=payment), url=url)
        interface.ask("GET", "/api/payments/refunds/{id}", 503, f"/api/payments/refunds/{refund}", url=url)
        interface.ask("GET", "/api/payments", 503, url=url)
        for route in OPEN[1:5]:
            interface.ask("GET", route, 503, url=url)
        interface.ask("GET", "/health", 200, url=url)
    with ingress_without(interface.world.farm, "ingress-3", ACQUIT_BROKER_URL="amqp://acquit-ingress:x@127.0.0.1:1/acquit") as url:
        for (_, route), body in POSTS.items():
            interface.ask("POST", route, 503, body=body, headers={"Idempotency-Key": interface.world.key()}, url=url)
        interface.ask("POST", "/webhooks/pop", 503, body=vote, url=url)
        interface.ask("GET", "/health/detailed", 503, url=url)
        interface.ask("GET", "/health/database", 200, url=url)


def test_every_route_answers_as_documented(interface):
    """All statuses of all routes but those of our own defects; an answer beside its schema is a failure."""
    world = interface.world
    key = world.key()
    waiting = world.expect(key, "shop")
    interface.ask("POST", "/api/payments/process", 202, body=PLAIN | {"preferredGateways": ["simulated"], "paymentToken": "tok_requires_action"},
                  headers={"Idempotency-Key": key})
    payments = exercise_creating(interface)
    world.wait_state(waiting, "requires_action")
    exercise_reading(interface, payments, waiting)
    exercise_archived(interface)
    exercise_cancelling(interface, payments[0], waiting)
    refund = exercise_refunding(interface, payments[0])
    for route in OPEN:
        interface.ask("GET", route, 200)
    exercise_outages(interface, payments[0], refund, exercise_voting(interface))
    documented = {(method, path, status) for (method, path), operation in interface.operations().items() for status in operation["responses"]}
    left = {one for one in documented - interface.seen if one[2] not in NOT_PROVOKED}
    assert not left, f"documented, and not seen: {sorted(left)}"


def test_head_is_answered_as_get_without_its_body(world):
    for path in ("/health", "/openapi.json", "/api/payments"):
        with contextlib.closing(http.client.HTTPConnection(urllib.parse.urlsplit(world.farm.url).netloc, timeout=20)) as connection:
            connection.request("HEAD", path, headers=world.headers("shop"))
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"") and int(answer.headers["Content-Length"]) > 10
