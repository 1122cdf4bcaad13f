"""The word that was probably meant: for unknown keys, values and options. A leaf."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


LONGEST = 64  # difflib compares in quadratic time; nothing we know is longer


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate most like word, or "" where none is like it."""
    if not word or len(word) > LONGEST:
        return ""
    import difflib  # 3 ms, and only after a mistake

    known = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else ""
