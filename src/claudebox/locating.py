"""Programs of the host: taken only from directories that no sandbox can write, the agent with its package."""

from __future__ import annotations

import os

from claudebox import descriptors
from claudebox.agents import AgentSpec
from claudebox.errors import ClaudeboxError
from claudebox.model import AgentInstall, Note, User
from claudebox.process import SYSTEM_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def find_program(name: str, path: str, untrusted: tuple[str, ...], notes: list[Note]) -> str:
    """The canonical path of a program; "" when there is none. A shadowed one is skipped and reported."""
    for directory in (*path.split(":"), *SYSTEM_PATH.split(":")):
        candidate = f"{directory}/{name}"
        if not directory.startswith("/") or not os.access(candidate, os.X_OK) or os.path.isdir(candidate):
            continue
        real = os.path.realpath(candidate)
        if writable(candidate, untrusted) or writable(real, untrusted):
            notes.append(skipped(candidate))
            continue
        return real
    return ""


def skipped(path: str) -> Note:
    """What is said of a program that is not taken."""
    return Note("weakening", f"{path} is skipped: a sandbox can write there")


def writable(path: str, untrusted: tuple[str, ...]) -> bool:
    """Whether path lies in what some sandbox can write, directly or through a link on the way."""
    real = os.path.realpath(os.path.dirname(path))
    return any(p == root or p.startswith(root + "/") for root in untrusted for p in (path, real))


def sibling(program: str, name: str) -> str:
    """The path of a program that lies beside another one, links followed; "" when there is none."""
    path = f"{os.path.dirname(os.path.realpath(program))}/{name}"
    return path if os.access(path, os.X_OK) else ""


def login_store(spec: AgentSpec, user: User, environment: Mapping[str, str], ours: str) -> str:
    """The host's directory that holds the agent's login, canonical, whether it exists or not; "" for an agent whose
    login is not brokered. ours: claudebox's directory. Raises ClaudeboxError for one that a sandbox has."""
    if spec.login_way != "broker":
        return ""
    written = environment.get(spec.config_variable, "") or f"{user.home}/{spec.config_dir}"
    if not written.startswith("/"):
        raise ClaudeboxError(f"{spec.config_variable} is not an absolute path", f"unset {spec.config_variable}")
    store = os.path.realpath(written)
    if store == ours or store.startswith(ours + "/"):
        raise ClaudeboxError(f"{spec.config_variable} leads into {ours}", f"unset {spec.config_variable}")
    return store


def has_own_login(spec: AgentSpec, instance: str) -> bool:
    """Whether a login was made in an instance's home, by an agent whose way that is. No link there is followed."""
    return spec.login_way == "own" and any(there(f"{instance}/home", file) for file in spec.credentials)


def there(home: str, file: str) -> bool:
    """Whether something is at a path below a home, by no link."""
    try:
        start = os.open(home, descriptors.DIRECTORY)
    except OSError:
        return False
    try:
        os.close(descriptors.walk(start, descriptors.parts(file)))
        return True
    except OSError:
        return False
    finally:
        os.close(start)


def find_agent(
    spec: AgentSpec, home: str, path: str, untrusted: tuple[str, ...], notes: list[Note]
) -> AgentInstall | None:
    """The agent as it is installed here, with what it needs; None when there is none. Skipped as a program is."""
    places = [p.replace("~", home, 1) if p.startswith("~") else p for p in spec.places]
    candidates = [f"{d}/{name}" for name in spec.executables for d in path.split(":") if d.startswith("/")] + places
    for candidate in candidates:
        if not os.access(candidate, os.X_OK) or os.path.isdir(candidate):
            continue
        real = os.path.realpath(candidate)
        if writable(candidate, untrusted) or writable(real, untrusted):
            notes.append(skipped(candidate))
            continue
        return _installed(spec, candidate, real, path, untrusted)
    return None


def _installed(spec: AgentSpec, found: str, real: str, path: str, untrusted: tuple[str, ...]) -> AgentInstall:
    grants = list(_packages(spec, real)) or [real]
    command = [real]
    with open(real, "rb") as file:
        first = file.readline(256)
    if first.startswith(b"#!") and b"node" in first:
        node = find_program("node", path, untrusted, [])
        if not node:
            raise ClaudeboxError(f"{found} needs node, which was not found", "install node, or the native build")
        grants.append(node)
        command = [node, real]
    elif first.startswith(b"#!") and b"env" in first.split()[0] and first.split()[1:2] not in ([b"bash"], [b"sh"]):
        shim = first.decode(errors="replace").strip()
        raise ClaudeboxError(f"{found} is a shim ({shim})", "put the program that it starts on PATH")
    return AgentInstall(
        name=spec.name, command=tuple(command), grants=tuple(grants), version=_version(spec, real), found_at=found
    )


def _modules(spec: AgentSpec, real: str) -> tuple[str, str] | None:
    """The node_modules that npm put the agent into, and the package of it that real lies in."""
    for name in spec.packages:
        top, marker, _ = real.partition(f"/node_modules/{name}/")
        if marker:
            return f"{top}/node_modules", name
    return None


def _packages(spec: AgentSpec, real: str) -> tuple[str, ...]:
    """The npm packages that the agent consists of, where it was installed by npm."""
    found = _modules(spec, real)
    wanted = [f"{found[0]}/{package}" for package in spec.packages] if found else []
    return tuple(path for path in wanted if os.path.isdir(path))


def _version(spec: AgentSpec, real: str) -> str:
    """From the npm package's data, or out of `versions/V` of the native installer; "" if unknown."""
    if found := _modules(spec, real):
        import json

        try:
            with open(f"{found[0]}/{found[1]}/package.json", "rb") as file:
                return str(json.load(file).get("version", ""))
        except (OSError, ValueError):
            return ""
    return real.rpartition("/versions/")[2].split("/")[0] if "/versions/" in real else ""
