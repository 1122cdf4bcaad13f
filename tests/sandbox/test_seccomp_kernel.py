"""The system call filter in a real sandbox: what it refuses, that it was the filter, and what goes on working."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
from errno import EAFNOSUPPORT, EIO, ENODEV, ENOSYS, EPERM, EPROTONOSUPPORT
from functools import cache
from typing import Any

import pytest

import bare
from capability import needs
from claudebox.plan.seccomp import CALLS, IOCTL, MACHINES, PERSONALITY, REQUESTS, SOCKET, SOCKETPAIR

pytestmark = [needs("bwrap"), pytest.mark.uid0]

if bare.MACHINE not in MACHINES:
    pytest.skip(f"no filter for {bare.MACHINE}", allow_module_level=True)

COLUMN = MACHINES[bare.MACHINE][1]
HIGH = (0, 1 << 32, 0x5EADBEEF << 32)
x86_64 = pytest.mark.skipif(bare.MACHINE != "x86_64", reason="other ABIs of x86-64")


@cache
def probed(code: str, filter: str) -> Any:
    return bare.probe(code, program=bare.FILTERS[filter]())


def three(code: str) -> tuple[Any, Any, Any]:
    """What a probe says without the filter, with it, and with the marked one."""
    without, filtered, marked = (probed(code, filter) for filter in ("without", "filtered", "marked"))
    return without, filtered, marked


# --- calls that are refused whatever their arguments ---------------------------------------------

NUMBERS = {name: numbers[COLUMN] for name, _, numbers, _, _ in CALLS if numbers[COLUMN] is not None}
WITH_NONSENSE = f"say({{name: call(number, *[-1] * 6) for name, number in {NUMBERS!r}.items()}})"
# The kernel's own answer to this user is the filter's: only the mark tells them apart.
SAME = {"syslog", "reboot", "swapoff", "acct"}
OPTIONAL = {"lookup_dcookie", "uselib"}  # not in this kernel: ENOSYS either way


@pytest.mark.parametrize(("name", "error"), [(name, error) for name, error, *_ in CALLS if name in NUMBERS])
def test_call_is_refused_by_the_filter(name: str, error: int) -> None:
    without, filtered, marked = three(WITH_NONSENSE)
    assert filtered[name] == -error
    assert marked[name] == -(error | bare.MARK)
    if name not in SAME | OPTIONAL and not (without[name] == -ENOSYS and error == ENOSYS):
        assert without[name] not in (-error, -(error | bare.MARK)), "the kernel would have answered otherwise"


IO_URING = f"""
parameters = ctypes.create_string_buffer(120)
say(call({NUMBERS["io_uring_setup"]}, 4, parameters))
"""


def test_no_ring_can_be_made() -> None:
    without, filtered, marked = three(IO_URING)
    assert (filtered, marked) == (-ENOSYS, -(ENOSYS | bare.MARK))
    if without < 0:
        pytest.skip(f"io_uring is off here: {os.strerror(-without)}")


# --- sockets -------------------------------------------------------------------------------------

# A user and network namespace of its own gives CAP_NET_RAW there: nothing but the filter is in the way.
SOCKETS = """
assert libc.unshare(0x10000000 | 0x40000000) == 0, os.strerror(ctypes.get_errno())
def sockets(number):
    made = {}
    for name, arguments in %r.items():
        made[name] = call(number, *arguments, ctypes.create_string_buffer(8))
        if made[name] >= 0:
            made[name] = 0
    return made
