"""The table of advisories in docs/threat-model.md is what the docstrings of the tests say.

A line of a docstring that begins `CVE-2024-21626 (runc): what happened there` is a row, up to a blank line or the next
one. CLAUDEBOX_GOLDEN=update scripts/check writes the table anew.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
BEGIN, END = "<!-- advisories: made by tests/unit/test_advisories.py -->\n", "<!-- end of advisories -->"
UPDATE = os.environ.get("CLAUDEBOX_GOLDEN") == "update"  # read once: a fixture empties the environment
ADVISORY = r"CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3}"
ROW = re.compile(rf"^ *({ADVISORY}) \(([^)]+)\): (.+?)(?=\n *(?:CVE-|GHSA-|\n)|\s*\Z)", re.M | re.S)


def rows(text: str, where: str) -> list[tuple[str, str, str, str]]:
    """(advisory, of what, what happened there, test) of one module."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for number, of, what in ROW.findall(ast.get_docstring(node) or ""):
                found.append((number, of, " ".join(what.split()).rstrip("."), f"`{where}::{node.name}`"))
    return found


def table() -> str:
    """All of them, the newest first."""
    found = []
    for path in sorted((ROOT / "tests").glob("*/test_*.py")):
        found += rows(path.read_text(encoding="utf-8"), path.relative_to(ROOT / "tests").as_posix())
    merged: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for number, of, what, test in found:
        merged.setdefault((number, of), (what, []))[1].append(test)
    order = sorted(merged, key=lambda key: [int(n) if n.isdigit() else 0 for n in key[0].split("-")[1:]])[::-1]
    lines = ["| advisory | of | what happened there | tried here by |", "|---|---|---|---|"]
    lines += [f"| {n} | {of} | {merged[n, of][0]} | {', '.join(merged[n, of][1])} |" for n, of in order]
    return "\n".join(lines) + "\n"


def test_the_table() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    found, end, after = rest.partition(END)
    assert end, "the page has no place for the table"
    if UPDATE:
        PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")
        return
    assert found == table()


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("CVE-2024-21626 (runc): one.", [("CVE-2024-21626", "runc", "one")]),
        ("A title.\n\n    CVE-2024-1234 (a b): one\n    more.\n    GHSA-aaaa-bbbb-cccc (c): two.\n\n    Not this.",
         [("CVE-2024-1234", "a b", "one more"), ("GHSA-aaaa-bbbb-cccc", "c", "two")]),
        ("It mentions CVE-2024-1234 (runc): in passing.", []),
    ],
)  # fmt: skip
def test_what_is_a_row(docstring: str, expected: list[tuple[str, str, str]]) -> None:
    text = f'def test_it():\n    """{docstring}"""\n'
    assert [row[:3] for row in rows(text, "x.py")] == expected
