"""A rootless test internet made of namespaces (worldnet.py has the map), and programs run on its host.

    def test_public(world, box):
        inside = world.box(box, "user")            # the same home, on the world's host
        done = inside.claudebox("run", "--", "...")
        assert world.seen("inet")                  # what reached the internet's servers

Everything that dials an address other than loopback runs in there: the world has no way out to any real network.
As an ordinary user the world has two kinds of users: `root`, uid 0 of the world, and `user`. As uid 0 there is
`root` alone, the real one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import leak
from box import Box
from capability import SYSTEM_PATH, lacking

INSIDE = Path(__file__).with_name("worldnet.py")
PATIENCE = 30.0  # of one order; the slowest, building, takes under a second
SIDES = ("host", "lan", "bridge", "vpn", "inet")


def tool(name: str) -> str:
    """A system program by its path."""
    return shutil.which(name, path=SYSTEM_PATH) or name


class World:
    """One test internet. Use it with `with`."""

    def __init__(self, families: Sequence[int] = (4, 6)) -> None:
        userns = ["--user", "--map-root-user"] if os.geteuid() else []
        self.process = subprocess.Popen(
            [tool("unshare"), *userns, "--net", "--mount", "--fork", "--pid", "--mount-proc", "--kill-child",
             sys.executable, "-B", os.fspath(INSIDE), ",".join(map(str, families))],
            env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self.answers = b""
        self._answer()
        self.init = children(self.process.pid)[0]

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- programs on the world's host -----------------------------------------------------------

    def enter(self, who: str) -> tuple[str, ...]:
        """The words that run a program on the world's host, as `user` or as `root`."""
        words = [tool("nsenter"), "--target", str(self.init), "--net", "--mount", "--pid"]
        if os.geteuid() == 0:
            assert who == "root", "the world of the real root has no other user"
            return (*words, "--")
        words += ["--user", "--preserve-credentials", "--"]
        if who == "user":
            words += [tool("unshare"), "--user", f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}", "--"]
        return tuple(words)

    def box(self, box: Box, who: str) -> Box:
        """The same home and project, with every command on the world's host."""
        return dataclasses.replace(box, enter=self.enter(who))

    def root(self, *argv: str) -> str:
        """Run a program as the world's root and return what it printed; it must succeed."""
        done = subprocess.run(
            [*self.enter("root"), *argv], env={"PATH": SYSTEM_PATH}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    # --- orders to the servers ------------------------------------------------------------------

    def seen(self, *where: str, kind: str = "", data: str = "") -> list[dict[str, Any]]:
        """What reached the servers of these sides (all without one), of a kind and with a text in it.

        kinds: tcp (a connection), data (on one), udp, dns (a question), icmp (an echo), packet, abstract.
        """
        log = self._order(do="seen")
        return [
            entry
            for entry in log
            if (not where or entry["where"] in where) and kind in ("", entry["kind"]) and data in entry["data"]
        ]

    def clear(self) -> None:
        """Forget what was seen, and how often a changing name was asked for."""
        self._order(do="clear")

    def send(self, where: str, address: str, port: int, data: str) -> str:
        """Send a datagram from a side; the kernel's error, or ""."""
        return str(self._order(do="send", where=where, address=address, port=port, data=data))

    def ip(self, commands: str, where: str = "", family: int = 4) -> None:
        """Run lines of ip(8) on a side, by default the host."""
        self._order(do="ip", where=where, family=family, commands=commands)

    def resolver(self, text: str) -> None:
        """Write the host's resolv.conf anew."""
        self._order(do="resolver", text=text)

    def _order(self, **order: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        output = self.process.stdout.fileno()
        while b"\n" not in self.answers:
            ready, _, _ = select.select([output], [], [], PATIENCE)
            chunk = os.read(output, 1 << 16) if ready else b""
            if not chunk:
                self.close()
                pytest.fail(f"the test internet {'ended' if ready else 'does not answer'}", pytrace=False)
            self.answers += chunk
        line, _, self.answers = self.answers.partition(b"\n")
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def close(self) -> None:
        """End it, and everything that runs in it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def children(pid: int) -> list[int]:
    """The children of a process, as its main thread has them."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The test internet of this run, IPv4 and IPv6: built once, and nothing of it is left."""
    if reason := lacking("netns"):
        pytest.skip(f"needs netns: {reason}")
    leak.become_subreaper()
    with World() as made:
        before = leak.descendants(made.init)
        yield made
        left = leak.descendants(made.init) - before
        lines = list(map(leak.describe, sorted(left)))
    assert lines == [], "left in the test internet"
