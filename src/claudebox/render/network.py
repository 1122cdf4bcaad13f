"""The plan's network → JSON, lines of the audit, and the commands that make it."""

from __future__ import annotations

import shlex
from typing import Any

from claudebox.model import NetworkPlan, SandboxPlan
from claudebox.text import printable

HIDDEN = ("why", "own", "interface")  # what the other fields are made of


def values(network: NetworkPlan) -> dict[str, Any]:
    """The network of the JSON schema."""
    shown = {name: value for name, value in network._asdict().items() if name not in HIDDEN}
    return {**shown, "blocked": [one._asdict() for one in network.blocked]}


def lines(network: NetworkPlan) -> list[str]:
    """What of the network a person reads: tier, who carries it, exceptions, what is refused and why."""
    found = [f"network    {network.tier} ({network.why.origin})"]
    if network.interface is None:
        return found
    found.append(f"backend    {network.backend}, {network.interface.device} {', '.join(network.interface.addresses)}")
    found.append(f"resolver   {network.resolver}")
    found += [f"allow_lan  {printable(one)}" for one in network.allow_lan]
    reasons: dict[str, list[str]] = {}
    for one in network.blocked:
        reasons.setdefault(one.reason, []).append(one.prefix)
    found += ["", "refused (everything else that is public can be reached)"]
    return found + [f"  {reason}: {', '.join(prefixes)}" for reason, prefixes in reasons.items()]


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
