"""The main job's promises against the kernel: what is inside, what is not, and what is left."""

from __future__ import annotations

import json
import os
import signal

import pytest

from box import Box
from capability import needs

OFFLINE = ("run", "-n", "offline")
FDS = 'l=fds; n=0; while [ $n -lt 300 ]; do [ -e /proc/self/fd/$n ] && l="$l $n"; n=$((n + 1)); done; echo $l'
SANDBOX = ("userns", "bwrap", "git")


def inside(box: Box, script: str, *options: str, **more: object) -> tuple[int, str]:
    done = box.claudebox(*OFFLINE, "-y", *options, "--", "sh", "-c", script, **more)  # type: ignore[arg-type]
    return done.status, done.stdout


@needs(*SANDBOX)
@pytest.mark.uid0
def test_the_plan_is_what_is_mounted(box: Box) -> None:
    plan = json.loads(box.claudebox(*OFFLINE, "--dry-run", "--json", "--", "true").stdout)
    assert plan["schema_version"] == 1
    planned = {m["target"]: m["access"] for m in plan["mounts"] if m["kind"] in ("bind", "tmpfs", "proc")}
    planned["/dev"] = "ro"
    status, text = inside(box, "cat /proc/self/mountinfo")
    assert status == 0
    seen = {}
    for line in text.splitlines():
        fields = line.split()
        if not fields[4].startswith("/dev/") and fields[4] not in ("/proc/irq", "/proc/bus", "/proc/sysrq-trigger"):
            seen[fields[4]] = fields[5].split(",")[0]
    planned.pop("/dev/shm")
    assert seen == planned


@needs(*SANDBOX)
@pytest.mark.uid0
def test_the_plan_is_the_environment(box: Box) -> None:
    extra = {"SECRET_OF_HOST": "x", "LD_PRELOAD": "", "TOKEN": "t0k3n"}
    shown = box.claudebox(*OFFLINE, "--dry-run", "--json", "-e", "TOKEN", "--", "true", env=extra).stdout
    assert "t0k3n" not in shown
    names = {v["name"] for v in json.loads(shown)["environment"]} | {"PWD"}
    done = box.claudebox(*OFFLINE, "-y", "-e", "TOKEN", "--", "env", "-0", env=extra)
    assert {entry.partition("=")[0] for entry in done.stdout.split("\0") if entry} == names
    assert "TOKEN=t0k3n\0" in done.stdout


