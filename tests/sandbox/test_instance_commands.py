"""`claudebox instance`: what it lists, and what it changes, with what an agent left in the home."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pexpect
import pytest

from box import Box, Result, environment
from capability import needs
from sessions import session

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]

RUN = ("run", "-n", "offline", "--")


def launched(box: Box, script: str = "true", cwd: Path | None = None) -> Path:
    """The instance's directory after a launch."""
    before = set(box.state.glob("instances/*"))
    done = box.claudebox(*RUN, "sh", "-c", script, cwd=cwd)
    assert (done.status, done.stderr) == (0, "")
    made = set(box.state.glob("instances/*"))
    (found,) = made - before or made
    return found


def value(done: Result) -> Any:
    assert (done.status, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


def refused(done: Result, sentence: str, hint: str) -> None:
    assert (done.status, done.stdout) == (125, ""), done
    *_, first, second = done.stderr.splitlines()
    assert sentence in first and second.startswith("hint: ") and hint in second, done


def test_list_show_and_path(box: Box) -> None:
    assert box.claudebox("instance", "list").stderr == "there is no instance yet\n"
    instance = launched(box, "mkdir -p ~/.cache/uv; head -c 300000 /dev/zero >~/.cache/uv/big")
    (one,) = value(box.claudebox("instance", "list", "--json"))["instances"]
    assert one.pop("size") > 300_000 and one.pop("last_used") > 1_700_000_000 and one.pop("made").endswith("Z")
    assert one == {
        "id": instance.name, "project": str(box.app), "directory": str(instance), "orphaned": False, "sessions": [],
        "remembered": {"network": None, "agent": None, "profiles": []},
    }  # fmt: skip
    table = box.claudebox("instance", "list").stdout
    assert instance.name in table and str(box.app) in table and " s ago" in table
    shown = box.claudebox("instance", "show").stdout
    assert str(box.app) in shown and ".cache/uv" in shown
    assert value(box.claudebox("instance", "show", instance.name, "--json"))["home"][0]["path"] == ".cache/uv"
    (box.app / "sub").mkdir()
    for words in ([], [str(box.app)], [instance.name], [str(box.app / "sub")], ["."]):
        assert box.claudebox("instance", "path", *words).stdout == f"{instance}\n"


def test_what_is_not_there(box: Box) -> None:
    refused(box.claudebox("instance", "show"), f"{box.app} has no instance", "claudebox instance list")
    refused(box.claudebox("instance", "path", "0" * 16), "there is no instance 0000", "claudebox instance list")
    launched(box)
    for typo in ("sub", "../typo"):
        refused(box.claudebox("instance", "remove", "-y", typo), "has no instance", "claudebox instance list")
    refused(box.claudebox("instance", "prune"), "wants to know which", "--orphaned")
    refused(box.claudebox("instance", "prune", "--older-than", "soon"), "expected hours", "90d")
    refused(box.claudebox("instance", "show", "--orphaned"), "go with list and prune", "instance list")
    refused(box.claudebox("instance", "list", "one"), "takes no name", "--help")
    refused(box.claudebox("instance", "lst"), "invalid choice", "--help")
    assert len(list(box.state.glob("instances/*"))) == 1


HOSTILE = """
mkdir -p ~/deep/a/b ~/closed/inner; ln -s / ~/root; ln -s "$PWD" ~/closed/inner/project
chmod 000 ~/closed/inner ~/closed; cd ~/deep
/usr/bin/python3 -c 'import os
for _ in range(300): os.mkdir("d" * 20); os.chdir("d" * 20)'
chmod 000 ~
"""


def test_remove_asks_and_removes_what_an_agent_left(box: Box) -> None:
    instance = launched(box, HOSTILE)
    refused(box.claudebox("instance", "remove"), f"not without a question: remove {instance}", "-y")
    assert instance.is_dir()
    done = box.claudebox("instance", "remove", "-y")
    assert (done.status, done.stdout, done.stderr) == (0, "", f"removed {box.app}\n")
    assert os.listdir(box.state / "instances") == []
    assert box.git("status", "--porcelain") == "" and (box.app / "README").exists()


@needs("pty")
@pytest.mark.parametrize(("answer", "left"), [("n", 1), ("y", 0)])
def test_the_question_on_a_terminal(box: Box, answer: str, left: int) -> None:
    launched(box)
    asked = pexpect.spawn(
        str(box.program), ["instance", "remove"], cwd=str(box.app), env=environment(box.home), timeout=20
    )
    asked.expect_exact("with its login and conversations? [y/N] ")
    asked.sendline(answer)
    asked.expect(pexpect.EOF)
    said = asked.before
    asked.close()
    assert asked.exitstatus == (125 if left else 0), said
    assert len(os.listdir(box.state / "instances")) == left


def test_remove_and_prune_leave_a_running_one(box: Box) -> None:
    with session(box) as launcher:
        refused(
            box.claudebox("instance", "remove", "-y"),
            f"a session works in this project (pid {launcher.pid}",
            "stop",
        )
        done = box.claudebox("instance", "prune", "--older-than", "0d", "-y")
        assert (done.status, done.stderr) == (0, "there is nothing to remove\n")
        assert launcher.communicate(b"\n")[0] == b"down\n"
    assert len(os.listdir(box.state / "instances")) == 1
    assert box.claudebox("instance", "prune", "--older-than", "0d", "-y").status == 0, "the control"
    assert os.listdir(box.state / "instances") == []


def test_prune_takes_orphans_and_what_an_interruption_left(box: Box) -> None:
    gone = box.home / "code" / "gone"
    gone.mkdir()
    kept, orphan = launched(box), launched(box, cwd=gone)
    gone.rmdir()
    left = box.state / "instances" / ".removed-abc-1" / "abc" / "home"
    left.mkdir(parents=True)
    found = value(box.claudebox("instance", "list", "--orphaned", "--json"))["instances"]
    assert [one["id"] for one in found] == [orphan.name]
    assert value(box.claudebox("instance", "prune", "--orphaned", "--older-than", "90d", "-y", "--json")) == {
        "schema_version": 1, "removed": [],
    }  # fmt: skip
    os.utime(orphan / "instance.toml", (5, 5))
    done = box.claudebox("instance", "prune", "--orphaned", "--older-than", "90d", "-y")
    assert done.status == 0 and f"removed {gone}\n" in done.stderr
    assert os.listdir(box.state / "instances") == [kept.name]


@needs("user")
def test_a_home_that_an_agent_closed_is_hinted_at_and_mended(box: Box) -> None:
    instance = launched(box, "mkdir -p ~/.claude; chmod 000 ~/.claude ~")
    refused(box.claudebox(*RUN, "true"), f"cannot use {instance}", "claudebox instance repair")
    done = box.claudebox("instance", "repair")
    assert done.status == 0 and "the home: mode 0000 is now 0700\n" in done.stderr
    assert stat.S_IMODE((instance / "home").stat().st_mode) == 0o700
    assert box.claudebox(*RUN, "sh", "-c", "echo x >~/.claude/made").status == 0
    assert box.claudebox("instance", "repair").stderr == "there is nothing to mend\n"


def test_move(box: Box) -> None:
    instance = launched(box, "echo kept >~/note")
    new = box.home / "code" / "renamed"
    box.app.rename(new)
    done = box.claudebox("instance", "move", str(box.app), str(new), cwd=box.home)
    assert (done.status, done.stderr) == (0, f"{new} has the instance of {box.app} now\n")
    assert not instance.exists()
    assert launched(box, "grep -q kept ~/note", cwd=new).name != instance.name
    assert len(os.listdir(box.state / "instances")) == 1


def test_move_onto_a_fresh_instance_asks(box: Box) -> None:
    launched(box, "echo kept >~/note")
    new = box.home / "code" / "renamed"
    box.app.rename(new)
    assert box.claudebox(*RUN, "true", cwd=new).status == 0
    words = ("instance", "move", str(box.app), str(new))
    refused(box.claudebox(*words, cwd=new), "has an instance of its own", "-y")
    assert box.claudebox(*words, "-y", cwd=new).status == 0
    assert box.claudebox(*RUN, "sh", "-c", "cat ~/note", cwd=new).stdout == "kept\n"
    assert len(os.listdir(box.state / "instances")) == 1


def test_an_interrupted_move_is_completed_by_the_same_command(box: Box) -> None:
    instance = launched(box)
    new = box.home / "code" / "renamed"
    box.app.rename(new)
    assert box.claudebox("instance", "move", str(box.app), str(new), cwd=new).status == 0
    (moved,) = box.state.glob("instances/*")
    text = (moved / "instance.toml").read_text()
    (moved / "instance.toml").write_text(text.replace("renamed", "app"))  # renamed, and then killed
    refused(box.claudebox(*RUN, "true", cwd=new), "says that it is of", "claudebox instance")
    box.app.mkdir()
    launched(box)  # and OLD used again, which makes an instance of its own for it
    assert box.claudebox("instance", "move", str(box.app), str(new), "-y", cwd=new).status == 0
    assert (moved / "instance.toml").read_text() == text
    assert box.claudebox(*RUN, "true", cwd=new).status == 0 and moved != instance


def test_help_has_examples(box: Box) -> None:
    done = box.claudebox("instance", "--help")
    assert done.status == 0 and "examples:\n  claudebox instance show\n" in done.stdout
