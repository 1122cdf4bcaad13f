"""Programs of the host and the agents' clients: where they are, which versions, what they lack."""

from __future__ import annotations

import os
from typing import NamedTuple

from claudebox import process
from claudebox.agents import agent_names, load_agent
from claudebox.checks import Agent, Problem, Program
from claudebox.checks.judge import numbers
from claudebox.errors import ClaudeboxError
from claudebox.locating import find_agent, find_program
from claudebox.model import Note

# name: options that its --help must know, because a launch uses them
WANTED: dict[str, tuple[str, ...]] = {
    "bwrap": ("--ro-bind-fd", "--bind-fd", "--json-status-fd", "--seccomp", "--args"),
    "git": (),
    "nft": (),
    "slirp4netns": (
        "--configure", "--exit-fd", "--ready-fd", "--mtu", "--cidr", "--disable-host-loopback", "--enable-ipv6",
        "--enable-sandbox", "--enable-seccomp",
    ),
    "pasta": ("--config-net", "--no-map-gw", "--userns", "--pid", "--no-ra", "--ns-ifname", "--tcp-ns", "--udp-ns"),
    "nix": (),
}  # fmt: skip
ENV = "/usr/bin/env"  # as host.ENV: the one that runs in the sandbox
SIGNALS = "--default-signal=INT,QUIT,HUP,TERM"


class Asked(NamedTuple):
    """A program that was found and is answering; help: None where nothing is wanted of it."""

    program: Program
    version: process.Capture
    help: process.Capture | None


def ask(name: str, path: str, untrusted: tuple[str, ...], group: int) -> Asked | Program:
    """Find a program and start asking it, in a guard's group; it answers while others do."""
    notes: list[Note] = []
    found = find_program(name, path, untrusted, notes)
    skipped = tuple(note.text.removesuffix(" is skipped: a sandbox can write there") for note in notes)
    program = Program(name=name, path=found, skipped=skipped)
    if not found:
        return program
    try:  # by its name: pasta is passt by another one
        version = _start(found, name, "--version", group)
        helped = _start(found, name, "--help", group) if WANTED[name] else None
    except ClaudeboxError as error:
        return program._replace(error=error.message)
    return Asked(program, version, helped)


def _start(path: str, name: str, option: str, group: int) -> process.Capture:
    environment = {"PATH": process.SYSTEM_PATH, "HOME": "/nonexistent"}
    return process.start_capture([name, option], environment=environment, group=group, path=path)


def answered(asked: Asked | Program, deadline: float) -> Program:
    """The program with what it said by the deadline."""
    if isinstance(asked, Program):
        return asked
    program, version, helped = asked
    done = process.finish_by(version, deadline)
    shown = process.finish_by(helped, deadline) if helped else None
    if done.status != 0:
        return program._replace(error=_ended(done))
    text = (shown.output + shown.errors).decode(errors="replace") if shown else ""
    lacks = tuple(option for option in WANTED[program.name] if option not in text)
    return program._replace(version=version_in(done.output.decode(errors="replace")), lacks=lacks)


def version_in(text: str) -> str:
    """The first word of the first line of what --version printed that begins with a number; "" without one."""
    for word in text.partition("\n")[0].split():
        bare = word.lstrip("(v").rstrip("),")
        if bare[:1].isdigit():
            return bare
    return ""


def _ended(done: process.Finished) -> str:
    if done.status == 137:
        return "it does not answer"
    lines = done.errors.decode(errors="replace").strip().splitlines()
    return f"it does not run: status {done.status}" + (f", {lines[-1]}" if lines else "")


def try_env(group: int, deadline: float) -> Program:
    """Whether env can give signals their default action; tried, because busybox's knows no such option."""
    program = Program(name="env", path=ENV if os.access(ENV, os.X_OK) else "")
    if not program.path:
        return program
    try:
        started = process.start_capture([ENV, SIGNALS, ENV], environment={}, group=group)
    except ClaudeboxError as error:
        return program._replace(error=error.message)
    done = process.finish_by(started, deadline)
    return program if done.status == 0 else program._replace(error=f"no --default-signal: {_ended(done)}")


def agents(ours: str, home: str, path: str, untrusted: tuple[str, ...], default: str) -> tuple[Agent, ...]:
    """Every agent that can be asked for, the default one first. None is run: one on the real login could lose it."""
    try:
        names = agent_names(f"{ours}/agents")
    except ClaudeboxError as error:
        return (Agent(name=default, title=default, problem=Problem(error.message, error.hint)),)
    return tuple(_agent(name, ours, home, path, untrusted) for name in sorted(names, key=lambda n: (n != default, n)))


def _agent(name: str, ours: str, home: str, path: str, untrusted: tuple[str, ...]) -> Agent:
    agent = Agent(name=name, title=name)
    try:
        spec = load_agent(name, f"{ours}/agents")
        agent = agent._replace(title=spec.title, install=spec.install)
        found = find_agent(spec, home, path, untrusted, [])
    except ClaudeboxError as error:
        return agent._replace(problem=Problem(error.message, error.hint))
    except OSError as error:
        return agent._replace(problem=Problem(f"{error.filename}: {error.strerror}"))
    if found is None:
        return agent
    old = bool(found.version) and numbers(found.version) < numbers(spec.minimum_version)
    wanted = spec.minimum_version if old else ""
    return agent._replace(found_at=found.found_at, version=found.version, too_old=wanted)
