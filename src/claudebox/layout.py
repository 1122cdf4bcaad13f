"""The layout of a repository around a working tree, read by hand and as hostile: an agent may have written any of it.

A `.git` file and the `commondir` behind it say where a repository is; both could be forged to have another
one mounted. So what lies outside the project is believed only with a back-pointer: a linked worktree's `gitdir`
file, or a submodule's `core.worktree`, must name this very tree (gitrepository-layout(5), gitsubmodules(7)).
"""

from __future__ import annotations

import os
import stat

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.model import GitTree
from claudebox.record import NamedTuple

MOST_TREES = 1000  # working trees of a repository: each is a mount, and an agent can make entries by the million
POINTER = 1 << 14  # bytes of a `.git` file or a back-pointer: three paths
PARTS = {
    "config": "file", "hooks": "directory", "commondir": "file", "config.worktree": "file", "worktrees": "directory",
}  # fmt: skip
ENTRY = {"commondir": "file", "gitdir": "file", "config.worktree": "file"}


class Place(NamedTuple):
    """Where the repository of a working tree lies. common: the common git directory, canonical; entry: the tree's
    own name in COMMON/worktrees, "" for a main tree; pointed: ROOT/.git is a file; main: what names the project:
    the repository's main working tree, the bare repository, or the tree itself; apart: it lies elsewhere and does not
    lead back, so that only a person can say whose it is."""

    common: str
    main: str
    entry: str = ""
    pointed: bool = False
    apart: bool = False


def is_bare(path: str) -> bool:
    """Whether a directory looks like a git directory."""
    return all(os.path.lexists(f"{path}/{name}") for name in ("HEAD", "objects", "refs"))


def find_repository(root: str) -> Place | None:
    """Where the repository of the tree at root lies; None where there is none.

    Raises ClaudeboxError for a `.git` that leads to what does not lead back.
    """
    path = f"{root}/.git"
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return Place(common=root, main=root) if is_bare(root) else None
    if stat.S_ISLNK(mode):
        raise ClaudeboxError(f"{path} is a symbolic link", "make it a directory, or clone the repository anew")
    if stat.S_ISDIR(mode):
        return Place(common=path, main=root)
    git = _pointed(root)
    if git.startswith(root + "/"):
        return Place(common=git, main=_main(git), pointed=True)  # whose masks protect it like any `.git`
    if os.path.basename(os.path.dirname(git)) == "worktrees":
        return _linked(root, git)
    return _submodule(root, git)


def _pointed(root: str) -> str:
    """The canonical directory that ROOT/.git names."""
    text = _text(root, ".git")
    target = text.removeprefix("gitdir: ")
    if target == text or not target:
        raise ClaudeboxError(f"{root}/.git names no git directory", "look at it; git worktree repair")
    git = os.path.realpath(os.path.join(root, target))
    if not os.path.isdir(git):
        raise ClaudeboxError(f"{root}/.git leads to {git}, which is gone", "git worktree repair, in the main tree")
    return git


def _linked(root: str, git: str) -> Place:
    common = os.path.dirname(os.path.dirname(git))
    back = os.path.realpath(os.path.join(git, _text(git, "gitdir")))
    if _text(git, "commondir") != "../.." or back != f"{root}/.git" or not is_bare(common):
        hint = "git worktree repair, in the main tree, if it is yours; nothing of the other repository is mounted"
        raise ClaudeboxError(f"{root}/.git leads to {git}, which does not lead back", hint)
    return Place(common=common, main=_main(common), entry=os.path.basename(git), pointed=True)


def _submodule(root: str, git: str) -> Place:
    """A submodule's, which leads back; or one that was put elsewhere (--separate-git-dir), which does not."""
    if not is_bare(git):
        raise ClaudeboxError(
            f"{root}/.git leads to {git}, which does not lead back: it is no git directory", "look at it"
        )
    tree, bare = _core(git, "worktree"), _core(git, "bare").lower()
    # neither the main one of another tree nor a bare repository, which belongs to nobody
    if not tree and bare == "false" and os.path.basename(git) != ".git":
        return Place(common=git, main=root, pointed=True, apart=True)
    if os.path.realpath(os.path.join(git, tree)) != root:
        raise ClaudeboxError(
            f"{root}/.git leads to {git}, which does not lead back: it may be forged",
            f"if it is yours (--separate-git-dir): git config --file {git}/config core.worktree {root}",
        )
    return Place(common=git, main=root, pointed=True)


def _main(common: str) -> str:
    """What names the project: the main working tree, or the bare repository itself."""
    return os.path.dirname(common) if os.path.basename(common) == ".git" else common