say([sockets(%d), sockets(%d)])
"""
FAMILIES = {
    "unix": ((1, 1, 0), 0), "unix-high": ((1 << 40 | 1, 1, 0), 0),
    "inet": ((2, 1, 0), 0), "inet6": ((10, 2, 0), 0), "mptcp": ((2, 1, 262), 0), "inet-raw": ((2, 3, 1), 0),
    "route": ((16, 3, 0), 0), "sock_diag": ((16, 3, 4), 0),
    "vsock": ((40, 1, 0), EAFNOSUPPORT), "vsock-high": ((1 << 32 | 40, 1, 0), EAFNOSUPPORT),
    "vsock-sign": ((-1 << 32 | 40, 1, 0), EAFNOSUPPORT),
    "packet": ((17, 3, 0), EAFNOSUPPORT), "packet-by-inet": ((2, 10, 0x300), EAFNOSUPPORT),
    "packet-by-inet-flags": ((1 << 33 | 2, 1 << 33 | 0x8000A, 0x300), EAFNOSUPPORT),
    "netfilter": ((16, 3, 12), EPROTONOSUPPORT), "generic": ((16, 3, 16), EPROTONOSUPPORT),
    "uevent": ((16, 3, 1 << 32 | 15), EPROTONOSUPPORT), "smc-by-inet": ((2, 1, 256), EPROTONOSUPPORT),
    **{f"family-{n}": ((n, 2, 0), EAFNOSUPPORT) for n in (0, 3, 9, 15, 21, 29, 30, 31, 38, 42, 43, 44, 45, 255)},
}  # fmt: skip
SOCKETS %= ({name: arguments for name, (arguments, _) in FAMILIES.items()}, SOCKET[COLUMN], SOCKETPAIR[COLUMN])


@pytest.mark.parametrize("name", FAMILIES)
def test_socket_families(name: str) -> None:
    error = FAMILIES[name][1]
    for without, filtered, marked in zip(*three(SOCKETS), strict=True):
        if error:
            assert filtered[name] == -error
            assert marked[name] == -(error | bare.MARK)
        else:
            assert filtered[name] == marked[name] == without[name]


@pytest.mark.parametrize("name", ["vsock", "vsock-high", "vsock-sign", "packet", "packet-by-inet", "generic", "uevent"])
def test_those_sockets_exist_without_the_filter(name: str) -> None:
    (without, _), _, _ = three(SOCKETS)
    if -without[name] in (EAFNOSUPPORT, EPROTONOSUPPORT, ENODEV):
        pytest.skip(f"this kernel has none: {os.strerror(-without[name])}")
    assert without[name] == 0


# --- the terminal --------------------------------------------------------------------------------

TERMINAL = """
def answer(request, argument):
    return call(%d, 0, request, ctypes.create_string_buffer(argument.to_bytes(8, "little"), 8))
