"""What was asked for beyond the built-in defaults, against what was accepted last: only what grows asks.

What is compared is what was asked for (a source as it is written, a variable's name), not what it resolved to.
"""

from __future__ import annotations

from claudebox.agents import AgentSpec
from claudebox.model import BUILTIN, Bind, Grant, Host, Mount, MountRequest, Note, Profile, Setting, UserFile
from claudebox.plan import packages
from claudebox.plan.environment import PASSED, never
from claudebox.plan.filesystem import sensitive
from claudebox.plan.settings import apart, held
from claudebox.typed import matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.model import Severity

MORE = {"": 0, "ro": 0, "rw": 1, "set": 0, "pass": 1, "ech": 1, "none": 2}  # a level covers those below it
WIDE = "full"  # the tier that reaches whatever an exception could name


def asked(profile: Profile, host: Host, mounts: list[Mount], spec: AgentSpec) -> tuple[Grant, ...]:
    """Everything that this launch has beyond the built-in defaults and the agent's login."""
    return (
        *project(host),
        *repository(host),
        *single_values(profile),
        *exceptions(profile),
        *ports(profile),
        *named(profile, host),
        *requested(profile, host, mounts),
        *packages.grants(profile, host),
        *variables(profile.env_pass, profile.env_set, never(spec)),
        *settings(profile, host, mounts),
    )


def project(host: Host) -> list[Grant]:
    """The project itself, where it is, contains or lies in a secret, or in what the host's agent obeys."""
    root = host.project.root
    found = []
    if secret := sensitive(root, host):
        found.append(Grant(kind="project", name=root, level="rw", secret=secret, severity="danger", origin=BUILTIN))
    if held(host):
        found.append(Grant(kind="project", name="the agent's settings", level="rw", severity="danger", origin=BUILTIN))
    return found


def repository(host: Host) -> list[Grant]:
    """What of the repository lies elsewhere, where nothing says that it is this project's: by its path."""
    tree = host.project.git
    if tree is None:
        return []
    found = []
    if tree.apart:
        detail = f"{host.project.root}/.git leads there, and nothing leads back: is it this project's?"
        secret = sensitive(tree.common, host)
        found.append(
            Grant(
                kind="git directory",
                name=tree.common,
                target=host.project.root,
                level="rw",
                secret=secret,
                severity="danger",
                detail=detail,
                origin=BUILTIN,
            )
        )
    for named, store in tree.borrowed:
        detail = f"{tree.common}/objects/info/alternates names it" + (f", a link to {store}" if named != store else "")
        secret = sensitive(store, host) or sensitive(named, host)
        severity: Severity = "danger" if secret else "weakening"
        found.append(
            Grant(
                kind="objects", name=named, level="ro", secret=secret, severity=severity, detail=detail, origin=BUILTIN
            )
        )
    return found


def single_values(profile: Profile) -> list[Grant]:
    """Unattended, the widest tier, git's own configuration."""
    found = []
    if profile.unattended.value:
        origin = profile.unattended.origin
        found.append(Grant(kind="unattended", name="unattended", severity="weakening", origin=origin))
    if profile.tier.value == WIDE:
        found.append(Grant(kind="network", name=WIDE, severity="weakening", origin=profile.tier.origin))
    if profile.git_config.value == "rw":
        origin = profile.git_config.origin
        found.append(Grant(kind="git", name=".git/config and hooks", level="rw", severity="danger", origin=origin))
    return found


def exceptions(profile: Profile) -> list[Grant]:
    """The exceptions of the tier. Without a network, and where nothing is refused, there is none."""
    if profile.tier.value in ("offline", WIDE):
        return []
    return [
        Grant(kind="exception", name=one.value.written, severity="weakening", origin=one.origin)
        for one in profile.allow_lan
    ]


def ports(profile: Profile) -> list[Grant]:
    """Ports of the host that the agent reaches, and its own that the host reaches; in the widest tier both do."""
    if profile.tier.value == WIDE:
        return []
    reached = [
        Grant(kind="host port", name=str(one.value), severity="weakening", origin=one.origin)
        for one in profile.host_ports
    ]
    return reached + [
        Grant(kind="publish", name=f"{one.value.host}:{one.value.inside}", origin=one.origin) for one in profile.publish
    ]


def named(profile: Profile, host: Host) -> list[Grant]:
    """What tier allowlist lets through beyond what the agent needs; nothing where all of it is let through to learn."""
    if profile.tier.value != "allowlist" or profile.learn.value:
        return []
    from claudebox.allowing import shown
    from claudebox.plan.network import listed

    found: dict[str, Grant] = {}
    asked = list(listed.asked(profile, host.sets))
    for index, one in enumerate(asked):
        out = [later for later in asked[index + 1 :] if later.refused and listed.takes(later, one)]
        if one.refused or any(listed.takes_all(later, one) for later in out):
            continue
        unchecked = one.strict and one.check != "sni"
        found[shown(one)] = Grant(
            kind="allow",
            name=shown(one),
            level=one.check if unchecked and one.check != "sni" else "",
            without=tuple(sorted({shown(later) for later in out})),
            severity="danger" if unchecked else "info",
            origin=one.why.origin,
            detail="" if one.why.reason == "allow" else one.why.reason,
        )
    if profile.nix_daemon.value and profile.nix_daemon.origin.where:
        origin = profile.nix_daemon.origin
        found["nix"] = Grant(kind="sandbox", name="nix_daemon", severity="danger", origin=origin)
    return list(found.values())


