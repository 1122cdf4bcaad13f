"""Counts the tests of pytest's JUnit files: prints `PASSED FAILED SKIPPED` for each, 0 0 0 where there is none."""

import sys
import xml.etree.ElementTree as ElementTree


def count(path: str) -> tuple[int, int, int]:
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return 0, 0, 0
    failed = {
        (c.get("classname"), c.get("name"))
        for c in cases
        if c.find("failure") is not None or c.find("error") is not None
    }
    skipped = {(c.get("classname"), c.get("name")) for c in cases if c.find("skipped") is not None} - failed
    everything = {(c.get("classname"), c.get("name")) for c in cases}
    return len(everything) - len(failed) - len(skipped), len(failed), len(skipped)


for argument in sys.argv[1:]:
    print(*count(argument))
