"""`claudebox network`: what a session reached and what was refused, why, and grants while it runs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from claudebox import arguments
from claudebox.commands.networkcall import Call
from claudebox.errors import ClaudeboxError
from claudebox.host import survey_user
from claudebox.run import instance as state

USAGE = """claudebox network log [PID|PROJECT] [--denied] [--follow] [--json]
       claudebox network why NAME[:PORT] [PID|PROJECT] [--json]
       claudebox network allow|deny [NAME[:PORT]] [--host-port PORT] [--publish [HOSTPORT:]PORT]
                               [PID|PROJECT] [--save] [--json]
       claudebox network learn [PID|PROJECT] [--json]"""
EXAMPLES = """  log      what was reached and what was refused: by which program, by which rule, with how many bytes
  why      would a name be let through, by which line of which file, or what to add; exit status 1 if not
  allow    let a name through in the session that runs: the next attempt obeys
  deny     take it back: its connections end
  learn    the names that a session asked for, as TOML for a profile; start one with --learn

Without PID or PROJECT: of the current project. --save has the project remember it; the next launch shows it.

examples:
  claudebox network log --denied
  claudebox network why docs.python.org
  claudebox network allow 'docs.python.org' --save
  claudebox network deny '*.example.com:443' 4711
  claudebox network allow --host-port 5432
  claudebox --learn; claudebox network learn > ~/.claudebox/profiles/mine.toml"""


def network(argv: list[str], environment: dict[str, str]) -> int:
    """Do what was typed behind `claudebox network`; the exit status. Raises ClaudeboxError."""
    made = arguments.make("claudebox network", USAGE, EXAMPLES)
    add = made.add_argument
    add("command", metavar="COMMAND", choices=tuple(COMMANDS), help=", ".join(COMMANDS))
    add("words", metavar="NAME[:PORT]|PID|PROJECT", nargs="*", help="a name, and whose session")
    add("--denied", action="store_true", help="log: what was refused alone")
    add("--follow", "-f", action="store_true", help="log: what comes, until the session ends")
    add("--host-port", metavar="PORT", action="append", default=[], help="allow, deny: a port of 127.0.0.1 here")
    add("--publish", metavar="[HOSTPORT:]PORT", action="append", default=[], help="allow, deny: a port of the sandbox")
    add("--save", action="store_true", help="allow, deny: have the project remember it")
    add("--json", action="store_true", help="for scripts")
    typed = arguments.parse(made, argv)
    judge(typed)
    what, which = words(typed)
    user = survey_user(environment)
    call = Call(
        ours=state.find_home(environment, user.home),
        user=user,
        environment=environment,
        what=what,
        which=which,
        host_ports=tuple(typed.host_port),
        publish=tuple(typed.publish),
        save=typed.save,
        denied=typed.denied,
        follow=typed.follow,
        json=typed.json,
    )
    return COMMANDS[typed.command](call)


GOES_WITH = {"denied": ("log",), "follow": ("log",), "host_port": ("allow", "deny"), "publish": ("allow", "deny"),
             "save": ("allow", "deny")}  # fmt: skip


def judge(typed: Namespace) -> None:
    """Refuse an option that does not go with the command. Raises ClaudeboxError."""
    for option, commands in GOES_WITH.items():
        if getattr(typed, option) and typed.command not in commands:
            flag = option.replace("_", "-")
            raise ClaudeboxError(f"--{flag} goes with {' and '.join(commands)}", f"claudebox network {commands[0]}")


def words(typed: Namespace) -> tuple[str, str]:
    """The name, and whose session. Raises ClaudeboxError."""
    found = list(typed.words)
    ports = typed.host_port or typed.publish
    named = typed.command in ("why", "allow", "deny")
    what = ""
    if named and found and not (ports and len(found) == 1 and _is_place(found[0])):
        what = found.pop(0)
    if len(found) > 1:
        raise ClaudeboxError(f"claudebox network {typed.command} takes one session", "claudebox network --help")
    if named and not what and not ports:
        example = f"claudebox network {typed.command} docs.python.org"
        raise ClaudeboxError(f"claudebox network {typed.command} takes a name", example)
    return what, found[0] if found else ""


def _is_place(word: str) -> bool:
    """Whether a word can only be a pid or a project beside a port."""
    return word.isdigit() or "/" in word or word in (".", "..")


# --- one function per command, each in the module that has it ------------------------------------


def log(call: Call) -> int:
    """`log`."""
    from claudebox.commands import networklog

    return networklog.log(call)


def learn(call: Call) -> int:
    """`learn`."""
    from claudebox.commands import networklog

    return networklog.learn(call)


def why(call: Call) -> int:
    """`why`."""
    from claudebox.commands import networkgrant

    return networkgrant.why(call)


def allow(call: Call) -> int:
    """`allow`."""
    from claudebox.commands import networkgrant

    return networkgrant.change(call, add=True)


def deny(call: Call) -> int:
    """`deny`."""
    from claudebox.commands import networkgrant

    return networkgrant.change(call, add=False)


COMMANDS: dict[str, Callable[[Call], int]] = {"log": log, "why": why, "allow": allow, "deny": deny, "learn": learn}
