"""Which name has which address inside: given out once, never taken back, and kept over a restart of the gateway."""

from __future__ import annotations

import os

from claudebox.plan.network.allowlist import NAMES

LONGEST = 254  # bytes of a line


class Table:
    """The names in the order in which they were first asked for. kept: a file in memory, shared with the launcher."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        text = os.pread(kept, NAMES * LONGEST, 0).decode("ascii", errors="replace")
        self.names = text.split("\n")[:-1][:NAMES]
        self.index = {name: number for number, name in enumerate(self.names)}
        self.end = sum(len(name) + 1 for name in self.names)

    def number(self, name: str) -> int | None:
        """The index of a name, given to it now if it has none; None when there are no more."""
        found = self.index.get(name)
        if found is None and len(self.names) < NAMES:
            found = self.index[name] = len(self.names)
            self.names.append(name)
            line = name.encode("ascii") + b"\n"
            os.pwrite(self.kept, line, self.end)
            self.end += len(line)
        return found

    def name(self, number: int | None) -> str:
        """The name with this index; "" when nobody has it."""
        return self.names[number] if number is not None and number < len(self.names) else ""
