"""ClientHellos of a real TLS library, as bytes that a probe can send."""

from __future__ import annotations

import ssl


def hello(name: str | None) -> bytes:
    """What OpenSSL says first to a server of this name; None: without naming one."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def with_ech(said: bytes) -> bytes:
    """The same with an encrypted_client_hello extension at its end (RFC 9849)."""
    extension = b"\xfe\x0d\0\4\0\0\0\0"
    body = said[9:]
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    length = int.from_bytes(body[at : at + 2], "big") + len(extension)
    body = body[:at] + length.to_bytes(2, "big") + body[at + 2 :] + extension
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    return said[:3] + len(handshake).to_bytes(2, "big") + handshake


def in_records(said: bytes, size: int) -> bytes:
    """The same hello cut into records of so many bytes."""
    parts = [said[5:][at : at + size] for at in range(0, len(said) - 5, size)]
    return b"".join(said[:3] + len(part).to_bytes(2, "big") + part for part in parts)
