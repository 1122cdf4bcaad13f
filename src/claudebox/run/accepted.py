"""Writing what was accepted into instance.toml. Imported only when something was."""

from __future__ import annotations

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.run import kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Rows = Sequence[tuple[str, ...]]


def section(rows: Rows) -> str:
    """`[accepted]` as it stands in the file, to be read by hand."""
    lines = "".join("    [" + ", ".join(f'"{kept.encoded(one)}"' for one in row) + "],\n" for row in rows)
    return f"{kept.ACCEPTED.decode()}{lines}]\n"


def record(here: int, directory: str, rows: Rows) -> None:
    """Put what was accepted in the place of what was accepted before; all else in the file stays as it is.

    here: the instance's directory, which directory names in errors. Raises ClaudeboxError.
    """
    where = f"{directory}/{kept.NAME}"
    try:
        raw = descriptors.read_file(here, kept.NAME, kept.LIMIT) or b""
        if kept.scanned(raw) is not None:
            text = kept.apart(raw)[0].rstrip(b"\n") + b"\n" + section(rows).encode()
        else:
            text = edited(raw, directory, rows)
        if len(text) > kept.LIMIT:
            raise ClaudeboxError(f"{where} cannot hold all that was accepted", "grant less, or directories as a whole")
        descriptors.replace_file(here, kept.NAME, text)
    except OSError as error:
        raise ClaudeboxError(f"cannot write {where}: {error.strerror}", "free some space") from None


def edited(raw: bytes, directory: str, rows: Rows) -> bytes:
    """A file that somebody edited, with the new section at its end. Raises ClaudeboxError."""
    import tomlkit

    kept.parsed(raw, directory)
    document = tomlkit.parse(raw.decode())
    document.pop("accepted", None)
    return (tomlkit.dumps(document).rstrip("\n") + "\n" + section(rows)).encode()
