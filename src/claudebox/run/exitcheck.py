"""The exit check of a session: a snapshot before the agent runs, its comparison when all of the sandbox is gone.

The first one lies beside the session's record: after a kill the next start of any session of the instance makes the
comparison. What nobody could be told (the terminal hung up) waits there as text.
"""

from __future__ import annotations

import os

from claudebox import console, descriptors
from claudebox.errors import ClaudeboxError
from claudebox.jsontext import json_text
from claudebox.model import Change, ExitReport, SandboxPlan, Seen, Snapshot, Watch
from claudebox.run import session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from claudebox.render.exit import Block
    from claudebox.run.listings import Listings

LIMIT = 1 << 26  # bytes of a record
MOST = 1000  # links that are moved aside
SHORT = 1 << 12  # bytes of a file that leads like one


class ExitCheck:
    """The check of this session. released: the agent may have run; replaced: says which configurations the host
    replaced meanwhile."""

    def __init__(self, plan: SandboxPlan, here: int, *, as_json: bool = False) -> None:
        """here: the instance's directory, which lies where the plan says; as_json: the report is for programs."""
        self.watch, self.git, self.here = plan.watch, plan.tools.git, here
        self.name = f"{os.getpid()}{session.SNAPSHOT}"
        self.before: Snapshot | None = None
        self.listings: Listings | None = None
        self.released, self.as_json = False, as_json
        self.replaced: Callable[[], tuple[tuple[str, tuple[str, ...]], ...]] = tuple

    def begin(self) -> None:
        """Take the first snapshot and put it down. Raises ClaudeboxError: then the agent must not run."""
        from claudebox.run.listings import Listings

        self.listings = Listings(self.here, self.watch.root)
        self.before = look(self.watch, self.git, self.here, self.listings)
        try:
            write(self.here, self.name, as_text(self.before))
        except OSError as error:
            raise ClaudeboxError(f"cannot write the snapshot: {error.strerror}", "free some space") from None

    def leave(self) -> None:
        """Compare, move aside, say what there is to say. Called when the sandbox is gone, before its record is."""
        if self.before is None:
            return
        blocks: tuple[Block, ...] = ()
        if self.released:
            try:
                report = compared(self.before, self.git, self.here, self.listings, self.replaced())
                if self.as_json and report is not None:
                    from claudebox.render import exit

                    console.write(exit.as_json(report))
                else:
                    blocks = worded(report)
            except ClaudeboxError as problem:
                from claudebox.render import exit

                blocks = exit.blind(problem.message)
        if blocks and not console.heard():
            try:
                write(self.here, self.name, said(blocks))
                return
            except OSError:
                pass  # a full disk: then it is said to whoever may read it
        show(blocks)
        remove(self.here, self.name)


def look(watch: Watch, git: str, here: int, listings: Listings) -> Snapshot:
    """A snapshot now. Raises ClaudeboxError."""
    # not above: a launch reads them while bwrap is at work
    from claudebox.run.gitlinks import Gitlinks
    from claudebox.run.snapshot import take

    gitlinks = Gitlinks(git, here)
    try:
        found = take(watch, gitlinks, listings)
    except OSError as error:
        raise ClaudeboxError(f"cannot look at {watch.root}: {error.strerror}", "make it readable") from None
    gitlinks.save()
    listings.save()
    return found


def compared(
    before: Snapshot,
    git: str,
    here: int,
    listings: Listings | None = None,
    replaced: tuple[tuple[str, tuple[str, ...]], ...] = (),
) -> ExitReport | None:
    """What changed in a session that began with a snapshot; None where nothing did. Moves aside what git would follow.

    listings: of the first look, if it was ours; replaced: configurations that the host replaced. Raises ClaudeboxError.
    """
    from claudebox.run.listings import Listings

    known = listings.again() if listings else Listings(here, before.watch.root)
    after = look(before.watch, git, here, known)
    if after.seen == before.seen and after.cut <= before.cut and not replaced:
        return None
    from claudebox.plan.exit import compare, followed

    changes = compare(before, after)
    return ExitReport(
        root=before.watch.root,
        head=before.head,
        changes=changes,
        moved=tuple(move_aside(here, one) for one in followed(changes, before.watch.common)[:MOST]),
        replaced=replaced,
        cut=after.cut and not before.cut,
    )


def worded(report: ExitReport | None) -> tuple[Block, ...]:
    """A report for a person."""
    if report is None:
        return ()
    from claudebox.render import exit

    return exit.blocks(report)


def move_aside(here: int, one: Change) -> tuple[str, str, str]:
    """Take a link, or a file that leads like one, out of a git directory, following none: (path, what it says,
    where it is now or "")."""
    directory, _, name = one.path.rpartition("/")
    to = one.state.removeprefix("link ") if one.row == "link" else ""
    try:
        parent = descriptors.walk(None, descriptors.parts(directory))
        try:
            if one.row != "link":
                to = (descriptors.read_file(parent, name, SHORT) or b"").decode(errors="surrogateescape").rstrip("\n")
            return one.path, to, taken_out(here, parent, name, to, link=one.row == "link")
        finally:
            os.close(parent)
    except OSError:
        return one.path, to, ""


