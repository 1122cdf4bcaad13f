"""The controlling terminal: who is in the foreground, and what of its state is restored at a stop and at the end."""

from __future__ import annotations

import fcntl
import os
import termios

from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class State(NamedTuple):
    """What a program can leave behind on a terminal. modes: termios(3); flags: of each of our standard
    descriptors that is a terminal, because an agent has the same open files (node sets O_NONBLOCK)."""

    modes: list[Any]
    flags: dict[int, int]


class Terminal:
    """The terminal of this process, or none (descriptor None)."""

    def __init__(self) -> None:
        try:
            self.descriptor: int | None = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError:
            self.descriptor = None
        self.own_group = os.getpgrp()
        self.held = False  # the sandbox has, or had, the foreground
        self.lent = False  # a neighbour in our job took it since, and its modes are that one's
        self.ours_before: State | None = self._state()
        self.agents: State | None = None  # as the agent left it when it was stopped

    def ours(self) -> bool:
        """Whether this process's group is in the foreground."""
        return self.foreground() == self.own_group

    def foreground(self) -> int:
        """The foreground process group; 0 without a terminal or after a hangup."""
        try:
            return os.tcgetpgrp(self.descriptor) if self.descriptor is not None else 0
        except OSError:
            return 0

    def hand_over(self, group: int) -> None:
        """Give the foreground to the sandbox's group, with the state that it had when it was stopped."""
        self.ours_before = self._state()
        self.held, self.lent = True, False
        if self.agents is not None:
            self._apply(self.agents)
            self.agents = None
        self._give(group)

    def suspend(self, group: int) -> None:
        """The sandbox's group has stopped: take the terminal back if it has it, and restore its state."""
        if self.foreground() == group:
            self.agents = self._state()
            self.restore(group)

    def lend(self) -> None:
        """Give the foreground to our own group, for a neighbour there that wants it; the state becomes its own."""
        self.lent = True
        self._give(self.own_group)

    def restore(self, group: int) -> None:
        """Take the terminal back and set its state as it was, if nobody else has it by now."""
        if self.descriptor is None or not self.held or self.lent:
            return
        holder = self.foreground()
        if holder not in (self.own_group, group) and _alive(holder):
            return
        try:
            fcntl.ioctl(self.descriptor, termios.TIOCNXCL)  # else nobody could open it any more
        except OSError:
            pass
        if self.ours_before is not None:
            self._apply(self.ours_before)
        self._give(self.own_group)  # last: a neighbour sets modes of its own as soon as it may

    def _give(self, group: int) -> None:
        """Put a group into the foreground. SIGTTOU is blocked, so it works from the background too."""
        if self.descriptor is not None:
            try:
                os.tcsetpgrp(self.descriptor, group)
            except OSError:
                pass  # the terminal hung up, or the group has ended

    def _state(self) -> State | None:
        if self.descriptor is None:
            return None
        try:
            modes = termios.tcgetattr(self.descriptor)
        except termios.error:
            return None
        return State(modes=modes, flags={n: fcntl.fcntl(n, fcntl.F_GETFL) for n in range(3) if os.isatty(n)})

    def _apply(self, state: State) -> None:
        for number, flags in state.flags.items():
            try:
                fcntl.fcntl(number, fcntl.F_SETFL, flags)
            except OSError:
                pass
        if self.descriptor is not None:
            try:
                termios.tcsetattr(self.descriptor, termios.TCSADRAIN, state.modes)
            except termios.error:
                pass


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return group != 0
