"""A directory copied once: bounded, following no link, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from claudebox.run import tree


class Place:
    """source is the host's; waiting is ours; home is an agent's."""

    def __init__(self, top: Path) -> None:
        self.source, self.waiting, self.home = (top / name for name in ("source", "waiting", "home"))
        for directory in (self.source / "a" / "b", self.waiting, self.home, self.source / "empty"):
            directory.mkdir(parents=True)
        (self.source / "a" / "b" / "file").write_text("text")
        (self.source / "run").write_text("#!/bin/sh\n")
        (self.source / "run").chmod(0o755)
        (self.source / "link").symlink_to("/etc/passwd")
        os.mkfifo(self.source / "fifo")
        self.said: list[str] = []
        self.open = [os.open(directory, os.O_RDONLY) for directory in (self.waiting, self.home)]

    def copy(self, look: Callable[[], None] = lambda: None) -> bool:
        opened = os.open(self.source, os.O_PATH)
        try:
            tree.copy_once(str(self.source), opened, *self.open, "plugins", self.said, look)
        finally:
            os.close(opened)
        return True


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path.resolve())
    before = len(os.listdir("/proc/self/fd"))
    yield made
    assert len(os.listdir("/proc/self/fd")) == before, "no descriptor is left open"
    assert not os.listdir(made.waiting), "nothing half made is left"
    for descriptor in made.open:
        os.close(descriptor)


def test_a_copy_is_whole_and_follows_nothing(place: Place) -> None:
    assert place.copy() and place.said == []
    made = place.home / "plugins"
    assert sorted(os.listdir(made)) == ["a", "empty", "link", "run"]
    assert (made / "a" / "b" / "file").read_text() == "text" and os.readlink(made / "link") == "/etc/passwd"
    assert [os.stat(made / name).st_mode & 0o777 for name in ("run", "a", "a/b/file")] == [0o700, 0o700, 0o600]


def test_what_the_instance_has_is_its_own(place: Place) -> None:
    (place.home / "plugins").symlink_to(place.source)
    assert place.copy() and (place.home / "plugins").is_symlink()


def test_what_a_killed_launch_left_goes(place: Place) -> None:
    (place.waiting / "plugins.copy" / "x").mkdir(parents=True)
    assert place.copy() and not (place.home / "plugins" / "x").exists()


@pytest.mark.parametrize(("name", "bound"), [("MOST", 3), ("LARGEST", 10)])
def test_too_much_is_said_once_and_not_copied(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, bound: int
) -> None:
    monkeypatch.setattr(tree, name, bound)
    assert place.copy() and "is not copied: it has more than" in place.said[0]
    assert not (place.home / "plugins").exists()


def test_a_signal_ends_it_and_the_next_launch_begins_anew(place: Place) -> None:
    looks: list[str] = []

    def look() -> None:
        looks.append("")
        if len(looks) > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.copy(look)
    assert not (place.home / "plugins").exists() and place.copy()


def test_a_full_disk_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tree.os, "sendfile", full)
    with pytest.raises(OSError, match="No space"):
        place.copy()
    assert not (place.home / "plugins").exists()


def test_many_directories_take_few_descriptors(place: Place) -> None:
    for number in range(1500):
        (place.source / f"d{number}").mkdir()
    assert place.copy() and len(os.listdir(place.home / "plugins")) == 1504


def test_a_long_copy_says_so(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tree, "QUIET", -1.0)
    assert place.copy()
    assert capfd.readouterr().err.count(f"copying {place.source} into the instance's home, once") == 1
