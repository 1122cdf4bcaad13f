"""What was typed → a command; the only place that prints errors and exits."""

from __future__ import annotations

import os
import sys

from claudebox import console
from claudebox.errors import FAILED, ClaudeboxError, limits
from claudebox.model import Action, Request
from claudebox.options import COMMANDS, OTHERS, make_request, scan
from claudebox.signals import signal


def request(argv: list[str]) -> Request:
    """What was typed. Raises ClaudeboxError."""
    action: Action = "agent"
    rest: list[str] = []
    separated = "--" in argv
    if separated:
        cut = argv.index("--")
        argv, rest = argv[:cut], argv[cut + 1 :]
    if argv and argv[0] in COMMANDS:
        action = "run" if argv[0] == "run" else "shell"
        argv = argv[1:]
    found = scan(argv)
    if found is None:
        from claudebox.parsing import parse

        found = parse(argv, action, OTHERS)
    if action == "run" and not rest:
        raise ClaudeboxError("claudebox run needs a command", "claudebox run -n offline -- make test")
    if action == "shell" and rest:
        raise ClaudeboxError("claudebox shell takes no command", "claudebox run -- COMMAND")
    return make_request(found, action, rest)


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
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # An interrupt ends us as a kill does, which leaves nothing either. As an exception it prints a traceback
        # while we import, and is lost in a callback that cannot raise.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        status = perform(sys.argv[1:], dict(os.environ))
    except ClaudeboxError as problem:
        console.error(problem)
        status = problem.exit_code
    except ImportError as problem:  # a module of Python's own that the machine could not load just now
        console.error(ClaudeboxError(f"Python could not load a part of itself: {problem}", "ulimit -n, or try again"))
        status = FAILED
    except OSError as problem:
        console.error(ClaudeboxError(f"{problem.filename or 'system'}: {problem.strerror}", limits(problem)))
        status = FAILED
    # console writes to descriptors, so nothing is buffered; the interpreter's own end costs a millisecond
    os._exit(status)
