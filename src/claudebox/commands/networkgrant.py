"""`claudebox network why`, `allow`, `deny`: what is let through, and by whom; more or less while a session runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from claudebox import console, typed
from claudebox.agents import load_agent
from claudebox.allowing import parse, shown, told
from claudebox.commands.launch import start_directory
from claudebox.commands.networkcall import Call, print_json
from claudebox.errors import ClaudeboxError
from claudebox.host import survey_sets
from claudebox.model import AllowRule, Layer, Origin, Profile, Publish, Request, Setting, Why
from claudebox.plan.network import listed
from claudebox.plan.network.rules import Verdict, check_on, decide
from claudebox.profile import effective_profile, load_files
from claudebox.repository import find_project
from claudebox.run import instance, kept, netlog, session
from claudebox.text import printable

if TYPE_CHECKING:
    from claudebox.model import Instance

DEFAULT = 443
TYPED = Why("allow", Origin(Layer.COMMAND_LINE, "claudebox network"))
OTHER_TIERS = {
    "offline": "in tier offline nothing is reached",
    "internet-only": "in tier internet-only every name that leads to a public address is reached",
    "full": "in tier full everything is reached",
}


# --- why -----------------------------------------------------------------------------------------


def why(call: Call) -> int:
    """Print whether a name would be let through, by what, or what to add; 1 if not."""
    rule = rule_of(call.what)
    if rule.what.startswith("*.") or "/" in rule.what:
        raise ClaudeboxError("why takes a name or an address", "claudebox network why docs.python.org")
    port = rule.ports[0] if len(rule.ports) == 1 else DEFAULT
    tier, rules = held(call)
    verdict = decide(rules, rule.what, port)
    if call.json:
        print_json(as_value(rule.what, port, tier, verdict))
    else:
        console.write("".join(f"{printable(line)}\n" for line in lines(rule, port, tier, verdict)), 1)
    return 0 if reaches(tier, verdict) else 1


def reaches(tier: str, verdict: Verdict) -> bool:
    """Whether it is let through, as far as its name says."""
    return verdict.allowed if tier == "allowlist" else tier != "offline"


def as_value(what: str, port: int, tier: str, verdict: Verdict) -> dict[str, Any]:
    """The verdict in JSON. allowed: by the rules, which hold in tier allowlist."""
    found = verdict.rule
    return {
        "name": what,
        "port": port,
        "tier": tier,
        "reached": reaches(tier, verdict),
        "allowed": verdict.allowed,
        "reason": verdict.reason,
        "rule": shown(found) if found else None,
        "check": check_on(found, port) if found and verdict.allowed else None,
        "origin": str(found.why.origin) if found else None,
    }


def lines(rule: AllowRule, port: int, tier: str, verdict: Verdict) -> list[str]:
    """The verdict for a person."""
    name = told(rule._replace(ports=(port,)))
    found = [f"{name}  {OTHER_TIERS[tier]}; tier allowlist decides by its rules:"] if tier in OTHER_TIERS else []
    if verdict.allowed and verdict.rule:
        why_ = verdict.rule.why
        reason = "" if why_.reason == "allow" else f" ({why_.reason})"
        check = {"sni": "TLS has to name it", "ech": "TLS has to name it, or to hide its name"}
        unchecked = "which name a connection is for is not checked"
        said = [f"{name}  allowed by {told(verdict.rule)}, {why_.origin}{reason}"]
        said.append(f"  {check.get(check_on(verdict.rule, port), unchecked)}")
        said.append("  refused all the same where it leads to an address of this machine, its LAN or its VPNs")
        return [*found, *said]
    sets = [f"@{one}" for one in in_sets(rule.what, port)]
    said = [f"{name}  refused: {verdict.reason}"]
    said.append(f"  in a running session: claudebox network allow {quoted(rule, port)}")
    said.append(f"  for good: the same with --save, or under [network] of a profile: allow = [{toml(rule, port)}]")
    return [*found, *said, *([f"  it is in the set {' and '.join(sets)}"] if sets else [])]


def toml(rule: AllowRule, port: int) -> str:
    """The rule to add, as a profile has it."""
    return f'"{addition(rule, port)}"'


def quoted(rule: AllowRule, port: int) -> str:
    """The rule to add, as a shell has it."""
    import shlex

    return shlex.quote(addition(rule, port))


def addition(rule: AllowRule, port: int) -> str:
    """The narrowest rule that lets it through."""
    return shown(rule._replace(ports=(port,)))


def in_sets(what: str, port: int) -> list[str]:
    """The sets that are data and let it through."""
    from claudebox.namesets import SETS

    found = []
    for name, rules in SETS.items():
        if decide([parse(written.partition(" ")[0], TYPED) for written, _ in rules], what, port).allowed:
            found.append(name)
    return found


def held(call: Call) -> tuple[str, tuple[AllowRule, ...]]:
    """The tier and the rules of a session that was named, else those of the next launch in the current project."""
    if call.which:
        from claudebox.commands.sessions import choose

        one = choose(session.running(call.ours), call.which)[-1]
        if one.tier != "allowlist":
            return one.tier, ()
        origin = Origin(Layer.COMMAND_LINE, f"session {one.pid}")
        return one.tier, tuple(
            parse(str(entry["rule"]), Why("allow", origin))
            for entry in netlog.ask(one, call.ours, {"do": "state"})["rules"]
        )
    profile = effective(call)
    spec = load_agent(profile.agent.value, f"{call.ours}/agents")
    named = profile._replace(tier=Setting("allowlist"))
    sets = survey_sets(named, call.user, call.environment, (call.ours, *kept.projects(call.ours)))
    return profile.tier.value, listed.rules(named, sets, spec)


def effective(call: Call) -> Profile:
    """The settings of the next launch in the current project. Raises ClaudeboxError."""
    _, directory, remembered = project(call)
    files = load_files((), call.environment, remembered, ours=call.ours, home=call.user.home)
    request = Request(action="agent")
    return effective_profile(
        request, files, call.environment, home=call.user.home, cwd=directory, remembered=remembered
    )


def project(call: Call) -> tuple[Instance, str, Any]:
    """The instance of the project that was named, its directory, and what it remembers. Raises ClaudeboxError."""
    named = "" if call.which.isdigit() else call.which
    directory = start_directory(named)
    found = find_project(directory, call.user, call.ours)
    identity = instance.identify(call.ours, call.user.uid, found.main)
    return identity, directory, kept.remembered(identity.directory)


# --- allow and deny ------------------------------------------------------------------------------


def rule_of(text: str) -> AllowRule:
    """What was typed. Raises ClaudeboxError."""
    try:
        return parse(text.removeprefix("!"), TYPED)
    except typed.Unusable as error:
        raise ClaudeboxError(f"{printable(text)}: expected {error}", "claudebox network --help") from None


def change(call: Call, *, add: bool) -> int:
    """Grant, or take back, in the session and, with `--save`, in what the project remembers."""
    orders = [*names(call, add=add), *ports(call, add=add)]
    running = chosen(call)
    for one in running:
        for order, _ in orders:
            netlog.ask(one, call.ours, order)
    if call.save:
        save(call, add=add)
    words = [text for _, text in orders]
    if call.json:
        print_json({"sessions": [one.pid for one in running], "saved": call.save, "changed": words})
        return 0
    where = [f"in session {one.pid}, from the next attempt on" for one in running]
    where += ["from the next launch on, which shows it"] if call.save else []
    for text in words:
        console.say(f"{text} {'and '.join(where)}")
    return 0


def names(call: Call, *, add: bool) -> list[tuple[dict[str, Any], str]]:
    """The order about a name, and its words."""
    if not call.what:
        return []
    rule = rule_of(call.what if add else f"{call.what}")
    every = not add and ":" not in call.what.rpartition("]")[2]
    rule = rule._replace(ports=() if every else rule.ports)
    order = {"do": "allow" if add else "deny", "rule": {"what": rule.what, "ports": list(rule.ports)}}
    name = rule.what if every else told(rule)
    return [(order, f"{name} is {'allowed' if add else 'refused'}")]


def ports(call: Call, *, add: bool) -> list[tuple[dict[str, Any], str]]:
    """The orders about ports, and their words. Raises ClaudeboxError."""
    found: list[tuple[dict[str, Any], str]] = []
    word = "" if add else "no longer "
    try:
        for text in call.host_ports:
            number = typed.port(text)
            found.append(({"do": "host_port", "port": number, "add": add}, f"port {number} here is {word}reached"))
        for text in call.publish:
            one: Publish = typed.publication(text)
            order = {"do": "publish", "host": one.host, "inside": one.inside, "add": add}
            found.append((order, f"port {one.inside} of the sandbox is {word}port {one.host} here"))
    except typed.Unusable as error:
        raise ClaudeboxError(f"{printable(text)}: expected {error}", "claudebox network --help") from None
    return found


def chosen(call: Call) -> list[session.Session]:
    """The sessions that are meant; none where it is only to be remembered. Raises ClaudeboxError."""
    from claudebox.commands.sessions import choose

    found = session.running(call.ours)
    try:
        sessions = choose(found, call.which)
    except ClaudeboxError:
        if call.save and not call.which.isdigit():
            return []
        raise
    if call.what and (other := [one for one in sessions if one.tier != "allowlist"]):
        text = f"session {other[0].pid} runs in tier {other[0].tier}, which lists no names"
        if not call.save:
            raise ClaudeboxError(text, "--save remembers it for tier allowlist")
        return [one for one in sessions if one.tier == "allowlist"]
    return sessions


def save(call: Call, *, add: bool) -> None:
    """Have the project remember it. Raises ClaudeboxError."""
    if call.which.isdigit():
        raise ClaudeboxError("--save is about a project, not about a pid", "name the project, or go there")
    identity, _, remembered = project(call)
    entry = call.what if add else f"!{call.what}"
    allow = [*(one for one in remembered.allow if not call.what or one.removeprefix("!") != call.what)]
    changes = {
        "allow": tuple([*allow, entry] if call.what else allow),
        "host_ports": changed(remembered.host_ports, call.host_ports, add=add),
        "publish": changed(remembered.publish, call.publish, add=add),
    }
    here = instance.open_directory(identity, call.ours)
    try:
        kept.change(here, identity.directory, {}, changes)
    finally:
        os.close(here)


def changed(before: tuple[str, ...], ports: tuple[str, ...], *, add: bool) -> tuple[str, ...]:
    """Ports with some more, or without some."""
    left = tuple(one for one in before if one not in ports)
    return (*left, *ports) if add else left
