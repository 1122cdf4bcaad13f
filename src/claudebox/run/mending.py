"""Puts the repository's masks back when something on the host took them away: a `git config` there renames a
new file over the old one, and the kernel then detaches the mount that lay on it, in the sandbox too.

Putting back takes 2 ms, in which an agent that polls can open the new file, and write through that descriptor
later. So a file is asked for a read lease afterwards, which the kernel refuses while somebody has it open for
writing (fcntl(2), F_SETLEASE). A lease proves little, as a write may be over already: what changed is said in any
case, and what would run or include something ends the session, as does all that cannot be put back.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat

from claudebox import descriptors, mountinfo
from claudebox.errors import ClaudeboxError
from claudebox.model import Bind
from claudebox.plan.filesystem import below
from claudebox.run import mounts, spares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.model import SandboxPlan
    from claudebox.run.newtrees import NewTrees
    from claudebox.run.notify import Changes
    from claudebox.run.supervise import Supervision

LARGEST = 1 << 20
Content = bytes | tuple[tuple[str, int, int, int], ...] | None


class Mending:
    """The masks of one session, and what lay under them when it began."""

    def __init__(self, plan: SandboxPlan, supervision: Supervision, clones: spares.Spares) -> None:
        """Called before the token: what is read here is the host's."""
        self.plan, self.supervision, self.clones = plan, supervision, clones
        ours = [m for m in plan.mounts if isinstance(m, Bind) and m.inside and plan.repository]
        self.masks = {
            m.target: m for m in ours if below(m.target, plan.repository) or m.target == f"{plan.project}/.git"
        }
        self.sockets = {m.target: m for m in plan.mounts if isinstance(m, Bind) and m.covers}
        self.masks |= self.sockets
        trees = f"{plan.repository}/worktrees"
        entries = {t for t, m in self.masks.items() if os.path.dirname(t) == trees and m.access == "ro"}
        self.optional = {trees, *entries}
        kept = [t for t, mask in self.masks.items() if mask.access == "ro" and t not in self.sockets]
        self.before = {target: content(target) for target in kept}
        self.first = dict(self.before)
        self.dropped: set[str] = set()
        self.changes: Changes | None = None
        self.trees: NewTrees | None = None

    def put_back(self, gone: list[str]) -> str:
        """Mount what is gone again; why the session has to end, "" where all is well. gone: mount points."""
        missing = [target for target in gone if target not in self.dropped]
        tops = [target for target in missing if target in self.clones]
        alone = [target for target in missing if not any(below(target, top) for top in tops)]
        if foreign := [target for target in alone if target not in self.masks]:
            return f"the host detached {', '.join(foreign)}"
        try:
            if tops:
                self._put_back_clones(tops)
            if alone:
                self._watch()
            return self._put_back(alone) if alone else ""
        except (OSError, ClaudeboxError) as error:
            if not os.path.exists(f"/proc/{self.supervision.sandbox.init}/ns/mnt"):
                return ""  # the sandbox has ended meanwhile
            return f"the host replaced {', '.join(missing)}, which could not be put back: {error}"

    def _put_back_clones(self, tops: list[str]) -> None:
        sandbox = self.supervision.sandbox
        spares.put_back(self.plan, tops, self.clones, sandbox.guard.pid, sandbox.init)
        self.supervision.say(f"another session removed {', '.join(tops)} from the home they share; it is mounted again")

    def _put_back(self, missing: list[str]) -> str:
        sandbox = self.supervision.sandbox
        again = [self.masks[t] for t in sorted(missing, key=lambda path: path.count("/")) if self._has_place(t)]
        mounts.enter(mounts.masking(again, sandbox.guard.pid), sandbox.init, seconds=mounts.LIMIT)
        still = mounts.detached(self.plan, mountinfo.read(f"/proc/{sandbox.init}/mountinfo"))
        for target in self.optional.intersection(still).difference(self.dropped):
            if not os.path.lexists(target):  # the host removed a working tree: nothing is left to protect
                self.dropped.add(target)
                if self.trees:
                    self.trees.protected.discard(os.path.basename(target))
                self.supervision.say(f"the host removed {target}")
        # one that is not back has no name just now, and its appearance wakes us
        return next(filter(None, (self._judge(target) for target in missing if target not in still)), "")

    def _has_place(self, target: str) -> bool:
        """Whether there is something to mask: the host's socket has gone, as a rule, and may come back."""
        mask = self.masks[target]
        try:
            return not mask.covers or stat.S_ISSOCK(os.lstat(mask.covers).st_mode)
        except OSError:
            return False

    def _judge(self, target: str) -> str:
        """What became of one that was put back; why the session has to end, or ""."""
        if self.masks[target].access != "ro":
            return ""
        if covered := self.masks[target].covers:
            self.supervision.say(f"the host made {covered} anew: it is masked again, the agent may be connected to it")
            return ""
        before, now = self.before[target], content(target)
        if isinstance(now, bytes) and (why := writer(target)):
            return f"{target} was replaced on the host, and {why}"
        if now == before:
            self.supervision.say(f"the host replaced {target}; it is the same, and protected again")
            return ""
        if not isinstance(now, bytes) or not isinstance(before, bytes) or not _is_config(target):
            if now == ():
                self.supervision.say(f"the host emptied {target}; it is protected again")
                return ""
            return f"{target} changed on the host, or the agent wrote to it in between: look at it"
        from claudebox.plan import gitconfig

        harmless, others = gitconfig.added(before, now)
        if others:
            return f"{target} has new settings, of the host's or the agent's: {', '.join(others)}: look at it"
        self.before[target] = now
        said = f", new in it: {', '.join(harmless)}" if harmless else ""
        self.supervision.say(f"the host replaced {target}; it is protected again{said}")
        return ""

    def replaced(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The configurations that were replaced while the session ran, each with what is other in it now."""
        from claudebox.plan import gitconfig

        found = []
        for target, first in self.first.items():
            try:
                now = content(target) if _is_config(target) else first
            except OSError:
                continue  # the exit check says it
            if isinstance(first, bytes) and isinstance(now, bytes) and first != now:
                found.append((target, tuple(gitconfig.difference(first, now)) or ("only its layout",)))
        return tuple(found)

    def watch_new_trees(self) -> None:
        """Watch the working trees that are added from now on; where that cannot be, the exit check alone judges them,
        and it is said. Fifty sandboxes may have used up what the next one watches with."""
        if not self.plan.repository:
            return
        from claudebox.run.newtrees import NewTrees

        trees = f"{self.plan.repository}/worktrees"
        names = {os.path.basename(t) for t in self.masks if os.path.dirname(t) == trees}
        try:
            self.trees = NewTrees(self.plan.repository, names, self.supervision)
        except OSError as error:
            self.supervision.say(
                "working trees that are added while this session runs are judged only at its end: they cannot be"
                f" watched ({error.strerror}; fs.inotify.max_user_instances)"
            )

    def _watch(self) -> None:
        """Be woken when a name appears that was missing. Begun before the first look, so that none is missed."""
        if self.changes is not None:
            return
        from claudebox.run.notify import Changes

        places = [mask.covers or target for target, mask in self.masks.items()]
        parents = sorted({os.path.dirname(place) for place in places} - self.dropped)
        names = sorted({os.path.basename(place) for place in places})
        self.changes = Changes([parent for parent in parents if os.path.isdir(parent)], names)
        self.supervision.watch(self.changes.descriptor, select.POLLIN, self._appeared)

    def _appeared(self) -> None:
        if self.changes is not None:
            self.changes.arrived()
            self.supervision.check_mounts()


def _is_config(target: str) -> bool:
    return os.path.basename(target) in ("config", "config.worktree")


def content(path: str) -> Content:
    """A file's bytes, or a directory's entries with inode, size and time of change; None where it is missing.

    Raises OSError for a link, another kind of file, a file with more than one name, or one that is too large.
    """
    try:
        parent = descriptors.pinned(os.path.dirname(path))
    except FileNotFoundError:
        return None
    try:
        name = os.path.basename(path)
        try:
            state = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(state.st_mode):
            return _entries(parent, name)
        if state.st_nlink > 1:
            raise OSError(31, "it has more than one name", path)
        return descriptors.read_file(parent, name, LARGEST)
    finally:
        os.close(parent)


def _entries(parent: int, name: str) -> tuple[tuple[str, int, int, int], ...]:
    directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        found = []
        for entry in sorted(os.listdir(directory)):
            state = os.stat(entry, dir_fd=directory, follow_symlinks=False)
            found.append((entry, state.st_ino, state.st_size, state.st_mtime_ns))
        return tuple(found)
    finally:
        os.close(directory)


def writer(path: str) -> str:
    """Who may still write a file under its mask: words for it, or "" where a read lease says nobody."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)  # held, it would stall the host's writers
        return ""
    except BlockingIOError:
        return "somebody, maybe the agent, has it open for writing"
    except OSError as error:
        return f"this file system cannot tell who writes to it ({error.strerror})"
    finally:
        os.close(file)
