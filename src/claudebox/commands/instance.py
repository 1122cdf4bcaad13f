"""`claudebox instance`: what is kept of each project, and how it is shown, moved, mended and removed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from claudebox import arguments, console
from claudebox.errors import ClaudeboxError
from claudebox.host import survey_user
from claudebox.model import User
from claudebox.repository import find_project
from claudebox.run import instance as state
from claudebox.run import instances, kept, removal, usage
from claudebox.run.instances import Found
from claudebox.text import amount

USAGE = """claudebox instance list [--orphaned] [--older-than 90d] [--json]
       claudebox instance show|path|remove|repair [ID|PROJECT] [-y] [--json]
       claudebox instance prune [--orphaned] [--older-than 90d] [-y] [--json]
       claudebox instance move OLD NEW [-y]"""
EXAMPLES = """  list     every project's instance: size, last use, whether the project is still there
  show     one of them, and what in its home takes space
  path     its directory
  remove   its home with the agent's login and conversations; the project is left alone
  prune    remove those of projects that are gone, or that were not used for some time
  repair   mend its home: modes, torn conversations; login and settings stay
  move     the project was moved from OLD to NEW: its instance follows

Without ID or PROJECT: of the current project.

examples:
  claudebox instance show
  claudebox instance remove ~/code/old-app
  claudebox instance prune --orphaned --older-than 90d
  claudebox instance move ~/code/app ~/src/app"""
UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}
LARGEST = 10  # entries of a home that `show` names


class Call(NamedTuple):
    """What was typed behind `claudebox instance COMMAND`, and by whom. ours: claudebox's own directory."""

    ours: str
    user: User
    names: tuple[str, ...]
    older_than: str
    orphaned: bool
    yes: bool
    json: bool


def instance(argv: list[str], environment: dict[str, str]) -> int:
    """Do what was typed behind `claudebox instance`; the exit status. Raises ClaudeboxError."""
    made = arguments.make("claudebox instance", USAGE, EXAMPLES)
    add = made.add_argument
    add("what", metavar="COMMAND", choices=tuple(COMMANDS), help=", ".join(COMMANDS))
    add("names", metavar="ID|PROJECT", nargs="*", help="16 hexadecimal digits, or a directory")
    add("--older-than", metavar="90d", default="", help="not used for so long: hours (12h), days or weeks (6w)")
    add("--orphaned", action="store_true", help="whose project is gone")
    add("-y", "--yes", action="store_true", help="do not ask")
    add("--json", action="store_true", help="for scripts")
    typed = arguments.parse(made, argv)
    act, most, filtered = COMMANDS[typed.what]
    if len(typed.names) > most:
        raise ClaudeboxError(
            f"claudebox instance {typed.what} takes {most or 'no'} name{'s' * (most > 1)}", made.prog + " --help"
        )
    if not filtered and (typed.older_than or typed.orphaned):
        raise ClaudeboxError("--older-than and --orphaned go with list and prune", "claudebox instance list --orphaned")
    user = survey_user(environment)
    ours = state.find_home(environment, user.home)
    return act(Call(ours, user, tuple(typed.names), typed.older_than, typed.orphaned, typed.yes, typed.json))


def print_json(value: dict[str, Any]) -> None:
    """A document on stdout. Bytes that are not UTF-8 appear as surrogate escapes."""
    import json

    console.write(json.dumps({"schema_version": 1, **value}, indent=2) + "\n", 1)


def one_of(call: Call) -> Found:
    """The instance that was named, or that of the current project."""
    return instances.chosen(call.ours, call.names[0] if call.names else "", call.user)


# --- looking -------------------------------------------------------------------------------------


def list_(call: Call) -> int:
    """`list`."""
    found = selected(call)
    sized = [(one, instances.size(one)) for one in found]
    if call.json:
        print_json({"instances": [as_value(one, size.size) for one, size in sized]})
    elif found:
        rows = [
            (one.id, shown_size(size), instances.last_used(one), instances.state(one), one.shown) for one, size in sized
        ]
        console.table(("id", "size", "last used", "", "project"), rows, descriptor=1)
    else:
        console.say("there is no such instance" if call.orphaned or call.older_than else "there is no instance yet")
    return 0


