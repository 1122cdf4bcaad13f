"""A connection arrives: what it asks for is decided and looked up, and the very address that was judged is dialled."""

from __future__ import annotations

import os

from claudebox import address
from claudebox.plan.network.allowlist import DIAL_SECONDS, DIALS, NEXT_SECONDS, index_of
from claudebox.plan.network.rules import check_on, decide
from claudebox.run.gateway.loop import IN, OUT
from claudebox.run.gateway.relay import Flow
from claudebox.run.gateway.sockets import FAMILY, accepted, prefix, reset
from claudebox.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from claudebox.model import Prefix
    from claudebox.run.gateway.check import Found

TURN = 64  # connections that are taken before others have their turn


class Dialler:
    """Connections that are not joined yet."""

    def __init__(self, server: Any) -> None:
        self.server, self.loop = server, server.loop
        self.pending: dict[str, int] = {}  # name → dials without an answer
        self.whole = self.loop.deadlines(DIAL_SECONDS)
        self.one = self.loop.deadlines(NEXT_SECONDS)

    def listen(self, sock: socket.socket) -> None:
        """Take what arrives on the gateway's own socket."""
        self.loop.watch(sock.fileno(), IN, lambda _: self.arrived(sock))

    def arrived(self, listener: socket.socket) -> None:
        """By TPROXY our end of a connection has the address that was dialled."""
        for _ in range(TURN):
            client = accepted(listener)
            if client is None:
                return
            try:
                where = client.getsockname()
                self.take(client, prefix(where[0]), where[1])
            except OSError:
                client.close()

    def take(self, client: socket.socket, dialled: Prefix, port: int) -> None:
        """Decide about a connection, and begin to dial."""
        name = self.server.table.name(index_of(dialled))
        flow = Flow(client, name, port)
        flow.address = "" if name else address.text(dialled)
        reason = self.reason(flow)
        if reason:
            self.server.refused(flow, flow.name, flow.address, port, reason)
            reset(client)
            return
        self.server.flows.add(flow)
        flow.dialling, flow.key = True, flow.asked
        self.pending[flow.key] = self.pending.get(flow.key, 0) + 1
        self.whole.set(flow, lambda: self.fail(flow, "nobody answered in time"))
        if not name:
            self.try_next(flow, [dialled])
        else:
            self.server.resolver.resolve(name, lambda found: self.resolved(flow, found))

    def reason(self, flow: Flow) -> str:
        """Why a connection is refused at once; "" when it may be tried."""
        verdict = decide(self.server.rules, flow.asked, flow.port)
        if not verdict.allowed and not self.server.learns:
            return verdict.reason
        if verdict.allowed and verdict.rule is not None:
            flow.rule = verdict.rule
            flow.check = check_on(verdict.rule, flow.port) if flow.name else "none"
        if len(self.server.flows) >= self.server.most:
            return "too many connections"
        return "too many of them wait for an answer" if self.pending.get(flow.asked, 0) >= DIALS else ""

    def resolved(self, flow: Flow, found: Found) -> None:
        """The host's resolver has spoken."""
        if flow not in self.server.flows:
            return
        if not found:
            self.fail(flow, "it cannot be looked up" if found is None else "the host's resolver knows no such name")
            return
        self.try_next(flow, list(found))

    def try_next(self, flow: Flow, todo: list[Prefix]) -> None:
        """Dial the first of these addresses that may be dialled."""
        while todo:
            target = todo.pop(0)
            if refusal := self.server.networks.refusal(target, flow.port):
                flow.reason = f"{address.text(target)} is refused: {refusal}"
                continue
            sock = socket.socket(
                FAMILY[target.version], socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )
            number = sock.connect_ex((address.text(target), flow.port))
            if number not in (0, 115):  # EINPROGRESS
                sock.close()
                flow.reason = os.strerror(number)
                continue
            flow.up, flow.todo, flow.target, flow.address = sock, todo, target, address.text(target)
            self.loop.watch(sock.fileno(), OUT, lambda _: self.dialled(flow))
            if todo:
                self.one.set(flow, lambda: self.another(flow, "nobody answered in time"))
            return
        self.fail(flow, flow.reason)

    def dialled(self, flow: Flow) -> None:
        """A dial has ended, well or not."""
        assert flow.up is not None
        if number := flow.up.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.another(flow, os.strerror(number))
            return
        self.loop.forget(flow.up.fileno())
        self.connected(flow)

    def another(self, flow: Flow, reason: str) -> None:
        """This address did not answer: the next one."""
        assert flow.up is not None
        self.one.clear(flow)
        self.loop.forget(flow.up.fileno())
        flow.up.close()
        flow.up, flow.reason = None, reason
        self.try_next(flow, flow.todo)

    def connected(self, flow: Flow) -> None:
        """The other end is there."""
        self.forget(flow)
        self.server.allowed(flow)
        self.server.relay.join(flow)

    def fail(self, flow: Flow, reason: str) -> None:
        """It may be reached, and cannot be."""
        self.server.refused(flow, flow.name, flow.address, flow.port, reason)
        self.server.relay.drop(flow, reason)

    def forget(self, flow: Flow) -> None:
        """It is not waited for any longer."""
        self.whole.clear(flow)
        self.one.clear(flow)
        if flow.dialling:
            flow.dialling = False
            left = self.pending.get(flow.key, 1) - 1
            if left:
                self.pending[flow.key] = left
            else:
                self.pending.pop(flow.key, None)
