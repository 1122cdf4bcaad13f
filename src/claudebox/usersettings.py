"""The user's own settings of the agent, as they lie on the host: read once, or known from the last copy.

What was read then is remembered in the instance's `settings/state`, which no sandbox sees: lines of words
between tabs, `file PATH STAMP`, `note SEVERITY TEXT`, `answer KEY JSON`, `brings KIND NAME`, `tree PATH`. A stamp
is the file's device, inode, size and times, and what the agent's data says about it.
"""

from __future__ import annotations

import os
import stat

from claudebox import descriptors
from claudebox.digest import sha256
from claudebox.model import Note, Pin, UserFile, UserSettings
from claudebox.pinning import check_links, pin
from claudebox.record import NamedTuple
from claudebox.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from claudebox.agents import AgentSpec, Pairs

STATE = "settings/state"
OF_FILE = ("note\t", "answer\t", "brings\t")
READING = 2  # how a file is read: another number reads all anew
LIMIT, LARGE = 1 << 20, 1 << 24  # bytes: of a settings file, and of one that holds an agent's state as well


class Wanted(NamedTuple):
    """A file that is copied, as the agent's data asks for it. keys: () for all; answers: keys of a first start."""

    path: str
    source: str
    keys: tuple[str, ...]
    drop: Pairs
    answers: tuple[str, ...] = ()


def survey_settings(
    spec: AgentSpec, home: str, environment: Mapping[str, str], untrusted: tuple[str, ...], instance: str
) -> tuple[UserSettings, list[Pin]]:
    """What of the user's settings comes along, and the descriptors of what is bound or copied whole.

    home: the user's; untrusted: what a sandbox can write; instance: the instance's directory, where the last
    copy is remembered. Raises ClaudeboxError for a link that a sandbox could have planted.
    """
    if not spec.config_dir:
        return UserSettings(), []
    variable = environment.get(spec.config_variable, "") if spec.config_variable else ""
    moved = variable if variable.startswith("/") else ""
    written = moved or f"{home}/{spec.config_dir}"
    if os.path.realpath(written) != written:
        check_links(written, untrusted)
    known, notes, shown, pins = remembered(instance), [], [], []
    for name in spec.read_only:
        found = _real(f"{written}/{name}", untrusted)
        if found and (os.path.isdir(found) or os.path.isfile(found)):
            pins.append(pin(found))
            shown.append((f"{home}/{spec.config_dir}/{name}", found))
        elif os.path.islink(f"{written}/{name}"):
            notes.append(Note("info", f"{written}/{name} is a link that leads nowhere"))
    trees = []
    for name in spec.copy_once:
        found, path = _real(f"{written}/{name}", untrusted), f"{spec.config_dir}/{name}"
        if found and os.path.isdir(found):
            done = f"tree\t{printable(path)}" in known
            trees.append((path, found, done))
            if not done:
                pins.append(pin(found))  # what is copied is what was there when it was shown
    files = [surveyed(one, known, untrusted) for one in _wanted(spec, home, written, moved)]
    settings = UserSettings(
        directory=os.path.realpath(written),
        shown=tuple(shown),
        files=tuple(files),
        trees=tuple(trees),
        notes=tuple(notes),
    )
    return settings, pins


def _wanted(spec: AgentSpec, home: str, written: str, moved: str) -> Iterable[Wanted]:
    for name in spec.copy:
        yield Wanted(path=f"{spec.config_dir}/{name}", source=f"{written}/{name}", keys=(), drop=spec.drop)
    if spec.first_start_file:
        source = f"{moved}/{os.path.basename(spec.first_start_file)}" if moved else f"{home}/{spec.first_start_file}"
        yield Wanted(
            path=spec.first_start_file,
            source=source,
            keys=spec.first_start_follow,
            drop=(),
            answers=spec.first_start_copy,
        )


def _real(path: str, untrusted: tuple[str, ...]) -> str:
    """The canonical path of what exists at path; "" where there is nothing."""
    if not os.path.lexists(path):
        return ""
    real = os.path.realpath(path)
    if real != path:
        check_links(path, untrusted)
    return real if os.path.exists(real) else ""


