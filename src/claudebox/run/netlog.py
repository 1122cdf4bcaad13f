"""The logs that gateways leave in an instance's `network/`, and the control sockets there. No sandbox sees either."""

from __future__ import annotations

import os

from claudebox.errors import ClaudeboxError
from claudebox.plan.network.learned import Event, event
from claudebox.record import NamedTuple
from claudebox.run.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

DIRECTORY, LOG, CONTROL = "network", ".log", ".sock"
PIECE, LARGEST = 1 << 16, 1 << 26  # bytes: read at a time, of one log at most
ANSWER, PATIENCE = 1 << 20, 10.0  # bytes of an answer; seconds until there is one


class Log(NamedTuple):
    """A log. pid, started: of its session's launcher; changed: when it was written last, in nanoseconds."""

    name: str
    pid: int
    started: int
    changed: int


def opened(directory: str) -> int:
    """`network/` of an instance; -1 where there is none. directory: the instance's."""
    try:
        return os.open(f"{directory}/{DIRECTORY}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1


def logs(here: int) -> list[Log]:
    """The logs there, the newest first."""
    found = []
    for name in os.listdir(here):
        pid, _, started = name.removesuffix(LOG).partition("-")
        if name.endswith(LOG) and _number(pid) and _number(started):
            try:
                changed = os.stat(name, dir_fd=here, follow_symlinks=False).st_mtime_ns
            except OSError:
                continue
            found.append(Log(name=name, pid=int(pid), started=int(started), changed=changed))
    return sorted(found, key=lambda one: (one.changed, one.name), reverse=True)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


class Reader:
    """Reads a log's events, and those that are added while it is read."""

    def __init__(self, here: int, name: str) -> None:
        """Raises ClaudeboxError."""
        try:
            self.file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
        except OSError as error:
            raise ClaudeboxError(f"cannot read {name}: {error.strerror}", "claudebox network log") from None
        self.rest, self.read = b"", 0

    def events(self) -> Iterator[Event]:
        """What is there and was not read yet. A line that is not whole yet comes next time."""
        while self.read < LARGEST and (data := os.read(self.file, PIECE)):
            self.read += len(data)
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.rest = self.rest[-PIECE:]
            yield from filter(None, map(event, lines))

    def close(self) -> None:
        """Nothing more is read."""
        os.close(self.file)


def ask(one: Session, ours: str, order: dict[str, Any]) -> dict[str, Any]:
    """What a session's gateway answers to an order. ours: claudebox's directory. Raises ClaudeboxError."""
    import json
    import socket

    here = opened(f"{ours}/instances/{one.instance}")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(f"/proc/self/fd/{here}/{one.pid}{CONTROL}")  # the whole path may be too long for a socket
            sock.sendall(json.dumps(order).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n") and len(answer) < ANSWER and (data := sock.recv(PIECE)):
                answer += data
        found = json.loads(answer)
    except FileNotFoundError:
        text = f"session {one.pid} has no gateway (tier {one.tier})"
        raise ClaudeboxError(text, "names and ports are granted to a session that was started with some") from None
    except (OSError, ValueError) as error:
        raise ClaudeboxError(f"the gateway of session {one.pid} does not answer: {error}", "claudebox ps") from None
    finally:
        if here >= 0:
            os.close(here)
    if not isinstance(found, dict) or found.get("ok") is not True:
        reason = str(found.get("error", "")) if isinstance(found, dict) else ""
        raise ClaudeboxError(f"session {one.pid} refused it: {reason or 'without a reason'}", "claudebox network log")
    return found
