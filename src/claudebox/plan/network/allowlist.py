"""Tier allowlist: the sandbox's netns has no way out but the gateway. Its addresses, its rules, its limits."""

from __future__ import annotations

from claudebox import address
from claudebox.model import Exempt, Gate, Prefix
from claudebox.plan.network.addresses import NO_EXCEPTION, OWN, REFUSED, known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from claudebox.plan.network.allow import Allowed

TABLE = "inet claudebox"
TCP = 6  # by number: /etc/protocols is missing on minimal systems
# The netns's own. A name is for as long as the sandbox lives the same address of the two ranges around them.
OWN4, OWN6 = "198.18.0.1", "fd00:cb00::1"
FIRST = {4: known("198.18.1.0").value, 6: known("fd00:cb00::100").value}
NAMES = 4096  # that get an address; never given to another name
DNS_PORT = 53
GATE_PORT = 1  # below 1024: nobody inside can listen there
# No longer, no more: what a connection, a name, a message may take
FLOWS, DIALS, LOOKUPS, STREAMS = 2000, 128, 256, 16
DIAL_SECONDS, NEXT_SECONDS, HELLO_SECONDS, STREAM_SECONDS = 10.0, 2.0, 10.0, 30.0
FRESH_SECONDS, FAILED_SECONDS = 60.0, 1.0
RESOLVERS = 8
LOG_BYTES, LOG_LINES = 8 << 20, 500  # of a file; a second
NEVER = tuple((known(prefix), reason) for prefix, reason in NO_EXCEPTION)
RESERVED = tuple((known(prefix), reason) for prefix, reason in REFUSED)


def gate(exceptions: tuple[Allowed, ...], *, ipv6: bool) -> Gate:
    """The gateway's end. ipv6: this machine's kernel has it."""
    exempt = [
        Exempt(prefix=prefix, port=one.port) for one in exceptions for prefix in one.prefixes if one.protocol != "udp"
    ]
    return Gate(addresses=(OWN4, *((OWN6,) if ipv6 else ())), exempt=tuple(exempt))


def ruleset(gate: Gate) -> str:
    """The whole file. The rules lead connections to the gateway; that nothing leads out needs none."""
    local = [f"ip daddr {{ 127.0.0.0/8, {OWN4} }} accept", f"ip6 daddr {{ ::1, {OWN6} }} accept"]
    lead = [f"meta nfproto ipv4 meta l4proto {TCP} counter tproxy ip to {OWN4}:{GATE_PORT}"]
    if OWN6 in gate.addresses:
        lead.append(f"meta nfproto ipv6 meta l4proto {TCP} counter tproxy ip6 to [{OWN6}]:{GATE_PORT}")
    refuse = 'counter reject with icmpx type admin-prohibited comment "not TCP"'
    chains = (
        ("output", "UDP and ICMP fail at once", "output priority 0", [*local, f"meta l4proto {TCP} accept", refuse]),
        ("lead", "every other connection arrives at the gateway", "prerouting priority -150", [*local, *lead]),
    )
    lines = [f"table {TABLE} {{"]
    for name, what, hook, rules in chains:
        lines += [f"  chain {name} {{  # {what}", f"    type filter hook {hook}; policy accept"]
        lines += [f"    {rule}" for rule in rules] + ["  }"]
    return "\n".join([*lines, "}", ""])


def fake(version: int, index: int) -> Prefix:
    """The address that stands for the name with this index."""
    return address.single(version, FIRST[version] + index)


def index_of(one: Prefix) -> int | None:
    """The index of the name that an address may stand for; None outside of the range."""
    index = one.value - FIRST[one.version]
    return index if 0 <= index < NAMES else None


def refusal(target: Prefix, port: int, own: Iterable[Prefix], exempt: Iterable[Exempt]) -> str:
    """Why an address may not be dialled, whatever name it belongs to; "" if it may.

    In the order of the rules of internet-only: what has no exception, the exceptions, the host's own, the rest.
    """
    if reason := _among(NEVER, target):
        return reason
    if any(one.port in (0, port) and address.contains(one.prefix, target) for one in exempt):
        return ""
    if any(address.contains(one, target) for one in own):
        return OWN
    return _among(RESERVED, target)


def _among(table: tuple[tuple[Prefix, str], ...], target: Prefix) -> str:
    return next((reason for prefix, reason in table if address.contains(prefix, target)), "")
