"""`instance.toml`: what is kept of a project in its instance's directory, which no sandbox sees.

    project = "/home/ada/code/app"
    inode = 1835021
    made = 2026-01-31T09:30:00Z

    [remembered]
    network = "offline"

    [accepted]
    version = 1
    grants = [
        ["mount", "rw", "", "/srv/data", "/data"],
    ]

The project's path as in a URI: `%XX` stands for `%`, quotation marks, backslashes, control characters and bytes that
are not UTF-8, all else for itself. The time of the file is the instance's last use. As it is written by us it is read
by hand, because a TOML parser costs a launch 5 ms; what somebody edited goes through the parser.
"""

from __future__ import annotations

import os
import time

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.profile import Remembered
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

NAME, OLD = "instance.toml", "root"  # OLD: the project's path alone, as releases before this file wrote it
WRITTEN = "trees"  # one a line, paths as in NAME
LIMIT, WRITTEN_LIMIT = 1 << 18, 1 << 22
FIRST = b'project = "'
VERSION = 1  # of the rows of [accepted]: those of another one count for nothing
ACCEPTED = f"\n[accepted]\nversion = {VERSION}\ngrants = [\n".encode()
WORDS = ("profiles", "allow", "host_ports", "publish")  # the lists of [remembered]
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:*/!@[]")
ESCAPED = frozenset(b'%"\\\x7f') | frozenset(range(32))


class Kept(NamedTuple):
    """What instance.toml says. made: as written, used: seconds of the wall clock; inode: of the project's directory
    when it was made, 0 if unknown; network, agent, profiles: what `claudebox use` remembered, empty for nothing, allow,
    host_ports, publish what `claudebox network` did;
    accepted: what the last review was accepted with, as rows of plan/review.py, None before the first one."""

    project: str
    inode: int = 0
    made: str = ""
    used: int = 0
    network: str = ""
    agent: str = ""
    profiles: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    host_ports: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    accepted: tuple[tuple[str, ...], ...] | None = None


def encoded(path: str) -> str:
    """A path as it stands between the quotation marks."""
    raw = os.fsencode(path)
    escaped = b"".join(b"%%%02X" % byte if byte in ESCAPED else bytes((byte,)) for byte in raw)
    return "".join(f"%{ord(one) - 0xDC00:02X}" if "\udc80" <= one <= "\udcff" else one for one in os.fsdecode(escaped))


def decoded(raw: bytes) -> str:
    """The path that stands there; a `%` that begins no number stands for itself."""
    first, *rest = raw.split(b"%")
    found = [first]
    for part in rest:
        try:
            found.append(bytes((int(part[:2].decode("ascii"), 16),)) + part[2:])
        except ValueError:
            found.append(b"%" + part)
    return os.fsdecode(b"".join(found))


# --- reading -------------------------------------------------------------------------------------


