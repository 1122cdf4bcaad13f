"""The user's own settings of the agent in the instance's home: what is bound, what is copied, what stays out."""

from __future__ import annotations

from claudebox.agents import AgentSpec
from claudebox.model import (
    Bind,
    Host,
    Layer,
    Mount,
    MountRequest,
    Note,
    Origin,
    Pin,
    Profile,
    SettingsFile,
    SettingsTree,
    UserFile,
    Why,
)
from claudebox.plan.filesystem import below, check_request, placed
from claudebox.text import printable


def mounts(profile: Profile, host: Host, spec: AgentSpec) -> list[Mount]:
    """What of the settings is bound read-only into the home. Raises ClaudeboxError for what no mount may reach."""
    made: list[Mount] = []
    for target, source in host.settings.shown:
        if not apart(target, profile, host):
            continue
        origin = Origin(Layer.BUILTIN, f"your {spec.title} settings")
        request = MountRequest(source=source, target=target, access="ro", kind="auto", optional=True, origin=origin)
        check_request(request, Pin(path=source, fd=-1, directory=False), host)
        why = Why(f"yours of {spec.title}", origin)
        bind = Bind(source=source, target=target, access="ro", pinned=True, why=why)
        made += placed(bind._replace(sensitive=sensitive(source, host, spec)), host)
    return made


def apart(target: str, profile: Profile, host: Host) -> bool:
    """Whether a place of the home is not one that the project or a mount that was asked for takes."""
    root = host.project.root
    taken = below(target, root) or below(root, target)
    return not taken and not any(below(target, request.target) for request in profile.mounts)


def sensitive(source: str, host: Host, spec: AgentSpec) -> str:
    """Which known secret a bind of source reaches, or "". The settings lie beside the agent's login, not in it."""
    directory = host.settings.directory
    for place, what in host.sensitive:
        if below(place, source) or (below(source, place) and place != directory):
            return what
    for name in spec.credentials:
        login = directory + name[len(spec.config_dir) :] if below(name, spec.config_dir) else f"{host.user.home}/{name}"
        if below(login, source):
            return "the agent's login"
    return ""


def copies(profile: Profile, host: Host, spec: AgentSpec) -> list[SettingsFile | SettingsTree]:
    """What of the settings is copied into the home."""
    made: list[SettingsFile | SettingsTree] = []
    for file in host.settings.files:
        if not apart(f"{host.user.home}/{file.path}", profile, host) or not follows(file, spec):
            continue
        theirs = file.source or "yours, of which there is none now"
        what = f"{', '.join(file.keys)} of {theirs}" if file.keys else theirs
        why = Why(f"follows {what}, but for what was changed inside")
        made.append(
            SettingsFile(
                path=file.path,
                source=file.source,
                text=file.text,
                keys=file.keys,
                remembered=remembered(file),
                why=why,
            )
        )
    for path, source, done in host.settings.trees:
        if apart(f"{host.user.home}/{path}", profile, host):
            why = Why("copied once, then the instance's own")
            made.append(SettingsTree(path=path, source=source, done=done, why=why))
    return made


def follows(file: UserFile, spec: AgentSpec) -> bool:
    """Whether a file is more than what a first start was answered."""
    return bool(file.keys) or file.path != spec.first_start_file


def remembered(file: UserFile) -> tuple[str, ...]:
    """What the next launch needs to know of a file, as lines of `settings/state`; none of one that was not read."""
    if not file.stamp:
        return ()
    told = [f"note\t{note.severity}\t{note.text}" for note in file.notes]
    answers = [f"answer\t{key}\t{value}" for key, value in file.answers]
    brings = [f"brings\t{kind}\t{name}" for kind, name in file.brings]
    return (f"file\t{printable(file.path)}\t{file.stamp}", *told, *answers, *brings)


def notes(profile: Profile, host: Host, spec: AgentSpec) -> list[Note]:
    """What comes along, by its names, and what is left out of it."""
    found = [*host.settings.notes, *exposed(host, spec)]
    for file in host.settings.files:
        if apart(f"{host.user.home}/{file.path}", profile, host):
            found += file.notes
    return found


def exposed(host: Host, spec: AgentSpec) -> list[Note]:
    """A weakening where the project holds what the agent obeys on the host: a dotfiles repository, a skill."""
    found = held(host)
    if not found:
        return []
    text = f"the project holds settings that {spec.title} on the host obeys, hooks too: {', '.join(found)}"
    return [Note("weakening", printable(text))]


def held(host: Host) -> list[str]:
    """The user's settings on the host that the project is, contains or lies in."""
    settings, root = host.settings, host.project.root
    sources = (
        *(source for _, source in settings.shown),
        *(file.source for file in settings.files),
        *(source for _, source, _ in settings.trees),
    )
    return [source for source in sources if source and (below(source, root) or below(root, source))]
