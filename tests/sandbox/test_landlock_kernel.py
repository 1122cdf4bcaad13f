"""Landlock's scopes around a real sandbox in the host's network namespace: what they stop, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EPERM
from pathlib import Path
from typing import Any

import pexpect
import pytest

import bare
import claudebox
import leak
from capability import landlock_abi as abi_by_the_tests
from capability import needs
from claudebox.errors import ClaudeboxError
from claudebox.run import landlock

pytestmark = [needs("bwrap", "landlock_scopes"), pytest.mark.uid0]

# A launcher in small: guard, lifeline, and bwrap in the guard's group. Its arguments: plain or scoped, and the
# command. Prints the pids of guard and bwrap, then reads lines: a signal's number for the sandbox's group.
LAUNCHER = """
import os, signal, sys
from claudebox.run.landlock import start_scoped
bwrap, scoped, command = sys.argv[1].split(), sys.argv[2] == "scoped", sys.argv[3:]
lifeline, ours = os.pipe()
guard = os.posix_spawn("/bin/sh", ["sh", "-c", "read -r x; kill -9 0"], {}, setpgroup=0,
                       file_actions=[(os.POSIX_SPAWN_DUP2, lifeline, 0)])
os.close(lifeline)
def start():
    return os.posix_spawnp("bwrap", [*bwrap, "--", *command], dict(os.environ), setpgroup=guard)
outer = start_scoped(start) if scoped else start()
print(guard, outer, file=sys.stderr, flush=True)
for line in sys.stdin:
    os.killpg(guard, int(line))
os.waitpid(outer, 0)
"""
KINDS = ("plain", "scoped")
SOURCE = str(Path(claudebox.__file__).parents[1])


@contextmanager
def launched(kind: str, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A launcher with its sandbox; gone at the end, however the test ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, " ".join(["bwrap", *bare.OPTIONS]), kind, *command],
        env=bare.ENVIRONMENT | {"PYTHONPATH": SOURCE}, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()  # the lifeline ends, and the guard kills the rest
        process.communicate()


def probe(kind: str, code: str) -> Any:
    """What a Python probe says in a sandbox of the host's network namespace."""
    with launched(kind, [sys.executable, "-c", bare.PRELUDE + code]) as process:
        out, err = process.communicate(timeout=60)
        assert out, err
    return json.loads(out)


def eventually(fact: Callable[[], bool], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def state(pid: int) -> str:
    """The letter of proc(5): T is stopped, "" is gone."""
    return leak.parents().get(pid, (0, ""))[1]


def reach(letters: str, *pids: int, seconds: float = 5) -> bool:
    """All of them come into one of these states; a space is gone."""
    return eventually(lambda: all((state(pid) or " ") in letters for pid in pids), seconds)


def pids(process: subprocess.Popen[str]) -> tuple[int, int, int]:
    """guard, bwrap's outer process, agent; the agent runs."""
    assert process.stderr
    guard, outer = map(int, process.stderr.readline().split())
    assert eventually(lambda: agents(process) != [])
    return guard, outer, agents(process)[0]


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def asleep(root: int) -> None:
    """Wait until a `sleep` below root runs and has the terminal."""

    def there() -> bool:
        for pid in sleeping(root):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] == "S" and fields[2] == fields[5]:  # proc(5): its group is the terminal's
                return True
        return False

    assert eventually(there)


def agents(process: subprocess.Popen[str]) -> list[int]:
    """Processes below the launcher that are `sleep`."""
    return sleeping(process.pid)


def sleeping(root: int) -> list[int]:
    found = []
    for pid in leak.descendants(root):
        try:
            if Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                found.append(pid)
        except OSError:
            pass
    return found


def test_abi_is_the_kernels() -> None:
    assert landlock.landlock_abi() == abi_by_the_tests() >= landlock.SCOPES_ABI


# --- sockets -------------------------------------------------------------------------------------

CONNECT = """
import socket
def tried(kind, send):
    with socket.socket(socket.AF_UNIX, kind) as client:
        try:
            client.sendto(b"x", %r) if send else client.connect(%r)
        except OSError as error:
            return error.errno
    return 0
say([tried(socket.SOCK_STREAM, False), tried(socket.SOCK_DGRAM, False), tried(socket.SOCK_DGRAM, True)])
"""


