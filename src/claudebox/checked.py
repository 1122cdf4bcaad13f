"""Reading a file that decides what a sandbox may do: the user's or root's, and nobody else's to write.

config.toml, profiles and agents may be symbolic links (home-manager makes them); then every hop counts,
the link itself as well as the directories that it leads through.
"""

from __future__ import annotations

import os
import stat

from claudebox.errors import ClaudeboxError
from claudebox.leaving import Leaving

LARGEST = 1 << 20
HOPS = 40  # as the kernel
LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # NONBLOCK: a FIFO must not hold us


def read_checked(path: str) -> tuple[bytes, os.stat_result] | None:
    """The bytes of a file of ours, and the status of the descriptor they were read from.

    None where the file does not exist. Whatever lies above its directory is the caller's to judge.
    """
    directory, name = os.path.split(path)
    parent, last = os.path.split(directory)
    with Leaving() as opened:
        try:
            start = _open(opened, parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            above, directory = _walk(opened, start, parent, last) if last else (start, directory)
            _judge(os.fstat(above), directory)
            os.stat(name, dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from None
        try:
            found, where = _walk(opened, above, directory, name)
            status = os.fstat(found)
            _judge_file(status, where)
            with os.fdopen(_open(opened, f"/proc/self/fd/{found}", READ), "rb", closefd=False) as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise _unreadable(path, error) from None
    if len(content) > LARGEST:
        raise ClaudeboxError(f"{path} is larger than {LARGEST >> 20} MiB", "is this the right file?")
    return content, status


def _open(opened: Leaving, path: str, flags: int, above: int | None = None) -> int:
    descriptor = os.open(path, flags, dir_fd=above)
    opened.callback(os.close, descriptor)
    return descriptor


def _walk(opened: Leaving, here: int, place: str, name: str) -> tuple[int, str]:
    """Follows links by hand, judging each step; the last descriptor and its path."""
    names, hops = [name], 0
    while names:
        name = names.pop()
        there = _open(opened, name, LOOK, here)
        path = os.path.dirname(place) if name == ".." else os.path.join(place, name)
        status = os.fstat(there)
        if stat.S_ISLNK(status.st_mode):
            hops += 1
            if hops > HOPS:
                raise OSError(40, "too many levels of symbolic links")
            _judge(status, path)
            target = os.readlink("", dir_fd=there)
            names += [part for part in reversed(target.split("/")) if part not in ("", ".")]
            if target.startswith("/"):
                here, place = _open(opened, "/", LOOK | os.O_DIRECTORY), "/"
                _judge(os.fstat(here), place)
        elif names:
            _judge(status, path)
            here, place = there, path
        else:
            return there, path
    raise OSError(21, "is a directory")


def _judge_file(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ClaudeboxError(f"{path} is not a regular file", "put a file there, or remove it")
    _judge(status, path)


def _judge(status: os.stat_result, path: str) -> None:
    """Of the user or of root, and not writable by others. A link has no mode; in a sticky directory
    others can only add names, and whoever owns the one we take is judged as well."""
    link = stat.S_ISLNK(status.st_mode)
    if status.st_uid not in (0, os.geteuid()):
        raise ClaudeboxError(
            f"{path} belongs to uid {status.st_uid}, neither to you nor to root",
            f"chown {'-h ' if link else ''}{os.geteuid()} {_quoted(path)}",
        )
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if writable and not link and not sticky:
        raise ClaudeboxError(f"{path} is writable by others than you", f"chmod go-w {_quoted(path)}")


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)


def _unreadable(path: str, error: OSError) -> ClaudeboxError:
    reason = (error.strerror or str(error)).lower()
    return ClaudeboxError(f"{path} cannot be read: {reason}", "make it a file that you can read, or remove it")
