"""Late mounts: made through descriptors once bwrap is up, then the sandbox's mountinfo against the plan."""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.model import Bind, Dev, Mount, Proc, SandboxPlan, Tmpfs, is_late
from claudebox.mountinfo import Entry, read
from claudebox.run import signals
from claudebox.run.namespaces import CLONE_NEWNS, LIBC, Waiting, answered, checked, fork_waiting, kill, tell
from claudebox.run.points import holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, MOUNT_SETATTR = 428, 429, 430, 431, 432, 442
CLONE, RECURSIVE, EMPTY_PATH, CLOEXEC = 1, 0x8000, 0x1000, os.O_CLOEXEC
FROM_EMPTY, TO_EMPTY = 0x04, 0x40
READ_ONLY, NO_SUID, NO_DEV = 1, 2, 4
DETACH = 2
STAGING = "/run/s"
LIMIT = 10.0  # seconds that putting back may take: a mount point on a dead file system never answers


def waiting(
    plan: SandboxPlan, group: int, then: Callable[[], None] | None = None, keep: tuple[int, ...] = ()
) -> Waiting:
    """A fork in the sandbox's group that will make every late mount, when `enter` names the sandbox.

    then: what it does there afterwards; keep: the descriptors that it needs for that.
    """
    late = [m for m in plan.mounts if is_late(m) and not (isinstance(m, Bind) and m.submount)]

    def make() -> None:
        _make(plan, late)
        if then:
            then()

    return fork_waiting(group, CLONE_NEWNS, [make], keep=keep)


def enter(
    waiting: Waiting, pid: int, arrivals: signals.Arrivals | None = None, *, seconds: float | None = None
) -> None:
    """Have it done in the sandbox of pid, at most for so long. Raises ClaudeboxError with what the fork said, or
    Arrived."""
    tell(waiting, f"/proc/{pid}/ns/mnt")
    try:
        if not signals.wait(waiting.answer, seconds, arrivals):
            raise ClaudeboxError("the sandbox's mounts could not be made in time", "a file system may hang")
        answered(waiting, "the sandbox's mounts could not be made", "a link may have been planted there")
    finally:
        kill(waiting)


def _make(plan: SandboxPlan, late: list[Mount]) -> None:
    os.chdir("/")
    os.umask(0o022)
    _clone([mount for mount in late if isinstance(mount, Bind) and mount.point])
    for mount in late:
        match mount:
            case Tmpfs():
                _attach(_tmpfs(), _point(plan, mount, directory=True))
            case Bind(inside=True):
                _over_itself(mount, _point(plan, mount, directory=True))
            case Bind(point="file" | "directory"):
                pass
            case Bind():
                source = _walk(mount.stage)
                _attach(source, _point(plan, mount, directory=stat.S_ISDIR(os.fstat(source).st_mode)))
    for mount in late:
        if isinstance(mount, Tmpfs) and mount.access == "ro":
            _attributes(_walk(mount.target), READ_ONLY, recursive=False)  # not what is mounted in it
    _clear_staging(plan)


def _clone(mounts: list[Bind]) -> None:
    """What lies in a stage, to where it belongs; read-only as the stage is. No agent has been here: the directories
    that hold the names are walked to once, which saves thirty mounts half of their time."""
    holders: dict[str, int] = {}

    def at(path: str) -> int:
        holder, _, name = path.rpartition("/")
        if holder not in holders:
            holders[holder] = _walk(holder)
        return descriptors.walk(holders[holder], [name])

    for mount in mounts:
        _attach(_open_tree(at(mount.stage), CLONE | RECURSIVE), at(mount.target))


def _over_itself(mount: Bind, point: int) -> None:
    tree = _open_tree(_walk(mount.source), CLONE | RECURSIVE)
    _attributes(tree, READ_ONLY if mount.access == "ro" else 0)
    _attach(tree, point)


def clone(target: str) -> int:
    """A detached clone of what is mounted at target, with all below it."""
    return _open_tree(_walk(target), CLONE | RECURSIVE)


def attach_again(tree: int, target: str, *, directory: bool) -> None:
    """Mount a clone at target, whose last name is made where it is missing. In a fork; raises OSError."""
    holder, _, name = target.rpartition("/")
    above = _walk(holder)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=above)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=above))
    except FileExistsError:
        pass
    _attach(tree, descriptors.walk(above, [name]))


def masking(masks: list[Bind], group: int) -> Waiting:
    """A fork that will make masks again, parents first, when `enter` names the sandbox.

    One whose name is missing is left out, and one that is being renamed over: the kernel detaches the mount before
    the new file has the name (vfs_rename, fs/namei.c), and refuses to mount on the old one.
    """

    def again() -> None:
        os.chdir("/")
        for mask in masks:
            try:
                _over_itself(mask, _walk(mask.target))
            except FileNotFoundError:
                continue

    return fork_waiting(group, CLONE_NEWNS, [again])


def _walk(path: str) -> int:
    return descriptors.walk(None, descriptors.parts(path))


def _clear_staging(plan: SandboxPlan) -> None:
    for stage in plan.stages:
        checked(LIBC.umount2(stage.path.encode(), DETACH), "umount2")
    if os.path.isdir(STAGING):
        for name in os.listdir(STAGING):
            path = f"{STAGING}/{name}"
            os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        os.rmdir(STAGING)


def _point(plan: SandboxPlan, mount: Mount, *, directory: bool) -> int:
    """A descriptor of the mount point; in a tmpfs of the sandbox's own it is made first."""
    on = holder(plan, mount)
    if isinstance(on, Tmpfs) and on.late:
        here = _walk(on.target)
        missing = descriptors.parts(mount.target[len(on.target) :])
        for name in missing[: None if directory else -1]:
            here = descriptors.make_directory(here, name, 0o755)
        if not directory:
            os.close(os.open(missing[-1], os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=here))
    return _walk(mount.target)


