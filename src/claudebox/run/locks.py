"""Who works where: one flock per working tree, one per repository that all its sessions share.

A flock is held by a descriptor, so that a kill frees it and nothing goes stale. Who holds the repository's lock
alone is the only session: it may sweep what others left. Changing a flock from shared to exclusive lets go of it
first (flock(2)), so all of that happens under a third one, for milliseconds.
"""

from __future__ import annotations

import fcntl
import os

from claudebox import descriptors
from claudebox.digest import sha256
from claudebox.errors import ClaudeboxError
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SHARED, ALONE, NOW = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_NB


class Held(NamedTuple):
    """The locks of a session, by descriptor. tree: -1 where --force joined another session in it."""

    tree: int
    repository: int
    brief: int


def join(here: int, directory: str, tree: str, *, force: bool, sweep: Callable[[int], None]) -> Held:
    """Take part in a project; where no other session of it lives, sweep what killed ones left.

    here: the instance's directory, which lies at directory; tree: the working tree. Raises ClaudeboxError when
    another session works in that tree (unless force), or the instance is being changed.
    """
    name = f"tree-{sha256(os.fsencode(tree)).hexdigest()[:16]}"
    own = _take(here, name, ALONE)
    if own < 0 and not force:
        raise tree_taken(here, name)
    if own >= 0:
        os.ftruncate(own, 0)
        os.pwrite(own, f"{os.getpid()}\n".encode(), 0)
    held = Held(tree=own, repository=_open(here, "repository"), brief=_open(here, "brief"))
    with Brief(held.brief):
        if last(held.repository):
            sweep(here)
        if not _locked(held.repository, SHARED) or not descriptors.same(here, directory):
            raise ClaudeboxError(f"{directory} is being removed or moved by another claudebox", "try again")
    return held


def last(repository: int) -> bool:
    """Whether no other session of the repository lives. Called under `Brief`; the lock is exclusive then, or lost."""
    return _locked(repository, ALONE)


def exclusive(here: int) -> int:
    """The repository's lock, alone: to change or remove the instance. -1 while a session lives."""
    return _take(here, "repository", ALONE)


def leave(held: Held) -> None:
    """Let go of all of them."""
    for descriptor in held:
        if descriptor >= 0:
            os.close(descriptor)


class Brief:
    """The lock under which the sessions of a repository start, sweep and leave, one at a time."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __enter__(self) -> None:
        fcntl.flock(self.descriptor, ALONE)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)


def tree_taken(here: int, name: str) -> ClaudeboxError:
    """Who works in this tree, and the ways on."""
    from claudebox.run import session

    file = _open(here, name)
    pid = os.pread(file, 64, 0).decode(errors="replace").strip()
    os.close(file)
    found = {str(one.pid): one for one in session.live(here)}.get(pid)
    who = f"pid {pid or 'unknown'}" if found is None else session.described(found)
    end = f"claudebox stop {pid}" if pid else "claudebox stop"
    return ClaudeboxError(
        f"another session works in this tree ({who})", f"{end}; or git worktree add, for a tree of its own; or --force"
    )


def _open(here: int, name: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return descriptors.high(os.open(f"locks/{name}", flags, 0o600, dir_fd=here))


def _take(here: int, name: str, how: int) -> int:
    """A descriptor that holds a lock, or -1 where somebody else does."""
    file = _open(here, name)
    if _locked(file, how):
        return file
    os.close(file)
    return -1


def _locked(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | NOW)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        raise ClaudeboxError(f"this file system has no locks: {error.strerror}", "set CLAUDEBOX_HOME") from None
