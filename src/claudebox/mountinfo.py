"""mountinfo(5): what is mounted where, as the kernel says it. A leaf."""

from __future__ import annotations

from claudebox.record import NamedTuple


class Entry(NamedTuple):
    """One mount. root: its path in that file system; options: of the mount itself."""

    device: str
    root: str
    target: str
    read_only: bool
    kind: str


def read(path: str) -> list[Entry]:
    """The entries of a mountinfo file. Raises OSError."""
    with open(path, "rb") as file:
        return parse(file.read())


def parse(content: bytes) -> list[Entry]:
    """The entries of a mountinfo file's content."""
    entries = []
    for line in content.split(b"\n")[:-1]:  # not splitlines: the kernel writes a carriage return in a name as it is
        left, _, right = line.partition(b" - ")
        fields = left.split(b" ")
        device, root, target, options = fields[2], fields[3], fields[4], fields[5]
        read_only = b"ro" in options.split(b",")
        entries.append(
            Entry(device.decode(), unescaped(root), unescaped(target), read_only, right.split(b" ")[0].decode())
        )
    return entries


def unescaped(text: bytes) -> str:
    r"""A path as it is: the kernel writes space, tab, newline and backslash as \ooo."""
    if b"\\" in text:
        first, *rest = text.split(b"\\")
        text = first + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)
    return text.decode(errors="surrogateescape")
