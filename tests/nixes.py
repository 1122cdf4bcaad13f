"""A machine with nix, made for real: /nix is a directory of the test's own below its home, nixpkgs a flake of a few
derivations that /bin/sh builds, and there is no network at all.

    machine = Machine(box)
    done = machine.claudebox("run", "-y", "-n", "offline", "--package", "hello", "--", "hello")

`daemon=True` has a real nix-daemon, and a /nix that the user cannot write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from box import Box, Result
from machine import WORLD
from roots import entered, mount

FLAKE = """\
{
  outputs = { self }: let
    system = builtins.head (builtins.filter (x: builtins.elem x [ "x86_64-linux" "aarch64-linux" ]) [ "SYSTEM" ]);
    program = name: text: "echo \\"#!/bin/sh\\necho ${text}\\" >$out/bin/${name}; /bin/chmod +x $out/bin/${name}";
    make = name: script: builtins.derivation {
      inherit name system; builder = "/bin/sh"; args = [ "-c" "/bin/mkdir -p $out/bin; ${script}" ];
    };
  in {
    packages.${system} = rec {
      hello = make "hello" (program "hello" "hello VERSION");
      shadow = make "shadow" (program "hello" "shadow");
      tool = make "tool" (program "tool" "tool");
      default = tool;
      slow = make "slow" "echo started >&2; /bin/sleep 600; ${program "slow" "slow"}";
      library = builtins.derivation { name = "library"; inherit system; builder = "/bin/sh"; args = [ "-c" "/bin/mkdir $out" ]; };
      broken = make "broken" "echo the compiler says no >&2; exit 3";
      full = make "full" "echo 'error: writing: No space left on device' >&2; exit 1";
      many = builtins.derivation {
        name = "many"; inherit system; outputs = [ "out" "bin" "man" ]; builder = "/bin/sh";
        args = [ "-c" "/bin/mkdir -p $out/lib $bin/bin $man/share; echo \\"#!/bin/sh\\necho many\\" >$bin/bin/many; /bin/chmod +x $bin/bin/many" ];
      };
    } // builtins.listToAttrs (map (n: { name = "p${toString n}"; value = make "p${toString n}" (program "p${toString n}" "p"); }) (builtins.genList (n: n) 30));
  };
}
"""  # noqa: E501
COUNTED = '#!/bin/sh\necho "$@" >>"$HOME/nix-calls"\nexec /usr/bin/nix "$@"\n'


class Machine:
    """A box with nix on its machine. flake: where nixpkgs lies."""

    def __init__(self, box: Box, *, daemon: bool = False, sound: bool = True) -> None:
        self.box, self.daemon = box, daemon
        self.flake, self.nix, self.config = box.home / "nixpkgs", box.home / "nix", box.home / ".config/nix"
        for path in (self.flake, self.config, box.home / "bin"):
            path.mkdir(parents=True)
        if sound:
            for name in ("store", "var"):
                (self.nix / name).mkdir(parents=True)
        else:
            self.nix.mkdir()
            self.nix.chmod(0o555)
        self.release("1")
        (box.home / "empty.json").write_text('{"version": 2, "flakes": []}')
        self.register("nixpkgs", self.flake)
        self.conf = self.config / "nix.conf"
        self.conf.write_text(
            f"substituters =\nflake-registry = {box.home}/empty.json\nsandbox = false\nbuild-users-group =\n"
            "access-tokens = github.com=hunter2\nnetrc-file = /x/hunter2\n"
        )
        counted = box.home / "bin/nix"
        counted.write_text(COUNTED)
        counted.chmod(0o755)

    def release(self, version: str) -> None:
        """What nixpkgs holds from now on."""
        import platform

        text = FLAKE.replace("SYSTEM", f"{platform.machine()}-linux").replace("VERSION", version)
        (self.flake / "flake.nix").write_text(text)

    def register(self, name: str, place: Path) -> None:
        """The user's registry."""
        to = {"type": "path", "path": str(place)}
        flakes = [{"from": {"type": "indirect", "id": name}, "to": to}]
        self.registry = self.config / "registry.json"
        self.registry.write_text(json.dumps({"version": 2, "flakes": flakes}))

    def words(self, command: str) -> list[str]:
        """The words that run a shell's command on the machine, in the project."""
        root = self.box.home / "root"
        for name in ("usr", "etc", "var", "nix"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            if not (root / name).is_symlink():
                (root / name).symlink_to(f"usr/{name}")
        binds = "".join(mount(f"/{name}", root / name) for name in ("usr", "etc", "var"))
        words = entered(root, self.box.home, binds + mount(str(self.nix), root / "nix"))
        enter, user = words.rsplit("exec ", 1)
        if self.daemon:
            socket = "/nix/var/nix/daemon-socket/socket"
            enter += (
                f"{{ env -u NIX_REMOTE nix-daemon >'{self.box.home}/daemon.log' 2>&1 & }}; daemon=$!; "
                "trap 'kill $daemon' EXIT; "
                f"until test -S {socket}; do kill -0 $daemon || exit 99; done; mount -o remount,bind,ro /nix && "
            )
            return [*WORLD[:4], "--net", *WORLD[4:], enter + user + f"sh -c '{command}'"]
        return [*WORLD[:4], "--net", *WORLD[4:], enter + "exec " + user + f"sh -c '{command}'"]

    def run(self, command: str, **options: Any) -> Result:
        """Run a shell's command on the machine; no single quote in it."""
        path = f"{self.box.home}/bin:/usr/bin:/bin:/usr/sbin"
        return self.box.run(self.words(command), env={"PATH": path, **options.pop("env", {})}, **options)

    def claudebox(self, words: str, **options: Any) -> Result:
        """Run claudebox there."""
        return self.run(f"{self.box.program} {words}", **options)

    def calls(self) -> list[str]:
        """What nix was started with since the last time, `--version` apart."""
        file = self.box.home / "nix-calls"
        found = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [line for line in found if line != "--version"]
