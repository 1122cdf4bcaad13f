"""[limits]: how many processes, how much memory, no core files. Every bomb here ends by itself, and first looks
whether the bound that is to stop it stands."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
OFFLINE = ("run", "-n", "offline")
FEW = 60

# Forks at most 300 children, which wait until it ends; says how many it got.
MANY = """
import os, time
made = 0
reader, writer = os.pipe()
for _ in range(300):
    try:
        pid = os.fork()
    except BlockingIOError:
        break
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    made += 1
print(made, flush=True)
"""

# Everything forks whenever it can, until it is told to stop and for 20 seconds at most; where nothing bounds it, it
# does not begin.
BOMB = f"""
import os, resource, signal, time
uid0 = open('/proc/self/uid_map').read().split()[1] == '0'
assert uid0 or resource.getrlimit(resource.RLIMIT_NPROC)[1] <= {FEW}
end = time.monotonic() + 20
open('begun', 'w').close()
refused = 0
while time.monotonic() < end and not os.path.exists("stop"):
    try:
        os.fork()
    except BlockingIOError:
        refused += 1
os._exit(0 if refused else 7)
"""


def limited(box: Box, text: str = f"processes = {FEW}") -> None:
    box.state.mkdir(mode=0o700, exist_ok=True)
    (box.state / "config.toml").write_text(f"[limits]\n{text}\n")


def python(box: Box, code: str, *options: str, before: Sequence[str] = ()) -> Result:
    return box.claudebox(*OFFLINE, *options, "--", *before, "/usr/bin/python3", "-c", code)


def bounded(box: Box) -> bool:
    """Whether this machine can bound the sandbox's processes at all; the plan says so itself."""
    return "the number of processes is not bounded" not in planned(box)


def planned(box: Box) -> str:
    done = box.claudebox("run", "--dry-run", "-n", "offline", "--", "true")
    assert done.status == 0, done.stderr
    return done.stdout


def test_the_number_of_processes(box: Box) -> None:
    limited(box)
    if not bounded(box):
        pytest.skip("uid 0, and no cgroup can be had")
    done = python(box, MANY)
    assert done.status == 0 and 0 < int(done.stdout) < FEW
    limited(box, "processes = 500")
    assert int(python(box, MANY).stdout) == 300, "the control"


def test_a_nested_namespace_counts_with_it(box: Box) -> None:
    limited(box)
    if not bounded(box):
        pytest.skip("uid 0, and no cgroup can be had")
    nested = ("unshare", "--user", "--pid", "--fork", "--kill-child")
    done = python(box, MANY, before=nested)
    assert done.status == 0 and 0 < int(done.stdout) < FEW
    limited(box, "processes = 500")
    assert int(python(box, MANY, before=nested).stdout) == 300, "the control"


def test_the_limit_cannot_be_raised(box: Box) -> None:
    limited(box)
    raised = "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (500, 500))"
    assert "ValueError: not allowed to raise" in python(box, raised).stderr
    assert python(box, raised.replace("500", "30")).status == 0, "the control"


def test_pid_1_is_bounded_too(box: Box) -> None:
    limited(box)
    done = box.claudebox(*OFFLINE, "--", "grep", "-E", "Max (processes|core)", "/proc/1/limits", "/proc/self/limits")
    found = [line.split(":")[1].split()[-3:-1] for line in done.stdout.splitlines()]
    assert found == [["1", "1"], [str(FEW), str(FEW)]] * 2


def test_no_core_file(box: Box) -> None:
    crash = ["sh", "-c", "ulimit -c; ulimit -c unlimited; kill -ABRT $$"]
    done = box.claudebox(*OFFLINE, "--", *crash)
    assert done.status == 134 and done.stdout == "0\n" and "ulimit" in done.stderr
    assert not list(box.app.glob("core*"))


