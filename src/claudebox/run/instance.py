"""Per-project state: who it belongs to, its directories."""

from __future__ import annotations

import os
import stat

from claudebox import console, descriptors
from claudebox.digest import sha256
from claudebox.errors import ClaudeboxError
from claudebox.model import Instance
from claudebox.run import kept, locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ESCAPE = "surrogateescape"  # bytes that are not UTF-8, as Python and JSON carry them


def identify(ours: str, uid: int, root: str) -> Instance:
    """The instance of a project; nothing is made or read."""
    name = sha256(f"{uid}:{root}".encode(errors=ESCAPE)).hexdigest()[:16]
    return Instance(id=name, root=root, directory=f"{ours}/instances/{name}")


def find_home(environment: Mapping[str, str], home: str) -> str:
    """claudebox's own directory, canonical and checked where it exists. home: the user's. Raises ClaudeboxError."""
    ours = environment.get("CLAUDEBOX_HOME", "") or f"{home}/.claudebox"
    if not ours.startswith("/"):
        raise ClaudeboxError("CLAUDEBOX_HOME is not an absolute path", "export CLAUDEBOX_HOME=/home/you/.claudebox")
    check_home(ours)
    return os.path.realpath(ours)


def check_home(ours: str) -> None:
    """claudebox's own directory is the user's alone, where it exists. Raises ClaudeboxError."""
    try:
        state = os.lstat(ours)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(state.st_mode):
        raise ClaudeboxError(f"{ours} is not a directory", f"move it away: mv {ours} {ours}.old")
    if state.st_uid != os.getuid():
        raise ClaudeboxError(f"{ours} belongs to somebody else", f"chown -R $USER {ours}, or set CLAUDEBOX_HOME")
    if state.st_mode & 0o022:
        raise ClaudeboxError(f"{ours} can be written by others", f"chmod 700 {ours}")


def open_directory(instance: Instance, ours: str) -> int:
    """A descriptor of the instance's directory, made with all that is in it. Raises ClaudeboxError."""
    try:
        os.makedirs(ours, 0o700, exist_ok=True)
        check_home(ours)
        top = descriptors.walk(None, descriptors.parts(os.path.realpath(ours)))
        instances = descriptors.make_directory(top, "instances")
        here = descriptors.make_directory(instances, instance.id)
        os.close(top)
        os.close(instances)
        state = os.fstat(here)
        if state.st_uid != os.getuid() or state.st_mode & 0o022:
            raise ClaudeboxError(f"{instance.directory} is not yours alone", f"chmod 700 {instance.directory}")
        for name in ("home", "locks", "sessions", "aside"):
            os.close(descriptors.make_directory(here, name))
        if kept.begin(here, instance.root):
            name_orphan(ours, instance.root)
    except OSError as error:
        what = f"cannot use {instance.directory}: {error.strerror}"
        raise ClaudeboxError(what, repair_hint(error, "free some space, or look at what stands there")) from None
    return descriptors.high(here)


def repair_hint(error: OSError, otherwise: str) -> str:
    """What to do about a place in an instance that cannot be used: an agent can take its modes away."""
    return "claudebox instance repair" if isinstance(error, PermissionError) else otherwise


def name_orphan(ours: str, root: str) -> None:
    """At the first launch of a project: say which instance may be its own, from before it was moved."""
    old = kept.moved_from(ours, root)
    if old:
        import shlex

        command = f"claudebox instance move {shlex.quote(old)} {shlex.quote(root)}"
        console.note("info", f"{old} is gone and may be this project before it was moved: {command}")


def lock(here: int, directory: str) -> int:
    """The whole instance, to change or remove it. here: its directory, which lies at directory.

    Raises ClaudeboxError while a session lives, and when it was removed or moved since here was opened.
    """
    file = locks.exclusive(here)
    if file < 0:
        from claudebox.run import session

        living = session.live(here)
        who = session.described(living[0]) if living else "unknown"
        raise ClaudeboxError(f"a session works in this project ({who})", "claudebox stop")
    if not descriptors.same(here, directory):
        raise ClaudeboxError(f"{directory} was removed or moved just now", "try again")
    return file
