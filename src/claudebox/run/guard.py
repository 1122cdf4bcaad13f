"""The guard: leads the sandbox's process group and kills it when the launcher's lifeline ends."""

from __future__ import annotations

import os
import select

from claudebox import process
from claudebox.record import NamedTuple
from claudebox.signals import signal

# Its input is the lifeline: the pid of the sandbox's first process, once there is one, and then the end.
# That process is named because an agent can trace it and have it leave the group.
SCRIPT = "trap '' TSTP TTIN TTOU; init=; while read -r pid; do init=$pid; done; kill -9 $init 0"


class Guard(NamedTuple):
    """pid: of the guard, and of the group that it leads; lifeline: the pipe's end that we alone hold."""

    pid: int
    lifeline: int


def start_guard(sh: str, *, hangup: bool = True) -> Guard:
    """Start the guard in a group of its own. Our death, or `leave`, is the end of file that it waits for.

    hangup: it keeps SIGHUP's default: a terminal that hangs up ends it, which is how the launcher learns of that.
    A stop of the terminal must not reach it: it would sleep through our death.
    """
    reader, writer = os.pipe()
    nothing = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    pid = process.spawn(
        [sh, "-c", SCRIPT],
        environment={},
        descriptors={0: reader, 1: nothing, 2: nothing},
        group=0,
        default_signals=[signal.SIGHUP] if hangup else [],
    )
    os.close(reader)
    os.close(nothing)
    return Guard(pid=pid, lifeline=writer)


def tell(guard: Guard, init: int) -> None:
    """Tell the guard the pid of the sandbox's first process. A guard that is gone is the launcher's to notice."""
    try:
        os.write(guard.lifeline, b"%d\n" % init)
    except BrokenPipeError:
        pass


def leave(guard: Guard, init_fd: int = -1) -> None:
    """End the guard and whatever is left of the group; returns when it is gone.

    init_fd: a pidfd of the sandbox's first process, or -1. It ends last: with it all of the sandbox is gone,
    and nothing writes any more to what is tidied up next.
    """
    try:
        os.killpg(guard.pid, signal.SIGKILL)  # by ourselves: somebody may have killed or stopped the guard
    except (ProcessLookupError, PermissionError):
        pass
    os.close(guard.lifeline)
    os.waitpid(guard.pid, 0)
    if init_fd >= 0:
        try:
            signal.pidfd_send_signal(init_fd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        ended = select.poll()
        ended.register(init_fd, select.POLLIN)
        ended.poll()
