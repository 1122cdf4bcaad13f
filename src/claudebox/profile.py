"""The effective settings of a launch: built-in < config.toml < remembered < environment < command line.

What a profile says ranks where the profile was named. Single values are replaced by a later layer, lists add up, and
each value keeps its origin. Without a config.toml and a profile nothing is imported here but the table: the rest
costs milliseconds.
"""

from __future__ import annotations

import os

from claudebox import schema
from claudebox.errors import ClaudeboxError
from claudebox.model import BUILTIN, Layer, Limits, MountRequest, Origin, Profile, Request, Setting
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from claudebox.parsed import Loaded


class Remembered(NamedTuple):
    """What `claudebox use` keeps for a project; empty where nothing was said."""

    network: str = ""
    agent: str = ""
    profiles: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()  # as `claudebox network allow --save` wrote them, and the two below
    host_ports: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()


def load_files(
    profiles: tuple[str, ...],
    environment: Mapping[str, str],
    remembered: Remembered,
    *,
    ours: str,
    home: str,
    keep: bool = False,
) -> tuple[Loaded, ...]:
    """config.toml and the named profiles with what they extend, lowest first; all checked and found right.

    profiles: as typed; ours: claudebox's directory; home: the user's; keep: whether what was found right may be
    written down (a dry run writes nothing). Raises ClaudeboxError about all that is wrong.
    """
    names, layer, by = named(profiles, environment, remembered)
    config = f"{ours}/config.toml"
    if not names:
        try:
            os.lstat(config)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError:  # it may be there: reading it will say what is wrong
            pass
    from claudebox import lineage

    return lineage.load(config, lineage.Named(names, layer, by), lineage.Places(ours, home), keep=keep)


def named(
    profiles: tuple[str, ...], environment: Mapping[str, str], remembered: Remembered
) -> tuple[tuple[str, ...], int, str]:
    """The profiles that were named, where, and by what: `-P` replaces CLAUDEBOX_PROFILE, that what `use` remembered."""
    if profiles:
        return profiles, Layer.COMMAND_LINE, "-P"
    if listed := environment.get("CLAUDEBOX_PROFILE"):
        return tuple(name.strip() for name in listed.split(",") if name.strip()), Layer.ENVIRONMENT, "CLAUDEBOX_PROFILE"
    return remembered.profiles, Layer.REMEMBERED, "claudebox use"


def effective_profile(
    request: Request,
    files: tuple[Loaded, ...],
    environment: Mapping[str, str],
    *,
    home: str,
    cwd: str,
    remembered: Remembered | None = None,
) -> Profile:
    """All layers of this launch. files: as `load_files` found them; home: the user's; cwd: canonical, where relative
    paths of `-m` start."""
    remembered = remembered or Remembered()
    network = environment.get("CLAUDEBOX_NETWORK", "")
    passed, assigned = _variables(files, request.env)
    return Profile(
        agent=single(
            files,
            "agent",
            _agent(remembered.agent, Origin(Layer.REMEMBERED, "claudebox use")),
            _agent(request.agent, Origin(Layer.COMMAND_LINE, f"--agent {request.agent}")),
        ),
        unattended=single(
            files,
            "unattended",
            Setting(True, Origin(Layer.COMMAND_LINE, "--unattended")) if request.unattended else None,
        ),
        tier=single(
            files,
            "network.tier",
            _tier(remembered.network, Origin(Layer.REMEMBERED, "claudebox use")),
            _tier(network, Origin(Layer.ENVIRONMENT, "CLAUDEBOX_NETWORK")),
            _tier(request.network, Origin(Layer.COMMAND_LINE, f"-n {request.network}")),
            _learning(request),
        ),
        backend=single(files, "network.backend"),
        **_reach(files, request, remembered),
        env_pass=passed,
        env_set=assigned,
        mounts=_mounts(files, request.mounts, environment, home, cwd),
        nix_daemon=single(files, "sandbox.nix_daemon"),
        nested_userns=single(files, "sandbox.nested_userns"),
        git_config=single(files, "sandbox.git_config"),
        limits=_limits(files),
        secrets=_secrets(files, home),
        packages=_packages(files, request.packages, home),
        profiles=_profiles(files, named(request.profiles, environment, remembered)[2]),
    )