def selected(call: Call) -> list[Found]:
    """The instances that `--orphaned` and `--older-than` leave. One whose file cannot be read is only listed."""
    found = instances.everyone(call.ours)
    if call.orphaned:
        found = [one for one in found if one.gone]
    if call.older_than:
        latest = time.time() - seconds(call.older_than)
        found = [one for one in found if not one.wrong and one.kept.used < latest]
    return found


def seconds(text: str) -> int:
    """`90d`, `12h`, `6w` in seconds. Raises ClaudeboxError."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not (number.isascii() and number.isdigit()) or len(number) > 6:
        raise ClaudeboxError(f'--older-than "{text}": expected hours, days or weeks', "an example is --older-than 90d")
    return int(number) * UNITS[unit]


def shown_size(size: usage.Usage) -> str:
    """A size; one that is not all of it says so."""
    return f"{amount(size.size)}{' or more' if size.hidden else ''}"


def as_value(one: Found, size: int) -> dict[str, Any]:
    """An instance as JSON has it. last_used: seconds since 1970, 0 if unknown."""
    return {
        "id": one.id,
        "project": one.kept.project or None,
        "directory": one.directory,
        "made": one.kept.made or None,
        "last_used": one.kept.used,
        "size": size,
        "orphaned": one.gone,
        "sessions": [run.pid for run in instances.sessions(one)],
        "remembered": {
            "network": one.kept.network or None,
            "agent": one.kept.agent or None,
            "profiles": list(one.kept.profiles),
        },
    }


def show(call: Call) -> int:
    """`show`."""
    one = one_of(call)
    size = instances.size(one)
    home = instances.in_home(one)
    if call.json:
        print_json({**as_value(one, size.size), "home": [{"path": path, "size": bytes_} for path, bytes_ in home]})
        return 0
    lines = [
        ("project", f"{one.shown}{' (gone)' if one.gone else ''}"),
        ("instance", one.id),
        ("directory", one.directory),
        ("made", one.kept.made or "unknown"),
        ("last used", instances.last_used(one)),
        ("size", shown_size(size)),
        ("running", ", ".join(f"pid {run.pid}" for run in instances.sessions(one)) or "no"),
        ("remembered", remembered(one)),
    ]
    if one.wrong:
        lines.append(("wrong", one.wrong))
    console.table(lines[0], lines[1:], descriptor=1)
    if home:
        console.write("\n", 1)
        rows = [(amount(bytes_), path) for path, bytes_ in home[:LARGEST]]
        console.table(("size", "in its home"), rows, descriptor=1)
    return 0


def remembered(one: Found) -> str:
    """What `claudebox use` keeps for an instance."""
    words = [f"--network {one.kept.network}"] if one.kept.network else []
    words = [*one.kept.profiles, *words]
    words += [f"--agent {one.kept.agent}"] if one.kept.agent else []
    return " ".join(words) or "nothing"


def path(call: Call) -> int:
    """`path`: for scripts, byte for byte."""
    directory = one_of(call).directory
    if call.json:
        print_json({"directory": directory})
    else:
        os.write(1, os.fsencode(directory) + b"\n")
    return 0


# --- changing ------------------------------------------------------------------------------------


def confirm(question: str, call: Call) -> None:
    """Go on only with `-y` or a yes. Raises ClaudeboxError where nobody can be asked, or says no."""
    if call.yes:
        return
    if not console.can_ask():
        raise ClaudeboxError(f"not without a question: {question}", "-y answers it")
    if not console.ask(question):
        raise ClaudeboxError("nothing was changed")


def remove(call: Call) -> int:
    """`remove`."""
    one = one_of(call)
    with instances.held(call.ours, one) as (all_of_them, _):
        size = shown_size(instances.size(one))
        confirm(f"remove {one.directory} of {one.shown}, {size}, with its login and conversations?", call)
        removal.remove(all_of_them, one.id)
        removal.finish(all_of_them)
    report([one], call)
    return 0


def prune(call: Call) -> int:
    """`prune`."""
    if not call.orphaned and not call.older_than:
        raise ClaudeboxError("prune wants to know which", "claudebox instance prune --orphaned, or --older-than 90d")
    found = [one for one in selected(call) if not instances.sessions(one)]
    if found:
        rows = [(one.id, shown_size(instances.size(one)), instances.last_used(one), one.shown) for one in found]
        console.table(("id", "size", "last used", "project"), rows)
        confirm(f"remove {'these' if len(found) > 1 else 'this'}, with login and conversations?", call)
    for one in found:
        with instances.held(call.ours, one) as (all_of_them, _):
            removal.remove(all_of_them, one.id)
    instances.finish(call.ours)
    report(found, call)
    return 0


def report(removed: Sequence[Found], call: Call) -> None:
    """Say what was removed."""
    if call.json:
        print_json({"removed": [{"id": one.id, "project": one.kept.project or None} for one in removed]})
    else:
        console.say(f"removed {', '.join(one.shown for one in removed)}" if removed else "there is nothing to remove")


def repair(call: Call) -> int:
    """`repair`."""
    from claudebox.agents import agent_names, load_agent
    from claudebox.run import repair as mending

    one = one_of(call)
    own = f"{call.ours}/agents"
    specs = [load_agent(name, own) for name in agent_names(own)]
    with instances.held(call.ours, one) as (_, here):
        done = mending.mend(here, specs)
    if call.json:
        print_json({"id": one.id, "mended": done})
    else:
        for sentence in done or ["there is nothing to mend"]:
            console.say(sentence)
    return 0


def move(call: Call) -> int:
    """`move`: rename first, then write the new path; when that is interrupted, the same command completes it."""
    if len(call.names) != 2:
        raise ClaudeboxError(
            "claudebox instance move wants OLD and NEW", "claudebox instance move ~/code/app ~/src/app"
        )
    old, new = call.names
    one = instances.former(call.ours, old)
    root = find_project(instances.absolute(new), call.user, call.ours).main
    target = state.identify(call.ours, call.user.uid, root)
    # one that was interrupted is completed, although OLD may have been used again since and have another instance
    begun = [other for other in instances.everyone(call.ours) if other.id == target.id]
    one = begun[0] if begun and begun[0].kept.project == one.kept.project else one
    if one.kept.project == root:
        raise ClaudeboxError(f"{one.id} is the instance of {root} already", "claudebox instance list")
    if not one.gone:
        confirm(f"{one.kept.project} is still there and will start afresh; move its instance to {root}?", call)
    with instances.held(call.ours, one) as (all_of_them, here):
        if one.id != target.id:
            replace(call, target.id)
            os.rename(one.id, target.id, src_dir_fd=all_of_them, dst_dir_fd=all_of_them)
        kept.change(here, target.directory, {"project": kept.encoded(root), "inode": kept.inode(root)}, {})
    if call.json:
        print_json({"id": target.id, "project": root})
    else:
        console.say(f"{root} has the instance of {one.kept.project} now")
    return 0


def replace(call: Call, identity: str) -> None:
    """Remove the instance that stands where another is to go, if there is one; asks first."""
    for other in instances.everyone(call.ours):
        if other.id == identity:
            with instances.held(call.ours, other) as (all_of_them, _):
                confirm(
                    f"{other.shown} has an instance of its own, {shown_size(instances.size(other))}; remove it?", call
                )
                removal.remove(all_of_them, identity)


COMMANDS: dict[str, tuple[Callable[[Call], int], int, bool]] = {
    # what it does, how many names it takes, whether --orphaned and --older-than go with it
    "list": (list_, 0, True),
    "show": (show, 1, False),
    "path": (path, 1, False),
    "remove": (remove, 1, False),
    "prune": (prune, 0, True),
    "repair": (repair, 1, False),
    "move": (move, 2, False),
}
