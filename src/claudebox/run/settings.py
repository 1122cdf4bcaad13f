"""The user's own settings into the instance's home, which an agent wrote before: always through descriptors.

Nothing of the home is ever used for the host. `settings/` of the instance, which no sandbox sees, holds what the
host's files said at the last copy (the merge base) and the lines by which a launch knows that nothing changed.
The home's file is written first, then the base, then the lines: a kill between two costs the next launch a merge.
"""

from __future__ import annotations

import os
import time

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.model import SandboxPlan, SettingsFile, SettingsTree
from claudebox.run import home as home_files
from claudebox.text import printable
from claudebox.usersettings import LARGE, LIMIT, STATE, remembered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BASE, STATE_NAME = STATE.split("/")
LOCK = "settings"  # of ours: sessions of one instance share the home and the base
STALE = 60  # seconds after which an agent's lock of its file is nobody's


def clear_way(plan: SandboxPlan, here: int, home: int) -> list[str]:
    """Move aside what is no place for a settings file; a sentence for each. Raises ClaudeboxError.

    here: the instance's directory; home: its `home`.
    """
    said = []
    for one in plan.settings:
        names = descriptors.parts(one.path)
        names, directory = (names[:-1], True) if isinstance(one, SettingsTree) else (names, False)
        if not names or (isinstance(one, SettingsTree) and one.done):
            continue
        try:
            moved = home_files.clear(home, here, names, directory=directory)
        except OSError as error:
            raise _unusable(plan, one.path, error) from None
        if moved:
            said.append(f"{_place(plan, moved[0])} was no place for settings; it is now {moved[1]}")
    return said


def write(plan: SandboxPlan, here: int, home: int, pins: dict[str, int], look: Callable[[], None]) -> list[str]:
    """Bring the home's settings up to date; a sentence for all that the user should know. Raises ClaudeboxError.

    pins: source → descriptor, from the survey; look: called while something long is copied; raises what ends the
    launch. Called under `LOCK`.
    """
    said: list[str] = []
    lines: list[str] = []
    changed = False
    for one in plan.settings:
        try:
            if isinstance(one, SettingsTree):
                fresh = done = not one.done
                if fresh:
                    _copy(one, here, home, pins[one.source], said, look)
                lines.append(f"tree\t{printable(one.path)}")
            else:
                fresh, done = one.text is not None, _follow(plan, one, here, home, said)
                lines += one.remembered if done else ()
        except OSError as error:
            raise _unusable(plan, one.path, error) from None
        changed = changed or (fresh and done)
    if changed:
        _remember(plan, here, lines)
    return said


def _copy(one: SettingsTree, here: int, home: int, opened: int, said: list[str], look: Callable[[], None]) -> None:
    from claudebox.run import tree

    *above, name = descriptors.parts(one.path)
    parent = descriptors.make_directories(home, above)
    base = descriptors.make_directory(here, BASE)
    try:
        tree.copy_once(one.source, opened, base, parent, name, said, look)
    finally:
        os.close(base)
        os.close(parent)


def _follow(plan: SandboxPlan, one: SettingsFile, here: int, home: int, said: list[str]) -> bool:
    """Whether the home's file is as it ought to be now. Without a change of the host's: one look at it."""
    *above, name = descriptors.parts(one.path)
    if one.text is None:
        if not one.remembered or _sound(home, one) or _missing(here, f"{BASE}/{one.path}"):
            return bool(one.remembered)  # without a base the host had nothing, and has nothing
    elif not one.text and _missing(home, one.path) and _missing(here, f"{BASE}/{one.path}"):
        return True  # neither the host nor the instance says anything
    base_parent = descriptors.make_directories(here, [BASE, *above])
    parent = descriptors.make_directories(home, above)
    try:
        base = (descriptors.read_file(base_parent, name, LARGE) or b"").decode()
        text = base if one.text is None else one.text
        done = _merged(plan, one, here, parent, (base, text), said)
        if done and text != base:
            descriptors.replace_file(base_parent, name, text.encode())
        return done
    finally:
        os.close(parent)
        os.close(base_parent)


def _merged(
    plan: SandboxPlan, one: SettingsFile, here: int, parent: int, sides: tuple[str, str], said: list[str]
) -> bool:
    """Merge; a file of which only keys follow is the agent's own, and is written under its lock alone."""
    if not one.keys:
        return _merge(plan, one, here, parent, sides, said)
    done = _locked(plan, one, here, parent, lambda: _merge(plan, one, here, parent, sides, said))
    if isinstance(done, str):
        said.append(done)
    return done is True


