"""What an agent can use up: memory file systems, descriptors, output, and what the launcher reads of it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from box import Box
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
OFFLINE = ("run", "-n", "offline", "--")


def limited(box: Box, text: str) -> None:
    box.state.mkdir(mode=0o700, exist_ok=True)
    (box.state / "config.toml").write_text(f"[limits]\n{text}\n")


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/run", "/dev/shm"])
def test_a_filler_of_memory(box: Box, place: str) -> None:
    """40 MiB into a private file system of 8: it is full, and the rest of the sandbox goes on."""
    limited(box, 'tmp = "8M"')
    script = f"head -c 41943040 /dev/zero >{place}/x; stat -c %s {place}/x; echo y >here && cat here"
    done = box.claudebox(*OFFLINE, "sh", "-c", script)
    size, word = done.stdout.split()
    assert int(size) <= 8 << 20 and word == "y" and "No space left" in done.stderr
    limited(box, 'tmp = "64M"')
    assert box.claudebox(*OFFLINE, "sh", "-c", script).stdout.split() == ["41943040", "y"], "the control"


@pytest.mark.parametrize("place", ["/", "/etc", "/dev", "/usr", "/var"])
def test_no_other_memory_can_be_filled(box: Box, place: str) -> None:
    script = f"head -c 1 /dev/zero >{place}/x; mkdir {place}/d; head -c 1 /dev/zero >/tmp/x && echo there"
    done = box.claudebox(*OFFLINE, "sh", "-c", script)
    assert done.stdout == "there\n" and done.stderr.count("Read-only") == 2, done.stderr


def test_output_without_end(box: Box) -> None:
    """The launcher does not stand between the agent and its streams: it keeps none of it."""
    with box.start([box.program, *OFFLINE, "sh", "-c", "yes | head -c 200000000"]) as process:
        assert process.stdout is not None
        count = 0
        while chunk := os.read(process.stdout.fileno(), 1 << 20):
            count += len(chunk)
        status = Path(f"/proc/{process.pid}/status").read_text() if process.poll() is None else "VmHWM: 0 kB"
        assert process.wait(20) == 0 and count == 200_000_000
    resident = int(status.partition("VmHWM:")[2].split()[0] if "VmHWM" in status else 0)
    assert resident < 100_000, "KiB"


def test_a_reader_that_goes_away(box: Box) -> None:
    with box.start([box.program, *OFFLINE, "yes"]) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(20) == 141


def test_many_mounts_of_its_own_do_not_wake_the_launcher(box: Box) -> None:
    """In a namespace of its own an agent may mount without end: what the launcher watches is the sandbox's table."""
    loop = "for i in $(seq 300); do mount -t tmpfs x /tmp 2>/dev/null || mount --bind /usr /tmp; done; touch done; cat"
    words = ("unshare", "--user", *(() if os.getuid() == 0 else ("-r",)), "--keep-caps", "--mount", "sh", "-c", loop)
    with box.start([box.program, *OFFLINE, *words], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not (box.app / "done").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        spent = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
        process.communicate(timeout=20)
    assert (box.app / "done").exists() and spent < 1.5, "seconds of the launcher's own"


def test_a_storm_of_signals_and_children(box: Box) -> None:
    """Ten thousand processes that end, and signals to the whole group: the launcher ends with the agent's status."""
    code = "for i in $(seq 2000); do :; done & kill -WINCH 0; for i in $(seq 300); do /bin/true & done; wait; exit 7"
    assert box.claudebox(*OFFLINE, "sh", "-c", code).status == 7


def test_a_project_with_a_deep_tree_and_long_names(box: Box) -> None:
    """A path longer than PATH_MAX, names of 255 bytes: the next launch walks none of it by name."""
    code = """
import os
for _ in range(40):
    name = "d" * 255
    os.mkdir(name)
    os.chdir(name)
open("x" * 255, "w").close()
"""
    assert box.claudebox(*OFFLINE, "/usr/bin/python3", "-c", code).status == 0
    done = box.claudebox(*OFFLINE, "sh", "-c", "echo on")
    assert (done.status, done.stdout) == (0, "on\n"), done.stderr
    assert box.run(["rm", "-rf", "d" * 255]).status == 0
