"""The only module that starts programs (the forks that enter namespaces apart).

posix_spawn(3) throughout: importing subprocess costs a launch 5 ms, and a spawn takes no copy of us.
"""

from __future__ import annotations

import os

from claudebox.errors import ClaudeboxError, limits
from claudebox.record import NamedTuple
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Finished(NamedTuple):
    """How a program that we waited for ended. status: as the shell counts, 128 + n for signal n."""

    status: int
    output: bytes
    errors: bytes


def exit_status(wait_status: int) -> int:
    """The exit status as a shell reports it, from what waitpid(2) gave."""
    if os.WIFSIGNALED(wait_status):
        return 128 + os.WTERMSIG(wait_status)
    return os.WEXITSTATUS(wait_status)


def spawn(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    descriptors: Mapping[int, int] | None = None,
    group: int | None = None,
    default_signals: Sequence[int] = (),
    path: str = "",
    session: bool = False,
) -> int:
    """Start a program and return its pid, which the caller reaps.

    descriptors: child's number → our descriptor; a descriptor of ours that is not named there stays
    ours (all are close-on-exec). group: the process group to join, 0 for one of its own; session: whether it
    leads a session of its own, which our terminal's signals do not reach.
    Raises ClaudeboxError when the program cannot be started.
    """
    # dup2 onto itself takes close-on-exec off (posix_spawn_file_actions_adddup2, POSIX.1-2017 and glibc ≥ 2.29)
    actions = [(os.POSIX_SPAWN_DUP2, ours, child) for child, ours in (descriptors or {}).items()]
    extra = ({} if group is None else {"setpgroup": group}) | ({"setsid": True} if session else {})
    try:
        return os.posix_spawn(
            path or argv[0],
            list(argv),
            dict(environment),
            file_actions=actions,
            setsigmask=[],
            setsigdef=list(default_signals),
            **extra,  # type: ignore[arg-type]
        )
    except OSError as error:
        raise ClaudeboxError(f"cannot start {path or argv[0]}: {error.strerror}", limits(error)) from None


def capture(argv: Sequence[str], *, environment: Mapping[str, str], limit: int = 1 << 20) -> Finished:
    """Run a short program of the host to its end, standard input empty, and keep what it printed.

    limit: bytes kept of its output; more is an error of that program, and ends it.
    Raises ClaudeboxError when the program cannot be started.
    """
    started = start_capture(argv, environment=environment)
    return finish_capture(started, limit=limit)


class Capture(NamedTuple):
    """A program that runs while we do something else: its pid and the ends that we read."""

    pid: int
    output: int
    errors: int


def start_capture(
    argv: Sequence[str], *, environment: Mapping[str, str], group: int | None = None, path: str = ""
) -> Capture:
    """Start a short program; `finish_capture` or `finish_by` collects it. group and path as in `spawn`, whose
    ClaudeboxError it raises."""
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    read_output, write_output = os.pipe()
    write_errors = os.memfd_create("stderr", os.MFD_CLOEXEC)
    try:
        given = {0: nothing, 1: write_output, 2: write_errors}
        # Python ignores both, and it is inherited: a pasta of 2023 takes that for a failure and ends
        usual = (signal.SIGPIPE, signal.SIGXFSZ)
        pid = spawn(argv, environment=environment, descriptors=given, group=group, default_signals=usual, path=path)
    except ClaudeboxError:
        os.close(read_output)
        os.close(write_errors)
        raise
    finally:
        os.close(nothing)
        os.close(write_output)
    return Capture(pid, read_output, write_errors)


def finish_capture(started: Capture, *, limit: int = 1 << 20) -> Finished:
    """Wait for a program of `start_capture` and return what it printed, at most limit bytes of each."""
    chunks: list[bytes] = []
    room = limit
    while room > 0 and (chunk := os.read(started.output, min(room, 65536))):
        chunks.append(chunk)
        room -= len(chunk)
    os.close(started.output)  # a program that prints more ends by SIGPIPE
    _, status = os.waitpid(started.pid, 0)
    errors = os.pread(started.errors, min(limit, 65536), 0)
    os.close(started.errors)
    return Finished(exit_status(status), b"".join(chunks), errors)


def finish_by(started: Capture, deadline: float, *, limit: int = 1 << 20) -> Finished:
    """As `finish_capture` for a program that may hang; what it started is its group's to end.

    deadline: as time.monotonic() counts; a program that still runs then is killed, and has the status 137.
    """
    import select
    import time

    ended = os.pidfd_open(started.pid)
    poll, chunks, room = select.poll(), [], limit
    for descriptor in (started.output, ended):
        poll.register(descriptor, select.POLLIN)
    try:
        while room > 0:
            ready = {number for number, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}
            if started.output in ready:
                if chunk := os.read(started.output, min(room, 65536)):
                    chunks.append(chunk)
                    room -= len(chunk)
                    continue
                poll.unregister(started.output)
            elif ended in ready or not ready:
                break
    finally:
        os.kill(started.pid, 9)  # not reaped yet, so the pid is still its own
        for descriptor in (ended, started.output):
            os.close(descriptor)
        _, status = os.waitpid(started.pid, 0)
        errors = os.pread(started.errors, min(limit, 65536), 0)
        os.close(started.errors)
    return Finished(exit_status(status), b"".join(chunks), errors)