def _open_tree(source: int, flags: int) -> int:
    result = LIBC.syscall(OPEN_TREE, source, b"", ctypes.c_uint(flags | EMPTY_PATH | CLOEXEC))
    return checked(result, "open_tree")


def _attributes(tree: int, flags: int, *, recursive: bool = True) -> None:
    attributes = struct.pack("=QQQQ", flags | NO_SUID | NO_DEV, 0, 0, 0)
    flag = ctypes.c_uint(EMPTY_PATH | (RECURSIVE if recursive else 0))
    checked(LIBC.syscall(MOUNT_SETATTR, tree, b"", flag, attributes, ctypes.c_size_t(32)), "mount_setattr")


def _attach(tree: int, point: int) -> None:
    checked(LIBC.syscall(MOVE_MOUNT, tree, b"", point, b"", ctypes.c_uint(FROM_EMPTY | TO_EMPTY)), "move_mount")


def _tmpfs() -> int:
    context = checked(LIBC.syscall(FSOPEN, b"tmpfs", ctypes.c_uint(1)), "fsopen")
    for key, value in ((b"mode", b"755"), (b"size", b"1m")):
        checked(LIBC.syscall(FSCONFIG, context, ctypes.c_uint(1), key, value, ctypes.c_int(0)), "fsconfig")
    checked(LIBC.syscall(FSCONFIG, context, ctypes.c_uint(6), None, None, ctypes.c_int(0)), "fsconfig")
    return checked(LIBC.syscall(FSMOUNT, context, ctypes.c_uint(1), ctypes.c_uint(NO_SUID | NO_DEV)), "fsmount")


# --- the sandbox's mountinfo against the plan ------------------------------------------------------


def differences(plan: SandboxPlan, entries: list[Entry], roots: dict[str, tuple[str, str]]) -> list[str]:
    """What the kernel shows and the plan does not say, or the other way round. roots: source → device, root."""
    expected: dict[str, tuple[str, str, str]] = {}
    for mount in plan.mounts:
        if isinstance(mount, Bind):
            device, root = roots.get(mount.source, ("", ""))
            expected[mount.target] = (mount.access, device, root)
        elif isinstance(mount, Tmpfs):
            # bwrap's own root is a directory of its tmpfs, "/newroot"
            expected[mount.target] = (mount.access, "", "" if mount.target == "/" else "/")
        elif isinstance(mount, Proc):
            expected[mount.target] = ("rw", "", "/")
        elif isinstance(mount, Dev):
            expected["/dev"] = ("ro", "", "/")
    wrong = []
    seen = set()
    for entry in entries:
        if entry.target not in expected and _of_bwrap(entry):
            continue
        seen.add(entry.target)
        if entry.target not in expected:
            wrong.append(f"{entry.target} is mounted, not planned")
            continue
        access, device, root = expected[entry.target]
        if (access == "ro") != entry.read_only:
            wrong.append(f"{entry.target} is {'read-only' if entry.read_only else 'writable'}")
        if root and entry.root != root:
            wrong.append(f"{entry.target} shows {entry.root}, not {root}")
        if device and entry.device != device:
            wrong.append(f"{entry.target} is of another file system")
    return wrong + [f"{target} is not mounted" for target in expected if target not in seen]


def detached(plan: SandboxPlan, entries: list[Entry]) -> list[str]:
    """The mount points of the plan that have no mount, or have lost their protection."""
    standing = {entry.target: entry.read_only for entry in entries}
    planned = [mount for mount in plan.mounts if isinstance(mount, Bind | Tmpfs)]
    return [m.target for m in planned if standing.get(m.target) is not (m.access == "ro")]


def _of_bwrap(entry: Entry) -> bool:
    """Whether a mount is one that bwrap makes itself: its device files, and what of /proc uid 0 could write."""
    covered = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
    return entry.target.startswith("/dev/") or (entry.read_only and entry.target in covered)


def roots_of(plan: SandboxPlan, pins: dict[str, int]) -> dict[str, tuple[str, str]]:
    """Device and root, as mountinfo will say them, of every pinned source and of what lies in one."""
    host = dict(_by_id())
    roots: dict[str, tuple[str, str]] = {}
    for source, fd in pins.items():
        entry = host.get(_mount_id(fd))
        if entry is None:
            continue
        path = os.readlink(f"/proc/self/fd/{fd}")
        relative = path[len(entry.target.rstrip("/")) :]
        roots[source] = (entry.device, entry.root.rstrip("/") + relative or "/")
    for mount in plan.mounts:
        if (
            isinstance(mount, Bind)
            and mount.inside
            and not mount.covers
            and isinstance(on := holder(plan, mount), Bind)
        ):
            device, root = roots.get(on.source, ("", ""))
            if root:
                roots[mount.source] = (device, root.rstrip("/") + mount.source[len(on.target) :])
    return roots


def _by_id() -> list[tuple[int, Entry]]:
    with open("/proc/self/mountinfo", "rb") as file:
        numbers = [int(line.split(b" ", 1)[0]) for line in file.read().split(b"\n")[:-1]]
    return list(zip(numbers, read("/proc/self/mountinfo"), strict=True))


def _mount_id(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("mnt_id:")), -1)


def verify(plan: SandboxPlan, pid: int, roots: dict[str, tuple[str, str]]) -> None:
    """Compare the sandbox's mounts with the plan. Raises ClaudeboxError: then nothing runs in it."""
    wrong = differences(plan, read(f"/proc/{pid}/mountinfo"), roots)
    if wrong:
        raise ClaudeboxError(f"the sandbox is not what was planned: {'; '.join(wrong)}", "nothing was started in it")
