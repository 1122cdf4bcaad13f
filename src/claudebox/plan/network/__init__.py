"""The tier table: how much network, and what each tier needs."""

from __future__ import annotations

from claudebox.errors import ClaudeboxError
from claudebox.model import Bind, Host, Mount, NetworkPlan, Note, Profile, Why

NO_RESOLVER = "# claudebox: this sandbox has no network (tier offline), so there is no resolver\n"
CHOICES = "choose -n offline (no network at all) or -n full (whatever the host reaches, its LAN and own services too)"


def build(profile: Profile, host: Host) -> NetworkPlan:
    """The network of this launch. Raises ClaudeboxError for a tier that cannot be enforced: none degrades."""
    tier = profile.tier
    if tier.value in ("internet-only", "allowlist"):
        raise ClaudeboxError(f'tier "{tier.value}" is not part of this release ({tier.origin})', CHOICES)
    return NetworkPlan(
        tier=tier.value,
        backend="none",
        resolver="none" if tier.value == "offline" else host.resolver or "none",
        why=Why("the network tier", tier.origin),
    )


def resolver_text(network: NetworkPlan) -> str:
    """The made resolv.conf; "" where the host's own is bound instead."""
    return "" if network.tier == "full" and network.resolver != "none" else NO_RESOLVER


def mounts(network: NetworkPlan) -> list[Mount]:
    """What the tier shows of the host: in `full` its resolver file, where the links of it lead."""
    if resolver_text(network):
        return []
    why = Why("the host's resolver", network.why.origin)
    return [Bind(source=network.resolver, target="/etc/resolv.conf", access="ro", why=why)]


def notes(network: NetworkPlan) -> list[Note]:
    """Tier full is a weakening: it says of what."""
    if network.tier != "full":
        return []
    text = "network full: the host's own services on loopback, the LAN and every VPN can be reached"
    return [Note("weakening", text)]
