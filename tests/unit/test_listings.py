"""What is remembered of directories: found again while their times stand, looked at again when anything changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from claudebox.model import Snapshot, Watch
from claudebox.run import beneath, listings, snapshot
from claudebox.run.gitlinks import Gitlinks
from claudebox.run.listings import Listings

ODD = os.fsdecode(b"\xff\n\t\x1b")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a repository, large enough and as if it had been written long ago."""
    monkeypatch.setattr(listings, "WORTH", 1)
    monkeypatch.setattr(listings, "FRESH", -(10**18))
    monkeypatch.setattr(listings, "own_times", lambda _: True)
    made = Path(os.path.realpath(tmp_path)) / "app"
    for name in (".git/HEAD", ".git/config", ".git/refs/heads/main", ".git/objects/info/packs", f"{ODD}/x", "a/b/x"):
        put(made / name)
    return made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_RDONLY)
    yield opened
    os.close(opened)


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def take(root: Path, here: int) -> tuple[Snapshot, int]:
    """A snapshot as a launch takes it, and how many entries were listed for it."""
    known = Listings(here, str(root))
    found = snapshot.take(Watch(root=str(root), common=f"{root}/.git"), Gitlinks("", here), known)
    known.save()
    return found, known.listed


def seen(root: Path, here: int) -> dict[str, str]:
    return {one.path.removeprefix(f"{root}/"): one.row for one in take(root, here)[0].seen}


def test_what_stands_is_not_listed_again(root: Path, here: int) -> None:
    first, listed = take(root, here)
    assert listed > 0
    assert take(root, here) == (first, 0)


def link(root: Path) -> None:
    (root / ".git" / "refs" / "x").symlink_to("/x")


def replaced(root: Path) -> None:
    (root / "a").rename(root / "c")
    put(root / "a" / "b" / ".envrc")


def behind_a_link(root: Path) -> None:
    """What was a directory is a link to another one with the same entries."""
    (root / "a").rename(root.parent / "c")
    put(root.parent / "c" / "b" / ".envrc")
    (root / "a").symlink_to(root.parent / "c")


@pytest.mark.parametrize(
    ("change", "path", "row"),
    [
        (lambda root: put(root / "a" / "b" / ".envrc"), "a/b/.envrc", "direnv"),
        (lambda root: put(root / ODD / ".envrc"), f"{ODD}/.envrc", "direnv"),
        (lambda root: put(root / "a" / ".git", "gitdir: x"), "a/.git", "pointer"),
        (lambda root: put(root / ".git" / "config", "[core]\nfsmonitor = x\n"), ".git/config", "config"),
        (lambda root: put(root / ".git" / "hooks" / "x"), ".git/hooks/x", "hook"),
        (link, ".git/refs/x", "link"),
        (replaced, "a/b/.envrc", "direnv"),
    ],
)
def test_what_changed_is_seen(root: Path, here: int, change: Callable[[Path], Any], path: str, row: str) -> None:
    assert path not in seen(root, here)
    change(root)
    for _ in range(2):  # the second time it is known
        assert seen(root, here)[path] == row


def test_no_link_is_followed_to_what_is_known(root: Path, here: int) -> None:
    take(root, here)
    behind_a_link(root)
    assert not [path for path in seen(root, here) if path.startswith("a")]


def test_a_file_is_read_again_in_a_directory_that_stands(root: Path, here: int) -> None:
    put(root / "a" / ".envrc", "x")
    before = take(root, here)[0].seen
    (root / "a" / ".envrc").write_text("y")
    after, listed = take(root, here)
    assert listed == 0 and after.seen != before


def test_what_was_written_just_now_is_listed_again(root: Path, here: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "FRESH", 2 * 10**9)
    take(root, here)
    assert not os.path.exists(f"/proc/self/fd/{here}/listings")


def test_a_file_system_that_takes_a_servers_word_is_listed_again(
    root: Path, here: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(root, here)
    monkeypatch.setattr(listings, "own_times", lambda _: False)
    read: list[str] = []
    real = beneath.opened
    monkeypatch.setattr(beneath, "opened", lambda top, path, flags: (read.append(path), real(top, path, flags))[1])
    take(root, here)
    assert {"", "a", "a/b"} <= set(read)


def test_the_kernel_says_whose_times_they_are(tmp_path: Path) -> None:
    for path, own in ((tmp_path, True), (Path("/proc"), False)):
        opened = os.open(path, os.O_RDONLY)
        assert listings.own_times(opened) is own
        os.close(opened)


@pytest.mark.parametrize("cut", [0, 1, 7, 100])
def test_a_torn_file_hides_nothing(root: Path, here: int, cut: int) -> None:
    put(root / "a" / "b" / ".envrc")
    whole = seen(root, here)
    (file,) = Path(f"/proc/self/fd/{here}/listings").iterdir()
    file.write_bytes(file.read_bytes()[: -cut or None])
    assert seen(root, here) == whole


def test_more_than_fits_is_left_out(root: Path, here: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "LIMIT", 300)
    first, _ = take(root, here)
    again, listed = take(root, here)
    assert again == first and listed > 0


def test_a_cut_counts_what_is_known(root: Path, here: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        put(root / "a" / str(number))
    assert not take(root, here)[0].cut
    monkeypatch.setattr(snapshot, "ENTRIES", 100)
    assert take(root, here)[0].cut


def test_only_so_many_trees_are_remembered(root: Path, here: int) -> None:
    for number in range(listings.KEPT + 5):
        known = Listings(here, f"{root}/{number}")
        known.listed = 1
        known.save()
    assert len(list(Path(f"/proc/self/fd/{here}/listings").iterdir())) <= listings.KEPT + 1
