"""What a sandbox inherits: descriptors, environment, and the programs that the launch itself runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
TIERS = ["offline", pytest.param("full", marks=needs("landlock_scopes"))]


def inside(box: Box, script: str, *, tier: str = "offline", **options: object) -> Result:
    return box.claudebox("run", "-y", "-n", tier, "--", "sh", "-c", script, **options)  # type: ignore[arg-type]


# --- descriptors ---------------------------------------------------------------------------------

LEAD_OUT = """
for p in 1 self; do for n in /proc/$p/fd/* /proc/$p/cwd /proc/$p/root; do
cat $n/{0} $n/../{0} $n/../../../../../../../../{0} $n/canary; done; done 2>/dev/null"""


@pytest.mark.parametrize("tier", TIERS)
def test_descriptors_of_the_caller(box: Box, tier: str) -> None:
    """CVE-2024-21626 (runc): a directory of the host that was left open was a way to all of its file system."""
    (box.home / "canary").write_text("of the host\n")
    directory = os.open(box.home, os.O_RDONLY)
    ours, theirs = socket.socketpair()
    high = os.dup2(directory, 99)
    fds = (directory, high, theirs.fileno())
    for number in fds:
        os.set_inheritable(number, True)
    try:
        script = LEAD_OUT.format(str(box.home / "canary")[1:])
        done = inside(box, script + "; ls /proc/self/fd | tr '\\n' ' '", tier=tier, pass_fds=fds)
        assert done.stdout == "0 1 2 3 ", "3 is that of ls itself"
        control = box.run(["sh", "-c", f"cat /proc/self/fd/{directory}/canary"], pass_fds=fds)
        assert control.stdout == "of the host\n", "the control"
    finally:
        for number in (directory, high):
            os.close(number)
        ours.close()
        theirs.close()


def test_descriptors_of_the_first_process(box: Box) -> None:
    """bwrap's own: nothing that names a file of the host."""
    done = inside(box, "ls -l /proc/1/fd | sed -n 's/.* -> //p'")
    kinds = {line.partition(":")[0] for line in done.stdout.splitlines()}
    assert kinds <= {"pipe", "anon_inode", "socket", "/dev/null"}, done.stdout
    assert kinds, "the control: they can be read"


# --- environment ---------------------------------------------------------------------------------

SECRETS = {
    "SSH_AUTH_SOCK": "/run/agent", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/bus", "DOCKER_HOST": "unix:///run/d",
    "WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0", "XAUTHORITY": "/x", "KUBECONFIG": "/k",
    "AWS_SECRET_ACCESS_KEY": "s",
    "GITHUB_TOKEN": "s", "NPM_TOKEN": "s", "XDG_RUNTIME_DIR": "/run/user/1000", "GPG_AGENT_INFO": "g", "SUDO_USER": "u",
    "LD_PRELOAD": "/nothing.so", "LD_LIBRARY_PATH": "/l", "LD_AUDIT": "/a.so", "BASH_ENV": "/b", "ENV": "/e",
    "PYTHONPATH": "/p", "PYTHONSTARTUP": "/p.py", "PERL5OPT": "-Mx", "RUBYOPT": "-rx",
    "NODE_OPTIONS": "--require /n.js",
    "GIT_DIR": "/g", "GIT_SSH_COMMAND": "s", "GIT_CONFIG_COUNT": "0", "GIT_EXEC_PATH": "/g", "PROMPT_COMMAND": "p",
    "IFS": "x", "TMPDIR": "/t", "OLDPWD": "/o", "CDPATH": "/c", "GCONV_PATH": "/g", "SSLKEYLOGFILE": "/s",
    "HISTFILE": "/h",
}  # fmt: skip
HARMLESS = {"LD_PRELOAD", "GIT_EXEC_PATH", "GCONV_PATH", "LD_AUDIT"}  # the control's own programs would stumble


@pytest.mark.parametrize("tier", TIERS)
def test_variables_of_the_host(box: Box, tier: str) -> None:
    """Tokens, sockets, and what makes programs load or run something."""
    script = "env; tr '\\0' '\\n' </proc/1/environ"
    found = {line.partition("=")[0] for line in inside(box, script, tier=tier, env=SECRETS).stdout.splitlines()}
    assert found & SECRETS.keys() == set()
    given = {name: value for name, value in SECRETS.items() if name not in HARMLESS}
    there = {line.partition("=")[0] for line in box.run(["sh", "-c", "env"], env=given).stdout.splitlines()}
    assert len(there & given.keys()) > 20, "the control"


def planted(box: Box, path: Path) -> Path:
    """A program that says that it ran, on the host."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\ntouch {box.home}/owned\nexec /usr/bin/{path.name} "$@"\n')
    path.chmod(0o755)
    return path


PROGRAMS = ("bwrap", "git", "env", "sh", "nft", "slirp4netns", "pasta", "ip", "python3", "cat", "true")


@pytest.mark.parametrize("where", ["node_modules/.bin", ".", ".venv/bin"])
def test_programs_of_the_project_on_path(box: Box, where: str) -> None:
    """What direnv or a shell hook puts on PATH: none of it is run by the launch."""
    for name in PROGRAMS:
        planted(box, box.app / where / name)
    (box.app / ".gitignore").write_text("*\n")
    entry = "" if where == "." else f"{box.app / where}:"
    path = {"PATH": f"{entry}:.:/usr/bin:/bin"}
    done = inside(box, "true", env=path)
    assert done.status == 0, done.stderr
    assert not (box.home / "owned").exists()
    box.run(["sh", "-c", "true; git status"], env={"PATH": f"{box.app / where}:/usr/bin:/bin"})
    assert (box.home / "owned").exists(), "the control"


def test_programs_of_the_instances_home_on_path(box: Box) -> None:
    """~/.local/bin inside is the agent's: the host's PATH does not lead there, and if it did, it would not count."""
    assert inside(box, "mkdir -p ~/.local/bin").status == 0
    (home,) = box.state.glob("instances/*/home")
    for name in PROGRAMS:
        planted(box, home / ".local" / "bin" / name)
    path = f"{home}/.local/bin:/usr/bin:/bin"
    assert inside(box, "true", env={"PATH": path}).status == 0
    assert not (box.home / "owned").exists()


