"""Machines that lack something, made for real in a mount namespace of our own: each is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from box import Box
from capability import needs
from machine import USER, WORLD, over

BUSYBOX = """#!/bin/sh
case $1 in --*) echo "env: unrecognized option '$1'" >&2; exit 1 ;; esac
exec /usr/bin/python3 -c 'import os, sys; os.execvp(sys.argv[1], sys.argv[1:])' "$@"
"""


@pytest.fixture
def busybox_env(box: Box) -> Path:
    """An env that knows no --default-signal, as busybox's."""
    made = box.home / "env"
    made.write_text(BUSYBOX)
    made.chmod(0o755)
    return made


@needs("userns", "bwrap", "git")
def test_an_env_without_default_signal_is_named(box: Box, busybox_env: Path) -> None:
    launch = f"{USER}{box.program} run -n offline -- true"
    control = box.run([*WORLD, launch])
    assert (control.status, control.stderr) == (0, ""), "the same world with its own env"
    done = box.run([*WORLD, over(busybox_env, "/usr/bin/env") + launch])
    first, second = done.stderr.splitlines()
    assert (done.status, done.stdout) == (125, "")
    assert first == "claudebox: error: this env (/usr/bin/env) has no --default-signal"
    assert second.startswith("hint: install GNU coreutils 8.31") and "apk add coreutils" in second


@needs("userns", "bwrap", "git")
def test_env_is_tried_once(box: Box) -> None:
    for _ in range(2):
        assert box.claudebox("run", "-n", "offline", "--", "true").status == 0
    assert '"/usr/bin/env:' in (box.state / "cache" / "probes.json").read_text()


@needs("userns", "bwrap", "git")
def test_a_part_of_the_system_on_a_file_system_of_its_own(box: Box) -> None:
    """It comes along with the mount above it, read-only, as the plan says."""
    world = "mount -t tmpfs none /usr/local && mkdir /usr/local/deep && mount -t tmpfs none /usr/local/deep && "
    world += "mount -t tmpfs none /etc/ssl/certs && echo made | tee /usr/local/deep/file >/etc/ssl/certs/file && "
    script = "cat /usr/local/deep/file /etc/ssl/certs/file; echo 2>/dev/null >/usr/local/deep/new || echo kept out"
    done = box.run([*WORLD, f"{world}{USER}{box.program} run -n offline -- sh -c '{script}'"])
    assert (done.status, done.stdout, done.stderr) == (0, "made\nmade\nkept out\n", "")
    shown = box.run([*WORLD, f"{world}{USER}{box.program} run -n offline --dry-run -- true"]).stdout
    assert "a mount of the host below /usr" in shown
