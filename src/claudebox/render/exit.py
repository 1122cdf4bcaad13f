"""PURE: the exit report → what a person reads: what runs unasked in red, what was moved, how to look at it."""

from __future__ import annotations

from claudebox.model import Change, ExitReport, Severity
from claudebox.record import NamedTuple
from claudebox.render.script import quoted

ROWS, LISTED = 20, 8  # lines of a block, names in one line
DIFF = "diff --no-ext-diff --no-textconv --ignore-submodules=all"
FOLLOWED = {"link", "commondir"}
NESTED = {"repository", "bare", "pointer", "gitlink"}


class Block(NamedTuple):
    """A sentence and its list."""

    severity: Severity
    text: str
    rows: tuple[str, ...] = ()


def blocks(report: ExitReport) -> tuple[Block, ...]:
    """What is said at the end of a session; nothing when nothing changed."""
    moved = {path for path, _, _ in report.moved}
    changes = [one for one in report.changes if one.path not in moved or one.row not in FOLLOWED]
    found = [
        *unasked(report.root, [one for one in changes if one.unasked]),
        *aside(report),
        *replaced(report),
        *asked(report.root, [one for one in changes if not one.unasked]),
        *ways_to_look(report, changes),
    ]
    if report.cut:
        text = "there is more now than is looked at (50,000 entries): what lies deepest was not compared"
        found.insert(0, Block(severity="danger", text=text))
    return tuple(found)


def unasked(root: str, changes: list[Change]) -> list[Block]:
    """What runs without being asked."""
    if not changes:
        return []
    rows = [f"{shown(root, one.path)}: {said(one)}" for one in changes]
    text = "changed while the session ran, and run on this host without being asked:"
    return [Block(severity="danger", text=text, rows=bounded(rows))]


def said(change: Change) -> str:
    """What a change means."""
    kind = "" if plain(change) or change.row in NESTED else f", {change.state.partition(' ')[0]}"
    return f"{'new' if change.new else 'changed'}{kind}; {change.reason} ({change.sets_off})"


def plain(change: Change) -> bool:
    """Whether it is a file whose content was read."""
    return change.state[:3].isdigit()


def aside(report: ExitReport) -> list[Block]:
    """The links that git would have followed."""
    rows = [
        f"{shown(report.root, path)} -> {quoted(to)}; "
        + (f"now {quoted(now)}" if now else "could not be moved: remove it")
        for path, to, now in report.moved
    ]
    if not rows:
        return []
    text = "what git would have followed appeared in a git directory; it was moved aside:"
    return [Block(severity="danger", text=text, rows=bounded(rows))]


def replaced(report: ExitReport) -> list[Block]:
    """The configurations that were replaced while the session ran."""
    text = "was replaced on the host while the session ran; an agent that was quick may have written to it:"
    return [
        Block(severity="danger", text=f"{shown(report.root, path)} {text}", rows=bounded(list(lines)))
        for path, lines in report.replaced
    ]


def as_json(report: ExitReport) -> str:
    """A report on one line, for programs. Bytes that are not UTF-8 appear as surrogate escapes."""
    import json

    found = {
        "schema_version": 1,
        "project": report.root,
        "commit": report.head,
        "changes": [one._asdict() for one in report.changes],
        "moved": [{"path": path, "said": to, "now": now} for path, to, now in report.moved],
        "replaced": [{"path": path, "lines": lines} for path, lines in report.replaced],
        "more_than_is_looked_at": report.cut,
    }
    return json.dumps({"exit_report": found}) + "\n"


def asked(root: str, changes: list[Change]) -> list[Block]:
    """What runs when the user asks for it, in one line."""
    names = [f"{shown(root, one.path)} ({one.sets_off})" for one in changes]
    if not names:
        return []
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return [Block(severity="info", text=f"also changed, and run when asked for: {', '.join(names[:LISTED])}{more}")]


def ways_to_look(report: ExitReport, changes: list[Change]) -> list[Block]:
    """Commands that run nothing of what they show."""
    rows = []
    files = [one for one in changes if one.row not in NESTED and plain(one)]
    inside = [one for one in files if one.path.startswith(report.root + "/") and "/.git/" not in one.path]
    if old := [shown(report.root, one.path) for one in inside if not one.new]:
        since = f" {report.head[:12]}" if report.head else ""
        rows.append(f"git -C {quoted(report.root)} {DIFF}{since} -- {' '.join(old[:LISTED])}")
    if new := [quoted(one.path) for one in files if one.new or one not in inside]:
        rows.append(f"cat -v -- {' '.join(new[:LISTED])}")
    if nested := [shown(report.root, one.path) for one in changes if one.row in NESTED]:
        rows.append(f"run no git in a repository that you did not make: {' '.join(nested[:LISTED])}")
    return [Block(severity="info", text="look at it with what runs none of it:", rows=tuple(rows))] if rows else []


def blind(problem: str) -> tuple[Block, ...]:
    """The comparison could not be made."""
    text = f"what the session changed that this host runs cannot be told: {problem}"
    return (Block(severity="danger", text=text),)


def later(found: tuple[Block, ...], which: str) -> tuple[Block, ...]:
    """The same, of an earlier session."""
    return tuple(one._replace(text=f"of a session {which}: {one.text}") for one in found)


def bounded(rows: list[str]) -> tuple[str, ...]:
    """The first ones, and how many more there are."""
    more = [f"and {len(rows) - ROWS} more"] if len(rows) > ROWS else []
    return tuple(rows[:ROWS] + more)


def shown(root: str, path: str) -> str:
    """A path as it can be typed in the project."""
    return quoted(path.removeprefix(root.rstrip("/") + "/"))