# --- single values -------------------------------------------------------------------------------


def single(files: tuple[Loaded, ...], path: str, *typed: Setting[Any] | None) -> Setting[Any]:
    """The value of the highest layer that has one, else the built-in default. path: as `network.tier`; typed: what the
    project, the environment and the command line say themselves, which goes before a profile that they name."""
    best = Setting(schema.BY_PATH[path].default, BUILTIN)
    for one in (*(_written(file, path) for file in files), *typed):
        if one and one.origin.layer >= best.origin.layer:
            best = one
    return best


def _written(file: Loaded, path: str) -> Setting[Any] | None:
    names = path.split(".")
    value: Any = file.document
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None else Setting(value, file.origin(*names))


def _agent(name: str, origin: Origin) -> Setting[str] | None:
    if not name:
        return None
    from claudebox.typed import is_agent

    if not is_agent(name):
        raise ClaudeboxError(f'--agent: "{name}" is not a name of an agent', "an example is --agent claude")
    return Setting(name, origin)


def _tier(tier: str, origin: Origin) -> Setting[Any] | None:
    if not tier:
        return None
    if tier not in schema.TIERS:
        from claudebox.nearest import nearest

        option = origin.where.split(" ")[0]
        meant = nearest(tier, schema.TIERS)
        raise ClaudeboxError(
            f'{option}: there is no network tier "{tier}"' + (f', nearest is "{meant}"' if meant else ""),
            f"the tiers are {', '.join(schema.TIERS)}",
        )
    return Setting(tier, origin)


def _learning(request: Request) -> Setting[Any] | None:
    """The tier that `--learn` means. Raises ClaudeboxError where another one was typed."""
    if not request.learn:
        return None
    if request.network not in ("", "allowlist"):
        raise ClaudeboxError(f"--learn means tier allowlist, not -n {request.network}", "leave one of them out")
    return Setting("allowlist", Origin(Layer.COMMAND_LINE, "--learn"))


def _reach(files: tuple[Loaded, ...], request: Request, remembered: Remembered) -> dict[str, Any]:
    """The lists of `[network]`; nothing is imported for them where none is said."""
    typed = request.allow or request.host_ports or request.publish or request.learn
    if not (files or typed or remembered.allow or remembered.host_ports or remembered.publish):
        return {"allow_lan": ()}
    from claudebox import reach

    return reach.lists(files, request, remembered._asdict())


def _limits(files: tuple[Loaded, ...]) -> Limits:
    from claudebox.typed import size

    return Limits(
        processes=single(files, "limits.processes").value,
        memory=single(files, "limits.memory").value,
        tmp=size(single(files, "limits.tmp").value),
    )


# --- lists ---------------------------------------------------------------------------------------


def _profiles(files: tuple[Loaded, ...], by: str) -> tuple[Setting[str], ...]:
    """The profiles that apply, and who named them or what extends them."""
    found: dict[str, Setting[str]] = {}
    for file in files:
        if file.profile:
            found.pop(file.profile, None)
            by_whom = "config.toml" if file.layer == Layer.CONFIG else by
            found[file.profile] = Setting(file.profile, Origin(file.layer, by_whom))
    return tuple(found.values())


def _variables(
    files: tuple[Loaded, ...], options: tuple[str, ...]
) -> tuple[tuple[Setting[str], ...], tuple[Setting[tuple[str, str]], ...]]:
    """What passes and what is set. Of a name that is given again, passed or set, the last one counts alone; `!NAME`
    takes out what was said below it."""
    passed: list[Setting[str]] = []
    assigned: dict[str, Setting[tuple[str, str]]] = {}

    def forget(name: str) -> None:
        passed[:] = [one for one in passed if one.value != name]
        assigned.pop(name, None)

    for file in files:
        from claudebox.typed import matches

        table = file.document.get("env", {})
        for index, name in enumerate(table.get("pass", ())):
            forget(name)
            if name.startswith("!"):
                for out in [one for one in assigned if matches(one, (name[1:],))]:
                    del assigned[out]
            passed.append(Setting(name, file.origin("env", "pass", index)))
        for name, value in table.get("set", {}).items():
            forget(name)
            assigned[name] = Setting((name, value), file.origin("env", "set", name))
    for text in options:
        from claudebox.typed import assignment

        name, given = assignment(text)
        origin = Origin(Layer.COMMAND_LINE, f"-e {name}")  # never the value
        forget(name)
        if given is None:
            passed.append(Setting(name, origin))
        else:
            assigned[name] = Setting((name, given), origin)
    return tuple(passed), tuple(assigned.values())


