"""What the first launch of a project says, once."""

from __future__ import annotations

import os
from collections.abc import Mapping

from claudebox import console
from claudebox.agents import AgentSpec, load_agent
from claudebox.model import SandboxPlan


def say_what_stays(plan: SandboxPlan, environment: Mapping[str, str]) -> None:
    """The user's conversations with the agent, of this directory, stay on the host: a line, where there are any."""
    ours = os.path.dirname(os.path.dirname(plan.instance.directory))
    spec = load_agent(plan.agent, f"{ours}/agents")
    if has_conversations(spec, plan.home, plan.directory, environment):
        text = f"your conversations with {spec.title} on the host are not in this sandbox, which keeps its own"
        console.note("info", text)


def has_conversations(spec: AgentSpec, home: str, directory: str, environment: Mapping[str, str]) -> bool:
    """Whether the agent has conversations on the host that were begun in a directory. home: the user's."""
    if not spec.conversations:
        return False
    config = environment.get(spec.config_variable, "") or f"{home}/{spec.config_dir}"
    name = "".join(one if one.isascii() and one.isalnum() else "-" for one in directory)
    try:
        with os.scandir(f"{config}/{spec.conversations}/{name}") as found:
            return any(one.name.endswith(".jsonl") for one in found)
    except OSError:
        return False
