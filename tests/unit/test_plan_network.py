"""What is refused on which host, what may be excepted, and what stops the tier."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import make_host, make_plan, make_profile, make_uplink
from claudebox import address, typed
from claudebox.errors import ClaudeboxError
from claudebox.model import Carrier, File, HostAddress, Layer, NetworkPlan, Origin, Prefix, Route, Setting, Uplink
from claudebox.plan.network.addresses import NO_EXCEPTION, OWN, REFUSED, has_way, known, own_networks
from claudebox.render.network import picture

FILE = Origin(Layer.CONFIG, "config.toml:3")
BOOT, KERNEL, STATIC, DHCP = 3, 2, 4, 16
UNICAST, LOCAL, BROADCAST, ANYCAST, MULTICAST, BLACKHOLE = 1, 2, 3, 4, 5, 6


def gateway(text: str) -> bytes:
    one = known(text)
    return one.value.to_bytes(4 if one.version == 4 else 16, "big")


def route(prefix: str, device: int = 2, via: str = "", protocol: int = DHCP, kind: int = UNICAST) -> Route:
    return Route(
        prefix=known(prefix), device=device, gateway=gateway(via) if via else b"", kind=kind, protocol=protocol
    )


def at(text: str, length: int, peer: str = "") -> HostAddress:
    return HostAddress(address=known(text), peer=known(peer or text), length=length)


WAY = route("0.0.0.0/0", via="203.0.113.1")
# addresses, routes → what is refused of the host's own
HOSTS: dict[str, tuple[tuple[HostAddress, ...], tuple[Route, ...], set[str]]] = {
    "nothing": ((), (), set()),
    "loopback": (
        (at("127.0.0.1", 8), at("::1", 128)),
        (route("127.0.0.0/8", 1, kind=LOCAL), route("::1/128", 1, protocol=KERNEL)),
        set(),
    ),
    "a laptop": (
        (at("192.168.1.5", 24),),
        (
            route("0.0.0.0/0", via="192.168.1.1"),
            route("192.168.1.0/24", protocol=KERNEL),
            route("192.168.1.255/32", kind=BROADCAST, protocol=KERNEL),
        ),
        {"192.168.1.0/24"},
    ),
    "a server with a public address": (
        (at("203.0.113.9", 24),),
        (WAY, route("203.0.113.0/24", protocol=KERNEL)),
        {"203.0.113.0/24"},
    ),
    "a single address and a gateway on the link": (
        (at("203.0.113.9", 32),),
        (WAY, route("203.0.113.1/32", protocol=BOOT)),
        {"203.0.113.1", "203.0.113.9"},
    ),
    "a global IPv6 LAN": (
        (at("2001:db8:7::5", 64), at("fe80::5", 64)),
        (route("::/0", via="fe80::1"), route("2001:db8:7::/64", protocol=KERNEL), route("fe80::/64", protocol=KERNEL)),
        {"2001:db8:7::/64", "fe80::/64"},
    ),
    "containers": (
        (at("172.17.0.1", 16),),
        (WAY, route("172.17.0.0/16", 3, protocol=KERNEL)),
        {"172.17.0.0/16"},
    ),
    "a point-to-point tunnel": (
        (at("10.8.0.2", 32, peer="10.8.0.1"),),
        (WAY, route("10.8.0.1/32", 4, protocol=KERNEL), route("198.51.100.0/24", 4, "10.8.0.1", STATIC)),
        {"10.8.0.1", "10.8.0.2", "198.51.100.0/24"},
    ),
    "a full tunnel in two halves": (
        (at("10.8.0.2", 24),),
        (WAY, route("0.0.0.0/1", 4, "10.8.0.1"), route("128.0.0.0/1", 4, "10.8.0.1")),
        {"10.8.0.0/24"},
    ),
    "a full tunnel whose AllowedIPs leave the LAN out": (
        (at("10.8.0.2", 24),),
        (
            WAY,
            *(route(p, 4, protocol=BOOT) for p in ("0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/9")),
            route("10.8.0.0/24", 4, protocol=KERNEL),
        ),
        {"10.8.0.0/24"},
    ),
    "a split tunnel": (
        (at("10.8.0.2", 24),),
        (WAY, route("198.51.100.0/24", 4), route("203.0.113.0/24", 4)),
        {"10.8.0.0/24", "198.51.100.0/24", "203.0.113.0/24"},
    ),
    "a static route by the usual gateway": (
        (),
        (WAY, route("198.51.100.0/24", via="203.0.113.1", protocol=STATIC)),
        set(),
    ),
    "a static route by another gateway": (
        (),
        (WAY, route("198.51.100.0/24", via="203.0.113.2", protocol=STATIC)),
        {"198.51.100.0/24"},
    ),
    "what is public of IPv6 as one route": ((), (route("2000::/3", via="fe80::1"),), set()),
    "blackholes lead nowhere": ((), (WAY, route("198.51.100.0/24", kind=BLACKHOLE)), set()),
    "anycast and multicast of its own": (
        (),
        (route("2001:db8::/128", kind=ANYCAST), route("ff00::/8", kind=MULTICAST)),
        {"2001:db8::", "ff00::/8"},
    ),
}


@pytest.mark.parametrize("name", HOSTS)
def test_own_networks(name: str) -> None:
    addresses, routes, expected = HOSTS[name]
    assert set(map(address.text, own_networks(addresses, routes))) == expected


@pytest.mark.parametrize(
    ("routes", "four", "six"),
    [
        ((), False, False),
        ((route("192.168.0.0/16"),), False, False),
        ((WAY,), True, False),
        ((route("0.0.0.0/1", via="10.0.0.1"),), True, False),
        ((route("::/0", via="fe80::1"),), False, True),
        ((route("2000::/3", via="fe80::1"),), False, True),
        ((route("2000::/4", via="fe80::1"), route("fc00::/7")), False, True),
        ((route("2000::/5", via="fe80::1"),), False, False),
        ((route("::/0", kind=BLACKHOLE),), False, False),
    ],
)
def test_has_way(routes: tuple[Route, ...], four: bool, six: bool) -> None:
    assert (has_way(4, routes), has_way(6, routes)) == (four, six)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32), st.integers(2, 4)), max_size=8))
def test_what_is_on_a_link_is_always_refused(several: list[tuple[int, int, int]]) -> None:
    """Whatever else there is: a network that the kernel put on a link, and each own address."""
    links = [address.prefix(4, value, length) for value, length, _ in several]
    devices = [device for _, _, device in several]
    addresses = tuple(HostAddress(address.single(4, v), address.single(4, v), n) for v, n, _ in several)
    routes = tuple(Route(p, d, b"", UNICAST, KERNEL) for p, d in zip(links, devices, strict=True))
    refused = own_networks(addresses, (WAY, route("0.0.0.0/1", 4), route("128.0.0.0/1", 4), *routes))
    table = known("127.0.0.0/8")
    for one in (*links, *(own.address for own in addresses)):
        assert any(address.contains(net, one) for net in (*refused, table))


# --- exceptions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port", "protocol"),
    [
        ("192.168.1.20", "192.168.1.20", 0, ""),
        ("192.168.1.20:5432", "192.168.1.20", 5432, ""),
        ("192.168.1.20:53/udp", "192.168.1.20", 53, "udp"),
        ("10.20.0.0/16", "10.20.0.0/16", 0, ""),
        ("10.20.0.0/16:443/tcp", "10.20.0.0/16", 443, "tcp"),
        ("10.20.0.0/16/udp", "10.20.0.0/16", 0, "udp"),
        ("fd00:1::5", "fd00:1::5", 0, ""),
        ("[fd00:1::5]:5432", "fd00:1::5", 5432, ""),
        ("[fd00:1::/64]:5432/tcp", "fd00:1::/64", 5432, "tcp"),
        ("[fd00:1::5]", "fd00:1::5", 0, ""),
        ("db.lan:5432", "db.lan", 5432, ""),
        ("nas", "nas", 0, ""),
        ("db_1.lan/tcp", "db_1.lan", 0, "tcp"),
    ],
)
def test_an_exception_as_written(text: str, host: str, port: int, protocol: str) -> None:
    found = typed.allowance(text)
    assert (found.name or address.text(found.prefix or known("::")), found.port, found.protocol) == (
        host, port, protocol,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", ":80", "192.168.1.20:0", "192.168.1.20:65536", "192.168.1.20:http", "10.0.0.1/8", "10.0.0.0/8/sctp",
     "256.1.1.1", "[fd00::5", "[fd00::5]x", "[fd00::5]:", "fd00::5:99999", "a b", "-x.lan", "x..lan", "http://db.lan",
     "*.lan", "x" * 101, '"quote', "fe80::1%eth0", "a\nb"],
)  # fmt: skip
def test_no_exception(text: str) -> None:
    with pytest.raises(typed.Unusable):
        typed.allowance(text)


def planned(*allow: str, uplink: Uplink | None = None, **changes: object) -> NetworkPlan:
    allowed = tuple(Setting(typed.allowance(text), FILE) for text in allow)
    host = make_host(uplink=uplink or make_uplink())
    return make_plan(host, make_profile(tier="internet-only", allow_lan=allowed, **changes)).network


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.0.0.0/0", "the internet"), ("::/0", "the internet"), ("128.0.0.0/1", "the internet"),
        ("169.254.169.254", "metadata"), ("169.254.169.254:80/tcp", "metadata"), ("fd00:ec2::254", "metadata"),
        ("127.0.0.1:5432", "loopback"), ("::1", "loopback"), ("[::ffff:10.0.0.1]:80", "embeds"),
        ("224.0.0.251:5353/udp", "multicast"), ("fd00::5", "the sandbox's own"), ("0.0.0.0", "no public host"),
    ],
)  # fmt: skip
def test_what_cannot_be_excepted(text: str, said: str) -> None:
    with pytest.raises(ClaudeboxError) as refused:
        planned(text)
    assert said in refused.value.message and "config.toml:3" in refused.value.message and refused.value.hint


def test_an_exception_stands_above_what_is_refused_and_below_what_has_none() -> None:
    lines = [line.strip() for line in planned("100.64.0.0/10", "192.168.1.20:5432").ruleset.splitlines()]
    never = lines.index("ip daddr @never4 goto reasons")
    wide = next(n for n, line in enumerate(lines) if line.startswith("ip daddr 100.64.0.0/10 counter accept"))
    narrow = next(n for n, line in enumerate(lines) if line.startswith("ip daddr 192.168.1.20 "))
    assert never < wide < narrow < lines.index("ip daddr @host4 goto reasons")
    assert "meta l4proto { 6, 17 } th dport 5432 counter accept" in lines[narrow]


def test_a_name_is_pinned() -> None:
    uplink = make_uplink(names=(("db.lan", (known("192.168.1.20"), known("fd12::20"))),))
    plan = planned("db.lan:5432/tcp", uplink=uplink)
    assert plan.allow_lan == ("db.lan:5432/tcp = 192.168.1.20, fd12::20",)
    assert "ip daddr 192.168.1.20 tcp dport 5432" in plan.ruleset and "ip6 daddr fd12::20 tcp dport" in plan.ruleset


def test_a_name_that_leads_to_the_host_itself_is_refused() -> None:
    with pytest.raises(ClaudeboxError, match=r"loopback.* which is 127\.0\.0\.1|which is 127\.0\.0\.1.*loopback"):
        planned("localhost:80", uplink=make_uplink(names=(("localhost", (known("127.0.0.1"),)),)))


def test_a_name_without_an_address_allows_nothing() -> None:
    plan = planned("db.lan", uplink=make_uplink(names=(("db.lan", ()),)))
    assert plan.allow_lan == ("db.lan = nothing",) and "allow_lan" not in plan.ruleset


def test_a_network_of_the_sandbox_that_is_excepted_is_moved() -> None:
    plan = planned("10.0.2.7:80", "10.177.0.0/16")
    assert plan.interface and plan.interface.addresses[0] == "10.178.2.100/24"
    assert plan.resolver == "10.178.2.3"
    with pytest.raises(ClaudeboxError):
        planned("10.0.0.0/8")


# --- the rules -------------------------------------------------------------------------------------


def test_every_row_is_in_its_set_and_has_a_reason() -> None:
    plan = planned()
    for prefix, reason in (*NO_EXCEPTION, *REFUSED):
        assert f'"{reason}"' in plan.ruleset and prefix in plan.ruleset
    assert {one.prefix for one in plan.blocked if one.reason == OWN} == {"192.168.1.0/24"}
    assert "    elements = { 192.168.1.0/24 }" in plan.ruleset


def sets_of(ruleset: str) -> dict[str, list[Prefix]]:
    found: dict[str, list[Prefix]] = {}
    name = ""
    for line in map(str.strip, ruleset.splitlines()):
        if line.startswith("set "):
            name = line.split()[1]
            found[name] = []
        elif line.startswith("elements = "):
            found[name] = [known(one) for one in line[len("elements = { ") : -2].split(", ")]
    return found


@given(st.sampled_from([*NO_EXCEPTION, *REFUSED]), st.integers(0, 2**128 - 1))
def test_every_address_of_the_table_is_in_a_set(row: tuple[str, str], bits: int) -> None:
    net = known(row[0])
    wide = address.BITS[net.version]
    one = address.single(net.version, net.value | bits & ((1 << (wide - net.length)) - 1))
    sets = sets_of(planned().ruleset)
    assert any(address.contains(outer, one) for name in sets for outer in sets[name])


@pytest.mark.parametrize("public", ["1.1.1.1", "8.8.8.8", "203.0.113.10", "2606:4700::1111", "2001:4860:4860::8888"])
def test_public_addresses_are_in_none(public: str) -> None:
    sets = sets_of(planned().ruleset)
    assert not any(address.contains(outer, known(public)) for name in sets for outer in sets[name])


def test_without_ipv6_all_of_it_is_refused_and_no_neighbour_asked() -> None:
    plan = planned()
    assert 'meta nfproto ipv6 counter goto refuse comment "the host has no IPv6"' in plan.ruleset
    assert "nd-neighbor" not in plan.ruleset and plan.interface and not plan.interface.ipv6


def test_an_old_pasta_takes_no_dns_by_tcp() -> None:
    for options, protocols in ((("--dns-host",), ["udp", "tcp"]), ((), ["udp"])):
        carrier = Carrier(name="pasta", program="/usr/bin/pasta", version=(0,), options=options)
        rules = planned(uplink=make_uplink(carriers=(carrier,))).ruleset
        assert [line.split()[3] for line in rules.splitlines() if "the resolver" in line] == protocols


@pytest.mark.parametrize(
    ("nameservers", "six", "resolvers"),
    [
        (("127.0.0.53",), True, "10.0.2.3"),
        (("127.0.0.53", "2001:db8::1"), True, "10.0.2.3, fd00::3"),
        (("2001:db8::1",), True, "fd00::3"),
        (("2001:db8::1",), False, "10.0.2.3"),
        ((), True, "10.0.2.3"),
    ],
)
def test_resolvers_of_the_families_that_the_host_has(nameservers: tuple[str, ...], six: bool, resolvers: str) -> None:
    uplink = make_uplink(nameservers=nameservers)
    if six:
        uplink = uplink._replace(routes=(*uplink.routes, route("::/0", via="fe80::1")))
    assert planned(uplink=uplink).resolver == resolvers


@pytest.mark.parametrize(
    ("nameservers", "resolvers"),
    [(("2001:db8::1",), "fd00::3"), (("127.0.0.53",), "none"), (("fe80::1%eth0",), "none")],
)
def test_pasta_on_a_host_with_ipv6_alone(nameservers: tuple[str, ...], resolvers: str) -> None:
    carrier = Carrier(name="pasta", program="/usr/bin/pasta", version=(0,), options=())
    uplink = make_uplink(carriers=(carrier,), routes=(route("::/0", via="fe80::1"),), nameservers=nameservers)
    plan = make_plan(make_host(uplink=uplink), make_profile(tier="internet-only"))
    assert plan.network.interface and plan.network.interface.addresses == ("fd00::64/64",)
    assert plan.network.resolver == resolvers
    assert "--ipv6-only" in plan.helpers[0].argv and "--netmask" not in plan.helpers[0].argv
    assert any("by IPv6 alone" in note.text for note in plan.notes) is (resolvers == "none")
    assert [m for m in plan.mounts if isinstance(m, File) and m.target == "/etc/resolv.conf"]


# --- what stops the tier ---------------------------------------------------------------------------

SLIRP = make_uplink().carriers[0]
PASTA = Carrier(name="pasta", program="/usr/bin/pasta", version=(0,), options=())


@pytest.mark.parametrize(
    ("uplink", "nft", "backend", "said", "hint"),
    [
        (make_uplink(), "", "auto", "nft", "nftables"),
        (make_uplink(carriers=()), "/usr/sbin/nft", "auto", "slirp4netns or pasta", "apt install slirp4netns"),
        (make_uplink(carriers=()), "/usr/sbin/nft", "pasta", "pasta (", "apt install passt"),
        (
            make_uplink(carriers=(SLIRP._replace(version=(0, 3, 9)),)),
            "/usr/sbin/nft",
            "auto",
            "this is 0.3.9",
            "update",
        ),
        (make_uplink(tun="is missing"), "/usr/sbin/nft", "auto", "is missing", "modprobe tun"),
        (make_uplink(tun="cannot be opened"), "/usr/sbin/nft", "auto", "cannot be opened", "chmod 0666"),
    ],
)
def test_a_missing_piece_stops_the_launch(uplink: Uplink, nft: str, backend: str, said: str, hint: str) -> None:
    host = make_host(uplink=uplink)
    host = host._replace(tools=host.tools._replace(nft=nft))
    with pytest.raises(ClaudeboxError) as stopped:
        make_plan(host, make_profile(tier="internet-only", backend=backend))
    assert said in stopped.value.message and "internet-only" in stopped.value.message
    assert hint in stopped.value.hint and "offline" in stopped.value.hint


def test_an_old_slirp4netns_beside_pasta_is_passed_over() -> None:
    uplink = make_uplink(carriers=(SLIRP._replace(version=(0, 3, 9)), PASTA))
    assert planned(uplink=uplink).backend == "pasta"


def test_the_picture_in_the_documents_is_the_plans() -> None:
    page = (Path(__file__).parents[2] / "docs" / "network.md").read_text()
    assert "".join(f"    {line}\n" for line in picture(planned())) in page
