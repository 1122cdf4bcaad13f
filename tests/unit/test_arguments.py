"""Parsers of commands: an unknown option names its neighbour, an error is ours."""

from __future__ import annotations

import pytest

from claudebox import arguments
from claudebox.errors import ClaudeboxError


def parser() -> arguments.Parser:
    made = arguments.make("claudebox thing", "claudebox thing [--json]", "examples:\n  claudebox thing --json")
    made.add_argument("--json", action="store_true", help="for scripts")
    made.add_argument("name", nargs="?", default="")
    return made


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--jsn"], "unknown option or argument: --jsn", "did you mean --json?"),
        (["--jsn=1"], "unknown option or argument: --jsn=1", "did you mean --json?"),
        (["--\x1b[2J"], "unknown option or argument: --\\x1b[2J", "claudebox thing --help"),
        (["a", "b"], "unknown option or argument: b", "claudebox thing --help"),
        (["--json=1"], "argument --json: ignored explicit argument '1'", "claudebox thing --help"),
    ],
)
def test_what_is_not_known_is_named(words: list[str], message: str, hint: str) -> None:
    with pytest.raises(ClaudeboxError) as caught:
        arguments.parse(parser(), words)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_what_is_known_passes() -> None:
    assert vars(arguments.parse(parser(), ["--json", "a"])) == {"json": True, "name": "a"}


def test_help_shows_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["--help"])
    assert caught.value.code == 0
    assert "  claudebox thing --json\n" in capsys.readouterr().out