DOTFILES = (".bashrc", ".profile", ".bash_profile", ".zshenv", ".shrc", ".gitconfig", ".config/git/config", ".pythonrc")


def test_dotfiles_of_the_instances_home_run_nothing_on_the_host(box: Box) -> None:
    """A home full of what shells, git and Python read at their start."""
    assert inside(box, "true").status == 0
    (home,) = box.state.glob("instances/*/home")
    for name in DOTFILES:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"[core]\n\tfsmonitor = touch {box.home}/owned\n" if "git" in name else f"touch {box.home}/owned\n"
        path.write_text(text)
    for args in (("run", "-n", "offline", "--", "true"), ("ps",), ("instance", "list"), ("instance", "show"), ("use",)):
        assert box.claudebox(*args).status == 0
    assert not (box.home / "owned").exists()
    assert box.run(["sh", "-c", f". {home}/.profile"]).status == 0 and (box.home / "owned").exists(), "the control"


GIT = {
    "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": "touch owned",
    "GIT_CONFIG_PARAMETERS": "'core.fsmonitor=touch owned'", "GIT_EXTERNAL_DIFF": "touch owned",
}  # fmt: skip


def test_variables_that_steer_the_hosts_git(box: Box) -> None:
    """CVE-2022-24765 (git): a configuration that the user does not own was obeyed."""
    one = {name: GIT[name] for name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0")}
    assert inside(box, "true", env=GIT).status == 0
    assert not (box.app / "owned").exists()
    box.run(["git", "status"], env=one)
    assert (box.app / "owned").exists(), "the control"


MODULES = (
    "argparse",
    "json",
    "os",
    "re",
    "signal",
    "socket",
    "ctypes",
    "typing",
    "claudebox",
    "sitecustomize",
    "struct",
)


def test_python_modules_in_the_project(box: Box) -> None:
    """CVE-2025-59536 (Claude Code): code of the project ran before the user had agreed to anything."""
    for name in MODULES:
        (box.app / f"{name}.py").write_text(f"open({str(box.home / 'owned')!r}, 'w')\n")
    for args in (
        ("run", "-n", "offline", "--", "true"),
        ("--help",),
        ("ps",),
        ("run", "-n", "offline", "--dry-run", "--", "true"),
    ):
        assert box.claudebox(*args).status == 0
    assert not (box.home / "owned").exists()
    box.run(["/usr/bin/python3", "-c", "import argparse"])
    assert (box.home / "owned").exists(), "the control"
