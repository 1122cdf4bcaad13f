"""Removing and measuring what an agent left: links, closed directories, depth; and what an interruption leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from claudebox.run import kept, removal, usage


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    (tmp_path / "instances" / "abc" / "home").mkdir(parents=True)
    return tmp_path / "instances"


def remove(instances: Path, name: str = "abc") -> None:
    here = os.open(instances, os.O_RDONLY)
    try:
        removal.remove(here, name)
    finally:
        os.close(here)


def finish(instances: Path) -> int:
    here = os.open(instances, os.O_RDONLY)
    try:
        return removal.finish(here)
    finally:
        os.close(here)


def test_no_link_is_followed(instances: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("x")
    home = instances / "abc" / "home"
    (home / "link").symlink_to(outside)
    (home / "file").symlink_to(outside / "mine")
    (home / "dangling").symlink_to("/nowhere")
    os.mkfifo(home / "fifo")
    os.link(outside / "mine", home / "second-name")
    remove(instances)
    assert os.listdir(instances) == []
    assert (outside / "mine").read_text() == "x"


def test_closed_directories_and_many_entries(instances: Path) -> None:
    deep = instances / "abc" / "home" / "a" / "b"
    deep.mkdir(parents=True)
    for number in range(removal.BATCH * 2 + 5):
        (deep / str(number)).touch()
    deep.chmod(0)
    deep.parent.chmod(0)
    (instances / "abc" / "home").chmod(0o100)
    remove(instances)
    assert os.listdir(instances) == []


def nested(directory: Path, levels: int) -> None:
    here = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def test_no_depth_is_too_deep(instances: Path) -> None:
    """Longer than any path may be, and than there are descriptors."""
    nested(instances / "abc" / "home", 3000)
    assert usage.measure(os.open(instances, os.O_RDONLY), "abc").hidden > 0
    remove(instances)
    assert os.listdir(instances) == []


@pytest.mark.parametrize("fails", ["mkdir", "rename", "unlink", "rmdir"])
def test_an_interrupted_removal_is_no_instance_and_is_finished_later(
    fails: str, instances: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (instances / "abc" / "home" / "sub").mkdir()
    (instances / "abc" / "home" / "sub" / "file").touch()

    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, fails, broken)
        with pytest.raises(KeyboardInterrupt):
            remove(instances)
    whole = (instances / "abc" / "home" / "sub" / "file").exists()
    assert (kept.names(str(instances.parent)) == ["abc"]) == whole, "all of it, or no instance"
    assert whole == (fails in ("mkdir", "rename"))
    finish(instances)
    assert os.listdir(instances) == (["abc"] if whole else [])


def test_usage(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".cache" / "uv" / "deep").mkdir(parents=True)
    (home / ".cache" / "uv" / "deep" / "big").write_bytes(bytes(100_000))
    (home / ".claude.json").write_bytes(bytes(10))
    os.link(home / ".cache" / "uv" / "deep" / "big", home / "again")
    (home / "link").symlink_to("/usr")
    found = usage.measure(os.open(tmp_path, os.O_RDONLY), "home")
    sizes = dict(found.largest)
    assert found.hidden == 0 and found.size == sum(sizes.values()) < 250_000
    assert set(sizes) - {"again"} == {".cache/uv", ".claude.json", "link", ".cache"}
    counted = [size >= 100_000 for size in (sizes[".cache/uv"], sizes.get("again", 0))]
    assert sorted(counted) == [False, True], "a file of two names, once"
