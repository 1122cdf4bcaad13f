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
    from collections.abc import Mapping, Sequence

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


def listed(rows: Sequence[Sequence[str]], severities: Sequence[str], *, descriptor: int = STDERR) -> None:
    """Rows without headings, each in the colour of its severity; "" for none."""
    styles = [SEVERITIES[one][1] if one and colour(descriptor) else "" for one in severities]
    write(laid_out((), rows, columns(descriptor), styles), descriptor)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, descriptor: int = STDERR, width: int = 0) -> None:
    """Rows under headings. The last column is wrapped where the terminal ends; nothing is cut off.

    By hand: rich takes 25 ms and leaves 5 MB in a launcher that waits for hours.
    """
    write(laid_out(headings, rows, width or columns(descriptor)), descriptor)


def laid_out(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, styles: Sequence[str] = ()) -> str:
    """The text of a table; width 0 wraps nothing, no headings print none. styles: of each row, "" for a plain one."""
    cells = [[printable(cell) for cell in row] for row in ([headings, *rows] if headings else rows)]
    widths = [max(map(cells_wide, column)) for column in zip(*cells, strict=True)]
    before = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(width - before, 20) if width else 0
    lines = []
    for number, row in enumerate(cells):
        *fixed, last = row
        style = styles[number] if styles else ""
        start = "".join(cell + " " * (wide - cells_wide(cell) + 2) for cell, wide in zip(fixed, widths, strict=False))
        for index, piece in enumerate(wrapped(last, room)):
            line = ((start if index == 0 else " " * before) + piece).rstrip()
            lines.append((f"{style}{line}{PLAIN}" if style else line) + "\n")
    return "".join(lines)


def cells_wide(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def wrapped(text: str, room: int) -> list[str]:
    """The text in lines of at most room columns, broken between words, a word that is longer within; room 0 breaks
    nothing. A terminal would go on at its left edge, where a hostile name could pass for a line of ours."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and room and cells_wide(line) + 1 + cells_wide(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
        while room and cells_wide(line) > room:
            cut = _fitting(line, room)
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line]


def _fitting(text: str, room: int) -> int:
    """How many characters of a text fit into room columns, one at least."""
    wide = 0
    for number, one in enumerate(text):
        wide += cells_wide(one)
        if wide > room:
            return max(number, 1)
    return len(text)


def columns(descriptor: int) -> int:
    """How wide a terminal is; 0 for what is none."""
    try:
        return os.get_terminal_size(descriptor).columns
    except OSError:
        return 0


# --- questions -----------------------------------------------------------------------------------


def visible() -> bool:
    """A person may be reading: stderr is a terminal."""
    return _terminal(STDERR)


def can_ask() -> bool:
    """A person can see a question and answer it."""
    return _terminal(STDIN) and _terminal(STDERR)


def ask(question: str) -> bool:
    """Yes or no; no where nobody can answer. What was typed before the question does not answer it."""
    answers = {"y": "yes", "yes": "yes", "": "no", "n": "no", "no": "no"}
    return choose(f"{question} [y/N]", answers) == "yes"


def choose(question: str, answers: Mapping[str, str]) -> str:
    """What an answer stands for, by what is typed in small letters; "" where nobody can answer or the input ends.

    What was typed before the question does not answer it; anything else is asked again.
    """
    if not can_ask():
        return ""
    import termios

    try:
        termios.tcflush(STDIN, termios.TCIFLUSH)
    except termios.error:
        return ""
    while True:
        write(f"{printable(question)} ")
        answer = _line()
        if answer is None:
            return ""
        if answer in answers:
            return answers[answer]


def _line() -> str | None:
    """One line of the terminal, or None at its end. Not by `input`, which would read further."""
    try:
        read = os.read(STDIN, 4096)
    except OSError:
        read = b""
    if not read.endswith(b"\n"):
        write("\n")
    return read.decode(errors="replace").strip().lower() if read else None
