"""The rules of tier internet-only: one readable nft file, and the transaction that follows the host's networks."""

from __future__ import annotations

from claudebox import address
from claudebox.model import Blocked, Interface, Prefix
from claudebox.plan.network.addresses import NO_EXCEPTION, OWN, REFUSED, known
from claudebox.plan.network.allow import Allowed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

TABLE = "inet claudebox"
TCP, UDP = 6, 17  # by number: /etc/protocols is missing on minimal systems
# A backend's packets have 64 kB, and tracking adds each of them up once more. No start of a connection comes in.
UNTRACKED = "TCP needs no connection tracking"
FAMILY = {4: "ip", 6: "ip6"}
DISCOVERY = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }"


def ruleset(interface: Interface, allowed: tuple[Allowed, ...], own: tuple[Prefix, ...]) -> str:
    """The whole file. Loaded in the user namespace that owns the netns, before anything leads out of it."""
    return "\n".join(
        [
            f"table {TABLE} {{",
            *_sets(own),
            *_chain("refuse", "at once: a client that is told goes on, one that waits for an answer hangs", _refuse()),
            *_chain("reasons", "which row of the table it was, counted", _reasons()),
            *_chain("output", f"from the sandbox to {interface.device}", _output(interface, allowed)),
            *_chain("input", "answers only: a backend delivers datagrams of anybody", _input(interface)),
            *_chain("before_output", UNTRACKED, [_hook("output", -300, "accept"), f"meta l4proto {TCP} notrack"]),
            *_chain("before_input", UNTRACKED, [_hook("prerouting", -300, "accept"), f"meta l4proto {TCP} notrack"]),
            *_chain("forward", "nothing is behind the sandbox", [_hook("forward")]),
            "}",
            "",
        ]
    )


def update(own: tuple[Prefix, ...]) -> str:
    """The host's networks became own: one transaction, in which the sets are never empty."""
    lines = []
    for version in (4, 6):
        lines.append(f"flush set {TABLE} host{version}")
        elements = _elements(one for one in own if one.version == version)
        if elements:
            lines.append(f"add element {TABLE} host{version} {{ {elements} }}")
    return "\n".join(lines) + "\n"


def blocked(own: tuple[Prefix, ...]) -> tuple[Blocked, ...]:
    """Everything that is refused, with its reason: what has no exception, the host's own, the rest of the table."""
    table = [Blocked(prefix=prefix, reason=reason) for prefix, reason in NO_EXCEPTION]
    table += [Blocked(prefix=address.text(one), reason=OWN) for one in own]
    return (*table, *(Blocked(prefix=prefix, reason=reason) for prefix, reason in REFUSED))


def _sets(own: tuple[Prefix, ...]) -> list[str]:
    never = [known(prefix) for prefix, _ in NO_EXCEPTION]
    rest = [known(prefix) for prefix, _ in REFUSED]
    lines = []
    for name, prefixes in (("never", never), ("refused", rest), ("host", own)):
        for version in (4, 6):
            kind = "ipv4_addr" if version == 4 else "ipv6_addr"
            elements = _elements(one for one in prefixes if one.version == version)
            lines += [f"  set {name}{version} {{", f"    type {kind}; flags interval"]
            lines += [f"    elements = {{ {elements} }}"] if elements else []
            lines.append("  }")
    return lines


def _elements(prefixes: Iterable[Prefix]) -> str:
    return ", ".join(map(address.text, address.collapsed(prefixes)))


def _chain(name: str, what: str, rules: list[str]) -> list[str]:
    return [f"  chain {name} {{  # {what}", *(f"    {rule}" for rule in rules), "  }"]


def _hook(name: str, priority: int = 0, policy: str = "drop") -> str:
    return f"type filter hook {name} priority {priority}; policy {policy}"


def _refuse() -> list[str]:
    return [
        f"meta l4proto {TCP} reject with tcp reset  # an ICMP refusal hangs a blocking connect(2) a second",
        "reject with icmpx type admin-prohibited",
    ]


def _reasons() -> list[str]:
    own = [f'{FAMILY[v]} daddr @host{v} counter goto refuse comment "{OWN}"' for v in (4, 6)]
    return [*_rows(NO_EXCEPTION), *own, *_rows(REFUSED), "counter goto refuse"]


def _rows(table: tuple[tuple[str, str], ...]) -> list[str]:
    """A rule that counts for each reason of a table and family."""
    rows: dict[tuple[int, str], list[str]] = {}
    for prefix, reason in table:
        rows.setdefault((known(prefix).version, reason), []).append(prefix)
    return [
        f'{FAMILY[version]} daddr {{ {", ".join(prefixes)} }} counter goto refuse comment "{reason}"'
        for (version, reason), prefixes in rows.items()
    ]


def _output(interface: Interface, allowed: tuple[Allowed, ...]) -> list[str]:
    rules = [
        _hook("output"),
        'oifname "lo" accept',
        f'oifname != "{interface.device}" counter goto refuse comment "another interface"',
    ]
    for resolver in interface.resolvers:
        for protocol in ("udp", "tcp") if interface.carries_tcp else ("udp",):
            rules.append(f'{_daddr(resolver)} {protocol} dport 53 counter accept comment "the resolver"')
    if interface.neighbours:
        rules.append(f"{DISCOVERY} ip6 daddr {{ {', '.join(interface.neighbours)} }} accept")
    rules += [f"{FAMILY[version]} daddr @never{version} goto reasons" for version in (4, 6)]
    for option in ("exthdr rt", "ip option lsrr", "ip option ssrr"):
        rules.append(f'{option} exists counter goto refuse comment "a way of the sender\'s choosing"')
    rules += [rule for one in allowed for rule in _allow(one)]
    if not interface.ipv6:
        rules.append('meta nfproto ipv6 counter goto refuse comment "the host has no IPv6"')
    for name in ("host", "refused"):
        rules += [f"{FAMILY[version]} daddr @{name}{version} goto reasons" for version in (4, 6)]
    # Without state: what is added to a set above cuts a connection that stands.
    return [*rules, 'counter accept comment "public"']


def _allow(one: Allowed) -> list[str]:
    match one.protocol, one.port:
        case "", 0:
            what = ""
        case "", port:
            what = f"meta l4proto {{ {TCP}, {UDP} }} th dport {port} "
        case protocol, 0:
            what = f"meta l4proto {TCP if protocol == 'tcp' else UDP} "
        case protocol, port:
            what = f"{protocol} dport {port} "
    return [f'{_daddr(address.text(p))} {what}counter accept comment "allow_lan {one.written}"' for p in one.prefixes]


def _input(interface: Interface) -> list[str]:
    nobody = 'counter drop comment "nobody asked for it"'
    rules = [
        _hook("input"),
        'iifname "lo" accept',
        f"tcp flags & (fin | syn | rst | ack) == syn {nobody}",  # the start of a connection; TCP itself judges the rest
        f"meta l4proto {TCP} accept",
        "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
        "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
        "ct state established,related accept",
    ]
    if interface.ipv6:
        rules.append(f"{DISCOVERY} accept")
    return [*rules, nobody]


def _daddr(text: str) -> str:
    return f"{'ip6' if ':' in text else 'ip'} daddr {text}"
