"""claudebox as a job of a shell: stopped, in the background, in a pipeline; and job control inside it."""

from __future__ import annotations

import os
import signal
import termios

import pytest

from box import Box
from capability import needs
from shell import ASLEEP, RUN, Shell, write

pytestmark = needs("bwrap", "pty")

# A full-screen program in small: raw, without signals of the terminal; Ctrl-Z as an editor does it, q leaves.
SCREEN = """
import os, signal, sys, termios, tty
before = termios.tcgetattr(0)
tty.setraw(0)
os.write(1, b"U-P\\r\\n")
while (key := os.read(0, 1)) != b"q":
    if key == b"\\x1a":
        termios.tcsetattr(0, termios.TCSADRAIN, before) if "polite" in sys.argv else None
        os.kill(0, signal.SIGTSTP if "polite" in sys.argv else signal.SIGSTOP)
        tty.setraw(0) if "polite" in sys.argv else None
        os.write(1, b"RESUMED\\r\\n")
termios.tcsetattr(0, termios.TCSADRAIN, before)
"""

# A pager in small: it takes its keys from the terminal, and puts what it is given on it; q leaves.
PAGER = """
import os, signal, sys, termios, tty
signal.signal(signal.SIGINT, signal.SIG_IGN)
terminal = os.open("/dev/tty", os.O_RDWR)
before = termios.tcgetattr(terminal)
tty.setcbreak(terminal)
os.write(terminal, b"P-AGER " + os.read(0, 5) + b"\\n")
while os.read(terminal, 1) != b"q": pass
os.read(0, 1 << 20)
termios.tcsetattr(terminal, termios.TCSADRAIN, before)
"""


def modes(shell: Shell) -> list[object]:
    found: list[object] = termios.tcgetattr(shell.bash.child_fd)
    return found


@pytest.mark.parametrize("manner", ["polite", "rude"])
def test_stop_of_a_full_screen_program(box: Box, shell: Shell, manner: str) -> None:
    write(box, "screen.py", SCREEN)
    before = modes(shell)
    shell.start(f'"$CB" {RUN} /usr/bin/python3 screen.py {manner}')
    raw = modes(shell)
    assert raw != before, "the control"
    shell.bash.send("\x1a")
    shell.stopped(manner)
    assert modes(shell) == before
    shell.foreground(manner)
    shell.bash.expect("RESUMED\r\n")
    assert modes(shell) == raw
    shell.bash.send("q")
    shell.prompt()
    assert modes(shell) == before
    assert shell.status() == 0


def test_stop_signal_for_everything_inside(box: Box, shell: Shell) -> None:
    """kill(0, SIGSTOP) crosses the pid namespace: the job stops, and neither the launcher nor the shell is lost."""
    write(box, "agent", "import os, signal; print('U-P', flush=True); os.kill(0, signal.SIGSTOP); exit(6)\n")
    shell.start(f'"$CB" {RUN} /usr/bin/python3 agent')
    shell.stopped("agent")
    shell.foreground("agent")
    shell.prompt()
    assert shell.status() == 6


def test_kill_signal_for_everything_inside(shell: Shell) -> None:
    shell.bash.sendline(f'"$CB" {RUN} /usr/bin/python3 -c "import os; os.kill(0, 9)"; echo went-on=$?')
    shell.bash.expect("went-on=137\r")
    shell.prompt()


def test_background_and_a_read_of_the_terminal(box: Box, shell: Shell) -> None:
    write(box, "agent", "echo U-P\nuntil [ -e go ]; do sleep 0.05; done\nread line\necho got-$line\nexit 4\n")
    shell.start(f'"$CB" {RUN} sh agent &')
    assert shell.status() == 0, "the shell goes on"
    write(box, "go", "")
    shell.until_state("agent", "T")
    shell.until_job_stopped()
    shell.bash.sendline("jobs -l")
    shell.bash.expect(r"Stopped *\(tty input\)")
    shell.prompt()
    shell.foreground("sh agent")
    shell.bash.sendline("text")
    shell.bash.expect("got-text\r")
    shell.prompt()
    assert shell.status() == 4


def test_background_to_its_end(shell: Shell) -> None:
    shell.bash.sendline(f'"$CB" {RUN} sh -c "echo printed; exit 3" & wait $!; echo waited=$?')
    shell.bash.expect("printed\r")
    shell.bash.expect("waited=3\r")
    shell.prompt()


