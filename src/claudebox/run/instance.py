"""Per-project state: directories, the lock, stubs by record."""

from __future__ import annotations

import fcntl
import os
import stat

from claudebox import console, descriptors
from claudebox.digest import sha256
from claudebox.errors import ClaudeboxError
from claudebox.jsontext import json_text
from claudebox.model import Instance, Stub
from claudebox.run import kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STUBS = "stubs.json"
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


def lock(here: int, directory: str = "") -> int:
    """The repository's lock, held by the descriptor: a kill frees it. directory: where here is expected to lie still.
    Raises ClaudeboxError when it is taken, and when the instance was removed or moved since here was opened."""
    file = os.open("locks/repository", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=here)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file, 64, 0).decode(errors="replace").strip()
        os.close(file)
        raise taken(here, holder) from None
    except OSError as error:
        os.close(file)
        raise ClaudeboxError(f"this file system has no locks: {error.strerror}", "set CLAUDEBOX_HOME") from None
    if directory and not descriptors.same(here, directory):
        raise ClaudeboxError(f"{directory} was removed or moved just now", "try again")
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return descriptors.high(file)


def taken(here: int, pid: str) -> ClaudeboxError:
    """Who works in this project, and the ways on. pid: as the lock's file names it."""
    from claudebox.run import session

    found = {str(one.pid): one for one in session.live(here)}.get(pid)
    who = f"pid {pid or 'unknown'}" if found is None else session.described(found)
    end = f"claudebox stop {pid}" if pid else "claudebox stop"
    return ClaudeboxError(f"another session works in this project ({who})", f"{end}, or use another clone")


def sweep(here: int) -> None:
    """Remove the stubs of a launch, ended or killed, by its record. Called with the lock held."""
    record = descriptors.read_file(here, STUBS, 1 << 20)
    if record is None:
        return
    import json

    for stub in reversed(json.loads(record)):
        remove_stub(stub["path"], stub["content"])
    os.unlink(STUBS, dir_fd=here)


def remove_stubs(here: int, stubs: list[Stub]) -> None:
    """Remove what this launch recorded, and then the record. As `sweep`, without reading it."""
    for stub in reversed(stubs):
        remove_stub(stub.path, None if stub.content is None else stub.content.decode(errors=ESCAPE))
    os.unlink(STUBS, dir_fd=here)


def remove_stub(path: str, content: str | None) -> None:
    """Unlink what we made, if it is still that: an empty directory, or a file with our text and one name."""
    try:
        parent = descriptors.walk(None, descriptors.parts(os.path.dirname(path)))
    except OSError:
        return
    name = os.path.basename(path)
    try:
        if content is None:
            os.rmdir(name, dir_fd=parent)
            return
        same = descriptors.read_file(parent, name, 1 << 12) == content.encode(errors=ESCAPE)
        if same and os.stat(name, dir_fd=parent, follow_symlinks=False).st_nlink == 1:
            os.unlink(name, dir_fd=parent)
    except OSError:
        pass  # no longer ours: somebody uses it
    finally:
        os.close(parent)


def record_stubs(here: int, stubs: list[Stub]) -> None:
    """Write down what will be made, before it is made. Raises ClaudeboxError (a full disk)."""
    texts = [(s.path, None if s.content is None else s.content.decode(errors=ESCAPE)) for s in stubs]
    rows = ",\n ".join(f'{{"path": {json_text(path)}, "content": {json_text(content)}}}' for path, content in texts)
    try:
        descriptors.replace_file(here, STUBS, f"[{rows}]\n".encode())
    except OSError as error:
        raise ClaudeboxError(f"cannot record what the launch makes: {error.strerror}", "free some space") from None


def make_stub(stub: Stub) -> None:
    """Make one stub, following no link. Raises ClaudeboxError when something of another kind stands there."""
    parent = -1
    try:
        parent = descriptors.walk(None, descriptors.parts(os.path.dirname(stub.path)))
        name = os.path.basename(stub.path)
        if stub.content is None:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            file = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent
            )
            try:
                descriptors.write_all(file, stub.content)
            finally:
                os.close(file)
    except OSError as error:
        raise ClaudeboxError(
            f"cannot make {stub.path}: {error.strerror}", repair_hint(error, "look at what stands there")
        ) from None
    finally:
        if parent >= 0:
            os.close(parent)
