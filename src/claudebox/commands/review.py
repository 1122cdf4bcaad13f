"""The review before a launch: what is granted, the question where it is more than was accepted, what is kept of it.

Imported only when there is something to show. The plan that is shown is the plan that is launched: while the question
stands nothing is read again, and an edit decides everything anew.
"""

from __future__ import annotations

import os
import shlex

from claudebox import console, process
from claudebox.errors import ClaudeboxError
from claudebox.host import ENV
from claudebox.locating import find_program, writable
from claudebox.lookalike import shown
from claudebox.model import Grant, Layer, Request, SandboxPlan
from claudebox.plan.review import note_row, row
from claudebox.render import review
from claudebox.run import accepted, kept
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from claudebox.model import Pin

    Decided = tuple[SandboxPlan, tuple[Pin, ...]]

ACCEPT, SESSION, REFUSE, EDIT, COMMAND, ALL = "accept", "session", "refuse", "edit", "command", "all"
QUESTION = "[a]ccept, [s]ession only, [r]efuse, [e]dit, [b]wrap command, [?] everything:"
ANSWERS = {
    "a": ACCEPT, "accept": ACCEPT, "y": ACCEPT, "yes": ACCEPT, "s": SESSION, "session": SESSION,
    "r": REFUSE, "refuse": REFUSE, "n": REFUSE, "no": REFUSE, "q": REFUSE, "": REFUSE,
    "e": EDIT, "edit": EDIT, "b": COMMAND, "?": ALL,
}  # fmt: skip

AGAIN = {"e": EDIT, "edit": EDIT, "r": REFUSE, "refuse": REFUSE, "n": REFUSE, "q": REFUSE, "": REFUSE}
REFUSED = "not launched: the review was refused"


def consider(
    plan: SandboxPlan,
    fresh: tuple[Grant, ...],
    before: tuple[tuple[str, ...], ...] | None,
    request: Request,
    here: int,
    environment: dict[str, str],
) -> Callable[[], None] | None:
    """Show what is granted and ask about it; what opens the editor again when something was edited, else None.

    fresh: what goes beyond before, which was accepted last, None if nothing was; here: the instance's directory.
    Raises ClaudeboxError where it was refused, or nobody can be asked.
    """
    asks = bool(fresh) or request.review == "always"
    silent = request.yes and not console.visible()
    if not silent:
        show(plan, fresh, whole=before is None or request.review == "always", asks=asks)
    answer = ACCEPT if request.yes or not asks else answered(plan, fresh)
    if answer == EDIT:
        again = editor(plan, fresh, environment)
        again()
        return again
    if answer != SESSION:
        rows = [row(one) for one in plan.grants]
        rows += [note_row(note) for note in plan.notes if note.severity != "info"]
        accepted.record(here, plan.instance.directory, rows)
    if silent:
        for note in plan.notes:
            if note.severity != "info":
                console.note(note.severity, note.text)
    return None


def show(plan: SandboxPlan, fresh: tuple[Grant, ...], *, whole: bool, asks: bool) -> None:
    """The list, or what is new in it, on stderr."""
    project = shown(plan.project)
    if fresh and not whole:
        console.say(f"claudebox: this launch grants more than was accepted for {project}")
    else:
        console.say(f"claudebox: what this launch grants for {project}" + ("" if asks else ": the defaults"))
    rows = review.everything(plan, fresh) if whole else review.new(plan, fresh)
    console.listed([one[:3] for one in rows], [one.severity for one in rows])


def answered(plan: SandboxPlan, fresh: tuple[Grant, ...]) -> str:
    """What the person decides. Raises ClaudeboxError where it is no, or nobody can be asked."""
    if not console.can_ask():
        raise ClaudeboxError(
            "this launch is to be accepted, and there is no terminal to ask on",
            "start it once in a terminal, or accept the list above with -y",
        )
    while True:
        answer = console.choose(QUESTION, ANSWERS)
        if answer == ALL:
            show(plan, fresh, whole=True, asks=True)
        elif answer == COMMAND:
            from claudebox.render import script

            console.write(script.text(plan))
        elif answer in (ACCEPT, SESSION, EDIT):
            return answer
        else:
            raise ClaudeboxError(REFUSED, "leave out what you do not want to grant")


# --- editing -------------------------------------------------------------------------------------


def until_right(decide: Callable[[], Decided], edit: Callable[[], None]) -> Decided:
    """Decide; what is wrong with what was edited is said, and it can be edited again. Raises ClaudeboxError."""
    while True:
        try:
            return decide()
        except ClaudeboxError as error:
            console.error(error)
            if console.choose("[e]dit again, [r]efuse:", AGAIN) != EDIT:
                raise ClaudeboxError(REFUSED, "what was edited stays as it is") from None
            edit()


def editor(plan: SandboxPlan, fresh: tuple[Grant, ...], environment: dict[str, str]) -> Callable[[], None]:
    """What opens the file that asks for something new in the user's editor, and waits. Raises ClaudeboxError.

    The editor is taken from no directory that a sandbox can write, and starts in none: editors obey files there.
    """
    ours = os.path.dirname(os.path.dirname(plan.instance.directory))
    file = written_in(fresh or plan.grants, environment.get("HOME", "")) or f"{ours}/config.toml"
    words = shlex.split(environment.get("VISUAL") or environment.get("EDITOR") or "vi")
    untrusted = (ours, plan.project, *kept.projects(ours))
    program = located(words[0], environment.get("PATH", ""), untrusted)
    argv = [ENV, "-C", "/", program, *words[1:], file]

    def edit() -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the editor's while that runs
        try:
            pid = process.spawn(argv, environment=environment, default_signals=[signal.SIGINT, signal.SIGPIPE])
            os.waitpid(pid, 0)
        finally:
            signal.signal(signal.SIGINT, before)

    return edit


def located(name: str, path: str, untrusted: tuple[str, ...]) -> str:
    """The editor's program. Raises ClaudeboxError for one that a sandbox could have written."""
    if "/" not in name:
        program = find_program(name, path, untrusted, [])
    else:
        program = os.path.realpath(name)
        if writable(name, untrusted) or writable(program, untrusted) or not os.access(program, os.X_OK):
            program = ""
    if not program:
        raise ClaudeboxError(f"{shown(name)} is not there, or a sandbox could have put it there", "set EDITOR")
    return program


def written_in(grants: tuple[Grant, ...], home: str) -> str:
    """The file that asks for the first of the grants that a file asks for; "" if none does."""
    for one in grants:
        file, _, number = one.origin.where.rpartition(":")
        if one.origin.layer != Layer.BUILTIN and number.isdigit() and file.startswith(("/", "~/")):
            return home + file[1:] if file.startswith("~/") else file
    return ""