def test_two_sandboxes_and_the_host_do_not_share_a_limit(box: Box) -> None:
    limited(box)
    if not bounded(box):
        pytest.skip("uid 0, and no cgroup can be had")
    other = box.home / "other"
    other.mkdir()
    held = MANY + "input()\n"
    argv = [box.program, *OFFLINE, "--", "/usr/bin/python3", "-c", held]
    with box.start(argv, cwd=other, stdin=subprocess.PIPE) as first:
        assert first.stdout and first.stdin
        made = int(first.stdout.readline())
        assert made > FEW // 2, "the first one is at its limit"
        assert int(python(box, MANY).stdout) == made
        first.stdin.close()
        assert first.wait(20) in (0, 1)


def test_a_fork_bomb_ends_inside(box: Box) -> None:
    limited(box)
    if not bounded(box):
        pytest.skip("uid 0, and no cgroup can be had")
    other = box.home / "other"
    other.mkdir()
    with box.start([box.program, *OFFLINE, "--", "/usr/bin/python3", "-c", BOMB]) as bomb:
        while not (box.app / "begun").exists():
            assert bomb.poll() is None, bomb.communicate()
        assert box.claudebox(*OFFLINE, "--", "sh", "-c", "echo works", cwd=other).stdout == "works\n"
        assert box.run(["sh", "-c", "true & wait"]).status == 0
        assert bomb.poll() is None, "the control: it was still going on"
        (box.app / "stop").touch()
        assert bomb.wait(30) == 0


def test_the_plan_says_what_holds(box: Box) -> None:
    limited(box, 'memory = "1G"')
    text = planned(box)
    assert ("memory is bounded to 1G by a cgroup" in text) != ("memory is not bounded" in text)


FILLER = """
import mmap
room = mmap.mmap(-1, 256 << 20)
for page in range(0, len(room), 4096):
    room[page] = 1
print('filled')
"""


@needs("uid0", "memory_cgroup")
def test_a_memory_bomb_ends_inside(box: Box) -> None:
    """256 MiB in a sandbox of 64: bounded by itself, should the cgroup not hold."""
    limited(box, 'memory = "64M"')
    done = python(box, FILLER)
    assert (done.status, done.stdout) == (137, ""), done.stderr
    limited(box, 'memory = "512M"')
    assert python(box, FILLER).stdout == "filled\n", "the control"


@needs("uid0", "memory_cgroup")
def test_the_cgroup_goes_with_its_session(box: Box) -> None:
    with box.start([box.program, *OFFLINE, "--", "sh", "-c", "touch begun; cat"], stdin=subprocess.PIPE) as first:
        while not (box.app / "begun").exists():
            assert first.poll() is None
        made = list(Path("/sys/fs/cgroup").glob(f"**/claudebox-{first.pid}"))
        assert made, "the control"
        first.kill()
        first.wait(5)
    assert box.claudebox(*OFFLINE, "--", "true").status == 0, "the next launch sweeps"
    assert not [path for path in made if path.exists()]


# As root of namespaces of its own, all of the tree that it can mount: without a limit.
WIDEN = """
import ctypes, os
libc = ctypes.CDLL(None)
os.makedirs("/tmp/c", exist_ok=True)
written = 0
for kind, options in ((b"cgroup", b"pids"), (b"cgroup2", None)):
    if libc.mount(b"c", b"/tmp/c", kind, ctypes.c_ulong(0), options) == 0:
        for directory, _, names in os.walk("/tmp/c"):
            for name in {"pids.max", "cgroup.procs"}.intersection(names):
                try:
                    with open(f"{directory}/{name}", "w") as file:
                        written += file.write("max" if name == "pids.max" else str(os.getpid()))
                except OSError:
                    pass
        libc.umount2(b"/tmp/c", 2)
print(written, end=" ")
"""


@needs("uid0", "memory_cgroup")
def test_the_cgroup_cannot_be_widened_from_inside(box: Box) -> None:
    """CVE-2022-0492 (kernel): what a cgroup obeys could be written by who mounted its tree in a namespace."""
    limited(box)
    if not bounded(box):
        pytest.skip("uid 0, and no cgroup can be had")
    nested = ("unshare", "--user", "--keep-caps", "--mount", "--cgroup")
    done = python(box, WIDEN + MANY, before=nested)
    written, made = map(int, done.stdout.split())
    assert 0 < made < FEW
    assert written > 0, "the control: something of the tree can be written"
