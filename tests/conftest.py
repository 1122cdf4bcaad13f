"""Fixtures of all suites. What each is for stands in the module that it comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import leak
import programs
from box import box, claudebox, run  # noqa: F401
from capability import require
from networks import networks  # noqa: F401
from world import world  # noqa: F401

TESTS = Path(__file__).parent
PURE = ("unit", "golden")  # suites that start no program


def suite(item: pytest.Item) -> str:
    """The suite of a test: its directory below tests/."""
    return item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that needs uid 0 runs in the pass as uid 0 and nowhere else; one that needs a user, never there."""
    if os.geteuid() == 0:
        items[:] = [i for i in items if not any("user" in mark.args for mark in i.iter_markers("needs"))]
    for item in items:
        if any("uid0" in mark.args for mark in item.iter_markers("needs")):
            item.add_marker("uid0")
            item.add_marker("only_uid0")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot do, or fail it."""
    require(item)


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    """PATH, HOME and LANG, as CI has them, whatever the person who runs the tests has."""
    before = dict(os.environ)
    kept = {name: before[name] for name in ("PATH", "HOME", "LANG", "PYTEST_CURRENT_TEST") if name in before}
    os.environ.clear()
    os.environ.update(kept)
    yield
    current = os.environ.get("PYTEST_CURRENT_TEST")
    os.environ.clear()
    os.environ.update(before)
    if current is not None:
        os.environ["PYTEST_CURRENT_TEST"] = current


@pytest.fixture(autouse=True)
def no_programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """In unit and golden tests starting any program is an error; a test marked `tries_programs` sees the error."""
    if suite(request.node) not in PURE:
        yield
        return
    with programs.forbidden() as tried:
        yield
    if tried and not request.node.get_closest_marker("tries_programs"):
        pytest.fail(f"a unit test starts no program: {', '.join(tried)}")


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a kernel test no process of it is left, no mount and no temporary file."""
    if suite(request.node) in PURE or request.node.get_closest_marker("batched"):
        yield
        return
    with leak.checked():
        yield
