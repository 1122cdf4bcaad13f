"""The sandbox's first process is bwrap's, and the agent may trace it: it must not outlive the launcher even so."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import pytest

import leak
from box import Box
from capability import needs
from shell import RUN, write

pytestmark = needs("userns", "bwrap", "git")

# Has pid 1 leave the guard's process group (setsid) and forget that it dies with its parent (prctl): it is stopped
# behind a system call, whose instruction is used for ours.
FREE = """
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ATTACH, DETACH, STEP, GET, SET = 16, 17, 9, 12, 13
RAX, ORIG, RSI, RDI, RIP = 10, 15, 13, 14, 16
Registers = ctypes.c_ulonglong * 27
def ptrace(what, data=None):
    if libc.ptrace(what, 1, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
def wait():
    os.waitpid(1, 0x40000000)
os.setsid()  # the agent too: pid 1 ends with it
ptrace(ATTACH); wait()
before = Registers(); ptrace(GET, ctypes.byref(before))
def call(number, first=0, second=0):
    now = Registers(*before)
    now[RIP] -= 2; now[RAX] = number; now[ORIG] = 2**64 - 1; now[RDI] = first; now[RSI] = second
    ptrace(SET, ctypes.byref(now)); ptrace(STEP); wait(); ptrace(GET, ctypes.byref(now))
    return now[RAX]
results = call(112), call(157, 1, 0)
ptrace(SET, ctypes.byref(before)); ptrace(DETACH)
with open("freed", "w") as file: print(*results, file=file)
while True: time.sleep(1)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86_64")
def test_a_freed_first_process_dies_with_the_launcher(box: Box) -> None:
    write(box, "free.py", FREE)
    before, freed = leak.state(), box.app / "freed"
    with box.start([box.program, *RUN.split(), "/usr/bin/python3", "free.py"]) as launcher:
        deadline = time.monotonic() + 10
        while not (freed.exists() and freed.read_text()) and launcher.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if not freed.exists():
            launcher.kill()
            said = launcher.communicate()[1].decode()
            assert "ptrace" in said, said
            pytest.skip("this kernel lets nobody trace its parent (kernel.yama.ptrace_scope)")
        assert freed.read_text() == "1 0\n", "the control: setsid and prctl were its own"
        groups = {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[2]: pid
                  for pid in leak.descendants(launcher.pid)}  # fmt: skip
        assert len(groups) >= 2, "the control: a process is in a group of its own"
        launcher.kill()
    assert leak.left(before) == []