say({name: answer(request, argument) for name, request, argument in %r})
"""
TYPE = [(f"TIOCSTI{high:+x}", 0x5412 | high, ord("x")) for high in (*HIGH, -1 << 32)]
PASTE = [(f"TIOCLINUX{high:+x}", 0x541C | high, 12) for high in HIGH]  # 12: which console is in front
DISCIPLINE = [(f"TIOCSETD{high:+x}", 0x5423 | high, 27) for high in HIGH]  # N_NULL: no input any more
HARMLESS = [("TIOCGETD", 0x5424, 0), ("TIOCGWINSZ", 0x5413, 0), ("FIONREAD", 0x541B, 0), ("TIOCOUTQ", 0x5411, 0)]


def on_terminal(filter: str, requests: list[tuple[str, int, int]]) -> tuple[set[int], int]:
    """The answers to requests on a controlling terminal, and how many bytes were typed into it."""
    outside, inside = os.openpty()
    try:
        modes = termios.tcgetattr(inside)
        modes[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(inside, termios.TCSANOW, modes)
        answers = bare.probe(
            TERMINAL % (IOCTL[COLUMN], requests), program=bare.FILTERS[filter](), stdin=inside, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        typed = 0 if requests is DISCIPLINE else fcntl.ioctl(inside, termios.FIONREAD, bytes(4))[0]
    finally:
        os.close(outside)
        os.close(inside)
    return set(answers.values()), typed


@needs("pty")
@pytest.mark.parametrize("requests", [TYPE, PASTE, DISCIPLINE], ids=["TIOCSTI", "TIOCLINUX", "TIOCSETD"])
def test_request_to_the_terminal_is_refused(requests: list[tuple[str, int, int]]) -> None:
    """CVE-2017-5226 (bubblewrap): TIOCSTI typed commands into the terminal that the sandbox shares with a shell.
    CVE-2019-10063 (flatpak): the filter compared all 64 bits of the request, of which the kernel reads 32.
    CVE-2023-28100 (flatpak): on a console TIOCLINUX pasted into what runs there afterwards.
    """
    assert {request & 0xFFFFFFFF for _, request, _ in requests} < {request for _, request, *_ in REQUESTS}
    assert on_terminal("filtered", requests) == ({-EPERM}, 0)
    assert on_terminal("marked", requests) == ({-(EPERM | bare.MARK)}, 0)
    without, typed = on_terminal("without", requests)
    if requests is TYPE and without == {-EIO}:
        pytest.skip("dev.tty.legacy_tiocsti is 0: this kernel types nothing")
    assert -EPERM not in without
    assert typed == (len(TYPE) if requests is TYPE else 0), "high bits do not keep the kernel from it"


@needs("pty")
def test_other_requests_to_the_terminal_work() -> None:
    assert on_terminal("filtered", HARMLESS) == on_terminal("without", HARMLESS) == ({0}, 0)


# --- personality ---------------------------------------------------------------------------------

PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF, 0x400000, 0x440000, 0x100000, 1 << 32 | 0x400000)
PERSONALITY_PROBE = f"say([call({PERSONALITY[COLUMN]}, value) for value in {PERSONALITIES}])"


def test_personality() -> None:
    without, filtered, marked = three(PERSONALITY_PROBE)
    assert all(result >= 0 for result in without)
    assert all(result >= 0 for result in filtered[:6])
    assert filtered[6:] == [-EPERM] * 4
    assert marked[6:] == [-(EPERM | bare.MARK)] * 4


# --- other ABIs ----------------------------------------------------------------------------------

# eax and ebx from the arguments, ecx a pointer below 4 GB, int 0x80.
I386 = """
import mmap, struct
code = bytes.fromhex("53 89f8 89f3 89d1 31d2 cd80 5b c3")
MAP_32BIT = 0x40
page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT,
                 prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
page[:len(code)] = code
page[256:268] = struct.pack("III", 40, 1, 0)
stub = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)(address)
getpid, socketcall, socket = 20, 102, 359
say([stub(getpid, 0, 0) == os.getpid() or stub(getpid, 0, 0), stub(socketcall, 1, address + 256), stub(socket, 40, 1)])
"""


@x86_64
def test_i386_has_no_calls() -> None:
    without, filtered, marked = three(I386)
    assert filtered == [-ENOSYS] * 3
    assert marked == [-(ENOSYS | bare.MARK)] * 3
    if without[0] is not True:
        pytest.skip("this kernel has no 32-bit calls")
    assert without[1] != -ENOSYS, "socketcall hides the family from a filter of socket()"


X32 = f"say([call(number, -1, 0x5412) for number in (1 << 30 | 39, 1 << 30 | 514, 1 << 30 | {SOCKET[COLUMN]}, 514)])"


@x86_64
def test_x32_has_no_calls() -> None:
    _, filtered, marked = three(X32)  # most kernels are built without it: the mark says that the filter spoke
    assert filtered == [-ENOSYS] * 4
    assert marked == [-(ENOSYS | bare.MARK)] * 4


def test_later_calls_are_not_there() -> None:
    _, filtered, marked = three("say([call(number, -1) for number in (470, 500, 1000)])")
    assert filtered == [-ENOSYS] * 3
    assert marked == [-(ENOSYS | bare.MARK)] * 3


# --- where it holds, and what must work ----------------------------------------------------------


def test_filter_is_on_every_process_of_the_sandbox() -> None:
    code = """
