"""A shell on a terminal: tests/shell.py."""

from __future__ import annotations

from shell import shell  # noqa: F401
