"""A running sandbox for the length of a `with`."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from box import Box

UP = "echo up; read word; echo down"


@contextlib.contextmanager
def session(box: Box, script: str = UP, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A sandbox that runs the script, once it has said `up`."""
    launcher = box.start(
        [box.program, "run", "-n", "offline", "--", "sh", "-c", script], cwd=cwd, stdin=subprocess.PIPE
    )
    try:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"up\n", launcher.stderr and launcher.stderr.read()
        yield launcher
    finally:
        launcher.kill()
        launcher.communicate()
