"""The tier table: how much network, who carries it, and what each tier needs."""

from __future__ import annotations

from claudebox.agents import AgentSpec
from claudebox.errors import ClaudeboxError
from claudebox.model import (
    Bind,
    Carrier,
    Helper,
    Host,
    Interface,
    Mount,
    NetworkPlan,
    Note,
    Profile,
    Uplink,
    Why,
)

NO_RESOLVER = "# claudebox: this sandbox has no network (tier offline), so there is no resolver\n"
UNREACHED_RESOLVER = "# claudebox: the backend cannot ask this machine's resolver, so there is none\n"
CHOICES = "choose -n internet-only, -n offline or -n full"
INSTEAD = "or choose -n offline"
OLDEST_SLIRP = (0, 4, 0)


def build(profile: Profile, host: Host, spec: AgentSpec) -> tuple[NetworkPlan, tuple[Helper, ...], tuple[Note, ...]]:
    """The network of this launch, its helpers and notes. Raises ClaudeboxError for a tier that cannot be
    enforced: none degrades."""
    tier = profile.tier
    _unbuilt(profile)
    why = Why("the network tier", tier.origin)
    match tier.value:
        case "offline":
            return NetworkPlan(tier="offline", backend="none", resolver="none", why=why), (), ()
        case "full":
            plan = NetworkPlan(tier="full", backend="none", resolver=host.resolver or "none", why=why)
            text = "network full: the host's own services on loopback, the LAN and every VPN can be reached"
            return plan, (), (Note("weakening", text),)
        case "internet-only" if host.uplink:
            return _internet_only(profile, host, host.uplink, why)
        case "allowlist" if host.uplink:
            return _allowlist(profile, host, spec, why)
    raise ClaudeboxError(f'tier "{tier.value}" is not part of this release ({tier.origin})', CHOICES)


def _unbuilt(profile: Profile) -> None:
    """Refuse what is decided and shown already, and enforced by nothing yet."""
    for setting, name in ((profile.host_ports, "host_ports"), (profile.publish, "publish")):
        if setting:
            raise ClaudeboxError(f"{name} ({setting[0].origin}) is not part of this release", f"leave {name} out")


def usable(carrier: Carrier) -> bool:
    """Whether a backend has the options that we need: slirp4netns --exit-fd and more since 0.4.0."""
    return carrier.name != "slirp4netns" or carrier.version >= OLDEST_SLIRP


def _internet_only(
    profile: Profile, host: Host, uplink: Uplink, why: Why
) -> tuple[NetworkPlan, tuple[Helper, ...], tuple[Note, ...]]:
    from claudebox.plan.network import addresses, allow, ruleset

    carrier = _carrier(profile, host, uplink)
    exceptions = allow.allowed(profile, uplink)
    own = addresses.own_networks(uplink.addresses, uplink.routes)
    cidr = addresses.choose_cidr([prefix for one in exceptions for prefix in one.prefixes])
    way, helper = _attached(carrier, cidr, host, uplink)
    plan = NetworkPlan(
        tier="internet-only",
        backend=carrier.name,
        resolver=", ".join(way.resolvers) or "none",
        why=why,
        ruleset=ruleset.ruleset(way, exceptions, own),
        blocked=ruleset.blocked(own),
        allow_lan=tuple(map(allow.pinned, exceptions)),
        interface=way,
        own=own,
    )
    return plan, (helper,), (*allow.notes(exceptions), *_notes(uplink, way))


def _allowlist(
    profile: Profile, host: Host, spec: AgentSpec, why: Why
) -> tuple[NetworkPlan, tuple[Helper, ...], tuple[Note, ...]]:
    from claudebox.plan.network import addresses, allow, allowlist, listed, ruleset

    assert host.uplink is not None
    if not host.tools.nft:
        need = f'tier "{profile.tier.value}" ({profile.tier.origin}) needs'
        raise ClaudeboxError(f"{need} nft, which is not installed", f"apt install nftables, {INSTEAD}")
    exceptions = allow.allowed(profile, host.uplink)
    own = addresses.own_networks(host.uplink.addresses, host.uplink.routes)
    rules = listed.rules(profile, host.sets, spec)
    gate = allowlist.gate(exceptions, ipv6=host.uplink.ipv6)
    plan = NetworkPlan(
        tier="allowlist",
        backend="gateway",
        resolver=allowlist.OWN4,
        why=why,
        ruleset=allowlist.ruleset(gate),
        blocked=ruleset.blocked(own),
        allow_lan=tuple(map(allow.pinned, exceptions)),
        allow=rules,
        learn=profile.learn.value,
        own=own,
        gate=gate,
    )
    return plan, (), (*allow.notes(exceptions), *listed.notes(rules, profile, host.sets))


