"""One epoll loop: descriptors with what is done about them, and what is waited for at most so long."""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

IN, OUT, HUP, ERR = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP, select.EPOLLERR
TICK = 0.5  # seconds: how late a deadline may be


class Deadlines:
    """What is given up when it took too long, all of one kind: so the oldest of them is the next."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.waiting: dict[Hashable, tuple[float, Callable[[], None]]] = {}

    def set(self, key: Hashable, act: Callable[[], None]) -> None:
        """Have act called when the time is over, unless it is cleared; a key that waits begins anew."""
        self.waiting.pop(key, None)
        self.waiting[key] = time.monotonic() + self.seconds, act

    def clear(self, key: Hashable) -> None:
        """No longer wait for it."""
        self.waiting.pop(key, None)

    def expire(self, now: float) -> None:
        """Give up what is over."""
        while self.waiting:
            key, (when, act) = next(iter(self.waiting.items()))
            if when > now:
                return
            del self.waiting[key]
            act()


class Loop:
    """The descriptors that are watched. Level-triggered; an act gets the events."""

    def __init__(self) -> None:
        self.poll = select.epoll()
        self.acts: dict[int, Callable[[int], None]] = {}
        # A number that was closed and given out again in one batch: its events are not its successor's.
        self.stale: set[int] = set()
        self.kinds: list[Deadlines] = []
        self.over = False

    def deadlines(self, seconds: float) -> Deadlines:
        """A kind of thing that may take so many seconds."""
        self.kinds.append(Deadlines(seconds))
        return self.kinds[-1]

    def watch(self, descriptor: int, events: int, act: Callable[[int], None]) -> None:
        """Have act called with what is there on descriptor: of events, and hangups and errors always."""
        self.poll.register(descriptor, events)
        self.acts[descriptor] = act

    def change(self, descriptor: int, events: int) -> None:
        """Watch for other events."""
        self.poll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """No longer watch; a descriptor that is not watched is none of ours."""
        if self.acts.pop(descriptor, None) is not None:
            self.poll.unregister(descriptor)
            self.stale.add(descriptor)

    def run(self) -> None:
        """Serve until `over` is set."""
        while not self.over:
            waits = any(kind.waiting for kind in self.kinds)
            self.stale.clear()
            for descriptor, events in self.poll.poll(TICK if waits else -1):
                act = self.acts.get(descriptor)
                if act is not None and descriptor not in self.stale:
                    act(events)
            now = time.monotonic()
            for kind in self.kinds:
                kind.expire(now)
