"""A detached clone of each mount whose mount point lies in the home or the project, to put it back from.

Sessions of one project share the home. A mount point there that only one of them uses is an ordinary directory to
the others; when one removes it, the kernel detaches what is mounted on it, in all namespaces. What was below the
mount comes along in the clone. A mount that is put back leaves another clone, for the next time.
"""

from __future__ import annotations

import _socket
import os
import struct

from claudebox import descriptors
from claudebox.model import Bind, SandboxPlan, Tmpfs, is_late
from claudebox.run import mounts
from claudebox.run.namespaces import CLONE_NEWNS, fork_waiting
from claudebox.run.points import holder

SOL_SOCKET, SCM_RIGHTS = _socket.SOL_SOCKET, 1
Spares = dict[str, int]  # mount point → the descriptor of its clone


def pair() -> tuple[int, int]:
    """A pair of connected sockets: our end, and that of a fork."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    return descriptors.high(ours.detach()), descriptors.high(theirs.detach())


def close(*ends: int) -> None:
    """Close both ends."""
    for end in ends:
        os.close(end)


def kept(plan: SandboxPlan) -> tuple[str, ...]:
    """The mount points that get a clone."""
    found = []
    for mount in plan.mounts:
        if not is_late(mount) or (isinstance(mount, Bind) and (mount.inside or mount.point or mount.submount)):
            continue
        on = holder(plan, mount)
        if isinstance(on, Bind) and on.target in (plan.home, plan.project):
            found.append(mount.target)
    return tuple(found)


def send(end: int, targets: tuple[str, ...]) -> None:
    """In a fork that is in the sandbox: clone what is mounted there, and hand the clones over."""
    if targets:
        clones = [mounts.clone(target) for target in targets]
        rights = (SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(clones)}i", *clones))
        socket = _socket.socket(fileno=os.dup(end))
        try:
            socket.sendmsg([b"."], [rights])
        finally:
            socket.close()


def receive(end: int, targets: tuple[str, ...]) -> Spares:
    """The clones that `send` handed over; each at a high number. Raises OSError where they are missing."""
    if not targets:
        return {}
    socket = _socket.socket(fileno=os.dup(end))
    try:
        _, rights, _, _ = socket.recvmsg(1, _socket.CMSG_SPACE(4 * len(targets)), _socket.MSG_CMSG_CLOEXEC)
    finally:
        socket.close()
    data = b"".join(content for _, kind, content in rights if kind == SCM_RIGHTS)
    numbers = struct.unpack(f"{len(data) // 4}i", data)
    if len(numbers) != len(targets):
        raise OSError(9, "the mounts' clones did not arrive")
    return {target: descriptors.high(number) for target, number in zip(targets, numbers, strict=True)}


def put_back(plan: SandboxPlan, gone: list[str], spares: Spares, group: int, init: int) -> None:
    """Mount clones again where their mount points were, made anew where they are missing. Raises ClaudeboxError."""
    targets = tuple(sorted(gone, key=lambda path: path.count("/")))
    directories = {target for target in targets if _is_directory(plan, target)}  # sources are not in sight inside
    ours, theirs = pair()

    def again() -> None:
        os.chdir("/")
        os.umask(0o022)
        for target in targets:
            mounts.attach_again(spares[target], target, directory=target in directories)
        send(theirs, targets)

    kept_open = (theirs, *(spares[target] for target in targets))
    try:
        mounts.enter(fork_waiting(group, CLONE_NEWNS, [again], keep=kept_open), init, seconds=mounts.LIMIT)
        for target in targets:
            os.close(spares.pop(target))
        spares |= receive(ours, targets)
    finally:
        close(ours, theirs)


def _is_directory(plan: SandboxPlan, target: str) -> bool:
    mount = next(m for m in plan.mounts if m.target == target and is_late(m))
    return isinstance(mount, Tmpfs) or (isinstance(mount, Bind) and os.path.isdir(mount.source))