@pytest.mark.parametrize(("kind", "error"), [("plain", 0), ("scoped", EPERM)])
def test_abstract_sockets_of_the_host(kind: str, error: int) -> None:
    name = f"\0claudebox-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as stream, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
        stream.bind(name)
        stream.listen()
        datagram.bind(name + "d")
        first, *_ = probe(kind, CONNECT % (name, name))
        _, *others = probe(kind, CONNECT % (name + "d", name + "d"))
    assert [first, *others] == [error] * 3


def test_sockets_with_a_path_and_ports_stay() -> None:
    """The control of another kind: scopes are about abstract names alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection({server.getsockname()!r}); say(True)"
        assert probe("scoped", code) is True


OWN = """
import signal, socket, threading, time
server = socket.socket(socket.AF_UNIX); server.bind("\\0own"); server.listen()
socket.socket(socket.AF_UNIX).connect("\\0own")
server = socket.socket(socket.AF_UNIX); server.bind("/var/tmp/own"); server.listen()
socket.socket(socket.AF_UNIX).connect("/var/tmp/own")
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append("self")); os.kill(os.getpid(), signal.SIGUSR1)
signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    while True: time.sleep(1)
while os.getpgid(child) != child: pass
os.kill(child, signal.SIGSTOP); got.append(os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]))
os.killpg(child, signal.SIGCONT); got.append(os.WIFCONTINUED(os.waitpid(child, os.WCONTINUED)[1]))
os.killpg(child, signal.SIGTERM); got.append(os.WTERMSIG(os.waitpid(child, 0)[1]))
say(got)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_own_sockets_and_own_signals_work(kind: str) -> None:
    assert probe(kind, OWN) == ["self", "self", True, True, 15]


# --- signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "guard_state"), [("plain", "Z"), ("scoped", "S")])
def test_kill_0_of_the_agent_does_not_reach_the_guard(kind: str, guard_state: str) -> None:
    """The process group crosses the pid namespace; the domain holds."""
    with launched(kind, ["sh", "-c", "sleep 0.2; kill -9 0"]) as process:
        guard, outer, _ = pids(process)
        os.kill(process.pid, signal.SIGSTOP)  # it would leave, and end the guard itself
        assert reach("Z", outer)
        assert reach(guard_state, guard)


@pytest.mark.parametrize("kind", KINDS)
def test_launcher_stops_and_continues_the_sandbox(kind: str) -> None:
    with launched(kind, ["sleep", "60"]) as process:
        _, outer, agent = pids(process)
        for number, letter in (
            (signal.SIGSTOP, "T"),
            (signal.SIGCONT, "S"),
            (signal.SIGTSTP, "T"),
            (signal.SIGCONT, "S"),
        ):
            print(int(number), file=process.stdin, flush=True)
            assert reach(letter, agent, outer), number


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guarded", [True, False], ids=["guard", "parent-death"])
def test_nothing_outlives_the_launcher(kind: str, guarded: bool) -> None:
    with launched(kind, ["sleep", "60"]) as process:
        guard, outer, agent = pids(process)
        if not guarded:
            os.kill(guard, signal.SIGKILL)
        assert reach("S", outer, agent), "the thread that started it stays"
        assert threads(process.pid) == (2 if kind == "scoped" else 1)
        process.kill()
        assert reach(" Z", outer, agent, seconds=2)  # Z: ours to reap, as subreaper


def test_launcher_itself_is_in_no_domain() -> None:
    code = f"""
import os, signal, socket
from claudebox.run.landlock import start_scoped
argv = ["sh", "-c", "kill -0 {os.getpid()}"]
os.kill({os.getpid()}, 0)
start = lambda: os.posix_spawnp("sh", argv, dict())
plain, scoped = start(), start_scoped(start)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in (plain, scoped)])
os.kill({os.getpid()}, 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=bare.ENVIRONMENT | {"PYTHONPATH": SOURCE}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[0, 1]\n"


@pytest.mark.parametrize("kind", KINDS)
def test_job_control_inside(kind: str) -> None:
    """Ctrl-C, Ctrl-Z and fg in a shell of the sandbox: the terminal's signals ask no domain."""
    started = "start_scoped(start)" if kind == "scoped" else "start()"
    code = f"""
import os, signal
from claudebox.run.landlock import start_scoped
for number in (signal.SIGINT, signal.SIGTSTP, signal.SIGTTOU):
    signal.signal(number, signal.SIG_IGN)
def start():
    argv = ["bwrap", *{bare.OPTIONS!r}, "--", "bash", "--norc", "--noprofile", "-i"]
    return os.posix_spawnp("bwrap", argv, dict(os.environ), setsigdef=[signal.SIGINT, signal.SIGTSTP, signal.SIGTTOU])
os.waitpid({started}, 0)
"""
    shell = pexpect.spawn(
        sys.executable, ["-c", code], env=bare.ENVIRONMENT | {"PYTHONPATH": SOURCE}, encoding="utf-8", timeout=10
    )
    try:
        shell.sendline("PS1='ready> '; set -m")
        shell.expect("ready> $")
        shell.sendline("sleep 60; echo after $?")
        asleep(shell.pid)
        shell.sendcontrol("c")
        shell.expect("ready> $")
        shell.sendline("sleep 60")
        asleep(shell.pid)
        shell.sendcontrol("z")
        shell.expect("Stopped")
        shell.sendline("fg")
        asleep(shell.pid)
        shell.sendcontrol("c")
        shell.expect("ready> $")
        shell.sendline("kill -TERM $$; kill -HUP $$; exit")
        shell.expect(pexpect.EOF)
    finally:
        shell.close(force=True)


