"""`network/` in an instance's directory, which no sandbox sees: the logs of the last sessions, the control sockets."""

from __future__ import annotations

import os

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.record import NamedTuple
from claudebox.run.session import remove, start_time
from claudebox.sockets import socket

DIRECTORY, LOG, CONTROL = "network", ".log", ".sock"
KEPT = 10  # logs, beside those of sessions that run


class Records(NamedTuple):
    """What the launcher opened. directory: of all of them; log: to be appended to; control: a listening socket."""

    directory: int
    log: int
    control: int


def opened(here: int, shown: str) -> Records:
    """The log and the control socket of this launch; older ones are removed. here: the instance's directory; shown:
    the path that an error names. Raises ClaudeboxError."""
    try:
        directory = descriptors.high(descriptors.make_directory(here, DIRECTORY))
        sweep(directory)
        name = f"{os.getpid()}-{start_time(os.getpid())}{LOG}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        log = descriptors.high(os.open(name, flags, 0o600, dir_fd=directory))
        return Records(directory=directory, log=log, control=listening(directory))
    except OSError as error:
        raise ClaudeboxError(f"cannot write to {shown}: {error.strerror}", "free some space") from None


def listening(directory: int) -> int:
    """The control socket, which the user alone can connect to. Raises OSError."""
    name = f"{os.getpid()}{CONTROL}"
    remove(directory, name)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        sock.bind(f"/proc/self/fd/{directory}/{name}")  # its whole path may be longer than a socket's can be
    finally:
        os.umask(before)
    sock.listen(8)
    return descriptors.high(sock.detach())


def close(found: Records) -> None:
    """The session has ended: its socket goes, its log stays."""
    remove(found.directory, f"{os.getpid()}{CONTROL}")
    for number in found:
        os.close(number)


def sweep(directory: int) -> None:
    """Remove the oldest logs of sessions that have ended, and their sockets."""
    ended = []
    for name in os.listdir(directory):
        pid, _, started = name.partition(".")[0].partition("-")
        if not pid.isdigit() or len(pid) > 10:
            continue
        if name.endswith(CONTROL) and not start_time(int(pid)):
            remove(directory, name)
        elif name.endswith(LOG) and started.isdigit() and start_time(int(pid)) != int(started):
            ended.append((os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns, name))
    for _, name in sorted(ended, reverse=True)[KEPT - 1 :]:
        remove(directory, name)
