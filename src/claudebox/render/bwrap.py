"""The plan → bwrap's arguments. Launch, dry run and JSON all take them from here.

Descriptors exist only at run time: a caller gives `descriptor`, which turns the name of one into its
number; without it the names stand there as `<fd:NAME>`.
"""

from __future__ import annotations

from claudebox.model import Bind, Dev, Directory, File, Mount, Proc, SandboxPlan, Symlink, Tmpfs, is_late
from claudebox.record import assert_never

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Descriptor = Callable[[str], str]

# Says that it is there, waits for a word (an end of file is none), and starts the command only where it
# should: bwrap itself starts in /, because a working directory at or below a late mount would bypass it.
GATE = (
    "echo >&4; IFS= read -r token <&3 || exit 125; "
    '[ "$token" = go ] || exit 125; cd -P -- "$1" || exit 125; '
    'shift; unset token OLDPWD; exec "$@" 3<&- 4>&-'
)


def placeholder(name: str) -> str:
    """What stands for a descriptor that exists only at run time."""
    return f"<fd:{name}>"


def command(plan: SandboxPlan, descriptor: Descriptor = placeholder) -> list[str]:
    """The whole command line of bwrap: its options come through a descriptor, so that no value is in `ps`."""
    return [
        plan.tools.bwrap,
        "--args",
        descriptor("options"),
        "--",
        plan.tools.env,
        "--default-signal=INT,QUIT,HUP,TERM",
        plan.tools.sh,
        "-c",
        GATE,
        "sh",
        plan.directory,
        *plan.command,
    ]


def options(plan: SandboxPlan, descriptor: Descriptor = placeholder, *, secrets: bool = False) -> list[str]:
    """bwrap's options, one after the other. secrets: with the values of secret variables."""
    return [word for row in rows(plan, descriptor, secrets=secrets) for word in row]


def rows(plan: SandboxPlan, descriptor: Descriptor = placeholder, *, secrets: bool = False) -> list[list[str]]:
    """The same, each option with its values a row of its own."""
    made = [*isolation(plan), ["--seccomp", descriptor("seccomp")], ["--json-status-fd", descriptor("status")]]
    # Parents before children: the last mount wins. What is read-only as a whole becomes so at the end.
    for mount in plan.mounts:
        if not is_late(mount) and not (isinstance(mount, Bind) and mount.submount):
            made += mount_rows(mount, descriptor)
    for stage in plan.stages:
        made.append(["--ro-bind", stage.source, stage.path])
    for mount in plan.mounts:
        if isinstance(mount, Bind) and mount.point:
            made.append(_point(mount, descriptor))
        elif isinstance(mount, Bind) and mount.stage:
            made.append(_bind(mount, mount.stage, descriptor))
    made += remounts([m for m in plan.mounts if not is_late(m)])
    for variable in plan.environment:
        shown = variable.value if secrets or not variable.secret else "***"
        made.append(["--setenv", variable.name, shown])
    made.append(["--chdir", "/"])
    return made


def isolation(plan: SandboxPlan) -> list[list[str]]:
    """Namespaces, capabilities, and that nothing outlives the launcher."""
    made = [[f"--unshare-{name}"] for name in plan.isolation.namespaces]
    made += [["--die-with-parent"], ["--cap-drop", "ALL"]]
    return made if plan.isolation.nested_userns else [*made, ["--disable-userns"]]


def remounts(mounts: list[Mount]) -> list[list[str]]:
    """What is read-only as a whole, once everything in it stands: children before parents."""
    made = [["--remount-ro", "/dev"]]
    for mount in reversed(mounts):
        if isinstance(mount, Tmpfs) and mount.access == "ro":
            made.append(["--remount-ro", mount.target])
    return made


def mount_rows(mount: Mount, descriptor: Descriptor) -> list[list[str]]:
    """One mount as bwrap makes it; modes and sizes are options of their own, before it."""
    match mount:
        case Bind():
            return [_bind(mount, mount.target, descriptor)]
        case Tmpfs(target="/"):
            return []  # bwrap's own root is one
        case Tmpfs():
            size = [["--size", str(mount.size)]] if mount.size else []
            return [["--perms", f"{mount.mode:04o}"], *size, ["--tmpfs", mount.target]]
        case Proc():
            return [["--proc", mount.target]]
        case Dev():
            return [["--dev", mount.target]]
        case Directory():
            return [["--perms", f"{mount.mode:04o}"], ["--dir", mount.target]]
        case Symlink():
            return [["--symlink", mount.to, mount.target]]
        case File():
            return [["--perms", f"{mount.mode:04o}"], ["--file", descriptor(mount.target), mount.target]]
        case _:
            assert_never(mount)


def _point(bind: Bind, descriptor: Descriptor) -> list[str]:
    """The empty thing that a clone will be mounted on."""
    return ["--dir", bind.target] if bind.point == "directory" else ["--file", descriptor("empty"), bind.target]


def _bind(bind: Bind, target: str, descriptor: Descriptor) -> list[str]:
    """By name where only root can write on the way, else from the descriptor that was pinned at the survey."""
    option = "bind" if bind.access == "rw" else "ro-bind"
    return [f"--{option}-fd", descriptor(bind.source), target] if bind.pinned else [f"--{option}", bind.source, target]