def names(ours: str) -> list[str]:
    """The instances that there are. ours: claudebox's own directory. One that is being removed is none.

    Raises ClaudeboxError: what sandboxes could write is never taken for nothing.
    """
    try:
        return [name for name in os.listdir(f"{ours}/instances") if not name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ClaudeboxError(f"cannot list {ours}/instances: {error.strerror}", "look at what stands there") from None


def projects(ours: str) -> tuple[str, ...]:
    """What sandboxes of all instances can write; every launch asks, so only the first line of each is read."""
    found: list[str] = []
    for name in names(ours):
        found.append(project_at(f"{ours}/instances/{name}"))
        found += written(f"{ours}/instances/{name}")
    return tuple(project for project in found if project)


def written(directory: str) -> list[str]:
    """What sandboxes of an instance could write besides the project that names it: other working trees, mounts."""
    return [decoded(line) for line in _raw(f"{directory}/{WRITTEN}", WRITTEN_LIMIT).split(b"\n") if line]


def note_written(here: int, paths: Iterable[str], main: str) -> None:
    """Remember what a sandbox is about to get to write. main: the project, which needs no note. Raises OSError.

    For good: a link, or a program, that it plants there is found by a later launch, which may grant other things.
    """
    known = written(f"/proc/self/fd/{here}")
    new = [path for path in paths if path != main and path not in known]
    if new:
        descriptors.replace_file(here, WRITTEN, "".join(f"{encoded(one)}\n" for one in (*known, *new)).encode())


def project_at(directory: str) -> str:
    """The project of an instance; "" where nothing says it."""
    text = _raw(f"{directory}/{NAME}")
    if text.startswith(FIRST):
        return decoded(text[len(FIRST) : text.find(b'"', len(FIRST))])
    if not text:
        return os.fsdecode(_raw(f"{directory}/{OLD}"))
    return parsed(text, directory).project


def _raw(path: str, limit: int = LIMIT) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(file, limit)
    except OSError:
        return b""
    finally:
        os.close(file)


def read(directory: str) -> Kept:
    """All that is kept of an instance; an empty project where there is no such file. Raises ClaudeboxError."""
    path = f"{directory}/{NAME}"
    text = _raw(path)
    if not text:
        return Kept(project=os.fsdecode(_raw(f"{directory}/{OLD}")))
    try:
        used = int(os.stat(path).st_mtime)
    except OSError:
        used = 0
    return (scanned(text) or parsed(text, directory))._replace(used=used)


def remembered(directory: str) -> Remembered:
    """What `claudebox use` keeps for a project. Raises ClaudeboxError."""
    found = read(directory)
    return Remembered(**{name: getattr(found, name) for name in Remembered._fields})


def accepted(directory: str) -> tuple[tuple[str, ...], ...] | None:
    """What was accepted last for a project; None before anything was. Raises ClaudeboxError."""
    return read(directory).accepted


def scanned(text: bytes) -> Kept | None:
    """What a file says that looks as we write it; None for any other."""
    text, section = apart(text)
    rows = None if section is None else _rows(section)
    if section is not None and rows is None:
        return None
    first, *lines = text.split(b"\n")
    if not first.startswith(FIRST) or first.find(b'"', len(FIRST)) != len(first) - 1:
        return None
    found: dict[str, Any] = {"project": decoded(first[len(FIRST) : -1])}
    inside = False
    for line in filter(None, lines):
        key, _, value = line.decode(errors="replace").partition(" = ")
        if line == b"[remembered]" and not inside:
            inside = True
        elif inside and key in ("network", "agent") and _word(value):
            found[key] = value[1:-1]
        elif inside and key in WORDS and value[:1] + value[-1:] == "[]" and all(map(_word, _listed(value))):
            found[key] = tuple(word[1:-1] for word in _listed(value))
        elif not inside and key == "inode" and value.isascii() and value.isdigit():
            found[key] = int(value[:20])
        elif not inside and key == "made" and len(value) == 20:
            found[key] = value
        else:
            return None
    return Kept(**found, accepted=rows)


def apart(text: bytes) -> tuple[bytes, bytes | None]:
    """A file without its `[accepted]` as we write it, and the lines of that; None where there is none."""
    before, mark, rest = text.partition(ACCEPTED)
    section, _, after = rest.partition(b"]\n")
    return (before + b"\n" + after, section) if mark else (text, None)


def _rows(section: bytes) -> tuple[tuple[str, ...], ...] | None:
    found = []
    for line in section.split(b"\n")[:-1]:
        if not line.startswith(b'    ["') or not line.endswith(b'"],'):
            return None
        found.append(tuple(map(decoded, line[6:-3].split(b'", "'))))
    return tuple(found)


def _word(value: str) -> bool:
    return len(value) > 2 and value[0] == value[-1] == '"' and PLAIN.issuperset(value[1:-1])


def _listed(value: str) -> list[str]:
    return value[1:-1].split(", ")


def parsed(text: bytes, directory: str) -> Kept:
    """What a file says, whoever wrote it. Raises ClaudeboxError where it is no TOML, or no such file."""
    import tomllib

    where, hint = f"{directory}/{NAME}", 'correct it; its first line is project = "THE PROJECT\'S PATH"'
    try:
        found = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ClaudeboxError(f"{where}: not valid TOML: {error}", hint) from None
    remembered, inode = found.get("remembered", {}), found.get("inode")
    if not isinstance(remembered, dict):
        raise ClaudeboxError(f"{where}: remembered is no table", hint)
    lists: dict[str, Any] = {key: remembered.get(key, []) for key in WORDS}
    words = (found.get("project"), *(remembered.get(key, "") for key in ("network", "agent")))
    for key, listed in lists.items():
        if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
            raise ClaudeboxError(f"{where}: remembered.{key} is no list of names", hint)
        lists[key] = tuple(listed)
    if not all(isinstance(word, str) for word in words) or not words[0]:
        raise ClaudeboxError(f"{where} names no project, or what it remembers is no text", hint)
    return Kept(
        project=decoded(os.fsencode(words[0])),
        inode=inode if type(inode) is int else 0,
        made=str(found.get("made", "")),
        network=words[1],
        agent=words[2],
        accepted=_parsed_rows(found.get("accepted")),
    )._replace(**lists)


def _parsed_rows(table: Any) -> tuple[tuple[str, ...], ...] | None:
    """What is accepted in a file that somebody edited; what is not understood was not accepted."""
    rows = table.get("grants") if isinstance(table, dict) and table.get("version") == VERSION else None
    if not isinstance(rows, list):
        return None
    return tuple(
        tuple(decoded(os.fsencode(one)) for one in row)
        for row in rows
        if isinstance(row, list) and all(isinstance(one, str) for one in row)
    )


# --- writing -------------------------------------------------------------------------------------


def begin(here: int, project: str) -> bool:
    """Note a launch; whether it is the first one. here: the instance's directory.

    Raises OSError, and ClaudeboxError where the directory is another project's.
    """
    try:
        os.utime(NAME, dir_fd=here, follow_symlinks=False)
        found = project_at(f"/proc/self/fd/{here}")
        if found != project:
            hint = "claudebox instance move OLD NEW again, where one was interrupted; claudebox instance list"
            raise ClaudeboxError(f"the instance of {project} says that it is of {found}", hint)
        return False
    except FileNotFoundError:
        pass
    first = descriptors.read_file(here, OLD, LIMIT) is None
    descriptors.replace_file(here, NAME, as_text(project).encode())
    if not first:
        os.unlink(OLD, dir_fd=here)
    return first


def as_text(project: str) -> str:
    """The file of a new instance."""
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return f'project = "{encoded(project)}"\ninode = {inode(project)}\nmade = {made}\n'


def inode(path: str) -> int:
    """The number of a directory's inode, by which it is known again when it was moved; 0 without one."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def change(here: int, directory: str, changes: dict[str, Any], remembered: dict[str, Any]) -> None:
    """Set keys of the file and of `[remembered]`, what is empty takes one out; what else it holds stays as it is.

    here: the instance's directory, which directory names in errors. Raises ClaudeboxError.
    """
    import tomlkit

    raw = descriptors.read_file(here, NAME, LIMIT) or b""
    parsed(raw, directory)
    document = tomlkit.parse(raw.decode())
    document.update(changes)
    table = document.setdefault("remembered", tomlkit.table())
    for key, value in remembered.items():
        if value:
            table[key] = list(value) if isinstance(value, tuple) else value
        else:
            table.pop(key, None)
    if not table:
        del document["remembered"]
    try:
        descriptors.replace_file(here, NAME, (tomlkit.dumps(document).rstrip("\n") + "\n").encode())
    except OSError as error:
        raise ClaudeboxError(f"cannot write {directory}/{NAME}: {error.strerror}", "free some space") from None


def moved_from(ours: str, project: str) -> str:
    """The project of an instance that is gone and was this directory: by its inode, else by its name; or ""."""
    number, alike = inode(project), ""
    for name in names(ours):
        try:
            kept = read(f"{ours}/instances/{name}")
        except ClaudeboxError:
            continue
        if not kept.project or os.path.lexists(kept.project):
            continue
        if kept.inode == number:
            return kept.project
        if os.path.basename(kept.project) == os.path.basename(project):
            alike = kept.project
    return alike
