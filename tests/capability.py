"""What this machine can do, found by doing it; and what a test needs of it.

    @needs("userns", "bwrap", "git")
    def test_...

skips with the reason, or fails where CLAUDEBOX_REQUIRE (comma-separated, or `all`) names the capability:
a CI that silently skips proves nothing. A test that needs `uid0` runs as uid 0 only; one that is marked
`uid0` runs as an ordinary user and again as uid 0.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

PATH = "/usr/local/bin:/usr/bin:/bin"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Read once: a fixture empties the environment before each test.
_SETTINGS = {name: value for name, value in os.environ.items() if name.startswith("CLAUDEBOX_")}
REQUIRED = frozenset(filter(None, re.split(r"[,\s]+", _SETTINGS.get("CLAUDEBOX_REQUIRE", ""))))
SOAK = _SETTINGS.get("CLAUDEBOX_SOAK") == "1"
AGENTS = _SETTINGS.get("CLAUDEBOX_TEST_AGENTS", "")
TOOLCHAINS = _SETTINGS.get("CLAUDEBOX_TEST_TOOLCHAINS", "")
BIN = _SETTINGS.get("CLAUDEBOX_BIN", "")

needs = pytest.mark.needs


class Missing(Exception):
    """This machine cannot do it; says why."""


def repeat(full: int, few: int = 0) -> int:
    """How often a repeated test runs: `full` in a soak, otherwise few, which is a tenth of more than 50."""
    return full if SOAK else few or (full if full <= 50 else max(1, full // 10))


def claudebox_path() -> Path:
    """The installed console script under test: CLAUDEBOX_BIN, or the one on the caller's PATH."""
    found = BIN or shutil.which("claudebox") or ""
    if not found:
        raise Missing("no claudebox is installed: use scripts/test, or set CLAUDEBOX_BIN")
    return Path(found)


def agent_path(name: str) -> Path:
    """An agent's client, as npm put it in CLAUDEBOX_TEST_AGENTS, else the one on the caller's PATH."""
    candidate = Path(AGENTS, "node_modules/.bin", name) if AGENTS else None
    if candidate and candidate.exists():
        return candidate
    if AGENTS or not (found := shutil.which(name)):
        raise Missing(f"no {name} in {AGENTS or 'PATH'}")
    return Path(found)


def tool_path(name: str) -> Path:
    """A toolchain's program as PyPI or npm has it: from CLAUDEBOX_TEST_TOOLCHAINS, else on the caller's PATH."""
    found = shutil.which(name, path=TOOLCHAINS or None)
    if not found:
        raise Missing(f"no {name} in {TOOLCHAINS or 'PATH'}")
    return Path(found)


def lacking(name: str) -> str:
    """Why this machine lacks the capability; empty when it has it."""
    if name not in PROBES:
        raise pytest.UsageError(f"unknown capability {name!r}: the table is in tests/capability.py")
    return _probe(name)


@functools.cache
def _probe(name: str) -> str:
    try:
        PROBES[name]()
    except (Missing, OSError) as error:
        return str(error) or type(error).__name__
    return ""


def require(item: pytest.Item) -> None:
    """Skip a test whose needs are not met, or fail it where CLAUDEBOX_REQUIRE names them."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            if not (reason := lacking(name)):
                continue
            if name in REQUIRED or "all" in REQUIRED:
                pytest.fail(f"CLAUDEBOX_REQUIRE names {name}, and it is missing: {reason}", pytrace=False)
            pytest.skip(f"needs {name}: {reason}")


# --- probes: each raises Missing -----------------------------------------------------------------


def _try(*argv: str | Path, say: str = "", timeout: float = 30) -> str:
    """Run one program to its end and return its output; Missing when it is not there or fails."""
    with tempfile.TemporaryDirectory(prefix="probe-", ignore_cleanup_errors=True) as home:
        environment = {"PATH": SYSTEM_PATH, "HOME": home, "LANG": "C.UTF-8", "TERM": "dumb", "TMUX_TMPDIR": home}
        program = shutil.which(argv[0], path=SYSTEM_PATH)
        if program is None:
            raise Missing(f"no {argv[0]}")
        try:
            done = subprocess.run(
                [program, *argv[1:]], env=environment, cwd=home, timeout=timeout,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Missing(f"{argv[0]} does not end within {timeout:g} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise Missing(f"{say or argv[0]}: status {done.returncode}: {last}")
    return done.stdout


def _trying(*argv: str, say: str = "") -> Callable[[], object]:
    return lambda: _try(*argv, say=say)


def _syscall(number: int, *arguments: int | None) -> tuple[int, int]:
    """The result and errno of one system call."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, (argument or 0 for argument in arguments)))
    return result, ctypes.get_errno()


