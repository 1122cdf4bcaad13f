"""What is refused and why: the table of what no public host is, and the host's own networks."""

from __future__ import annotations

from claudebox import address
from claudebox.errors import ClaudeboxError
from claudebox.model import HostAddress, Prefix, Route

METADATA = "a cloud's metadata service"
PRIVATE = "a private network (RFC 1918)"
OWN = "the host's own address or network"
EMBEDS = "it embeds an IPv4 address"
LINK_LOCAL = "link-local"
RESERVED = "reserved, no public host"
MULTICAST = "multicast"

# Prefix → why. Everything that an IANA special-purpose registry (RFC 6890) does not call globally reachable, and
# what a cloud answers metadata on. The metadata addresses stand above every exception of the user's.
NO_EXCEPTION: tuple[tuple[str, str], ...] = (
    ("169.254.169.254", METADATA),
    ("169.254.170.2", METADATA),  # ECS
    ("169.254.170.23", METADATA),  # EKS
    ("100.100.100.200", METADATA),  # Alibaba
    ("168.63.129.16", METADATA),  # Azure
    ("192.0.0.192", METADATA),  # Oracle
    ("fd00:ec2::254", METADATA),
    ("fd00:ec2::23", METADATA),
    ("fd20:ce::254", METADATA),  # Google
    # on the interface that leads out: some backends would deliver it to the host's loopback
    ("127.0.0.0/8", "loopback beyond the sandbox's own"),
    ("::/96", "loopback beyond the sandbox's own, and the unspecified address"),
    ("0.0.0.0/8", RESERVED),
    ("224.0.0.0/4", MULTICAST),
    ("ff00::/8", MULTICAST),
    ("::ffff:0:0/96", EMBEDS),
    ("::ffff:0:0:0/96", EMBEDS),
    ("64:ff9b::/96", EMBEDS),  # NAT64
    ("64:ff9b:1::/48", EMBEDS),
    ("2001::/32", EMBEDS),  # Teredo
    ("2002::/16", EMBEDS),  # 6to4
)
REFUSED: tuple[tuple[str, str], ...] = (
    ("10.0.0.0/8", PRIVATE),
    ("172.16.0.0/12", PRIVATE),
    ("192.168.0.0/16", PRIVATE),
    ("fc00::/7", "a private network (unique local)"),
    ("fec0::/10", "a private network (site-local)"),
    ("100.64.0.0/10", "shared address space (carrier NAT, Tailscale)"),
    ("169.254.0.0/16", LINK_LOCAL),
    ("fe80::/10", LINK_LOCAL),
    ("192.0.0.0/24", RESERVED),
    ("192.88.99.0/24", EMBEDS),  # 6to4 relays
    ("198.18.0.0/15", RESERVED),
    ("240.0.0.0/4", RESERVED),
    ("100::/64", RESERVED),
    ("5f00::/16", RESERVED),
)
CIDRS = ("10.0.2.0/24", *(f"10.{net}.2.0/24" for net in range(177, 200)))
SLIRP6 = "fd00::/64"  # slirp4netns's own, which it lets nobody choose
KERNEL, UNICAST, LAST_KIND = 2, 1, 5  # RTPROT_KERNEL, RTN_UNICAST; local, broadcast, anycast, multicast follow


def known(text: str) -> Prefix:
    """A prefix out of a table of ours."""
    found = address.parse(text)
    if found is None:
        raise ValueError(text)
    return found


def own_networks(addresses: tuple[HostAddress, ...], routes: tuple[Route, ...]) -> tuple[Prefix, ...]:
    """Every address of the host with the network on its link and its peer, and what its routes lead to.

    Left out are the ways to everywhere else: a route of at most /1 (IPv6 /3), and the routes of one (device,
    gateway) that together cover half the space, as a full-tunnel VPN's AllowedIPs do. Loopback stands in the table.
    """
    found = set()
    for one in addresses:
        for end in (one.address, one.peer):
            found |= {end, address.prefix(end.version, end.value, one.length)}
    for ways in _by_way(routes):
        found |= set(_led_to(ways))
    found |= {route.prefix for route in routes if UNICAST < route.kind <= LAST_KIND}
    tables = [known("127.0.0.0/8"), known("::1")]
    return address.collapsed(one for one in found if one.length and not any(address.contains(t, one) for t in tables))


def _by_way(routes: tuple[Route, ...]) -> list[list[Route]]:
    """Unicast routes, together where they lead to the same gateway of the same device."""
    groups: dict[tuple[int, int, bytes], list[Route]] = {}
    for route in routes:
        if route.kind == UNICAST:
            groups.setdefault((route.prefix.version, route.device, route.gateway), []).append(route)
    return list(groups.values())


def _widest(version: int) -> int:
    """The longest prefix that is a way to everywhere and not to a network of the host's."""
    return 1 if version == 4 else 3


def _wide(ways: list[Route]) -> bool:
    """Whether the routes of one way cover half the space; of IPv6 half of what is public."""
    return address.size(way.prefix for way in ways) >= 1 << (31 if ways[0].prefix.version == 4 else 124)


def _led_to(ways: list[Route]) -> list[Prefix]:
    """What is refused of the routes of one way."""
    wide = _wide(ways)
    everywhere = any(way.prefix.length <= _widest(way.prefix.version) for way in ways)
    kept = []
    for way in ways:
        if way.prefix.length <= _widest(way.prefix.version):
            continue
        # the same way as everything public; what the kernel itself put there is on the link
        if wide and way.protocol != KERNEL and (way.gateway or not everywhere):
            continue
        kept.append(way.prefix)
    return kept


def has_way(version: int, routes: tuple[Route, ...]) -> bool:
    """Whether the host has a way to everywhere: a default route, or routes that cover half the space."""
    return any(_wide(ways) for ways in _by_way(routes) if ways[0].prefix.version == version)


def choose_cidr(taken: list[Prefix]) -> str:
    """A /24 for the sandbox that no exception lies in: the backend answers for the whole of its own."""
    for cidr in CIDRS:
        if not any(address.overlap(known(cidr), one) for one in taken):
            return cidr
    raise ClaudeboxError("allow_lan covers every network that the sandbox could have", "allow narrower prefixes")
