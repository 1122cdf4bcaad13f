"""Reads what the host would execute or follow of a project: bounded, by descriptors, following no link.

Breadth first, so that a cut leaves the deepest. No git runs on anything that the agent could have configured.
"""

from __future__ import annotations

import errno
import os

from claudebox import descriptors
from claudebox.model import Seen, Snapshot, Watch
from claudebox.plan.gitconfig import obeyed
from claudebox.plan.watched import DIRECTORIES, FILES, executes
from claudebox.record import NamedTuple
from claudebox.run import beneath
from claudebox.run.gitlinks import Gitlinks
from claudebox.run.listings import QUIET, Listing, Listings, of_git, of_names, of_project
from claudebox.run.reflog import last_commit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.run.listings import Choose

    Named = tuple[tuple[str, str], ...]

DEPTH = 4  # levels of directories below the project
ENTRIES = 50_000  # of the project, and again of all its git directories
BELOW = 3  # levels of a directory that is watched whole
NONE_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Place(NamedTuple):
    """A directory that is walked, and where it lies."""

    top: int
    path: str

    def at(self, inner: str) -> str:
        """The absolute path of what lies in it."""
        return f"{self.path}/{inner}" if inner else self.path


def take(watch: Watch, gitlinks: Gitlinks, listings: Listings) -> Snapshot:
    """A snapshot of a project and of its repository. Raises OSError where one of the two cannot be opened."""
    walk = Walk(watch, gitlinks, listings)
    places = []
    try:
        project = Place(top=descriptors.pinned(watch.root), path=watch.root)
        places.append(project)
        walk.tree(project)
        for target in watch.targets:
            walk.target(project, target)
        if watch.common == watch.root or watch.common.startswith(watch.root + "/"):
            walk.git_directory(project, watch.common[len(watch.root) + 1 :])
        elif watch.common:
            common = Place(top=descriptors.pinned(watch.common), path=watch.common)
            places.append(common)
            walk.git_directory(common, "")
        walk.enter_gitlinks(project)
        head = walk.head(places[-1]) if watch.common else ""
    finally:
        for place in places:
            os.close(place.top)
    seen = tuple(Seen(row=row, path=path, state=state) for (row, path), state in sorted(walk.seen.items()))
    return Snapshot(watch=watch, seen=seen, head=head, cut=walk.tree_left < 0 or walk.git_left < 0)


