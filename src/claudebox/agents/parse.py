"""An agent's file, read and checked. Not on the path of a launch, unless the user has such a file."""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any

from claudebox.agents import WAYS, AgentSpec, Pairs
from claudebox.errors import ClaudeboxError
from claudebox.nearest import nearest

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?")
VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,3}")
HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+")

# table.key: field, kind. The kind is a method of _Reader.
KEYS = {
    "title": ("title", "text"),
    "program.executables": ("executables", "names"),
    "program.places": ("places", "places"),
    "program.packages": ("packages", "texts"),
    "program.minimum_version": ("minimum_version", "version"),
    "program.install": ("install", "text"),
    "program.own_options": ("own_options", "options"),
    "state.config_dir": ("config_dir", "relative"),
    "state.config_variable": ("config_variable", "variable"),
    "state.directories": ("state", "relatives"),
    "state.conversations": ("conversations", "relative"),
    "credentials.files": ("credentials", "relatives"),
    "credentials.variables": ("credential_variables", "variables"),
    "credentials.groups": ("credential_groups", "groups"),
    "credentials.way": ("login_way", "way"),
    "credentials.keys": ("login_keys", "shape"),
    "credentials.kept": ("login_kept", "texts"),
    "credentials.beside": ("login_beside", "texts"),
    "credentials.early": ("login_early", "seconds"),
    "credentials.profile": ("login_profile", "text"),
    "credentials.lock": ("login_lock", "name"),
    "credentials.store_variable": ("login_store_variable", "variable"),
    "credentials.refresh": ("login_refresh", "texts"),
    "credentials.login": ("login_command", "texts"),
    "credentials.pass": ("login_pass", "variables"),
    "environment.pass": ("env_pass", "patterns"),
    "environment.set": ("env_set", "assignments"),
    "environment.never": ("env_never", "patterns"),
    "settings.read_only": ("read_only", "relatives"),
    "settings.copy": ("copy", "relatives"),
    "settings.copy_once": ("copy_once", "relatives"),
    "settings.drop": ("drop", "reasons"),
    "first_start.file": ("first_start_file", "relative"),
    "first_start.copy": ("first_start_copy", "texts"),
    "first_start.follow": ("first_start_follow", "texts"),
    "first_start.set": ("first_start_set", "scalars"),
    "unattended.arguments": ("unattended_arguments", "texts"),
    "unattended.environment": ("unattended_environment", "assignments"),
    "unattended.environment_root": ("unattended_environment_root", "assignments"),
    "network.hosts": ("hosts", "hosts"),
}
TABLES = tuple(dict.fromkeys(key.partition(".")[0] for key in KEYS if "." in key))
REQUIRED = ("title", "program.executables")
BROKER = ("state.config_dir", "state.config_variable", "credentials.files", "credentials.keys",
          "credentials.store_variable", "credentials.login")  # fmt: skip
SHAPE = frozenset(("login", "access", "refresh"))


def read_over(name: str, built_in: str, own: str) -> AgentSpec:
    """The user's file over the built-in one of that name, where there is one."""
    data = _over(_read(built_in) if os.path.exists(built_in) else {}, _read(own))
    return parse({**data, "name": name}, own)


def read(name: str, path: str) -> AgentSpec:
    """The agent that one file describes by itself."""
    return parse({**_read(path), "name": name}, path)


