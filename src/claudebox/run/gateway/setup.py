"""What is done in the sandbox's netns, by a fork that has entered it: addresses, rules, sockets for the gateway."""

from __future__ import annotations

import errno
import select

from claudebox import netlink
from claudebox.errors import ClaudeboxError
from claudebox.model import NetworkPlan
from claudebox.plan.network.allowlist import DNS_PORT, GATE_PORT, OWN4, OWN6, STREAMS, TABLE, fake
from claudebox.run.gateway.sockets import FAMILY, TRANSPARENT4, TRANSPARENT6, accepted, prefix, send
from claudebox.run.inside import load
from claudebox.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.model import Prefix

BACKLOG, POOL = 4096, 16
PATIENCE = 2000  # milliseconds that the first connection may take; it takes none
LOOPBACKS = ("127.0.0.1", "::1")


def prepare(plan: NetworkPlan, nft: str, end: int) -> None:
    """All of it; the sockets go to the gateway by end. Raises ClaudeboxError or OSError."""
    assert plan.gate is not None
    for text in plan.gate.addresses:
        _address(text)
    gates = [_gate(text) for text in plan.gate.addresses]
    made = [("dns", _bound(OWN4, DNS_PORT, socket.SOCK_DGRAM)), ("stream", _listening(OWN4, DNS_PORT, STREAMS))]
    made += [("gate", sock) for sock in gates]
    made += [(f"host:{port}", sock) for port in plan.host_ports for sock in host_port(port, plan.gate.addresses)]
    made += _pool() if plan.publish else []
    # as a whole: after a restart of the gateway the table is there already
    load(nft, f"table {TABLE}\ndelete table {TABLE}\n{plan.ruleset}")
    for sock in gates:
        _try(sock)
    _hand_over(made, end)


def pool(end: int) -> None:
    """Sockets of the netns, for connections of the host's to ports of the sandbox's. Raises OSError."""
    _hand_over(_pool(), end)


def add_host_port(port: int, plan: NetworkPlan, end: int) -> None:
    """The sandbox's end of one more port of the host's. Raises ClaudeboxError."""
    assert plan.gate is not None
    _hand_over([(f"host:{port}", sock) for sock in host_port(port, plan.gate.addresses)], end)


def _pool() -> list[tuple[str, socket.socket]]:
    kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
    return [(f"pool:{version}", socket.socket(FAMILY[version], kind)) for version in (4, 6) for _ in range(POOL)]


def _hand_over(made: list[tuple[str, socket.socket]], end: int) -> None:
    send(end, ",".join(label for label, _ in made).encode(), tuple(sock.fileno() for _, sock in made))


def _address(text: str) -> None:
    """An address of the netns's own, and every other one ends here too: so a literal is seen and refused."""
    raw = _raw(prefix(text))
    with Once():
        netlink.add_address(netlink.LOOPBACK, raw, len(raw) * 8)
    with Once():
        netlink.add_everything(netlink.LOOPBACK, raw)


class Once:
    """What is there already, after a restart of the gateway, is no error."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        return isinstance(error, OSError) and error.errno == errno.EEXIST


def _raw(one: Prefix) -> bytes:
    return one.value.to_bytes(4 if one.version == 4 else 16, "big")


def _bound(text: str, port: int, kind: int) -> socket.socket:
    sock = socket.socket(FAMILY[6 if ":" in text else 4], kind | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in text:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((text, port))
    sock.setblocking(False)
    return sock


def _listening(text: str, port: int, backlog: int) -> socket.socket:
    sock = _bound(text, port, socket.SOCK_STREAM)
    sock.listen(backlog)
    return sock


def _gate(text: str) -> socket.socket:
    """What every connection arrives at; transparent, so that it keeps the address that was dialled."""
    sock = _bound(text, GATE_PORT, socket.SOCK_STREAM)
    level, option = TRANSPARENT6 if text == OWN6 else TRANSPARENT4
    sock.setsockopt(level, option, 1)
    sock.listen(BACKLOG)
    return sock


def host_port(port: int, addresses: tuple[str, ...]) -> list[socket.socket]:
    """The sandbox's end of a port of the host's. Raises ClaudeboxError."""
    found = []
    for text in LOOPBACKS[: len(addresses)]:
        try:
            found.append(_listening(text, port, 128))
        except OSError as error:
            raise ClaudeboxError(f"port {port} cannot be had inside: {error.strerror}", "choose another port") from None
    return found


def _try(gate: socket.socket) -> None:
    """See one connection to a name's address arrive, before the agent can make one. Raises ClaudeboxError."""
    version = 6 if ":" in gate.getsockname()[0] else 4
    target = fake(version, 0)
    probe = socket.socket(FAMILY[version], socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        from claudebox.address import text

        probe.connect_ex((text(target), DNS_PORT))
        ready = select.poll()
        ready.register(gate.fileno(), select.POLLIN)
        found = accepted(gate) if ready.poll(PATIENCE) else None
        if found is None or prefix(found.getsockname()[0]) != target:
            raise ClaudeboxError("a connection inside does not arrive at the gateway", "as root: modprobe nft_tproxy")
        found.close()
    finally:
        probe.close()
