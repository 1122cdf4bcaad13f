"""Times whole commands in turn: A B C A B C …, so that a machine that slows down slows all of them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """Wall times of one command in ms, sorted, and its median as a multiple of the first command's, pair by pair."""

    times: tuple[float, ...]
    ratio: float

    @property
    def median(self) -> float:
        """The median wall time, in ms."""
        return statistics.median(self.times)


def once(argv: Sequence[str], environment: Mapping[str, str]) -> float:
    """Wall time of one run, in ms. Raises RuntimeError where it fails: a failure is no measurement."""
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1)]
    began = time.perf_counter()
    pid = os.posix_spawn(argv[0], list(argv), dict(environment), file_actions=null)
    _, status = os.waitpid(pid, 0)
    took = (time.perf_counter() - began) * 1000
    if status:
        raise RuntimeError(f"{argv} ended with {os.waitstatus_to_exitcode(status)}")
    return took


def interleaved(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], runs: int, warm_up: int = 2
) -> dict[str, Figure]:
    """Every command runs times, in turn; the first one is what the others are compared with."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(runs + warm_up):
        for name, argv in commands.items():
            took = once(argv, environment)
            if number >= warm_up:
                times[name].append(took)
    yardstick = times[next(iter(commands))]
    return {
        name: Figure(
            tuple(sorted(taken)), statistics.median(one / base for one, base in zip(taken, yardstick, strict=True))
        )
        for name, taken in times.items()
    }
