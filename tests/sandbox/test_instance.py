"""instance.toml around launches: made, touched, carried over, and the note about a moved project."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from box import Box
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]

TRUE = ("run", "-n", "offline", "--", "true")


def instances(box: Box) -> list[Path]:
    return sorted((box.state / "instances").iterdir())


def test_a_launch_makes_it_and_the_next_one_touches_it(box: Box) -> None:
    assert box.claudebox(*TRUE).status == 0
    (instance,) = instances(box)
    path = instance / "instance.toml"
    found = tomllib.loads(path.read_text())
    assert (found["project"], found["inode"]) == (str(box.app), box.app.stat().st_ino)
    os.utime(path, (5, 5))
    assert box.claudebox(*TRUE).status == 0
    assert path.stat().st_mtime > 5
    assert tomllib.loads(path.read_text()) == found


def test_a_name_that_is_not_utf8(box: Box) -> None:
    odd = os.fsencode(box.app) + b'\xff "\n%41'
    os.mkdir(odd)
    for _ in range(2):
        done = box.claudebox(*TRUE, cwd=odd)
        assert (done.status, done.stderr) == (0, "")
    (instance,) = instances(box)
    assert tomllib.loads((instance / "instance.toml").read_text())["project"].endswith("app%FF %22%0A%2541")


def test_an_old_file_is_carried_over(box: Box) -> None:
    assert box.claudebox(*TRUE).status == 0
    (instance,) = instances(box)
    (instance / "instance.toml").unlink()
    (instance / "root").write_text(str(box.app))
    done = box.claudebox(*TRUE)
    assert (done.status, done.stderr) == (0, "")
    assert not (instance / "root").exists() and (instance / "instance.toml").exists()


def test_a_moved_project_is_told_at_its_first_launch_alone(box: Box) -> None:
    assert box.claudebox(*TRUE).status == 0
    new = box.home / "code" / "renamed"
    box.app.rename(new)
    done = box.claudebox(*TRUE, cwd=new)
    assert done.status == 0
    assert done.stderr == (
        f"claudebox: note: {box.app} is gone and may be this project before it was moved: "
        f"claudebox instance move {box.app} {new}\n"
    )
    assert box.claudebox(*TRUE, cwd=new).stderr == ""


def test_a_broken_file_stops_the_launch(box: Box) -> None:
    assert box.claudebox(*TRUE).status == 0
    (instance,) = instances(box)
    path = instance / "instance.toml"
    path.write_text(path.read_text() + "[remembered\n")
    done = box.claudebox(*TRUE)
    assert (done.status, done.stdout) == (125, "")
    assert f"{path}: not valid TOML" in done.stderr
