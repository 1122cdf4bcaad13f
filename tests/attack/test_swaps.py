"""Launches against a session that swaps a directory for a symlink in a tight loop: no mask is missing, nothing is
made outside. `scripts/soak swaps` runs ten times as many.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from box import Box
from capability import needs, repeat

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.timeout(3600)]

# renameat2(2) with RENAME_EXCHANGE of two names, for ever. A launch moves a link in the home aside: then another one.
SWAP = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
one, other, victim = map(os.fsencode, sys.argv[1:])
number = 0
while True:
    for _ in range(50):
        libc.renameat2(-100, one, -100, other, 2)
    if not (os.path.islink(one) or os.path.islink(other)):
        number += 1
        try:
            os.rename(other, b"%s.%d" % (other, number))
            os.symlink(victim, other)
        except OSError:
            pass
"""
LAUNCHES = repeat(2000) // 4

# The agent says that it ran, and what it got: the mount sits on the directory that it was made on, under whatever
# name that is just now, so it asks the kernel; the masks of `.git` it tries.
TRY = """
echo ran >>ran
grep -Eq '/store [^ ]+ ro' /proc/self/mountinfo || echo no mount
echo '#' >>.git/config && echo past .git/config
touch .git/hooks/x && echo past .git/hooks
exit 0
"""


@contextmanager
def swapping(one: Path, other: Path, victim: Path) -> Iterator[None]:
    """A process of another session that exchanges two names all the time."""
    process = subprocess.Popen([sys.executable, "-I", "-c", SWAP, one, other, victim])
    try:
        seen = {os.path.islink(one)}
        deadline = time.monotonic() + 20
        while len(seen) < 2 and time.monotonic() < deadline:
            seen.add(os.path.islink(one))
        assert len(seen) == 2, "the control: it swaps"
        yield
    finally:
        process.kill()
        process.wait()


def tree(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize("place", ["home", "home above", "project", "project above"])
def test_swapped_mount_points(box: Box, place: str) -> None:
    """A mount from elsewhere at a place that is swapped, or below one; the masks of `.git` stand beside it.

    CVE-2021-30465 (runc): a second container swapped a mount point for a link while the first one was started.
    CVE-2026-87766 (bubblewrap): mount points were made and resolved through links that an earlier session planted.
    """
    (box.home / "store").mkdir()
    (box.home / "store" / "of").write_text("the store\n")
    victim = box.home / "victim"
    (victim / "inner").mkdir(parents=True)
    target = box.home / "tool" / "inner" if place == "home above" else box.home / "tool"
    if place.startswith("project"):
        target = box.app / "data" / "inner" if place == "project above" else box.app / "data"
    mount = f"{box.home}/store:{target}"
    launch = ("run", "-n", "offline", "-y", "-m", mount, "--", "sh", "-c", TRY)
    assert box.claudebox(*launch).status == 0, "the control: it starts while nobody swaps"
    (home,) = box.state.glob("instances/*/home")
    # the place as the host sees it, and a link that leads out, under another name
    real = home / "tool" if place.startswith("home") else box.app / "data"
    if place.endswith("above"):
        (real / "inner").mkdir(parents=True, exist_ok=True)
    else:
        real.mkdir(exist_ok=True)
    link = real.with_name("link")
    link.symlink_to(victim)
    (box.app / "ran").unlink()
    before, ran = tree(victim), 0
    with swapping(real, link, victim):
        for number in range(LAUNCHES):
            done = box.claudebox(*launch)
            assert "past" not in done.stdout and "no mount" not in done.stdout, f"{number}: {done}"
            assert "Traceback" not in done.stderr, done.stderr
            assert done.status in (0, 125), done
            assert tree(victim) == before, f"{number}: {done}"
            ran += done.status != 125
    print(f"{place}: {ran} of {LAUNCHES} launches ran, the others were refused")
    assert ran == len((box.app / "ran").read_text().splitlines()) if ran else not (box.app / "ran").exists()
    assert "#" not in (box.app / ".git" / "config").read_text()
    assert not (box.app / ".git" / "hooks" / "x").exists()
    assert not (box.app / ".git" / "commondir").exists()