def state(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return dict(line.split(":\\t") for line in lines if line.startswith("Seccomp"))["Seccomp"]
child = os.fork()
if child == 0:
    os.execv("/bin/sleep", ["sleep", "60"])
say([state(1), state("self"), state(child)])
os.kill(child, 9)
"""
    assert probed(code, "filtered") == ["2", "2", "2"]
    assert probed(code, "without") == probed("say(['0'] * 3)", "without")


def test_nested_filter_cannot_allow_again() -> None:
    code = f"""
import struct
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(allow)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
say(call({NUMBERS["bpf"]}, -1, 0, 0))
"""
    without, filtered, marked = three(code)
    assert without != -ENOSYS
    assert (filtered, marked) == (-ENOSYS, -(ENOSYS | bare.MARK))


POOL = """
import multiprocessing as m
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with m.get_context(method).Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
    lock, queue = m.Lock(), m.Queue()
    queue.put(1)
    assert queue.get() == 1
    print("works")
"""
NODE = """
const http = require('http'), { execSync } = require('child_process'), { Worker } = require('worker_threads');
require('os').networkInterfaces();
new Worker('1', { eval: true }).on('exit', () => {
  const server = http.createServer((q, r) => r.end('works')).listen(0, '127.0.0.1', () =>
    http.get(server.address(), r => r.on('data', d => {
      console.log(String(d), String(execSync('echo too')));
      server.close();
    })));
});
"""
GIT = (
    "git init -q r && cd r && echo a > a && git add a && git -c user.name=A -c user.email=a@b commit -qm A && git gc -q"
)
NESTED = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/var/tmp"]
NETWORK = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
socket.socketpair()
assert socket.if_nameindex()
socket.getaddrinfo("127.0.0.1", 80)
print("works")
"""

# As uid 0 a namespace below one without CAP_SETFCAP may not map uid 0 (user_namespaces(7)), filter or not.
NESTS = needs("user")

# A tracer that skips a call says -1 and puts a result of its own in its place.
SKIPPING = ["gdb", "-nx", "--batch", "-ex", "catch syscall getppid", "-ex", "run", "-ex", "set $orig_rax = -1",
            "-ex", "set $rax = 77", "-ex", "stepi", "-ex", "print $rax",
            "--args", sys.executable, "-c", "import os; os.getppid()"]  # fmt: skip

WORKS = [
    pytest.param([sys.executable, "-c", POOL], "works", id="multiprocessing"),
    pytest.param([sys.executable, "-c", NETWORK], "works", id="sockets"),
    pytest.param([*NESTED, "echo", "works"], "works", id="nested-bwrap", marks=NESTS),
    pytest.param([*NESTED, *NESTED, "echo", "works"], "works", id="nested-twice", marks=NESTS),
    pytest.param(
        ["unshare", "-Urnm", "sh", "-c", "mount -t tmpfs t /var/tmp && echo works"], "works", id="unshare", marks=NESTS,
    ),
    pytest.param(["strace", "-f", "-o", "log", "sh", "-c", "echo works"], "works", id="strace", marks=needs("strace")),
    pytest.param(
        ["strace", "-qq", "-o", "log", "-e", "trace=chdir", "-e", "inject=chdir:retval=0", "sh", "-c",
         "cd /nowhere && echo works"], "works", id="strace-inject", marks=needs("strace"),
    ),
    pytest.param(SKIPPING, "$1 = 77", id="gdb-skips", marks=[needs("gdb"), x86_64]),
    pytest.param(["gdb", "--batch", "-ex", "run", "true"], "exited normally", id="gdb", marks=needs("gdb")),
    pytest.param(["node", "-e", NODE], "works too", id="node", marks=needs("node")),
    pytest.param(["sh", "-c", f"{GIT} && git log --format=%s"], "A", id="git", marks=needs("git")),
    pytest.param(["ss", "-tulpnax"], "Netid", id="ss", marks=needs("ss")),
    pytest.param(["sh", "-c", "setarch --addr-no-randomize echo works"], "works", id="setarch"),
    pytest.param(["script", "-qec", "echo works", "/dev/null"], "works", id="script"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "expected"), WORKS)
def test_what_must_work(argv: list[str], expected: str) -> None:
    for filter in ("without", "filtered"):
        status, out, err = bare.run(argv, program=bare.FILTERS[filter]())
        assert (status, expected in out) == (0, True), f"{filter}: {out}{err}"
