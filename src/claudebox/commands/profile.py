"""`claudebox profile`: the named profiles, what they come to, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from claudebox import arguments, console, descriptors, lineage, typed
from claudebox.commands.use import limits
from claudebox.document import Positioned
from claudebox.errors import ClaudeboxError
from claudebox.host import survey_user
from claudebox.lineage import BUILTIN, Named, Places
from claudebox.model import Layer, Request
from claudebox.profile import effective_profile
from claudebox.render import schema
from claudebox.render.effective import rows
from claudebox.run import instance
from claudebox.text import printable

USAGE = "claudebox profile list|show|new|check|schema [NAME...] [--json]"
EXAMPLES = """  list     the profiles that there are, the built-in ones too
  show     every effective value with its file and line: of config.toml and the profiles named, left to right
  new      a commented file to begin with, in profiles/
  check    everything that is wrong, with file, line and column; exit status 1 if anything is. Without NAME: all of them
  schema   a JSON Schema of config.toml and profiles, for editors

`claudebox use` shows what holds in a project.

examples:
  claudebox profile show python github
  claudebox profile new mine
  claudebox profile check
  claudebox profile schema >~/.claudebox/schema.json"""
WRONG = 1  # what `check` ends with: not 125, claudebox itself did not fail


class Call(NamedTuple):
    """What was typed behind `claudebox profile COMMAND`."""

    places: Places
    environment: dict[str, str]
    names: tuple[str, ...]
    json: bool

    @property
    def config(self) -> str:
        """The path of config.toml."""
        return f"{self.places.ours}/config.toml"


def profile(argv: list[str], environment: dict[str, str]) -> int:
    """Do what was typed behind `claudebox profile`; the exit status. Raises ClaudeboxError."""
    made = arguments.make("claudebox profile", USAGE, EXAMPLES)
    add = made.add_argument
    add("what", metavar="COMMAND", choices=tuple(COMMANDS), help=", ".join(COMMANDS))
    add("profiles", metavar="NAME", nargs="*", help="profiles, left to right")
    add("--json", action="store_true", help="for scripts")
    said = arguments.parse(made, argv)
    act, most = COMMANDS[said.what]
    if len(said.profiles) > most:
        takes = "one name" if most else "no name"
        raise ClaudeboxError(f"claudebox profile {said.what} takes {takes}", made.prog + " --help")
    user = survey_user(environment)
    places = Places(ours=instance.find_home(environment, user.home), home=user.home)
    return act(Call(places, environment, tuple(said.profiles), said.json))


def print_json(value: dict[str, Any]) -> None:
    """A document on stdout."""
    import json

    console.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n", 1)


def list_(call: Call) -> int:
    """`list`."""
    found = [_listed(name, call.places) for name in lineage.names(call.places.directory, BUILTIN)]
    if call.json:
        print_json({"schema_version": 1, "profiles": found})
        return 0
    cells = [(one["name"], one["file"], one["wrong"] or one["description"]) for one in found]
    console.table(("profile", "file", ""), cells, descriptor=1)
    return 0


def _listed(name: str, places: Places) -> dict[str, Any]:
    path = lineage.find(name, places)
    listed: dict[str, Any] = {"name": name, "file": places.shown(path), "description": "", "wrong": None}
    try:
        found = lineage.load("", Named((name,), Layer.COMMAND_LINE, "-P"), places)
    except ClaudeboxError as error:
        return listed | {"wrong": error.message.split("\n")[0]}
    return listed | {"description": found[-1].document.get("description", "")}


def show(call: Call) -> int:
    """`show`: as a launch would have it in which nothing else is said."""
    named = Named(call.names, Layer.COMMAND_LINE, "-P")
    files = lineage.load(call.config, named, call.places)
    request = Request(action="agent", profiles=call.names)
    effective = effective_profile(request, files, _named_variables(call), home=call.places.home, cwd="/")
    found = rows(effective, limits(files), defaults=True)
    if call.json:
        values = [{"name": name, "value": value, "origin": origin} for name, value, origin in found]
        print_json({"schema_version": 1, "profiles": list(call.names), "values": values})
        return 0
    console.table(("setting", "value", "from"), found, descriptor=1)
    return 0


def _named_variables(call: Call) -> dict[str, str]:
    """The host's variables, for sources that are one; not what would name a tier or other profiles."""
    return {name: value for name, value in call.environment.items() if not name.startswith("CLAUDEBOX_")}


def new(call: Call) -> int:
    """`new`."""
    if len(call.names) != 1 or not typed.is_profile(call.names[0]):
        raise ClaudeboxError(
            "claudebox profile new wants a name, of letters, digits, - and _", "claudebox profile new mine"
        )
    (name,) = call.names
    places = call.places
    path = places.own(name)
    try:
        os.makedirs(places.ours, 0o700, exist_ok=True)
        instance.check_home(places.ours)
        top = descriptors.walk(None, descriptors.parts(places.ours))
        directory = descriptors.make_directory(top, "profiles")
        descriptors.create_file(directory, f"{name}.toml", schema.template(name).encode(), 0o600)
    except FileExistsError:
        raise ClaudeboxError(f"there is {places.shown(path)} already", f"edit it: $EDITOR {path}") from None
    except OSError as error:
        raise ClaudeboxError(f"cannot write {path}: {error.strerror}", f"check {places.ours}") from None
    if call.json:
        print_json({"schema_version": 1, "name": name, "file": path})
    else:
        console.say(f"made {places.shown(path)}: edit it, then claudebox profile check {name}")
    return 0


def check(call: Call) -> int:
    """`check`: all errors of all files at once, on stdout; the exit status says whether there are any."""
    names = call.names or lineage.names(call.places.directory, BUILTIN)
    wrong = lineage.problems(call.config, Named(tuple(names), Layer.COMMAND_LINE, "claudebox profile"), call.places)
    if call.json:
        print_json({"schema_version": 1, "checked": list(names), "errors": [_as_value(one) for one in wrong]})
    else:
        for one in wrong:
            console.write(f"{one}\n", 1)
            if one.hint:
                console.write(f"  hint: {printable(one.hint)}\n", 1)
        if not wrong:
            console.say(f"nothing is wrong with {', '.join(names)}")
    return WRONG if wrong else 0


def _as_value(one: Positioned) -> dict[str, Any]:
    """An error as JSON has it; line and column are null where it is of no place in a file."""
    place = (one.line, one.column) if one.line else (None, None)
    return {"file": one.shown, "line": place[0], "column": place[1], "text": one.text, "hint": one.hint or None}


def schema_(call: Call) -> int:
    """`schema`."""
    print_json(schema.json_schema())
    return 0


COMMANDS: dict[str, tuple[Callable[[Call], int], int]] = {
    # what it does, how many names it takes
    "list": (list_, 0),
    "show": (show, 99),
    "new": (new, 1),
    "check": (check, 99),
    "schema": (schema_, 0),
}
