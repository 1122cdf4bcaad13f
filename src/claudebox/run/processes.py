"""The processes of a sandbox, from bwrap's start to the gate's ready byte."""

from __future__ import annotations

import os

from claudebox.errors import ClaudeboxError
from claudebox.record import NamedTuple
from claudebox.run import signals
from claudebox.run.guard import Guard, tell


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
