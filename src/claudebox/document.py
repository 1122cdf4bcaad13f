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
from claudebox.model import Origin
from claudebox.text import printable

# Strings, not compiled: only an error asks for them.
AT = r"(.*) \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)"
LONG_NUMBER = r"[0-9_]{1000,}"
DEEP = r"(?:[\[{][^\[\]{}]*){50,}"


class Loaded(NamedTuple):
    """A profile or config.toml that was found right. shown: its name in messages and origins."""

    shown: str
    layer: int
    document: dict[str, Any]
    text: str
    places: dict[locate.Path, locate.Place]

    def origin(self, *path: str | int) -> Origin:
        """`FILE:LINE` of a value."""
        place = locate.found(self.places, path)
        line = f":{locate.line_column(self.text, place.key)[0]}" if place else ""
        return Origin(self.layer, self.shown + line)


class Positioned(NamedTuple):
    """One error of a file with its position."""

    shown: str
    line: int
    column: int
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.shown}:{self.line}:{self.column}: {printable(self.text)}"


def load(files: Iterable[tuple[str, int, bytes]]) -> tuple[Loaded, ...]:
    """Files as (shown, layer, bytes) → their documents. Raises one error about all of them."""
    loaded: list[Loaded] = []
    wrong: list[Positioned] = []
    for shown, layer, raw in files:
        parsed = parse(shown, raw)
        if isinstance(parsed, Positioned):
            wrong.append(parsed)
            continue
        text, document = parsed
        places = locate.places(text)
        loaded.append(Loaded(shown, layer, document, text, places))
        wrong += sorted(_positioned(shown, text, places, one) for one in validate.problems(document))
    if wrong:
        raise complaint(wrong)
    return tuple(loaded)


def parse(shown: str, raw: bytes) -> tuple[str, dict[str, Any]] | Positioned:
    """The text as positions count in it, and the document; or what keeps it from being TOML."""
    try:
        text = raw.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode().removeprefix("\ufeff").replace("\r\n", "\n")
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


def _positioned(
    shown: str, text: str, places: dict[locate.Path, locate.Place], problem: validate.Problem
) -> Positioned:
    place = locate.found(places, problem.path) or locate.Place(0, 0)
    offset = place.key if problem.at == "key" else place.value
    return Positioned(shown, *locate.line_column(text, offset), problem.text, problem.hint)


def complaint(wrong: list[Positioned]) -> ClaudeboxError:
    """One sentence for one error, a list for several."""
    files = " and ".join(dict.fromkeys(one.shown for one in wrong))
    if len(wrong) == 1:
        return ClaudeboxError(str(wrong[0]), wrong[0].hint or f"correct {files}")
    return ClaudeboxError(
        f"{len(wrong)} errors in {files}:" + "".join(f"\n  {one}" for one in wrong),
        f"correct {files}; nothing was started",
    )
