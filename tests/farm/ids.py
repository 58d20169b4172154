"""ids.py - the recipe of docs/ids.md once more, as an app would write it: the id of a payment or command is known before it is published"""

import hashlib
import uuid

NAMESPACE = uuid.UUID("5a0d7f1e-ac90-8174-9c41-616371756974")


def _uuid8(name):
    digest = bytearray(hashlib.sha256(NAMESPACE.bytes + name.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def payment_id(publisher, message_id):
    return _uuid8(f"payment\n{publisher}\n{message_id}")


def command_id(kind, publisher, message_id):
    return _uuid8(f"command\n{kind}\n{publisher}\n{message_id}")