def parse(data: dict[str, Any], where: str) -> AgentSpec:
    """The agent that a parsed file describes. Everything wrong with it is named at once."""
    reader = _Reader()
    fields: dict[str, Any] = {}
    hints: list[str] = []
    for key, value in _leaves(data, reader):
        if key == "name":
            fields["name"] = reader.text(key, value)
        elif key in KEYS:
            field, kind = KEYS[key]
            fields[field] = getattr(reader, kind)(key, value)
        else:
            hints.append(suggestion(key, (*KEYS, *TABLES), ""))
            reader.wrong.append(f'unknown key "{key}"')
    fields.setdefault("name", os.path.basename(where).removesuffix(".toml"))
    required = REQUIRED + (BROKER if fields.get("login_way") == "broker" else ())
    missing = [key for key in required if KEYS[key][0] not in fields]
    reader.wrong += [f'"{key}" is missing' for key in missing]
    if reader.wrong:
        hint = "; ".join(filter(None, hints)) or "every key is explained in the built-in agents/claude.toml"
        raise ClaudeboxError(f"{where}: {'; '.join(reader.wrong)}", hint)
    return AgentSpec(**fields)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ClaudeboxError(f"cannot read {path}: {error.strerror}", "make it readable, or remove it") from None
    except UnicodeDecodeError:
        raise ClaudeboxError(f"{path}: not UTF-8", "TOML is UTF-8; save the file as such") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ClaudeboxError(
            f"{path}: {error or 'nested too deeply'}", "correct the TOML, or remove the file"
        ) from None


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """The values of above, and of below where above says nothing. Lists and inner tables are whole values."""
    result = dict(below)
    for key, value in above.items():
        old = below.get(key)
        result[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _leaves(data: dict[str, Any], reader: _Reader) -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in data.items():
        if key not in TABLES:
            leaves.append((key, value))
        elif isinstance(value, dict):
            leaves += [(f"{key}.{inner}", of_it) for inner, of_it in value.items()]
        else:
            reader.wrong.append(f'"{key}" must be a table')
    return leaves


def suggestion(word: str, candidates: tuple[str, ...], otherwise: str) -> str:
    """What was probably meant, as a hint."""
    found = nearest(word, candidates)
    return f'did you mean "{found}"?' if found else otherwise


class _Reader:
    """One method per kind of value; what is wrong is collected, never the value repeated."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def _must(self, key: str, good: bool, expected: str) -> bool:
        if not good:
            self.wrong.append(f'"{key}" must be {expected}')
        return good

    def _each(self, key: str, value: Any, pattern: re.Pattern[str] | None, expected: str) -> tuple[str, ...]:
        good = isinstance(value, list) and all(
            isinstance(item, str) and item and "\0" not in item and (pattern is None or pattern.fullmatch(item))
            for item in value
        )
        return tuple(value) if self._must(key, good, f"a list of {expected}") else ()

    def text(self, key: str, value: Any) -> str:
        return value if self._must(key, isinstance(value, str) and "\0" not in value, "a string") else ""

    def texts(self, key: str, value: Any) -> tuple[str, ...]:
        return self._each(key, value, None, "strings")

    def names(self, key: str, value: Any) -> tuple[str, ...]:
        found = self._each(key, value, re.compile(r"[^/]+"), "names of programs, without a directory")
        self._must(key, value != [], "a list of at least one name")
        return found

    def options(self, key: str, value: Any) -> tuple[str, ...]:
        return self._each(key, value, re.compile(r"--?[A-Za-z0-9][A-Za-z0-9-]*"), "options")

    def places(self, key: str, value: Any) -> tuple[str, ...]:
        return self._each(key, value, re.compile(r"~?/(?!.*/\.\.(/|$)).*"), "paths that are absolute or start with ~/")

    def version(self, key: str, value: Any) -> str:
        good = isinstance(value, str) and VERSION.fullmatch(value) is not None
        return value if self._must(key, good, 'a version such as "2.1.197"') else ""

    def relative(self, key: str, value: Any) -> str:
        return value if self._must(key, _inside(value), "a path below the home, without ..") else ""

    def relatives(self, key: str, value: Any) -> tuple[str, ...]:
        good = isinstance(value, list) and all(_inside(item) for item in value)
        return tuple(value) if self._must(key, good, "a list of relative paths, without ..") else ()

    def name(self, key: str, value: Any) -> str:
        return value if self._must(key, _inside(value) and "/" not in value, "a name of a file") else ""

    def way(self, key: str, value: Any) -> str:
        return value if self._must(key, value in WAYS, f"one of {', '.join(WAYS)}") else "variables"

    def shape(self, key: str, value: Any) -> Pairs:
        good = isinstance(value, dict) and SHAPE <= value.keys() <= SHAPE | {"expires"}
        good = good and all(isinstance(name, str) and name for name in value.values())
        return tuple(value.items()) if self._must(key, good, "a table of login, access, refresh, expires") else ()

    def seconds(self, key: str, value: Any) -> int:
        good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 3600
        return value if self._must(key, good, "a number of seconds") else 0

    def groups(self, key: str, value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
        good = isinstance(value, dict) and all(VARIABLE.fullmatch(name) for name in value)
        if not self._must(key, good, "a table of variables with lists"):
            return ()
        return tuple((name, self._each(key, names, VARIABLE, "names of variables")) for name, names in value.items())

    def variable(self, key: str, value: Any) -> str:
        good = isinstance(value, str) and VARIABLE.fullmatch(value) is not None
        return value if self._must(key, good, "a name of a variable") else ""

    def variables(self, key: str, value: Any) -> tuple[str, ...]:
        return self._each(key, value, VARIABLE, "names of variables")

    def patterns(self, key: str, value: Any) -> tuple[str, ...]:
        return self._each(key, value, PATTERN, "names of variables, or prefixes with * at the end")

    def hosts(self, key: str, value: Any) -> tuple[str, ...]:
        return self._each(key, value, HOST, "names of hosts")

    def assignments(self, key: str, value: Any) -> Pairs:
        good = isinstance(value, dict) and all(
            VARIABLE.fullmatch(name) and isinstance(text, str) and "\0" not in text for name, text in value.items()
        )
        return tuple(value.items()) if self._must(key, good, "a table of variables with strings") else ()

    def reasons(self, key: str, value: Any) -> Pairs:
        good = isinstance(value, dict) and all(name and isinstance(text, str) for name, text in value.items())
        return tuple(value.items()) if self._must(key, good, "a table of keys with the reason for each") else ()

    def scalars(self, key: str, value: Any) -> tuple[tuple[str, str | bool | int], ...]:
        good = isinstance(value, dict) and all(isinstance(item, str | bool | int) for item in value.values())
        return tuple(value.items()) if self._must(key, good, "a table of strings, numbers, true and false") else ()


def _inside(value: Any) -> bool:
    """A relative path that stays where it starts."""
    return (
        isinstance(value, str) and "\0" not in value and all(part not in ("", ".", "..") for part in value.split("/"))
    )
