"""Settings merged three ways: what was changed inside stays, all else follows the host."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.plan import merge
from claudebox.plan.merge import ABSENT, merged_text, parse, same, without, without_comments

KEYS = st.sampled_from("abc")
LEAVES = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["x", "y"]) | st.lists(st.integers(0, 1))
OBJECTS = st.dictionaries(KEYS, st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3)))


@given(OBJECTS, OBJECTS, OBJECTS)
def test_a_key_changed_inside_is_never_lost_and_the_others_follow(base: dict, host: dict, own: dict) -> None:  # type: ignore[type-arg]
    merged = merge.merge(base, host, own)
    for key in {*base, *host, *own}:
        before, theirs, mine = (side.get(key, ABSENT) for side in (base, host, own))
        result = merged.get(key, ABSENT)
        if same(mine, before):
            assert same(result, theirs), "unchanged inside: the host's, or gone with it"
        elif same(theirs, before) or not isinstance(mine, dict):
            assert same(result, mine), "changed inside"
        elif isinstance(theirs, dict):
            inner = before if isinstance(before, dict) else {}
            assert same(result, merge.merge(inner, theirs, mine)), "the same rule, one level deeper"


@given(OBJECTS, OBJECTS)
def test_what_was_merged_is_merged(base: dict, own: dict) -> None:  # type: ignore[type-arg]
    assert same(merge.merge(base, base, own), own), "nothing new on the host"
    assert same(merge.merge(own, base, own), base), "nothing new inside"
    assert same(merge.merge({}, base, {}), base), "a new instance"
    once = merge.merge({}, base, own)
    assert same(merge.merge(base, base, once), once)


@pytest.mark.parametrize(
    ("base", "host", "own", "merged"),
    [
        ({"model": "a"}, {"model": "b"}, {"model": "a"}, {"model": "b"}),
        ({"model": "a"}, {"model": "b"}, {"model": "c"}, {"model": "c"}),
        ({"model": "a"}, {"model": "b"}, {}, {}),
        ({"model": "a"}, {}, {"model": "a", "x": 1}, {"x": 1}),
        ({"n": 1}, {"n": 2}, {"n": True}, {"n": True}),
        ({"env": {"A": "1", "B": "1"}}, {"env": {"A": "2"}}, {"env": {"A": "1", "B": "1", "C": "3"}},
         {"env": {"A": "2", "C": "3"}}),
        ({"env": {"A": "1"}}, {}, {"env": {"A": "1", "C": "3"}}, {"env": {"C": "3"}}),
        ({}, {"list": [1]}, {"list": [2]}, {"list": [2]}),
    ],
)  # fmt: skip
def test_cases(base: object, host: object, own: object, merged: object) -> None:
    assert merge.merge(base, host, own) == merged  # type: ignore[arg-type]


def test_a_file_that_says_it_already_is_left_as_it_is_written() -> None:
    own = '{ "b": 2,\n  "a": 1 }'
    assert merged_text("", '{"a": 1}', own, (), "s.json") is own
    assert json.loads(merged_text('{"a": 1}', '{"a": 3}', own, (), "s.json")) == {"a": 3, "b": 2}


def test_only_the_named_keys_of_a_file_are_touched() -> None:
    own = '{"theme": "dark", "mcpServers": {"old": {}}, "projects": {"/p": {"x": [1.5, "\\ud800"]}}}'
    text = merged_text('{"mcpServers": {"old": {}}}', '{"mcpServers": {"new": {}}}', own, ("mcpServers",), "c.json")
    assert json.loads(text) == {**json.loads(own), "mcpServers": {"new": {}}}
    gone = merged_text('{"mcpServers": {"old": {}}}', "", own, ("mcpServers",), "c.json")
    assert list(json.loads(gone)) == ["theme", "projects"]
    assert merged_text("", "", own, ("mcpServers",), "c.json") is own
    anew = merged_text('{"mcpServers": {"old": {}}}', '{"mcpServers": {"old": {}}}', "{}", ("mcpServers",), "c.json")
    assert json.loads(anew) == {"mcpServers": {"old": {}}}, "a file made anew has them again"


def test_toml_is_merged_as_well() -> None:
    base, host = 'model = "a"\n[t]\nx = 1\n', 'model = "b" # note\n[t]\nx = 1\ny = 1979-05-27\n'
    merged = merged_text(base, host, 'model = "a"\nmine = true\n[t]\nx = 2\n', (), "config.toml")
    assert parse(merged, "config.toml") == {
        **parse(host, "c.toml"),
        "mine": True,
        "t": {**parse(host, "c.toml")["t"], "x": 2},
    }


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "7", "{", '{"a": NaN}', "[" * 60_000, '{"a":' * 60_000, '{"a":' + "[" * 60_000,
        '{"n": ' + "9" * 5000 + "}", '{"a": [' + "[" * 900 + "]" * 900 + "]}",
    ],
)  # fmt: skip
def test_what_an_agent_left_is_a_value_error_or_merged(text: str) -> None:
    try:
        result = merged_text('{"a": 1}', '{"b": 2}', text, (), "settings.json")
    except ValueError as error:
        assert str(error)
    else:
        assert json.loads(result)["b"] == 2


@pytest.mark.parametrize("text", ["a = " + "[" * 60_000, "a" + ".a" * 60_000 + " = 1", "[" * 60_000, "a = 1\na = 2"])
def test_hostile_toml_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        merged_text("", "b = 2", text, (), "config.toml")


@pytest.mark.parametrize("unit", ['"', "/*", "//", ",", ", ", "\\", '"\\', "/", "*/", "/* \n", ",\n"])
def test_comments_are_found_in_time_that_grows_with_the_text_alone(unit: str) -> None:
    started = time.monotonic()
    without_comments(unit * (merge.LIMIT // len(unit)))
    assert time.monotonic() - started < 5


def test_json_with_comments_and_trailing_commas() -> None:
    text = '// first\n{"a": "// no", /* c\n, ] */ "b": [1, 2, ], "c": ", }", // end\n "d": "\\",}",\n}'
    assert parse(text, "x.jsonc") == {"a": "// no", "b": [1, 2], "c": ", }", "d": '",}'}


DROP = (("helper", "h"), ("force*", "f"), ("env.DIR", "e"), ("p.*.key", "k"))


def test_what_is_left_out_and_why() -> None:
    value = {
        "helper": "/x", "forceLogin": 1, "forced": 2, "env": {"DIR": "/x", "A": "b"},
        "p": {"one": {"key": "k", "url": "u"}, "two": 3},
    }  # fmt: skip
    kept, gone = without(value, DROP)
    assert kept == {"env": {"A": "b"}, "p": {"one": {"url": "u"}, "two": 3}}
    assert gone == [("helper", "h"), ("forceLogin", "f"), ("forced", "f"), ("env.DIR", "e"), ("p.one.key", "k")]
    assert "helper" in value, "the host's own is not touched"


def test_notes_name_what_comes_along_and_show_no_value() -> None:
    key = "sk-" + "a1" * 20
    value = {
        "hooks": {"Stop": [{"command": "/bin/x\x1b[2J"}]},
        "statusLine": {},
        "env": {"API": key, "A\x1b": "1"},
        "l": [{"k": key}],
    }
    texts = [note.text for note in merge.notes(value, [("helper", "a program")], "~/.claude/settings.json")]
    assert texts == [
        "~/.claude/settings.json comes along: hooks (Stop), statusLine, env (API, A\\x1b), l",
        "helper of ~/.claude/settings.json is left out: a program",
        "env.API=*** of ~/.claude/settings.json comes along: it looks like an API key",
        "l.k=*** of ~/.claude/settings.json comes along: it looks like an API key",
    ]
    assert merge.notes({}, [], "x") == ()