def test_a_job_that_nobody_can_continue_ends_when_it_reads(box: Box, shell: Shell) -> None:
    """Its shell has gone: the kernel stops no such job, so it would read, stop and be continued for ever."""
    write(box, "agent", "echo U-P\nread line\necho never\n")
    shell.start(f"sh -c '\"$CB\" {RUN} sh agent </dev/tty & echo $! >launcher'")
    assert shell.status() == 0
    launcher = int((box.app / "launcher").read_text())
    for _ in range(500):
        if not os.path.exists(f"/proc/{launcher}/exe"):
            break
        shell.bash.sendline("sleep 0.02")
        shell.prompt()
    else:
        pytest.fail("it runs for ever")


def test_job_control_inside(shell: Shell) -> None:
    bash = shell.bash
    bash.sendline(f'"$CB" {RUN} bash --norc --noprofile --noediting -i')
    bash.sendline("PS1='in''side> '")
    bash.expect("inside> ")
    for _ in range(2):
        bash.sendline("sh -c 'echo U''-P; sleep 60'")
        bash.expect("U-P\r\n")
        bash.sendcontrol("z")
        bash.expect("Stopped")
        bash.expect("inside> ")
        bash.sendline("fg")
        bash.expect("sleep 60'\r\n")
        bash.sendcontrol("c")
        bash.expect("inside> ")
    bash.sendline("sleep 60 & kill %1; wait; echo back''ground")
    bash.expect("background\r\n")
    bash.expect("inside> ")
    bash.sendline("exit 5")
    shell.prompt()
    assert shell.status() == 5


@pytest.mark.parametrize("agent", ["yes", "echo first"], ids=["goes on", "has ended"])
def test_a_pager_behind_it_gets_the_terminal(box: Box, shell: Shell, agent: str) -> None:
    write(box, "pager.py", PAGER)
    before = modes(shell)
    shell.bash.sendline(f'"$CB" {RUN} {agent} | /usr/bin/python3 pager.py; echo "=${{PIPESTATUS[*]}}="')
    shell.bash.expect("P-AGER")
    assert modes(shell) != before, "the pager's own"
    shell.bash.send("q")
    shell.bash.expect("=141 0=\r" if agent == "yes" else "=0 0=\r")
    shell.prompt()
    assert modes(shell) == before


def test_interrupt_typed_while_a_pager_has_the_terminal_reaches_the_agent_once(box: Box, shell: Shell) -> None:
    """The terminal tells our own group alone: without the launcher's help the agent would go on."""
    write(box, "pager.py", PAGER)
    write(
        box, "agent", "trap 'echo got >>got' INT\necho lines\nuntil [ -e got ]; do sleep 0.1; done\nsleep 0.5\nexit 9\n"
    )
    shell.bash.sendline(f'"$CB" {RUN} sh agent | /usr/bin/python3 pager.py; echo "=${{PIPESTATUS[*]}}="')
    shell.bash.expect("P-AGER lines")
    shell.bash.sendintr()
    while not (box.app / "got").exists():
        shell.until_state("agent", "S")
    shell.bash.send("q")
    shell.bash.expect("=9 0=\r")
    shell.prompt()
    assert (box.app / "got").read_text() == "got\n"


def test_input_of_a_pipe_and_keys_of_the_terminal(shell: Shell) -> None:
    shell.start(f'echo data | "$CB" {RUN} sh -c "cat; echo U-P; {ASLEEP}"', up="data\r\nU-P")
    shell.bash.sendintr()
    shell.prompt()
    assert shell.status() == 130


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP])
def test_without_a_terminal_a_stop_does_not_last(box: Box, number: int) -> None:
    code = f"import os; os.kill(0, {int(number)}); print('went on')"
    done = box.claudebox(*RUN.split(), "/usr/bin/python3", "-c", code, start_new_session=True)
    assert (done.status, done.stdout, done.stderr) == (0, "went on\n", "")


def test_hangup_while_stopped(box: Box, shell: Shell) -> None:
    """What is left 2 seconds later fails the test."""
    write(box, "agent", "trap '' HUP\necho U-P\nread line\n")
    shell.start(f'"$CB" {RUN} sh agent')
    shell.bash.sendcontrol("z")
    shell.stopped("agent")
    shell.bash.close(force=True)
