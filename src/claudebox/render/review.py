"""The review as a person reads it: what is new, and everything. Rows of (mark, what, text) with a severity each."""

from __future__ import annotations

from claudebox.allowing import told
from claudebox.lookalike import shown
from claudebox.model import Bind, Grant, SandboxPlan, SettingsFile, SettingsTree
from claudebox.places import PLACES
from claudebox.record import NamedTuple

HARM = {what: harm for _, what, harm in PLACES}
TIERS = {
    "offline": "nothing but itself",
    "allowlist": "the names that are listed; no address that is this machine's, its LAN's or a VPN's",
    "internet-only": "public addresses; not this machine, its LAN and VPNs",
    "full": "whatever this machine reaches: its own services, the LAN, every VPN",
}
WORDS = {
    "network": "network", "exception": "network", "git": "git", "project": "project", "unattended": "agent",
    "mount": "mount", "variable": "variable", "allow": "network", "host port": "network", "publish": "network",
    "git directory": "git", "objects": "git",
    "package": "package", "nix": "nix",
}  # fmt: skip


UNCHECKED = {"none": ", and nothing checks which name a connection is for", "ech": ", and an encrypted name passes"}
LEARNING = f"learning: {TIERS['internet-only']}; a record of every name"


class Row(NamedTuple):
    """One row. mark: "+" where it is new; severity: "" for what every sandbox has."""

    mark: str
    what: str
    text: str
    severity: str = ""


def new(plan: SandboxPlan, fresh: tuple[Grant, ...]) -> list[Row]:
    """What goes beyond what was accepted."""
    return [granted(plan, one, mark="+") for one in fresh]


def everything(plan: SandboxPlan, fresh: tuple[Grant, ...]) -> list[Row]:
    """The whole list: what every sandbox has, what was asked for, every variable, every weakening."""
    network = f"{plan.network.tier}: {LEARNING if plan.network.learn else TIERS[plan.network.tier]}"
    return [
        Row("", "project", f"{shown(plan.project)}, read-write; the command starts in {shown(plan.directory)}"),
        Row("", "command", shown(" ".join(plan.command))),
        Row(
            "", "agent", f"{shown(plan.agent)}, {'which asks nothing' if plan.unattended else 'which asks as it does'}"
        ),
        Row("", "network", network),
        *needed(plan),
        Row("", "home", f"its own, kept in {shown(plan.instance.directory)}/home; nothing of yours but what follows"),
        Row("", "system", "/usr and a selection of /etc, read-only; private /tmp and /run; its own processes"),
        *([Row("", "profiles", shown(", ".join(plan.profiles)))] if plan.profiles else []),
        Row("", "login", shown(plan.login.why.reason) if plan.login else "none comes along"),
        *settings(plan),
        *(granted(plan, one, mark="+" if one in fresh else "") for one in plan.grants),
        *environment(plan),
        *(Row("", note.severity, shown(note.text), note.severity) for note in plan.notes if note.severity != "info"),
        *(Row("", "note", shown(note.text)) for note in plan.notes if note.severity == "info"),
    ]


def settings(plan: SandboxPlan) -> list[Row]:
    """What of the user's own settings of the agent comes along."""
    # what the defaults bring and names where it is from
    bound = [m.target for m in plan.mounts if isinstance(m, Bind) and m.why.origin.where and not m.why.origin.layer]
    rows = [Row("", "settings", f"{shown(target)}, read-only") for target in bound]
    for one in plan.settings:
        if isinstance(one, SettingsFile | SettingsTree) and one.source:
            how = "copied once" if isinstance(one, SettingsTree) else "a copy that follows yours"
            rows.append(Row("", "settings", f"{shown(one.source)}, {how}"))
    return rows


def needed(plan: SandboxPlan) -> list[Row]:
    """What the agent itself needs of a tier that lists names."""
    own = [one for one in plan.network.allow if not one.why.origin.where and not one.refused]
    return [Row("", "network", f"{shown(told(one))} ({shown(one.why.reason)})") for one in own]


def environment(plan: SandboxPlan) -> list[Row]:
    """Every variable, masked unless it is harmless. Of a masked one nothing is shown, no length either."""
    rows = []
    for one in plan.environment:
        value = "***" if one.secret else shown(one.value)
        rows.append(Row("", "variable", f"{shown(one.name)}={value} ({shown(one.why.reason)})"))
    return rows


def granted(plan: SandboxPlan, one: Grant, mark: str) -> Row:
    """A grant in words, with who asked for it; what reaches a secret says so by a word of its own."""
    text = described(plan, one)
    if one.secret:
        harm = f", with which one can {HARM[one.secret]}" if one.secret in HARM else ""
        text = f"SECRET {text}: it reaches {shown(one.secret)}{harm}"
    who = shown(str(one.origin)) if one.origin.where else ""
    more = "; ".join(filter(None, (shown(one.detail), who)))
    return Row(
        mark,
        WORDS.get(one.kind, one.kind),
        text + (f" ({more})" if more else ""),
        "" if one.severity == "info" else one.severity,
    )


def described(plan: SandboxPlan, one: Grant) -> str:
    """What a grant is, without its secret and its origin."""
    name = shown(one.name)
    match one.kind:
        case "mount":
            where = name if one.target == one.name else f"{name} at {shown(one.target)}"
            return f"{where}, {'read-write' if one.level == 'rw' else 'read-only'}"
        case "variable" if one.level == "set":
            return f"{name}, set to a value"
        case "variable":
            return f"{name}{_without(one)}, with the value that it has here{_matched(plan, one)}"
        case "network":
            return f"{name}: {TIERS[one.name]}"
        case "exception":
            return f"{name} can be reached"
        case "allow":
            return f"{name}{_without(one)} can be reached{UNCHECKED.get(one.level, '')}"
        case "host port":
            return f"port {name} of this machine's 127.0.0.1 can be reached"
        case "publish":
            here, _, inside = name.partition(":")
            return f"port {inside} of the sandbox is port {here} of this machine's 127.0.0.1"
        case "sandbox":
            return f"{name}: what the host's nix daemon is told to fetch, from any address, it fetches"
        case "unattended":
            return "unattended: it asks nothing before it acts"
        case "package":
            return f"{name}: its programs are on PATH, and all of /nix/store can be read"
        case "nix":
            return f"{name}: it does whatever you say (trusted-users)"
        case "git":
            return f"{name} can be written: git on this machine runs what they say"
        case "git directory":
            return f"{name}, read-write, as the git directory"
        case "objects":
            return f"{name}, read-only: objects that the repository borrows"
        case "project":
            return name if one.secret else f"it holds {name}, which the agent on this machine obeys, hooks too"
    return name


def _without(one: Grant) -> str:
    return f" without {shown(', '.join(one.without))}" if one.without else ""


def _matched(plan: SandboxPlan, one: Grant) -> str:
    """Which variables a pattern brings now."""
    if "*" not in one.name:
        return ""
    names = [v.name for v in plan.environment if v.why.origin == one.origin and v.why.reason == "passed"]
    return f" (now: {shown(', '.join(names)) or 'none'})"


def line(plan: SandboxPlan) -> str:
    """The one line of a launch that grants nothing new: tier, agent, project, and every red grant by name."""
    red = [_named(one) for one in plan.grants if one.severity == "danger"]
    profiles = [shown(", ".join(plan.profiles))] if plan.profiles else []
    return " · ".join((plan.network.tier, shown(plan.agent), shown(plan.project), *profiles, *red))


def _named(one: Grant) -> str:
    secret = "SECRET " if one.secret else ""
    return f"{secret}{shown(one.name)} {one.level}".rstrip()
