"""Entering a sandbox's namespaces from outside: a forked child does the work and says how it went."""

from __future__ import annotations

import ctypes
import fcntl
import os

from claudebox.errors import ClaudeboxError
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NS_GET_USERNS = 0xB701  # ioctl_ns(2): the owner can differ from the process's own user namespace
CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET = 0x10000000, 0x00020000, 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> int:
    """The result of a libc call. Raises OSError with errno for a negative one."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _close(number: int) -> None:
    try:
        os.close(number)
    except OSError:
        pass  # the descriptor of the listing itself


class Waiting(NamedTuple):
    """A fork of ours that waits for the pid of a sandbox. order: our end of what it reads; answer: of what it says."""

    pid: int
    order: int
    answer: int


def fork_waiting(group: int, work: Callable[[], None]) -> Waiting:
    """Fork a process that will run work in a sandbox's mount namespace, when `enter` names the sandbox.

    Forked early, while bwrap is at work: a launch waits 1.5 ms less for it. group: the process group that it
    joins, so that it dies with the sandbox. It ends when our end of order is closed, by our death too.
    """
    (order_r, order_w), (answer_r, answer_w) = os.pipe(), os.pipe()

    def ordered() -> None:
        if order := os.read(order_r, 16):
            _enter(int(order), "mnt", CLONE_NEWNS)
            work()

    child = os.fork()
    if child == 0:
        _perform(group, (order_r, answer_w), ordered)
    os.close(order_r)
    os.close(answer_w)
    return Waiting(pid=child, order=order_w, answer=answer_r)


def _perform(group: int, kept: tuple[int, ...], work: Callable[[], None]) -> None:
    """A fork's whole life: in its group, with no descriptors but the kept ones; the last of them hears how it went."""
    message = b"?"
    try:
        os.setpgid(0, group)
        # Not the lifeline: while a copy of it is open, our death would be no end of file to the guard.
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2 and number not in kept:
                _close(number)
        work()
        message = b"ok"
    except OSError as error:
        message = f"{error.filename or ''}: {error.strerror}".encode(errors="surrogateescape")
    except ClaudeboxError as error:
        message = error.message.encode(errors="surrogateescape")
    except BaseException as error:
        message = repr(error).encode(errors="replace")
    finally:
        try:
            os.write(kept[-1], message)
        finally:
            os._exit(0)


def _enter(pid: int, name: str, kind: int) -> None:
    """Join a namespace of pid with the rights of its owner. setns(2) wants a process of one thread."""
    namespace = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    owner = fcntl.ioctl(namespace, NS_GET_USERNS)
    checked(LIBC.setns(owner, CLONE_NEWUSER), "entering the user namespace")
    checked(LIBC.setns(namespace, kind), f"entering the namespace {name}")


def enter(waiting: Waiting, pid: int) -> None:
    """Have a waiting fork do its work in the sandbox of pid. Raises ClaudeboxError with what it said."""
    try:
        os.write(waiting.order, str(pid).encode())
        answer = os.read(waiting.answer, 4096)
    except BrokenPipeError:
        answer = b""
    os.close(waiting.order)
    os.close(waiting.answer)
    os.waitpid(waiting.pid, 0)
    if answer != b"ok":
        text = answer.decode(errors="surrogateescape") or "it was killed"
        raise ClaudeboxError(f"the sandbox's mounts could not be made: {text}", "a link may have been planted there")


def in_fork(group: int, work: Callable[[], None]) -> str:
    """Run work in a fork of ours; what went wrong, "" when nothing did.

    group: the process group that it joins, 0 for one of its own.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _perform(group, (writer,), work)
    os.close(writer)
    answer = os.read(reader, 4096)
    os.close(reader)
    os.waitpid(child, 0)
    return "" if answer == b"ok" else answer.decode(errors="surrogateescape").removeprefix(": ") or "it was killed"


def in_network_namespace(pid: int, group: int, work: Callable[[], None]) -> str:
    """Run work in the network namespace of a sandbox's process, in a fork as `in_fork` makes; files are the host's."""

    def entered() -> None:
        _enter(pid, "net", CLONE_NEWNET)
        work()

    return in_fork(group, entered)
