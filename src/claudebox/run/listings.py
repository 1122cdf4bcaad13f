"""What matters of directories, remembered over launches: a directory whose times stand has the entries that it had.

Listing 50,000 entries costs a launch 35 ms, most of it the kernel's, and asking for the times of 2,000 directories 5.
The times of change are the kernel's own and no agent can set them, but only some file systems keep them so: FUSE and
the network's take a server's word. What is remembered lies where no sandbox can write.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time

from claudebox import descriptors
from claudebox.digest import sha256
from claudebox.plan.watched import DIRECTORIES, FILES, SKIPPED
from claudebox.run.namespaces import LIBC

# What matters of a directory: how many entries it has; those to be looked at, (d, l or f for their kind, name);
# the directories in it that are to be walked. No NamedTuple: to make thousands of those costs milliseconds.
Listing = tuple[int, tuple[tuple[str, str], ...], tuple[str, ...]]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Choose = Callable[[list[os.DirEntry[str]], str], tuple[list[tuple[str, str]], list[str]]]

DIRECTORY, LIMIT, KEPT = "listings", 1 << 22, 20  # of an instance; bytes of a file; files, one a working tree
WORTH = 1000  # entries: fewer are listed again sooner than remembered
FRESH = 2 * 10**9  # nanoseconds: what changed later may change again and show the same time
# statfs(2): ext2 to 4, XFS, Btrfs, tmpfs, F2FS, ZFS, bcachefs, overlayfs
OWN_TIMES = frozenset({0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010, 0x2FC12FC1, 0xCA451A4E, 0x794C7630})
NAMED = frozenset({*FILES, *DIRECTORIES, ".git", "HEAD", "objects", "refs", "commondir"})
GIT_FILES = frozenset({"config", "config.worktree", "commondir", "gitdir", "git-rebase-todo", "alternates", "index"})
QUIET = frozenset({"refs", "logs"})  # whatever has which name there, it is a branch's
HEX = frozenset("0123456789abcdef")
FIELDS = 5  # path, stamp, count, named, below
ESCAPE = "surrogateescape"


class Listings:
    """Lists directories of a project, those that changed. here: the instance's directory; root: the project's."""

    def __init__(self, here: int, root: str) -> None:
        self.here, self.root = here, root
        self.name = sha256(os.fsencode(root)).hexdigest()[:16]
        self.known: dict[str, tuple[str, str, str, str]] | None = None
        self.used: dict[str, tuple[str, str, str, str]] = {}
        self.listed = 0  # entries that are not remembered yet
        self.trusted: dict[int, bool] = {}

    def read(self, top: int, here: int, inner: str, path: str, room: int, choose: Choose) -> Listing:
        """What matters of an open directory, inner below top, which lies at path.

        room: how many entries are read at most, and one more; choose: what of them matters. Raises OSError.
        """
        state = os.fstat(here)
        with os.scandir(here) as entries:
            read = [entry for _, entry in zip(range(room + 1), entries, strict=False)]
        named, below = choose(read, inner)
        if len(read) <= room:
            self.remember(top, path, state, len(read), named, below)
        return len(read), tuple(named), tuple(below)

    def remembered(self, top: int, inner: str, path: str) -> Listing | None:
        """What is known of a directory that has not changed: inner below top, which lies at path."""
        if self.known is None:
            self.known = self.kept()
        fields = self.known.get(path)
        if fields is None or not (self.trusted.get(top) or self.has_own_times(top)):
            return None
        try:
            # by name, maybe through a link that was put there just now: then it is another inode
            state = os.stat(inner or ".", dir_fd=top, follow_symlinks=False)
        except OSError:
            return None
        stamp, count, named, below = fields
        if stamp != f"{state.st_dev}.{state.st_ino}.{state.st_ctime_ns}":
            return None
        self.used[path] = fields
        pairs = tuple([(name[0], name[1:]) for name in named.split("/")]) if named else ()
        return int(count), pairs, tuple(below.split("/")) if below else ()

    def remember(
        self, top: int, path: str, state: os.stat_result, count: int, named: list[tuple[str, str]], below: list[str]
    ) -> None:
        """Keep what was listed. state: from before it was."""
        if time.time_ns() - state.st_ctime_ns > FRESH and self.has_own_times(top):
            self.listed += count
            names = "/".join(kind + name for kind, name in named)
            stamp = f"{state.st_dev}.{state.st_ino}.{state.st_ctime_ns}"
            self.used[path] = (stamp, str(count), names, "/".join(below))

    def has_own_times(self, top: int) -> bool:
        """Whether the file system of a directory keeps the times of change itself."""
        if top not in self.trusted:
            self.trusted[top] = own_times(top)
        return self.trusted[top]

    def kept(self) -> dict[str, tuple[str, str, str, str]]:
        """Path → what an earlier launch knew."""
        try:
            directory = os.open(DIRECTORY, descriptors.DIRECTORY, dir_fd=self.here)
        except OSError:
            return {}
        try:
            fields = (descriptors.read_file(directory, self.name, LIMIT) or b"").decode(errors=ESCAPE).split("\0")
        except OSError:
            return {}
        finally:
            os.close(directory)
        columns = [fields[column::FIELDS] for column in range(FIELDS)]
        return dict(zip(columns[0], zip(*columns[1:], strict=False), strict=False))

    def again(self) -> Listings:
        """For a later look at the same project: what is known by now."""
        made = Listings(self.here, self.root)
        made.known = self.used
        return made

    def save(self) -> None:
        """Write down what is known now, where it is worth it. A full disk costs the next launch time, nothing else."""
        if self.listed < WORTH:
            return
        text = "\0".join("\0".join((path, *fields)) for path, fields in self.used.items()).encode(errors=ESCAPE)
        if len(text) > LIMIT:
            text = text[
                : text.rindex(b"\0", 0, LIMIT)
            ]  # what has no whole record at the end is left out when it is read
        try:
            directory = descriptors.make_directory(self.here, DIRECTORY)
            try:
                for name in os.listdir(f"/proc/self/fd/{directory}")[KEPT:]:
                    os.unlink(name, dir_fd=directory)
                descriptors.replace_file(directory, self.name, text)
            finally:
                os.close(directory)
        except OSError:
            pass


def own_times(directory: int) -> bool:
    """Whether the file system of a descriptor keeps the times of change itself."""
    found = ctypes.create_string_buffer(256)  # struct statfs begins with f_type, a long
    if LIBC.fstatfs(directory, found) != 0:
        return False
    return struct.unpack_from("@l", found)[0] & 0xFFFFFFFF in OWN_TIMES


# --- what matters ----------------------------------------------------------------------------------


def of_project(entries: list[os.DirEntry[str]], _: str) -> tuple[list[tuple[str, str]], list[str]]:
    """What matters of a directory of the project."""
    named = [("d" if one.is_dir(follow_symlinks=False) else "f", one.name) for one in entries if one.name in NAMED]
    below = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    return named, [name for name in below if name not in SKIPPED and name != ".git"]


def of_git(
    entries: list[os.DirEntry[str]], inner: str, *, quiet: bool = False
) -> tuple[list[tuple[str, str]], list[str]]:
    """What matters of a directory of a git directory. quiet: of its references, whose names say nothing."""
    named, below, last = [], [], inner.rpartition("/")[2]
    for entry in entries:
        name = entry.name
        if entry.is_symlink():
            named.append(("l", name))
        elif entry.is_dir(follow_symlinks=False):
            below.append(name)
        elif not quiet and (name in GIT_FILES or last == "hooks" or name.startswith("sharedindex.")):
            named.append(("f", name))
    # thousands of directories that only hold objects, but in that of a submodule with this name
    if last == "objects" and not quiet and not inner.endswith("modules/objects"):
        below = [name for name in below if not (name == "pack" or (len(name) == 2 and HEX.issuperset(name)))]
    return named, below


def of_names(entries: list[os.DirEntry[str]], inner: str) -> tuple[list[tuple[str, str]], list[str]]:
    """What matters of a directory of references or of their logs."""
    return of_git(entries, inner, quiet=True)
