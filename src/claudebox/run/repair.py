"""Mending an instance's home after a torn write, a full disk, or an agent's chmod 000. Login and settings stay.

A file is only touched where it is damaged, and is kept in the instance's `aside/` as it was. Through descriptors,
no link followed, sizes bounded: an agent could have written all of it.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from claudebox import descriptors
from claudebox.agents import AgentSpec

DEEPEST = 200  # levels, each of which holds a descriptor open
LARGEST = 1 << 26  # bytes of a line, and of a document
BACKUPS = 20  # that are tried, the newest first
LONGEST = 200  # bytes of a name that go into the one in `aside/`: an agent can use all 255
NEAR = 2  # levels of the home in which a launch makes files and mount points


class Patient(NamedTuple):
    """A home under repair. aside: a descriptor of where damaged files go; done: a sentence for each that was mended."""

    aside: int
    done: list[str]


def mend(here: int, specs: Sequence[AgentSpec]) -> list[str]:
    """Mend the home of an instance; what was done. here: the instance's directory, its lock held. Raises OSError."""
    patient = Patient(descriptors.make_directory(here, "aside"), [])
    states = tuple({place for spec in specs for place in (spec.config_dir, *spec.state) if place})
    try:
        home = mended_directory(here, "home", 0o700, "the home", patient)
        try:
            walk(home, (), states, patient)
            for spec in specs:
                if spec.first_start_file:
                    mend_document(home, spec, patient)
        finally:
            os.close(home)
    finally:
        os.close(patient.aside)
    return patient.done


def walk(here: int, path: tuple[str, ...], states: tuple[str, ...], patient: Patient) -> None:
    """Give the owner back what was taken, and mend the conversations below the agents' own directories."""
    for name in sorted(os.listdir(here)):
        inner = (*path, name)
        shown = "/".join(inner)
        mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and len(inner) <= DEEPEST:
            following = mended_directory(here, name, 0o700 if len(inner) <= NEAR else 0o500, shown, patient)
            try:
                walk(following, inner, states, patient)
            finally:
                os.close(following)
        elif stat.S_ISREG(mode):
            mend_mode(here, name, 0o400, shown, patient)
            if name.endswith(".jsonl") and any(shown.startswith(f"{place}/") for place in states):
                mend_lines(here, name, shown, patient)


def mended_directory(parent: int, name: str, wanted: int, shown: str, patient: Patient) -> int:
    """A descriptor of a directory in parent, whose owner may do what wanted says. Raises OSError."""
    mend_mode(parent, name, wanted, shown, patient)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def mend_mode(parent: int, name: str, wanted: int, shown: str, patient: Patient) -> None:
    """Add to a file's or directory's mode what its owner lacks of wanted. Raises OSError."""
    held = os.open(name, descriptors.ANYTHING, dir_fd=parent)
    try:
        mode = os.fstat(held).st_mode
        if stat.S_ISLNK(mode) or mode & wanted == wanted:
            return
        added = 0o700 if stat.S_ISDIR(mode) else 0o600
        os.chmod(f"/proc/self/fd/{held}", stat.S_IMODE(mode) | added)  # chmod(2) by name could follow a link
        patient.done.append(f"{shown}: mode {stat.S_IMODE(mode):04o} is now {stat.S_IMODE(mode) | added:04o}")
    finally:
        os.close(held)


# --- conversations: a JSON object on each line ---------------------------------------------------


def mend_lines(parent: int, name: str, shown: str, patient: Patient) -> None:
    """Leave the whole lines of a file, if one is torn. Raises OSError."""
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    try:
        torn = sum(not is_whole(line) for line in lines(file))
        if not torn:
            return
        temporary = f".mended.{os.urandom(8).hex()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        copy = os.open(temporary, flags, stat.S_IMODE(os.fstat(file).st_mode), dir_fd=parent)
        try:
            for line in lines(file):
                if is_whole(line):
                    descriptors.write_all(copy, line if line.endswith(b"\n") else line + b"\n")
            kept = keep(parent, name, patient)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError:
            os.unlink(temporary, dir_fd=parent)
            raise
        finally:
            os.close(copy)
    finally:
        os.close(file)
    patient.done.append(f"{shown}: {torn} torn line{'s' if torn > 1 else ''} taken out; as it was: {kept}")


