"""Tier allowlist: what a rule says, and which one decides about a name or an address and a port.

The most specific rule decides: a name before a wildcard, a longer one before a shorter one; of rules about the very
same thing the last. A rule that refuses is one like the others. Used by the plan, by the gateway while a session
runs and by `claudebox network why`.
"""

from __future__ import annotations

from claudebox import address
from claudebox.model import AllowEntry, AllowRule
from claudebox.plan.network.hostname import normal, readable
from claudebox.record import NamedTuple
from claudebox.typed import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from claudebox.model import Check, Prefix, Why

CHECKS = ("sni", "ech", "none")
PORTS = (80, 443)  # of a rule that names none
TLS = 443
MOST_PORTS = 64
EXAMPLE = 'such as "api.example.com", "*.example.com:443", "203.0.113.7:22" or "[2001:db8::/64]:5432"'


class Verdict(NamedTuple):
    """By which rule, where there is one (a refusal may have one, too). reason: for people, without what was asked."""

    allowed: bool
    rule: AllowRule | None
    reason: str


# --- reading -------------------------------------------------------------------------------------


def parse_entry(written: str | dict[str, Any], why: Why) -> AllowEntry:
    """An entry of a file or an option: a rule, `@SET`, or either with `!` before it. Raises Unusable."""
    if isinstance(written, dict):
        rule = parse(written, why)
        return AllowEntry(written=shown(rule), group="", rule=rule, out=False)
    text = written.removeprefix("!")
    out = text != written
    if text.startswith("@"):
        group = text[1:]
        if not group.isascii() or not group.replace("-", "a").isalnum():
            raise Unusable('the name of a set, such as "@github"')
        return AllowEntry(written=written, group=group, rule=None, out=out)
    return AllowEntry(written=written, group="", rule=parse(written, why), out=out)


def parse(written: str | dict[str, Any], why: Why) -> AllowRule:
    """A rule as text, `!` before it for a refusal, or as a table of name, ports and check. Raises Unusable, whose
    text says what was expected."""
    if isinstance(written, dict):
        return _table(written, why)
    text = written.removeprefix("!")
    refused = text != written
    if "/" in text and address.parse(text.partition("/")[0].lstrip("[")) is None:
        raise Unusable(f"a name without https:// and path, {EXAMPLE}")
    what, ports = _what_and_ports(text)
    if ports is None:
        ports = () if refused else PORTS
    what = _what(what, refused=refused)
    return AllowRule(what=what, ports=ports, check=_default_check(what), why=why, refused=refused)


def _table(table: dict[str, Any], why: Why) -> AllowRule:
    if unknown := sorted(set(table) - {"name", "ports", "check"}):
        from claudebox.text import printable

        raise Unusable(f'a table of name, ports and check, without "{printable(str(unknown[0]))[:40]}"')
    name, ports, check = table.get("name"), table.get("ports"), table.get("check")
    if not isinstance(name, str):
        raise Unusable('a table with a name, such as { name = "ssh.github.com", ports = [443], check = "none" }')
    if ports is not None and (not isinstance(ports, list) or not ports or not all(map(_is_port, ports))):
        raise Unusable("ports from 1 to 65535 in a list")
    if len(ports or ()) > MOST_PORTS:
        raise Unusable(f"at most {MOST_PORTS} ports, or none for all of them")
    if check is not None and check not in CHECKS:
        raise Unusable('check to be "sni", "ech" or "none"')
    what, typed = _what_and_ports(name)
    if typed is not None:
        raise Unusable("the port of a table in ports, not behind its name")
    what = _what(what, refused=False)
    if check and is_address(what):
        raise Unusable("no check for an address: there is no name to compare with")
    return AllowRule(
        what=what,
        ports=PORTS if ports is None else tuple(sorted(set(ports))),
        check=check or _default_check(what),
        why=why,
        strict=check is not None,
    )


def _is_port(value: object) -> bool:
    return type(value) is int and 1 <= value <= 65535


def _default_check(what: str) -> Check:
    return "none" if is_address(what) else "sni"


def _what_and_ports(text: str) -> tuple[str, tuple[int, ...] | None]:
    """What stands before the port, and the ports: () for `:*`, None where none is written."""
    if text.startswith("["):
        what, closed, after = text[1:].partition("]")
        if not closed or ":" not in what or (after and not after.startswith(":")):
            raise Unusable(f"a name or an address, {EXAMPLE}")
        colon, port = after[:1], after[1:]
    elif text.count(":") > 1:
        return text, None
    else:
        what, colon, port = text.partition(":")
    if not colon:
        return what, None
    if port == "*":
        return what, ()
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    if not _is_port(number):
        raise Unusable("a port from 1 to 65535, or * for all of them, behind the colon")
    return what, (number,)


def _what(text: str, *, refused: bool) -> str:
    """Canonical. refused: a wildcard may then be of any width."""
    if prefix := address.parse(text):
        return address.text(prefix)
    base = text.removeprefix("*.")
    if "*" in base:
        raise Unusable('a wildcard that stands for labels on the left, such as "*.example.com"')
    try:
        name = normal(base)
    except ValueError as error:
        if "xn--" in str(error):
            raise Unusable("the xn-- form of this name, whose letters programs read differently") from None
        raise Unusable(f"a name, an address or a prefix without bits behind it, {EXAMPLE}") from None
    if base == text:
        return name
    if not refused:
        from claudebox.plan.network.suffix import is_public

        if is_public(name):
            raise Unusable(f'a wildcard below a name that is somebody\'s, and anybody can have one below "{name}"')
    return f"*.{name}"


# --- deciding ------------------------------------------------------------------------------------


def is_address(what: str) -> bool:
    """Whether a rule is about addresses. what: canonical."""
    return ":" in what or (what[-1:].isdigit() and address.parse(what) is not None)


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


# --- changing and showing ------------------------------------------------------------------------


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


def shown(rule: AllowRule) -> str:
    """A rule as it is written in a file, names in A-labels, its check left out."""
    what = f"[{rule.what}]" if ":" in rule.what else rule.what
    if rule.ports == PORTS or (rule.refused and not rule.ports):
        return rule.what
    if not rule.ports:
        return f"{what}:*"
    return f"{what}:{','.join(map(str, rule.ports))}"


def told(rule: AllowRule) -> str:
    """A rule for people: as written, a name in letters beyond ASCII beside it."""
    name = readable(rule.what.removeprefix("*."))
    same = name == rule.what.removeprefix("*.")
    return shown(rule) + ("" if same else f" ({name})")
