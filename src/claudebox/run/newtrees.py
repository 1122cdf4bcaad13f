"""Watches the working trees that are added while a session runs, inside or on the host: nobody can tell which.

Their metadata stays writable until the next launch, as git inside has to write it. A `commondir` there that says
anything but `../..` leads the host's git to a configuration of the agent's: the session ends, and the exit check takes
the file away.
"""

from __future__ import annotations

import os
import select
import stat

from claudebox import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.run.notify import Changes
    from claudebox.run.supervise import Supervision

MOST = 1000  # entries: each is a watch, and an agent can make them by the million
LIMIT = 1 << 12
OWN = b"../.."  # what git writes there
FILE = "commondir"


class NewTrees:
    """The entries of COMMON/worktrees that no mount protects. protected: names of those that one does."""

    def __init__(self, common: str, protected: set[str], supervision: Supervision) -> None:
        """Called before the token. Raises OSError where inotify is used up."""
        self.common, self.top = common, f"{common}/worktrees"
        self.protected, self.supervision = protected, supervision
        self.changes: Changes | None = None
        self.watched: tuple[str, ...] = ()
        self.look()

    def look(self) -> None:
        """Watch what is there now, and judge it; why the session has to end is said, and it is ended."""
        from claudebox.run.notify import MODIFY, Changes

        while (found := self.directories()) != self.watched or self.changes is None:
            if len(found) > MOST:
                return self.end(f"{len(found)} working trees were added, and {MOST} are watched")
            old, self.watched = self.changes, found
            names = (FILE, "worktrees", *(path.rpartition("/")[2] for path in found))
            try:
                self.changes = Changes(found, names, more=MODIFY)
            except FileNotFoundError:  # removed meanwhile
                self.watched = ()
                continue
            except OSError as error:
                if old is None:
                    raise
                return self.end(f"the working trees that were added cannot be watched ({error.strerror})")
            if old is not None:
                self.supervision.unwatch(old.descriptor)
                old.close()
            self.supervision.watch(self.changes.descriptor, select.POLLIN, self.arrived)
        for entry in self.watched:
            if os.path.dirname(entry) == self.top and (text := said(entry)) not in (b"", OWN):
                shown = text.decode(errors="surrogateescape")
                return self.end(f"{entry}/{FILE} would lead the host's git to {shown}")
        return None

    def directories(self) -> tuple[str, ...]:
        """The directory of the entries, or the repository as long as there is none; and the new entries."""
        try:
            names = sorted(os.listdir(self.top))
        except OSError:
            return (self.common,)
        entries = [f"{self.top}/{name}" for name in names if name not in self.protected]
        return (self.top, *(entry for entry in entries if _is_directory(entry)))

    def arrived(self) -> None:
        """Something changed there."""
        if self.changes is not None:
            self.changes.arrived()
            self.look()

    def end(self, why: str) -> None:
        """Say why, and end the session."""
        self.supervision.say(f"{why}. The session was ended")
        self.supervision.kill()


def said(entry: str) -> bytes:
    """What the `commondir` of an entry says: nothing as long as it is missing or empty."""
    try:
        here = descriptors.pinned(entry)
        try:
            return (descriptors.read_file(here, FILE, LIMIT) or b"").rstrip(b"\n")
        finally:
            os.close(here)
    except FileNotFoundError:
        return b""
    except OSError as error:  # no file, or too large: git would make of it what it can
        return f"what cannot be read ({error.strerror})".encode()


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
