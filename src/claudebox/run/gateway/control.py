"""The control socket: grants given and taken back while a session runs. From the host only, no sandbox sees it.

One line of JSON in, one out: {"do": "allow", "rule": {"what": …, "ports": […], "check": …}}, the same with "deny",
{"do": "state"}.
"""

from __future__ import annotations

import json
import os

from claudebox.allowing import is_address, parse, shown
from claudebox.model import AllowRule, Origin, Why
from claudebox.plan.network.rules import added, decide
from claudebox.run.gateway.loop import IN
from claudebox.run.gateway.sockets import accepted
from claudebox.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


LONGEST, CLIENTS, SECONDS = 1 << 16, 8, 10.0  # bytes of a line; connections at a time; what one may take
LIVE = Why("granted while it runs", Origin(4, "claudebox network"))


class Control:
    """Serves the socket that the launcher made."""

    def __init__(self, server: Any, listener: int) -> None:
        self.server = server
        self.listener = socket.socket(fileno=os.dup(listener))
        self.listener.setblocking(False)
        self.clients = 0
        self.slow = server.loop.deadlines(SECONDS)
        server.loop.watch(self.listener.fileno(), IN, lambda _: self.connected())

    def connected(self) -> None:
        """Somebody has something to say."""
        if (found := accepted(self.listener)) is None:
            return
        if self.clients >= CLIENTS:
            found.close()
            return
        self.clients += 1
        Client(self, found)

    def obey(self, line: bytes) -> dict[str, Any]:
        """What comes of one line."""
        try:
            order = json.loads(line)
            return {"ok": True, **self.perform(order)}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"[:500]}

    def perform(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what an order says. Raises ValueError, KeyError or TypeError for one that says nothing."""
        match order["do"]:
            case "state":
                return self.state()
            case "allow":
                self.change(rule(order["rule"]))
            case "deny":
                self.change(rule(order["rule"])._replace(refused=True))
            case other:
                raise ValueError(f"{other!r} is not part of this release")
        return {}

    def change(self, one: AllowRule) -> None:
        """The rules are others from now on: what they no longer let through ends."""
        self.server.rules = added(self.server.rules, one)
        if self.server.learns:
            return
        for flow in list(self.server.flows):
            if flow.rule is not None and not decide(self.server.rules, flow.asked, flow.port).allowed:
                self.server.relay.drop(flow, "it was taken back")

    def state(self) -> dict[str, Any]:
        """What holds now, and how much of it is used."""
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        return {
            "rules": [{"rule": ("!" if r.refused else "") + shown(r), "check": r.check} for r in self.server.rules],
            "learn": self.server.learns,
            "host_ports": sorted(self.server.ports.open),
            "publish": sorted(self.server.ports.published),
            "names": len(self.server.table.names),
            "flows": len(self.server.flows),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        }


def rule(table: dict[str, Any]) -> AllowRule:
    """A rule of a line. Raises ValueError or TypeError."""
    ports = table.get("ports") or []
    if not isinstance(ports, list) or not all(type(port) is int and 0 < port < 65536 for port in ports):
        raise ValueError("ports are numbers from 1 to 65535")
    found = parse(str(table["what"]), LIVE)
    check = table.get("check") or found.check
    if check not in ("sni", "ech", "none"):
        raise ValueError("check is sni, ech or none")
    strict = "check" in table and not is_address(found.what) and check != "sni"
    return found._replace(ports=tuple(sorted(set(ports))), check=check, strict=strict)


class Client:
    """One connection to it."""

    def __init__(self, control: Control, sock: socket.socket) -> None:
        self.control, self.sock, self.data = control, sock, b""
        control.server.loop.watch(sock.fileno(), IN, lambda _: self.read())
        control.slow.set(self, self.end)

    def read(self) -> None:
        """Obey each whole line."""
        try:
            more = self.sock.recv(LONGEST)
        except OSError:
            more = b""
        self.data += more
        if not more or len(self.data) > LONGEST:
            self.end()
            return
        while b"\n" in self.data:
            line, _, self.data = self.data.partition(b"\n")
            try:
                self.sock.send(json.dumps(self.control.obey(line)).encode() + b"\n")
            except OSError:
                self.end()
                return

    def end(self) -> None:
        """Close it."""
        self.control.slow.clear(self)
        self.control.server.loop.forget(self.sock.fileno())
        self.sock.close()
        self.control.clients -= 1
