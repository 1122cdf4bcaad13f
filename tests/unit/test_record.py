"""Our NamedTuple against typing's, and the other stand-ins against what they stand in for."""

from __future__ import annotations

import hashlib
import json
import typing
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox import record
from claudebox.digest import sha256
from claudebox.jsontext import json_text
from claudebox.leaving import Leaving
from claudebox.model import BUILTIN, Bind, Setting, Tmpfs, Variable, Why


class Ours(record.NamedTuple):
    """Ours."""

    name: str
    size: int = 3
    tags: tuple[str, ...] = ()


class Theirs(typing.NamedTuple):
    """Theirs."""

    name: str
    size: int = 3
    tags: tuple[str, ...] = ()


USES: tuple[tuple[str, typing.Callable[[Any], Any]], ...] = (
    ("by place", lambda cls: tuple(cls("a", 1, ("x",)))),
    ("by name", lambda cls: tuple(cls(tags=("x",), name="a"))),
    ("defaults", lambda cls: tuple(cls("a"))),
    ("mixed", lambda cls: tuple(cls("a", tags=("y",)))),
    ("fields", lambda cls: (cls._fields, cls.__match_args__, cls._field_defaults)),
    ("replace", lambda cls: tuple(cls("a")._replace(size=9))),
    ("asdict", lambda cls: cls("a")._asdict()),
    ("repr", lambda cls: repr(cls("a")).partition("(")[2]),
    ("equal and hash", lambda cls: (cls("a") == cls("a"), hash(cls("a")), cls("a") == ("a", 3, ()))),
    ("attributes", lambda cls: [cls("a").name, cls("a").size, cls("a").tags]),
)
MISUSES: tuple[tuple[str, typing.Callable[[Any], Any]], ...] = (
    ("missing", lambda cls: cls()),
    ("too many", lambda cls: cls("a", 1, (), 4)),
    ("unknown", lambda cls: cls("a", colour=1)),
    ("twice", lambda cls: cls("a", name="b")),
)


@pytest.mark.parametrize("use", [use for _, use in USES], ids=[name for name, _ in USES])
def test_as_the_standard_one(use: Any) -> None:
    assert use(Ours) == use(Theirs)


@pytest.mark.parametrize("use", [use for _, use in MISUSES], ids=[name for name, _ in MISUSES])
def test_misuse_is_refused_as_by_the_standard_one(use: Any) -> None:
    for cls in (Ours, Theirs):
        with pytest.raises(TypeError):
            use(cls)


def test_a_record_cannot_be_changed() -> None:
    made: Any = Ours("a")
    for name in ("size", "anything"):
        with pytest.raises(AttributeError):
            setattr(made, name, 1)
    with pytest.raises((TypeError, ValueError)):
        made._replace(colour=1)


def test_matching_tells_kinds_apart() -> None:
    mount: Any = Tmpfs(target="/tmp", why=Why("a test"))
    match mount:
        case Bind():
            pytest.fail("a tmpfs is no bind")
        case Tmpfs(target="/tmp"):
            pass
        case _:
            pytest.fail("it is a tmpfs")


def test_a_secret_is_not_in_a_repr() -> None:
    assert "hunter2" not in repr(Variable("PASSWORD", "hunter2", secret=True, why=Why("a test")))


def test_a_generic_record_has_its_value() -> None:
    assert Setting("x").origin is BUILTIN


@given(st.one_of(st.text(), st.booleans(), st.integers(), st.none(), st.characters(categories=["Cs"])))
def test_json_text(value: str | bool | int | None) -> None:
    assert json_text(value) == json.dumps(value) or json.loads(json_text(value)) == value
    assert json_text(value).isascii()


@given(st.binary())
def test_sha256(content: bytes) -> None:
    assert sha256(content).hexdigest() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("kind", [Leaving, ExitStack])
def test_leaving_in_reverse_and_whole(kind: Any) -> None:
    said: list[str] = []

    def fail(name: str) -> None:
        said.append(name)
        raise OSError(name)

    with pytest.raises(OSError, match="two"), kind() as leaving:
        leaving.callback(said.append, "one")
        leaving.callback(fail, "two")
        leaving.callback(said.append, "three")
    assert said == ["three", "two", "one"]


def test_leaving_keeps_the_error_of_the_block() -> None:
    with pytest.raises(ValueError, match="block"), Leaving() as leaving:
        leaving.callback(lambda: 1 / 0)
        raise ValueError("block")
