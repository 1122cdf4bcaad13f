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


def followed(changes: tuple[Change, ...], common: str) -> tuple[Change, ...]:
    """What git itself would follow, so that it is moved aside: links in git directories, as git makes none, and a
    `commondir` of a working tree that says another thing than git wrote. common: the common git directory."""
    return tuple(one for one in changes if one.row == "link" or leads_astray(one, common))


def leads_astray(one: Change, common: str) -> bool:
    """Whether a change is of the `commondir` of an entry of COMMON/worktrees."""
    above = one.path.rpartition("/")[0].rpartition("/")[0]
    return one.row == "commondir" and bool(common) and above == f"{common}/worktrees"
