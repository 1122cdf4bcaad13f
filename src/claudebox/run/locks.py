"""Who works where: one flock per working tree, one per repository, one per side (with a login, and without one).

A flock is held by a descriptor, so that a kill frees it and nothing goes stale. All sessions share theirs; whether
another one has it is found out by taking it alone. Who holds the repository's lock alone is the only session: it may
sweep what others left. Changing a flock lets go of it first (flock(2)), so all of that happens under a further
one, for milliseconds.
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

    from claudebox.run.signals import Arrivals

SHARED, ALONE, NOW = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_NB
SERVED, MASKED = "served", "masked"  # the sides: a publish renames over the mask of the other one, and lifts it


class Held(NamedTuple):
    """The locks of a session, by descriptor. side: of those with a login, or of those with --no-auth."""

    tree: int
    side: int
    repository: int
    brief: int


def join(here: int, directory: str, tree: str, *, force: bool, no_auth: bool, sweep: Callable[[int], None]) -> Held:
    """Take part in a project; where no other session of it lives, sweep what killed ones left.

    here: the instance's directory, which lies at directory; tree: the working tree. Raises ClaudeboxError when
    another session works in that tree (unless force), when one of the other side lives (both have one home), or
    the instance is being changed.
    """
    name = f"tree-{sha256(os.fsencode(tree)).hexdigest()[:16]}"
    side, other = (MASKED, SERVED) if no_auth else (SERVED, MASKED)
    held = Held(
        tree=_open(here, name), side=_open(here, side), repository=_open(here, "repository"), brief=_open(here, "brief")
    )
    with Brief(held.brief):
        if not _locked(held.tree, ALONE) and not force:
            raise tree_taken(here, tree, held.tree)
        if not _is_free(here, other):
            raise side_taken(here, no_auth=no_auth)
        os.ftruncate(held.tree, 0)
        os.pwrite(held.tree, f"{os.getpid()}\n".encode(), 0)
        _locked(held.tree, SHARED)
        _locked(held.side, SHARED)
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
    file = _open(here, "repository")
    if _locked(file, ALONE):
        return file
    os.close(file)
    return -1


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


class Long:
    """A lock for what may take seconds: a signal that ends the launch ends the wait for it."""

    def __init__(self, here: int, name: str, arrivals: Arrivals) -> None:
        """here: the instance's directory."""
        self.file, self.arrivals = _open(here, name), arrivals

    def __enter__(self) -> None:
        """Raises Arrived, and what the check of arrivals raises."""
        if not _locked(self.file, ALONE):
            _wait(self.file, self.arrivals)

    def __exit__(self, *_: object) -> None:
        os.close(self.file)


def _wait(file: int, arrivals: Arrivals) -> None:
    """flock(2) knows no time and no second descriptor to wait for, so a thread takes it, and says so by an end of
    file. One that waits still when the launch ends goes with it."""
    import _thread

    from claudebox.run import signals

    taken, mine = os.pipe()

    def take() -> None:
        fcntl.flock(file, ALONE)
        os.close(mine)

    _thread.start_new_thread(take, ())
    signals.wait(taken, None, arrivals)
    os.close(taken)


def tree_taken(here: int, tree: str, file: int) -> ClaudeboxError:
    """Who works in this tree, and the ways on. file: its lock, where the last one that came wrote its pid."""
    from claudebox.run import session

    pid = os.pread(file, 64, 0).decode(errors="replace").strip()
    found = [one for one in session.live(here) if one.project == tree]
    who = session.described(found[0]) if found else f"pid {pid or 'unknown'}"  # without a record: in its review
    end = f"claudebox stop {found[0].pid if found else pid}".strip()
    return ClaudeboxError(
        f"another session works in this tree ({who})", f"{end}; or git worktree add, for a tree of its own; or --force"
    )


def side_taken(here: int, *, no_auth: bool) -> ClaudeboxError:
    """Who works in this project with a login while we want none, or the other way round."""
    from claudebox.run import session

    found = session.live(here)
    who, end = (session.described(found[0]), f"claudebox stop {found[0].pid}") if found else ("unknown", "wait for it")
    if no_auth:
        text = f"a session of this project may have a login ({who}); both have one home, so --no-auth would not hold"
        return ClaudeboxError(text, f"{end}; or without --no-auth")
    text = f"a session of this project is to have no login ({who}, --no-auth), and both have one home"
    return ClaudeboxError(text, f"{end}; or --no-auth for this one too")


def _open(here: int, name: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return descriptors.high(os.open(f"locks/{name}", flags, 0o600, dir_fd=here))


def _is_free(here: int, name: str) -> bool:
    """Whether nobody has a lock. Called under `Brief`."""
    file = _open(here, name)
    try:
        return _locked(file, ALONE)
    finally:
        os.close(file)


def _locked(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | NOW)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        raise ClaudeboxError(f"this file system has no locks: {error.strerror}", "set CLAUDEBOX_HOME") from None
