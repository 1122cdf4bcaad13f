"""The last commit that a reflog names."""

from __future__ import annotations

import os

from claudebox.run import beneath

HEX = frozenset("0123456789abcdef")


def last_commit(logs: int) -> str:
    """The commit that the last line of a reflog names; "" where it names none."""
    try:
        file = os.open("HEAD", beneath.READ | os.O_NOFOLLOW, dir_fd=logs)
    except OSError:
        return ""
    try:
        end = os.fstat(file).st_size
        *_, line = os.pread(file, 4096, max(0, end - 4096)).rstrip(b"\n").split(b"\n")
    except OSError:
        return ""
    finally:
        os.close(file)
    word = line.split(b" ")[1:2]
    commit = word[0].decode(errors="replace") if word else ""
    return commit if len(commit) in (40, 64) and HEX.issuperset(commit) else ""
