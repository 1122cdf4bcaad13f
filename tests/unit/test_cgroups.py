"""Where a cgroup can be had, in made-up trees; what is then planned, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import make_host, make_plan, make_profile, make_user
from claudebox import cgroups
from claudebox.model import Cgroup, CgroupLimit, Limits
from claudebox.plan import limits

SLICE = "/user.slice/user-1000.slice/user@1000.service/app.slice"
DESKTOP = f"{SLICE}/app-terminal.scope"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A desktop's: the user owns app.slice and what is in it."""
    for path, passed in ((SLICE, "cpu memory pids"), (DESKTOP, "")):
        directory = tmp_path / path[1:]
        directory.mkdir(parents=True)
        (directory / "cgroup.procs").write_text("")
        (directory / "cgroup.subtree_control").write_text(passed + "\n")
    return tmp_path


def found(tree: Path, *lines: str) -> tuple[Cgroup, ...]:
    own = tree / "own"
    own.write_text("".join(f"{line}\n" for line in lines))
    return cgroups.survey(str(tree), str(own))


def test_a_desktop(tree: Path) -> None:
    place = str(tree) + SLICE
    assert found(tree, f"0::{DESKTOP}") == (
        Cgroup(directory=place, controller="memory", version=2),
        Cgroup(directory=place, controller="pids", version=2),
    )


def test_a_controller_that_is_not_passed_on(tree: Path) -> None:
    (tree / SLICE[1:] / "cgroup.subtree_control").write_text("cpu pids\n")
    assert [one.controller for one in found(tree, f"0::{DESKTOP}")] == ["pids"]


def test_a_login_outside_of_the_users_tree(tree: Path) -> None:
    assert found(tree, "0::/user.slice/user-1000.slice/session-3.scope") == ()


def test_no_right_to_move_a_process(tree: Path) -> None:
    (tree / SLICE[1:] / "cgroup.procs").unlink()
    assert found(tree, f"0::{DESKTOP}") == ()


def test_outside_of_the_cgroup_namespace(tree: Path) -> None:
    assert found(tree, f"0::/../..{DESKTOP}") == ()


def test_version_1_has_a_tree_for_each(tmp_path: Path) -> None:
    for name in ("memory/job", "pids"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "cgroup.procs").write_text("")
    assert found(tmp_path, "8:pids:/", "4:memory:/job", "1:cpu:/", "0::/") == (
        Cgroup(directory=f"{tmp_path}/memory/job", controller="memory", version=1),
        Cgroup(directory=f"{tmp_path}/pids", controller="pids", version=1),
    )


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    assert cgroups.survey(str(tmp_path), str(tmp_path / "missing")) == ()


PLACES = (
    Cgroup(directory="/c", controller="memory", version=2),
    Cgroup(directory="/c", controller="pids", version=2),
)


def test_what_is_planned() -> None:
    profile = make_profile(limits=Limits(processes=100, memory="25%", tmp=1))
    bounds = limits.build(profile, make_host(memory=16 << 30, cgroups=PLACES))
    assert bounds.processes == 100
    assert bounds.cgroups == (
        CgroupLimit(parent="/c", controller="memory", settings=(("memory.max", 4 << 30), ("memory.swap.max", 0))),
        CgroupLimit(parent="/c", controller="pids", settings=(("pids.max", 100),)),
    )


def said(**changes: object) -> list[tuple[str, str]]:
    notes = make_plan(make_host(**changes)).notes
    return [(n.severity, n.text.partition(":")[0]) for n in notes if "bounded" in n.text]


def test_what_is_said() -> None:
    root = make_user(uid=0)
    processes = ("danger", "the number of processes is not bounded")
    assert said() == [("info", "memory is not bounded")]
    assert said(cgroups=PLACES) == [("info", "memory is bounded to 75% by a cgroup")]
    assert said(user=root) == [processes, ("info", "memory is not bounded")]
    assert said(user=root, cgroups=PLACES) == [("info", "memory is bounded to 75% by a cgroup")]


def test_sizes() -> None:
    assert (limits.memory("75%", 1000), limits.memory("2G", 1000)) == (750, 2 << 30)
