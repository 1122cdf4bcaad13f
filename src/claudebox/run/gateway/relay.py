"""Connections whose two ends are there: bytes go both ways, each end and each reset is passed on, nothing piles up."""

from __future__ import annotations

import time

from claudebox.plan.network.allowlist import HELLO_SECONDS
from claudebox.run.gateway.loop import ERR, HUP, IN, OUT
from claudebox.run.gateway.sockets import ORDERLY, lively, reset
from claudebox.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from claudebox.model import AllowRule, Check, Prefix

BLOCK, SMALL, HELD = 1 << 18, 1 << 14, 8 << 20  # bytes of a read; once this many are held for slow readers
TURN = 8  # blocks of one way before others have their turn
UNWATCHED = -1


class Way:
    """One direction. held: what the other end does not take yet; ended: there is no more to read, and that was said."""

    __slots__ = ("ended", "held", "said", "source", "target", "total")

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.held, self.total, self.ended, self.said = b"", 0, False, False


class Flow:
    """A connection from inside, and what it leads to."""

    __slots__ = (
        "address", "check", "client", "dialling", "key", "masks", "name", "port", "reason", "rule", "started", "target",
        "todo", "up", "ways",
    )  # fmt: skip

    def __init__(self, client: socket.socket, name: str, port: int) -> None:
        self.client, self.name, self.port = client, name, port
        self.started = time.monotonic()
        self.address = self.reason = ""
        self.check: Check = "none"
        self.rule: AllowRule | None = None
        self.up: socket.socket | None = None
        self.target: Prefix | None = None  # what was dialled
        self.todo: list[Prefix] = []
        self.dialling = False
        self.ways: dict[socket.socket, Way] = {}
        self.masks: dict[socket.socket, int] = {}
        self.key = ""  # whose dials are counted together

    @property
    def asked(self) -> str:
        """What was asked for: a name, or an address that none stands for."""
        return self.name or self.address


class Relay:
    """All connections that are joined."""

    def __init__(self, server: Any) -> None:
        self.server, self.loop = server, server.loop
        self.buffer = memoryview(bytearray(BLOCK))
        self.held = 0
        self.hellos = self.loop.deadlines(HELLO_SECONDS)

    def join(self, flow: Flow) -> None:
        """Both ends are connected: begin."""
        assert flow.up is not None
        flow.ways = {flow.client: Way(flow.client, flow.up), flow.up: Way(flow.up, flow.client)}
        try:
            for sock in flow.ways:
                lively(sock)
        except OSError as error:
            self.drop(flow, str(error.strerror))
            return
        if flow.check != "none":
            self.hellos.set(flow, lambda: self.refuse(flow, "the TLS hello took too long"))
        for sock in flow.ways:
            flow.masks[sock] = UNWATCHED
            self.interest(flow, sock)

    def other(self, flow: Flow, sock: socket.socket) -> socket.socket:
        """The other end."""
        assert flow.up is not None
        return flow.up if sock is flow.client else flow.client

    def interest(self, flow: Flow, sock: socket.socket) -> None:
        """Watch an end for what it is waited for; one with nothing to wait for is not watched: a hangup cannot be
        masked, and would wake the loop for ever."""
        way, back = flow.ways[sock], flow.ways[self.other(flow, sock)]
        mask = (0 if way.held or way.ended else IN) | (OUT if back.held else 0)
        if mask == flow.masks[sock]:
            return
        if flow.masks[sock] == UNWATCHED:
            if not mask:
                return
            self.loop.watch(sock.fileno(), mask, lambda events: self.event(flow, sock, events))
        elif mask:
            self.loop.change(sock.fileno(), mask)
        else:
            self.loop.forget(sock.fileno())
            mask = UNWATCHED
        flow.masks[sock] = mask

    def event(self, flow: Flow, sock: socket.socket, events: int) -> None:
        """Something is there on an end."""
        if flow not in self.server.flows:
            return
        try:
            if events & ERR and (number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                raise OSError(number, "reset")
            if events & (IN | HUP | ERR) and (sock is flow.up or flow.check == "none" or self.checked(flow)):
                self.pump(flow.ways[sock])
            if flow in self.server.flows and events & OUT:
                self.pump(flow.ways[self.other(flow, sock)])
        except OSError as error:
            self.drop(flow, error.strerror or "")
        if flow not in self.server.flows:
            return
        if all(way.said for way in flow.ways.values()):
            self.drop(flow, "", clean=True)
            return
        for end in flow.ways:
            self.interest(flow, end)

    def checked(self, flow: Flow) -> bool:
        """Whether what the client says first may go on; until then nothing of it does. The other way is not held up."""
        from claudebox.plan.network.hello import MOST_DATA
        from claudebox.run.gateway.inspect import look

        try:
            data = flow.client.recv(MOST_DATA, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        if data:
            before = flow.client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
            seen = look(data, flow.name, flow.check)
            if seen.refused:
                self.refuse(flow, seen.refused)
                return False
            if not seen.enough:
                if len(data) < before:  # woken with less than it waits for: there will be no more
                    self.refuse(flow, "the TLS hello is cut short")
                    return False
                flow.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(data) + 1)
                return False
        flow.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        flow.check = "none"
        self.hellos.clear(flow)
        return True

    def refuse(self, flow: Flow, reason: str) -> None:
        """What the client said does not belong to what it asked for."""
        self.server.refused(flow, flow.name, flow.address, flow.port, reason)
        self.drop(flow, reason)

    def pump(self, way: Way) -> None:
        """Pass on what there is, as far as the other end takes it. Raises OSError."""
        for _ in range(TURN):
            if way.held:
                if not self.push(way, memoryview(way.held)):
                    return
            elif not way.ended:
                try:
                    count = way.source.recv_into(self.buffer, SMALL if self.held > HELD else BLOCK)
                except BlockingIOError:
                    return
                way.ended = count == 0
                if count and not self.push(way, self.buffer[:count]):
                    return
            if way.ended and not way.held:
                self.finish(way)
                return

    def push(self, way: Way, data: memoryview) -> bool:
        """Send; what is not taken is held. Whether all was taken. Raises OSError."""
        try:
            count = way.target.send(data)
        except BlockingIOError:
            count = 0
        way.total += count
        self.held -= len(way.held)
        way.held = bytes(data[count:])
        self.held += len(way.held)
        return not way.held

    def finish(self, way: Way) -> None:
        """There is no more: say so to the other end. Raises OSError."""
        if not way.said:
            way.said = True
            try:
                way.target.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != 107:  # ENOTCONN: it has ended too
                    raise

    def drop(self, flow: Flow, reason: str, *, clean: bool = False) -> None:
        """End a connection, whatever its state. clean: both sides have said all; else both are told by a reset."""
        if flow not in self.server.flows:
            return
        self.server.flows.discard(flow)
        self.hellos.clear(flow)
        self.server.dialler.forget(flow)
        for sock in (flow.client, flow.up):
            if sock is None:
                continue
            self.loop.forget(sock.fileno())
            if clean:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ORDERLY)
                sock.close()
            else:
                reset(sock)
        self.held -= sum(len(way.held) for way in flow.ways.values())
        if flow.ways:
            up, down = flow.ways[flow.client].total, next(w.total for s, w in flow.ways.items() if s is not flow.client)
            self.server.log.event("ended", flow.name, flow.port, reason, address=flow.address, up=up, down=down)
        flow.ways = {}
