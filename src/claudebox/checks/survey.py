"""Gathers the facts. Nothing of it stops at what is wrong; nothing is left of it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from claudebox.checks import Device, Facts, Problem, Program, Sandbox, fixes, programs, state, tiers, trials
from claudebox.errors import ClaudeboxError
from claudebox.host import survey_user
from claudebox.model import Profile, Request, Tools
from claudebox.process import SYSTEM_PATH
from claudebox.profile import effective_profile, load_config
from claudebox.repository import find_project
from claudebox.run import kept
from claudebox.run.landlock import landlock_abi

SECONDS = 1.5  # for all programs together; one that has not answered by then does not work
NIX_DAEMON = "/nix/var/nix/daemon-socket/socket"
TUN = "/dev/net/tun"


def survey(environment: Mapping[str, str]) -> Facts:
    """Try everything that a launch needs, for the person who runs us and the current directory."""
    deadline = time.monotonic() + SECONDS
    user, home = _home(environment)
    ours = environment.get("CLAUDEBOX_HOME", "") or f"{home}/.claudebox"
    path = environment.get("PATH", "") or SYSTEM_PATH
    profile, config = _profile(environment, ours, home)
    untrusted = (ours, *kept.projects(ours), *_project(environment, ours), *_written(profile))
    asked = [programs.ask(name, path, untrusted) for name in programs.WANTED]
    env = programs.try_env(deadline)
    default = profile.agent.value if profile else "claude"
    uname = os.uname()
    tried = {
        "userns": trials.userns(),
        "seccomp": trials.filter_loads(uname.machine),
        "landlock_abi": landlock_abi(),
        "scopes": trials.scopes(),
        "tun": _tun(),
        "nix_daemon": _daemon(NIX_DAEMON),
        "agents": programs.agents(ours, home, path, untrusted, default),
        "state": state.survey_state(ours),
        "terminal": _terminal(),
    }
    found = (*(programs.answered(one, deadline) for one in asked), env)
    return Facts(
        machine=fixes.machine(_os_release(), os.getuid()),
        kernel=uname.release,
        tier=tiers.judged(profile.tier.value if profile else "offline"),
        user=user,
        sandbox=_sandbox({one.name: one for one in found}, uname.machine),
        programs=found,
        default_agent=default,
        config=config,
        **tried,  # type: ignore[arg-type]
    )


def _home(environment: Mapping[str, str]) -> tuple[Problem | None, str]:
    try:
        return None, survey_user(environment).home
    except ClaudeboxError as error:
        import pwd

        try:
            return Problem(error.message, error.hint), pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return Problem(error.message, error.hint), "/nonexistent"


def _project(environment: Mapping[str, str], ours: str) -> tuple[str, ...]:
    """The project around the current directory, where a launch would work in one: its sandbox can write there."""
    try:
        return (find_project(os.path.realpath(os.getcwd()), survey_user(environment), ours).root,)
    except (ClaudeboxError, OSError):
        return ()


def _written(profile: Profile | None) -> tuple[str, ...]:
    """What config.toml lets every sandbox write."""
    return tuple(os.path.realpath(m.source) for m in profile.mounts if m.access == "rw") if profile else ()


def _profile(environment: Mapping[str, str], ours: str, home: str) -> tuple[Profile | None, tuple[Problem, ...]]:
    """The defaults of a launch in the current directory, and what is wrong with config.toml or the environment."""
    try:
        config = load_config(ours, home)
        return effective_profile(Request(action="agent"), config, environment, home=home, cwd="/"), ()
    except ClaudeboxError as error:
        return None, (Problem(error.message, error.hint),)


def _sandbox(found: Mapping[str, Program], machine: str) -> Sandbox:
    bwrap, env = found["bwrap"], found["env"]
    if not bwrap.path or bwrap.error or bwrap.lacks or not env.path or env.error:
        return Sandbox()
    tools = Tools(bwrap=bwrap.path, bwrap_version=(), sh="/bin/sh", env=env.path)
    return trials.sandbox(tools, machine, found["nft"].path, time.monotonic() + SECONDS)


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
