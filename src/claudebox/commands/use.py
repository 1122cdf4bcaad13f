"""`claudebox use`: what is remembered for a project, and where each effective value comes from."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any

from claudebox import arguments, console
from claudebox.agents import load_agent
from claudebox.commands.launch import start_directory
from claudebox.errors import ClaudeboxError
from claudebox.host import survey_user
from claudebox.model import Instance, Profile, Request
from claudebox.profile import Remembered, effective_profile, load_config
from claudebox.repository import find_project
from claudebox.run import instance, kept
from claudebox.text import printable

USAGE = "claudebox use [PROFILE...] [--network TIER] [--agent NAME] [--clear] [--json]"
EXAMPLES = """examples:
  claudebox use                        the effective values here, and where each comes from
  claudebox use --network offline      from now on in this project, where the command line does not say otherwise
  claudebox use --agent codex
  claudebox use --clear                remember nothing

It counts more than config.toml, and less than CLAUDEBOX_NETWORK and the command line."""


def use(argv: list[str], environment: dict[str, str]) -> int:
    """Remember what was named, or show what holds; the exit status. Raises ClaudeboxError."""
    typed = read(argv)
    user = survey_user(environment)
    ours = instance.find_home(environment, user.home)
    directory = start_directory("")
    identity = instance.identify(ours, user.uid, find_project(directory, user, ours).main)
    before = kept.remembered(identity.directory)
    wanted = Remembered() if typed.clear else before
    wanted = wanted._replace(network=typed.network or wanted.network, agent=typed.agent or wanted.agent)
    # all is judged before anything is written: a tier that there is not, an agent without a file
    config, request = load_config(ours, user.home), Request(action="agent")
    profile = effective_profile(request, config, environment, home=user.home, cwd=directory, remembered=wanted)
    if wanted.agent:
        load_agent(wanted.agent, f"{ours}/agents")
    if wanted != before:
        write(identity, ours, wanted)
    show(identity, profile, as_json=typed.json)
    return 0


def read(argv: list[str]) -> Namespace:
    """What was typed. Raises ClaudeboxError."""
    made = arguments.make("claudebox use", USAGE, EXAMPLES)
    add = made.add_argument
    add("profiles", metavar="PROFILE", nargs="*", help="come with a later release")
    add("-n", "--network", metavar="TIER", default="", help="how much network")
    add("--agent", metavar="NAME", default="", help="which agent")
    add("--clear", action="store_true", help="forget what was remembered before")
    add("--json", action="store_true", help="for scripts")
    typed = arguments.parse(made, argv)
    if typed.profiles:
        raise ClaudeboxError(
            f'"{typed.profiles[0]}": named profiles are not available yet',
            "write what every launch needs into config.toml, or remember --network and --agent",
        )
    return typed


def write(identity: Instance, ours: str, wanted: Remembered) -> None:
    """Put what is to be remembered into instance.toml. Raises ClaudeboxError."""
    here = instance.open_directory(identity, ours)
    try:
        kept.change(here, identity.directory, {}, wanted._asdict())
    finally:
        os.close(here)


def rows(profile: Profile) -> list[tuple[str, str, str]]:
    """(what, value, origin) of every effective value that a layer gave, and of the first ones always."""
    found = [
        ("network", profile.tier.value, str(profile.tier.origin)),
        ("agent", profile.agent.value, str(profile.agent.origin)),
        ("unattended", "yes" if profile.unattended.value else "no", str(profile.unattended.origin)),
    ]
    for name in ("backend", "nix_daemon", "nested_userns", "git_config"):
        setting = getattr(profile, name)
        if setting.origin.where:
            found.append((name, str(setting.value).lower(), str(setting.origin)))
    found += [("mount", f"{one.source} → {one.target} ({one.access})", str(one.origin)) for one in profile.mounts]
    found += [("env", one.value, str(one.origin)) for one in profile.env_pass]
    found += [("env", f"{one.value[0]}=…", str(one.origin)) for one in profile.env_set]
    return found


def show(identity: Instance, profile: Profile, *, as_json: bool) -> None:
    """Print the effective values on stdout."""
    found = rows(profile)
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
