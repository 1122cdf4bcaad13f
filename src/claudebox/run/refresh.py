"""Having the user's own client refresh its login on the host: one at a time over all launchers of the user.

The one process that outlives a launcher: killed before its answer is saved, it would lose the login.
"""

from __future__ import annotations

import fcntl
import os

from claudebox import descriptors, process
from claudebox.model import Login
from claudebox.plan.login import LOCK as HELD
from claudebox.record import NamedTuple
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LOCK = "refresh.lock"
PREFIX = "client."  # of the refresher's empty directories
USUAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)


class Refresher(NamedTuple):
    """A refresher at work. ended: a pidfd of it; directory: of its empty directories, in `auth`."""

    pid: int
    ended: int
    directory: str


def open_auth(ours: str) -> int:
    """A descriptor of claudebox's directory for the broker's lock and state. Raises OSError."""
    top = descriptors.walk(None, descriptors.parts(ours))
    try:
        return descriptors.high(descriptors.make_directory(top, "auth"))
    finally:
        os.close(top)


def start(login: Login, ours: str, still: Callable[[], bool]) -> Refresher | None:
    """Start a refresher; None when one is at work already, or when, with the lock held, it is needed no more.

    still: asked with the lock held, because another launcher's may have ended just now. Raises OSError and
    ClaudeboxError.
    """
    auth = open_auth(ours)
    try:
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=auth)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _spawn(login, ours, auth, lock) if still() else None
        except BlockingIOError:
            return None
        finally:
            os.close(lock)  # the refresher has it
    finally:
        os.close(auth)


def _spawn(login: Login, ours: str, auth: int, lock: int) -> Refresher:
    for name in os.listdir(auth):
        if name.startswith(PREFIX):  # of a launcher that was killed: no refresher is at work
            clean(ours, name)
    directory = f"{PREFIX}{os.getpid()}"
    places = {"<config>": f"{ours}/auth/{directory}/config", "<empty>": f"{ours}/auth/{directory}/empty"}
    os.close(descriptors.make_directory(auth, directory))
    for place in places.values():
        os.mkdir(place, 0o700)
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = process.spawn(
            [places.get(word, word) for word in login.refresher],
            environment={v.name: places.get(v.value, v.value) for v in login.environment},
            descriptors={0: nothing, 1: nothing, 2: nothing, HELD: lock},
            default_signals=USUAL,
            session=True,
        )
    finally:
        os.close(nothing)
    return Refresher(pid=pid, ended=descriptors.high(os.pidfd_open(pid)), directory=directory)


def collect(found: Refresher, ours: str) -> None:
    """Reap a refresher that has ended, and remove its directories."""
    os.close(found.ended)
    os.waitpid(found.pid, 0)
    clean(ours, found.directory)


def clean(ours: str, name: str) -> None:
    """Remove the directories of a refresher."""
    import shutil

    shutil.rmtree(f"{ours}/auth/{name}", ignore_errors=True)
