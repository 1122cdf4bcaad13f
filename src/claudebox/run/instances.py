"""All instances of this user: which one is meant, what is known of each, under its lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.model import User
from claudebox.repository import find_project
from claudebox.run import instance, kept, removal, session, usage
from claudebox.run.kept import Kept
from claudebox.run.session import Session
from claudebox.text import span

ID_LENGTH = 16


class Found(NamedTuple):
    """An instance that there is. kept.project is "" where its file cannot be read, which wrong says then."""

    id: str
    directory: str
    kept: Kept
    wrong: str = ""

    @property
    def gone(self) -> bool:
        """The project's directory is not there (any more, or while its disk is not mounted)."""
        return bool(self.kept.project) and not os.path.lexists(self.kept.project)

    @property
    def shown(self) -> str:
        """The project, or the ID where nothing names it."""
        return self.kept.project or self.id


def everyone(ours: str) -> list[Found]:
    """Every instance, the last used one first."""
    found = []
    for name in kept.names(ours):
        directory = f"{ours}/instances/{name}"
        try:
            found.append(Found(name, directory, kept.read(directory)))
        except ClaudeboxError as problem:
            found.append(Found(name, directory, Kept(project=""), problem.message))
    return sorted(found, key=lambda one: (-one.kept.used, one.id))


def chosen(ours: str, which: str, user: User) -> Found:
    """The instance that an ID, or a directory in a project, means; "": the current directory. Raises ClaudeboxError."""
    if is_id(which):
        return by_id(ours, which)
    place = absolute(which)
    root = find_project(place, user, ours).main if os.path.isdir(place) else place
    for one in everyone(ours):
        if one.kept.project == root:
            return one
    raise ClaudeboxError(f"{root} has no instance: claudebox was not used there", "claudebox instance list")


def by_id(ours: str, identity: str) -> Found:
    """The instance of an ID. Raises ClaudeboxError."""
    for one in everyone(ours):
        if one.id == identity:
            return one
    raise ClaudeboxError(f"there is no instance {identity}", "claudebox instance list")


def is_id(text: str) -> bool:
    """Whether a text can only be an instance's ID (a directory of such a name is written ./NAME)."""
    return len(text) == ID_LENGTH and all(one in "0123456789abcdef" for one in text)


def absolute(path: str) -> str:
    """A path as projects are written: canonical as far as it exists. Raises ClaudeboxError."""
    try:
        return os.path.realpath(path or os.getcwd())
    except FileNotFoundError:
        raise ClaudeboxError("the current directory was deleted", "name the project, or the ID") from None


@contextmanager
def held(ours: str, one: Found) -> Iterator[tuple[int, int]]:
    """Descriptors of the directory of all instances and of this one, under its lock. Raises ClaudeboxError."""
    instances = here = lock = -1
    try:
        top = descriptors.walk(None, descriptors.parts(ours))
        instances = descriptors.make_directory(top, "instances")
        os.close(top)
        here = os.open(one.id, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=instances)
        os.close(descriptors.make_directory(here, "locks"))
        lock = instance.lock(here, one.directory)
        yield instances, here
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else ""
        text = f"{one.directory}: {where + ': ' if where else ''}{error.strerror}"
        raise ClaudeboxError(text, "look at what stands there") from None
    finally:
        for descriptor in (lock, here, instances):
            if descriptor >= 0:
                os.close(descriptor)


def opened(one: Found) -> int:
    """A descriptor of an instance's directory, -1 where there is none."""
    try:
        return os.open(one.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1


def sessions(one: Found) -> list[Session]:
    """The sessions of an instance that run now."""
    here = opened(one)
    if here < 0:
        return []
    try:
        return session.live(here)
    finally:
        os.close(here)


def state(one: Found) -> str:
    """A word about an instance: running, project gone, or nothing."""
    if one.wrong:
        return "unreadable"
    if found := sessions(one):
        return f"running, pid {', '.join(str(run.pid) for run in found)}"
    return "project gone" if one.gone else ""


def last_used(one: Found) -> str:
    """When it was used last, as a person says it."""
    return f"{span(time.time() - one.kept.used)} ago" if one.kept.used else "unknown"


def size(one: Found) -> usage.Usage:
    """What an instance takes on the disk."""
    directory = opened(one)
    if directory < 0:
        return usage.Usage(0, 1, ())
    try:
        return usage.measure(directory, ".")
    finally:
        os.close(directory)


def in_home(one: Found) -> Sequence[tuple[str, int]]:
    """What lies in an instance's home, two levels deep, the largest first."""
    directory = opened(one)
    if directory < 0:
        return ()
    try:
        return usage.measure(directory, "home").largest
    finally:
        os.close(directory)


def finish(ours: str) -> None:
    """Remove what interrupted removals left."""
    try:
        all_of_them = os.open(f"{ours}/instances", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        removal.finish(all_of_them)
    finally:
        os.close(all_of_them)


def former(ours: str, old: str) -> Found:
    """The instance of the path OLD, which need not exist any more, or of an ID. Raises ClaudeboxError."""
    if is_id(old):
        return by_id(ours, old)
    names = {absolute(old), os.path.abspath(old)}
    for one in everyone(ours):
        if one.kept.project in names:
            return one
    raise ClaudeboxError(f"no instance is of {old}", "claudebox instance list --orphaned")
