"""What a person sees; and that showing it never fails."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox import console
from claudebox.errors import ClaudeboxError
from claudebox.text import printable


@contextmanager
def kept_descriptors() -> Iterator[None]:
    """The standard input and error come back, whatever happens to them.

    No fixture: pytest captures anew after those.
    """
    kept = {descriptor: os.dup(descriptor) for descriptor in (0, 2)}
    try:
        yield
    finally:
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)


@contextmanager
def terminal() -> Iterator[int]:
    """The other side of a terminal on standard input and error."""
    with kept_descriptors(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        master, slave = os.openpty()
        for descriptor in (0, 2):
            os.dup2(slave, descriptor)
        os.close(slave)
        try:
            yield master
        finally:
            os.close(master)


def until(master: int, end: bytes) -> bytes:
    seen = b""
    while not seen.endswith(end):
        seen += os.read(master, 4096)
    return seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain ä 日本 👍", "plain ä 日本 👍"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nb\tc\rd\x7f\x9b", r"a\nb\tc\rd\x7f\x9b"),
        ("\u202etxt.exe\u2066", r"\u202etxt.exe\u2066"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\udcff\udc80", r"\xff\x80"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("\u2028", r"\u2028"),
    ],
)
def test_printable(text: str, seen: str) -> None:
    assert printable(text) == seen


@given(st.text(st.characters()))
def test_printable_always(text: str) -> None:
    seen = printable(text)
    assert seen.isprintable()
    assert printable(seen) == seen
    assert seen == text or not text.isprintable()


def test_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    console.error(ClaudeboxError("no such thing", "make one"))
    assert capfd.readouterr() == ("", "claudebox: error: no such thing\nhint: make one\n")
    console.error(ClaudeboxError("nothing helps"))
    assert capfd.readouterr().err == "claudebox: error: nothing helps\n"


def test_errors(capfd: pytest.CaptureFixture[str]) -> None:
    console.error(ClaudeboxError("2 errors:\n  a: x\n  b: y", "correct them"))
    assert capfd.readouterr().err == "claudebox: error: 2 errors:\n  a: x\n  b: y\nhint: correct them\n"


def test_no_name_passes_for_a_hint(capfd: pytest.CaptureFixture[str]) -> None:
    console.error(ClaudeboxError("no a\nhint: rm -rf ~\x1b[8m", "b\nc"))
    assert capfd.readouterr().err == "claudebox: error: no a\\nhint: rm -rf ~\\x1b[8m\nhint: b\\nc\n"


def test_warnings_and_notes(capfd: pytest.CaptureFixture[str]) -> None:
    console.warn("w\x1b")
    for severity in ("info", "weakening", "danger"):
        console.note(severity, f"about {severity}\n")
    console.say("said\r")
    assert capfd.readouterr().err == (
        "claudebox: warning: w\\x1b\n"
        "claudebox: note: about info\\n\n"
        "claudebox: weakening: about weakening\\n\n"
        "claudebox: danger: about danger\\n\n"
        "said\\r\n"
    )


def test_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal() as master:
        console.error(ClaudeboxError("x", "y"))
        assert until(master, b"y\r\n") == b"\x1b[1;31mclaudebox: error:\x1b[0m x\r\n\x1b[1mhint:\x1b[0m y\r\n"
        for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                console.error(ClaudeboxError("x", "y"))
                assert until(master, b"y\r\n") == b"claudebox: error: x\r\nhint: y\r\n"
        monkeypatch.setenv("NO_COLOR", "")  # empty counts as not set
        assert console.colour()


def show_everything() -> None:
    console.error(ClaudeboxError("x", "y"))
    console.warn("x")
    console.note("danger", "x")
    console.table(["a"], [["x" * 100_000]])
    assert not console.ask("really?")


def test_a_closed_stderr() -> None:
    with kept_descriptors():
        os.close(2)
        show_everything()


def test_nothing_open_at_all() -> None:
    with kept_descriptors():
        os.close(0)
        os.close(2)
        show_everything()


def test_a_reader_that_is_gone() -> None:
    with kept_descriptors():
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 2)
        os.close(writer)
        show_everything()


def test_a_full_disk() -> None:
    with kept_descriptors():
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, 2)
        os.close(full)
        show_everything()


def test_a_slow_reader_gets_all() -> None:
    with kept_descriptors():
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        os.dup2(writer, 2)
        os.close(writer)
        text, seen = "ä" * 200_000, bytearray()

        def slowly() -> None:
            while part := os.read(reader, 1000):
                seen.extend(part)

        thread = threading.Thread(target=slowly)
        thread.start()
        console.write(text)
        os.close(2)
        thread.join()
        os.close(reader)
        assert seen.decode() == text


# --- tables --------------------------------------------------------------------------------------


def test_a_table() -> None:
    rows = [["~/data", "ro", "a reason that is longer than the line"], ["日本", "rw", "x\x1b"], ["e", "", ""]]
    assert console.laid_out(["mount", "how", "why"], rows, 36) == (
        "mount   how  why\n~/data  ro   a reason that is longer\n             than the line\n日本    rw   x\\x1b\ne\n"
    )
    assert "a reason that is longer than the line\n" in console.laid_out(["mount", "how", "why"], rows, 0)


def test_a_table_without_rows() -> None:
    assert console.laid_out(["a", "b"], [], 80) == "a  b\n"


@given(st.lists(st.tuples(st.text(st.characters(), max_size=10), st.text(st.sampled_from("ab 日"), max_size=60))))
def test_no_word_of_a_table_is_lost(rows: list[tuple[str, str]]) -> None:
    text = console.laid_out(["x", "y"], rows, 40)
    joined = re.sub("\n *", "", text)  # a word that is longer than its line is broken
    for first, last in rows:
        assert printable(first).rstrip() in text
        for word in last.split():
            assert word in joined


def test_a_table_is_as_wide_as_the_terminal() -> None:
    with terminal() as master:
        import termios

        termios.tcsetwinsize(2, (24, 30))
        console.table(["a", "b"], [["1", "one two three four five six seven"]])
        assert until(master, b"seven\r\n") == b"a  b\r\n1  one two three four five six\r\n   seven\r\n"


# --- questions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "yes"),
    [
        ([b"y\n"], True),
        ([b" YES \n"], True),
        ([b"n\n"], False),
        ([b"\n"], False),
        ([b"what?\n", b"y\n"], True),
        ([b"\x04"], False),
    ],
)
def test_ask(answers: list[bytes], yes: bool) -> None:
    with terminal() as master:
        seen: list[bytes] = []

        def person() -> None:
            for answer in answers:
                seen.append(until(master, b"[y/N] "))
                os.write(master, answer)

        thread = threading.Thread(target=person)
        thread.start()
        assert console.ask("go on\x1b?") is yes
        thread.join()
        assert seen[0] == b"go on\\x1b? [y/N] "


def test_what_was_typed_before_is_no_answer() -> None:
    with terminal() as master:
        os.write(master, b"y\n")

        def person() -> None:
            until(master, b"[y/N] ")
            os.write(master, b"n\n")

        thread = threading.Thread(target=person)
        thread.start()
        assert not console.ask("go on?")
        thread.join()


def test_nobody_to_ask(capfd: pytest.CaptureFixture[str]) -> None:
    with kept_descriptors():
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.close(null)
        assert not console.can_ask()
        assert not console.ask("go on?")
        assert capfd.readouterr().err == ""
