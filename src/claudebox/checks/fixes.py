"""What to type on this distribution, as tables. Pure.

A fix is a template per family, "" for all others. {sudo} is empty for root, who may have no sudo.
"""

from __future__ import annotations

from collections.abc import Mapping

from claudebox.checks import Machine

# family: IDs of /etc/os-release, in ID or ID_LIKE
FAMILIES = {
    "nixos": ("nixos",),
    "alpine": ("alpine", "postmarketos"),
    "arch": ("arch", "manjaro", "endeavouros"),
    "fedora": ("fedora", "rhel", "centos"),
    "debian": ("debian", "ubuntu"),
}
INSTALL = {
    "debian": "{sudo}apt install {package}",
    "fedora": "{sudo}dnf install {package}",
    "arch": "{sudo}pacman -S {package}",
    "nixos": "nix profile install nixpkgs#{package}",
    "alpine": "{sudo}apk add {package}",
    "": "install {package} with your distribution's package manager",
}
UPGRADE = {
    "debian": "{sudo}apt update && {sudo}apt install {package}",
    "fedora": "{sudo}dnf upgrade {package}",
    "arch": "{sudo}pacman -Syu {package}",
    "nixos": "{sudo}nix-channel --update && {sudo}nixos-rebuild switch",
    "alpine": "{sudo}apk add --upgrade {package}",
    "": "upgrade {package}",
}
# program: package, where a family calls it otherwise
PACKAGES: dict[str, dict[str, str]] = {
    "bwrap": {"": "bubblewrap"},
    "env": {"": "coreutils"},
    "nft": {"": "nftables"},
    "pasta": {"": "passt"},
    "nix": {"debian": "nix-setup-systemd", "": "nix"},
}
SYSCTL = {
    "": "echo '{name} = {value}' | {sudo}tee /etc/sysctl.d/99-claudebox.conf\n{sudo}sysctl -w {name}={value}",
    "nixos": 'boot.kernel.sysctl."{name}" = {value};   # in configuration.nix, then: {sudo}nixos-rebuild switch',
}
# Ubuntu's own way since 23.10: a program may make user namespaces when a profile with `userns` names it.
APPARMOR = """\
{sudo}tee /etc/apparmor.d/claudebox-bwrap >/dev/null <<'END'
abi <abi/4.0>,
include <tunables/global>
profile claudebox-bwrap {bwrap} flags=(unconfined) {{
  userns,
}}
END
{sudo}apparmor_parser -r /etc/apparmor.d/claudebox-bwrap"""
OTHER: dict[str, dict[str, str]] = {
    "apparmor": {"": APPARMOR},
    "sysctl": SYSCTL,
    "unprivileged": {"": SYSCTL[""], "nixos": "security.unprivilegedUsernsClone = true;   # in configuration.nix"},
    "container": {
        "": "run the container with: --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
        "--security-opt systempaths=unconfined (docker), or --security-opt unmask=ALL (podman)"
    },
    "kernel": {
        "": "install and boot a newer kernel",
        "debian": "{sudo}apt install linux-image-amd64   # from backports where that is too old; then reboot",
        "fedora": "{sudo}dnf upgrade kernel   # then reboot",
        "arch": "{sudo}pacman -Syu   # then reboot",
        "nixos": "boot.kernelPackages = pkgs.linuxPackages_latest;   # in configuration.nix, then rebuild and reboot",
        "alpine": "{sudo}apk add --upgrade linux-lts   # then reboot",
    },
    "userns kernel": {"": "boot a kernel with CONFIG_USER_NS=y"},
    "tun mode": {
        "": 'echo \'KERNEL=="tun", MODE="0666", OPTIONS+="static_node=net/tun"\' '
        "| {sudo}tee /etc/udev/rules.d/99-tun.rules   # for every boot\n"
        "{sudo}chmod 0666 /dev/net/tun   # now",
        "alpine": "{sudo}chmod 0666 /dev/net/tun   # and in /etc/mdev.conf: net/tun root:netdev 0666",
        "nixos": "services.udev.extraRules = ''KERNEL==\"tun\", MODE=\"0666\"'';   # in configuration.nix\n"
        "{sudo}chmod 0666 /dev/net/tun   # now",
    },
    "tun missing": {
        "": "{sudo}modprobe tun   # in a container: start it with --device /dev/net/tun",
        "nixos": 'boot.kernelModules = [ "tun" ];   # in configuration.nix\n{sudo}modprobe tun   # now',
    },
    "nf_tables": {
        "": "{sudo}modprobe nf_tables",
        "nixos": 'boot.kernelModules = [ "nf_tables" ];   # in configuration.nix\n{sudo}modprobe nf_tables   # now',
    },
    "nix daemon": {
        "": "{sudo}systemctl start nix-daemon.socket",
        "alpine": "{sudo}rc-service nix-daemon start",
    },
    "landlock": {
        "": "boot Linux 6.12 or newer with landlock in /sys/kernel/security/lsm (kernel option lsm=landlock,…)"
    },
}


def machine(os_release: str, uid: int) -> Machine:
    """The distribution that an os-release file describes, its own ID before those that it is like."""
    known = fields(os_release)
    families = {name: family for family, names in FAMILIES.items() for name in names}
    wanted = [known.get("ID", ""), *known.get("ID_LIKE", "").split()]
    family = next((families[name] for name in wanted if name in families), "")
    return Machine(family=family, title=known.get("PRETTY_NAME", "") or known.get("ID", "Linux"), root=uid == 0)


def fields(os_release: str) -> dict[str, str]:
    """NAME=VALUE, a value in quotes or not (os-release(5))."""
    found = {}
    for line in os_release.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name] = value.strip().strip("\"'")
    return found


def install(where: Machine, program: str, *, upgrade: bool = False) -> str:
    """The command that brings a program, or a newer one."""
    names = PACKAGES.get(program, {"": program})
    package = names.get(where.family, names[""])
    return _filled(UPGRADE if upgrade else INSTALL, where, {"package": package})


def other(where: Machine, what: str, **values: str) -> str:
    """The fix for anything else, by its name in the table."""
    return _filled(OTHER[what], where, values)


def _filled(table: Mapping[str, str], where: Machine, values: Mapping[str, str]) -> str:
    template = table.get(where.family, table[""])
    return template.format(sudo="" if where.root else "sudo ", **values)
