"""Tier allowlist: which rules a launch has, of the agent, of files, of sets and of what was typed."""

from __future__ import annotations

from claudebox import address
from claudebox.agents import AgentSpec
from claudebox.allowing import is_address, parse, told
from claudebox.errors import ClaudeboxError
from claudebox.model import AllowRule, NameSet, Note, Origin, Profile, Variable, Why
from claudebox.plan.network.rules import added

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 1000  # rules of a launch


def rules(profile: Profile, sets: tuple[NameSet, ...], spec: AgentSpec) -> tuple[AllowRule, ...]:
    """The rules, the later of two about the same thing alone. Raises ClaudeboxError for more than MOST."""
    found: tuple[AllowRule, ...] = ()
    for one in (*agents(spec), *asked(profile, sets)):
        found = added(found, one)
    if len(found) > MOST:
        raise ClaudeboxError(f"{len(found)} rules are more than the {MOST} of a launch", "use wildcards or prefixes")
    return found


def agents(spec: AgentSpec) -> list[AllowRule]:
    """The hosts without which the agent does not work."""
    return [parse(f"{name}:443", Why(f"{spec.title} needs it")) for name in spec.hosts]


def asked(profile: Profile, sets: tuple[NameSet, ...]) -> Iterator[AllowRule]:
    """What files, the project and the command line say, sets taken apart, in order; a refusal for what is taken out."""
    known = {one.name: one for one in sets}
    for setting in profile.allow:
        entry = setting.value
        if entry.rule:
            yield entry.rule
        elif entry.group in known:
            for rule in of_set(known[entry.group], setting.origin):
                yield rule._replace(refused=True) if entry.out else rule


def of_set(one: NameSet, origin: Origin) -> list[AllowRule]:
    """The rules of a set, each with what it is for, and with the file that it follows."""
    found = []
    for written, what_for, where in one.rules:
        name, _, check = written.partition(" ")
        why = Why(f"@{one.name}: {what_for}", Origin(origin.layer, f"{origin}, {where}") if where else origin)
        rule = parse(name, why)
        found.append(rule._replace(check="none", strict=True) if check == "none" else rule)
    return found


def takes(refused: AllowRule, one: AllowRule) -> bool:
    """Whether a refusal that was said later takes something out of a rule."""
    return added((one,), refused) != (one,)


def takes_all(refused: AllowRule, one: AllowRule) -> bool:
    """Whether nothing is left of a rule."""
    return all(left.refused for left in added((one,), refused))


def within(name: str, wide: str) -> bool:
    """Whether a rule, as it is shown, lets through no more than another one does."""
    one, other = parse(name, Why("")), parse(wide, Why(""))
    if other.ports and not set(one.ports or (0,)) <= set(other.ports):
        return False
    if is_address(one.what) or is_address(other.what):
        inner, outer = address.parse(one.what), address.parse(other.what)
        return bool(inner and outer and address.contains(outer, inner))
    below = other.what.startswith("*.") and one.what.removeprefix("*").endswith(other.what[1:])
    return one.what == other.what or below


def variables(profile: Profile, sets: tuple[NameSet, ...]) -> list[Variable]:
    """The settings of package managers whose sets are named, without what is a login in them."""
    if profile.tier.value != "allowlist":
        return []
    wanted = {one.value.group: one.origin for one in profile.allow if one.value.group and not one.value.out}
    out = {one.value.group for one in profile.allow if one.value.out}
    return [
        Variable(name=name, value=value, secret=False, why=Why(f"@{one.name}: {where}", wanted[one.name]))
        for one in sets
        if one.name in wanted and one.name not in out
        for name, value, where in one.variables
    ]


def notes(found: tuple[AllowRule, ...], profile: Profile, sets: tuple[NameSet, ...]) -> list[Note]:
    """What a person should know about the rules: checks that are off, and wildcards where anybody can have a name."""
    said = [note for one in sets for note in one.notes]
    for rule in found:
        if rule.refused:
            continue
        if rule.strict and rule.check != "sni":
            what = "which name a connection is for" if rule.check == "none" else "an encrypted name in it"
            said.append(Note("danger", f"allow {told(rule)}: {what} is not checked ({rule.why.origin})"))
        if rule.what.startswith("*."):
            from claudebox.suffix import is_hosting

            if is_hosting(rule.what[2:]):
                text = f"allow {told(rule)}: anybody can have a name below {rule.what[2:]} ({rule.why.origin})"
                said.append(Note("weakening", text))
    if profile.learn.value:
        said.append(Note("weakening", "learning: every public address can be reached, and every name is recorded"))
    return said
