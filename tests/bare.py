"""bwrap alone, without claudebox: the whole file system read-only and one piece of ours under test.

Both sides of a "no" run the same probe: with the piece, and without it as the control.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import bpf
from claudebox.plan.seccomp import seccomp_program

MACHINE = os.uname().machine
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/var/tmp", "LANG": "C.UTF-8", "TERM": "dumb"}
OPTIONS = (
    "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--cap-drop", "ALL",
    "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/var/tmp", "--chdir", "/var/tmp",
)  # fmt: skip
MARK = 0x800  # added to the errno of every refusal of a marked program: no kernel says that by itself

# call(number, arguments...) in a probe: whole registers; the result, or -errno.
PRELUDE = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    return result if result >= 0 else -ctypes.get_errno()
def say(value):
    json.dump(value, sys.stdout)
"""


def marked(program: bytes) -> bytes:
    """The same program with refusals that are nobody else's: they prove that the filter spoke."""
    code = bpf.parse(program)
    changed = [
        one._replace(value=one.value | MARK) if one.code == bpf.RETURN and one.value != bpf.ALLOW else one
        for one in code
    ]
    return b"".join(struct.pack("<HBBI", *one) for one in changed)


FILTERS: dict[str, Callable[[], bytes]] = {
    "without": lambda: b"",
    "filtered": lambda: seccomp_program(MACHINE),
    "marked": lambda: marked(seccomp_program(MACHINE)),
}


def start(
    argv: Sequence[str], *, program: bytes = b"", net: str = "own", options: Sequence[str] = (), **popen: Any
) -> subprocess.Popen[bytes]:
    """Start a command in bwrap under a seccomp program, none if empty. net: own or host."""
    network = ["--unshare-net"] if net == "own" else []
    descriptor = os.memfd_create("seccomp")
    try:
        os.write(descriptor, program)
        os.lseek(descriptor, 0, os.SEEK_SET)
        filtering = ["--seccomp", str(descriptor)] if program else []
        return subprocess.Popen(
            ["bwrap", *OPTIONS, *network, *filtering, *options, "--", *argv],
            env=ENVIRONMENT, pass_fds=(descriptor,) if program else (),
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen},
        )  # fmt: skip
    finally:
        os.close(descriptor)


def run(argv: Sequence[str], **given: Any) -> tuple[int, str, str]:
    """Run a command in bwrap to its end: status, output, errors."""
    with start(argv, **given) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def probe(code: str, **given: Any) -> Any:
    """Run Python in bwrap and give what it handed to `say`."""
    status, out, err = run([sys.executable, "-c", PRELUDE + code], **given)
    assert status == 0, err
    return json.loads(out)
