"""What the sandbox runs: the agent with its options, a command, or a shell."""

from __future__ import annotations

from claudebox.agents import AgentSpec
from claudebox.errors import ClaudeboxError
from claudebox.jsontext import json_text
from claudebox.model import HomeFile, Host, Note, Profile, Request, Why


def command(request: Request, profile: Profile, host: Host, spec: AgentSpec) -> tuple[str, ...]:
    """The command in the sandbox. Raises ClaudeboxError when the agent is not installed."""
    if request.action == "run":
        return request.arguments
    if request.action == "shell":
        return (host.user.shell,)
    if host.agent is None:
        hint = f"install it: {spec.install}" if spec.install else "install it, or choose another with --agent"
        skipped = "".join(f"; {note.text}" for note in host.notes if note.severity == "weakening")
        missing = f"no {' or '.join(spec.executables)} was found"
        raise ClaudeboxError(f"{spec.title} is not installed here: {missing}{skipped}", hint)
    extra = spec.unattended_arguments if profile.unattended.value else ()
    return (*host.agent.command, *extra, *request.arguments)


def home_files(host: Host, spec: AgentSpec) -> list[HomeFile]:
    """The answers to what a first start would ask: the host's own, else the agent's data's."""
    if not spec.first_start_file:
        return []
    answers = {key: json_text(value) for key, value in spec.first_start_set} | dict(host.first_start)
    text = "{" + ", ".join(f"{json_text(key)}: {value}" for key, value in answers.items()) + "}\n"
    why = Why("what a first start asks, as it was answered on the host")
    return [HomeFile(path=spec.first_start_file, content=text.encode(errors="replace"), why=why)]


def notes(profile: Profile, host: Host, spec: AgentSpec) -> list[Note]:
    """What the user should know about the agent: unattended, or older than what we rely on."""
    found = []
    if profile.unattended.value:
        found.append(Note("info", f"unattended: {spec.title} asks nothing before it acts"))
    version, wanted = host.agent.version if host.agent else "", spec.minimum_version
    if version and wanted and numbers(version) < numbers(wanted):
        text = f"{spec.title} {version} is older than {wanted}, which claudebox relies on: {spec.install}"
        found.append(Note("weakening", text))
    return found


def numbers(version: str) -> tuple[int, ...]:
    """A version's numbers for comparison; what is no number ends it."""
    result = []
    for part in version.split("-")[0].split("."):
        if not part.isdigit():
            break
        result.append(int(part))
    return tuple(result)
