#!/usr/bin/env python3
"""Makes src/claudebox/suffixes.py from the Public Suffix List, whose file is the argument.

    scripts/make_suffixes.py /usr/share/publicsuffix/public_suffix_list.dat

Distributions have it in a package (publicsuffix); it is published on publicsuffix.org.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src" / "claudebox" / "suffixes.py"
HEAD = '''"""The Public Suffix List, version {version}: made by scripts/make_suffixes.py.

The two strings are data of publicsuffix.org in another layout. They are subject to the terms of the Mozilla Public
License, v. 2.0, which is at https://mozilla.org/MPL/2.0/.
"""

# A line for each last label, the ways to end before it behind the colon: `uk: co ac` is co.uk and ac.uk. Names are
# A-labels. What is a suffix with one label alone stands in no line: a single label always is one.
ICANN = """
{icann}
"""
# Below these, too, anybody can have a name: they belong to hosting services and the like.
PRIVATE = """
{private}
"""
'''


def section(text: str, name: str) -> str:
    """One part of the list, in our layout."""
    inside = text.split(f"===BEGIN {name} DOMAINS===")[1].split(f"===END {name} DOMAINS===")[0]
    ends: dict[str, list[str]] = {}
    for line in inside.splitlines():
        rule = line.strip()
        if not rule or rule.startswith("//"):
            continue
        mark = "!" if rule.startswith("!") else ""
        labels = [one if one == "*" else one.encode("idna").decode() for one in rule.removeprefix("!").split(".")]
        if len(labels) > 1:
            ends.setdefault(labels[-1], []).append(mark + ".".join(labels[:-1]))
    lines = []
    for last, before in sorted(ends.items()):
        lines += textwrap.wrap(f"{last}: {' '.join(sorted(before))}", 116, subsequent_indent="  ",
                               break_long_words=False, break_on_hyphens=False)  # fmt: skip
    return "\n".join(lines)


def text(source: str) -> str:
    """The module, as it ought to be."""
    found = re.search(r"VERSION: (\S+)", source)
    version = found[1] if found else "unknown"
    return HEAD.format(version=version, icann=section(source, "ICANN"), private=section(source, "PRIVATE"))


if __name__ == "__main__":
    TARGET.write_text(text(Path(sys.argv[1]).read_text(encoding="utf-8")), encoding="utf-8")