class Walk:
    """One look at a project: what was seen, and how many entries it may still look at."""

    def __init__(self, watch: Watch, gitlinks: Gitlinks, listings: Listings) -> None:
        self.watch, self.gitlinks, self.listings = watch, gitlinks, listings
        self.seen: dict[tuple[str, str], str] = {}
        self.tree_left = self.git_left = ENTRIES
        self.walked: set[str] = set()  # git directories

    def note(self, row: str, path: str, state: str) -> None:
        """Remember something that is there."""
        if state:
            self.seen[row, path] = state

    def opened(self, place: Place, inner: str) -> int:
        """A descriptor of a directory of a place, -1 where there is none. One that cannot be listed is noted: what
        lies in it can be opened by its name all the same."""
        try:
            return beneath.opened(place.top, inner, beneath.LIST)
        except OSError as error:
            if error.errno not in NONE_THERE:
                self.note("closed", place.at(inner), "directory")
            return -1

    def listing(self, place: Place, inner: str, room: int, choose: Choose) -> Listing | None:
        """What matters of a directory of a place; None where `opened` gives -1."""
        found = self.listings.remembered(place.top, inner, place.at(inner))
        if found is None and (here := self.opened(place, inner)) >= 0:
            try:
                return self.listings.read(place.top, here, inner, place.at(inner), room, choose)
            finally:
                os.close(here)
        return found

    # --- the project -------------------------------------------------------------------------------

    def tree(self, place: Place) -> None:
        """Walk the project's directories, breadth first."""
        queue = [("", 0)]
        for inner, level in queue:  # it grows meanwhile
            if self.tree_left < 0:
                return
            found = self.listing(place, inner, self.tree_left, of_project)
            if found is None:
                continue
            entries, named, below = found
            self.tree_left -= entries
            deeper = level < DEPTH
            if named:
                deeper = self.directory(place, inner, named) and deeper
            if deeper and below:
                prefix = f"{inner}/" if inner else ""
                queue += [(prefix + name, level + 1) for name in below]

    def directory(self, place: Place, inner: str, named: Named) -> bool:
        """Look at what has a name of the table in a directory; whether those in it are to be walked."""
        here = self.opened(place, inner)
        if here < 0:
            return True
        try:
            for kind, name in named:
                self.named(place, here, inner, name, kind == "d")
        finally:
            os.close(here)
        names = {name for _, name in named}
        if {"HEAD", "objects", "refs"} <= names or {"HEAD", "commondir"} <= names:
            if place.at(inner) == self.watch.common:
                return False  # the repository itself, which is walked as such
            self.note("bare", place.at(inner), "directory")
            self.git_directory(place, inner)
        return True

    def named(self, place: Place, here: int, inner: str, name: str, is_directory: bool) -> None:
        """Look at an entry whose name is in the table."""
        path = f"{inner}/{name}" if inner else name
        if row := FILES.get(name):
            self.note(row, place.at(path), beneath.state(here, name))
        elif name == ".git":
            self.repository(place, here, path, is_directory)
        for file, row in DIRECTORIES.get(name, ()):
            if not is_directory:
                self.note(row, place.at(path), beneath.state(here, name))  # a link: what it leads to counts as it
            elif file.endswith("/"):
                self.whole(place, f"{path}/{file}".rstrip("/"), row, BELOW)
            else:
                self.one(place, f"{path}/{file}", row)

    def repository(self, place: Place, here: int, path: str, is_directory: bool) -> None:
        """Look at a `.git`."""
        if is_directory:
            self.note("repository", place.at(path), "directory")
            self.git_directory(place, path)
        else:
            self.note("pointer", place.at(path), beneath.state(here, ".git"))

    def one(self, place: Place, inner: str, row: str) -> None:
        """Look at a file by its path in a place."""
        directory, _, name = inner.rpartition("/")
        here = self.opened(place, directory)
        if here < 0:
            return
        try:
            self.note(row, place.at(inner), beneath.state(here, name))
        finally:
            os.close(here)

    def whole(self, place: Place, inner: str, row: str, levels: int) -> None:
        """Look at every file of a directory."""
        here = self.opened(place, inner)
        if here < 0:
            return
        try:
            with os.scandir(here) as found:
                for entry in found:
                    self.tree_left -= 1
                    if self.tree_left < 0:
                        return
                    path = f"{inner}/{entry.name}"
                    if not entry.is_dir(follow_symlinks=False):
                        self.note(row, place.at(path), beneath.state(here, entry.name))
                    elif levels > 1:
                        self.whole(place, path, row, levels - 1)
        finally:
            os.close(here)

    def target(self, place: Place, path: str) -> None:
        """Look at something of the project that the host's git obeys already: a file, or all of a directory."""
        inner = path[len(self.watch.root) + 1 :]
        self.one(place, inner, "target")
        if self.seen.get(("target", path)) == "directory":
            del self.seen["target", path]
            self.whole(place, inner, "target", BELOW)

    # --- git directories ---------------------------------------------------------------------------

    def git_directory(self, place: Place, top: str) -> None:
        """Walk a git directory whole, but for its objects."""
        if place.at(top) in self.walked:
            return
        self.walked.add(place.at(top))
        queue = [(top, False)]
        for inner, quiet in queue:  # it grows meanwhile
            if self.git_left < 0:
                return
            found = self.listing(place, inner, self.git_left, of_names if quiet else of_git)
            if found is None:
                continue
            entries, named, below = found
            self.git_left -= entries
            if named:
                self.git_entries(place, inner, named)
            prefix = f"{inner}/" if inner else ""
            queue += [(prefix + name, quiet or name in QUIET) for name in below]

    def git_entries(self, place: Place, inner: str, named: Named) -> None:
        """Look at the links and the files that matter of a directory of a git directory."""
        here = self.opened(place, inner)
        if here < 0:
            return
        try:
            for kind, name in named:
                if kind == "l":
                    self.link(here, name, f"{place.at(inner)}/{name}")
                else:
                    self.git_file(place, here, inner, name)
        finally:
            os.close(here)

    def link(self, here: int, name: str, path: str) -> None:
        """A link, unless it is a reference of git's own (core.preferSymlinkRefs)."""
        try:
            to = os.readlink(name, dir_fd=here)
        except OSError:
            return
        if name != "HEAD" or not to.startswith("refs/") or ".." in to:
            self.note("link", path, f"link {to}")

    def git_file(self, place: Place, here: int, inner: str, name: str) -> None:
        """Look at a file of a git directory that says what git does."""
        directory = place.at(inner)
        path = f"{directory}/{name}"
        if name == "index" or name.startswith("sharedindex."):
            self.index(here, name, directory, sha256=self.has_sha256(place, here, inner))
        elif directory.endswith("/hooks"):
            if not name.endswith(".sample"):
                self.note("hook", path, beneath.state(here, name))
        elif name == "gitdir":
            self.note("entry", path, beneath.state(here, name))
        elif name == "alternates":
            self.note("alternates", path, beneath.state(here, name))
        else:
            text = beneath.content(here, name)
            if text is None:
                self.note("config", path, beneath.state(here, name))  # too large, or nothing that can be read
            elif name == "commondir":
                self.commondir(text, path, directory)
            elif matters := (executes if name == "git-rebase-todo" else obeyed)(text):
                self.note("todo" if name == "git-rebase-todo" else "config", path, beneath.digest(matters))

    def commondir(self, text: bytes, path: str, directory: str) -> None:
        """A `commondir`, unless it means what it would mean without: git's in an entry, our stub elsewhere."""
        above, _, name = directory.rpartition("/")
        plain = "../.." if above.endswith("/worktrees") else f"../{name}"
        if text.rstrip(b"\n") != os.fsencode(plain):
            self.note("commondir", path, beneath.digest(text))

    # --- indexes -------------------------------------------------------------------------------------

    def index(self, here: int, name: str, directory: str, *, sha256: bool) -> None:
        """The gitlinks of an index."""
        found = self.gitlinks.of(here, name, sha256=sha256)
        path, top = f"{directory}/{name}", self.working_tree(directory)
        if found is None:
            self.note("unlisted", path, self.gitlinks.hits)
            return
        for link in found:
            self.note("gitlink", f"{top}/{link}" if top else f"{path}: {link}", "gitlink")

    def has_sha256(self, place: Place, here: int, inner: str) -> bool:
        """Whether objects have names of that length, as the configuration says that git reads with this index."""
        text = beneath.content(here, "config")
        if text is None and "/worktrees/" in f"/{inner}":
            common = self.opened(place, inner.rpartition("worktrees/")[0].rstrip("/"))
            if common >= 0:
                text = beneath.content(common, "config")
                os.close(common)
        return b"sha256" in (text or b"").lower()

    def working_tree(self, directory: str) -> str:
        """The working tree of a git directory; "" where only its configuration says it."""
        own = f"{self.watch.common}/worktrees/{self.watch.entry}" if self.watch.entry else self.watch.common
        if directory == own:
            return self.watch.root
        return directory.removesuffix("/.git") if directory.endswith("/.git") else ""

    def enter_gitlinks(self, place: Place) -> None:
        """Look at the repositories where gitlinks lie, however deep; they can have gitlinks of their own."""
        entered: set[str] = set()
        while self.git_left >= 0:
            paths = {path for row, path in self.seen if row == "gitlink" and path.startswith(place.path + "/")}
            if not (paths := paths - entered):
                return
            for path in paths:
                self.enter(place, path[len(place.path) + 1 :])
            entered |= paths

    def enter(self, place: Place, inner: str) -> None:
        """Look at the `.git` of a directory."""
        self.git_left -= 1
        here = self.opened(place, inner)
        if here < 0:
            return
        try:
            kind = beneath.state(here, ".git")
            if kind:
                self.repository(place, here, f"{inner}/.git", kind == "directory")
        finally:
            os.close(here)

    # --- the commit --------------------------------------------------------------------------------

    def head(self, common: Place) -> str:
        """The commit that the project's own working tree has checked out, as its reflog says; "" if unknown."""
        inner = self.watch.common[len(common.path) + 1 :]
        own = f"{inner}/worktrees/{self.watch.entry}" if self.watch.entry else inner
        try:
            logs = beneath.opened(common.top, f"{own}/logs".lstrip("/"), beneath.LIST)
        except OSError:
            return ""
        try:
            return last_commit(logs)
        finally:
            os.close(logs)
