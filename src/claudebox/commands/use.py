"""`claudebox use`: what is remembered for a project, and where each effective value comes from."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any

from claudebox import arguments, console
from claudebox.agents import load_agent
from claudebox.commands.launch import start_directory
from claudebox.host import survey_user
from claudebox.model import Instance, Limits, Request, Setting
from claudebox.parsed import Loaded
from claudebox.profile import Remembered, effective_profile, load_files, single
from claudebox.render.effective import Row, rows
from claudebox.repository import find_project
from claudebox.run import instance, kept
from claudebox.text import printable

USAGE = "claudebox use [PROFILE...] [--network TIER] [--agent NAME] [--clear] [--json]"
EXAMPLES = """examples:
  claudebox use                        the effective values here, and where each comes from
  claudebox use --network offline      from now on in this project, where the command line does not say otherwise
  claudebox use python github          these profiles, left to right, instead of those remembered before
  claudebox use --clear                remember nothing

It counts more than config.toml, and less than CLAUDEBOX_PROFILE, CLAUDEBOX_NETWORK and the command line."""


def use(argv: list[str], environment: dict[str, str]) -> int:
    """Remember what was named, or show what holds; the exit status. Raises ClaudeboxError."""
    typed = read(argv)
    user = survey_user(environment)
    ours = instance.find_home(environment, user.home)
    directory = start_directory("")
    identity = instance.identify(ours, user.uid, find_project(directory, user, ours).main)
    before = kept.remembered(identity.directory)
    wanted = Remembered() if typed.clear else before
    wanted = wanted._replace(
        network=typed.network or wanted.network,
        agent=typed.agent or wanted.agent,
        profiles=tuple(typed.profiles) or wanted.profiles,
    )
    # all is judged before anything is written: a profile or a tier that there is not, an agent without a file
    if typed.profiles:  # also where CLAUDEBOX_PROFILE replaces them now
        load_files((), {}, wanted, ours=ours, home=user.home)
    files, request = load_files((), environment, wanted, ours=ours, home=user.home), Request(action="agent")
    profile = effective_profile(request, files, environment, home=user.home, cwd=directory, remembered=wanted)
    if wanted.agent:
        load_agent(wanted.agent, f"{ours}/agents")
    if wanted != before:
        write(identity, ours, wanted)
    show(identity, rows(profile, limits(files)), as_json=typed.json)
    return 0


def read(argv: list[str]) -> Namespace:
    """What was typed. Raises ClaudeboxError."""
    made = arguments.make("claudebox use", USAGE, EXAMPLES)
    add = made.add_argument
    add("profiles", metavar="PROFILE", nargs="*", help="profiles, left to right")
    add("-n", "--network", metavar="TIER", default="", help="how much network")
    add("--agent", metavar="NAME", default="", help="which agent")
    add("--clear", action="store_true", help="forget what was remembered before")
    add("--json", action="store_true", help="for scripts")
    return arguments.parse(made, argv)


def write(identity: Instance, ours: str, wanted: Remembered) -> None:
    """Put what is to be remembered into instance.toml. Raises ClaudeboxError."""
    here = instance.open_directory(identity, ours)
    try:
        kept.change(here, identity.directory, {}, wanted._asdict())
    finally:
        os.close(here)


def limits(files: tuple[Loaded, ...]) -> tuple[tuple[str, Setting[Any]], ...]:
    """The limits with their origins."""
    return tuple((name, single(files, f"limits.{name}")) for name in Limits._fields)


def show(identity: Instance, found: list[Row], *, as_json: bool) -> None:
    """Print the effective values on stdout."""
    if as_json:
        import json

        values: list[dict[str, Any]] = [
            {"name": name, "value": value, "origin": origin} for name, value, origin in found
        ]
        document = {"schema_version": 1, "project": identity.root, "instance": identity.id, "values": values}
        console.write(json.dumps(document, indent=2) + "\n", 1)
        return
    console.write(f"project  {printable(identity.root)}\n\n", 1)
    console.table(("setting", "value", "from"), found, descriptor=1)
