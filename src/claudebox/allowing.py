"""An entry of `[network] allow` and `--allow`: text or a table → a rule of tier allowlist, and back.

NAME[:PORT[,PORT]]   api.example.com, *.example.com:443, 203.0.113.7:22, [2001:db8::/64]:5432, example.com:*
@SET                 a set of names
!NAME, !@SET         what was said before it is taken out again
"""

from __future__ import annotations

from claudebox import address
from claudebox.hostname import normal, readable
from claudebox.model import AllowEntry, AllowRule
from claudebox.typed import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from claudebox.model import Check, Why

CHECKS = ("sni", "ech", "none")
PORTS = (80, 443)  # of a rule that names none
MOST_PORTS = 64
EXAMPLE = 'such as "api.example.com", "*.example.com:443", "203.0.113.7:22" or "[2001:db8::/64]:5432"'


def parse_entry(written: str | dict[str, Any], why: Why) -> AllowEntry:
    """An entry of a file or an option: a rule, `@SET`, or either with `!` before it. Raises Unusable."""
    if isinstance(written, dict):
        rule = parse(written, why)
        return AllowEntry(written=shown(rule), group="", rule=rule, out=False)
    text = written.removeprefix("!")
    out = text != written
    if text.startswith("@"):
        group = text[1:]
        from claudebox.namesets import NAMES

        if group not in NAMES:
            raise Unusable(f"a set that there is: @{', @'.join(NAMES)}")
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
    words = port.split(",")
    numbers = {int(one) if one.isascii() and one.isdigit() and len(one) <= 5 else 0 for one in words}
    if not all(map(_is_port, numbers)) or len(words) > MOST_PORTS:
        raise Unusable("a port from 1 to 65535, or * for all of them, behind the colon")
    return what, tuple(sorted(numbers))


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
        from claudebox.suffix import is_public

        if is_public(name):
            raise Unusable(f'a wildcard below a name that is somebody\'s, and anybody can have one below "{name}"')
    return f"*.{name}"


def is_address(what: str) -> bool:
    """Whether a rule is about addresses. what: canonical."""
    return ":" in what or (what[-1:].isdigit() and address.parse(what) is not None)


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
