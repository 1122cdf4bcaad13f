"""The layout of a repository, read: what its masks could not hold is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from claudebox import layout
from claudebox.errors import ClaudeboxError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("objects", "refs", "worktrees"):
        (tmp_path / ".git" / name).mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git" / "config").write_text("[core]\n")
    return tmp_path


def test_entries_by_the_thousand_are_named_and_not_mounted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs a mount: a sandbox that makes them must not leave a launch that never ends."""
    monkeypatch.setattr(layout, "MOST_TREES", 3)
    place = layout.find_repository(str(root))
    assert place
    for name in "abc":
        (root / ".git" / "worktrees" / name).mkdir()
    assert layout.read_tree(place).worktrees == ("a", "b", "c")
    (root / ".git" / "worktrees" / "d").mkdir()
    with pytest.raises(ClaudeboxError, match="worktrees has 4 entries"):
        layout.read_tree(place)
