"""What was tried on this machine, by path, inode and mtime: `cache/probes.json`, which no sandbox sees."""

from __future__ import annotations

import os

from claudebox import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def remembered(ours: str, program: str, probe: Callable[[], str], *, keep: bool) -> str:
    """The answer of probe about a program, asked once as long as the program is the same file.

    ours: claudebox's directory; keep: whether it may be written (a dry run writes nothing). An answer is
    one line without quotes; a cache that cannot be read or written costs the probe, nothing else.
    """
    state = os.stat(program)
    key = f'"{program}:{state.st_ino}:{state.st_mtime_ns}": "'
    known = _lines(ours)
    for line in known:
        if line.startswith(key):
            return line[len(key) : line.rindex('"')]
    answer = probe()
    if keep and '"' not in program + answer and "\\" not in program + answer and program.isprintable():
        others = [line for line in known if not line.startswith(f'"{program}:')]
        _write(ours, [*others, f'{key}{answer}"'])
    return answer


def _lines(ours: str) -> list[str]:
    try:
        with open(f"{ours}/cache/probes.json", encoding="utf-8") as file:
            return [line.strip().rstrip(",") for line in file if line.startswith('"')]
    except (OSError, UnicodeDecodeError):
        return []


def _write(ours: str, lines: list[str]) -> None:
    try:
        top = descriptors.walk(None, descriptors.parts(ours))
        cache = descriptors.make_directory(top, "cache")
        descriptors.replace_file(cache, "probes.json", ("{\n" + ",\n".join(lines) + "\n}\n").encode())
        os.close(cache)
        os.close(top)
    except OSError:
        return  # the next launch asks again
