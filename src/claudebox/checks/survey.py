"""Gathers the facts. Nothing of it stops at what is wrong; nothing is left of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from claudebox.checks import Device, Facts, Problem, Program, Sandbox, fixes, programs, state, tiers, trials
from claudebox.errors import ClaudeboxError
from claudebox.host import survey_user
from claudebox.model import Profile, Project, Request, Tools, User
from claudebox.process import SYSTEM_PATH
from claudebox.profile import Remembered, effective_profile, load_files
from claudebox.repository import find_project
from claudebox.run import guard, instance, kept
from claudebox.run.landlock import landlock_abi

T = TypeVar("T")
SECONDS = 1.6  # for all of it: what has not answered by then does not work
NIX_DAEMON = "/nix/var/nix/daemon-socket/socket"
TUN = "/dev/net/tun"


class Place(NamedTuple):
    """Whose launch is judged, and where. untrusted: what some sandbox can write; user, state, config: what is wrong."""

    user: Problem | None
    home: str
    ours: str
    state: tuple[Problem, ...]
    profile: Profile | None
    config: tuple[Problem, ...]
    untrusted: tuple[str, ...]


def survey(environment: Mapping[str, str]) -> Facts:
    """Try everything that a launch needs, for the person who runs us and the current directory."""
    deadline = time.monotonic() + SECONDS
    place = find_place(environment)
    path = environment.get("PATH", "") or SYSTEM_PATH
    watch = guard.start_guard("/bin/sh")  # with us, killed too, ends what was asked and hangs
    asked: dict[str, programs.Asked | Program] = {}
    try:
        for name in programs.WANTED:
            asked[name] = programs.ask(name, path, place.untrusted, watch.pid)
        found = {"env": programs.try_env(watch.pid, deadline)}
        for name in ("bwrap", "nft"):  # the sandbox wants them
            found[name] = programs.answered(asked.pop(name), deadline)
        uname = os.uname()
        default = place.profile.agent.value if place.profile else "claude"
        tier = place.profile.tier.value if place.profile else "offline"
        tried = {
            "userns": trials.userns(),
            "seccomp": trials.filter_loads(uname.machine),
            "landlock_abi": landlock_abi(),
            "scopes": trials.scopes(),
            "sandbox": _sandbox(found, uname.machine, deadline),
            "tun": _tun(),
            "nix_daemon": _daemon(NIX_DAEMON),
            # none of these is run, so the home is no reason not to find them
            "agents": programs.agents(
                place.ours, place.home, path, tuple(one for one in place.untrusted if one != place.home), default
            ),
            "state": state.survey_state(place.ours, place.state),
            "terminal": _terminal(),
        }
        for name in tuple(asked):
            found[name] = programs.answered(asked.pop(name), deadline)
    finally:
        for one in asked.values():
            programs.answered(one, 0)  # it is ended
        guard.leave(watch)
    return Facts(
        machine=fixes.machine(_os_release(), os.getuid()),
        kernel=uname.release,
        asked_tier=tier,
        tier=tiers.judged(tier),
        user=place.user,
        programs=tuple(found.values()),
        default_agent=default,
        config=place.config,
        **tried,  # type: ignore[arg-type]
    )


def find_place(environment: Mapping[str, str]) -> Place:
    """What a launch here begins with. What is wrong is noted, and the rest goes on with what is usual."""
    wrong: dict[str, list[Problem]] = {"user": [], "state": [], "config": []}
    user = _or(wrong["user"], lambda: survey_user(environment), None)
    home = user.home if user else _home()
    usual = environment.get("CLAUDEBOX_HOME", "")
    usual = usual if usual.startswith("/") else f"{home}/.claudebox"
    ours = _or(wrong["state"], lambda: instance.find_home(environment, home), usual)
    project = _project(user, ours)
    remembered = _or(wrong["config"], lambda: _remembered(user, ours, project), Remembered())
    profile = _or(wrong["config"], lambda: _profile(environment, ours, home, remembered), None)
    unsure: tuple[str, ...] = (home,)  # where that cannot be told, nothing that lies below it is run
    projects = _or(wrong["state"], lambda: kept.projects(ours), unsure)
    written = [os.path.realpath(m.source) for m in profile.mounts if m.access == "rw"] if profile else []
    return Place(
        user=wrong["user"][0] if wrong["user"] else None,
        home=home,
        ours=ours,
        state=tuple(wrong["state"]),
        profile=profile,
        config=tuple(wrong["config"]),
        untrusted=(ours, *projects, *([project.root] if project else []), *written),
    )


def _or(wrong: list[Problem], find: Callable[[], T], usual: T) -> T:
    """What find finds; where it cannot, the reason is noted and what is usual is taken."""
    try:
        return find()
    except ClaudeboxError as error:
        wrong.append(Problem(error.message, error.hint))
        return usual


def _home() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/nonexistent"


def _project(user: User | None, ours: str) -> Project | None:
    """The project around the current directory, where a launch would work in one: its sandbox can write there."""
    try:
        return find_project(os.path.realpath(os.getcwd()), user, ours) if user else None
    except (ClaudeboxError, OSError):
        return None


def _remembered(user: User | None, ours: str, project: Project | None) -> Remembered:
    if user is None or project is None:
        return Remembered()
    return kept.remembered(instance.identify(ours, user.uid, project.main).directory)


def _profile(environment: Mapping[str, str], ours: str, home: str, remembered: Remembered) -> Profile:
    """The defaults of a launch in the current directory."""
    files = load_files((), environment, remembered, ours=ours, home=home)
    asked = Request(action="agent")
    return effective_profile(asked, files, environment, home=home, cwd="/", remembered=remembered)


def _sandbox(found: Mapping[str, Program], machine: str, deadline: float) -> Sandbox:
    bwrap, env = found["bwrap"], found["env"]
    if not bwrap.path or bwrap.error or bwrap.lacks or not env.path or env.error:
        return Sandbox()
    tools = Tools(bwrap=bwrap.path, bwrap_version=(), sh="/bin/sh", env=env.path)
    return trials.sandbox(tools, machine, found["nft"].path, deadline)


def _tun() -> Device:
    try:
        mode = os.stat(TUN).st_mode & 0o7777
    except OSError:
        return Device(exists=False)
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return Device(exists=True, mode=mode, error=error.strerror or "")
    return Device(exists=True, mode=mode)


def _daemon(path: str) -> str | None:
    """Whether the nix daemon takes connections: None without a socket, else "" or why not."""
    import socket

    if not os.path.exists(path):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
        client.settimeout(0.5)
        try:
            client.connect(path)
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _terminal() -> str:
    try:
        for descriptor in os.openpty():
            os.close(descriptor)
    except OSError as error:
        return f"no pseudo-terminal can be made: {error.strerror}"
    return ""


def _os_release() -> str:
    return trials.read("/etc/os-release") or trials.read("/usr/lib/os-release")
