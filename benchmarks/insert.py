"""usage: insert.py DOCUMENT NAME FILE: puts FILE between `<!-- NAME -->` and `<!-- /NAME -->` of a document."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    document, name, text = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_text()
    before, opening, rest = document.read_text().partition(f"<!-- {name} -->\n")
    _, closing, after = rest.partition(f"<!-- /{name} -->")
    if not (opening and closing):
        sys.exit(f"{document} has no place for {name}")
    document.write_text(before + opening + "\n" + text.strip("\n") + "\n\n" + closing + after)
