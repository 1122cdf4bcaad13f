"""The project around a directory: its root, and what names it."""

from __future__ import annotations

import os

from claudebox.errors import ClaudeboxError
from claudebox.layout import find_repository, is_bare
from claudebox.model import Note, Project, User

SYSTEM = (
    "/", "/etc", "/usr", "/var", "/run", "/nix", "/boot", "/tmp", "/proc", "/sys", "/dev", "/bin", "/sbin",
    "/lib", "/lib64", "/home", "/root", "/opt", "/srv", "/mnt", "/media",
)  # fmt: skip


def find_project(directory: str, user: User, ours: str) -> Project:
    """The project that directory belongs to: the git top level, or the directory itself.

    Of the repository only its place is read, because a killed session's stubs are swept between. Raises
    ClaudeboxError for places that no sandbox may have, and for a repository that is not what it says.
    """
    notes: tuple[Note, ...] = ()
    found = top_level(directory)
    if found and refused(found, user, ours):
        notes = (Note("info", f"the repository {found} is ignored: its top level cannot be a project"),)
        found = ""
    top = found or directory
    if why := refused(top, user, ours):
        raise ClaudeboxError(f"{top} cannot be a project: {why}", "start claudebox in a project's own directory")
    place = find_repository(top)
    if place and (why := refused(place.common, user, ours)):
        raise ClaudeboxError(f"the git directory {place.common} cannot be mounted: {why}", "clone it elsewhere")
    main = place.main if place else top
    return Project(root=top, directory=directory, main=main, git=None, notes=notes)


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
    """The nearest directory at or above with a `.git`, or a bare repository; "" outside of both."""
    here = directory
    while True:
        if os.path.lexists(f"{here}/.git"):
            return here
        if is_bare(here) and os.path.basename(here) != ".git":
            return here
        if here == "/":
            return ""
        here = os.path.dirname(here)
