"""The plan's network → JSON, lines of the audit, and the commands that make it."""

from __future__ import annotations

import shlex
from typing import Any

from claudebox.allowing import told
from claudebox.model import AllowRule, NetworkPlan, SandboxPlan
from claudebox.text import printable

HIDDEN = ("why", "own", "interface", "gate")  # what the other fields are made of


def values(network: NetworkPlan) -> dict[str, Any]:
    """The network of the JSON schema."""
    shown = {name: value for name, value in network._asdict().items() if name not in HIDDEN}
    return {
        **shown,
        "blocked": [one._asdict() for one in network.blocked],
        "allow": [rule(one) for one in network.allow],
        "publish": [one._asdict() for one in network.publish],
    }


def rule(one: AllowRule) -> dict[str, Any]:
    """A rule of tier allowlist in JSON: ports null is every one, check what TLS on port 443 must show."""
    return {
        "name": one.what,
        "ports": list(one.ports) or None,
        "check": one.check,
        "refused": one.refused,
        "reason": one.why.reason,
        "origin": str(one.why.origin),
    }


def listed(network: NetworkPlan) -> list[str]:
    """What tier allowlist lets through, what is taken out of it, and ports, each with who said it."""
    found = []
    for one in network.allow:
        word = "refuse" if one.refused else "allow"
        check = f", check {one.check}" if one.strict and not one.refused else ""
        why = f"{one.why.reason}; {one.why.origin}" if one.why.reason != "allow" else str(one.why.origin)
        found.append(f"{word:10} {printable(told(one))}{check}  ({printable(why)})")
    found += [f"host port  {one}, as localhost inside" for one in network.host_ports]
    found += [f"publish    127.0.0.1:{one.host} of this machine is {one.inside} inside" for one in network.publish]
    return found


def lines(network: NetworkPlan) -> list[str]:
    """What of the network a person reads: tier, who carries it, exceptions, what is refused and why."""
    found = [f"network    {network.tier} ({network.why.origin})"]
    found += listed(network)
    if network.interface is None and network.gate is None:
        return found
    found.append(f"backend    {network.backend}")
    found.append(f"resolver   {network.resolver}")
    found += [f"allow_lan  {printable(one)}" for one in network.allow_lan]
    reasons: dict[str, list[str]] = {}
    for one in network.blocked:
        reasons.setdefault(one.reason, []).append(one.prefix)
    found += ["", "refused"]
    found += [f"  {reason}: {', '.join(prefixes)}" for reason, prefixes in reasons.items()]
    return [*found, "", "a packet's way", *(f"  {line}" for line in picture(network)), ""]


def picture(network: NetworkPlan) -> list[str]:
    """The way of a packet out of the sandbox, rule by rule in their order."""
    way = network.interface
    if way is None:
        return _gateway(network) if network.gate else []
    rules = [
        f"port 53 of {', '.join(way.resolvers)}: accepted, the resolver",
        "metadata, loopback, multicast, what embeds IPv4: refused",
        *([f"allow_lan {', '.join(map(printable, network.allow_lan))}: accepted"] if network.allow_lan else []),
        "the host's own addresses and networks, as they become: refused",
        "private, shared, link-local, reserved: refused",
        "everything else is public: accepted",
    ]
    numbered = [f"  │             {number}  {rule}" for number, rule in enumerate(rules, 1)]
    return [
        "agent           (lo is its own: nothing of the host listens there)",
        "  ▼",
        "output rules    the first that fits counts; what is refused fails at once",
        *numbered,
        "  ▼",
        f"{way.device:16}{', '.join(way.addresses)}, by {', '.join(way.gateways)}",
        "  ▼",
        f"{network.backend:16}a process of yours: it opens ordinary sockets on the host",
        "  ▼",
        "the internet    back come answers alone: the input rules drop what nobody asked for",
    ]


def _gateway(network: NetworkPlan) -> list[str]:
    """The way of a connection in tier allowlist."""
    steps = [
        f"names: {network.resolver} answers for those that a rule names, each with an address of the gateway's own",
        "UDP, ICMP: refused at once",
        "TCP to any address: arrives at the gateway, which knows what was dialled",
    ]
    judged = [
        "no rule for this name or address and this port: refused",
        "a TLS hello on port 443 that is for another name, for none, or encrypted: refused",
        "the host looks the name up; metadata, loopback, multicast, what embeds IPv4: refused",
        *([f"allow_lan {', '.join(map(printable, network.allow_lan))}: accepted"] if network.allow_lan else []),
        "the host's own addresses and networks, as they become, private, reserved: refused",
        "everything else is public: the very address that was judged is dialled",
    ]
    return [
        "agent           (its network namespace has no way out)",
        "  ▼",
        "inside",
        *(f"  │             {step}" for step in steps),
        "  ▼",
        "gateway         a process of yours outside, which serves the sockets that were made inside",
        *(f"  │             {number}  {step}" for number, step in enumerate(judged, 1)),
        "  ▼",
        "the internet    an ordinary connection of the host",
    ]


def commands(plan: SandboxPlan) -> str:
    """The commands that make the network, in their order; "" for a tier without one."""
    if not plan.network.ruleset:
        return ""
    first = "\n# then, in the netns and the user namespace that owns it, before anything leads out of it:\n"
    text = first + f"{shlex.quote(plan.tools.nft)} -f - <<'RULES'\n{plan.network.ruleset}RULES\n"
    for helper in plan.helpers:
        what = "then, beside the sandbox (<fd:…>, <pid:…> are known at run time)"
        text += f"\n# {what}:\n{shlex.join(helper.argv)}\n"
    return text
