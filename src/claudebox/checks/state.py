"""claudebox's own directory: whose it is, who may write in it, locks and room on its file system."""

from __future__ import annotations

import fcntl
import os
import shlex
import stat
from collections.abc import Iterator

from claudebox.checked import read_checked
from claudebox.checks import Problem, State
from claudebox.errors import ClaudeboxError

LARGEST = 20_000  # entries looked at
FILES = ("profiles", "agents")  # directories of files that may be links, judged hop by hop


def survey_state(ours: str, wrong: tuple[Problem, ...] = ()) -> State:
    """Look at everything that a launch looks at, and go on after the first thing that is wrong.

    wrong: what was found out about the directory already; then nothing in it is looked at.
    """
    problems = list(wrong)
    if os.path.isdir(ours) and not problems:
        problems += [*_own(ours), *_written(ours)]
    place = _nearest(ours)
    locks, writing = _try_file(place)
    try:
        room = os.statvfs(place)
        space = room.f_bavail * room.f_frsize
    except OSError as error:
        space, writing = 0, writing or f"{place}: {error.strerror}"
    return State(
        directory=ours, exists=os.path.isdir(ours), problems=tuple(problems), locks=locks, space=space, writing=writing
    )


def _own(ours: str) -> Iterator[Problem]:
    """What is ours alone and is no link: the directories, and the records of instances and cache."""
    for count, path in enumerate(_entries(ours)):
        if count == LARGEST:
            yield Problem(f"{ours} has more than {LARGEST} entries; the rest was not looked at")
            return
        try:
            state = os.lstat(path)
        except OSError:
            continue  # a session ended meanwhile
        name, sudo = shlex.quote(path), "sudo " if os.getuid() else ""
        if stat.S_ISLNK(state.st_mode):
            yield Problem(f"{path} is a link", f"rm {name}")
        elif state.st_uid != os.getuid():
            yield Problem(f"{path} belongs to uid {state.st_uid}", f"{sudo}chown -R {os.getuid()} {name}")
        elif state.st_mode & 0o022 and os.path.basename(path) != "home":  # its mode is the agent's to change
            yield Problem(f"{path} can be written by others", f"chmod go-w {name}")


def _entries(ours: str) -> Iterator[str]:
    yield from (path for name in ("instances", "cache", "auth", *FILES) if os.path.lexists(path := f"{ours}/{name}"))
    yield from _below(f"{ours}/cache")
    yield from _below(f"{ours}/auth")
    for instance in _below(f"{ours}/instances"):
        yield instance
        for path in _below(instance):
            yield path
            # what lies in home/ and aside/ is the agent's
            if os.path.basename(path) in ("locks", "sessions", "network"):
                yield from _below(path)


def _below(directory: str) -> Iterator[str]:
    if os.path.isdir(directory) and not os.path.islink(directory):
        try:
            yield from (entry.path for entry in os.scandir(directory))
        except OSError:
            return


def _written(ours: str) -> Iterator[Problem]:
    """What the user writes: may be links of home-manager's, every hop judged. config.toml has a check of its own."""
    for directory in FILES:
        for path in sorted(_below(f"{ours}/{directory}")):
            try:
                read_checked(path)
            except ClaudeboxError as error:
                yield Problem(error.message, error.hint)


def _nearest(path: str) -> str:
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    return path


def _try_file(directory: str) -> tuple[str, str]:
    """What is wrong with locks, and with writing, in a directory; the file that tries it has no name."""
    try:
        file = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (95, 21):  # EOPNOTSUPP, EISDIR: a file system without O_TMPFILE
            return "", f"nothing can be written in {directory}: {error.strerror}"
        return _try_named_file(directory)
    try:
        return _try_lock(file), _try_write(file, directory)
    finally:
        os.close(file)


def _try_named_file(directory: str) -> tuple[str, str]:
    import tempfile

    try:
        file, name = tempfile.mkstemp(prefix=".doctor-", dir=directory)
    except OSError as error:
        return "", f"nothing can be written in {directory}: {error.strerror}"
    try:
        return _try_lock(file), _try_write(file, directory)
    finally:
        os.unlink(name)
        os.close(file)


def _try_write(file: int, directory: str) -> str:
    try:
        os.write(file, bytes(1 << 16))
        os.fsync(file)
    except OSError as error:
        return f"nothing can be written in {directory}: {error.strerror}"
    return ""


def _try_lock(file: int) -> str:
    """A lock that a second holder cannot get as well."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        second = os.open(f"/proc/self/fd/{file}", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"this file system has no locks: {error.strerror}"
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ""
    except OSError as error:
        return f"this file system has no locks: {error.strerror}"
    finally:
        os.close(second)
    return "a lock of this file system does not keep a second holder out"
