"""Systems of another shape, made for real: a root file system in a mount namespace, entered by pivot_root (no
process in a chroot may make a user namespace), then an ordinary user again.

    done = box.run([*WORLD, nixos(box) + launched(box) + "run -n offline -- true"])

Programs and libraries are the machine's own, at other places. Of NixOS the layout is what is true: nothing in /bin
but sh, nothing in /usr but bin/env, programs behind /run/current-system/sw and the two kinds of profiles, /etc full
of links through /etc/static. What no NixOS has makes the foreign programs run: links to their loader and libraries.
"""

from __future__ import annotations

import os
from pathlib import Path

from box import Box
from machine import USER

STORE = "/nix/store"
HOST, OURS = f"{STORE}/00000000-host", f"{STORE}/11111111-claudebox"
SYSTEM, ETC = f"{STORE}/22222222-nixos-system", f"{STORE}/33333333-etc"
PROFILES = {f"{STORE}/44444444-user-environment": "per-user-tool", f"{STORE}/55555555-profile": "profile-tool"}
LOADER = "/lib/ld-linux-aarch64.so.1" if os.uname().machine == "aarch64" else "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = f"/lib/{os.uname().machine}-linux-gnu"
USER_NAME = "ada"


def mount(source: str, target: Path | str) -> str:
    """The words that bind a tree of the machine into the new root."""
    return f"mount --rbind '{source}' '{target}' && "


def entered(root: Path, home: Path, words: str) -> str:
    """The words that bind what every root has, make it the root, and become a user in it."""
    for name in ("proc", "dev", str(home)[1:]):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").mkdir(exist_ok=True)
    # the tools before and after the change of root
    words = f"PATH=$PATH:/usr/sbin:/sbin:{HOST}/bin && mount --rbind '{root}' '{root}' && {words}"
    words += "".join(mount(path, f"{root}{path}") for path in ("/proc", "/dev", str(home)))
    return words + f"cd '{root}' && pivot_root . . && umount -l . && cd '{home}/code/app' && {USER}"


def nixos(box: Box) -> str:
    """A NixOS with claudebox in its store; `launched` has the words that start it."""
    root = box.home / "nixos"
    links = {
        "bin/sh": f"{HOST}/bin/bash",
        "usr/bin/env": f"{HOST}/bin/env",
        LOADER[1:]: HOST + os.path.realpath(LOADER)[len("/usr") :],
        LIBRARIES[1:]: HOST + os.path.realpath(LIBRARIES)[len("/usr") :],
        "run/current-system": SYSTEM,
        SYSTEM + "/sw": HOST,
        "etc/static": f"{ETC}/etc",
        "etc/os-release": "/etc/static/os-release",
        "etc/ssl/certs": "/etc/static/ssl/certs",
        f"etc/profiles/per-user/{USER_NAME}": f"/etc/static/profiles/per-user/{USER_NAME}",
        f"{ETC}/etc/profiles/per-user/{USER_NAME}": next(iter(PROFILES)),
        "nix/var/nix/profiles/per-user/ada/profile": list(PROFILES)[1],
    }
    texts = {
        f"{ETC}/etc/os-release": "ID=nixos\n",
        f"{ETC}/etc/ssl/certs/ca": "certificates\n",
        "etc/passwd": f"{USER_NAME}:x:1000:1000::{box.home}:/run/current-system/sw/bin/bash\n",
        **{f"{profile}/bin/{tool}": f"#!/bin/sh\necho {tool}\n" for profile, tool in PROFILES.items()},
    }
    for place in (*links, *texts):
        (root / place.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
    for place, to in links.items():
        (root / place.lstrip("/")).symlink_to(to)
    for place, text in texts.items():
        file = root / place.lstrip("/")
        file.write_text(text)
        file.chmod(0o755)
    for place in (HOST, OURS):
        (root / place[1:]).mkdir()
    if not (box.home / ".nix-profile").is_symlink():
        (box.home / ".nix-profile").symlink_to("/nix/var/nix/profiles/per-user/ada/profile")
    words = mount("/usr", f"{root}{HOST}") + mount(packages(), f"{root}{OURS}")
    return entered(root, box.home, words)


def packages() -> str:
    """Where this claudebox is installed."""
    import claudebox

    return os.path.dirname(os.path.dirname(os.path.realpath(claudebox.__file__)))


def launched(box: Box) -> str:
    """The words that start claudebox with the environment of a user of that NixOS."""
    places = ("/run/wrappers/bin", f"{box.home}/.nix-profile/bin", f"/etc/profiles/per-user/{USER_NAME}/bin")
    path = ":".join((*places, "/run/current-system/sw/bin", "/usr/bin", "/bin"))
    return f"{HOST}/bin/env PATH={path} PYTHONPATH={OURS} python3 -P -m claudebox "


def unmerged(box: Box) -> str:
    """A system whose /bin, /sbin and /lib are directories of their own beside /usr."""
    root = box.home / "unmerged"
    words = ""
    for name in ("usr", "etc", "var"):
        (root / name).mkdir(parents=True)
        words += mount(f"/{name}", root / name)
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.isdir(f"/usr/{name}"):
            (root / name).mkdir()
            words += mount(f"/usr/{name}", root / name)
    return entered(root, box.home, words)
