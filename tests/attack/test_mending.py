"""A rename on the host takes a mask away: it is put back, and what the agent did in the gap ends the session."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from box import Box
from capability import needs
from claudebox.run.mending import writer

pytestmark = [needs("userns", "bwrap", "git", "late_mounts"), pytest.mark.uid0]

# Answers each line of its input by what the line's command says, and goes on.
AGENT = 'echo up; while read -r line; do eval "$line" 2>&1; echo "status $?"; done'


class Session:
    """A sandbox whose agent does what it is told, line by line."""

    def __init__(self, box: Box, where: Path) -> None:
        words = [box.program, "run", "-n", "offline", "--", "sh", "-c", AGENT]
        self.process = box.start(words, cwd=where, stdin=subprocess.PIPE)
        assert self.read() == "up"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().rstrip("\n")

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def do(self, line: str) -> list[str]:
        """What a command prints, and its status; without the status where the session has ended."""
        try:
            self.tell(line)
        except BrokenPipeError:
            return []
        said = []
        while (got := self.read()) and not got.startswith("status "):
            said.append(got)
        return [*said, got] if got else said

    def end(self) -> tuple[int, str]:
        """Its input ends, and so does the agent; the status, and what claudebox said."""
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err.decode()

    def ended(self) -> tuple[int, str]:
        """It was ended; while its input is open the agent does not end by itself."""
        self.process.wait(20)
        return self.end()


@pytest.fixture
def session(box: Box) -> Iterator[Session]:
    made = Session(box, box.app)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.communicate(timeout=10)


def protected(session: Session, path: Path) -> bool:
    """Whether the agent is refused by a mount; asked until the mask is back, without touching what is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if session.do(f"test -w {path}") == ["status 1"]:
            said = session.do(f"[ -d {path} ] && touch {path}/x || true >>{path}")
            return "Read-only" in said[0]
    return False


def rename_config(box: Box) -> None:
    box.git("config", "branch.main.remote", "origin")


def push_with_upstream(box: Box) -> None:
    box.git("clone", "-q", "--bare", ".", str(box.home / "beside.git"))
    box.git("remote", "add", "beside", str(box.home / "beside.git"))
    box.git("push", "-q", "-u", "beside", "main")


def delete_branch(box: Box) -> None:
    box.git("branch", "gone")
    box.git("config", "branch.gone.remote", "x")
    box.git("branch", "-q", "-D", "gone")


def copy_over(box: Box) -> None:
    box.run(["sh", "-c", "cp .git/config .git/new; mv .git/new .git/config"])


@pytest.mark.parametrize("change", [rename_config, push_with_upstream, delete_branch, copy_over])
def test_a_config_that_the_host_replaced_is_protected_again(
    box: Box, session: Session, change: Callable[[Box], None]
) -> None:
    config = box.app / ".git" / "config"
    change(box)
    assert protected(session, config)
    change_again = config.read_bytes()
    assert session.do("git commit -q --allow-empty -m Inside") == ["status 0"]
    session.tell("exit 3")
    status, said = session.end()
    assert status == 3 and f"the host replaced {config}" in said
    assert config.read_bytes() == change_again
    assert box.git("log", "-1", "--format=%s") == "Inside\n"


def test_hooks_that_the_host_made_anew_are_protected_again(box: Box, session: Session) -> None:
    hooks = box.app / ".git" / "hooks"
    for _ in range(2):
        box.run(["sh", "-c", "rm -rf .git/hooks; mkdir .git/hooks"])
        assert protected(session, hooks)
    session.tell("exit 0")
    assert session.end()[0] == 0
    assert not list(hooks.iterdir())


def test_a_config_that_is_missing_for_a_while_is_waited_for(box: Box, session: Session) -> None:
    config = box.app / ".git" / "config"
    config.rename(box.app / "kept")
    (box.app / "kept").rename(config)
    assert protected(session, config)
    session.tell("exit 0")
    assert session.end()[0] == 0


@pytest.mark.parametrize("key", ["core.fsmonitor", "alias.x", "include.path", "extensions.worktreeConfig"])
def test_a_setting_that_runs_or_includes_something_ends_the_session(box: Box, session: Session, key: str) -> None:
    box.git("config", key, "true")
    status, said = session.ended()
    assert status == 137 and key.lower() in said.lower() and "was ended" in said


def test_a_hook_that_appears_ends_the_session(box: Box, session: Session) -> None:
    box.run(["sh", "-c", "rm -rf .git/hooks; mkdir new; echo x >new/post-commit; mv new .git/hooks"])
    status, said = session.ended()
    assert status == 137 and ".git/hooks changed" in said


def test_a_second_name_ends_the_session(box: Box, session: Session) -> None:
    box.run(["sh", "-c", "cp .git/config .git/new; ln .git/new second; mv .git/new .git/config"])
    status, said = session.ended()
    assert status == 137 and "more than one name" in said


