"""The bounds of a sandbox, set while the gate holds it: before the token, or nothing runs in it.

A cgroup of ours has two levels. The outer one has the limits, the inner one the processes: what an agent can mount
of the tree, in namespaces of its own, begins at the cgroup that it is in, so the limits are not there to be written.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import select
import struct

from claudebox.errors import ClaudeboxError
from claudebox.plan.limits import OPTIONAL
from claudebox.run.namespaces import LIBC, checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.model import Bounds
    from claudebox.run.processes import Sandbox

RLIMIT_CORE, RLIMIT_NPROC = 4, 6  # asm-generic/resource.h; the same on x86-64 and arm64
NO_CORE = 1  # smaller than any core file, and the one value at which the kernel starts no handler of crashes either
NAME, INNER = "claudebox-", "agent"


class Limits:
    """What was made of one session's bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.made: list[str] = []
        self.inner: list[int] = []  # descriptors of what takes a process into a cgroup of ours
        self.errors: list[OSError] = []
        self.moved = _thread.allocate_lock()
        self.init_fd = -1

    def begin(self, outer: int) -> None:
        """Make the cgroups while bwrap is at work, and move its outer process there. Raises ClaudeboxError.

        In a thread: the first move in a while waits 12 ms for an RCU grace period (cgroup_attach_lock), the next
        ones do not.
        """
        if self.bounds.cgroups:
            try:
                for parent in dict.fromkeys(one.parent for one in self.bounds.cgroups):
                    self._make(parent)
            except OSError as error:
                raise failure(error) from None
            self.moved.acquire()
            try:
                _thread.start_new_thread(self._move, (outer,))
            except RuntimeError:  # RLIMIT_NPROC of the host's: then it is waited for
                self._move(outer)

    def _make(self, parent: str) -> None:
        sweep(parent)
        place = f"{parent}/{NAME}{os.getpid()}"
        self.made.append(place)
        os.mkdir(place)
        os.mkdir(f"{place}/{INNER}")
        for one in self.bounds.cgroups:
            for name, value in one.settings if one.parent == parent else ():
                if name not in OPTIONAL or os.path.exists(f"{place}/{name}"):
                    write(f"{place}/{name}", value)
        self.inner.append(os.open(f"{place}/{INNER}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))

    def _move(self, *pids: int) -> None:
        try:
            for procs in self.inner:
                for pid in pids:
                    os.write(procs, str(pid).encode())
        except OSError as error:
            self.errors.append(error)
        self.moved.release()

    def set(self, sandbox: Sandbox) -> None:
        """Bound each process of the sandbox, pid 1 as well, which the agent can trace. Raises ClaudeboxError."""
        self.init_fd = sandbox.init_fd
        for pid in (sandbox.init, sandbox.agent):
            limit(pid, RLIMIT_CORE, NO_CORE)
            limit(pid, RLIMIT_NPROC, self.bounds.processes)

    def settle(self, sandbox: Sandbox) -> None:
        """All of it is in the cgroups, whatever was forked before bwrap was. Raises ClaudeboxError."""
        if self.bounds.cgroups:
            self.moved.acquire()
            self._move(sandbox.init, sandbox.agent)
            if self.errors:
                raise failure(self.errors[0])

    def leave(self) -> None:
        """Remove the cgroups, once pid 1, which ends last, has ended; it was told to."""
        if not self.made:
            return
        with self.moved:
            for procs in self.inner:
                os.close(procs)
        if self.init_fd >= 0:
            ended = select.poll()
            ended.register(self.init_fd, select.POLLIN)
            ended.poll(2000)
        for place in self.made:
            remove(place)


def failure(error: OSError) -> ClaudeboxError:
    """What is said when a cgroup could not be made or entered."""
    hint = "claudebox --dry-run says which limits there are"
    return ClaudeboxError(f"cannot limit the sandbox by a cgroup: {error}", hint)


def limit(pid: int, resource: int, most: int) -> None:
    """Set a limit of another process of ours, or leave the host's where that is lower. Raises ClaudeboxError."""
    before = ctypes.create_string_buffer(16)
    try:
        checked(LIBC.prlimit(pid, resource, None, before), "prlimit")
        most = min(most, struct.unpack("=QQ", before.raw)[1])
        checked(LIBC.prlimit(pid, resource, struct.pack("=QQ", most, most), None), "prlimit")
    except OSError as error:
        raise ClaudeboxError(f"cannot limit the sandbox: {error.strerror}", "try again") from None


def write(path: str, value: int) -> None:
    """Write a number to a file of the kernel's. Raises OSError."""
    with open(path, "w", encoding="ascii") as file:
        file.write(str(value))


def sweep(parent: str) -> None:
    """Remove the cgroups of launchers that were killed."""
    for name in os.listdir(parent):
        pid = name.removeprefix(NAME)
        if name.startswith(NAME) and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            remove(f"{parent}/{name}")


def remove(place: str) -> None:
    """Remove a cgroup of ours and what was made in it; one with a process in it stays."""
    for directory, names, _ in os.walk(place, topdown=False):
        for name in names:
            _rmdir(f"{directory}/{name}")
    _rmdir(place)


def _rmdir(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass  # the next launch here tries again
