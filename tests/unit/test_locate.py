"""Every value of a TOML document has its place, however the document is written."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from claudebox.locate import Path, line_column, places

EVERYTHING = '''\
# [no] = 1
a = 1 # = [
b . "c.d" = "x # \\" ]" # ]
'e f'.g = """"quoted" \\
 \\""" [x]
y = 1"""
h = \'\'\'it''s \'\'\'\'
i = [ 1, [ 2, "]" ], # ]
 { j = 3, k.l = [ ] } , ]
m = {}
t = 1979-05-27 07:32:00

[n]
o = \'\'
[n . p]
q = 0.5
[[r]]
s = 1
[[r]]
s = 2
[r.u]
v = """"""
[[r.w]]
x = { y = { z = [[1]] } }
[[r.w]]
"\\u0061" = 1'''


def paths(value: Any, path: Path = ()) -> dict[Path, Any]:
    found = {path: value} if path else {}
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        found |= paths(child, (*path, name))
    return found


def test_every_value_has_its_place() -> None:
    document, known = tomllib.loads(EVERYTHING), places(EVERYTHING)
    assert known.keys() == paths(document).keys()
    lines = {path: line_column(EVERYTHING, place.key) for path, place in known.items()}
    assert lines[("a",)] == (2, 1)
    assert lines[("b",)] == lines[("b", "c.d")] == (3, 1)
    assert lines[("e f", "g")] == (4, 1)
    assert lines[("i", 1, 1)] == (8, 15)
    assert lines[("i", 2, "k", "l")] == (9, 11)
    assert lines[("n", "p")] == (15, 1)
    assert lines[("r",)] == lines[("r", 0)] == (17, 1)
    assert lines[("r", 1, "s")] == (20, 1)
    assert lines[("r", 1, "w", 0, "x", "y", "z", 0, 0)] == (24, 19)
    assert lines[("r", 1, "w", 1, "a")] == (26, 1)


LEAVES = st.text(max_size=8) | st.integers() | st.booleans() | st.floats(allow_nan=False)
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=5)
NESTED = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


def toml(value: Any) -> str:
    if isinstance(value, str) and "'" not in value and value.isprintable() and len(value) % 2:
        return f"'''{value}'''" if len(value) % 3 else f"'{value}'"
    if isinstance(value, str):
        quotes = '"""' if len(value) % 3 == 0 else '"'
        return quotes + json.dumps(value, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f") + quotes
    if isinstance(value, dict):
        return (
            "{ "
            + ", ".join(f"{json.dumps(name, ensure_ascii=False)}={toml(one)}" for name, one in value.items())
            + " }"
        )
    if isinstance(value, list):
        return "[" + ",\n ".join(map(toml, value)) + "# ]\n]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


@given(st.dictionaries(st.from_regex(r"\A[a-z0-9-]{1,5}\Z"), NESTED, max_size=4))
def test_the_value_stands_at_its_place(document: dict[str, Any]) -> None:
    text = "\n".join(f"{name} = {toml(value)}  # {name}" for name, value in document.items())
    assert tomllib.loads(text) == document
    known = places(text)
    assert known.keys() == paths(document).keys()
    for path, value in paths(document).items():
        assert text.startswith(toml(value), known[path].value)


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    places(text)


def test_nesting_is_no_traceback() -> None:
    places("a = " + "[" * 100_000)