def _merge(
    plan: SandboxPlan, one: SettingsFile, here: int, parent: int, sides: tuple[str, str], said: list[str]
) -> bool:
    """Write the merged file where it differs. sides: the host's text as last copied, and as it is now."""
    from claudebox.plan import merge

    name = descriptors.parts(one.path)[-1]
    try:
        read = descriptors.read_file(parent, name, LARGE if one.keys else LIMIT)
        own = None if read is None else read.decode()
        merged = sides[1] if not own else merge.merged_text(sides[0], sides[1], own, one.keys, one.path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8" if _binary(error) else str(error)
        if one.keys:  # all that the agent knows stands there: it has its own way to repair it
            said.append(printable(f"{_place(plan, one.path)} is left as it is: {why}"))
            return False
        kept = home_files.put_aside(parent, here, name)
        said.append(printable(f"{_place(plan, one.path)} could not be read ({why}); it is now {kept}"))
        own, merged = None, sides[1]
    if merged and merged != own:
        descriptors.replace_file(parent, name, merged.encode())
    return True


def _binary(error: Exception) -> bool:
    return isinstance(error, UnicodeDecodeError)


def _locked(plan: SandboxPlan, one: SettingsFile, here: int, parent: int, act: Callable[[], bool]) -> bool | str:
    """Do act under the agent's own lock of its file, a directory beside it; why not, where another has it."""
    lock = descriptors.parts(one.path)[-1] + ".lock"
    try:
        try:
            os.mkdir(lock, 0o700, dir_fd=parent)
        except FileExistsError:
            if _in_use(here, parent, lock):
                return f"{_place(plan, one.path)} is in use: {', '.join(one.keys)} of yours wait for the next launch"
            home_files.put_aside(parent, here, lock)  # whatever it is, and whatever an agent put into it
            os.mkdir(lock, 0o700, dir_fd=parent)
    except OSError as error:
        return f"{_place(plan, one.path)}.lock cannot be taken: {error.strerror}; claudebox instance repair"
    try:
        return act()
    finally:
        try:
            os.rmdir(lock, dir_fd=parent)
        except OSError:
            pass  # somebody took it for stale


def _in_use(here: int, parent: int, lock: str) -> bool:
    """Whether an agent's lock can be somebody's: it was made just now, and another session of this home lives."""
    from claudebox.run import session

    age = time.time() - os.stat(lock, dir_fd=parent, follow_symlinks=False).st_mtime
    return 0 <= age < STALE and any(found.pid != os.getpid() for found in session.live(here))


def _sound(home: int, one: SettingsFile) -> bool:
    """Whether the home has a file of a size that can be read; of what kind it is `clear_way` saw to."""
    try:
        parent = descriptors.walk(home, descriptors.parts(one.path)[:-1])
    except OSError:
        return False
    try:
        state = os.stat(descriptors.parts(one.path)[-1], dir_fd=parent, follow_symlinks=False)
        return bool(one.keys) or state.st_size <= LIMIT
    except OSError:
        return False
    finally:
        os.close(parent)


def _missing(start: int, path: str) -> bool:
    try:
        os.close(descriptors.walk(start, descriptors.parts(path)))
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _remember(plan: SandboxPlan, here: int, lines: list[str]) -> None:
    """Write `settings/state`: the lines, and those of an earlier launch about files that this one did not ask for."""
    mine = {printable(one.path) for one in plan.settings}
    kept, keep = [], False
    for line in remembered(plan.instance.directory):
        if line.startswith(("file\t", "tree\t")):
            keep = line.split("\t")[1] not in mine
        if keep and line:
            kept.append(line)
    try:
        parent = descriptors.make_directories(here, [BASE])
        try:
            text = "\n".join([*kept, *lines, ""])
            descriptors.replace_file(parent, STATE_NAME, text.encode(errors="surrogateescape"))
        finally:
            os.close(parent)
    except OSError as error:
        what = f"cannot write {plan.instance.directory}/{STATE}: {error.strerror}"
        raise ClaudeboxError(what, "free some space") from None


def _place(plan: SandboxPlan, path: str) -> str:
    return f"{plan.instance.directory}/home/{path}"


def _unusable(plan: SandboxPlan, path: str, error: OSError) -> ClaudeboxError:
    hint = "free some space, or look at what an agent left there"
    return ClaudeboxError(f"cannot write {_place(plan, path)}: {error.strerror}", hint)
