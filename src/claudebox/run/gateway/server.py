"""The gateway: one process beside the sandbox that serves the sockets made inside, and alone dials for it."""

from __future__ import annotations

import os

from claudebox.allowing import shown
from claudebox.model import NetworkPlan
from claudebox.plan.network.allowlist import FLOWS
from claudebox.record import NamedTuple
from claudebox.run.gateway.check import Networks, Resolver
from claudebox.run.gateway.control import Control
from claudebox.run.gateway.dial import Dialler
from claudebox.run.gateway.dns import NameServer
from claudebox.run.gateway.log import Log
from claudebox.run.gateway.loop import IN, Loop
from claudebox.run.gateway.ports import Ports
from claudebox.run.gateway.relay import Flow, Relay
from claudebox.run.gateway.sockets import receive, send
from claudebox.run.gateway.table import Table
from claudebox.run.gateway.who import Who
from claudebox.run.namespaces import said
from claudebox.sockets import socket

RESERVED = 200  # descriptors that are no connection's: listeners, streams of names, control
ENOUGH = 2 * FLOWS + RESERVED
READY, SAY, FAILED, SUMMARY = b"R", b"M", b"!", b"E"  # how a message to the launcher begins
SANDBOX = b"="  # and one from it that is no list of sockets
LONGEST = 2000  # bytes of one


class Files(NamedTuple):
    """Descriptors that the launcher made. leash: the way to it; names: the table; log: of this session; control: a
    listening socket."""

    leash: int
    names: int
    log: int
    control: int


class Server:
    """All parts of a gateway, and what they share."""

    def __init__(self, plan: NetworkPlan, files: Files) -> None:
        assert plan.gate is not None
        self.plan, self.gate, self.files = plan, plan.gate, files
        self.rules, self.learns = plan.allow, plan.learn
        self.versions = {6 if ":" in text else 4 for text in plan.gate.addresses}
        self.flows: set[Flow] = set()
        self.most = min(FLOWS, (_descriptors() - RESERVED) // 2)
        self.loop = Loop()
        self.log = Log(files.log, self.say)
        self.table = Table(files.names)
        self.networks = Networks(plan.gate.exempt)
        self.resolver = Resolver()
        self.names = NameServer(self)
        self.relay = Relay(self)
        self.dialler = Dialler(self)
        self.ports = Ports(self)
        self.control = Control(self, files.control)
        self.who = Who()
        self.sockets: list[socket.socket] = []

    def run(self) -> None:
        """Take the sockets, say that all stands, serve until the launcher lets go. Raises ClaudeboxError."""
        self.order()
        if self.loop.over:
            return  # the launch was given up
        for where in self.plan.publish:
            self.ports.publish(where, add=True)
        os.set_blocking(self.files.leash, False)
        self.loop.watch(self.files.leash, IN, lambda _: self.order())
        self.loop.watch(self.networks.listener, IN, lambda _: self.networks_changed())
        self.loop.watch(self.resolver.wake, IN, lambda _: self.resolver.answered())
        self.ask(READY)
        self.loop.run()
        os.set_blocking(self.files.leash, True)
        self.ask(SUMMARY + self.log.summary().encode(errors="replace")[:LONGEST])

    def order(self) -> None:
        """The launcher has a word for us (sockets of the netns, or its pid 1), or has let go."""
        message, descriptors = receive(self.files.leash)
        if not message:
            self.loop.over = True
        elif message[:1] == SANDBOX:
            self.who.init = int(message[1:])
        else:
            for label, descriptor in zip(message.decode().split(","), descriptors, strict=True):
                self.serve(label, socket.socket(fileno=descriptor))
            self.ports.go_on()

    def serve(self, label: str, sock: socket.socket) -> None:
        """Begin to serve one socket of the netns."""
        self.sockets.append(sock)
        match label.split(":"):
            case ["dns"]:
                self.names.serve(sock)
            case ["stream"]:
                self.names.listen(sock)
            case ["gate"]:
                self.dialler.listen(sock)
            case ["host", port]:
                self.ports.serve(int(port), sock)
            case ["pool", version]:
                self.sockets.pop()
                self.ports.supplied(int(version), sock)

    def networks_changed(self) -> None:
        """The host's networks are others: what has become one of them ends."""
        self.networks.changed()
        for flow in list(self.flows):
            if flow.target is not None and (reason := self.networks.refusal(flow.target, flow.port)):
                self.refused(None, flow.name, flow.address, flow.port, reason)
                self.relay.drop(flow, reason)

    def ask(self, message: bytes) -> None:
        """A message to the launcher. One that is stopped, and has enough of them, gets no more."""
        try:
            send(self.files.leash, message)
        except OSError:
            pass

    def say(self, text: str) -> None:
        """Have the launcher tell the user."""
        self.ask(SAY + text.encode(errors="replace")[:LONGEST])

    def refused(self, flow: Flow | None, name: str, where: str, port: int, reason: str) -> None:
        """Something that the agent may not, or cannot."""
        self.log.event("refused", name, port, reason, address=where, program=self.program(flow))

    def allowed(self, flow: Flow) -> None:
        """A connection that stands."""
        rule = shown(flow.rule) if flow.rule else ""
        program = "" if flow.asked in self.log.reached else self.program(flow)
        self.log.event("allowed", flow.name, flow.port, "", address=flow.address, rule=rule, program=program)

    def program(self, flow: Flow | None) -> str:
        """Who inside asked."""
        try:
            peer = flow.client.getpeername() if flow else None
        except OSError:
            peer = None
        return self.who.program(6 if ":" in peer[0] else 4, peer[1]) if peer else ""


def serve(plan: NetworkPlan, files: Files) -> None:
    """The gateway's whole life, in a fork of the launcher."""
    try:
        server = Server(plan, files)
        server.run()
    except BaseException as error:
        os.set_blocking(files.leash, True)
        send(files.leash, FAILED + said(error))
        raise


def _descriptors() -> int:
    """Raise our limit as far as we need and may; what it is then. No memory of ours is written to a core file."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return ENOUGH
