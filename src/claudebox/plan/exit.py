"""PURE: what the host would execute: comparison of two snapshots."""

from __future__ import annotations

from claudebox.model import Change, Seen, Snapshot
from claudebox.plan.watched import ROWS, Row

REPOSITORIES = ("repository", "bare", "pointer")
UNKNOWN = Row("this host may run it", "unknown")  # of another release's snapshot


def compare(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """What is new or differs, by path. What is gone runs nothing. A repository that was born stands for all in it."""
    known = {(one.row, one.path): one.state for one in before.seen}
    found = [
        change(one, new=(one.row, one.path) not in known)
        for one in after.seen
        if known.get((one.row, one.path)) != one.state
    ]
    return tuple(sorted(without_contents(found), key=lambda one: (one.path, one.row)))


def change(one: Seen, *, new: bool) -> Change:
    """Something that differs, with what the table says of it."""
    row = ROWS.get(one.row, UNKNOWN)
    return Change(
        row=one.row,
        path=one.path,
        new=new,
        state=one.state,
        reason=row.reason,
        sets_off=row.sets_off,
        unasked=row.unasked,
    )


def without_contents(found: list[Change]) -> list[Change]:
    """Leave out what lies in a git directory that is itself new, but for links, and the `.git` of a new gitlink."""
    born = {one.path for one in found if one.new and one.row in REPOSITORIES}
    linked = {f"{one.path}/.git" for one in found if one.new and one.row == "gitlink"}
    return [
        one
        for one in found
        if one.row == "link" or not (one.path in linked or any(above in born for above in parents(one.path)))
    ]


def parents(path: str) -> list[str]:
    """All directories above a path."""
    found = []
    while (path := path.rpartition("/")[0]) != "":
        found.append(path)
    return found


def links(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The links in git directories among them: git makes none by itself, so they are moved aside."""
    return tuple(one for one in changes if one.row == "link")
