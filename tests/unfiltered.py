"""A backend with no rules in front of it, attached to a plain network namespace: the control of the attacks.

What an attack reaches here and not in a sandbox, the rules have stopped; what it does not reach here either proves
nothing.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capability import SYSTEM_PATH
from world import World, tool

PROBE = Path(__file__).with_name("probe.py")
STATIC6 = "ip -6 addr add fd00::64/64 dev tap0 nodad; ip -6 route add default via fd00::2 dev tap0"
QUIET = """for s in all default; do echo 0 >/proc/sys/net/ipv6/conf/$s/accept_ra; done
echo 0 0 >/proc/sys/net/ipv4/ping_group_range; ip link set lo up"""
ENVIRONMENT = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"}


class Unfiltered:
    """A namespace whose tap0 leads out by a backend. pid: a process in it, as the world numbers it."""

    def __init__(self, world: World, pid: int) -> None:
        self.enter = (
            *world.enter("root"),
            *(tool("nsenter"), "--target", str(pid), "--user", "--net", "--preserve-credentials", "--"),
        )

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell in there, as its root."""
        return subprocess.run(
            [*self.enter, "sh", "-c", script], env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the probe in there with pipes."""
        return subprocess.Popen(
            [*self.enter, sys.executable, "-I", "-B", "-c", PROBE.read_text(), *arguments],
            env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def probed(self, cases: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Run probes in there: id → result."""
        with self.start("-") as process:
            output, _ = process.communicate(json.dumps(cases), timeout=120)
        assert process.returncode == 0
        return {result["id"]: result for result in map(json.loads, output.splitlines())}


@contextmanager
def unfiltered(world: World, backend: str, *, host_loopback: bool = False) -> Iterator[Unfiltered]:
    """Attach a backend, as the product does it but without rules; gone afterwards. host_loopback: slirp4netns is not
    told to keep out of it; pasta has to be told and does not."""
    words = [*world.enter("root"), "unshare", "--user", "--map-root-user", "--net", "--", "sh", "-c"]
    hold = subprocess.Popen(
        [*words, f"{QUIET}; echo up; read x"],
        env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with hold:
        assert hold.stdin is not None and hold.stdout is not None
        assert hold.stdout.readline() == b"up\n"
        pid = inner_pid(deepest(hold.pid))
        made = Unfiltered(world, pid)
        ready_r, ready_w = os.pipe()
        try:
            helper = subprocess.Popen(
                [*world.enter("root"), *_argv(backend, pid, ready_w, host_loopback)],
                env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(ready_w,),
            )  # fmt: skip
            os.close(ready_w)
            assert select.select([ready_r], [], [], 20)[0] and os.read(ready_r, 1), f"{backend} is not ready"
        except BaseException:
            hold.stdin.close()
            raise
        finally:
            os.close(ready_r)
        with helper:
            try:
                if backend == "slirp4netns":
                    done = made.sh(STATIC6)
                    assert done.returncode == 0, done.stderr
                yield made
            finally:
                _end(deepest(helper.pid))
                hold.stdin.close()


def _argv(backend: str, pid: int, ready: int, host_loopback: bool) -> list[str]:
    if backend == "slirp4netns":
        return [
            "slirp4netns", "--configure", "--cidr=10.0.2.0/24", "--mtu=65520",
            *(() if host_loopback else ("--disable-host-loopback",)), "--enable-ipv6",
            f"--ready-fd={ready}", str(pid), "tap0",
        ]  # fmt: skip
    forwarding = ["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw"]
    addresses = [
        "-I",
        "tap0",
        "-m",
        "9000",
        "-a",
        "10.0.2.100",
        "-n",
        "24",
        "-g",
        "10.0.2.2",
        "-a",
        "fd00::64",
        "-g",
        "fe80::2",
    ]
    return [
        "pasta", "-f", "-q", "--config-net", *forwarding, *addresses, "--no-dhcp", "--no-dhcpv6",
        "--no-ra", "--dns-forward", "10.0.2.3", "--runas", "0", "--pid", f"/proc/self/fd/{ready}",
        "--userns", f"/proc/{pid}/ns/user", "--netns", f"/proc/{pid}/ns/net",
    ]  # fmt: skip


def deepest(pid: int) -> int:
    """The last of a line of only children: the program behind nsenter's fork."""
    while True:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(below) != 1:
            return pid
        pid = int(below[0])


def inner_pid(pid: int) -> int:
    """A process's number in its own pid namespace."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    raise AssertionError("no NSpid")


def _end(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass
