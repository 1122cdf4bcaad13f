"""What the gateway did, as JSON lines for the user, bounded in size and lines a second; what was reached, counted."""

from __future__ import annotations

import os
import time

from claudebox.jsontext import json_text
from claudebox.plan.network.allowlist import LOG_BYTES, LOG_LINES, NAMES
from claudebox.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

REPEATED, TOLD, SHOWN = 3, 20, 5  # refusals until they are said; names that are; names in the sentence at the end
LONGEST = 300  # characters of a name or reason
KINDS = 1000  # of events that are told apart within a second


class Log:
    """The file of this session, and the numbers for its end. say: has the launcher tell the user."""

    def __init__(self, file: int, say: Callable[[str], None]) -> None:
        self.file, self.say = file, say
        self.size = os.fstat(file).st_size
        self.full = False
        self.second, self.lines = 0, 0
        self.last: dict[tuple[str, str, int, str], int] = {}  # what was logged → in which second
        self.again: dict[tuple[str, str, int, str], int] = {}  # how often since
        self.reached: set[str] = set()
        self.refused: dict[str, int] = {}
        self.told: set[str] = set()

    def event(self, verdict: str, name: str, port: int, reason: str, **more: str | int) -> None:
        """One line, unless the same was written within this second: then the next one says how often."""
        now = time.time()
        self.count(verdict, name or str(more.get("address", "")), reason)
        key = verdict, name, port, reason
        if verdict != "ended":
            if self.last.get(key) == int(now):
                self.again[key] = self.again.get(key, 0) + 1
                return
            if len(self.last) >= KINDS:
                self.last.clear()
                self.again.clear()
            self.last[key] = int(now)
            if again := self.again.pop(key, 0):
                more["repeated"] = again
        if self.room(int(now)):
            self.write(
                {"time": round(now, 3), "name": name, "port": port, "verdict": verdict, "reason": reason, **more}
            )

    def room(self, now: int) -> bool:
        """Whether a line may be written now."""
        if now != self.second:
            self.second, self.lines = now, 0
        self.lines += 1
        if self.lines == LOG_LINES:
            self.write({"time": now, "verdict": "suppressed", "reason": f"more than {LOG_LINES} lines in a second"})
        return self.lines < LOG_LINES and not self.full

    def write(self, fields: dict[str, str | int | float]) -> None:
        """Append a line; a full disk, and a full file, end the log and nothing else."""
        shown = (f'"{key}": {json_text(v[:LONGEST]) if isinstance(v, str) else v}' for key, v in fields.items())
        line = ("{" + ", ".join(shown) + "}\n").encode()
        try:
            self.size += os.write(self.file, line)
        except OSError:
            self.full = True
        if self.size >= LOG_BYTES and not self.full:
            self.full = True
            os.write(self.file, b'{"time": 0, "verdict": "suppressed", "reason": "this log is full"}\n')

    def count(self, verdict: str, name: str, reason: str) -> None:
        """Remember what the end will say, and say what is asked for again and again."""
        if verdict == "allowed" and len(self.reached) < NAMES:
            self.reached.add(name)
        if verdict != "refused" or (name not in self.refused and len(self.refused) >= NAMES):
            return
        self.refused[name] = self.refused.get(name, 0) + 1
        if self.refused[name] == REPEATED and len(self.told) < TOLD:
            self.told.add(name)
            self.say(f"{printable(name[:LONGEST])} is refused: {printable(reason[:LONGEST])}")

    def summary(self) -> str:
        """What is said when the session ends; "" when nobody asked for anything."""
        if not self.reached and not self.refused:
            return ""
        text = f"network: reached {len(self.reached)} name{'s' * (len(self.reached) != 1)}, refused {len(self.refused)}"
        if self.refused:
            named = [printable(name[:LONGEST]) for name in list(self.refused)[:SHOWN]]
            more = ", …" if len(self.refused) > SHOWN else ""
            text += f" ({', '.join(named)}{more})"
        return text
