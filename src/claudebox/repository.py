"""The project around a directory: its root, and the layout of its repository, read by hand as hostile."""

from __future__ import annotations

import os
import stat

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.model import GitTree, Note, Project, User

SYSTEM = (
    "/", "/etc", "/usr", "/var", "/run", "/nix", "/boot", "/tmp", "/proc", "/sys", "/dev", "/bin", "/sbin",
    "/lib", "/lib64", "/home", "/root", "/opt", "/srv", "/mnt", "/media",
)  # fmt: skip
LATER = "git layouts other than a main working tree come with a later release"


def find_project(directory: str, user: User, ours: str) -> Project:
    """The project that directory belongs to: the git top level, or the directory itself; git is not read yet,
    because a killed session's stubs are swept between. Raises ClaudeboxError for places that no sandbox may have.
    """
    notes: tuple[Note, ...] = ()
    found = top_level(directory)
    if found and refused(found, user, ours):
        notes = (Note("info", f"the repository {found} is ignored: its top level cannot be a project"),)
        found = ""
    top = found or directory
    if why := refused(top, user, ours):
        raise ClaudeboxError(f"{top} cannot be a project: {why}", "start claudebox in a project's own directory")
    return Project(root=top, directory=directory, git=None, notes=notes)


def refused(path: str, user: User, ours: str) -> str:
    """Why path cannot be a project, or ""."""
    if path in SYSTEM and path != user.home:
        return "it is a directory of the system"
    if path == user.home:
        return "it is your home, with everything in it"
    if user.home.startswith(path.rstrip("/") + "/"):
        return "it contains your home"
    if path == ours or path.startswith(ours + "/"):
        return "it lies in claudebox's own files"
    if ours.startswith(path.rstrip("/") + "/"):
        return "it contains claudebox's own files"
    return ""


def top_level(directory: str) -> str:
    """The nearest directory at or above with a `.git`; "" outside a repository. Raises for a bare one."""
    here = directory
    while True:
        if os.path.lexists(f"{here}/.git"):
            return here
        bare = all(os.path.lexists(f"{here}/{name}") for name in ("HEAD", "objects", "refs"))
        if bare and not here.endswith("/.git"):
            raise ClaudeboxError(f"{here} is a bare repository", LATER)
        if here == "/":
            return ""
        here = os.path.dirname(here)


def git_tree(root: str) -> GitTree | None:
    """The repository of a main working tree; None where there is none. Raises ClaudeboxError for layouts not
    handled yet, and for what the masks could not hold."""
    common = f"{root}/.git"
    if not os.path.lexists(common):
        return None
    state = os.lstat(common)
    if stat.S_ISLNK(state.st_mode):
        raise ClaudeboxError(f"{common} is a symbolic link", "make it a directory, or clone the repository anew")
    if not stat.S_ISDIR(state.st_mode):
        raise ClaudeboxError(f"{common} is a file: a linked worktree or a submodule", LATER)
    try:
        git = descriptors.pinned(common)
    except OSError as error:
        raise ClaudeboxError(f"cannot open {common}: {error.strerror}", "make it readable") from None
    try:
        return _tree(common, git)
    except OSError as error:
        raise ClaudeboxError(f"{common}/{error.filename or ''}: {error.strerror}", "repair the repository") from None
    finally:
        os.close(git)


def _tree(common: str, git: int) -> GitTree:
    kinds = {name: _kind(git, name) for name in ("config", "hooks", "commondir", "config.worktree", "worktrees")}
    wanted = {
        "config": "file",
        "hooks": "directory",
        "commondir": "file",
        "config.worktree": "file",
        "worktrees": "directory",
    }
    for name, kind in kinds.items():
        if kind not in ("", wanted[name]):
            raise ClaudeboxError(f"{common}/{name} is no {wanted[name]}", "a sandbox may have put it there; look at it")
    if not kinds["config"]:
        raise ClaudeboxError(f"{common} has no config", "repair the repository: git init")
    _single_link(git, "config", common)
    hooks = _list(git, "hooks") if kinds["hooks"] else ()
    for name in hooks:
        _single_link(git, f"hooks/{name}", common)
    config = (descriptors.read_file(git, "config", 1 << 20) or b"").decode(errors="surrogateescape").lower()
    return GitTree(
        common=common,
        hooks=bool(kinds["hooks"]),
        commondir=bool(kinds["commondir"]),
        config_worktree=bool(kinds["config.worktree"]),
        worktree_config="worktreeconfig" in config,  # "false" costs one empty, masked file
        worktrees=_list(git, "worktrees") if kinds["worktrees"] else None,
    )


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