def _text(directory: str, name: str) -> str:
    """The one line of a file of git's. Raises ClaudeboxError for anything else."""
    return _content(directory, name, POINTER).removesuffix("\n")


def _content(directory: str, name: str, limit: int) -> str:
    """A file of git's. Raises ClaudeboxError for one that cannot be read, is too long or is no text."""
    try:
        parent = descriptors.pinned(directory)
        try:
            content = descriptors.read_file(parent, name, limit) or b""
        finally:
            os.close(parent)
    except OSError as error:
        raise ClaudeboxError(f"{directory}/{name}: {error.strerror}", "repair the repository") from None
    if b"\0" in content:  # no path has one, and no call of ours takes one
        raise ClaudeboxError(f"{directory}/{name} has a null in it", "repair the repository")
    return content.decode(errors="surrogateescape")


def _core(git: str, key: str) -> str:
    """A value of [core] of a git directory's config, read as text: git itself would follow includes."""
    from claudebox.plan import gitconfig

    content = _content(git, "config", 1 << 20).encode(errors="surrogateescape")
    named = [value for *name, value in gitconfig.settings(content) if name == ["core", "", key]]
    return gitconfig.plain(named[-1]) if named else ""


# --- what is mounted of it -----------------------------------------------------------------------


def read_tree(place: Place) -> GitTree:
    """What the recipe needs to know of the repository. Raises ClaudeboxError for what the masks could not hold."""
    common = place.common
    try:
        git = descriptors.pinned(common)
    except OSError as error:
        raise ClaudeboxError(f"cannot open {common}: {error.strerror}", "make it readable") from None
    try:
        return _tree(place, git)
    except OSError as error:
        raise ClaudeboxError(f"{common}/{error.filename or ''}: {error.strerror}", "repair the repository") from None
    finally:
        os.close(git)


def _tree(place: Place, git: int) -> GitTree:
    common = place.common
    has = _parts(git, PARTS, common)
    if "config" not in has:
        raise ClaudeboxError(f"{common} has no config", "repair the repository: git init")
    _single_link(git, "config", common)
    for name in _list(git, "hooks") if "hooks" in has else ():
        _single_link(git, f"hooks/{name}", common)
    worktrees = _list(git, "worktrees") if "worktrees" in has else None
    if worktrees and len(worktrees) > MOST_TREES:
        what = f"{common}/worktrees has {len(worktrees)} entries, and {MOST_TREES} can be protected"
        raise ClaudeboxError(what, "a sandbox may have made them: look at it; git worktree prune")
    config = (descriptors.read_file(git, "config", 1 << 20) or b"").decode(errors="surrogateescape").lower()
    return GitTree(
        common=common,
        main=place.main,
        entry=place.entry,
        pointed=place.pointed,
        apart=place.apart,
        hooks="hooks" in has,
        commondir="commondir" in has,
        config_worktree="config.worktree" in has,
        entry_config="config.worktree" in _entry(place, git),
        worktree_config="worktreeconfig" in config,  # "false" costs one empty, masked file
        worktrees=worktrees,
    )


def _entry(place: Place, git: int) -> frozenset[str]:
    """What the tree's own directory in worktrees/ has."""
    if not place.entry:
        return frozenset()
    own = descriptors.walk(git, ["worktrees", place.entry])
    try:
        where = f"{place.common}/worktrees/{place.entry}"
        for name in ("commondir", "gitdir"):
            _single_link(own, name, where)
        return _parts(own, ENTRY, where)
    finally:
        os.close(own)


def _parts(directory: int, wanted: dict[str, str], where: str) -> frozenset[str]:
    """Which of the wanted names there are. Raises ClaudeboxError for one of another kind."""
    found = {name: _kind(directory, name) for name in wanted}
    for name, kind in found.items():
        if kind not in ("", wanted[name]):
            raise ClaudeboxError(f"{where}/{name} is no {wanted[name]}", "a sandbox may have put it there; look at it")
    return frozenset(name for name, kind in found.items() if kind)


def _kind(parent: int, name: str) -> str:
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return ""
    return "directory" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "something else"


def _list(parent: int, name: str) -> tuple[str, ...]:
    opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        return tuple(sorted(os.listdir(opened)))
    finally:
        os.close(opened)


def _single_link(parent: int, name: str, common: str) -> None:
    state = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISREG(state.st_mode) and state.st_nlink > 1:
        path = f"{common}/{name}"
        hint = f"cp -p {path} {path}.new && mv {path}.new {path}"
        raise ClaudeboxError(f"{path} has {state.st_nlink} names: a mask would not hold the others", hint)
