"""The signals that a launcher waits for: held back from the start, read from a descriptor later. signalfd(2)."""

from __future__ import annotations

import os
import struct

from claudebox.record import NamedTuple
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FORWARDED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
WATCHED = (*FORWARDED, signal.SIGCHLD, signal.SIGTSTP, signal.SIGCONT, signal.SIGTTOU, signal.SIGTTIN)
IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)
SIGNALFD_SIZE = 128


def hold() -> None:
    """Block what we watch. What is ignored as well is inherited so by bwrap's outer process, which a Ctrl-C
    must not kill; blocked and ignored signals still arrive."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)


class Received(NamedTuple):
    """A signal. typed: the terminal sent it, to the whole foreground group (its si_code is SI_KERNEL)."""

    number: int
    typed: bool


class Arrived(Exception):
    """A signal that ends the launch, before the token: the command never runs."""

    def __init__(self, received: Received) -> None:
        super().__init__(received)
        self.number, self.typed = received.number, received.typed


class Arrivals:
    """A signalfd of what is held, and what was read from it before its time, for the loop to come.

    check: raises when a process that the launch waits for has ended; called when a signal came.
    """

    def __init__(self) -> None:
        import ctypes

        from claudebox.run.namespaces import LIBC, checked

        mask = struct.pack("=Q", sum(1 << (number - 1) for number in WATCHED)) + bytes(120)
        flags = ctypes.c_int(os.O_CLOEXEC | os.O_NONBLOCK)
        self.descriptor = checked(LIBC.signalfd(ctypes.c_int(-1), mask, flags), "signalfd")
        self.kept: list[Received] = []
        self.check: Callable[[], None] = _nothing

    def next(self) -> Received | None:
        """The next signal, what was kept first; None when there is none."""
        return self.kept.pop(0) if self.kept else self._read()

    def gather(self) -> None:
        """Keep what has arrived so far for `next`."""
        while (received := self._read()) is not None:
            self.kept.append(received)

    def before_token(self) -> None:
        """Gather what has arrived so far. Raises Arrived for a signal that ends the launch."""
        self.gather()
        for received in self.kept:
            if received.number in FORWARDED:
                raise Arrived(received)

    def _read(self) -> Received | None:
        try:
            number, _, code = struct.unpack_from("=Iii", os.read(self.descriptor, SIGNALFD_SIZE))
        except BlockingIOError:
            return None
        return Received(number=number, typed=code > 0)


def wait(descriptor: int, seconds: float | None, arrivals: Arrivals | None) -> bool:
    """Wait until descriptor can be read or has ended, at most seconds (None: for ever); whether it can.

    Raises Arrived and what the check of arrivals raises, where arrivals is given.
    """
    import select
    import time

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if arrivals is not None:
        poll.register(arrivals.descriptor, select.POLLIN)
    deadline = None if seconds is None else time.monotonic() + seconds
    while (left := None if deadline is None else deadline - time.monotonic()) is None or left > 0:
        ready = [found for found, _ in poll.poll(None if left is None else left * 1000)]
        if arrivals is not None:
            arrivals.before_token()
        if descriptor in ready:
            return True
        if arrivals is not None and ready:
            arrivals.check()
    return False


def _nothing() -> None:
    pass
