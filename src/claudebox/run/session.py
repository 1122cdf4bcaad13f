"""One running sandbox's record, `sessions/PID.json` in its instance's directory, which no sandbox sees."""

from __future__ import annotations

import os
import time

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.jsontext import json_text
from claudebox.model import SandboxPlan
from claudebox.record import NamedTuple
from claudebox.text import span

DIRECTORY, SNAPSHOT = "sessions", ".snapshot"  # beside a record: what the exit check compares with
MESSAGES, LENGTH = 50, 500  # the last ones, and characters of each
WORDS = 2000  # characters of the command that are kept
SHOWN = 40  # characters of a command in a table
LIMIT = 1 << 20  # bytes of a record: more than all of these escaped


class Session(NamedTuple):
    """A sandbox that runs. pid: its launcher; started: the launcher's start in ticks since boot, so that a pid
    used again is told apart; since: wall clock, seconds; terminal: its path, "" without one."""

    pid: int
    started: int
    instance: str
    project: str
    directory: str
    tier: str
    agent: str
    command: tuple[str, ...]
    terminal: str
    since: int
    messages: tuple[str, ...] = ()


NUMBERS, LISTS = ("pid", "started", "since"), ("command", "messages")  # the other fields are text


class Record:
    """The record of this launch: written when it is made, with each message, and removed at the end."""

    def __init__(self, plan: SandboxPlan, here: int) -> None:
        """here: the instance's directory. Raises ClaudeboxError when it cannot be written: a full disk."""
        self.name = f"{os.getpid()}.json"
        self.session = of_this_process(plan)
        try:
            self.directory = descriptors.high(descriptors.make_directory(here, DIRECTORY))
            self.write()
        except OSError as error:
            where = f"{plan.instance.directory}/{DIRECTORY}"
            raise ClaudeboxError(f"cannot write to {where}: {error.strerror}", "free some space") from None

    def write(self) -> None:
        """Put the record there as it is now. Raises OSError."""
        descriptors.replace_file(self.directory, self.name, as_text(self.session).encode())

    def add(self, text: str) -> None:
        """Keep a message. A disk that is full by now ends no session: the message is said all the same."""
        kept = (*self.session.messages, text[:LENGTH])[-MESSAGES:]
        self.session = self.session._replace(messages=kept)
        try:
            self.write()
        except OSError:
            pass

    def remove(self) -> None:
        """The session has ended."""
        remove(self.directory, self.name)
        os.close(self.directory)


def of_this_process(plan: SandboxPlan) -> Session:
    """The session that this process launches."""
    return Session(
        pid=os.getpid(),
        started=start_time(os.getpid()),
        instance=plan.instance.id,
        project=plan.project,
        directory=plan.directory,
        tier=plan.network.tier,
        agent=plan.agent,
        command=bounded(plan.command),
        terminal=terminal(),
        since=int(time.time()),
    )


def bounded(command: tuple[str, ...]) -> tuple[str, ...]:
    """A command's words up to WORDS characters in all; the last one may be cut, and ends in `…` then."""
    kept: list[str] = []
    room = WORDS
    for word in command:
        if len(word) >= room:
            return (*kept, word[:room] + "…")
        kept.append(word)
        room -= len(word) + 1
    return tuple(kept)


def terminal() -> str:
    """The terminal of the first standard descriptor that is one, or ""."""
    for descriptor in range(3):
        if os.isatty(descriptor):
            return os.ttyname(descriptor)
    return ""