@needs(*SANDBOX)
@pytest.mark.uid0
def test_no_right_and_no_descriptor(box: Box) -> None:
    status, text = inside(box, "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; " + FDS)
    assert status == 0
    rows = dict(line.split(":\t") for line in text.splitlines() if ":" in line)
    assert {rows[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (rows["NoNewPrivs"], rows["Seccomp"]) == ("1", "2")
    assert text.splitlines()[-1] == "fds 0 1 2"


@needs(*SANDBOX)
@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 37", 37), ("kill -TERM $$", 143), ("exec /etc/passwd", 126)]
)
def test_the_status_is_the_commands(box: Box, script: str, status: int) -> None:
    assert inside(box, script)[0] == status


@needs(*SANDBOX)
@pytest.mark.newest
def test_a_missing_command_is_127(box: Box) -> None:
    assert box.claudebox(*OFFLINE, "--", "no-such-program").status == 127


@needs(*SANDBOX)
@pytest.mark.parametrize("where", ["", "sub", ".git"])
def test_the_directory_is_kept_and_git_stays_masked(box: Box, where: str) -> None:
    (box.app / "sub").mkdir()
    script = "pwd; for f in config commondir; do (echo x >>$(git rev-parse --git-dir)/$f) 2>/dev/null; done; true"
    status, text = inside(box, script, cwd=box.app / where)
    assert (status, text.strip()) == (0, os.fspath(box.app / where).rstrip("/"))
    assert "x" not in (box.app / ".git" / "config").read_text().splitlines()
    assert not (box.app / ".git" / "commondir").exists()


@needs(*SANDBOX)
@pytest.mark.uid0
def test_git_works_and_leaves_nothing_of_ours(box: Box) -> None:
    script = (
        "set -e; echo a >a; git add a; git commit -qm a; git switch -qc b; echo b >b; git add b; git stash -q; "
        "git stash pop -q; git commit -qm b; git switch -q main; git merge -q b; git config user.name"
    )
    status, text = inside(box, script)
    assert (status, text.strip()) == (0, "Ada Example")
    assert box.git("status", "--porcelain") == ""
    assert box.git("log", "--format=%s").split() == ["b", "a", "Start"]
    assert not (box.app / ".git" / "commondir").exists()


@needs(*SANDBOX)
@pytest.mark.parametrize(
    "attack",
    [
        "echo x >.git/hooks/pre-commit",
        "echo x >>.git/config",
        "mv .git x",
        "echo .. >.git/commondir",
        "ln .git/config c",
    ],
)
def test_the_repository_cannot_be_turned_against_the_host(box: Box, attack: str) -> None:
    before = (box.app / ".git" / "config").read_text()
    assert inside(box, attack + " 2>/dev/null")[0] != 0
    assert (box.app / ".git" / "config").read_text() == before
    assert not (box.app / ".git" / "hooks" / "pre-commit").exists() and not (box.app / "x").exists()
    assert box.run(["sh", "-c", attack]).status == 0, "the control: it works without the sandbox"


@needs(*SANDBOX)
def test_the_home_is_the_instances_own(box: Box) -> None:
    (box.home / ".ssh").mkdir()
    (box.home / ".ssh" / "id").write_text("secret")
    assert inside(box, "cat ~/.ssh/id 2>/dev/null")[0] != 0
    assert inside(box, "echo mine >~/.bashrc; cat ~/.bashrc") == (0, "mine\n")
    assert not (box.home / ".bashrc").exists()
    assert inside(box, "cat ~/.bashrc") == (0, "mine\n"), "kept between launches"
    assert inside(box, "cat ~/.ssh/id", "-m", os.fspath(box.home / ".ssh")) == (0, "secret"), "the control"


@needs(*SANDBOX)
def test_a_dry_run_writes_nothing(box: Box) -> None:
    before = sorted(os.listdir(box.home))
    done = box.claudebox(*OFFLINE, "--dry-run", "--", "true")
    assert done.status == 0 and "--unshare-net" in done.stdout
    assert sorted(os.listdir(box.home)) == before


@needs(*SANDBOX)
@pytest.mark.parametrize("option", ["--host-port", "--publish"])
def test_what_cannot_be_enforced_is_refused(box: Box, option: str) -> None:
    done = box.claudebox("run", "-n", "offline", "-y", option, "5432", "--", "true")
    assert done.status == 125 and done.stdout == ""
    assert "is not part of this release" in done.stderr and "leave" in done.stderr


@needs(*SANDBOX)
def test_a_config_with_a_second_name_is_refused(box: Box) -> None:
    os.link(box.app / ".git" / "config", box.app / "other")
    done = box.claudebox(*OFFLINE, "--", "true")
    assert done.status == 125 and "has 2 names" in done.stderr
    (box.app / "other").unlink()
    assert box.claudebox(*OFFLINE, "--", "true").status == 0, "the control"


@needs(*SANDBOX)
@pytest.mark.uid0
def test_a_killed_launcher_takes_the_sandbox_along(box: Box) -> None:
    os.mkfifo(box.app / "fifo")
    launcher = box.start([box.program, *OFFLINE, "--", "sh", "-c", "exec 9>fifo; echo up >&9; exec sleep 300"])
    with launcher, open(box.app / "fifo") as fifo:
        assert fifo.readline() == "up\n"
        launcher.send_signal(signal.SIGKILL)
        assert fifo.read() == "", "end of file: nobody inside holds it any longer"
    (box.app / "fifo").unlink()
    assert inside(box, "true")[0] == 0
    assert not (box.app / ".git" / "commondir").exists(), "the next launch sweeps"


@needs(*SANDBOX)
def test_a_mount_that_the_host_detaches_ends_the_session(box: Box) -> None:
    os.mkfifo(box.app / "fifo")
    launcher = box.start([box.program, *OFFLINE, "--", "sh", "-c", "exec 9>fifo; echo up >&9; exec sleep 300"])
    with launcher, open(box.app / "fifo") as fifo:
        assert fifo.readline() == "up\n"
        box.git("config", "some.key", "value")
        assert fifo.read() == ""
        assert launcher.wait(10) != 0
        assert launcher.stderr is not None and b"was ended" in launcher.stderr.read()


@needs(*SANDBOX)
def test_a_second_session_is_refused(box: Box) -> None:
    os.mkfifo(box.app / "fifo")
    launcher = box.start([box.program, *OFFLINE, "--", "sh", "-c", "echo up >fifo; read x <fifo; exit 4"])
    with launcher:
        with open(box.app / "fifo") as fifo:
            assert fifo.readline() == "up\n"
        done = box.claudebox(*OFFLINE, "--", "true")
        assert done.status == 125 and str(launcher.pid) in done.stderr
        (box.app / "fifo").write_text("go\n")
        assert launcher.wait(10) == 4
    assert inside(box, "true")[0] == 0, "the control"
