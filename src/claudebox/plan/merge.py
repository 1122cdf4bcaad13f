"""Settings as text: read with bounds, less what stays on the host, and merged three ways by key.

Pure. One side of a merge is what an agent wrote: nothing here takes longer, or nests deeper, than its bounds.
json, re, tomllib and tomlkit are imported where they are used: a launch that finds nothing changed needs none.
"""

from __future__ import annotations

from claudebox.model import Note
from claudebox.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from claudebox.agents import Pairs

LIMIT = 1 << 20  # bytes of a settings file
DEEP = 16  # levels of objects that are merged key by key; what lies deeper is one value
TOML_LIMIT, DOTS = 1 << 18, 256  # characters of a TOML file; dots in one key of it
NAMED = 12  # names of one object that a note lists
ABSENT: Any = object()


def parse(text: str, path: str) -> dict[str, Any]:
    """The object that a settings file holds: TOML by its name, else JSON with or without comments.

    Raises ValueError with the reason in plain words.
    """
    try:
        return _toml(text) if path.endswith(".toml") else _json(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def compose(value: dict[str, Any], path: str) -> str:
    """The text of a settings file. Raises ValueError for what its format cannot hold."""
    try:
        if path.endswith(".toml"):
            import tomlkit

            return tomlkit.dumps(value)
        import json

        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        # half of a surrogate pair is JSON, but no UTF-8
        return text if _encodes(text) else json.dumps(value, indent=2) + "\n"
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _toml(text: str) -> dict[str, Any]:
    import tomllib

    # tomllib takes time with the square of a key's parts: 40 s for one line of 120 KB
    if len(text) > TOML_LIMIT or any(part.count(".") > DOTS for line in text.split("\n") for part in line.split("=")):
        raise ValueError("it is too large, or a key in it has too many parts")
    return tomllib.loads(text)


def _json(text: str) -> dict[str, Any]:
    import json

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    try:
        value = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        try:
            value = json.loads(without_comments(text), parse_constant=refuse)
        except json.JSONDecodeError:
            raise ValueError(f"line {error.lineno}: {error.msg}") from None
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return value


def without_comments(text: str) -> str:
    """JSON with comments and trailing commas → JSON. In time that grows with the text alone."""
    import re

    kept, end = [], 0
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"?|//[^\n]*|/\*', text):
        if found.start() < end or found[0].startswith('"'):
            continue
        kept.append(text[end : found.start()] + " ")
        end = found.end()
        if found[0] == "/*":
            close = text.find("*/", end)
            end = len(text) if close < 0 else close + 2
    kept.append(text[end:])
    plain = "".join(kept)
    return re.sub(r'("(?:[^"\\]|\\.)*"?)|,(?=\s*[}\]])', lambda found: found[1] or "", plain)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- three ways ----------------------------------------------------------------------------------


def merge(base: dict[str, Any], host: dict[str, Any], own: dict[str, Any], deep: int = DEEP) -> dict[str, Any]:
    """The instance's settings after a launch. base: the host's as last copied; own: the instance's now.

    A key that own did not change follows the host's, and goes when that is gone; one that was changed (or
    removed) inside stays so. Objects are merged key by key, all else is one value.
    """
    merged = {}
    for key in (*own, *(key for key in host if key not in own)):
        value = _chosen(base.get(key, ABSENT), host.get(key, ABSENT), own.get(key, ABSENT), deep)
        if value is not ABSENT:
            merged[key] = value
    return merged


def _chosen(base: Any, host: Any, own: Any, deep: int) -> Any:
    if same(own, base):
        return host
    if same(host, base) or not deep:
        return own
    if isinstance(own, dict) and (isinstance(host, dict) or (host is ABSENT and isinstance(base, dict))):
        inner = base if isinstance(base, dict) else {}
        return merge(inner, {} if host is ABSENT else host, own, deep - 1)
    return own


def same(left: Any, right: Any) -> bool:
    """Whether two values of a settings file say the same: 1 is not true, the order of keys does not count."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def merged_text(base: str, host: str, own: str, keys: tuple[str, ...], path: str) -> str:
    """The instance's file after a launch: own itself where it says that already.

    keys: the only top-level keys that are touched, () for all. base, host: texts of ours; own: the instance's.
    Raises ValueError when own cannot be understood.
    """
    theirs, mine = parse(host, path) if host else {}, parse(own, path)
    before = parse(base, path) if base else {}
    part = mine
    if keys:  # one that is missing was not removed: a client that finds its file torn makes it anew
        part = {key: value for key, value in mine.items() if key in keys}
        before = {key: value for key, value in before.items() if key in part}
    try:
        result = merge(before, theirs, part)
        if keys:
            rest = {key: value for key, value in mine.items() if key not in keys or key in result}
            result = {key: result.get(key, value) for key, value in rest.items()} | result
        return own if same(result, mine) else compose(result, path)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


# --- what comes along ----------------------------------------------------------------------------


def without(value: dict[str, Any], drop: Pairs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """value less the keys that drop names, and those that were there: (key with dots, why)."""
    kept, gone = value, []
    for pattern, why in drop:
        kept, found = _without(kept, pattern.split("."))
        gone += [(".".join(key), why) for key in found]
    return kept, gone


def _without(value: dict[str, Any], names: list[str]) -> tuple[dict[str, Any], list[list[str]]]:
    kept, gone = {}, []
    for key, inner in value.items():
        if not (key.startswith(names[0][:-1]) if names[0].endswith("*") else key == names[0]):
            kept[key] = inner
        elif len(names) == 1:
            gone.append([key])
        else:
            kept[key] = inner
            if isinstance(inner, dict):
                kept[key], below = _without(inner, names[1:])
                gone += [[key, *rest] for rest in below]
    return kept, gone


def notes(value: dict[str, Any], gone: list[tuple[str, str]], source: str) -> tuple[Note, ...]:
    """What a settings file brings, by names alone, what was left out, and what in it looks like a secret."""
    found = []
    if value:
        found.append(f"{source} comes along: {', '.join(map(_named, value.items()))}")
    found += [f"{key} of {source} is left out: {why}" for key, why in gone]
    found += [f"{key}=*** of {source} comes along: it looks like {what}" for key, what in secrets(value)]
    return tuple(Note("info", printable(text)) for text in found)


def _named(item: tuple[str, Any]) -> str:
    key, value = item
    if not isinstance(value, dict) or not value:
        return key
    more = ", …" if len(value) > NAMED else ""
    return f"{key} ({', '.join(list(value)[:NAMED])}{more})"


def secrets(value: dict[str, Any]) -> list[tuple[str, str]]:
    """The strings in value that look like a secret: (key with dots, what), in order."""
    from claudebox.secret import looks_like

    found, waiting = [], list(value.items())
    while waiting:
        key, one = waiting.pop(0)
        if isinstance(one, dict):
            waiting += [(f"{key}.{name}", inner) for name, inner in one.items()]
        elif isinstance(one, list):
            waiting += [(key, inner) for inner in one]
        elif isinstance(one, str) and (what := looks_like(key.rpartition(".")[2], one)):
            found.append((key, what))
    return list(dict(found).items())
