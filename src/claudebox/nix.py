"""What of nix there is on this machine: its program, its daemon, what of its configuration a sandbox may have.

Imported only where a package asks for it, or where there is a daemon.
"""

from __future__ import annotations

import os

from claudebox import installable
from claudebox.errors import ClaudeboxError
from claudebox.locating import find_program, writable
from claudebox.model import NixInstall
from claudebox.pinning import check_links
from claudebox.process import SYSTEM_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claudebox.model import Profile, User

# Where it is besides PATH: single-user installations, NixOS, the installer's default profile.
PLACES = (
    "~/.nix-profile/bin", "~/.local/state/nix/profile/bin", "/etc/profiles/per-user/%U/bin",
    "/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin",
)  # fmt: skip
CONF, LIMIT, INCLUDES = "/etc/nix", 1 << 20, 16
# What a sandbox may know of nix.conf: never tokens, netrc files, keys, builders, hooks.
HARMLESS = frozenset(
    """
    allow-import-from-derivation always-allow-substitutes auto-optimise-store builders-use-substitutes
    commit-lockfile-summary connect-timeout cores download-attempts eval-cache experimental-features extra-platforms
    fallback http-connections http2 keep-derivations keep-env-derivations keep-failed keep-going keep-outputs log-lines
    max-jobs max-silent-time narinfo-cache-negative-ttl narinfo-cache-positive-ttl preallocate-contents print-missing
    pure-eval restrict-eval sandbox sandbox-fallback show-trace stalled-download-timeout substitute substituters system
    system-features tarball-ttl timeout trusted-public-keys use-xdg-base-directories warn-dirty
    """.split()  # noqa: SIM905
)
FEATURES = "extra-experimental-features = nix-command flakes"


def survey(
    profile: Profile,
    user: User,
    environment: Mapping[str, str],
    path: str,
    untrusted: tuple[str, ...],
    daemon: str,
) -> NixInstall:
    """nix as it is here. untrusted: what sandboxes can write; daemon: the directory of the socket, "" without one.

    Raises ClaudeboxError for the flake of a package that a sandbox can write.
    """
    program = found = ""
    if profile.packages:
        places = [one.replace("~", user.home, 1).replace("%U", user.name) for one in PLACES]
        program = find_program("nix", ":".join((path, *places)), untrusted, [])
        found = ":".join(clean(path, untrusted))
        for one in profile.packages:
            check_local(installable.local(one.value), f"package {one.value} ({one.origin})", untrusted)
    texts = configuration(user, environment) if daemon else []
    machine = [pair for text in texts[:1] for pair in text]
    return NixInstall(
        program=program,
        path=found,
        settings=shown([pair for text in texts for pair in text]) if daemon else "",
        trusted=bool(daemon) and trusted(machine, user),
        daemon=daemon,
    )


def clean(path: str, untrusted: tuple[str, ...]) -> list[str]:
    """PATH for nix, which starts git and ssh by their names: what no sandbox can write, then the system's."""
    own = [one for one in path.split(":") if one.startswith("/") and not writable(f"{one}/git", untrusted)]
    return list(dict.fromkeys((*own, *SYSTEM_PATH.split(":"))))


def check_local(place: str, what: str, untrusted: tuple[str, ...]) -> None:
    """Refuse a flake that a sandbox can write: nix would evaluate, and perhaps build, it on the host.

    Raises ClaudeboxError.
    """
    if not place:
        return
    check_links(place, untrusted)
    real = os.path.realpath(place)
    if writable(f"{place}/flake.nix", untrusted) or any(root.startswith(real.rstrip("/") + "/") for root in untrusted):
        raise ClaudeboxError(
            f"{what}: a sandbox can write there, and nix would evaluate it on this machine",
            "use nix inside the sandbox for it, or name a copy that no sandbox has",
        )


# --- nix.conf ------------------------------------------------------------------------------------


def files(home: str, environment: Mapping[str, str]) -> list[str]:
    """Every nix.conf, the machine's first, then the user's from the weakest to the strongest. nix.conf(5)."""
    own = environment.get("NIX_USER_CONF_FILES", "")
    if own:
        users = own.split(":")
    else:
        config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
        users = [f"{one}/nix/nix.conf" for one in (config, *environment.get("XDG_CONFIG_DIRS", "").split(":")) if one]
    return [f"{environment.get('NIX_CONF_DIR') or CONF}/nix.conf", *reversed(users)]


def configuration(user: User, environment: Mapping[str, str]) -> list[list[tuple[str, str]]]:
    """(key, value) of every nix.conf, the machine's first."""
    return [list(pairs(path)) for path in files(user.home, environment)]


def pairs(path: str, seen: int = 0) -> Iterator[tuple[str, str]]:
    """(key, value) of one nix.conf and of what it includes; of one that cannot be read ("unreadable", path)."""
    try:
        with open(path, "rb") as file:
            text = file.read(LIMIT).decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        yield "unreadable", path
        return
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) == 2 and words[0] in ("include", "!include") and seen < INCLUDES:
            yield from pairs(os.path.join(os.path.dirname(path), words[1]), seen + 1)
        elif len(words) >= 2 and words[1] == "=":
            yield words[0], " ".join(words[2:])


def trusted(machine: list[tuple[str, str]], user: User) -> bool:
    """Whether the daemon does whatever this user says: by trusted-users; where that cannot be read, yes."""
    names = ["root"]
    for key, value in machine:
        if key == "unreadable":
            return True
        if key == "trusted-users":
            names = value.split()
        elif key == "extra-trusted-users":
            names += value.split()
    return user.uid == 0 or "*" in names or user.name in names or bool(groups(names))


def groups(names: list[str]) -> list[str]:
    """Those of the `@group` that this process is in."""
    wanted = [name[1:] for name in names if name.startswith("@")]
    if not wanted:
        return []
    import grp

    found = []
    for name in wanted:
        try:
            number = grp.getgrnam(name).gr_gid
        except KeyError:
            continue
        if number in (os.getgid(), *os.getgroups()):
            found.append(name)
    return found


def shown(settings: list[tuple[str, str]]) -> str:
    """nix.conf for the sandbox: what is harmless, in the order in which it holds; no address with a password in it."""
    lines = []
    for key, value in settings:
        secret = any("://" in word and "@" in word for word in value.split())
        if key.removeprefix("extra-") in HARMLESS and not secret:
            lines.append(f"{key} = {value}")
    return "\n".join((*lines, FEATURES)) + "\n"
