"""What may be dialled: names are looked up by the host, and each of their addresses is judged when it is dialled."""

from __future__ import annotations

import _thread
import os
import time

from claudebox import address, netlink
from claudebox.plan.network.addresses import own_networks
from claudebox.plan.network.allowlist import FAILED_SECONDS, FRESH_SECONDS, LOOKUPS, NAMES, RESOLVERS, refusal
from claudebox.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from claudebox.model import Exempt, Prefix

    Found = tuple[Prefix, ...] | None  # (): there is no such name; None: nobody could say

NO_SUCH = (-2, -5)  # EAI_NONAME, EAI_NODATA


class Networks:
    """The host's own networks as they are at this moment."""

    def __init__(self, exempt: tuple[Exempt, ...]) -> None:
        self.exempt = exempt
        self.listener = netlink.listener()  # before the dump: what changes in between is seen
        self.own = self.look()

    def look(self) -> tuple[Prefix, ...]:
        """What the host has now. Raises OSError."""
        return own_networks(netlink.addresses(), netlink.routes())

    def changed(self) -> bool:
        """Whether they are others than before; asked of the kernel where it told of a change."""
        if not netlink.drain(self.listener):
            return False
        before, self.own = self.own, self.look()
        return before != self.own

    def refusal(self, target: Prefix, port: int) -> str:
        """Why an address may not be dialled now; "" if it may."""
        self.changed()
        return refusal(target, port, self.own, self.exempt)


class Resolver:
    """The host's own resolver, asked in a few threads; an answer is good for a minute."""

    def __init__(self) -> None:
        from _queue import SimpleQueue

        self.asked: SimpleQueue[str] = SimpleQueue()
        self.said: SimpleQueue[tuple[str, Found]] = SimpleQueue()
        self.waiting: dict[str, list[Callable[[Found], None]]] = {}
        self.known: dict[str, tuple[float, Found]] = {}
        self.threads = 0
        self.wake, self.waker = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self.waker, False)

    def resolve(self, name: str, then: Callable[[Found], None]) -> None:
        """Call then with the addresses of a name, now or later."""
        until, found = self.known.get(name, (0.0, None))
        if time.monotonic() < until:
            then(found)
        elif name in self.waiting:
            self.waiting[name].append(then)
        elif len(self.waiting) >= LOOKUPS:
            then(None)
        else:
            self.waiting[name] = [then]
            self.asked.put(name)
            if self.threads < min(RESOLVERS, len(self.waiting)):
                self.threads += 1
                _thread.start_new_thread(self.work, ())

    def work(self) -> None:
        """A thread's whole life."""
        while True:
            name = self.asked.get()
            self.said.put((name, looked_up(name)))
            try:
                os.write(self.waker, b".")
            except BlockingIOError:
                pass  # it is awake

    def answered(self) -> None:
        """Hand on what the threads have found."""
        os.read(self.wake, 1 << 16)
        while not self.said.empty():
            name, found = self.said.get()
            if len(self.known) >= NAMES:
                self.known.clear()
            self.known[name] = time.monotonic() + (FRESH_SECONDS if found else FAILED_SECONDS), found
            for then in self.waiting.pop(name):
                then(found)


def looked_up(name: str) -> Found:
    """The addresses that the host's resolver has for a name, as the host orders them."""
    flags = getattr(socket, "AI_ADDRCONFIG", 0)
    try:
        found = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM, 0, flags)
    except socket.gaierror as error:
        return () if error.errno in NO_SUCH else None
    except (OSError, UnicodeError):
        return None
    prefixes = [address.parse(str(one[4][0]).partition("%")[0]) for one in found]
    return tuple(dict.fromkeys(one for one in prefixes if one))
