"""Tier internet-only where a piece of it fails: the launch stops with its own words, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import leak
from box import Box
from capability import needs

pytestmark = [needs("userns", "bwrap", "git", "nft", "tun", "slirp4netns")]
VERSION = 'case "$1" in --version) echo "slirp4netns version 1.2.0";; --help) echo "--enable-seccomp";; *) '


def replace(box: Box, name: str, script: str) -> dict[str, str | None]:
    """A program of ours in place of the machine's, and the environment that finds it first."""
    directory = box.home / "bin"
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin"}


def launch(box: Box, env: dict[str, str | None]) -> tuple[int, str, str]:
    done = box.claudebox("run", "-n", "internet-only", "--", "echo", "ran", env=env)
    return done.status, done.stdout, done.stderr


def test_the_control(box: Box) -> None:
    env = replace(box, "nft", 'exec /usr/sbin/nft "$@"')
    assert launch(box, env)[:2] == (0, "ran\n")


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("Unable to initialize Netlink socket: Protocol not supported", "no nf_tables", "modprobe nf_tables"),
        ("Error: Could not process rule: No such file or directory", "lacks a part of nf_tables", "modprobe -a"),
        ("Error: Operation not permitted", "may not be loaded here", "NET_ADMIN"),
        ("a new complaint", "a new complaint", "doctor"),
    ],
)
def test_rules_that_cannot_be_loaded(box: Box, words: str, said: str, hint: str) -> None:
    status, out, err = launch(box, replace(box, "nft", f'echo "{words}" >&2; exit 1'))
    assert (status, out) == (125, "")
    assert said in err and words in err and hint in err.partition("hint:")[2]


def test_rules_that_are_killed_while_they_load(box: Box) -> None:
    status, out, err = launch(box, replace(box, "nft", "kill -9 $$"))
    assert (status, out) == (125, "") and "nft: status 137" in err


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('echo "open(\\"/dev/net/tun\\"): Permission denied" >&2; exit 1', "Permission denied"),
        ("exit 0", "could not attach"),
        ("kill -9 $$", "could not attach"),
        ("yes complaint >&2", "complaint"),
    ],
)
def test_a_backend_that_ends_at_once(box: Box, script: str, said: str) -> None:
    status, out, err = launch(box, replace(box, "slirp4netns", f"{VERSION}{script};; esac"))
    assert (status, out) == (125, "") and said in err and "hint:" in err


def test_a_backend_that_says_it_is_ready_and_set_nothing(box: Box) -> None:
    """Its word is not believed: addresses and routes are looked at."""
    say = "for one; do case $one in --ready-fd=*) echo 1 >/proc/self/fd/${one#*=};; esac; done; exec sleep 100"
    status, out, err = launch(box, replace(box, "slirp4netns", f"{VERSION}{say};; esac"))
    assert (status, out) == (125, "")
    assert "was planned" in err or "could not be set" in err


def test_a_backend_that_never_gets_ready_is_given_up(box: Box) -> None:
    began = time.monotonic()
    status, out, err = launch(box, replace(box, "slirp4netns", f"{VERSION}exec sleep 100;; esac"))
    assert (status, out) == (125, "") and "did not get ready within 10 s" in err
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", ["slirp4netns", "nft"])
def test_a_signal_ends_a_start_that_hangs(box: Box, name: str, number: int) -> None:
    before = VERSION if name == "slirp4netns" else 'case "" in *) '
    env = replace(box, name, f"{before}echo >hangs; exec sleep 100;; esac")
    launcher = box.start([box.program, "run", "-n", "internet-only", "--", "echo", "ran"], env=env)
    with launcher:
        while not (box.app / "hangs").exists():
            assert launcher.poll() is None
            time.sleep(0.01)
        began = time.monotonic()
        launcher.send_signal(number)
        out, err = launcher.communicate(timeout=10)
        assert time.monotonic() - began < 2
    assert (launcher.returncode in (128 + number, -number), out, err) == (True, b"", b"")


def test_the_words_of_a_backend_are_bounded(box: Box) -> None:
    """An agent could have it complain for days."""
    say = 'exec /usr/bin/slirp4netns "$@"'
    env = replace(box, "slirp4netns", f"{VERSION}yes >&2 & {say};; esac")
    os.mkfifo(box.app / "fifo")
    launcher = box.start([box.program, "run", "-n", "internet-only", "--", "sh", "-c", "exec 9>fifo; echo up >&9; cat"],
                         env=env, stdin=subprocess.PIPE)  # fmt: skip
    with launcher, open(box.app / "fifo") as fifo:
        assert fifo.readline() == "up\n"
        sizes = [
            os.stat(f"/proc/{pid}/fd/2").st_size
            for pid in leak.descendants()
            if "noise" in os.readlink(f"/proc/{pid}/fd/2")
        ]
        assert sizes and set(sizes) == {1 << 16}
        launcher.communicate(b"", timeout=10)
    assert launcher.returncode == 0


def test_nothing_of_the_start_is_in_the_tree(box: Box) -> None:
    """Whatever failed, the project is as it was."""
    launch(box, replace(box, "nft", "exit 1"))
    assert box.git("status", "--porcelain") == ""
    assert not list(Path(box.state).rglob("stubs.json"))
