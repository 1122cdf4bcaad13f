"""A TOML file of the user's: its bytes → what it holds, or one error that lists all that is wrong.

Imported only where there is such a file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any, NamedTuple

from claudebox import locate, validate
from claudebox.errors import ClaudeboxError
from claudebox.parsed import Loaded, decoded
from claudebox.text import printable

# Strings, not compiled: only an error asks for them.
AT = r"(.*) \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)"
LONG_NUMBER = r"[0-9_]{1000,}"
DEEP = r"(?:[\[{][^\[\]{}]*){50,}"


class Positioned(NamedTuple):
    """One error of a file with its position. line 0: of the file as a whole, or of what was typed; its text says it."""

    shown: str
    line: int
    column: int
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.shown}:{self.line}:{self.column}: {printable(self.text)}" if self.line else printable(self.text)


def load(files: Iterable[tuple[str, int, bytes]]) -> tuple[Loaded, ...]:
    """Files as (shown, layer, bytes) → their documents. Raises one error about all of them."""
    loaded: list[Loaded] = []
    wrong: list[Positioned] = []
    for shown, layer, raw in files:
        found, problems = examine(shown, layer, raw)
        loaded += [found] if found else []
        wrong += problems
    if wrong:
        raise complaint(wrong)
    return tuple(loaded)


def examine(shown: str, layer: int, raw: bytes) -> tuple[Loaded | None, list[Positioned]]:
    """What a file holds, None where it is no TOML, and all that is wrong with it."""
    parsed = parse(shown, raw)
    if isinstance(parsed, Positioned):
        return None, [parsed]
    text, document = parsed
    places = locate.places(text)
    found = Loaded(shown, layer, document, text, locate.lines(text, places))
    return found, sorted(_placed(found, places, one) for one in validate.problems(document))


def parse(shown: str, raw: bytes) -> tuple[str, dict[str, Any]] | Positioned:
    """The text as positions count in it, and the document; or what keeps it from being TOML."""
    try:
        text = decoded(raw)
    except UnicodeDecodeError as error:
        before = decoded(raw[: error.start])
        return Positioned(shown, *locate.line_column(before, len(before)), "the text is not UTF-8")
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(AT, str(error), re.DOTALL)
        what = match[1] if match else str(error)
        line, column = locate.line_column(text, len(text))
        if match and match[2]:
            line, column = int(match[2]), int(match[3])
        return Positioned(shown, line, column, f"not valid TOML: {what[:1].lower()}{what[1:]}")
    except RecursionError:
        return _unreadable(shown, text, DEEP, "nested too deeply")
    except ValueError:  # an integer of more digits than Python converts
        return _unreadable(shown, text, LONG_NUMBER, "a number is too long")


def _unreadable(shown: str, text: str, what: str, why: str) -> Positioned:
    match = re.search(what, text)
    return Positioned(shown, *locate.line_column(text, match.start() if match else 0), why)


def positioned(found: Loaded, problem: validate.Problem) -> Positioned:
    """A problem of a document at its place in the file."""
    return _placed(found, locate.places(found.text), problem)


def _placed(found: Loaded, places: dict[locate.Path, locate.Place], problem: validate.Problem) -> Positioned:
    place = locate.found(places, problem.path) or locate.Place(0, 0)
    offset = place.key if problem.at == "key" else place.value
    return Positioned(found.shown, *locate.line_column(found.text, offset), problem.text, problem.hint)


def complaint(wrong: list[Positioned]) -> ClaudeboxError:
    """One sentence for one error, a list for several."""
    files = " and ".join(dict.fromkeys(one.shown for one in wrong))
    if len(wrong) == 1:
        return ClaudeboxError(str(wrong[0]), wrong[0].hint or f"correct {files}")
    lines = [f"{one} ({one.hint})" if one.hint and not one.line else str(one) for one in wrong]
    return ClaudeboxError(
        f"{len(wrong)} errors in {files}:" + "".join(f"\n  {line}" for line in lines),
        f"correct {files}; nothing was started",
    )
