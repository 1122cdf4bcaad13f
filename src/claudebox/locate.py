"""Lines and columns of a TOML document, which tomllib does not tell.

A scan of a text that tomllib has accepted, so it only has to tell tokens apart, not right from wrong.
Lines and columns count from 1, columns in characters.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Path = tuple[str | int, ...]

STRING = r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''
BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
SPACE = re.compile(r"[ \t]*")
QUOTED = re.compile(STRING, re.DOTALL)
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
SCALAR = re.compile(r"[^,\]}#\r\n]+")


class Place(NamedTuple):
    """Offsets of a value's key and of the value itself; those of a table are its header's."""

    key: int
    value: int


class _Scan:
    """A cursor over the text, and what it has found so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[Path, Place] = {}
        self.counts: dict[Path, int] = {}  # of arrays of tables, whose tables have no number in the text

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise IndexError(self.at)
        self.at = match.end()
        return match[0]

    def key(self) -> list[str]:
        """A key with its dots; the cursor ends behind it and its blanks."""
        names = []
        while True:
            self.skip(SPACE)
            if self.text[self.at] in "\"'":
                names.append(_unquoted(self.skip(QUOTED)))
            else:
                names.append(self.skip(BARE_KEY))
            self.skip(SPACE)
            if not self.text.startswith(".", self.at):
                return names
            self.at += 1

    def note(self, path: Path, key: int, value: int) -> None:
        """A place, and that of the tables above it which no header has named."""
        for length in range(1, len(path)):
            self.places.setdefault(path[:length], Place(key, key))
        self.places[path] = Place(key, value)

    def header(self) -> Path:
        """`[table]` or `[[array]]` → the path of the table it opens."""
        start, array = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        names = self.key()
        self.at += 2 if array else 1
        path: Path = ()
        for name in names[:-1]:  # a path through an array of tables goes through its last one
            path = self.numbered((*path, name))
        path = (*path, names[-1])
        if array:
            self.counts[path] = self.counts.get(path, -1) + 1
            self.places.setdefault(path, Place(start, start))
            path = self.numbered(path)
        self.note(path, start, start)
        return path

    def numbered(self, path: Path) -> Path:
        return (*path, self.counts[path]) if path in self.counts else path

    def pair(self, table: Path) -> None:
        """`key = value`."""
        start = self.at
        path = (*table, *self.key())
        self.at += 1  # =
        self.skip(SPACE)
        self.note(path, start, self.at)
        self.value(path)

    def value(self, path: Path) -> None:
        match self.text[self.at]:
            case '"' | "'":
                self.skip(QUOTED)
            case "[":
                self.several("]", path)
            case "{":
                self.several("}", path)
            case _:
                self.skip(SCALAR)

    def several(self, end: str, path: Path) -> None:
        """A list or an inline table."""
        self.at += 1
        index = 0
        self.skip(BLANK)
        while not self.text.startswith(end, self.at):
            if end == "]":
                self.note((*path, index), self.at, self.at)
                self.value((*path, index))
                index += 1
            else:
                self.pair(path)
            self.skip(BLANK)
            if self.text.startswith(",", self.at):
                self.at += 1
                self.skip(BLANK)
        self.at += 1


def _unquoted(text: str) -> str:
    if "\\" not in text:
        return text[1:-1]
    import tomllib

    name: str = tomllib.loads(f"name = {text}")["name"]
    return name


def places(text: str) -> dict[Path, Place]:
    """The place of every value of a valid TOML document; nothing where the text is too odd for us."""
    scan = _Scan(text)
    table: Path = ()
    try:
        scan.skip(BLANK)
        while scan.at < len(text):
            if text[scan.at] == "[":
                table = scan.header()
            else:
                scan.pair(table)
            scan.skip(BLANK)
    except (IndexError, RecursionError):
        pass  # what was found so far is right; a position less is not worth a traceback
    return scan.places


def line_column(text: str, offset: int) -> tuple[int, int]:
    """The line and the column of an offset."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def lines(text: str, known: dict[Path, Place]) -> dict[Path, int]:
    """The line of each path's key."""
    found, line, at = {}, 1, 0
    for path, place in sorted(known.items(), key=lambda one: one[1].key):
        line, at = line + text.count("\n", at, place.key), place.key
        found[path] = line
    return found


def found(known: dict[Path, Place], path: Path) -> Place | None:
    """The place of a path, or of the nearest thing around it that has one."""
    while path and path not in known:
        path = path[:-1]
    return known.get(path)