def _packages(files: tuple[Loaded, ...], options: tuple[str, ...], home: str) -> tuple[Setting[str], ...]:
    """The nix packages, in full and each once, in the order in which they are written; nothing is imported for them
    where none is said."""
    if not options and not any("packages" in file.document for file in files):
        return ()
    from claudebox import installable, typed

    found: dict[str, Setting[str]] = {}
    for file in files:
        for index, written in enumerate(file.document.get("packages", ())):
            installable.add(found, written, file.origin("packages", index), home)
    for text in options:
        try:
            installable.add(found, text, Origin(Layer.COMMAND_LINE, f"--package {text}"), home)
        except typed.Unusable as error:
            raise ClaudeboxError(f"--package {text}: expected {error}", "an example is --package python3") from None
    return tuple(found.values())


def _secrets(files: tuple[Loaded, ...], home: str) -> tuple[Setting[str], ...]:
    """More places that hold a secret, of all files."""
    found = []
    for file in files:
        for index, written in enumerate(file.document.get("sandbox", {}).get("secrets", ())):
            from claudebox.typed import path

            found.append(Setting(path(written, home), file.origin("sandbox", "secrets", index)))
    return tuple(found)


def _mounts(
    files: tuple[Loaded, ...], options: tuple[str, ...], environment: Mapping[str, str], home: str, cwd: str
) -> tuple[MountRequest, ...]:
    """By target: two mounts at one place cannot add up, so the later one replaces the earlier."""
    asked: dict[str, MountRequest] = {}
    written = [one for file in files for one in _written_mounts(file, environment, home)]
    for one in [*written, *(_typed_mount(text, home, cwd) for text in options)]:
        asked.pop(one.target, None)
        asked[one.target] = one
    return tuple(asked.values())


def _written_mounts(file: Loaded, environment: Mapping[str, str], home: str) -> list[MountRequest]:
    from claudebox.typed import path

    defaults = {name: key.default for name, key in schema.keys_of("mounts").items()}
    requests = []
    for index, written in enumerate(file.document.get("mounts", ())):
        table = {**defaults, **written}
        origin = file.origin("mounts", index)
        source = _source(table, environment, home, origin)
        if not source:
            continue
        requests.append(
            MountRequest(
                source=source,
                target=path(table["target"], home) if table["target"] else source,
                access=table["access"],
                kind=table["kind"],
                optional=table["optional"],
                origin=origin,
            )
        )
    return requests


def _source(table: dict[str, Any], environment: Mapping[str, str], home: str, origin: Origin) -> str:
    """The path of the host that a mount names, itself or as `$NAME` by a variable of the host; "" where an optional
    one is not set. Raises ClaudeboxError."""
    from claudebox.typed import Unusable, path, variable

    name = variable(table["source"])
    if not name:
        return path(table["source"], home)
    try:
        return path(environment.get(name, ""), home)
    except Unusable as error:
        if table["optional"] and not environment.get(name):
            return ""
        hint = f"export {name}, or leave out what names it" if not environment.get(name) else f"correct {name}"
        raise ClaudeboxError(f"mount ${name} ({origin}): expected {error} in the host's {name}", hint) from None


def _typed_mount(text: str, home: str, cwd: str) -> MountRequest:
    from claudebox.typed import Unusable, mount, path

    spec = mount(text)
    try:
        source = path(spec.source, home, cwd)
        target = path(spec.target, home) if spec.target else source
    except Unusable as error:
        raise ClaudeboxError(f'-m "{text}": expected {error}', "an example is -m ~/data:/data:rw") from None
    return MountRequest(
        source=source,
        target=target,
        access=spec.access,
        kind="auto",
        optional=False,
        origin=Origin(Layer.COMMAND_LINE, f"-m {text}"),
    )
