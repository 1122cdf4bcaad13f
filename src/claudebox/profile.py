"""The effective settings of a launch: built-in < config.toml < remembered < environment < command line.

Single values are replaced by a later layer, lists add up, and each value keeps its origin. Without a
config.toml nothing is imported here but the table: the rest costs milliseconds.
"""

from __future__ import annotations

from claudebox import schema
from claudebox.errors import ClaudeboxError
from claudebox.model import BUILTIN, Layer, Limits, MountRequest, Origin, Profile, Request, Setting
from claudebox.record import NamedTuple, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from claudebox.document import Loaded
    from claudebox.model import Allowance

T = TypeVar("T")


class Remembered(NamedTuple):
    """What `claudebox use` keeps for a project; "" where nothing was said."""

    network: str = ""
    agent: str = ""


def load_config(claudebox_home: str, home: str) -> Loaded | None:
    """config.toml, checked and found right, or None where there is none."""
    from claudebox.checked import read_checked

    path = f"{claudebox_home}/config.toml"
    read = read_checked(path)
    if read is None:
        return None
    from claudebox.document import load

    return load([(shown(path, home), Layer.CONFIG, read[0])])[0]


def shown(path: str, home: str) -> str:
    """A path as messages and origins name it: from `~` where it lies there."""
    return "~" + path[len(home) :] if home and path.startswith(home + "/") else path


def effective_profile(
    request: Request,
    config: Loaded | None,
    environment: Mapping[str, str],
    *,
    home: str,
    cwd: str,
    remembered: Remembered | None = None,
) -> Profile:
    """All layers of this launch. home: the user's; cwd: canonical, where relative paths of `-m` start."""
    _refuse_what_comes_later(request, environment)
    remembered = remembered or Remembered()
    network = environment.get("CLAUDEBOX_NETWORK", "")
    passed, assigned = _variables(config, request.env)
    return Profile(
        agent=_last(
            _base(config, "agent"),
            _agent(remembered.agent, Origin(Layer.REMEMBERED, "claudebox use")),
            _agent(request.agent, Origin(Layer.COMMAND_LINE, f"--agent {request.agent}")),
        ),
        unattended=_last(
            _base(config, "unattended"),
            Setting(True, Origin(Layer.COMMAND_LINE, "--unattended")) if request.unattended else None,
        ),
        tier=_last(
            _base(config, "network.tier"),
            _tier(remembered.network, Origin(Layer.REMEMBERED, "claudebox use")),
            _tier(network, Origin(Layer.ENVIRONMENT, "CLAUDEBOX_NETWORK")),
            _tier(request.network, Origin(Layer.COMMAND_LINE, f"-n {request.network}")),
        ),
        backend=_base(config, "network.backend"),
        allow_lan=_allow_lan(config),
        env_pass=passed,
        env_set=assigned,
        mounts=_mounts(config, request.mounts, home, cwd),
        nix_daemon=_base(config, "sandbox.nix_daemon"),
        nested_userns=_base(config, "sandbox.nested_userns"),
        git_config=_base(config, "sandbox.git_config"),
        limits=_limits(config),
    )


def _refuse_what_comes_later(request: Request, environment: Mapping[str, str]) -> None:
    """By name, so that nothing that was asked for is silently left out."""
    profiles = "named profiles", "write what every launch needs into config.toml"
    network = "network exceptions", "choose -n internet-only, -n offline or -n full"
    packages = "nix packages", "install the package on the host"
    asked = (
        ("-P", request.profiles, profiles),
        ("CLAUDEBOX_PROFILE", environment.get("CLAUDEBOX_PROFILE"), profiles),
        ("--allow", request.allow, network),
        ("--learn", request.learn, network),
        ("--host-port", request.host_ports, network),
        ("--publish", request.publish, network),
        ("--package", request.packages, packages),
        ("--refresh-packages", request.refresh_packages, packages),
    )
    for name, used, (what, instead) in asked:
        if used:
            without = f"leave {name} out" if name.startswith("-") else f"unset {name}"
            raise ClaudeboxError(f"{name}: {what} are not available yet", f"{without}; {instead}")


# --- single values -------------------------------------------------------------------------------


def _last(first: Setting[T], *later: Setting[T] | None) -> Setting[T]:
    """The value of the highest layer that has one; in the order of the layers."""
    for setting in later:
        first = setting or first
    return first


def _base(config: Loaded | None, path: str) -> Setting[Any]:
    """What config.toml says, or the built-in default."""
    if config is not None:
        names = path.split(".")
        value: Any = config.document
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            return Setting(value, config.origin(*names))
    return Setting(schema.BY_PATH[path].default, BUILTIN)


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


def _limits(config: Loaded | None) -> Limits:
    from claudebox.typed import size

    return Limits(
        processes=_base(config, "limits.processes").value,
        memory=_base(config, "limits.memory").value,
        tmp=size(_base(config, "limits.tmp").value),
    )


# --- lists ---------------------------------------------------------------------------------------


def _variables(
    config: Loaded | None, options: tuple[str, ...]
) -> tuple[tuple[Setting[str], ...], tuple[Setting[tuple[str, str]], ...]]:
    """What passes and what is set. A name that the command line gives counts alone, whatever was said of it below."""
    passed: list[Setting[str]] = []
    assigned: dict[str, Setting[tuple[str, str]]] = {}
    if config is not None:
        table = config.document.get("env", {})
        for index, name in enumerate(table.get("pass", ())):
            passed.append(Setting(name, config.origin("env", "pass", index)))
        for name, value in table.get("set", {}).items():
            assigned[name] = Setting((name, value), config.origin("env", "set", name))
    for text in options:
        from claudebox.typed import assignment

        name, given = assignment(text)
        origin = Origin(Layer.COMMAND_LINE, f"-e {name}")  # never the value
        passed = [one for one in passed if one.value != name]
        assigned.pop(name, None)
        if given is None:
            passed.append(Setting(name, origin))
        else:
            assigned[name] = Setting((name, given), origin)
    return tuple(passed), tuple(assigned.values())


def _allow_lan(config: Loaded | None) -> tuple[Setting[Allowance], ...]:
    if config is None:
        return ()
    from claudebox.typed import allowance

    written = config.document.get("network", {}).get("allow_lan", ())
    return tuple(Setting(allowance(w), config.origin("network", "allow_lan", i)) for i, w in enumerate(written))


def _mounts(config: Loaded | None, options: tuple[str, ...], home: str, cwd: str) -> tuple[MountRequest, ...]:
    """By target: two mounts at one place cannot add up, so the later one replaces the earlier."""
    asked: dict[str, MountRequest] = {}
    for one in [*_configured_mounts(config, home), *(_typed_mount(text, home, cwd) for text in options)]:
        asked.pop(one.target, None)
        asked[one.target] = one
    return tuple(asked.values())


def _configured_mounts(config: Loaded | None, home: str) -> list[MountRequest]:
    if config is None or "mounts" not in config.document:
        return []
    from claudebox.typed import path

    defaults = {name: key.default for name, key in schema.keys_of("mounts").items()}
    requests = []
    for index, written in enumerate(config.document["mounts"]):
        table = {**defaults, **written}
        source = path(table["source"], home)
        requests.append(
            MountRequest(
                source=source,
                target=path(table["target"], home) if table["target"] else source,
                access=table["access"],
                kind=table["kind"],
                optional=table["optional"],
                origin=config.origin("mounts", index),
            )
        )
    return requests


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
