"""Makes starting a program an error, whoever asks and by whatever name the function was imported.

An audit hook, not a patch: `from os import posix_spawn` at import time would go past a patch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

STARTS = frozenset({
    "subprocess.Popen", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn",
})  # fmt: skip

_tried: list[str] | None = None  # None: programs may start


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _tried is not None and event in STARTS:
        _tried.append(f"{event}{arguments[:2]!r}")
        pytest.fail(f"a unit test starts no program: {_tried[-1]}")  # no Exception: code under test cannot catch it


sys.addaudithook(_hook)


@contextmanager
def forbidden() -> Iterator[list[str]]:
    """No program starts in this block; gives the list of what was tried."""
    global _tried
    before, _tried = _tried, []
    try:
        yield _tried
    finally:
        _tried = before
