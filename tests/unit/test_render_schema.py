"""One table: the JSON Schema, the file to begin with and the documentation say what the validator does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from claudebox import schema, validate
from claudebox.document import load
from claudebox.lineage import BUILTIN
from claudebox.model import Layer
from claudebox.render.schema import KINDS, document, json_schema, template, toml

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"


def read(text: str) -> dict[str, Any]:
    return load([("x.toml", Layer.CONFIG, text.encode())])[0].document


def accepts(found: dict[str, Any], value: Any) -> bool:
    """As much of JSON Schema as ours uses."""
    kinds = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}
    names = found["type"] if isinstance(found["type"], list) else [found["type"]]
    if type(value) not in [kinds[name] for name in names] or value not in found.get("enum", [value]):
        return False
    if isinstance(value, str):
        return re.search(found.get("pattern", ""), value) is not None and len(value) <= found.get("maxLength", 99)
    if isinstance(value, list):
        return all(accepts(found["items"], one) for one in value)
    if isinstance(value, dict) and isinstance(found.get("additionalProperties"), dict):
        return all(accepts(found["additionalProperties"], one) for one in value.values())
    if isinstance(value, dict) and "properties" in found:
        known = found["properties"]
        here = all(name in known and accepts(known[name], one) for name, one in value.items())
        return here and all(name in value for name in found.get("required", ()))
    return not isinstance(value, int) or found.get("minimum", value) <= value <= found.get("maximum", value)


def test_every_kind_and_every_key_is_there() -> None:
    assert set(KINDS) == set(validate.CHECKS)
    made = json_schema()
    for key in schema.KEYS:
        where = made["properties"][key.table] if key.table else made
        where = where["items"] if key.table in schema.ARRAYS else where
        found = where["properties"][key.name]
        assert key.meaning in found["description"]
        assert (key.name in where.get("required", ())) == key.required
        assert found.get("enum", []) == list(key.values)
    assert made["additionalProperties"] is False


@pytest.mark.parametrize("path", sorted(Path(BUILTIN).glob("*.toml")), ids=lambda path: path.stem)
def test_the_schema_accepts_the_built_in_profiles(path: Path) -> None:
    found = read(path.read_text())
    assert accepts(json_schema(), found)
    assert not accepts(json_schema(), {**found, "netwrk": 1}), "the control"


@pytest.mark.parametrize(
    "text",
    ["agent = 1", "agent = '../x'", "network.tier = 'of'", "limits.processes = 0", "limits.tmp = '2X'", "mounts = 1",
     "[[mounts]]\ntarget = '/x'", "[[mounts]]\nsource = 'rel'", "env.set.A = 1", "env.pass = ['A=B']",
     "extends = ['a/b']", "network.host_ports = [70000]", "limits.memory = 'x'"],
)  # fmt: skip
def test_what_the_validator_refuses_the_schema_refuses(text: str) -> None:
    import tomllib

    found = tomllib.loads(text)
    assert validate.problems(found)
    assert not accepts(json_schema(), found)


def test_a_new_file_is_right_before_and_after_each_key_is_taken() -> None:
    text = template("mine")
    assert read(text) == {}
    used = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", text)
    found = read(used)
    flat = {(table, name) for table in found if isinstance(found[table], dict) for name in found[table]}
    flat |= {("mounts", name) for name in found["mounts"][0]}
    flat |= {("", name) for name in found if name not in schema.TABLES}
    assert flat == {(key.table, key.name) for key in schema.KEYS}
    assert max(map(len, text.splitlines())) <= 130


@pytest.mark.parametrize("key", schema.KEYS, ids=lambda key: key.path)
def test_an_example_is_valid(key: schema.Key) -> None:
    if key.table in schema.ARRAYS:
        table = {"source": '"/x"', key.name: toml(key)}
        read(f"[[{key.table}]]\n" + "".join(f"{name} = {value}\n" for name, value in table.items() if value != '""'))
    else:
        read(f"{key.path} = {toml(key)}")


def test_the_documentation_has_the_table() -> None:
    assert document() in DOCS.read_text(), f"put this into {DOCS}:\n{document()}"


def test_the_documentation_names_the_built_in_profiles() -> None:
    text = DOCS.read_text()
    for path in Path(BUILTIN).glob("*.toml"):
        found = read(path.read_text())
        assert f"| [`{path.stem}`](../src/claudebox/profiles/{path.stem}.toml) | {found['description']} |" in text
