"""The processes of a sandbox, from bwrap's start to the gate's ready byte."""

from __future__ import annotations

import os

from claudebox import descriptors, process
from claudebox.errors import ClaudeboxError
from claudebox.model import File, SandboxPlan
from claudebox.record import NamedTuple
from claudebox.render import bwrap
from claudebox.run import signals
from claudebox.run.guard import Guard, tell
from claudebox.signals import signal

GATE, READY, OPTIONS, STATUS = 3, 4, 5, 6  # the gate's shell takes one-digit descriptors only


class Started(NamedTuple):
    """bwrap as it was spawned: its pid and our ends of the pipes."""

    outer: int
    gate: int
    ready: int
    status: int


class Sandbox(NamedTuple):
    """The processes of a running sandbox. outer: the bwrap that we spawned; init: its child, pid 1 inside;
    init_fd: a pidfd of it; agent: its child, which the gate becomes; agent_fd: a pidfd of that."""

    outer: int
    init: int
    agent: int
    init_fd: int
    agent_fd: int
    guard: Guard


class Given:
    """The descriptors that bwrap gets, by the names that its options have for them."""

    def __init__(self, plan: SandboxPlan, pins: dict[str, int]) -> None:
        self.fds = {**pins, "seccomp": descriptors.memory_file("seccomp", plan.isolation.seccomp)}
        for mount in plan.mounts:
            if isinstance(mount, File):
                self.fds[mount.target] = descriptors.memory_file("file", mount.content)
        self.pinned = frozenset(pins.values())
        self.handed: set[str] = set()

    def number(self, name: str) -> str:
        """The number of one; each time another one, because bwrap closes each that it has read or bound."""
        if name in ("options", "status"):
            return str(OPTIONS if name == "options" else STATUS)
        fd = -1 if name == "empty" else self.fds[name]
        if name in self.handed or name == "empty":
            again = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) if name == "empty" else os.dup(fd)
            self.fds[f"{name} {len(self.fds)}"] = fd = descriptors.high(again)
        self.handed.add(name)
        return str(fd)

    def close(self) -> None:
        """Close what was made for bwrap; the pinned sources are needed later."""
        for fd in set(self.fds.values()) - self.pinned:
            os.close(fd)


def start_bwrap(plan: SandboxPlan, pins: dict[str, int], watch: Guard, *, errors: int = 2) -> Started:
    """Spawn bwrap with an already clean environment and exactly the descriptors that it needs.

    pins: source → descriptor; errors: where its words and the sandbox's go. Raises ClaudeboxError.
    """
    given = Given(plan, pins)
    options = bwrap.options(plan, given.number, secrets=True)
    used = {int(argument) for argument in options if argument.isdigit()}
    encoded = b"".join(option.encode(errors="surrogateescape") + b"\0" for option in options)
    (gate_r, gate_w), (ready_r, ready_w), (status_r, status_w) = os.pipe(), os.pipe(), os.pipe()
    theirs = dict(zip((GATE, READY, STATUS), map(descriptors.high, (gate_r, ready_w, status_w)), strict=True))
    theirs[OPTIONS] = descriptors.memory_file("options", encoded)
    fixed = tuple(theirs.values())
    theirs |= {fd: fd for fd in given.fds.values() if fd in used}
    theirs |= {2: errors} if errors != 2 else {}
    outer = spawn(plan, bwrap.command(plan, given.number), theirs, watch)
    for fd in fixed:
        os.close(fd)
    given.close()
    return Started(outer=outer, gate=gate_w, ready=ready_r, status=status_r)


def spawn(plan: SandboxPlan, argv: list[str], theirs: dict[int, int], watch: Guard) -> int:
    """Spawn bwrap into the guard's group, in Landlock's scopes where the plan has them; its pid."""

    def now() -> int:
        usual = [signal.SIGPIPE, signal.SIGXFSZ]
        return process.spawn(argv, environment={}, descriptors=theirs, group=watch.pid, default_signals=usual)

    if plan.isolation.landlock_scopes:
        from claudebox.run.landlock import start_scoped

        return start_scoped(now)
    return now()


def still_there(outer: int, watch: Guard) -> None:
    """Raises ClaudeboxError when bwrap or the guard has ended before the command could run."""
    if os.waitid(os.P_PID, watch.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        raise ClaudeboxError("the sandbox's guard was killed", "try again")
    if os.waitid(os.P_PID, outer, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        raise ClaudeboxError("bubblewrap could not set up the sandbox", "its own words stand above")


def wait_ready(start: Started, watch: Guard, arrivals: signals.Arrivals | None = None) -> Sandbox:
    """The processes of the sandbox, once the gate said that it is there. Raises ClaudeboxError, or Arrived."""
    signals.wait(start.ready, None, arrivals)
    ready = os.read(start.ready, 1)
    os.close(start.ready)
    init = child_pid(os.read(start.status, 4096)) if ready else 0
    if not init:
        os.waitpid(start.outer, 0)
        raise ClaudeboxError("bubblewrap could not set up the sandbox", "its own words stand above")
    try:
        init_fd = os.pidfd_open(init)
        if init not in children(start.outer):  # it has ended, and the number is somebody else's
            os.close(init_fd)
            raise ProcessLookupError
        agent = children(init)[0]
        agent_fd = os.pidfd_open(agent)
    except (OSError, IndexError):
        raise ClaudeboxError("the sandbox ended while it was set up", "try again") from None
    tell(watch, init)
    return Sandbox(outer=start.outer, init=init, agent=agent, init_fd=init_fd, agent_fd=agent_fd, guard=watch)


def child_pid(status: bytes) -> int:
    """The pid of bwrap's child out of its first status document; 0 when it is not there."""
    _, found, rest = status.partition(b'"child-pid": ')
    digits = rest.split(b",")[0].split(b"\n")[0].strip(b" }")
    return int(digits) if found and digits.isdigit() else 0


def children(parent: int) -> list[int]:
    """The children of a process; by a scan where the kernel has no CONFIG_PROC_CHILDREN."""
    try:
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        pass
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(name))
    return found
