"""Ports of the host's 127.0.0.1 that the sandbox has at its own, and the other way round."""

from __future__ import annotations

import functools
import os

from claudebox.errors import ClaudeboxError
from claudebox.model import Publish
from claudebox.run.gateway.loop import IN, OUT
from claudebox.run.gateway.relay import Flow
from claudebox.run.gateway.sockets import accepted, reset
from claudebox.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


LOOPBACK4, LOOPBACK6, TURN, BACKLOG = "127.0.0.1", "::1", 64, 128
LOW = 8  # sockets of the sandbox's that are kept ready; with fewer the launcher is asked for more
WAITING = 256  # connections that wait for one


class Ports:
    """Both kinds, as they are granted now."""

    def __init__(self, server: Any) -> None:
        self.server, self.loop = server, server.loop
        self.open: dict[int, list[socket.socket]] = {}
        self.published: dict[Publish, socket.socket] = {}
        self.pools: dict[int, list[socket.socket]] = {4: [], 6: []}
        self.waiting: list[Callable[[], None]] = []
        self.asked = False

    # --- the host's ports inside -----------------------------------------------------------------

    def serve(self, port: int, sock: socket.socket) -> None:
        """Serve the sandbox's end of a port of the host's."""
        self.open.setdefault(port, []).append(sock)
        self.loop.watch(sock.fileno(), IN, lambda _: self.inward(sock, port))

    def host_port(self, port: int, *, add: bool) -> None:
        """Grant a port, or take it back: what stands on it ends. Raises ValueError."""
        if not 0 < port < 65536:
            raise ValueError("a port is a number from 1 to 65535")
        if add and port not in self.open:
            self.server.ask(b"H%d" % port)
        elif not add:
            for sock in self.open.pop(port, ()):
                self.loop.forget(sock.fileno())
                sock.close()
            self.end(f"host port {port}")

    def inward(self, listener: socket.socket, port: int) -> None:
        """Somebody inside connected to a port of the host's."""
        for _ in range(TURN):
            if (client := accepted(listener)) is None:
                return
            flow = Flow(client, f"host port {port}", port)
            flow.up = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            self.begin(flow, LOOPBACK4)

    # --- the sandbox's ports outside -------------------------------------------------------------

    def publish(self, where: Publish, *, add: bool) -> None:
        """Grant one, or take it back: what stands on it ends. Raises ValueError; ClaudeboxError where it is taken."""
        if not (0 < where.host < 65536 and 0 < where.inside < 65536):
            raise ValueError("a port is a number from 1 to 65535")
        if add and where not in self.published:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((LOOPBACK4, where.host))
                sock.listen(BACKLOG)
            except OSError as error:
                sock.close()
                text = f"port {where.host} of 127.0.0.1 cannot be published on: {error.strerror}"
                raise ClaudeboxError(text, "choose another: --publish OTHER:PORT") from None
            self.published[where] = sock
            self.loop.watch(sock.fileno(), IN, lambda _: self.outward(sock, where))
        elif not add and (found := self.published.pop(where, None)) is not None:
            self.loop.forget(found.fileno())
            found.close()
            self.end(f"published port {where.host}")

    def outward(self, listener: socket.socket, where: Publish) -> None:
        """Somebody on the host connected to a port of the sandbox's."""
        for _ in range(TURN):
            if (client := accepted(listener)) is None:
                return
            if len(self.waiting) >= WAITING:
                reset(client)
                continue
            flow = Flow(client, f"published port {where.host}", where.inside)
            self.with_socket(functools.partial(self.out, flow))

    def out(self, flow: Flow) -> None:
        """Dial inside, by IPv4, then by IPv6."""
        flow.up = self.pools[4].pop()
        self.begin(flow, LOOPBACK4, again=bool(self.pools[6]))

    def with_socket(self, then: Callable[[], None]) -> None:
        """Call then when there are sockets that were made inside."""
        if self.pools[4]:
            then()
        else:
            self.waiting.append(then)
        if len(self.pools[4]) < LOW and not self.asked:
            self.asked = True
            self.server.ask(b"W")

    def supplied(self, version: int, sock: socket.socket) -> None:
        """The launcher had one more made inside."""
        sock.setblocking(False)
        self.pools[version].append(sock)

    def go_on(self) -> None:
        """All of them have come: who waited has one now."""
        self.asked = False
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            self.with_socket(then)

    # --- both ------------------------------------------------------------------------------------

    def begin(self, flow: Flow, to: str, *, again: bool = False) -> None:
        """Connect to a loopback address, and join."""
        assert flow.up is not None
        flow.address = to
        if len(self.server.flows) >= self.server.most:
            reset(flow.client)
            flow.up.close()
            return
        self.server.flows.add(flow)
        number = flow.up.connect_ex((to, flow.port))
        if number in (0, 115):
            self.loop.watch(flow.up.fileno(), OUT, lambda _: self.connected(flow, again=again))
        else:
            self.failed(flow, number)

    def connected(self, flow: Flow, *, again: bool) -> None:
        """The dial has ended, well or not."""
        assert flow.up is not None
        self.loop.forget(flow.up.fileno())
        number = flow.up.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number and again and self.pools[6]:
            flow.up.close()
            flow.up = self.pools[6].pop()
            self.server.flows.discard(flow)
            self.begin(flow, LOOPBACK6)
        elif number:
            self.failed(flow, number)
        else:
            self.server.allowed(flow)
            self.server.relay.join(flow)

    def failed(self, flow: Flow, number: int) -> None:
        """Nobody listens there."""
        self.server.log.event("refused", flow.name, flow.port, os.strerror(number), address=flow.address)
        self.server.relay.drop(flow, os.strerror(number))

    def end(self, name: str) -> None:
        """End what stands under a name."""
        for flow in [one for one in self.server.flows if one.name == name]:
            self.server.relay.drop(flow, "it was taken back")
