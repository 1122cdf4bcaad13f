"""A command line → values: argparse with our errors. A leaf; every command builds its parser with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from claudebox.errors import ClaudeboxError
from claudebox.text import printable


class Parser(argparse.ArgumentParser):
    """argparse with our errors: one sentence, one hint, status 125."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raise instead of exiting."""
        raise ClaudeboxError(message, f"{self.prog} --help")


def make(prog: str, usage: str, epilog: str) -> Parser:
    """A parser without options. usage: its lines; epilog: examples, printed as they stand."""

    def layout(prog: str) -> argparse.HelpFormatter:  # a fixed width: the default imports shutil
        return argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=110)

    return Parser(prog=prog, usage=usage, epilog=epilog, formatter_class=layout, allow_abbrev=False)


def options(made: Parser) -> list[str]:
    """The options that --help shows."""
    return [word for action in made._actions for word in action.option_strings if action.help != argparse.SUPPRESS]


def parse(made: Parser, argv: list[str]) -> argparse.Namespace:
    """What was typed; an unknown option or argument names its neighbour. Raises ClaudeboxError."""
    if _asking:
        raise Asked(made)
    # intermixed: `-y NAME` and `NAME -y` alike, also where a name may be left out
    typed, unknown = made.parse_known_intermixed_args(argv)
    if unknown:
        from claudebox.nearest import nearest

        near = nearest(unknown[0].partition("=")[0], options(made))
        hint = f"did you mean {near}?" if near else f"{made.prog} --help"
        raise ClaudeboxError(f"unknown option or argument: {printable(unknown[0])}", hint)
    return typed


# --- all commands as one, for completions and the man page ---------------------------------------


class Asked(Exception):
    """Carries a command's parser out of it."""

    def __init__(self, parser: Parser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def parser_of(command: Callable[[list[str], dict[str, str]], int]) -> Parser:
    """The parser that a command makes before it does anything: `parse` hands it out instead of reading words."""
    global _asking
    _asking = True
    try:
        command([], {})
    except Asked as asked:
        return asked.parser
    finally:
        _asking = False
    raise TypeError(f"{command} makes no parser")


_asking = False
