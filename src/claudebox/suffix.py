"""What is a public suffix: a name below which anybody can have one. Imported only where there is a wildcard."""

from __future__ import annotations

from claudebox.suffixes import ICANN, PRIVATE


def is_public(name: str) -> bool:
    """Whether a registry gives away the names right below this one, or some of them (`kawasaki.jp`). name: normal."""
    return "." not in name or _listed(name, ICANN)


def is_hosting(name: str) -> bool:
    """Whether a service gives away the names right below this one, such as github.io."""
    return _listed(name, PRIVATE)


def _listed(name: str, data: str) -> bool:
    before, _, last = name.rpartition(".")
    ends = _ends(last, data)
    if f"!{before}" in ends:
        return False
    above = before.partition(".")[2]
    return before in ends or f"*.{before}" in ends or (f"*.{above}" if above else "*") in ends


def _ends(last: str, data: str) -> list[str]:
    """The words of the line of a last label, and of the lines that continue it."""
    start = data.find(f"\n{last}: ")
    if start < 0:
        return []
    found: list[str] = []
    for number, line in enumerate(data[start + len(last) + 3 :].split("\n", 200)[:200]):
        if number and not line.startswith("  "):
            break
        found += line.split()
    return found
