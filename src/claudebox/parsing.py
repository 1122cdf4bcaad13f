"""argparse over the table of options: help, and what `options.scan` leaves to it. Imported only then."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from claudebox import __version__, arguments
from claudebox.errors import ClaudeboxError
from claudebox.model import Action
from claudebox.options import COMMANDS, OPTIONS
from claudebox.text import printable

USAGE = """claudebox [OPTIONS] [-- AGENT_ARGS...]
       claudebox run [OPTIONS] -- COMMAND [ARGS...]
       claudebox shell [OPTIONS]"""
EXAMPLES = """examples:
  claudebox -n offline                 the agent in this project's sandbox, without network
  claudebox -n full -- --continue      with the host's network; --continue goes to the agent
  claudebox -P python -P mine          with what these profiles grant; see claudebox profile --help
  claudebox run -n offline -- make test
  claudebox shell -n offline
  claudebox -n offline --dry-run       what would be granted, and the exact commands

A value on -e NAME=VALUE shows in the host's own `ps`: prefer -e NAME, which takes the value from the environment.
Exit status: the command's own; 128 + n when signal n ended it; 125 when claudebox itself failed."""


def parser(others: Mapping[str, tuple[str, str]]) -> arguments.Parser:
    """The parser of the three launching commands; others: name → (module, help) of the commands beside them."""
    rows = "".join(f"  claudebox {name:<28}{says}\n" for name, (_, says) in others.items())
    made = arguments.make("claudebox", USAGE, (f"other commands:\n{rows}\n" if rows else "") + EXAMPLES)
    for option in OPTIONS:
        more: dict[str, Any] = {"help": option.help or argparse.SUPPRESS, "dest": option.field}
        if option.kind == "flag":
            more["action"] = "store_true"
        elif option.kind == "list":
            more |= {"action": "append", "metavar": option.metavar}
        elif option.values:
            more["choices"] = option.values
        else:
            more["metavar"] = option.metavar
        made.add_argument(*option.flags, default=argparse.SUPPRESS, **more)
    made.add_argument("--version", action="version", version=f"claudebox {__version__}")
    return made


def parse(argv: list[str], action: Action, others: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """What was typed, by field, as `options.scan` returns it. Raises ClaudeboxError; --help and --version exit."""
    made = parser(others)
    typed, unknown = made.parse_known_args(argv)
    if unknown:
        near = hint(unknown[0], action, [*arguments.options(made), *COMMANDS, *others])
        raise ClaudeboxError(f"unknown option or argument: {printable(unknown[0])}", near)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in vars(typed).items()}


def hint(unknown: str, action: Action, known: list[str]) -> str:
    """What to do about an unknown option: the agent's own go behind `--`, others have a neighbour."""
    from claudebox.agents import agent_names, load_agent
    from claudebox.nearest import nearest

    if action == "agent" and unknown.startswith("-"):
        name = unknown.partition("=")[0]
        if any(name in load_agent(agent, "").own_options for agent in agent_names("")):
            return f"it is the agent's: put it behind --, as in claudebox -- {name}"
    near = nearest(unknown, known)
    return f"did you mean {near}?" if near else "claudebox --help"