def surveyed(one: Wanted, known: list[str], untrusted: tuple[str, ...]) -> UserFile:
    """One file that is copied. known: the lines of the last copy. Where there is none, the host says nothing."""
    source = _real(one.source, untrusted)
    limit = LARGE if one.answers or one.keys else LIMIT
    try:
        file = _open(source) if source else -1
    except OSError as error:
        return _unreadable(one, source, error.strerror or str(error))
    try:
        stamp = stamped(os.fstat(file) if source else None, one)
        if (lines := _lines(known, one.path, stamp)) is not None:
            return _known(one, source, stamp, lines)
        text = descriptors.read_all(file, limit).decode() if source else ""
    except OSError as error:
        return _unreadable(one, source, error.strerror or str(error))
    except ValueError:
        return _unreadable(one, source, "it is not UTF-8")
    finally:
        if file >= 0:
            os.close(file)
    return understood(one, source, stamp, text)


def _open(path: str) -> int:
    found = descriptors.walk(None, descriptors.parts(path))
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(22, "it is no regular file")
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(found)


def stamped(state: os.stat_result | None, one: Wanted) -> str:
    """What identifies a state of a file of the host's, together with what is done with it."""
    rules = sha256(
        repr((READING, one.source, one.keys, one.drop, one.answers)).encode(errors="surrogateescape")
    ).hexdigest()
    if state is None:
        return f"none {rules[:16]}"
    numbers = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return f"{':'.join(map(str, numbers))} {rules[:16]}"


def understood(one: Wanted, source: str, stamp: str, text: str) -> UserFile:
    """A file of the host's that was read now: less what stays there, and what there is to say about it."""
    from claudebox.plan import brings, merge

    try:
        whole = merge.parse(text, one.path) if text.strip() else {}
        value = {key: whole[key] for key in one.keys if key in whole} if one.keys or one.answers else whole
        value, gone = merge.without(value, one.drop)
        told = merge.notes(value, gone, one.source)
        acts = brings.brings(value)
        answers = _answers(whole, one.answers)
        kept = merge.compose(value, one.path) if value else ""
    except (ValueError, RecursionError) as error:
        return _unreadable(one, source, str(error))
    return UserFile(
        path=one.path,
        source=source,
        stamp=stamp,
        text=kept,
        keys=one.keys,
        notes=told,
        answers=tuple(answers),
        brings=acts,
    )


def _answers(whole: dict[str, object], keys: tuple[str, ...]) -> list[tuple[str, str]]:
    if not keys:
        return []
    import json

    return [(key, json.dumps(whole[key])) for key in keys if key in whole]


def _unreadable(one: Wanted, source: str, why: str) -> UserFile:
    note = Note("info", printable(f"{one.source} does not come along now: {why}"))
    return UserFile(path=one.path, source=source, stamp="", text=None, keys=one.keys, notes=(note,))


def _known(one: Wanted, source: str, stamp: str, lines: list[str]) -> UserFile:
    notes, answers, acts = [], [], []
    for line in lines:
        kind, _, rest = line.partition("\t")
        first, _, second = rest.partition("\t")
        if kind == "note":
            notes.append(Note("info", second))
        elif kind == "answer":
            answers.append((first, second))
        elif kind == "brings":
            acts.append((first, second))
    return UserFile(
        path=one.path,
        source=source,
        stamp=stamp,
        text=None,
        keys=one.keys,
        notes=tuple(notes),
        answers=tuple(answers),
        brings=tuple(acts),
    )


# --- what the last copy left ---------------------------------------------------------------------


def remembered(instance: str) -> list[str]:
    """The lines of the instance's `settings/state`; none where there is none yet."""
    try:
        with open(f"{instance}/{STATE}", encoding="utf-8", errors="surrogateescape") as file:
            return file.read(LARGE).split("\n")
    except OSError:
        return []


def _lines(known: list[str], path: str, stamp: str) -> list[str] | None:
    """What was remembered of a file in that state, without its first line; None when it has changed since."""
    try:
        at = known.index(f"file\t{printable(path)}\t{stamp}") + 1
    except ValueError:
        return None
    end = next((i for i in range(at, len(known)) if not known[i].startswith(OF_FILE)), len(known))
    return known[at:end]
