"""What the log of a session says: events out of lines, the rules that would let through what was asked for. Pure.

The lines are the gateway's, about names that came from inside: whatever they hold is only shown, or read as a rule.
"""

from __future__ import annotations

import json

from claudebox.allowing import PORTS, parse, shown
from claudebox.hostname import normal
from claudebox.model import AllowRule, Why
from claudebox.plan.network.rules import decide
from claudebox.record import NamedTuple
from claudebox.typed import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

REACHED, REFUSED, ENDED = "allowed", "refused", "ended"
LONGEST = 4096  # bytes of a line
MOST = 4096  # names of the TOML


class Event(NamedTuple):
    """One line. time: seconds of the wall clock; address: where it was dialled, or a literal that was; up, down: bytes;
    repeated: how often more it happened within the second."""

    time: float
    verdict: str
    name: str
    address: str
    port: int
    reason: str
    rule: str
    up: int
    down: int
    program: str
    repeated: int


TEXTS = ("verdict", "name", "address", "reason", "rule", "program")
NUMBERS = ("time", "port", "up", "down", "repeated")


class Asked(NamedTuple):
    """A name or an address with a port, and how often it was reached or refused. reason: of the last refusal."""

    what: str
    port: int
    reached: int
    refused: int
    reason: str


def event(line: bytes) -> Event | None:
    """The event of a line; None for what is none (a torn line, a later release's)."""
    if len(line) > LONGEST:
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    values: dict[str, Any] = {}
    for name in TEXTS:
        values[name] = found[name] if isinstance(found.get(name), str) else ""
    for name in NUMBERS:
        number = found.get(name, 0)
        values[name] = number if type(number) in (int, float) and abs(number) < 1 << 62 else 0
    return Event(**values) if values["verdict"] else None


def as_value(one: Event) -> dict[str, Any]:
    """An event in JSON: what it has."""
    return {name: value for name, value in one._asdict().items() if value or name in ("time", "port")}


def counted(events: Iterable[Event]) -> tuple[Asked, ...]:
    """What was asked for, each name and port once, sorted by name from its end; at most MOST."""
    found: dict[tuple[str, int], list[Any]] = {}
    for one in events:
        key = (one.name or one.address, one.port)
        if one.verdict not in (REACHED, REFUSED) or not key[0] or (key not in found and len(found) >= MOST):
            continue
        counts = found.setdefault(key, [0, 0, ""])
        counts[one.verdict == REFUSED] += 1 + int(one.repeated)
        counts[2] = one.reason if one.verdict == REFUSED else counts[2]
    asked = [Asked(what, int(port), *counts) for (what, port), counts in found.items()]
    return tuple(sorted(asked, key=lambda one: (one.what.split(".")[::-1], one.port)))


def profile(asked: Iterable[Asked], known: tuple[AllowRule, ...]) -> str:
    """A profile's `[network]` that lets through what was reached, with how often; what known lets through is left out,
    what was refused stands there as a comment."""
    ports: dict[str, dict[int, int]] = {}
    comments = []
    for one in asked:
        rule = _rule(one.what, one.port)
        if rule is None or (one.reached and decide(known, rule.what, one.port).allowed):
            continue
        if one.reached:
            ports.setdefault(rule.what, {})[one.port] = one.reached
        else:
            from claudebox.text import printable

            reason = printable(one.reason[:200]).replace("\n", " ")
            comments.append(f"    # {_quoted(rule)},  # refused {times(one.refused)}: {reason}")
    lines = []
    for what, counts in ports.items():
        whole = set(counts) == set(PORTS)
        for rule in filter(None, [_rule(what, port) for port in counts]) if not whole else (parse(what, Why("")),):
            count = sum(counts.values()) if whole else counts[rule.ports[0]]
            lines.append(f"    {_quoted(rule)},  # {times(count)}")
    return "\n".join(["[network]", 'tier = "allowlist"', "allow = [", *lines, *comments, "]", ""])


def _rule(what: str, port: int) -> AllowRule | None:
    try:
        name = what if ":" in what else normal(what) if not what[-1:].isdigit() else what
        return parse(f"[{name}]:{port}" if ":" in name else f"{name}:{port}", Why(""))
    except (ValueError, Unusable):
        return None


def _quoted(rule: AllowRule) -> str:
    return f'"{shown(rule)}"'


def times(count: int) -> str:
    """`once`, `12 times`."""
    return "once" if count == 1 else f"{count} times"
