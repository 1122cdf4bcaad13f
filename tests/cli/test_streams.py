"""What goes in and out is the command's, byte for byte, by files, pipes and a terminal; readers may go away."""

from __future__ import annotations

import array
import fcntl
import hashlib
import os
import signal
import termios
import time

import pytest

from box import Box
from capability import needs
from shell import ASLEEP, RUN, Shell, write

pytestmark = needs("userns", "bwrap", "git", "pty")

MEGABYTES = 100


def content() -> bytes:
    return os.urandom(1 << 20) * MEGABYTES


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_streams_arrive_identical(box: Box, kind: str) -> None:
    sent = content()
    digest = hashlib.sha256(sent).digest()
    if kind == "pipe":
        done = box.claudebox(*RUN.split(), "cat", input=sent)
        assert (done.status, done.stderr) == (0, "")
        assert hashlib.sha256(done.stdout_bytes).digest() == digest
        return
    source, target = box.home / "source", box.home / "target"
    source.write_bytes(sent)
    with source.open("rb") as reading, target.open("wb") as writing:
        launcher = box.start([box.program, *RUN.split(), "cat"], stdin=reading, stdout=writing)
        assert launcher.communicate(timeout=60) == (None, b"")
    assert launcher.returncode == 0
    assert hashlib.sha256(target.read_bytes()).digest() == digest


@pytest.mark.parametrize("reader", ["head -c 1", "true", "sh -c 'exec <&-; sleep 0.2'"])
def test_a_reader_that_goes_away(box: Box, reader: str) -> None:
    line = f'"$0" {RUN} yes | {reader} >/dev/null; echo "${{PIPESTATUS[0]}}"'
    done = box.run(["bash", "-c", line, box.program])
    assert (done.status, done.stdout, done.stderr) == (0, "141\n", "")


def test_an_error_whose_reader_has_gone_keeps_its_status(box: Box) -> None:
    line = '"$0" bogus 2>&1 >/dev/null | true; echo "${PIPESTATUS[0]}"'
    assert box.run(["bash", "-c", line, box.program]).stdout == "125\n"


def test_a_full_pipe_is_no_obstacle_to_the_end(box: Box) -> None:
    reading, writing = os.pipe()
    launcher = box.start([box.program, *RUN.split(), "yes"], stdout=writing)
    os.close(writing)
    waiting, before = array.array("i", [0]), -1
    while waiting[0] != before or not before:
        before = waiting[0]
        time.sleep(0.1)  # full: nothing more comes
        fcntl.ioctl(reading, termios.FIONREAD, waiting)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(5) == 143
    os.close(reading)
    assert launcher.communicate() == (None, b"")


# --- through a terminal --------------------------------------------------------------------------

RAW = """
import hashlib, os, sys, tty
tty.setraw(0)
os.write(1, b"U-P\\r\\n")
seen = b""
while not seen.endswith(b"\\x1b[201~"):
    seen += os.read(0, 65536)
os.write(1, b"<" + hashlib.sha256(seen).hexdigest().encode() + b">")
os.write(1, bytes(range(256)) + b"\\x1b[38;2;1;2;3m\\x1b[?1006h\\x1b]52;c;eA==\\x07")
os.read(0, 1)
"""
SHOWN = bytes(range(256)) + b"\x1b[38;2;1;2;3m\x1b[?1006h\x1b]52;c;eA==\x07"


def read_until(master: int, end: bytes) -> bytes:
    seen = b""
    while not seen.endswith(end):
        seen += os.read(master, 65536)
    return seen


def test_every_byte_passes_a_terminal_both_ways(box: Box) -> None:
    """A long paste in its brackets, mouse and colours: nothing of ours reads or writes in between."""
    write(box, "raw.py", RAW)
    master, theirs = os.openpty()
    argv = ["setsid", "--ctty", "--wait", box.program, *RUN.split(), "/usr/bin/python3", "raw.py"]
    with box.start(argv, stdin=theirs, stdout=theirs, stderr=theirs) as launcher:
        os.close(theirs)
        read_until(master, b"U-P\r\n")
        keys = b"\x1b[<0;10;20M" + bytes(range(256)) + b"\x03\x1a\x1c\x11\x13"
        pasted = b"\x1b[200~" + keys + b"words to paste, " * 3000 + b"\x1b[201~"
        left = memoryview(pasted)
        while left:
            left = left[os.write(master, left) :]
        digest = hashlib.sha256(pasted).hexdigest().encode()
        assert read_until(master, SHOWN) == b"<" + digest + b">" + SHOWN
        os.write(master, b"q")
        assert launcher.wait(20) == 0
        os.close(master)


# --- what an agent leaves on a terminal ----------------------------------------------------------

LEFT = {
    "exclusive": (
        "import fcntl, termios; fcntl.ioctl(0, termios.TIOCEXCL)",
        "open('/dev/tty').close(); print('usable')",
    ),
    "non-blocking": (
        "import os; [os.set_blocking(number, False) for number in range(3)]",
        "import os; print('usable' if all(map(os.get_blocking, range(3))) else 'not')",
    ),
}


@needs("user")
@pytest.mark.parametrize("kind", LEFT)
@pytest.mark.parametrize("stops", [False, True], ids=["ends", "stops"])
def test_the_terminal_is_usable_again(box: Box, shell: Shell, kind: str, stops: bool) -> None:
    leaves, check = LEFT[kind]
    write(box, "check.py", check)
    write(box, "leaves.py", leaves + ("\nimport os, signal; os.kill(0, signal.SIGTSTP)\n" if stops else "\n"))
    shell.bash.sendline(f'"$CB" {RUN} /usr/bin/python3 leaves.py; echo =$?=; /usr/bin/python3 check.py')
    shell.bash.expect("=148=\r\n" if stops else "=0=\r\n")
    shell.bash.expect("usable\r\n")
    shell.prompt()
    if stops:
        shell.foreground("leaves.py")
        shell.prompt()
        return
    shell.bash.sendline("/usr/bin/python3 leaves.py; /usr/bin/python3 check.py || echo not")
    shell.bash.expect("not\r\n", timeout=10)  # the control


def test_without_a_controlling_terminal(box: Box) -> None:
    done = box.run(["setsid", "--wait", box.program, *RUN.split(), "sh", "-c", "exec 2>&1; : </dev/tty"])
    assert done.status not in (0, 125) and "/dev/tty" in done.stdout


def test_a_terminal_that_is_not_the_input(shell: Shell) -> None:
    shell.start(f'"$CB" {RUN} sh -c "stty size </dev/tty; echo U-P; {ASLEEP}" </dev/null', up="24 80\r\nU-P")
    shell.bash.sendintr()
    shell.prompt()
    assert shell.status() == 130
