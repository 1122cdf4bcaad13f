"""The whole command line as one parser: what completions and the man page are made of. Never imported by a launch."""

from __future__ import annotations

import argparse
from importlib import import_module

import shtab

from claudebox import arguments
from claudebox.agents import agent_names
from claudebox.lineage import BUILTIN, names
from claudebox.options import OTHERS
from claudebox.parsing import parser
from claudebox.schema import TIERS

SHELLS = ("bash", "zsh", "fish")
LAUNCHING = {"run": "any command in the same sandbox", "shell": "a shell in the same sandbox"}


# The user's own profiles come and go, so the scripts look for them; a name that is none could be a command to a shell.
OWN_PROFILES = {
    "bash": """_claudebox_profiles() {
  local one names=(%s)
  for one in "${CLAUDEBOX_HOME:-$HOME/.claudebox}"/profiles/*.toml; do
    one=${one##*/}
    one=${one%%.toml}
    [[ $one == *[!A-Za-z0-9._-]* ]] || names+=("$one")
  done
  compgen -W "${names[*]}" -- "$1"
}""",
    "zsh": """_claudebox_profiles() {
  local -a names
  names=(%s ${CLAUDEBOX_HOME:-$HOME/.claudebox}/profiles/*.toml(N:t:r))
  compadd -a names
}""",
}


def whole() -> argparse.ArgumentParser:
    """Every command with its options; launching options come before a command's name too."""
    made = parser(OTHERS)
    _complete(made)
    commands = made.add_subparsers(metavar="COMMAND", title="commands")
    for name, says in LAUNCHING.items():
        made_for = commands.add_parser(name, help=says, description=says, parents=[parser({})], add_help=False)
        _complete(made_for)
    for name, (module, says) in OTHERS.items():
        command = getattr(import_module(f"claudebox.commands.{module}"), name)
        own = arguments.parser_of(command)
        added = commands.add_parser(
            name, help=says, description=says, usage=own.usage, parents=[own], add_help=False, epilog=own.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        _complete(added)
    return made


def _complete(made: argparse.ArgumentParser) -> None:
    """What a shell offers for values, where there is something to offer."""
    offers = {"network": TIERS, "agent": agent_names("")}
    for action in made._actions:
        if action.dest in offers:
            action.choices = offers[action.dest]
        elif action.dest == "profiles":
            action.complete = dict.fromkeys(OWN_PROFILES, "_claudebox_profiles")  # type: ignore[attr-defined]
        elif action.dest == "project" or action.metavar == "ID|PROJECT":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.dest == "mounts":
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def script(shell: str) -> str:
    """The completion script of a shell; shell is one of SHELLS."""
    if shell == "fish":
        return _fish(whole())
    preamble = OWN_PROFILES[shell] % " ".join(names(BUILTIN))
    return str(shtab.complete(whole(), shell=shell, preamble=preamble))


def _fish(made: argparse.ArgumentParser) -> str:
    lines = ["# completions of claudebox for fish", "complete -c claudebox -f"]
    lines += _fish_options(made, "__fish_use_subcommand")
    sub = next(action for action in made._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in sub._choices_actions}
    for name, parser_ in sub.choices.items():
        lines.append(f"complete -c claudebox -n __fish_use_subcommand -a {name} -d {_quoted(helps[name])}")
        lines += _fish_options(parser_, f"__fish_seen_subcommand_from {name}")
    return "\n".join(lines) + "\n"


def _fish_options(made: argparse.ArgumentParser, when: str) -> list[str]:
    lines = []
    for action in made._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        words = ["complete -c claudebox", f"-n {_quoted(when)}"]
        for flag in action.option_strings:
            words.append(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}")
        if action.nargs != 0 and action.option_strings:
            words.append("-r")
        if action.choices:
            words.append(f"-a {_quoted(' '.join(action.choices))}")
        elif action.dest == "profiles":
            words.append(f"-a {_quoted(' '.join(names(BUILTIN)))}")
        elif action.dest in ("project", "mounts") or action.metavar == "ID|PROJECT":
            words.append("-F")
        elif not action.option_strings:
            continue
        lines.append(" ".join([*words, f"-d {_quoted(action.help or '')}"]))
    return lines


def _quoted(text: str) -> str:
    """A word as fish reads it between single quotes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