def lines(file: int) -> Iterator[bytes]:
    """The lines of a file from its start. One longer than LARGEST comes in pieces, none of which is whole."""
    os.lseek(file, 0, os.SEEK_SET)
    rest = b""
    while chunk := os.read(file, 1 << 20):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
        if len(rest) > LARGEST:
            yield rest
            rest = b""
    if rest:
        yield rest


def is_whole(line: bytes) -> bool:
    """Whether a line is a JSON object, or empty."""
    if not line.strip():
        return True
    return is_object(line)


def is_object(text: bytes) -> bool:
    """Whether a text is one JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def keep(parent: int, name: str, patient: Patient) -> str:
    """Give a file a second name in `aside/`, which is returned: until it is replaced it has both. Raises OSError."""
    begin = os.fsdecode(os.fsencode(name.lstrip("."))[:LONGEST])
    kept = f"{begin}.{time.time_ns()}"
    os.link(name, kept, src_dir_fd=parent, dst_dir_fd=patient.aside, follow_symlinks=False)
    return f"aside/{kept}"


# --- the agent's own document --------------------------------------------------------------------


def mend_document(home: int, spec: AgentSpec, patient: Patient) -> None:
    """Put back the agent's document of its first start and of its projects, if it is torn: its first whole object, or
    the newest backup that the agent made, or none, and the next launch writes the first answers. Raises OSError."""
    *directories, name = descriptors.parts(spec.first_start_file)
    try:
        parent = descriptors.walk(home, directories) if directories else os.dup(home)
    except OSError:
        return
    try:
        try:
            text = descriptors.read_file(parent, name, LARGEST)
        except OSError:
            return  # no file: a launch moves it aside
        if text is None or is_object(text):
            return
        kept = keep(parent, name, patient)
        found = first_object(text) or newest_backup(home, spec)
        if found is None:
            os.unlink(name, dir_fd=parent)
            what = "is torn and was taken away; the next launch writes a new one"
        else:
            descriptors.replace_file(parent, name, found)
            what = "was torn; what of it or of its backup was whole is back"
        patient.done.append(f"{spec.first_start_file} {what}; as it was: {kept}")
    finally:
        os.close(parent)


def first_object(text: bytes) -> bytes | None:
    """The object that a text begins with: of a short write over a longer file. None for a text that was cut."""
    try:
        decoded = text.decode()
        found, end = json.JSONDecoder().raw_decode(decoded)
    except (ValueError, RecursionError):
        return None
    return decoded[:end].encode() if isinstance(found, dict) and found else None


def newest_backup(home: int, spec: AgentSpec) -> bytes | None:
    """The newest whole one of the copies that the agent makes of its document."""
    for where in (f"{spec.config_dir}/backups", os.path.dirname(spec.first_start_file) or "."):
        try:
            held = descriptors.walk(home, descriptors.parts(where))
        except OSError:
            continue
        try:
            directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)
        finally:
            os.close(held)
        try:
            if (found := _newest(directory, os.path.basename(spec.first_start_file) + ".backup")) is not None:
                return found
        finally:
            os.close(directory)
    return None


def _newest(directory: int, prefix: str) -> bytes | None:
    found = [name for name in os.listdir(directory) if name.startswith(prefix)]
    found.sort(key=lambda name: os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns, reverse=True)
    for name in found[:BACKUPS]:
        try:
            text = descriptors.read_file(directory, name, LARGEST)
        except OSError:
            continue
        if text is not None and is_object(text):
            return text
    return None