def _late_mounts() -> None:
    # mount_setattr(2), Linux 5.12, has the same number on x86_64 and arm64; nothing is changed by a bad descriptor
    result, number = _syscall(442, -1, None, 0, None, 0)
    if result == 0 or number == 38:
        raise Missing("the kernel has no mount_setattr (Linux 5.12)")


def landlock_abi() -> int:
    """The kernel's Landlock ABI; 0 where it has none."""
    return max(0, _syscall(444, None, 0, 1)[0])


def _landlock(version: int) -> Callable[[], None]:
    def probe() -> None:
        if landlock_abi() < version:
            raise Missing(f"Landlock ABI {landlock_abi()}, not {version}")

    return probe


def _uid(zero: bool) -> Callable[[], None]:
    def probe() -> None:
        if (os.geteuid() == 0) is not zero:
            raise Missing(f"runs as uid {os.geteuid()}")

    return probe


def _memory_cgroup() -> None:
    if not any(os.access(f"/sys/fs/cgroup{place}", os.W_OK) for place in ("/memory", "/cgroup.subtree_control")):
        raise Missing("no cgroup of ours could bound memory")


def _tun() -> None:
    os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))


def _pty() -> None:
    for descriptor in os.openpty():
        os.close(descriptor)


def _agent(name: str) -> Callable[[], object]:
    # by its own path, which is no word for shutil.which but an absolute name
    return lambda: _try(agent_path(name), "--version", timeout=60)


def _first(candidates: Sequence[str]) -> Callable[[], object]:
    def probe() -> None:
        if not any(shutil.which(candidate, path=SYSTEM_PATH) for candidate in candidates):
            raise Missing(f"none of {', '.join(candidates)}")

    return probe


PROBES: dict[str, Callable[[], object]] = {
    "uid0": _uid(zero=True),
    "user": _uid(zero=False),
    "userns": _trying("unshare", "--user", "--map-root-user", "true", say="user namespaces"),
    "netns": _trying("unshare", "--user", "--map-root-user", "--net", "ip", "link", "set", "lo", "up"),
    "bwrap": _trying("bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"),
    "late_mounts": _late_mounts,
    "landlock": _landlock(1),
    "landlock_scopes": _landlock(6),
    "git": _trying("git", "init", "-q", "repository"),
    "openssl": _trying("openssl", "version"),
    "strace": _trying("strace", "-f", "-o", "/dev/null", "true"),
    "gdb": _trying("gdb", "--batch", "-ex", "run", "true"),
    "ss": _trying("ss", "--all"),
    "tmux": _trying("tmux", "-L", "probe", "-f", "/dev/null", "new-session", "-d", "true"),
    "node": _trying("node", "-e", "0"),
    "npm": _trying("npm", "--version"),
    "pnpm": lambda: _try(tool_path("pnpm"), "--version"),
    "uv": lambda: _try(tool_path("uv"), "--version"),
    "firejail": _trying("firejail", "--quiet", "--noprofile", "--net=none", "true"),
    "nft": _trying("unshare", "--user", "--map-root-user", "--net", "nft", "add table inet probe"),
    "memory_cgroup": _memory_cgroup,
    "tproxy": _trying(
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "nft",
        "table inet probe { chain lead { type filter hook prerouting priority -150; "
        "meta nfproto ipv4 meta l4proto 6 tproxy ip to 127.0.0.1:1; }; }",
    ),
    "tun": _tun,
    "slirp4netns": _trying("slirp4netns", "--version"),
    "pasta": _trying("pasta", "--version"),
    "libseccomp": lambda: ctypes.CDLL("libseccomp.so.2"),
    "pty": _pty,
    "cc": _first(["cc", "gcc", "clang"]),
    "nix": _trying("nix", "--version"),
    "claudebox": lambda: _try(claudebox_path(), "--version"),
    "claude": _agent("claude"),
    "codex": _agent("codex"),
    "gemini": _agent("gemini"),
    "opencode": _agent("opencode"),
}
