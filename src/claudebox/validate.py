"""What a TOML document holds, against the schema: every error of it, not only the first one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from claudebox import schema, typed
from claudebox.nearest import nearest
from claudebox.schema import Key

MOST = 1 << 22  # processes: the kernel's PID_MAX_LIMIT
Path = tuple[str | int, ...]  # ("mounts", 0, "source"): the way to a value in the document


class Problem(NamedTuple):
    """One error of a document. at: whether the key or its value is to blame."""

    path: Path
    text: str
    at: Literal["key", "value"] = "value"
    hint: str = ""


Check = Callable[[Key, Any, Path], Iterable[Problem]]


def problems(document: dict[str, Any]) -> list[Problem]:
    """All that is wrong with a document. Where that is nothing, every value is what its kind says."""
    return list(_table(document, "", ()))


def _table(found: dict[str, Any], table: str, path: Path) -> Iterator[Problem]:
    keys = schema.keys_of(table)
    for name, value in found.items():
        if name in keys:
            yield from _value(keys[name], value, (*path, name))
        elif not table and name in schema.ARRAYS:
            yield from _array(value, name)
        elif not table and name in schema.TABLES:
            if isinstance(value, dict):
                yield from _table(value, name, (name,))
            else:
                yield Problem((name,), f"{name} is a table, [{name}], and not {_kind(value)}")
        else:
            yield Problem((*path, name), _unknown(name, table), "key")
    for key in keys.values():
        if key.required and key.name not in found:
            yield Problem(path, f"{key.path} is missing: {key.meaning}", "key")


def _array(found: Any, name: str) -> Iterator[Problem]:
    if isinstance(found, dict):
        yield Problem((name,), f"{name} is a list of tables: write [[{name}]], with double brackets", "key")
    elif not isinstance(found, list):
        yield Problem((name,), f"{name} is a list of tables, [[{name}]], and not {_kind(found)}")
    else:
        for index, one in enumerate(found):
            if isinstance(one, dict):
                yield from _table(one, name, (name, index))
            else:
                yield Problem((name, index), f"{name} holds tables, and not {_kind(one)}")


def _unknown(name: str, table: str) -> str:
    """An unknown key, with the key that was meant: of this table, or of the one where it belongs."""
    here = {**schema.keys_of(table), **dict.fromkeys(() if table else schema.TABLES)}
    elsewhere = [key.path for key in schema.KEYS if key.name == name]
    meant = elsewhere[0] if elsewhere else nearest(name, here)
    where = f" in [{table}]" if table else ""
    return f'unknown key "{name}"{where}' + (f', nearest is "{meant}"' if meant else "")


def _value(key: Key, value: Any, path: Path) -> Iterator[Problem]:
    yield from CHECKS[key.kind](key, value, path)


# --- one function per kind -----------------------------------------------------------------------


def _expected(key: Key, path: Path, expected: str) -> Problem:
    """The value is not repeated: it may be a secret."""
    return Problem(path, f"{key.path}: expected {expected}")


def _mistyped(key: Key, path: Path, expected: str, value: Any) -> Problem:
    return _expected(key, path, f"{expected}, not {_kind(value)}")


def _text(key: Key, value: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield _mistyped(key, path, "a string", value)


def _flag(key: Key, value: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield _mistyped(key, path, "true or false", value)


def _count(key: Key, value: Any, path: Path) -> Iterator[Problem]:
    if type(value) is not int:
        yield _mistyped(key, path, "a whole number", value)
    elif not 1 <= value <= MOST:
        yield _expected(key, path, f"a whole number from 1 to {MOST}")


def _choice(key: Key, value: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield _mistyped(key, path, _listed(key.values), value)
    elif value not in key.values:
        meant = nearest(value, key.values)
        yield _expected(key, path, _listed(key.values) + (f', nearest is "{meant}"' if meant else ""))


def _parsed(expected: str, read: Callable[[Any], object], types: tuple[type, ...] = (str,)) -> Check:
    """A value of these types that `read` understands; its Unusable says what was expected."""

    def check(key: Key, value: Any, path: Path) -> Iterator[Problem]:
        if type(value) not in types:  # not isinstance: true is no number
            yield _mistyped(key, path, expected, value)
            return
        try:
            read(value)
        except typed.Unusable as error:
            yield _expected(key, path, str(error))

    return check


def _agent(text: str) -> None:
    if not typed.is_agent(text):
        raise typed.Unusable('the name of an agent, such as "claude"')


def _profile(text: str) -> None:
    if not typed.is_profile(text):
        raise typed.Unusable('the name of a profile, such as "python"')


def _pattern(text: str) -> None:
    if not typed.is_pattern(text):
        raise typed.Unusable('the name of a variable or a pattern such as "AWS_*", without a value')


def _path(text: str) -> None:
    typed.path(text, home="/")


def _source(text: str) -> None:
    if not typed.variable(text):
        _path(text)


def _allowance(text: str) -> None:
    typed.allowance(text.removeprefix("!"))


def _package(text: str) -> None:
    from claudebox import installable

    installable.whole(text.removeprefix("!"))


def _port(number: int) -> None:
    if not 1 <= number <= 65535:
        raise typed.Unusable("ports from 1 to 65535")


def _rule(written: str | dict[str, Any]) -> None:
    from claudebox.allowing import parse_entry
    from claudebox.model import Why

    parse_entry(written, Why(""))


def _publication(written: int | str) -> None:
    typed.publication(written)


def _any(value: Any) -> None:
    """Its type is enough."""


def _list_of(expected: str, read: Callable[[Any], object] = _any, types: tuple[type, ...] = (str,)) -> Check:
    element = _parsed(expected, read, types)

    def check(key: Key, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield _mistyped(key, path, f"a list of {expected}", value)
            return
        for index, one in enumerate(value):
            yield from element(key, one, (*path, index))

    return check


def _assignments(key: Key, value: Any, path: Path) -> Iterator[Problem]:
    from claudebox.secret import looks_like

    if not isinstance(value, dict):
        yield _mistyped(key, path, f"a table, [{key.path}],", value)
        return
    for name, one in value.items():
        here = (*path, name)
        secret = looks_like(name, one) if isinstance(one, str) else ""
        if not typed.is_name(name):
            yield Problem(here, f"{key.path}: expected the name of a variable", "key")
        elif not isinstance(one, str):
            yield Problem(here, f"{key.path}.{name}: expected a string, not {_kind(one)}")
        elif "\0" in one:
            yield Problem(here, f"{key.path}.{name}: expected a string without a null character")
        elif secret:
            hint = f'export {name} in your shell and write pass = ["{name}"] under [env]'
            yield Problem(here, f"{key.path}.{name} looks like {secret}, which does not belong in a file", hint=hint)


CHECKS: dict[schema.Kind, Check] = {
    "text": _text,
    "name": _parsed("the name of an agent", _agent),
    "names": _list_of("names of profiles", _profile),
    "choice": _choice,
    "flag": _flag,
    "count": _count,
    "size": _parsed('a size such as "512M" or "2G"', typed.size),
    "memory": _parsed('a size such as "8G" or a percentage such as "75%"', typed.memory),
    "source": _parsed("a path", _source),
    "places": _list_of("paths", _path),
    "target": _parsed("a path", _path),
    "variables": _list_of("names of variables", _pattern),
    "assignments": _assignments,
    "packages": _list_of("nix packages", _package),
    "ports": _list_of("ports from 1 to 65535", _port, (int,)),
    "allowances": _list_of("addresses, prefixes or names", _allowance),
    "publications": _list_of("ports, or HOSTPORT:PORT", _publication, (int, str)),
    "rules": _list_of("names or tables", _rule, (str, dict)),
}


KINDS: dict[type, str] = {
    bool: "a boolean",
    str: "a string",
    int: "a whole number",
    float: "a fraction",
    list: "a list",
    dict: "a table",
}


def _kind(value: Any) -> str:
    """What a value is, in TOML's words."""
    return KINDS.get(type(value), "a date or time")


def _listed(values: tuple[str, ...]) -> str:
    """`"a", "b" or "c"`."""
    quoted = [f'"{value}"' for value in values]
    return ", ".join(quoted[:-1]) + " or " + quoted[-1]
