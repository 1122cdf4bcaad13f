"""What was typed → a command; the only place that prints errors and exits."""

from __future__ import annotations

import argparse
import os
import sys

from claudebox import __version__, arguments, console
from claudebox.errors import FAILED, ClaudeboxError
from claudebox.model import Action, Request
from claudebox.text import printable

COMMANDS = ("run", "shell")
# The other commands: (the module of commands/, what --help says). The module, imported only when the command is
# typed, has a function of the command's name: (the words behind it, the environment) → the exit status.
OTHERS: dict[str, tuple[str, str]] = {}
LATER = ("use", "network", "doctor", "ps", "stop", "instance", "profile", "auth", "completion")

USAGE = """claudebox [OPTIONS] [-- AGENT_ARGS...]
       claudebox run [OPTIONS] -- COMMAND [ARGS...]
       claudebox shell [OPTIONS]"""
EXAMPLES = """examples:
  claudebox -n offline                 the agent in this project's sandbox, without network
  claudebox -n full -- --continue      with the host's network; --continue goes to the agent
  claudebox run -n offline -- make test
  claudebox shell -n offline
  claudebox -n offline --dry-run       what would be granted, and the exact commands

A value on -e NAME=VALUE shows in the host's own `ps`: prefer -e NAME, which takes the value from the environment.
Exit status: the command's own; 128 + n when signal n ended it; 125 when claudebox itself failed."""


def parser() -> arguments.Parser:
    """The parser of the three launching commands."""
    others = "".join(f"  claudebox {name:<28}{says}\n" for name, (_, says) in OTHERS.items())
    made = arguments.make("claudebox", USAGE, (f"other commands:\n{others}\n" if others else "") + EXAMPLES)
    add = made.add_argument
    add("-n", "--network", metavar="TIER", default="", help="offline, or full; the others come with a later release")
    add(
        "--agent",
        metavar="NAME",
        default="",
        help="claude (the default), codex, gemini, opencode, or a file in agents/",
    )
    add("--unattended", action="store_true", help="the agent asks nothing")
    add("-e", "--env", metavar="NAME[=VALUE]", action="append", default=[], help="pass a host variable, or set one")
    add("-m", "--mount", metavar="SRC[:DST][:ro|rw]", action="append", default=[], help="one more mount, ro unless rw")
    add("-C", "--project", metavar="DIR", default="", help="the project, instead of the current directory")
    add("--dry-run", action="store_true", help="print what would be granted; start nothing, write nothing")
    add("--json", action="store_true", help="with --dry-run: the plan as JSON")
    for option in ("-P", "--allow", "--host-port", "--publish", "--package"):
        add(option, *(["--profile"] if option == "-P" else []), action="append", default=[], help=argparse.SUPPRESS)
    for option in ("--learn", "--refresh-packages", "-y", "--force", "--no-auth", "-v"):
        long = {"-y": ["--yes"], "-v": ["--verbose"]}.get(option, [])
        add(option, *long, action="store_true", help=argparse.SUPPRESS)
    add("--review", choices=("changed", "always"), default="changed", help=argparse.SUPPRESS)
    add("--version", action="version", version=f"claudebox {__version__}")
    return made


def request(argv: list[str]) -> Request:
    """What was typed. Raises ClaudeboxError."""
    action: Action = "agent"
    rest: list[str] = []
    separated = "--" in argv
    if separated:
        cut = argv.index("--")
        argv, rest = argv[:cut], argv[cut + 1 :]
    if argv and argv[0] in LATER:
        raise ClaudeboxError(f"claudebox {argv[0]} is not part of this release", "claudebox --help")
    if argv and argv[0] in COMMANDS:
        action = "run" if argv[0] == "run" else "shell"
        argv = argv[1:]
    typed, unknown = parser().parse_known_args(argv)
    if unknown:
        raise ClaudeboxError(f"unknown option or argument: {printable(unknown[0])}", hint(unknown[0], action))
    if action == "run" and not rest:
        raise ClaudeboxError("claudebox run needs a command", "claudebox run -n offline -- make test")
    if action == "shell" and rest:
        raise ClaudeboxError("claudebox shell takes no command", "claudebox run -- COMMAND")
    if typed.json and not typed.dry_run:
        raise ClaudeboxError("--json goes with --dry-run", "claudebox --dry-run --json")
    return Request(
        action=action,
        arguments=tuple(rest),
        project=typed.project,
        profiles=tuple(typed.profile),
        network=typed.network,
        allow=tuple(typed.allow),
        learn=typed.learn,
        host_ports=tuple(typed.host_port),
        publish=tuple(typed.publish),
        agent=typed.agent,
        unattended=typed.unattended,
        env=tuple(typed.env),
        mounts=tuple(typed.mount),
        packages=tuple(typed.package),
        refresh_packages=typed.refresh_packages,
        dry_run=typed.dry_run,
        json=typed.json,
        yes=typed.yes,
        review=typed.review,
        force=typed.force,
        no_auth=typed.no_auth,
        verbose=typed.verbose,
    )


def hint(unknown: str, action: Action) -> str:
    """What to do about an unknown option: the agent's own go behind `--`, others have a neighbour."""
    from claudebox.agents import agent_names, load_agent
    from claudebox.nearest import nearest

    if action == "agent" and unknown.startswith("-"):
        name = unknown.partition("=")[0]
        if any(name in load_agent(agent, "").own_options for agent in agent_names("")):
            return f"it is the agent's: put it behind --, as in claudebox -- {name}"
    near = nearest(unknown, [*arguments.options(parser()), *COMMANDS, *OTHERS])
    return f"did you mean {near}?" if near else "claudebox --help"


def perform(argv: list[str], environment: dict[str, str]) -> int:
    """Do what was typed; the exit status. Raises ClaudeboxError."""
    if argv and argv[0] in OTHERS:
        from importlib import import_module

        module = import_module(f"claudebox.commands.{OTHERS[argv[0]][0]}")
        status: int = getattr(module, argv[0])(argv[1:], environment)
        return status
    from claudebox.commands import launch

    return launch.perform(request(argv), environment)


def prepare() -> None:
    """Fill closed standard descriptors, keep all others from every child."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # close-on-exec as Python opens it, it would be closed again in bwrap and the agent
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                pass


def main() -> None:
    """The console script."""
    prepare()
    try:
        status = perform(sys.argv[1:], dict(os.environ))
    except ClaudeboxError as problem:
        console.error(problem)
        status = problem.exit_code
    except KeyboardInterrupt:
        status = 130
    except OSError as problem:
        console.error(ClaudeboxError(f"{problem.filename or 'system'}: {problem.strerror}", "free space, or check it"))
        status = FAILED
    # console writes to descriptors, so nothing is buffered; the interpreter's own end costs a millisecond
    os._exit(status)
