"""Links that lead to what will be mounted: every hop counts, not only the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from claudebox.errors import ClaudeboxError
from claudebox.pinning import check_links


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """own/ is the user's, project/ a sandbox's, secret/ nobody's business."""
    top = tmp_path.resolve()
    for name in ("own", "project", "secret"):
        (top / name).mkdir()
    (top / "secret" / "key").write_text("x")
    return top


def refused(place: Path, path: Path) -> str:
    with pytest.raises(ClaudeboxError) as caught:
        check_links(str(path), (str(place / "project"),))
    return caught.value.message


def test_links_of_the_users_own_pass(place: Path) -> None:
    (place / "own" / "a").symlink_to("../secret")
    (place / "own" / "b").symlink_to(place / "own" / "a" / "key")
    (place / "own" / "c").symlink_to("../project")
    for name in ("a/key", "b", "c", "../own/a", "missing/x"):
        check_links(f"{place}/own/{name}", (str(place / "project"),))


def test_a_link_in_the_project_is_refused(place: Path) -> None:
    (place / "project" / "a").symlink_to(place / "secret")
    assert (
        refused(place, place / "project" / "a" / "key")
        == f"{place}/project/a is a link that a sandbox could have planted"
    )


@pytest.mark.parametrize("target", ["{place}/project/a", "../project/a", "../project/./a/../a", "{place}/own/two"])
def test_a_link_behind_a_link_is_refused(place: Path, target: str) -> None:
    (place / "own" / "two").symlink_to("../project/a")
    (place / "own" / "one").symlink_to(target.format(place=place))
    (place / "project" / "a").mkdir()
    check_links(str(place / "own" / "one"), (str(place / "project"),))
    (place / "project" / "a").rmdir()
    (place / "project" / "a").symlink_to(place / "secret")
    assert "could have planted" in refused(place, place / "own" / "one")
    assert "could have planted" in refused(place, place / "own" / "one" / "key")


def test_a_link_to_itself_ends(place: Path) -> None:
    (place / "own" / "a").symlink_to("a")
    assert "more than 40 links" in refused(place, place / "own" / "a")