def taken_out(here: int, parent: int, name: str, to: str, *, link: bool) -> str:
    """Make the same link, or a file with what it says, in the instance's `aside/`, then remove it from parent; where
    it is now. Raises OSError."""
    import time

    if link and os.readlink(name, dir_fd=parent) != to:
        return ""
    aside = descriptors.make_directory(here, "aside")
    try:
        kept = os.fsdecode(os.fsencode(name)[:200]) + f".{time.time_ns()}"
        if link:
            os.symlink(to, kept, dir_fd=aside)
        else:
            descriptors.create_file(aside, kept, to.encode(errors="surrogateescape"), 0o600)
        try:
            os.unlink(name, dir_fd=parent)
        except PermissionError:  # an agent can take the modes away
            os.chmod(f"/proc/self/fd/{parent}", 0o700)
            os.unlink(name, dir_fd=parent)
        return os.readlink(f"/proc/self/fd/{aside}") + f"/{kept}"
    finally:
        os.close(aside)


def show(blocks: tuple[Block, ...]) -> None:
    """Print what there is to say."""
    for block in blocks:
        console.listing(block.severity, block.text, block.rows)


# --- of sessions that were killed ----------------------------------------------------------------


def sweep(here: int, git: str) -> list[str]:
    """Make the comparison for sessions that could not, and say what they left; the first lines of it.

    Called under `locks.Brief`. git: the host's, "" without one.
    """
    messages = []
    for name in session.left_behind(here):
        directory = descriptors.make_directory(here, session.DIRECTORY)
        try:
            text = descriptors.read_file(directory, name, LIMIT)
        except OSError:
            text = None
        finally:
            os.close(directory)
        blocks = resumed(text or b"", git, here)
        show(blocks)
        messages += [block.text for block in blocks]
        remove(here, name)
    return messages


def resumed(text: bytes, git: str, here: int) -> tuple[Block, ...]:
    """What a record has to say: the comparison of a snapshot with now, or what nobody could be told."""
    import json

    from claudebox.render import exit

    try:
        found = json.loads(text)
        if "said" in found:
            blocks = tuple(exit.Block(severity=s, text=t, rows=tuple(rows)) for s, t, rows in found["said"])
            return exit.later(blocks, "whose end nobody could read")
        before = from_text(found)
    except (ValueError, KeyError, TypeError, RecursionError):
        return exit.blind("its snapshot was not written whole")
    try:
        found_now = worded(compared(before, git, here))
    except ClaudeboxError as problem:
        found_now = exit.blind(problem.message)
    return exit.later(found_now, "that was killed")


# --- records -------------------------------------------------------------------------------------


def as_text(snapshot: Snapshot) -> str:
    """A snapshot as JSON."""
    watch = snapshot.watch
    seen = ",\n ".join(
        f"[{json_text(one.row)}, {json_text(one.path)}, {json_text(one.state)}]" for one in snapshot.seen
    )
    fields = {"root": watch.root, "common": watch.common, "entry": watch.entry, "head": snapshot.head}
    texts = ", ".join(f'"{name}": {json_text(value)}' for name, value in fields.items())
    targets = ", ".join(map(json_text, watch.targets))
    return f'{{{texts}, "cut": {json_text(snapshot.cut)}, "targets": [{targets}], "seen": [{seen}]}}\n'


def from_text(found: dict[str, object]) -> Snapshot:
    """The snapshot that a record holds. Raises KeyError, TypeError or ValueError where it holds none."""
    words = {name: found[name] for name in ("root", "common", "entry", "head")}
    targets, seen, cut = found["targets"], found["seen"], found["cut"]
    if not (isinstance(targets, list) and isinstance(seen, list) and isinstance(cut, bool)):
        raise TypeError("no snapshot")
    rows = [Seen(row=row, path=path, state=state) for row, path, state in seen]
    if not all(isinstance(word, str) for word in (*words.values(), *targets, *(word for row in rows for word in row))):
        raise TypeError("no snapshot")
    texts = {name: str(word) for name, word in words.items()}
    watch = Watch(root=texts["root"], common=texts["common"], entry=texts["entry"], targets=tuple(targets))
    return Snapshot(watch=watch, seen=tuple(rows), head=texts["head"], cut=cut)


def said(blocks: tuple[Block, ...]) -> str:
    """What could not be said, as JSON."""
    import json

    return json.dumps({"said": [[block.severity, block.text, block.rows] for block in blocks]}) + "\n"


def write(here: int, name: str, text: str) -> None:
    """Put a record beside the session's. Raises OSError."""
    directory = descriptors.make_directory(here, session.DIRECTORY)
    try:
        descriptors.replace_file(directory, name, text.encode())
    finally:
        os.close(directory)


def remove(here: int, name: str) -> None:
    """The record has served."""
    directory = descriptors.make_directory(here, session.DIRECTORY)
    try:
        session.remove(directory, name)
    finally:
        os.close(directory)