POLL = """
import os, sys, time
path, before = sys.argv[1], os.stat(sys.argv[1]).st_ino
print("polls", flush=True)
while True:
    try:
        held = os.open(path, os.O_WRONLY | os.O_APPEND)
        break
    except OSError:
        pass
print("got", flush=True)
time.sleep(1)
os.write(held, b"[alias]\\n\\tx = !touch owned\\n")
print("wrote", flush=True)
"""


def test_a_descriptor_from_the_gap_writes_nothing(box: Box) -> None:
    """An agent that polls gets one now and then; then the session ends before it is used. (Or it gets the old
    file, which the kernel uncovers before the new one has its name, and writes to what is deleted.)"""
    config = box.app / ".git" / "config"
    (box.app / "poll.py").write_text(POLL)
    for number in range(10):
        session = Session(box, box.app)
        session.tell(f"timeout 3 /usr/bin/python3 poll.py {config}")
        assert session.read() == "polls"
        box.git("config", f"branch.b{number}.remote", "origin")
        said = []
        while line := session.read():
            said.append(line)
            if line.startswith("status "):
                break
        status, messages = session.end()
        assert "touch owned" not in config.read_text(), (said, messages)
        if status == 137:
            assert "got" in said and "wrote" not in said and "open for writing" in messages


def test_a_lease_tells_who_may_still_write(box: Box) -> None:
    config = box.app / ".git" / "config"
    assert writer(str(config)) == ""
    with open(config, "a"):
        assert "open for writing" in writer(str(config)), "as in the gap"
    assert writer(str(config)) == ""


# --- working trees that are added ------------------------------------------------------------------

EMBED = (
    "printf '#!/bin/sh\\ntouch %s/owned\\n' $PWD >run.sh; chmod +x run.sh; git init -q sub;"
    " git -C sub -c user.name=A -c user.email=a@b.example commit -q --allow-empty -m x;"
    " git -C sub config core.fsmonitor $PWD/run.sh; rm -f owned"
)
ASTRAY = "echo ../../../sub/.git >.git/worktrees/tree/commondir"


@pytest.mark.parametrize("before", [False, True], ids=["the first one", "beside others"])
@pytest.mark.parametrize("by", ["agent", "host"])
def test_a_new_working_tree_that_leads_astray_ends_the_session(box: Box, by: str, before: bool) -> None:
    if before:
        box.git("worktree", "add", "-q", "../known", "-b", "known")
    session = Session(box, box.app)
    assert session.do(EMBED)[-1:] == ["status 0"]
    if by == "agent":
        assert session.do("git worktree add -q tree -b side")[-1:] == ["status 0"]
    else:
        box.git("worktree", "add", "-q", "tree", "-b", "side")
    session.tell(ASTRAY)
    status, said = session.ended()
    assert status == 137 and "commondir would lead the host's git to ../../../sub/.git" in said, said
    assert ".git/worktrees/tree/commondir -> ../../../sub/.git; now " in said, said
    (box.app / "owned").unlink(missing_ok=True)
    box.run(["git", "-C", "tree", "status"])
    assert not (box.app / "owned").exists()
    box.run(["sh", "-c", ASTRAY])
    box.run(["git", "-C", "tree", "status"])
    assert (box.app / "owned").exists(), "the control: it is an attack"


def test_one_that_was_renamed_is_judged(box: Box, session: Session) -> None:
    assert session.do("git worktree add -q tree -b side")[-1:] == ["status 0"]
    session.tell("mkdir .git/worktrees/x; echo ../../sub >x; mv x .git/worktrees/x/commondir; read line")
    status, said = session.ended()
    assert status == 137 and "worktrees/x/commondir would lead" in said


def test_new_working_trees_that_git_made_end_nothing(box: Box, session: Session) -> None:
    for name in ("a", "b"):
        assert session.do(f"git worktree add -q {name} -b side-{name}")[-1:] == ["status 0"]
        box.git("worktree", "add", "-q", f"../{name}", "-b", f"host-{name}")
        box.git("worktree", "remove", f"../{name}")
    assert session.do("git -C a status --porcelain; git worktree remove a") == ["status 0"]
    session.tell("exit 0")
    assert session.end()[0] == 0


def test_a_config_that_was_replaced_is_in_the_report_with_its_diff(box: Box, session: Session) -> None:
    box.git("config", "branch.main.remote", "origin")
    assert protected(session, box.app / ".git" / "config")
    session.tell("exit 0")
    status, said = session.end()
    assert status == 0 and "claudebox: danger: .git/config was replaced on the host while the session ran" in said
    assert "\n  + branch.main.remote = origin\n" in said


def test_worktrees_that_come_and_go_on_the_host(box: Box) -> None:
    box.git("worktree", "add", "-q", "../tree", "-b", "side")
    session = Session(box, box.app)
    box.git("worktree", "add", "-q", "../other", "-b", "more")
    box.git("worktree", "remove", "../tree")
    box.git("worktree", "remove", "../other")
    assert session.do("git status --porcelain") == ["status 0"]
    assert protected(session, box.app / ".git" / "config")
    session.tell("exit 0")
    assert session.end()[0] == 0
