"""The signals that a launcher waits for: held back from the start, read from a descriptor later. signalfd(2)."""

from __future__ import annotations

import os
import struct

from claudebox.signals import signal

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


def opened() -> int:
    """A signalfd of what is held."""
    import ctypes

    from claudebox.run.namespaces import LIBC, checked

    mask = sum(1 << (number - 1) for number in WATCHED)
    buffer = struct.pack("=Q", mask) + bytes(120)
    return checked(LIBC.signalfd(ctypes.c_int(-1), buffer, ctypes.c_int(os.O_CLOEXEC | os.O_NONBLOCK)), "signalfd")


class Arrived(Exception):
    """A signal that ends the launch, before the token."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def wait(descriptor: int, seconds: float, arrivals: int | None) -> bool:
    """Wait until descriptor can be read, at most seconds; whether it can. Raises Arrived, where arrivals is given."""
    import select
    import time

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if arrivals is not None:
        poll.register(arrivals, select.POLLIN)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for ready, _ in poll.poll(left * 1000):
            if ready == descriptor:
                return True
        if arrivals is not None:
            check(arrivals)
    return False


def next_signal(descriptor: int) -> tuple[int, int] | None:
    """The next signal, as (number, si_code); None when there is none. signalfd(2)."""
    try:
        data = os.read(descriptor, SIGNALFD_SIZE)
    except BlockingIOError:
        return None
    number, _, code = struct.unpack_from("=Iii", data)
    return number, code


def check(descriptor: int) -> None:
    """Raises Arrived for a signal that ends the launch."""
    if number := before_token(descriptor):
        raise Arrived(number)


def before_token(descriptor: int) -> int:
    """The first signal that would end the launch, or 0."""
    while (arrived := next_signal(descriptor)) is not None:
        if arrived[0] in FORWARDED:
            return arrived[0]
    return 0
