"""What decides to what a nix installable resolves, as fingerprints: registries, channels, nix.conf, the machine.

By content, not by time: home-manager's files are links into the store, where every time is the same.
"""

from __future__ import annotations

import os

from claudebox.digest import sha256
from claudebox.nix import CONF, INCLUDES, LIMIT, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Links that nix and nix-channel put elsewhere when they are updated, and files; `~` is the user's home.
CHANNELS = (
    "~/.nix-channels", "~/.nix-defexpr/channels", "~/.nix-defexpr/channels_root",
    "~/.local/state/nix/profiles/channels", "~/.local/state/nix/channels", "/root/.nix-channels",
    "/nix/var/nix/profiles/per-user/%U/channels", "/nix/var/nix/profiles/per-user/root/channels",
)  # fmt: skip
VARIABLES = ("NIX_PATH", "NIX_CONFIG", "NIX_REMOTE", "NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_CONF_DIR")
MOST = 4096  # entries of a flake on this machine; one with more is resolved anew on every launch


def fingerprint(environment: dict[str, str], home: str) -> str:
    """All but the world's registry, which nix itself fetches anew. environment: nix's; home: the user's."""
    config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    user = environment.get("USER", "")
    found = [os.uname().machine, *(environment.get(name, "") for name in VARIABLES)]
    for path in (f"{config}/nix/registry.json", f"{environment.get('NIX_CONF_DIR') or CONF}/registry.json"):
        found.append(content(path))
    for path in files(home, environment):
        found += configured(path)
    for path in CHANNELS:
        path = path.replace("~", home, 1).replace("%U", user)
        found.append(linked(path) or content(path))
    return digest(found)


def registry(environment: dict[str, str], home: str) -> str:
    """The world's registry, as nix fetched it last."""
    cache = environment.get("XDG_CACHE_HOME") or f"{home}/.cache"
    return digest([content(f"{cache}/nix/flake-registry.json")])


def digest(words: list[str]) -> str:
    """One fingerprint of many words."""
    return sha256("\0".join(words).encode(errors="surrogateescape")).hexdigest()


def content(path: str) -> str:
    """What a file holds, "" without one."""
    try:
        with open(path, "rb") as file:
            return sha256(file.read(LIMIT)).hexdigest()
    except OSError:
        return ""


def linked(path: str) -> str:
    """Where a link leads in the end; "" for what is none."""
    return os.path.realpath(path) if os.path.islink(path) else ""


def configured(path: str, seen: int = 0) -> Iterator[str]:
    """A nix.conf and what it includes."""
    try:
        with open(path, "rb") as file:
            text = file.read(LIMIT)
    except OSError:
        return
    yield sha256(text).hexdigest()
    for line in text.splitlines():
        words = line.partition(b"#")[0].split()
        if len(words) == 2 and words[0] in (b"include", b"!include") and seen < INCLUDES:
            yield from configured(os.path.join(os.path.dirname(path), os.fsdecode(words[1])), seen + 1)


# --- a flake on this machine ---------------------------------------------------------------------


def tree(place: str) -> str:
    """The state of a flake's directory: whatever lies in it may decide what it comes to. Of its repository what
    commits and checkouts change."""
    found = [f"{place} {linked(place)}", *(_state(f"{place}/.git/{name}") for name in ("HEAD", "index", "packed-refs"))]
    left = MOST
    for top in (place, f"{place}/.git/refs"):
        for path in _walked(top):
            found.append(_state(path))
            left -= 1
            if left < 0:
                return os.urandom(16).hex()
    return digest(found)


def _walked(top: str) -> Iterator[str]:
    for where, directories, names in os.walk(top):
        directories[:] = sorted(one for one in directories if one != ".git")
        yield from (f"{where}/{name}" for name in (".", *sorted(names)))


def _state(path: str) -> str:
    try:
        found = os.lstat(path)
    except OSError:
        return f"{path} -"
    return f"{path} {found.st_mode} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