def start_time(pid: int) -> int:
    """When a process started, in ticks since boot (proc_pid_stat(5), field 22); 0 when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
    except OSError:
        return 0
    return int(fields[19]) if fields[0] not in (b"Z", b"X") else 0


def as_text(session: Session) -> str:
    """The record as JSON."""
    fields = zip(session._fields, session, strict=True)
    return "{" + ", ".join(f'"{name}": {_value(value)}' for name, value in fields) + "}\n"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(json_text, value))}]"
    return json_text(value) if isinstance(value, str) else str(value)


def from_text(text: bytes) -> Session | None:
    """The session that a record holds; None where it holds none (a later release's, a torn one)."""
    import json

    try:
        found = json.loads(text)
        values = {name: found[name] for name in Session._fields}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    for name, value in values.items():
        if name in LISTS and isinstance(value, list) and all(isinstance(one, str) for one in value):
            values[name] = tuple(value)
        elif name in LISTS or type(value) is not (int if name in NUMBERS else str):
            return None
    return Session(**values)


# --- those of others -----------------------------------------------------------------------------


def recorded(here: int) -> dict[str, Session | None]:
    """File name → session of an instance's records, the dead ones too; None for what is none."""
    try:
        directory = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    except OSError:
        return {}
    try:
        return {name: _read(directory, name) for name in os.listdir(directory)}
    finally:
        os.close(directory)


def _read(directory: int, name: str) -> Session | None:
    try:
        text = descriptors.read_file(directory, name, LIMIT)
    except OSError:
        return None
    session = None if text is None else from_text(text)
    return session if session is not None and name == f"{session.pid}.json" else None


def lives(session: Session, here: int) -> bool:
    """Whether its launcher still runs: the same start, and it holds one of the instance's locks open."""
    if session.pid <= 0 or session.started <= 0 or start_time(session.pid) != session.started:
        return False
    try:
        locks = os.open("locks", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    except OSError:
        return False
    try:
        known = {_identity(os.stat(name, dir_fd=locks, follow_symlinks=False)) for name in os.listdir(locks)}
    finally:
        os.close(locks)
    return bool(known & _open_files(session.pid))


def _open_files(pid: int) -> set[tuple[int, int]]:
    found = set()
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                found.add(_identity(os.stat(f"/proc/{pid}/fd/{number}")))
            except OSError:
                continue  # closed meanwhile
    except OSError:
        pass  # it has ended, or is not ours
    return found


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def live(here: int) -> list[Session]:
    """The sessions of an instance that run now, oldest first. here: its directory."""
    found = [session for session in recorded(here).values() if session is not None and lives(session, here)]
    return sorted(found, key=lambda session: (session.since, session.pid))


def described(one: Session) -> str:
    """A session in a sentence: pid, for how long, terminal, command."""
    parts = [f"pid {one.pid}", f"for {span(time.time() - one.since)}", one.terminal, shown_command(one)]
    return ", ".join(filter(None, parts))


def shown_command(one: Session) -> str:
    """A session's command, short enough for a table."""
    program, *rest = one.command or ("",)
    text = " ".join([os.path.basename(program), *rest])
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def sweep(here: int) -> None:
    """Remove what sessions left that ended without doing so; others may start or run meanwhile."""
    directory = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    try:
        descriptors.sweep_temporary(directory)
        if os.listdir(directory):
            found = recorded(here)
            for name in found:
                if not name.endswith(SNAPSHOT) and not _used(name, found, here):
                    remove(directory, name)
    finally:
        os.close(directory)


def left_behind(here: int) -> list[str]:
    """The snapshots of sessions that ended without making their comparison. Called before our own is there."""
    directory = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    try:
        names = [name for name in os.listdir(directory) if name.endswith(SNAPSHOT)]
        mine = f"{os.getpid()}{SNAPSHOT}"  # of another process that had our number
        return [name for name in names if name == mine or not _runs(directory, name, here)]
    finally:
        os.close(directory)


def _runs(directory: int, name: str, here: int) -> bool:
    session = _read(directory, name.removesuffix(SNAPSHOT) + ".json")
    return session is not None and lives(session, here)


def _used(name: str, found: dict[str, Session | None], here: int) -> bool:
    """Whether a file of `sessions/` belongs to a session that lives, or to a process that may be writing its record."""
    pid = next((part for part in name.split(".") if part.isascii() and part.isdigit()), "0")
    one = found.get(f"{pid}.json")
    return lives(one, here) if one is not None else 0 < len(pid) < 11 and start_time(int(pid)) > 0


def remove(directory: int, name: str) -> None:
    """Unlink a record; one that is gone already is no error, nor is a directory there (nobody reads it)."""
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        pass


def running(ours: str) -> list[Session]:
    """The sessions of all instances that run now, oldest first. ours: claudebox's own directory."""
    found: list[Session] = []
    try:
        names = os.listdir(f"{ours}/instances")
    except OSError:
        return []
    for name in names:
        try:
            here = os.open(f"{ours}/instances/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            found += live(here)
        finally:
            os.close(here)
    return sorted(found, key=lambda session: (session.since, session.pid))
