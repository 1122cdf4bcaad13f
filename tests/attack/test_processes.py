"""Processes of the host, by signals, tracing, priorities and /proc. The host's state is the judge, in each tier."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
TIERS = ["offline", pytest.param("full", marks=needs("landlock_scopes"))]


def python(box: Box, code: str, *words: str, tier: str = "offline") -> Result:
    return box.claudebox("run", "-y", "-n", tier, "--", "/usr/bin/python3", "-c", code, *words)


def outside(box: Box, code: str, *words: str) -> Result:
    return box.run(["/usr/bin/python3", "-c", code, *words])


@pytest.fixture
def canary(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user on the host."""
    with box.start(["sleep", "100"], env={"CANARY": "in its environment"}) as process:
        yield process
        process.kill()


def alive(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


# Every number that a process could have, up to the host's; each way of sending a signal.
SHOOT = """
import os, signal, sys
target = int(sys.argv[1])
reached = 0
for pid in (target, *range(20, 300)):
    for act in (lambda: os.kill(pid, 0), lambda: os.pidfd_open(pid), lambda: os.killpg(pid, 0)):
        try:
            act()
        except (OSError, ValueError):
            continue
        if pid == target or pid > 60:
            reached += 1
try:
    os.kill(target, signal.SIGTERM)
except OSError:
    pass
print(reached)
"""


@pytest.mark.parametrize("tier", TIERS)
def test_signals_by_number(box: Box, canary: subprocess.Popen[bytes], tier: str) -> None:
    assert python(box, SHOOT, str(canary.pid), tier=tier).stdout == "0\n"
    assert alive(canary)
    assert int(outside(box, SHOOT, str(canary.pid)).stdout) > 0, "the control"
    assert canary.wait(5) == -15


ATTACH = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
print(libc.ptrace(0x4206, pid, None, None))
"""


@pytest.mark.parametrize("tier", TIERS)
def test_tracing_by_number(box: Box, canary: subprocess.Popen[bytes], tier: str) -> None:
    """CVE-2016-9962 (runc): a process of the host that entered the container could be traced from inside."""
    assert python(box, ATTACH, str(canary.pid), tier=tier).stdout == "-1\n"
    child = "import subprocess, sys; p = subprocess.Popen(['sleep', '9'])\nsys.argv = ['', str(p.pid)]\n"
    assert python(box, child + ATTACH + "p.kill()", tier=tier).stdout == "0\n", "the control: an own one can be traced"
    assert alive(canary)


READ = """
import ctypes, os, sys
pid = int(sys.argv[1])
found = []
for name in ("environ", "mem", "maps", "root/etc/hostname", "cwd", "fd/0", "exe", "stack", "task"):
    try:
        os.stat(f"/proc/{pid}/{name}")
        found.append(name)
    except OSError:
        pass
print(*found)
"""


def test_proc_of_the_hosts_processes(box: Box, canary: subprocess.Popen[bytes]) -> None:
    assert python(box, READ, str(canary.pid)).stdout == "\n"
    assert "environ" in outside(box, READ, str(canary.pid)).stdout, "the control"


def test_a_new_proc_in_a_nested_namespace(box: Box, canary: subprocess.Popen[bytes]) -> None:
    """Root of a nested user namespace mounts a /proc of its own: it has no other processes."""
    script = f"mount -t proc proc /tmp 2>/dev/null; cat /tmp/{canary.pid}/environ /proc/{canary.pid}/environ"
    words = ("unshare", "--user", "--mount", "sh", "-c", script)
    done = box.claudebox("run", "-n", "offline", "--", *words)
    assert "CANARY" not in done.stdout
    assert "CANARY" in box.run(["cat", f"/proc/{canary.pid}/environ"]).stdout, "the control"


def nice(process: subprocess.Popen[bytes]) -> int:
    return os.getpriority(os.PRIO_PROCESS, process.pid)


@pytest.mark.parametrize("tier", TIERS)
def test_the_priority_of_the_users_processes(box: Box, canary: subprocess.Popen[bytes], tier: str) -> None:
    """All processes of a user are meant by one call; it counts those of the namespace."""
    before = nice(canary)
    lower = "import os; os.setpriority(os.PRIO_USER, os.getuid(), 7); print(os.getpriority(os.PRIO_PROCESS, 0))"
    assert python(box, lower, tier=tier).stdout == "7\n"
    assert nice(canary) == before
    assert box.run(["renice", "-n", "7", "-p", str(canary.pid)]).status == 0 and nice(canary) == 7, "the control"


def test_limits_of_the_hosts_processes(box: Box, canary: subprocess.Popen[bytes]) -> None:
    lower = "import resource as r, sys; print(r.prlimit(int(sys.argv[1]), r.RLIMIT_NOFILE, (9, 9)))"
    assert "ProcessLookupError" in python(box, lower, str(canary.pid)).stderr
    assert outside(box, lower, str(canary.pid)).status == 0, "the control"


def test_the_out_of_memory_score_cannot_be_lowered(box: Box) -> None:
    script = "echo -1000 >/proc/self/oom_score_adj; echo 500 >/proc/self/oom_score_adj && cat /proc/self/oom_score_adj"
    done = box.claudebox("run", "-n", "offline", "--", "sh", "-c", script)
    assert done.stdout == "500\n" and "sh: 1:" in done.stderr, "the first is refused, the second is the control"


def test_shared_memory_of_the_host(box: Box) -> None:
    """System V and POSIX: an IPC namespace and a private /dev/shm."""
    made = Path(f"/dev/shm/claudebox-canary-{os.getpid()}")
    made.write_text("of the host")
    try:
        done = box.claudebox(
            "run", "-y", "-n", "full", "--", "sh", "-c", f"cat {made}; ipcs -m | grep -c 0x; touch {made}"
        )
        assert "of the host" not in done.stdout and made.read_text() == "of the host"
        assert box.run(["cat", str(made)]).stdout == "of the host", "the control"
    finally:
        made.unlink()


def test_the_name_of_the_machine(box: Box) -> None:
    done = box.claudebox("run", "-y", "-n", "full", "--", "unshare", "--user", "--uts", "hostname", "mine")
    assert done.status != 127 and os.uname().nodename != "mine"


def test_a_stop_of_the_whole_group_does_not_hold_the_launcher(box: Box) -> None:
    """`kill(0, SIGSTOP)` crosses the pid namespace to the group: of the sandbox alone, and it is continued."""
    done = python(box, "import os; os.kill(0, 19); print('went on')")
    assert (done.status, done.stdout) == (0, "went on\n")
