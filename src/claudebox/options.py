"""The options of the launching commands, as a table: parser, help, completions and man page are made of it.

`scan` reads what is typed on nearly every launch without argparse, whose import and set-up cost 4 ms; what it
does not know at once (an unknown option, a missing value, `-nVALUE`) it leaves to the parser.
"""

from __future__ import annotations

from claudebox.model import Action, Request
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

COMMANDS = ("run", "shell")
# The other commands: (the module of commands/, what --help says). The module, imported only when the command is
# typed, has a function of the command's name: (the words behind it, the environment) → the exit status.
OTHERS: dict[str, tuple[str, str]] = {
    "use": ("use", "remember profiles, --network, --agent for this project; without arguments, show what holds"),
    "ps": ("sessions", "the sessions that run now"),
    "stop": ("sessions", "end a session: its pid, its project, or --all"),
    "network": ("network", "what was reached and refused: log, why, allow, deny, learn"),
    "doctor": ("doctor", "can this machine do it? each check, its result, the fix"),
    "instance": ("instance", "what is kept of each project: list, show, path, remove, prune, repair, move"),
    "profile": ("profile", "named profiles: list, show, new, check, schema"),
    "auth": ("auth", "the login that sandboxes are served from: status, login, import, forget"),
    "completion": ("completion", "the completion script of bash, zsh or fish"),
}


class Option(NamedTuple):
    """One option. flags: as typed, the short one first; field: of Request; kind: whether it takes a value, may
    be repeated, or takes none; values: the only ones, where there are such; help "": not part of this release."""

    flags: tuple[str, ...]
    field: str
    kind: Literal["value", "list", "flag"]
    metavar: str = ""
    help: str = ""
    values: tuple[str, ...] = ()


OPTIONS = (
    Option(("-P", "--profile"), "profiles", "list", "NAME", "a profile; repeat to layer, left to right"),
    Option(("-n", "--network"), "network", "value", "TIER", "internet-only (the default), offline, allowlist, or full"),
    Option(
        ("--agent",), "agent", "value", "NAME", "claude (the default), codex, gemini, opencode, or a file in agents/"
    ),
    Option(("--unattended",), "unattended", "flag", "", "the agent asks nothing"),
    Option(("-e", "--env"), "env", "list", "NAME[=VALUE]", "pass a host variable, or set one"),
    Option(("-m", "--mount"), "mounts", "list", "SRC[:DST][:ro|rw]", "one more mount, ro unless rw"),
    Option(("-C", "--project"), "project", "value", "DIR", "the project, instead of the current directory"),
    Option(("--dry-run",), "dry_run", "flag", "", "print what would be granted; start nothing, write nothing"),
    Option(("--json",), "json", "flag", "", "with --dry-run the plan, else the report at the end as JSON"),
    Option(("--allow",), "allow", "list", "NAME[:PORT]", "one more name, or @SET, in tier allowlist"),
    Option(("--learn",), "learn", "flag", "", "reach public addresses, and record every name for a profile"),
    Option(("--host-port",), "host_ports", "list", "PORT"),
    Option(("--publish",), "publish", "list", "[HOSTPORT:]PORT"),
    Option(("--package",), "packages", "list", "INSTALLABLE", "one more nix package on PATH: python3, FLAKE#NAME"),
    Option(("--refresh-packages",), "refresh_packages", "flag", "", "resolve nix packages anew"),
    Option(("-y", "--yes"), "yes", "flag", "", "accept what the review would ask"),
    Option(
        ("--review",), "review", "value", "WHEN", "when to ask: changed (the default) or always", ("changed", "always")
    ),
    Option(("--force",), "force", "flag", "", "join although another session works in this very tree"),
    Option(("--no-auth",), "no_auth", "flag", "", "no login in the sandbox"),
    Option(("-v", "--verbose"), "verbose", "flag"),
)


def scan(argv: list[str]) -> dict[str, Any] | None:
    """What was typed, by field; None where argv is anything but known options, each with its value behind it."""
    known = {flag: option for option in OPTIONS for flag in option.flags}
    found: dict[str, Any] = {}
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option = known.get(flag)
        if option is None or (equals and option.kind == "flag"):
            return None
        if option.kind == "flag":
            found[option.field] = True
            continue
        if not equals:
            value = next(words, "-")
            if value.startswith("-"):  # missing, or one that argparse judges
                return None
        if option.values and value not in option.values:
            return None
        found[option.field] = (*found.get(option.field, ()), value) if option.kind == "list" else value
    return found


def make_request(found: dict[str, Any], action: Action, arguments: list[str]) -> Request:
    """The request: what was found, and the defaults for the rest."""
    return Request(action=action, arguments=tuple(arguments), **found)
