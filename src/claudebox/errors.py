"""The one exception that ends a command: a sentence, a hint and an exit status."""

from __future__ import annotations

FAILED = 125  # claudebox itself failed, as podman and docker say it


class ClaudeboxError(Exception):
    """Something stops the command. `cli` prints it as one sentence and one hint, never as a traceback.

    message: what is wrong, one sentence without a full stop.
    hint: what to type or to change; empty only where nothing helps.
    exit_code: the exit status of the process, 125 unless a signal or a command says otherwise.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


def limits(error: OSError) -> str:
    """What to look at when the system has no more of something."""
    return {
        11: "ulimit -u says how many processes there may be",
        12: "ulimit -v and free say how much memory there is",
        24: "ulimit -n says how many files may be open: raise it",
    }.get(error.errno or 0, "free space, or check it")
