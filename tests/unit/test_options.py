"""What is scanned by hand is what argparse reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.errors import ClaudeboxError
from claudebox.model import Request
from claudebox.options import OPTIONS, make_request, scan
from claudebox.parsing import parse

FLAGS = [flag for option in OPTIONS for flag in option.flags]
WORDS = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(FLAGS).map(lambda flag: f"{flag}=x"),
    st.sampled_from(["x", "offline", "always", "", "-", "-nfull", "--net", "=", "-1", "a b", "é"]),
    st.text(max_size=4),
)


@given(st.lists(WORDS, max_size=6))
def test_scan_agrees_with_argparse(argv: list[str]) -> None:
    found = scan(argv)
    if found is None or "--" in argv:
        return
    assert found == parse(argv, "agent", {})


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], {}),
        (["-n", "offline"], {"network": "offline"}),
        (["--network=full", "-e", "A", "--env", "B=1"], {"network": "full", "env": ("A", "B=1")}),
        (["-C", "/a b", "--dry-run", "--json", "-y"], {"project": "/a b", "dry_run": True, "json": True, "yes": True}),
        (["--review", "always"], {"review": "always"}),
    ],
)
def test_what_is_scanned(argv: list[str], expected: dict[str, object]) -> None:
    assert scan(argv) == expected == parse(argv, "agent", {})


@pytest.mark.parametrize(
    "argv", [["-n"], ["-n", "-e"], ["--nonsense"], ["word"], ["-nfull"], ["--review", "no"], ["--json=1"], ["--help"]]
)
def test_what_is_left_to_argparse(argv: list[str]) -> None:
    assert scan(argv) is None


@pytest.mark.parametrize("argv", [["-n"], ["--nonsense"], ["word"], ["--review", "no"], ["--json=1"]])
def test_what_argparse_refuses(argv: list[str]) -> None:
    with pytest.raises(ClaudeboxError):
        parse(argv, "agent", {})


def test_every_option_is_a_field_of_the_request() -> None:
    assert {option.field for option in OPTIONS} == set(Request._fields) - {"action", "arguments"}
    assert make_request({"network": "full"}, "run", ["true"]) == Request("run", ("true",), network="full")
