"""The table of keys → a JSON Schema for editors, a commented file to begin with, the table of the documentation."""

from __future__ import annotations

from claudebox import schema
from claudebox.schema import KEYS, Key, keys_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TITLES = {
    "network": "how far the sandbox reaches",
    "env": "variables; of the host's nothing else passes but terminal, language and editor",
    "mounts": "one table for each file or directory of the host",
    "sandbox": "what the sandbox is like",
    "limits": "of each sandbox",
}
NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
PACKAGE = r"^!?[^\s(){}\[\]\"'$;-][^\s(){}\[\]\"'$;]*$"
KINDS: dict[schema.Kind, dict[str, Any]] = {
    "text": {"type": "string"},
    "name": {"type": "string", "maxLength": 64, "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"},
    "names": {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"}},
    "choice": {"type": "string"},
    "flag": {"type": "boolean"},
    "count": {"type": "integer", "minimum": 1, "maximum": 1 << 22},
    "size": {"type": "string", "pattern": "^[0-9]+[KMGT]?$"},
    "memory": {"type": "string", "pattern": "^([0-9]+[KMGT]?|[0-9]{1,3}%)$"},
    "source": {"type": "string", "pattern": r"^(/|~/|~$|\$[A-Za-z_][A-Za-z0-9_]*$)"},
    "places": {"type": "array", "items": {"type": "string", "pattern": "^(/|~/|~$)"}},
    "target": {"type": "string", "pattern": "^(/|~/|~$)"},
    "variables": {"type": "array", "items": {"type": "string", "pattern": r"^(!?\*?[A-Za-z0-9_]+\*?|!\*)$"}},
    "assignments": {"type": "object", "propertyNames": {"pattern": NAME}, "additionalProperties": {"type": "string"}},
    "packages": {"type": "array", "items": {"type": "string", "pattern": PACKAGE}},
    "ports": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "allowances": {"type": "array", "items": {"type": "string"}},
    "publications": {
        "type": "array",
        "items": {"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "pattern": "^[0-9]+(:[0-9]+)?$"},
    },
    "rules": {
        "type": "array",
        "items": {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "ports": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
                "check": {"enum": ["sni", "ech", "none"]},
            },
        },
    },
}


def json_schema() -> dict[str, Any]:
    """A JSON Schema of config.toml and profiles. What it accepts may still be refused by what it cannot say."""
    properties: dict[str, Any] = {key.name: _described(key) for key in KEYS if not key.table}
    for table in schema.TABLES:
        one = _object({key.name: _described(key) for key in keys_of(table).values()}, table)
        properties[table] = {"type": "array", "items": one} if table in schema.ARRAYS else one
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "claudebox: config.toml and profiles",
        **_object(properties, ""),
    }


def _object(properties: dict[str, Any], table: str) -> dict[str, Any]:
    required = [key.name for key in keys_of(table).values() if key.required]
    made = {"type": "object", "additionalProperties": False, "properties": properties}
    return made | ({"description": TITLES[table]} if table else {}) | ({"required": required} if required else {})


def _described(key: Key) -> dict[str, Any]:
    made = {"description": key.meaning, **KINDS[key.kind]}
    if key.values:
        made["enum"] = list(key.values)
    if not key.required:
        default = list(key.default) if isinstance(key.default, tuple) else key.default
        made["default"] = {} if key.kind == "assignments" else default
    return made


def toml(key: Key) -> str:
    """An example of a key's value, or its default, as TOML has it."""
    if key.example:
        return key.example
    if isinstance(key.default, bool):
        return str(key.default).lower()
    if isinstance(key.default, tuple):
        return "[]"
    return f'"{key.default}"' if isinstance(key.default, str) else str(key.default)


def template(name: str) -> str:
    """A profile to begin with: every key that there is, as a comment."""
    lines = [
        f"# The profile {name}: claudebox -P {name}, or claudebox use {name} in a project.",
        "# Take away the # before a key to set it. `claudebox profile check` says what is wrong,",
        f"# `claudebox profile show {name}` what it comes to.",
        "",
    ]
    for table in ("", *schema.TABLES):
        head = f"[[{table}]]" if table in schema.ARRAYS else f"[{table}]"
        lines += [f"# {head}  # {TITLES[table]}"] if table else []
        rows = [(f"# {key.name} = {toml(key)}", _comment(key)) for key in keys_of(table).values()]
        wide = max(len(row[0]) for row in rows)
        lines += [f"{left:{wide}}  # {right}" for left, right in rows]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _comment(key: Key) -> str:
    return key.meaning + (f": {', '.join(key.values)}" if key.values else "")


def document() -> str:
    """The table of the documentation, in Markdown."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for key in KEYS:
        default = "" if key.required else f"`{toml(key._replace(example=''))}`"
        default = "`{}`" if key.kind == "assignments" else default if key.default not in ("", ()) else ""
        meaning = _comment(key).replace("|", "\\|")
        where = f"[[{key.table}]] {key.name}" if key.table in schema.ARRAYS else key.path
        lines.append(f"| `{where}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"
