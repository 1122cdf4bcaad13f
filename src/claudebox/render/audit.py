"""The plan → what a person reads before it runs: every grant with its reason and origin."""

from __future__ import annotations

from claudebox.model import Bind, Package, SandboxPlan, SettingsFile, SettingsTree, Symlink, Tmpfs
from claudebox.render import network
from claudebox.text import printable


def login(plan: SandboxPlan) -> str:
    """Which login the sandbox gets, in a line."""
    if plan.login is None:
        return "none but what the environment below has"
    return f"{printable(plan.login.why.reason)} ({plan.login.why.origin})"


def text(plan: SandboxPlan) -> str:
    """The whole plan in lines: tier, mounts, variables (secrets masked), notes."""
    lines = [
        f"project    {printable(plan.project)}",
        f"directory  {printable(plan.directory)}",
        f"command    {printable(' '.join(plan.command))}",
        f"instance   {plan.instance.id}",
        *network.lines(plan.network),
        f"login      {login(plan)}",
        f"isolation  {', '.join(plan.isolation.namespaces)} namespaces; seccomp; no capability",
        "",
        "mounts (those marked late are made through descriptors, after bwrap is up)",
    ]
    for mount in plan.mounts:
        access = mount.access if isinstance(mount, Bind | Tmpfs) else "ro"
        source = f" <- {printable(mount.source)}" if isinstance(mount, Bind) and mount.source != mount.target else ""
        if isinstance(mount, Symlink):
            source = f" -> {printable(mount.to)}"
        late = " late" if isinstance(mount, Bind | Tmpfs) and mount.late else ""
        secret = f"  !! {mount.sensitive}" if isinstance(mount, Bind) and mount.sensitive else ""
        kind = type(mount).__name__.lower()
        what = f"  {access} {kind:9}{late:5} {printable(mount.target)}{source}"
        lines.append(f"{what}  ({printable(mount.why.reason)}; {printable(str(mount.why.origin))}){secret}")
    lines += ["", "environment"]
    for variable in plan.environment:
        value = "***" if variable.secret else printable(variable.value)
        why = f"({printable(variable.why.reason)}; {printable(str(variable.why.origin))})"
        lines.append(f"  {printable(variable.name)}={value}  {why}")
    if plan.packages:
        lines += ["", "nix packages, first on PATH"]
        lines += [package(one) for one in plan.packages]
    if plan.stubs:
        lines += ["", "made on the host for the time of the session"]
        lines += [f"  {printable(stub.path)}  ({printable(stub.why.reason)})" for stub in plan.stubs]
    if plan.home_files or plan.settings:
        lines += ["", "written into the instance's home"]
        lines += [f"  where missing  ~/{printable(file.path)}  ({file.why.reason})" for file in plan.home_files]
        lines += [setting(one) for one in plan.settings]
    if plan.notes:
        lines += ["", "notes"]
        lines += [f"  {note.severity}: {printable(note.text)}" for note in plan.notes]
    return "\n".join(lines) + "\n"


def package(one: Package) -> str:
    """One line on a package: what of it is on PATH."""
    where = "not realised yet" if one.paths is None else ", ".join(one.paths) or "nothing of it is on PATH"
    return (
        f"  {printable(one.name)}  {printable(where)}  ({printable(one.why.reason)}; {printable(str(one.why.origin))})"
    )


def setting(one: SettingsFile | SettingsTree) -> str:
    """One line on what of the user's settings is copied."""
    if isinstance(one, SettingsTree):
        when, now = "once", "; it was, in an earlier launch" if one.done else ""
    else:
        when, now = "merged", "; unchanged since the last copy" if one.text is None else ""
    source = f" <- {printable(one.source)}" if one.source else ""
    return f"  {when:13}  ~/{printable(one.path)}{source}  ({printable(one.why.reason)}{now})"
