"""Destinations of the test internet and what each tier has to make of them: data of the matrix.

A row's control is the same probe by a plain process on the world's host. `where` is the side whose servers answer
it there; inside, a refused one must fail at once with the errno of its kind, and no server must have seen it.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import names
from servers import GROUP4, GROUP6

QUICK = 100.0  # milliseconds until a refusal
BROADCAST = (socket.SOL_SOCKET, socket.SO_BROADCAST, 1)


class Destination(NamedTuple):
    """to: an address; hows: probes of it, all without a word; device: (on the host, in the sandbox), a scope."""

    name: str
    where: str
    to: str
    hows: tuple[str, ...] = ("tcp", "tcp-443", "udp", "udp-connected", "icmp")
    scope: tuple[str, str] = ("", "")
    options: tuple[tuple[int, int, int], ...] = ()

    @property
    def family(self) -> int:
        """Of the packets: a mapped address is IPv4 on the wire."""
        return 6 if ":" in self.to and not self.to.startswith("::ffff:192.") else 4


def _rows(where: str, text: str) -> Iterator[Destination]:
    for line in filter(None, map(str.strip, text.splitlines())):
        to, _, name = line.partition(" ")
        yield Destination(name.strip(), where, to)


UDP = ("udp",)
PRIVATE: tuple[Destination, ...] = (
    *_rows("host", """
        192.168.77.1 host, LAN address
        192.0.2.1 host, public LAN address
        172.17.0.1 host, bridge address
        10.8.0.2 host, tunnel address
        198.51.100.2 host, public address
        2001:db8:77::1 host, global LAN address
        fd77::1 host, unique local address
        2001:db8:d0c::1 host, bridge address 6
        2001:db8:50::2 host, tunnel address 6
        2001:db8:0:1::2 host, public address 6
    """),
    *_rows("lan", """
        192.168.77.10 LAN
        192.0.2.10 LAN with public addresses
        2001:db8:77::10 LAN with global addresses
        fd77::10 LAN, unique local
        ::ffff:192.168.77.10 LAN, mapped
    """),
    *_rows("bridge", """
        172.17.0.2 container
        2001:db8:d0c::2 container 6
    """),
    *_rows("vpn", """
        10.8.0.1 tunnel, other end
        192.0.2.200 tunnel, public prefix
        2001:db8:50::1 tunnel, other end 6
        2001:db8:51::9 tunnel, global prefix
    """),
    *_rows("inet", """
        198.51.100.1 gateway, public address on the link
        169.254.169.254 metadata
        169.254.170.2 metadata of containers
        100.100.100.200 metadata in CGNAT
        168.63.129.16 metadata at a public address
        192.0.0.192 metadata in 192.0.0.0/24
        10.1.2.3 private 10/8
        172.20.1.1 private 172.16/12
        192.168.1.1 private 192.168/16
        100.64.0.1 CGNAT
        198.18.0.1 benchmark net
        192.88.99.1 relay anycast
        192.0.0.8 protocol assignments
        240.0.0.1 class E
        2001:db8:0:1::1 gateway, global address on the link
        fd00:ec2::254 metadata 6
        fd20:ce::254 metadata 6, other cloud
        fc00::1 unique local fc00
        fd12:3456::1 unique local fd12
        fec0::1 site local
        100::1 discard prefix
        5f00::1 segment routing
        64:ff9b::c0a8:4d0a NAT64 of the LAN
        64:ff9b::a9fe:a9fe NAT64 of metadata
        64:ff9b:1::c0a8:4d0a local NAT64 of the LAN
        2002:c0a8:4d0a::1 6to4 of the LAN
        2001:0:c0a8:4d0a::1 Teredo of the LAN
        ::c0a8:4d0a compatible form of the LAN
        ::ffff:0:c0a8:4d0a translated form of the LAN
    """),
    Destination("LAN, link local", "lan", "fe80::77:10", scope=("lan0", "tap0")),
    Destination("group", "inet", GROUP4, UDP),
    Destination("group 6", "inet", GROUP6, UDP, scope=("up0", "tap0")),
    Destination("broadcast", "inet", "255.255.255.255", UDP, options=(BROADCAST,)),
    Destination("LAN broadcast", "lan", "192.168.77.255", UDP, options=(BROADCAST,)),
)  # fmt: skip
PUBLIC: tuple[Destination, ...] = (
    *_rows("inet", f"""
        {names.PUBLIC4} public
        203.0.113.77 public, another
        {names.PUBLIC6} public 6
        2001:db8:1:2::3 public 6, another
    """),
    Destination("public, mapped", "inet", f"::ffff:{names.PUBLIC4}", ("tcp", "tcp-443", "udp", "udp-connected")),
)  # fmt: skip
# In the sandbox these are its own loopback, where nothing listens: (what is reached on the host, probes)
OWN: tuple[Destination, ...] = tuple(
    Destination(f"loopback {to}", "host", to, ("tcp", "tcp-443", "udp-connected"))
    for to in ("127.0.0.1", "127.0.0.53", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1")
)
# name → whether what it resolves to may be connected to
NAMES: dict[str, bool] = {
    "public.test": True, "public4.test": True, "public6.test": True, "lan.test": False, "ula.test": False,
    "host.test": False, "loopback.test": False, "metadata.test": False, "mapped.test": False, "nat64.test": False,
    "sixtofour.test": False, "zero.test": False,
}  # fmt: skip

Case = dict[str, Any]


def case(row: Destination, how: str, *, inside: bool) -> Case:
    """The probe of one row, as it is written inside a sandbox or on the host."""
    kind, _, port = how.partition("-") if how.startswith("tcp") else (how, "", "")
    made: Case = {"id": f"{row.name}/{how}", "how": kind, "to": row.to, "port": int(port or 7)}
    if row.scope[inside]:
        made["scope"] = row.scope[inside]
    if row.options:
        made["options"] = row.options
    return made


def cases(rows: tuple[Destination, ...], *, inside: bool) -> list[Case]:
    """Every probe of these rows. A ping of a mapped address is no ping: there is no such socket."""
    return [case(row, how, inside=inside) for row, how in pairs(rows)]


def pairs(rows: tuple[Destination, ...]) -> list[tuple[Destination, str]]:
    return [(r, how) for r in rows for how in r.hows if not (how == "icmp" and r.to.startswith("::ffff:192."))]


def name_cases() -> list[Case]:
    """A connection to each name, in each family that it has."""
    return [
        {"id": f"{name} by IPv{family}", "how": "tcp", "to": name, "name": family} for name, family in named_pairs()
    ]


def named_pairs() -> list[tuple[str, str]]:
    return [
        (name, family)
        for name, family in itertools.product(NAMES, "46")
        if any((":" in address) == (family == "6") for address in names.ZONE[name])
    ]


def refusal(row: Destination, how: str) -> tuple[str, ...]:
    """The errno with which a refused probe fails."""
    if how == "icmp" and row.family == 6:
        return ("EACCES",)  # administratively prohibited, from the error queue
    if not how.startswith("tcp"):
        return ("EPERM",)
    return ("ECONNREFUSED",)


def everything(*, inside: bool) -> list[Case]:
    """The whole matrix, for one launch."""
    return cases((*PRIVATE, *PUBLIC, *OWN), inside=inside) + name_cases()
