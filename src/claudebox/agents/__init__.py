"""Agents are data: what one is called, where it lies, what it keeps, what of the host it may see.

A built-in one is `NAME.toml` beside this file, commented key by key in `claude.toml`. A file of the
same name in the user's `agents/` replaces it key by key, a new name adds an agent. A launch reads no
TOML for a built-in one: `builtin.py` is made from those files by scripts/make_agents.py.
"""

from __future__ import annotations

import os

from claudebox.errors import ClaudeboxError
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Pairs = tuple[tuple[str, str], ...]
WAYS = ("broker", "own", "variables")


class AgentSpec(NamedTuple):
    """One agent as its file describes it. Settings are relative to config_dir, all else to $HOME."""

    name: str
    title: str
    executables: tuple[str, ...]
    places: tuple[str, ...] = ()  # absolute, or from ~, where PATH does not lead
    packages: tuple[str, ...] = ()  # npm packages that it consists of; the first carries the version
    minimum_version: str = ""
    install: str = ""  # what to type to get it, or a newer one
    own_options: tuple[str, ...] = ()  # typed before `--` they get the hint "behind --"
    config_dir: str = ""
    config_variable: str = ""  # moves config_dir on the host
    state: tuple[str, ...] = ()  # what else it keeps below $HOME
    conversations: str = ""  # below config_dir: where it keeps conversations, by the path of the directory
    credentials: tuple[str, ...] = ()  # files below $HOME
    credential_variables: tuple[str, ...] = ()
    credential_groups: tuple[tuple[str, tuple[str, ...]], ...] = ()  # switch → those that are a login beside it
    login_way: str = "variables"  # of WAYS: how a sandbox gets the user's login
    login_keys: Pairs = ()  # way "broker": where in the file what is, as model.Shape has it
    login_kept: tuple[str, ...] = ()
    login_beside: tuple[str, ...] = ()
    login_early: int = 0  # seconds
    login_profile: str = ""  # the address that says whose an access token is
    login_lock: str = ""  # the directory, beside the file, that a client takes to refresh
    login_store_variable: str = ""  # the variable that moves credentials alone
    login_refresh: tuple[str, ...] = ()  # the client's arguments that refresh its login and wait for it
    login_command: tuple[str, ...] = ()  # those that log in
    login_pass: tuple[str, ...] = ()  # variables of the host that both need
    env_pass: tuple[str, ...] = ()
    env_set: Pairs = ()
    env_never: tuple[str, ...] = ()  # names and prefixes (`CLAUDE_CODE_*`) that no pattern lets pass
    read_only: tuple[str, ...] = ()
    copy: tuple[str, ...] = ()
    copy_once: tuple[str, ...] = ()
    drop: Pairs = ()  # keys that a copy leaves out, and why
    first_start_file: str = ""
    first_start_copy: tuple[str, ...] = ()
    first_start_follow: tuple[str, ...] = ()
    first_start_set: tuple[tuple[str, str | bool | int], ...] = ()
    unattended_arguments: tuple[str, ...] = ()
    unattended_environment: Pairs = ()
    unattended_environment_root: Pairs = ()  # as uid 0, on top of the others
    hosts: tuple[str, ...] = ()


def agent_names(user_directory: str) -> tuple[str, ...]:
    """The agents that can be asked for: the built-in ones and the user's, sorted."""
    from claudebox.agents.builtin import AGENTS

    try:
        entries = os.listdir(user_directory) if user_directory else []
    except (FileNotFoundError, NotADirectoryError):
        entries = []
    except OSError as error:
        hint = "make it readable, or remove it"
        raise ClaudeboxError(f"cannot list {user_directory}: {error.strerror}", hint) from None
    own = {entry[:-5] for entry in entries if entry.endswith(".toml") and is_name(entry[:-5])}
    return tuple(sorted(own.union(AGENTS)))


def load_agent(name: str, user_directory: str) -> AgentSpec:
    """The agent of that name: the built-in one, and over it the user's file, where they exist."""
    from claudebox.agents.builtin import AGENTS

    if is_name(name):
        own = os.path.join(user_directory, name + ".toml") if user_directory else ""
        if own and os.path.lexists(own):
            from claudebox.agents.parse import read_over

            return read_over(name, os.path.join(os.path.dirname(__file__), name + ".toml"), own)
        if name in AGENTS:
            return AgentSpec(*AGENTS[name])
    from claudebox.agents.parse import suggestion

    known = agent_names(user_directory)
    raise ClaudeboxError(f'there is no agent "{name}"', suggestion(name, known, f"agents are {', '.join(known)}"))


def parse_agent(data: dict[str, Any], where: str) -> AgentSpec:
    """The agent that a parsed file describes. Everything wrong with it is named at once."""
    from claudebox.agents.parse import parse

    return parse(data, where)


def is_name(text: str) -> bool:
    """Whether an agent can be called so: a name of a file, and of no other directory."""
    return (
        text.replace("-", "").replace("_", "").replace(".", "").isalnum()
        and text.isascii()
        and text[0].isalnum()
        and len(text) <= 64
    )
