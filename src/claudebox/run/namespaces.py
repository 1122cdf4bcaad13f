"""Entering a sandbox's namespaces from outside: a forked child does the work and says how it went."""

from __future__ import annotations

import ctypes
import fcntl
import os

from claudebox.errors import ClaudeboxError
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    """A fork of ours that waits to be told which namespace it is to join. order: our end of what it reads;
    answer: of what it says."""

    pid: int
    order: int
    answer: int


def fork_waiting(group: int, kind: int, works: Sequence[Callable[[], None]], keep: Sequence[int] = ()) -> Waiting:
    """Fork a process that joins a namespace of a sandbox and does the works there, each when `tell` says.

    Forked early, while bwrap is at work: a launch waits 1.5 ms less for it. group: the process group that it
    joins, so that it dies with it; kind: CLONE_NEWNS or CLONE_NEWNET; keep: descriptors that it needs. It ends
    after the last work, and when our end of order is closed, by our death too.
    """
    (order_r, order_w), (answer_r, answer_w) = os.pipe(), os.pipe()

    def ordered() -> None:
        for index, work in enumerate(works):
            order = os.read(order_r, 64)
            if not order:
                return
            if index == 0:
                _enter(order.decode(), kind)
            work()
            if index < len(works) - 1:
                os.write(answer_w, b"ok")

    child = os.fork()
    if child == 0:
        _perform(group, (*keep, order_r, answer_w), ordered)
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
    except BaseException as error:
        message = said(error)
    finally:
        try:
            os.write(kept[-1], message)
        finally:
            os._exit(0)


def fork_serving(group: int, keep: tuple[int, ...], work: Callable[[], None]) -> int:
    """Fork a process that works on its own until it is done, in a process group, with no descriptors but those to
    keep; its pid, which the caller reaps. It enters no namespace."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgid(0, group)
            for number in map(int, os.listdir("/proc/self/fd")):
                if number > 2 and number not in keep:
                    _close(number)
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def said(error: BaseException) -> bytes:
    """What went wrong, and behind a null what to do about it; one write that a pipe takes whole."""
    if isinstance(error, ClaudeboxError):
        text = f"{error.message[:3000]}\0{error.hint}"
    elif isinstance(error, OSError):
        text = f"{error.filename or ''}: {error.strerror}"
    else:
        text = repr(error)
    return text.encode(errors="surrogateescape")[:4000]


def _enter(namespace: str, kind: int) -> None:
    """Join a namespace with the rights of its owner. setns(2) wants a process of one thread."""
    there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    owner = fcntl.ioctl(there, NS_GET_USERNS)
    checked(LIBC.setns(owner, CLONE_NEWUSER), "entering the user namespace")
    checked(LIBC.setns(there, kind), "entering the namespace")
    os.close(owner)
    os.close(there)


def tell(waiting: Waiting, order: str = "go") -> None:
    """Have a waiting fork do its next work; the first order is the path of the namespace that it joins."""
    try:
        os.write(waiting.order, order.encode())
    except BrokenPipeError:
        pass  # its answer says so


def answered(waiting: Waiting, what: str, hint: str) -> None:
    """Read how a work went. Raises ClaudeboxError: what could not be done, and what the fork said of it."""
    answer = os.read(waiting.answer, 4096)
    if answer != b"ok":
        text, _, better = answer.decode(errors="surrogateescape").partition("\0")
        raise ClaudeboxError(f"{what}: {text or 'it was killed'}", better or hint)


def end(waiting: Waiting) -> None:
    """Let a waiting fork end; returns when it is gone."""
    os.close(waiting.order)
    os.close(waiting.answer)
    os.waitpid(waiting.pid, 0)


def kill(waiting: Waiting) -> None:
    """End a waiting fork, whatever it hangs on; returns when it is gone."""
    os.kill(waiting.pid, 9)
    end(waiting)


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
    said = answer.decode(errors="surrogateescape").partition("\0")[0]
    return "" if answer == b"ok" else said.removeprefix(": ") or "it was killed"


def in_network_namespace(pid: int, group: int, work: Callable[[], None]) -> str:
    """Run work in the network namespace of a sandbox's process, in a fork as `in_fork` makes; files are the host's."""

    def entered() -> None:
        _enter(f"/proc/{pid}/ns/net", CLONE_NEWNET)
        work()

    return in_fork(group, entered)
