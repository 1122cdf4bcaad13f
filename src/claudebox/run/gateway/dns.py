"""The name server inside: listed names have an address of the gateway's, everything else does not exist."""

from __future__ import annotations

import functools
import struct

from claudebox import address
from claudebox.plan.network import names
from claudebox.plan.network.allowlist import STREAM_SECONDS, STREAMS, fake, index_of
from claudebox.plan.network.rules import decide_name
from claudebox.run.gateway.loop import IN
from claudebox.run.gateway.sockets import accepted
from claudebox.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from claudebox.run.gateway.check import Found

TURN = 64  # datagrams that are served before others have their turn
LOOPBACK = {names.A: b"\x7f\0\0\1", names.AAAA: bytes(15) + b"\1"}
VERSIONS = {names.A: 4, names.AAAA: 6}


class NameServer:
    """Answers what is asked inside. Nothing of a question is forwarded: the host is asked for a listed name alone."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.streams = 0
        self.slow = server.loop.deadlines(STREAM_SECONDS)
        self.full = False

    def serve(self, sock: socket.socket) -> None:
        """Answer the datagrams of a socket."""
        self.server.loop.watch(sock.fileno(), IN, lambda _: self.datagrams(sock))

    def datagrams(self, sock: socket.socket) -> None:
        """What has arrived."""
        for _ in range(TURN):
            try:
                message, source = sock.recvfrom(names.LARGEST + 1)
            except OSError:
                return
            self.answer(message, functools.partial(_sent, sock, source), source)

    def listen(self, sock: socket.socket) -> None:
        """Answer on the connections of a socket."""
        self.server.loop.watch(sock.fileno(), IN, lambda _: self.connected(sock))

    def connected(self, listener: socket.socket) -> None:
        """Somebody connected: a few may, each for a while."""
        if (found := accepted(listener)) is None:
            return
        if self.streams >= STREAMS:
            found.close()
            return
        self.streams += 1
        Stream(self, found)

    # --- the answers ------------------------------------------------------------------------------

    def answer(self, message: bytes, send: Callable[[bytes], None], source: tuple[str, int] | None = None) -> None:
        """Answer one message by calling send, now or when the host's resolver has spoken."""
        query = names.read(message)
        if isinstance(query, bytes):
            if query:
                send(query)
            return
        name = query.name
        if name == "localhost" or name.endswith(".localhost"):
            send(names.answer(query, names.NOERROR, LOOPBACK.get(query.kind, b"")))
        elif name.endswith(".arpa"):
            send(self.reverse(query))
        elif not name or (not self.server.learns and not decide_name(self.server.rules, name)):
            if name:
                self.unknown(name, source)
            send(names.answer(query, names.NO_SUCH_NAME))
        else:
            self.server.resolver.resolve(name, lambda found: send(self.resolved(query, found)))

    def unknown(self, name: str, source: tuple[str, int] | None) -> None:
        """A name that no rule names."""
        program = self.server.who.program(4, source[1], datagram=True) if source else ""
        self.server.log.event("refused", name, 0, "no rule names it", program=program)

    def resolved(self, query: names.Query, found: Found) -> bytes:
        """The answer when the host's resolver has spoken."""
        if found is None:
            return names.answer(query, names.FAILED)
        if not found:
            self.server.log.event("refused", query.name, 0, "the host's resolver knows no such name")
            return names.answer(query, names.NO_SUCH_NAME)
        return self.found(query)

    def found(self, query: names.Query) -> bytes:
        """The name's own address, of the kind that was asked for; any other record it has none of."""
        number = self.server.table.number(query.name)
        if number is None:
            self.server.log.event("refused", query.name, 0, "more names were used than a sandbox may")
            if not self.full:
                self.full = True
                self.server.say("the sandbox has used as many names as it may: no further one can be looked up")
            return names.answer(query, names.FAILED)
        version = VERSIONS.get(query.kind)
        if version is None or version not in self.server.versions:
            return names.answer(query, names.NOERROR)
        return names.answer(
            query, names.NOERROR, fake(version, number).value.to_bytes(4 if version == 4 else 16, "big")
        )

    def reverse(self, query: names.Query) -> bytes:
        """The name that one of our addresses stands for."""
        found = names.reversed_address(query.name)
        name = self.server.table.name(index_of(address.single(*found))) if found else ""
        if not name:
            return names.answer(query, names.NO_SUCH_NAME)
        return names.answer(query, names.NOERROR, names.packed(name) if query.kind == names.PTR else b"")


class Stream:
    """One connection that asks, message by message, each with its length before it."""

    def __init__(self, service: NameServer, sock: socket.socket) -> None:
        self.service, self.sock, self.data = service, sock, b""
        service.server.loop.watch(sock.fileno(), IN, lambda _: self.read())
        service.slow.set(self, self.end)

    def read(self) -> None:
        """Take what there is; answer what is whole."""
        try:
            more = self.sock.recv(names.LARGEST)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        if not more:
            self.end()
            return
        self.data += more
        while len(self.data) >= 2 and self.sock.fileno() >= 0:
            (length,) = struct.unpack_from("!H", self.data)
            if length > names.LARGEST:
                self.end()
            if len(self.data) < 2 + length:
                return
            message, self.data = self.data[2 : 2 + length], self.data[2 + length :]
            self.service.answer(message, self.send)

    def send(self, said: bytes) -> None:
        """Answer; a client that does not read its answers loses the connection."""
        whole = struct.pack("!H", len(said)) + said
        try:
            if self.sock.fileno() >= 0 and self.sock.send(whole) < len(whole):
                self.end()
        except OSError:
            self.end()

    def end(self) -> None:
        """Close it."""
        if self.sock.fileno() >= 0:
            self.service.slow.clear(self)
            self.service.server.loop.forget(self.sock.fileno())
            self.sock.close()
            self.service.streams -= 1


def _sent(sock: socket.socket, to: tuple[str, int], said: bytes) -> None:
    try:
        sock.sendto(said, to)
    except OSError:
        pass  # who asked is gone, or reads nothing: it will ask again
