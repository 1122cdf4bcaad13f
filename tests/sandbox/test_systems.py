"""Launches on systems of another shape: NixOS, and a /usr that is not merged."""

from __future__ import annotations

import json

import roots
from box import Box, Result
from capability import needs
from machine import WORLD

pytestmark = needs("userns", "bwrap", "git")
OFFLINE = "run -n offline "


def on_nixos(box: Box, script: str, options: str = OFFLINE) -> Result:
    return box.run([*WORLD, f"{roots.nixos(box)}{roots.launched(box)}{options}-- /bin/sh -c '{script}'"])


def test_a_launch_on_nixos(box: Box) -> None:
    done = on_nixos(box, "pwd; cat README; readlink /bin/sh /usr/bin/env; command -v bash; git status --porcelain")
    expected = f"{box.app}\nAn example.\n{roots.HOST}/bin/bash\n{roots.HOST}/bin/env\n/run/current-system/sw/bin/bash\n"
    assert (done.stderr, done.status, done.stdout) == ("", 0, expected)


def test_both_kinds_of_profiles_are_on_path(box: Box) -> None:
    done = on_nixos(box, "per-user-tool; profile-tool; cat /etc/os-release /etc/ssl/certs/ca; echo $PATH")
    own = f"{list(roots.PROFILES)[1]}/bin:/etc/profiles/per-user/ada/bin:/run/current-system/sw/bin:/usr/bin:/bin"
    path = f"{own}:/run/claudebox/bin:{box.home}/.local/bin"
    expected = f"per-user-tool\nprofile-tool\nID=nixos\ncertificates\n{path}\n"
    assert (done.stderr, done.status, done.stdout) == ("", 0, expected)


def test_nothing_but_the_store_is_in_sight_on_nixos(box: Box) -> None:
    done = on_nixos(box, "ls / /nix /run /usr /bin; id -un; echo x 2>/dev/null >/nix/store/new || echo read-only")
    assert (done.status, done.stderr) == (0, "")
    sections = dict(part.split(":\n") for part in done.stdout.split("\n\n"))
    assert sections["/nix"] == "store" and sections["/run"] == "current-system"
    assert sections["/bin"] == "sh" and sections["/usr"].split() == ["bin", "ada", "read-only"]


def test_the_plan_on_nixos(box: Box) -> None:
    shown = on_nixos(box, "true", OFFLINE + "--dry-run --json ")
    mounts = {m["target"]: m for m in json.loads(shown.stdout)["mounts"]}
    order = list(mounts)
    assert mounts["/run/current-system"]["source"] == roots.SYSTEM
    assert order.index("/run") < order.index("/run/current-system"), "/run is made before what lies in it"
    assert mounts["/etc/static"]["source"] == f"{roots.ETC}/etc"


def test_a_shell_on_nixos_is_the_users(box: Box) -> None:
    words = f"{roots.nixos(box)}{roots.launched(box)}shell -n offline"
    done = box.run([*WORLD, words], input="readlink /proc/$$/exe; echo $SHELL\n")
    assert (done.status, done.stdout) == (0, f"{roots.HOST}/bin/bash\n/run/current-system/sw/bin/bash\n")


def test_a_launch_where_usr_is_not_merged(box: Box) -> None:
    script = "test ! -L /bin && test ! -L /lib && /bin/cat README && /usr/bin/git status --porcelain && mount | wc -l"
    words = f"{roots.unmerged(box)}{box.program} {OFFLINE}-- sh -c '{script}'"
    done = box.run([*WORLD, words])
    assert (done.status, done.stderr) == (0, "") and done.stdout.startswith("An example.\n")