ENTER = """
import ctypes, fcntl, os, sys
libc = ctypes.CDLL(None, use_errno=True)
mounts = os.open(f"/proc/{sys.argv[1]}/ns/mnt", os.O_RDONLY)
owner = fcntl.ioctl(mounts, 0xB701)  # NS_GET_USERNS
for namespace, kind in ((owner, 0x10000000), (mounts, 0x20000)):
    assert libc.setns(namespace, kind) == 0, os.strerror(ctypes.get_errno())
assert libc.mount(b"late", b"/var/tmp", b"tmpfs", 0, None) == 0, os.strerror(ctypes.get_errno())
"""


@pytest.mark.parametrize("kind", KINDS)
def test_launcher_enters_the_namespaces(kind: str) -> None:
    """As late mounts do: a domain keeps what is in it from tracing what is outside, not the reverse."""
    with launched(kind, ["sleep", "60"]) as process:
        _, _, agent = pids(process)
        done = subprocess.run([sys.executable, "-c", ENTER, str(agent)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "late /var/tmp" in Path(f"/proc/{agent}/mounts").read_text()


# --- what must work ------------------------------------------------------------------------------

NESTED = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/var/tmp"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param([*NESTED, *NESTED, "echo", "works"], "works", id="nested-bwrap", marks=needs("user")),
        pytest.param(["unshare", "-Urnm", "sh", "-c", "mount -t tmpfs t /var/tmp && echo works"], "works",
                     id="unshare", marks=needs("user")),
        pytest.param(["strace", "-f", "-o", "log", "sh", "-c", "echo works"], "works", id="strace",
                     marks=needs("strace")),
        pytest.param(["gdb", "--batch", "-ex", "run", "true"], "exited normally", id="gdb", marks=needs("gdb")),
        pytest.param(["timeout", "-s", "INT", "0.1", "sleep", "60"], "", id="timeout"),
        pytest.param(["sh", "-c", "cat /proc/1/comm && ls /proc/1/fd/ >/dev/null && echo works"], "works", id="proc"),
    ],
)  # fmt: skip
def test_what_must_work(command: list[str], expected: str) -> None:
    for kind in KINDS:
        with launched(kind, command) as process:
            out, err = process.communicate(timeout=30)
        assert expected in out, f"{kind}: {out}{err}"


# --- the module itself ---------------------------------------------------------------------------


def test_error_of_the_start_is_the_callers() -> None:
    def start() -> int:
        raise ClaudeboxError("no such program")

    with pytest.raises(ClaudeboxError, match="no such program"):
        landlock.start_scoped(start)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(f"\0claudebox-test-{os.getpid()}")
        server.listen()
        client.connect(server.getsockname())


def test_sixteen_domains_are_all() -> None:
    """The kernel refuses the seventeenth layer (landlock(7)): nothing is started then."""
    code = """
import os
from claudebox.errors import ClaudeboxError
from claudebox.run.landlock import restrict_scopes, start_scoped
for layer in range(16):
    restrict_scopes()
try:
    start_scoped(lambda: os.posix_spawnp("echo", ["echo", "started"], {}))
except ClaudeboxError as error:
    print(error.message, error.hint)
"""
    environment = bare.ENVIRONMENT | {"PYTHONPATH": SOURCE}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "started" not in done.stdout
    assert "does not scope" in done.stdout, done.stderr
