"""Which program inside asked: by its socket in /proc, for what is worth a look, and not too often."""

from __future__ import annotations

import os
import time

from claudebox.run.processes import children

MOST, PROCESSES, LONGEST = 20, 2000, 120  # look-ups a second; processes that are looked at; characters of a command


class Who:
    """Looks programs up. init: pid 1 of the sandbox, 0 until it is known."""

    def __init__(self) -> None:
        self.init = 0
        self.second, self.count = 0, 0

    def program(self, version: int, port: int, *, datagram: bool = False) -> str:
        """The command line of who has a socket at this port inside; "" where it cannot be said now."""
        now = int(time.monotonic())
        if now != self.second:
            self.second, self.count = now, 0
        self.count += 1
        if not self.init or self.count > MOST:
            return ""
        try:
            inode = self.inode(("udp" if datagram else "tcp") + ("6" if version == 6 else ""), port)
            return self.holder(f"socket:[{inode}]") if inode else ""
        except OSError:
            return ""

    def inode(self, table: str, port: int) -> str:
        """The socket with this port at its own end."""
        with open(f"/proc/{self.init}/net/{table}", encoding="ascii") as file:
            for line in file:
                words = line.split(maxsplit=10)
                if len(words) > 9 and words[1].endswith(f":{port:04X}") and words[9] != "0":
                    return words[9]
        return ""

    def holder(self, link: str) -> str:
        """The first process below pid 1 that has it open."""
        todo, seen = [self.init], 0
        while todo and seen < PROCESSES:
            pid = todo.pop()
            seen += 1
            try:
                for number in os.listdir(f"/proc/{pid}/fd"):
                    if os.readlink(f"/proc/{pid}/fd/{number}") == link:
                        return command(pid)
            except OSError:
                pass  # it has just ended, or closed one
            todo += children(pid)
        return ""


def command(pid: int) -> str:
    """A process's command line, in short. It says what it likes of itself."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read(4 * LONGEST).split(b"\0")
    return b" ".join(words).decode(errors="replace").strip()[:LONGEST]
