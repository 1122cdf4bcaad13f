"""Tier allowlist: what a rule says, and which one decides about a name or an address and a port.

The most specific rule decides: a name before a wildcard, a longer one before a shorter one; of rules about the very
same thing the last. A rule that refuses is one like the others. Used by the plan, by the gateway while a session
runs and by `claudebox network why`.
"""

from __future__ import annotations

from claudebox import address
from claudebox.allowing import is_address, shown
from claudebox.model import AllowRule
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from claudebox.model import Check, Prefix

TLS = 443


class Verdict(NamedTuple):
    """By which rule, where there is one (a refusal may have one, too). reason: for people, without what was asked."""

    allowed: bool
    rule: AllowRule | None
    reason: str


# --- deciding ------------------------------------------------------------------------------------


def decide_name(rules: Iterable[AllowRule], name: str) -> bool:
    """Whether a name is allowed on any port, so that DNS answers. name: normal."""
    found = [rule for rule in rules if _weight(rule, name, None) >= 0]
    ports = {port for rule in found for port in rule.ports or (0,)}
    return any(decide(found, name, port).allowed for port in ports)


def decide(rules: Iterable[AllowRule], target: str, port: int) -> Verdict:
    """Whether a name (normal) or an address may be reached on a port. Everything that no rule names is refused."""
    prefix = address.parse(target)
    best: AllowRule | None = None
    most, others, below = -1, [], False
    for rule in rules:
        below = below or rule.what == f"*.{target}"
        weight = _weight(rule, target, prefix)
        if weight < 0:
            continue
        if rule.ports and port not in rule.ports:
            if not rule.refused:
                others.append(rule)
        elif weight >= most:
            best, most = rule, weight
    if best is None:
        return Verdict(allowed=False, rule=None, reason=_missing(others, target if below else "", prefix))
    if best.refused:
        return Verdict(allowed=False, rule=best, reason=f"!{shown(best)} takes it out ({best.why.origin})")
    return Verdict(allowed=True, rule=best, reason=f"{shown(best)} ({best.why.origin})")


def _weight(rule: AllowRule, target: str, prefix: Prefix | None) -> int:
    """How specific a rule is about a target; -1 where it is not about it."""
    what = rule.what
    if prefix is not None:
        own = address.parse(what) if is_address(what) else None
        return own.length if own and address.contains(own, prefix) else -1
    if what.startswith("*."):
        return len(what) if target.endswith(what[1:]) and len(target) > len(what) - 1 else -1
    return 1000 if what == target else -1


def _missing(others: list[AllowRule], above: str, prefix: Prefix | None) -> str:
    """Why nothing lets it through. others: rules about it on other ports; above: the name, where a wildcard is below
    it."""
    if above and not others:
        return f"*.{above} is about the names below it, not about itself"
    if others:
        ports = sorted({port for rule in others for port in rule.ports})
        return f"allowed on port{'s' * (len(ports) > 1)} {', '.join(map(str, ports))} only"
    return "no rule lists this address" if prefix else "no rule names it"


def check_on(rule: AllowRule, port: int) -> Check:
    """What a TLS hello must show on this port: the default check is that of port 443 alone."""
    return rule.check if port == TLS or rule.strict else "none"


# --- changing -------------------------------------------------------------------------------------


def added(rules: tuple[AllowRule, ...], rule: AllowRule) -> tuple[AllowRule, ...]:
    """The rules with one more, an allowing or a refusing one, that counts before those about the same thing."""
    kept = tuple(one for one in rules if not (one.what == rule.what and _covers(rule.ports, one.ports)))
    if rule.refused and not any(_touches(one, rule) for one in kept if not one.refused):
        return kept
    return (*kept, rule)


def _covers(wide: tuple[int, ...], narrow: tuple[int, ...]) -> bool:
    return not wide or (bool(narrow) and set(narrow) <= set(wide))


def _touches(allowed: AllowRule, refused: AllowRule) -> bool:
    """Whether a refusal takes something out of what a rule lets through, or of what one may yet."""
    if is_address(allowed.what) != is_address(refused.what):
        return False
    if is_address(refused.what):
        one, other = address.parse(allowed.what), address.parse(refused.what)
        return bool(one and other and address.contains(one, other))
    name = refused.what.removeprefix("*.")
    return allowed.what == refused.what or (allowed.what.startswith("*.") and f".{name}".endswith(allowed.what[1:]))
