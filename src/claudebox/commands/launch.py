"""`claudebox`, `claudebox run`, `claudebox shell`: decide, then show or perform."""

from __future__ import annotations

import os

from claudebox import console
from claudebox.agents import load_agent
from claudebox.errors import ClaudeboxError
from claudebox.host import survey, survey_user
from claudebox.model import Bind, Instance, Pin, Project, Request, SandboxPlan, User
from claudebox.plan import build_plan, review
from claudebox.profile import effective_profile, load_files
from claudebox.record import NamedTuple
from claudebox.repository import find_project
from claudebox.run import instance, kept, locks, session, stubs
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Start(NamedTuple):
    """Where a launch begins: what no profile changes."""

    user: User
    ours: str
    directory: str
    project: Project
    code: str
    identity: Instance


def perform(request: Request, environment: dict[str, str], after: Callable[[], None] | None = None) -> int:
    """Launch what was asked for, or with --dry-run print it; the exit status.

    after: called when all of it is gone, also where a Ctrl-C ends us then.
    """
    start = begin(request, environment)
    if request.dry_run:  # writes nothing, and takes part in nothing
        return show(known(decide(request, environment, start)[0], start.ours), as_json=request.json)
    here, held = join(request, start)
    plan, pins = decide(request, environment, start)
    while edited := reviewed(plan, request, here, environment):
        for pin in pins:
            os.close(pin.fd)
        from claudebox.commands.review import until_right

        # nothing of what was shown counts
        plan, pins = until_right(lambda: decide(request, environment, start), edited)
    kept.note_written(here, written(plan), start.project.main)
    return run(plan, {pin.path: pin.fd for pin in pins}, here, held, as_json=request.json, after=after)


def begin(request: Request, environment: dict[str, str]) -> Start:
    """The user, the project and its instance. Raises ClaudeboxError."""
    user = survey_user(environment)
    ours = instance.find_home(environment, user.home)
    directory = start_directory(request.project)
    project = find_project(directory, user, ours)
    code = check_code(project.root)
    identity = instance.identify(ours, user.uid, project.main)
    return Start(user=user, ours=ours, directory=directory, project=project, code=code, identity=identity)


def join(request: Request, start: Start) -> tuple[int, locks.Held]:
    """Take part in the project: the instance's directory and the locks. Raises ClaudeboxError."""
    where = start.identity
    here = instance.open_directory(where, start.ours)
    held = locks.join(
        here,
        where.directory,
        start.project.root,
        force=request.force,
        no_auth=request.no_auth,
        sweep=stubs.sweep,
    )
    session.sweep(here)
    return here, held


def decide(request: Request, environment: dict[str, str], start: Start) -> tuple[SandboxPlan, tuple[Pin, ...]]:
    """Files, survey, plan; the plan with its sources. Raises ClaudeboxError."""
    own = start.identity.directory
    remembered = kept.remembered(own)
    keep, home = not request.dry_run, start.user.home
    files = load_files(request.profiles, environment, remembered, ours=start.ours, home=home, keep=keep)
    profile = effective_profile(request, files, environment, home=home, cwd=start.directory, remembered=remembered)
    spec = load_agent(profile.agent.value, f"{start.ours}/agents")
    host = survey(
        profile,
        spec,
        start.user,
        environment,
        start.project,
        ours=start.ours,
        code=start.code,
        instance=own,
        keep=keep,
    )
    return build_plan(request, profile, host, spec, start.identity), host.pins


def written(plan: SandboxPlan) -> list[str]:
    """What of the host the sandbox can write, its own home apart."""
    binds = [mount for mount in plan.mounts if isinstance(mount, Bind) and mount.pinned and mount.access == "rw"]
    return [bind.source for bind in binds if bind.target != plan.home and not bind.submount]


def reviewed(plan: SandboxPlan, request: Request, here: int, environment: dict[str, str]) -> Callable[[], None] | None:
    """Show what is granted, and ask where it is more than was accepted.

    None when it is to be launched; what opens the editor again when something was edited: all is to be decided anew.
    Raises ClaudeboxError where it was refused, or nobody can be asked.
    """
    accepted = kept.accepted(plan.instance.directory)
    fresh = review.grown(plan.grants, accepted or ())
    first = accepted is None and os.isatty(2)
    if first:
        from claudebox.commands.first import say_what_stays

        say_what_stays(plan, environment)
    if fresh or first or request.review == "always":
        from claudebox.commands.review import consider

        return consider(plan, fresh, accepted, request, here, environment)
    announce(plan, accepted or ())
    return None


def announce(plan: SandboxPlan, accepted: tuple[tuple[str, ...], ...]) -> None:
    """One line on a terminal, and the weakenings that were not shown before; elsewhere all of these."""
    weak = [note for note in plan.notes if note.severity != "info"]
    if os.isatty(2):
        from claudebox.render.review import line

        console.say(f"claudebox: {line(plan)}")
        weak = [note for note in weak if review.note_row(note) not in accepted]
    for note in weak:
        console.note(note.severity, note.text)


def run(
    plan: SandboxPlan,
    pins: dict[str, int],
    here: int,
    held: locks.Held,
    *,
    as_json: bool = False,
    after: Callable[[], None] | None = None,
) -> int:
    """Launch; the command's exit status. as_json: the report at the end is for programs."""
    from claudebox.run.launch import launch

    ending = launch(plan, pins, here, held, as_json=as_json)
    if after:
        after()
    if plan.network.learn:
        from claudebox.commands.networklog import learned

        learned(plan)
    if ending.interrupt is not None:
        # As if the terminal had told our group too: a shell loop and a pipeline end on one Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(ending.interrupt, signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return ending.status


def known(plan: SandboxPlan, ours: str) -> SandboxPlan:
    """The plan with what is known of its packages; nothing is realised for it. ours: claudebox's directory."""
    if not plan.packages:
        return plan
    from claudebox.run import packages

    return packages.known(plan, ours)


def show(plan: SandboxPlan, *, as_json: bool) -> int:
    """Print the plan on stdout: what is granted and the exact commands."""
    from claudebox.render import audit, export, script

    text = export.as_json(plan) if as_json else audit.text(plan) + "\n" + script.text(plan)
    console.write(text, 1)
    return 0


def start_directory(option: str) -> str:
    """The canonical directory that the command starts in. Raises ClaudeboxError."""
    try:
        path = os.path.realpath(option or os.getcwd())
    except FileNotFoundError:
        raise ClaudeboxError("the current directory was deleted", "cd to a directory that exists") from None
    if not os.path.isdir(path):
        raise ClaudeboxError(f"{path} is not a directory", "choose a project directory")
    if not os.access(path, os.R_OK | os.X_OK):
        raise ClaudeboxError(f"{path} cannot be read", "choose a project directory of yours")
    return path


def check_code(root: str) -> str:
    """Where claudebox is installed. An installation that the sandbox could write would run what it planted."""
    code = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if code.startswith(root.rstrip("/") + "/"):
        raise ClaudeboxError(
            f"claudebox itself runs from {code}, in the project that the sandbox can write",
            "install a copy: uv tool install CHECKOUT, or pipx install CHECKOUT",
        )
    return code
