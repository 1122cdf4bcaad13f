"""What a person sees, on stderr: errors, warnings, notes, tables, questions. A leaf.

Everything goes through `printable`: names come from places that an agent can write, and a terminal
obeys what it is shown. Nothing here fails when stderr is closed or its reader is gone.
"""

from __future__ import annotations

import os

from claudebox.errors import ClaudeboxError
from claudebox.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN, STDERR = 0, 2
RED, YELLOW, BOLD, DIM, PLAIN = "\x1b[1;31m", "\x1b[1;33m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
SEVERITIES = {"info": ("note", DIM), "weakening": ("weakening", YELLOW), "danger": ("danger", RED)}


def error(problem: ClaudeboxError) -> None:
    """The sentence and the hint. A line of a list begins with two spaces: no name in it can pass for a hint."""
    first, *rest = problem.message.split("\n  ")
    lines = [f"{_styled('claudebox: error:', RED)} {printable(first)}", *("  " + printable(line) for line in rest)]
    if problem.hint:
        lines.append(f"{_styled('hint:', BOLD)} {printable(problem.hint)}")
    write("\n".join(lines) + "\n")


def warn(text: str) -> None:
    """Something is not as it should be, and the command goes on."""
    write(f"{_styled('claudebox: warning:', YELLOW)} {printable(text)}\n")


def note(severity: str, text: str) -> None:
    """A note of a plan or a session, by its severity."""
    word, style = SEVERITIES.get(severity, SEVERITIES["info"])
    write(f"{_styled(f'claudebox: {word}:', style)} {printable(text)}\n")


def listing(severity: str, text: str, rows: Sequence[str]) -> None:
    """A note with a list, each line of which begins with two spaces: no name in it can pass for another note."""
    note(severity, text)
    write("".join(f"  {printable(row)}\n" for row in rows))


def say(text: str) -> None:
    """A line, as it is."""
    write(printable(text) + "\n")


def colour(descriptor: int = STDERR) -> bool:
    """Colour only on a terminal that has it, and without NO_COLOR."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb" and _terminal(descriptor)


def heard() -> bool:
    """Whether what is written can arrive: the terminal has not hung up, nor a pipe lost its reader."""
    import select

    poll = select.poll()
    poll.register(STDERR, 0)
    return not poll.poll(0)  # of POLLHUP, POLLERR and POLLNVAL it tells unasked


def _styled(text: str, style: str) -> str:
    return f"{style}{text}{PLAIN}" if colour() else text


def _terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def write(text: str, descriptor: int = STDERR) -> None:
    """All of it, or as much as the reader takes. A closed descriptor and a gone reader are no errors."""
    left = text.encode(errors="backslashreplace")
    try:
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:  # whoever shares the terminal with us has made it non-blocking
                _wait_writable(descriptor)
    except OSError:
        pass


def _wait_writable(descriptor: int) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()


# --- tables --------------------------------------------------------------------------------------


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, descriptor: int = STDERR, width: int = 0) -> None:
    """Rows under headings. The last column is wrapped where the terminal ends; nothing is cut off.

    By hand: rich takes 25 ms and leaves 5 MB in a launcher that waits for hours.
    """
    write(laid_out(headings, rows, width or columns(descriptor)), descriptor)


def laid_out(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """The text of a table; width 0 wraps nothing."""
    cells = [[printable(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(cells_wide(row[column]) for row in cells) for column in range(len(headings))]
    before = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(width - before, 20) if width else 0
    lines = []
    for row in cells:
        *fixed, last = row
        start = "".join(cell + " " * (wide - cells_wide(cell) + 2) for cell, wide in zip(fixed, widths, strict=False))
        for index, piece in enumerate(wrapped(last, room)):
            lines.append(((start if index == 0 else " " * before) + piece).rstrip() + "\n")
    return "".join(lines)


def cells_wide(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def wrapped(text: str, room: int) -> list[str]:
    """The text in lines of at most room columns, broken between words; room 0 breaks nothing."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and room and cells_wide(line) + 1 + cells_wide(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def columns(descriptor: int) -> int:
    """How wide a terminal is; 0 for what is none."""
    try:
        return os.get_terminal_size(descriptor).columns
    except OSError:
        return 0


# --- questions -----------------------------------------------------------------------------------


def can_ask() -> bool:
    """A person can see a question and answer it."""
    return _terminal(STDIN) and _terminal(STDERR)


def ask(question: str) -> bool:
    """Yes or no; no where nobody can answer. What was typed before the question does not answer it."""
    if not can_ask():
        return False
    import termios

    try:
        termios.tcflush(STDIN, termios.TCIFLUSH)
    except termios.error:
        return False
    while True:
        write(f"{printable(question)} [y/N] ")
        answer = _line()
        if answer in ("y", "yes"):
            return True
        if answer is None or answer in ("", "n", "no"):
            return False


def _line() -> str | None:
    """One line of the terminal, or None at its end. Not by `input`, which would read further."""
    try:
        read = os.read(STDIN, 4096)
    except OSError:
        read = b""
    if not read.endswith(b"\n"):
        write("\n")
    return read.decode(errors="replace").strip().lower() if read else None
