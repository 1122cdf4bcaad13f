"""Which object stores elsewhere a repository borrows from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from claudebox import borrowed


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A directory with a project `app`, two stores beside it, and a directory that is none."""
    made = Path(os.path.realpath(tmp_path))
    for name in ("app/.git/objects", "one", "two", "app/own"):
        for part in ("info", "pack"):
            (made / name / part).mkdir(parents=True)
    (made / "none" / "pack").mkdir(parents=True)
    return made


def names(top: Path, *lines: str, store: str = "app/.git/objects") -> None:
    (top / store / "info" / "alternates").write_bytes("".join(f"{line}\n" for line in lines).encode())


def found(top: Path) -> list[tuple[str, str]]:
    pairs = borrowed.find(f"{top}/app", f"{top}/app/.git")
    return [(named.removeprefix(f"{top}/"), real.removeprefix(f"{top}/")) for named, real in pairs]


def test_nothing_is_borrowed(top: Path) -> None:
    assert found(top) == []
    names(top, "", "# x", f"{top}/none", f"{top}/gone", "../../own", "../objects")
    assert found(top) == []


def test_by_any_path(top: Path) -> None:
    (top / "link").symlink_to("two")
    names(top, f"{top}/one", f"{top}/link/../link", "../../../one")
    assert found(top) == [("link", "two"), ("one", "one")]


def test_what_a_store_borrows_itself(top: Path) -> None:
    names(top, f"{top}/one")
    names(top, f"{top}/two", f"{top}/one", store="one")
    names(top, f"{top}/one", store="two")
    assert found(top) == [("one", "one"), ("two", "two")]


def test_a_flood_comes_to_an_end(top: Path) -> None:
    names(top, *(f"{top}/s{number}" for number in range(500)))
    for number in range(500):
        for part in ("info", "pack"):
            (top / f"s{number}" / part).mkdir(parents=True)
    assert len(found(top)) <= borrowed.MOST


def test_what_cannot_be_read_is_none(top: Path) -> None:
    names(top, "x" * (borrowed.LIMIT + 1))
    assert found(top) == []
    (top / "app/.git/objects/info/alternates").unlink()
    os.mkfifo(top / "app/.git/objects/info/alternates")
    assert found(top) == []
