"""What a person types: sizes, names, paths, `-e`, `-m`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox import typed
from claudebox.errors import ClaudeboxError


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("4K", 4096), ("512M", 512 << 20), ("2G", 2 << 30), ("1T", 1 << 40)]
)
def test_size(text: str, number: int) -> None:
    assert typed.size(text) == number
    assert typed.memory(text) == text


@pytest.mark.parametrize(
    "text", ["", "0", "0G", "-1", "2g", "2GB", "1.5G", "G", "٣G", "9" * 15 + "T", "75%", " 1", "1 ", "1_0"]
)
def test_no_size(text: str) -> None:
    with pytest.raises(typed.Unusable):
        typed.size(text)


@pytest.mark.parametrize("text", ["0%", "101%", "%", "-5%", "7.5%", "", "x"])
def test_no_memory(text: str) -> None:
    with pytest.raises(typed.Unusable):
        typed.memory(text)
    assert typed.memory("1%") == "1%"
    assert typed.memory("100%") == "100%"


@pytest.mark.parametrize(
    ("text", "good"),
    [("A", True), ("_a1", True), ("A_*", True), ("!A", True), ("!A_*", True), ("*_X", True), ("!*", True)]
    + [(text, False) for text in ("", "!", "*", "**", "!!A", "A=B", "1A", "A-B", "Ä", "A B", "A\n", "A*B", "*A*B")],
)
def test_pattern(text: str, good: bool) -> None:
    assert typed.is_pattern(text) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [("claude", True), ("my-agent.2", True), ("9x", True)]
    + [(text, False) for text in ("", ".", "..", ".x", "-x", "a/b", "a b", "ä", "x" * 65, "a\n")],
)
def test_agent(text: str, good: bool) -> None:
    assert typed.is_agent(text) is good


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", "/"),
        ("/a//b/./c/", "/a/b/c"),
        ("~", "/home/mia"),
        ("~/x y", "/home/mia/x y"),
        ("x", "/w/d/x"),
        (".", "/w/d"),
        ("..", "/w"),
        ("../../../x", "/x"),
        ("./../x", "/w/x"),
        ("/a\nb", "/a\nb"),
        ("/\udcff", "/\udcff"),
    ],
)
def test_path(text: str, path: str) -> None:
    assert typed.path(text, "/home/mia", "/w/d") == path


@pytest.mark.parametrize("text", ["", "\0", "/a/../b", "~/../x", "x/../y", "~bob/x", "/.."])
def test_no_path(text: str) -> None:
    with pytest.raises(typed.Unusable):
        typed.path(text, "/home/mia", "/w/d")


def test_relative_without_a_base() -> None:
    with pytest.raises(typed.Unusable):
        typed.path("x", "/home/mia")


def test_relative_where_home_is_the_base() -> None:
    assert typed.path("../x", "/home/mia", "/home/mia") == "/home/x"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("a", ("a", "", "ro")),
        ("a:rw", ("a", "", "rw")),
        ("a:ro", ("a", "", "ro")),
        ("a:b", ("a", "b", "ro")),
        ("a:b:rw", ("a", "b", "rw")),
        (r"a\:b:c\:rw", ("a:b", "c:rw", "ro")),
        (r"a\\:b", ("a\\:b", "", "ro")),
        ("rw", ("rw", "", "ro")),
        ("a:rw:rw", ("a", "rw", "rw")),
    ],
)
def test_mount(text: str, spec: tuple[str, str, str]) -> None:
    assert tuple(typed.mount(text)) == spec


@pytest.mark.parametrize("text", ["", ":", ":rw", "a:", "a::rw", "a:b:", "a:b:c", "a:b:rx", ":b"])
def test_no_mount(text: str) -> None:
    with pytest.raises(ClaudeboxError):
        typed.mount(text)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_mount(text: str) -> None:
    try:
        spec = typed.mount(text)
    except ClaudeboxError as error:
        assert error.hint
        return
    assert spec.source


@pytest.mark.parametrize(
    ("text", "expected"), [("A", ("A", None)), ("A=", ("A", "")), ("A=b=c", ("A", "b=c")), ("_9= \n", ("_9", " \n"))]
)
def test_assignment(text: str, expected: tuple[str, str | None]) -> None:
    assert typed.assignment(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MY-VAR=1", '-e takes the name of a variable, and "MY-VAR" is none'),
        ("", "-e takes the name of a variable"),
        ("=x", "-e takes the name of a variable"),
        ("AWS_*", "-e takes the name of a variable"),
        ("sec-ret", "-e takes the name of a variable"),
        ("c2Vjcm+0==", "-e takes the name of a variable"),
    ],
)
def test_no_assignment(text: str, message: str) -> None:
    with pytest.raises(ClaudeboxError) as caught:
        typed.assignment(text)
    assert caught.value.message == message
    assert caught.value.hint == "write -e NAME to pass a variable of the host, -e NAME=VALUE to set one"
