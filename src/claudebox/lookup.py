"""The addresses that names have now, within bounded time: a resolver that does not answer must not hold a launch."""

from __future__ import annotations

import os
import select
import sys
import time

from claudebox import address, console, process
from claudebox.errors import ClaudeboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from claudebox.model import Prefix

LIMIT = 5.0  # seconds for all of them: what one server that is dead takes before the C library asks the next
QUIET = 0.5  # seconds until one is told what is waited for
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "addresses_of.py")


def addresses(names: Sequence[str]) -> tuple[tuple[str, tuple[Prefix, ...]], ...]:
    """Each name with its addresses; none where it cannot be resolved. Raises ClaudeboxError where nobody answers."""
    deadline = time.monotonic() + LIMIT
    started = process.start_capture([sys.executable, "-I", "-S", PROGRAM, *names], environment={})
    if not _ended(started.pid, QUIET):
        console.say(f"claudebox: looking up {', '.join(names)} for allow_lan, for at most {LIMIT:.0f} s")
    finished = process.finish_by(started, deadline)
    found = parsed(finished.output)
    for name in names:
        if name not in found:
            hint = f"write its address, or see what it takes: getent hosts {name}"
            raise ClaudeboxError(f"allow_lan: {name} was not resolved within {LIMIT:.0f} s", hint)
    return tuple((name, found[name]) for name in names)


def parsed(output: bytes) -> dict[str, tuple[Prefix, ...]]:
    """The lines of addresses_of.py; one that is cut off is none."""
    lines = output[: output.rfind(b"\n") + 1].decode(errors="replace").splitlines()
    rows = [line.split(" ") for line in lines]
    return {name: tuple(one for one in map(address.parse, found) if one) for name, *found in rows}


def _ended(pid: int, seconds: float) -> bool:
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    try:
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(ended)
