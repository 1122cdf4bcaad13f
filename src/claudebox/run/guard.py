"""The guard: leads the sandbox's process group and kills it when the launcher's lifeline ends."""

from __future__ import annotations

import os

from claudebox import process
from claudebox.record import NamedTuple
from claudebox.signals import signal


class Guard(NamedTuple):
    """pid: of the guard, and of the group that it leads; lifeline: the pipe's end that we alone hold."""

    pid: int
    lifeline: int


def start_guard(sh: str, *, hangup: bool = True) -> Guard:
    """Start the guard in a group of its own. Our death, or `leave`, is the end of file that it waits for.

    hangup: it keeps SIGHUP's default: a terminal that hangs up ends it, which is how the launcher learns of that.
    """
    reader, writer = os.pipe()
    nothing = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    pid = process.spawn(
        [sh, "-c", "read -r x; kill -9 0"],
        environment={},
        descriptors={0: reader, 1: nothing, 2: nothing},
        group=0,
        default_signals=[signal.SIGHUP] if hangup else [],
    )
    os.close(reader)
    os.close(nothing)
    return Guard(pid=pid, lifeline=writer)


def leave(guard: Guard) -> None:
    """End the guard and with it whatever is left of the group; returns when it is gone."""
    os.close(guard.lifeline)
    try:
        os.waitpid(guard.pid, 0)
    except ChildProcessError:
        pass  # it was reaped when the terminal hung up