def requested(profile: Profile, host: Host, mounts: list[Mount]) -> list[Grant]:
    """The mounts that were asked for, those too that are optional and not there now."""
    made = {(mount.target, mount.why.origin): mount for mount in mounts if isinstance(mount, Bind)}
    return [_mount(request, made.get((request.target, request.origin)), host) for request in profile.mounts]


def _mount(request: MountRequest, bind: Bind | None, host: Host) -> Grant:
    secret = bind.sensitive if bind else sensitive(request.source, host)
    leads = bind.source if bind and bind.source != request.source else ""
    return Grant(
        kind="mount",
        name=request.source,
        target=request.target,
        level=request.access,
        secret=secret,
        severity="danger" if secret else "weakening" if request.access == "rw" else "info",
        origin=request.origin,
        detail=f"a link to {leads}" if leads else "" if bind else "not there now",
    )


def variables(
    passed: tuple[Setting[str], ...], assigned: tuple[Setting[tuple[str, str]], ...], alone: tuple[str, ...]
) -> list[Grant]:
    """The variables by name or pattern, each with what is taken out of it again by what follows.

    alone: patterns of those that only their full name brings.
    """
    found = []
    for index, one in enumerate(passed):
        if one.value.startswith("!") or one.value in PASSED:
            continue
        out = (later.value[1:] for later in passed[index + 1 :] if later.value.startswith("!"))
        without = tuple(name for name in out if "*" in one.value + name or name == one.value)
        found.append(
            Grant(
                kind="variable",
                name=one.value,
                level="pass",
                without=tuple(sorted(without)),
                origin=one.origin,
                alone=matches(one.value, alone),
            )
        )
    found += [Grant(kind="variable", name=one.value[0], level="set", origin=one.origin) for one in assigned]
    return found


def settings(profile: Profile, host: Host, mounts: list[Mount]) -> list[Grant]:
    """What of the user's own settings acts by itself inside, and what of them reaches a secret."""
    where = {file.path: f"{host.user.home}/{file.path}" for file in host.settings.files}
    found = [
        Grant(kind=kind, name=name, origin=BUILTIN, detail=file.source)
        for file in host.settings.files
        if apart(where[file.path], profile, host)
        for kind, name in _brought(file)
    ]
    shown = dict(host.settings.shown)
    for mount in mounts:
        if isinstance(mount, Bind) and mount.sensitive and shown.get(mount.target) == mount.source:
            found.append(
                Grant(
                    kind="mount",
                    name=mount.target,
                    target=mount.target,
                    level="ro",
                    secret=mount.sensitive,
                    severity="danger",
                    origin=mount.why.origin,
                    detail=f"a link to {mount.source}",
                )
            )
    return found


def _brought(file: UserFile) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(file.brings))


# --- what was accepted ---------------------------------------------------------------------------


def row(grant: Grant) -> tuple[str, ...]:
    """A grant as it is kept when it was accepted."""
    return (grant.kind, grant.level, grant.secret, grant.name, grant.target, *grant.without)


def note_row(note: Note) -> tuple[str, ...]:
    """A weakening as it is kept when it was shown. A new one is said, and asks nothing: the machine made it."""
    return ("note", "", "", note.text, "")


def grown(grants: tuple[Grant, ...], accepted: tuple[tuple[str, ...], ...]) -> tuple[Grant, ...]:
    """The grants that go beyond what was accepted."""
    if not grants:
        return ()
    known = frozenset(accepted)
    return tuple(one for one in grants if row(one) not in known and not any(covers(old, one) for old in accepted))


def covers(old: tuple[str, ...], grant: Grant) -> bool:
    """Whether what was accepted is as much as a grant, or more."""
    if len(old) < 5:
        return False
    kind, level, secret, name, target, *without = old
    if (kind, name) == ("network", WIDE) and grant.kind in ("exception", "allow", "host port"):
        return True
    if kind == grant.kind == "variable" and level == grant.level == "pass" and "*" in name and "*" not in grant.name:
        return not grant.alone and matches(grant.name, (name,)) and not matches(grant.name, tuple(without))
    same = (kind, name, target) == (grant.kind, grant.name, grant.target)
    if kind == grant.kind == "allow" and not same:
        from claudebox.plan.network.listed import within

        same = within(grant.name, name)
    enough = MORE.get(level, -1) >= MORE[grant.level] and grant.secret in ("", secret)
    return same and enough and set(without) <= set(grant.without)