def _carrier(profile: Profile, host: Host, uplink: Uplink) -> Carrier:
    """The backend that is taken. Raises ClaudeboxError when a piece of the tier is missing."""
    need = f'tier "{profile.tier.value}" ({profile.tier.origin}) needs'
    if not host.tools.nft:
        raise ClaudeboxError(f"{need} nft, which is not installed", f"apt install nftables, {INSTEAD}")
    wanted = profile.backend
    found = list(filter(usable, uplink.carriers))
    if not found and uplink.carriers:
        version = ".".join(map(str, uplink.carriers[0].version))
        raise ClaudeboxError(f"{need} slirp4netns 0.4.0 or newer, and this is {version}", f"update it, {INSTEAD}")
    if not found and wanted.value != "auto":
        package = "passt" if wanted.value == "pasta" else wanted.value
        raise ClaudeboxError(f"{need} {wanted.value} ({wanted.origin})", f"apt install {package}, {INSTEAD}")
    if not found:
        raise ClaudeboxError(f"{need} slirp4netns or pasta", f"apt install slirp4netns, {INSTEAD}")
    if uplink.tun:
        fix = "modprobe tun" if "missing" in uplink.tun else "chmod 0666 /dev/net/tun, as udev makes it"
        raise ClaudeboxError(f"{need} /dev/net/tun, which {uplink.tun}", f"as root: {fix}; {INSTEAD}")
    return found[0]


def _attached(carrier: Carrier, cidr: str, host: Host, uplink: Uplink) -> tuple[Interface, Helper]:
    """The sandbox's end of the backend, and the backend's process."""
    from claudebox.plan.network.addresses import has_way

    ipv6 = has_way(6, uplink.routes)
    if carrier.name == "pasta":
        from claudebox.plan.network import pasta

        ipv4 = has_way(4, uplink.routes) or not ipv6
        way = pasta.interface(carrier, cidr, ipv4=ipv4, ipv6=ipv6, nameservers=uplink.nameservers)
        return way, pasta.helper(carrier, way, root=uplink.root)
    from claudebox.plan.network import slirp4netns

    families = tuple(6 if ":" in one else 4 for one in uplink.nameservers)
    way = slirp4netns.interface(cidr, ipv6=ipv6, families=families)
    return way, slirp4netns.helper(carrier, cidr, ipv6=ipv6, resolver=host.resolver)


def _notes(uplink: Uplink, way: Interface) -> list[Note]:
    """What is not there at this moment."""
    from claudebox.plan.network.addresses import has_way

    found = []
    if not has_way(4, uplink.routes) and not way.ipv6:
        found.append(Note("weakening", "this machine has no way to the internet now; when it has one, the sandbox has"))
    elif not way.ipv6:
        found.append(Note("info", "this machine has no IPv6 to the internet, so the sandbox has none"))
    if not uplink.nameservers:
        found.append(Note("info", "this machine has no resolver now, so no name can be looked up inside"))
    elif not way.resolvers:
        text = "pasta cannot ask this machine's resolver by IPv6 alone, so no name can be looked up inside"
        found.append(Note("weakening", text))
    return found


def resolver_text(network: NetworkPlan) -> str:
    """The made resolv.conf; "" where the host's own is bound instead."""
    if network.gate is not None:
        return f"nameserver {network.resolver}\noptions timeout:5 attempts:2\n"
    if network.interface is not None:
        return "".join(f"nameserver {one}\n" for one in network.interface.resolvers) or UNREACHED_RESOLVER
    return "" if network.tier == "full" and network.resolver != "none" else NO_RESOLVER


def mounts(network: NetworkPlan) -> list[Mount]:
    """What the tier shows of the host: in `full` its resolver file, where the links of it lead."""
    if resolver_text(network):
        return []
    why = Why("the host's resolver", network.why.origin)
    return [Bind(source=network.resolver, target="/etc/resolv.conf", access="ro", why=why)]
