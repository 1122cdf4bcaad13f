"""The controlling terminal: who is in the foreground, and the modes that are restored at the end."""

from __future__ import annotations

import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Terminal:
    """The terminal of this process, or none (descriptor None)."""

    def __init__(self) -> None:
        try:
            self.descriptor: int | None = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError:
            self.descriptor = None
        self.own_group = os.getpgrp()
        self.modes: list[Any] | None = None
        self.held = False  # the sandbox has, or had, the foreground
        self.save()

    def ours(self) -> bool:
        """Whether this process's group is in the foreground."""
        return self.foreground() == self.own_group

    def foreground(self) -> int:
        """The foreground process group; 0 without a terminal or after a hangup."""
        try:
            return os.tcgetpgrp(self.descriptor) if self.descriptor is not None else 0
        except OSError:
            return 0

    def save(self) -> None:
        """Keep the modes as they are now."""
        if self.descriptor is not None:
            try:
                self.modes = termios.tcgetattr(self.descriptor)
            except termios.error:
                self.modes = None

    def give(self, group: int) -> None:
        """Put a group into the foreground. SIGTTOU is blocked, so it works from the background too."""
        if self.descriptor is not None:
            try:
                os.tcsetpgrp(self.descriptor, group)
            except OSError:
                pass  # the terminal hung up, or the group has ended

    def restore(self, group: int) -> None:
        """Take the terminal back and set its modes as they were, if nobody else has it by now."""
        if self.descriptor is None or not self.held:
            return
        holder = self.foreground()
        if holder not in (self.own_group, group) and _alive(holder):
            return
        self.give(self.own_group)
        if self.modes is not None:
            try:
                termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self.modes)
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
