"""A TOML file of the user's as it was found right before, by its content: `cache/profiles`, which no sandbox sees.

Reading TOML and checking it takes 9 ms, a quarter of a launch. A file is parsed anew when a byte of it has changed, or
of what parses and checks it.
"""

from __future__ import annotations

import marshal
import os
import sys

from claudebox import __version__, descriptors
from claudebox.digest import sha256
from claudebox.model import Origin
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Path = tuple[str | int, ...]
    Entry = tuple[dict[str, Any], dict[Path, int]]

NAME = "profiles"
MOST = 50  # files that are remembered
LARGEST = 1 << 22
CHECKERS = (
    "document.py", "locate.py", "schema.py", "typed.py", "validate.py",
    "address.py", "allowing.py", "hostname.py", "installable.py", "namesets.py", "suffix.py", "suffixes.py",
)  # fmt: skip


class Loaded(NamedTuple):
    """A profile or config.toml. shown: its name in messages and origins; lines: path in the document → line;
    profile: the profile's own name, "" for config.toml."""

    shown: str
    layer: int
    document: dict[str, Any]
    text: str
    lines: dict[Path, int]
    profile: str = ""

    def origin(self, *path: str | int) -> Origin:
        """`FILE:LINE` of a value, or of the nearest thing around it that has a line."""
        while path and path not in self.lines:
            path = path[:-1]
        return Origin(self.layer, f"{self.shown}:{self.lines[path]}" if path else self.shown)


def decoded(raw: bytes) -> str:
    """The text as positions count in it. Raises UnicodeDecodeError."""
    return raw.decode().removeprefix("\ufeff").replace("\r\n", "\n")


class Known:
    """What is remembered of files. A cache that cannot be read or written costs the parsing, nothing else."""

    def __init__(self, ours: str) -> None:
        """ours: claudebox's directory."""
        self.ours = ours
        self.salt = _checkers()
        self.entries = _read(f"{ours}/cache/{NAME}")
        self.fresh = False

    def get(self, shown: str, layer: int, raw: bytes) -> Loaded | None:
        """A file by its content, if it was found right before."""
        entry = self.entries.get(self.key(raw))
        return Loaded(shown, layer, entry[0], decoded(raw), entry[1]) if entry else None

    def put(self, raw: bytes, found: Loaded) -> None:
        """Remember a file that was found right."""
        self.entries[self.key(raw)] = (found.document, found.lines)
        self.fresh = True

    def key(self, raw: bytes) -> bytes:
        """What a file is remembered by."""
        return sha256(self.salt + raw).digest()

    def keep(self) -> None:
        """Write what is new."""
        if self.fresh:
            _write(self.ours, dict(list(self.entries.items())[-MOST:]))


def _checkers() -> bytes:
    """Which code found a file right: its version, where it is, when it was written, under which Python."""
    here = os.path.dirname(__file__)
    try:
        times = [os.stat(f"{here}/{name}").st_mtime_ns for name in CHECKERS]
    except OSError:
        times = [os.getpid()]  # not to be told: remembered by nobody
    return repr((__version__, here, times, sys.version)).encode() + b"\0"


def _read(path: str) -> dict[bytes, Entry]:
    try:
        with open(path, "rb") as file:
            found = marshal.loads(file.read(LARGEST))
    except (OSError, ValueError, EOFError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(ours: str, entries: dict[bytes, Entry]) -> None:
    try:
        content = marshal.dumps(entries)
        top = descriptors.walk(None, descriptors.parts(ours))
        cache = descriptors.make_directory(top, "cache")
        descriptors.replace_file(cache, NAME, content)
        os.close(cache)
        os.close(top)
    except (OSError, ValueError):  # a ValueError: a date, which nothing of ours takes
        return  # the next launch parses again
