"""Signals, job control, window size and hangup, on a terminal."""

from __future__ import annotations

import os
import select
import signal
import termios

import pytest

from box import Box
from capability import needs
from shell import ASLEEP, RUN, Shell, write

pytestmark = needs("bwrap", "pty")


def test_interrupt_reaches_the_agent_once(box: Box, shell: Shell) -> None:
    write(
        box, "agent", "trap 'echo got >> got' INT\necho U-P\nuntil [ -e got ]; do sleep 0.1; done\nsleep 0.5\nexit 9\n"
    )
    shell.start(f'"$CB" {RUN} sh agent')
    shell.bash.sendintr()
    shell.prompt()
    assert shell.status() == 9
    assert (box.app / "got").read_text() == "got\n"


def test_interrupt_ends_a_loop_of_the_shell(shell: Shell) -> None:
    shell.start(f'for i in 1 2 3; do "$CB" {RUN} sh -c "echo U-P; {ASLEEP}"; echo went-on-$i; done')
    shell.bash.sendintr()
    assert "went-on-1" not in shell.prompt()
    assert shell.status() == 130


def test_stop_and_continue(box: Box, shell: Shell) -> None:
    write(box, "agent", "echo U-P\nread line\necho got-$line\nexit 4\n")
    shell.start(f'"$CB" {RUN} sh agent')
    shell.bash.sendcontrol("z")
    shell.stopped("agent")
    shell.foreground("sh agent")
    shell.bash.sendline("text")
    shell.bash.expect("got-text\r")
    shell.prompt()
    assert shell.status() == 4


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "after fg"])
def test_window_size(box: Box, shell: Shell, stopped: bool) -> None:
    # bash, because its `read` goes on after a trap
    write(box, "agent", "trap 'stty size' WINCH\ntrap exit INT\necho U-P\nwhile :; do sleep 0.1; done\n")
    shell.start(f'"$CB" {RUN} bash agent')
    if stopped:
        shell.bash.sendcontrol("z")
        shell.stopped("agent")
        shell.foreground("bash agent")
    shell.bash.setwinsize(33, 111)
    shell.bash.expect("33 111\r")
    shell.bash.sendintr()
    shell.prompt()


def test_modes_are_restored(shell: Shell) -> None:
    before = termios.tcgetattr(shell.bash.child_fd)
    shell.bash.sendline(f'"$CB" {RUN} sh -c "stty raw -echo; kill -9 \\$\\$"')
    shell.prompt()
    assert termios.tcgetattr(shell.bash.child_fd) == before
    assert shell.status() == 137


def test_terminate_reaches_the_agent(box: Box) -> None:
    agent = f"trap 'echo saved; exit 5' TERM; echo up; {ASLEEP}"
    with box.start([box.program, *RUN.split(), "sh", "-c", agent]) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"up\n"
        launcher.terminate()
        out, err = launcher.communicate(timeout=20)
    assert (launcher.returncode, out, err) == (5, b"saved\n", b"")


@pytest.mark.parametrize("name", ["HUP", "INT", "KILL", "SEGV", "TERM", "USR1", "PIPE"])
def test_status_of_a_signal(box: Box, name: str) -> None:
    done = box.claudebox(*RUN.split(), "sh", "-c", f"kill -{name} $$")
    assert done.status == 128 + signal.Signals[f"SIG{name}"], done.stderr


@pytest.mark.parametrize("status", [0, 1, 37, 125, 126, 127, 255])
def test_status_of_a_command(box: Box, status: int) -> None:
    assert box.claudebox(*RUN.split(), "sh", "-c", f"exit {status}").status == status


def test_hangup(box: Box) -> None:
    """The agent ignores SIGHUP; a pipe that only the sandbox holds tells when the last of it is gone."""
    ours, theirs = os.openpty()
    read, held = os.pipe()
    agent = f"trap '' HUP; echo up >&2; {ASLEEP}"
    launcher = box.start(
        ["setsid", "--ctty", "--wait", box.program, *RUN.split(), "sh", "-c", agent],
        stdin=theirs, stdout=held, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.close(held)
    seen = b""
    while b"up\r\n" not in seen:
        seen += os.read(ours, 1024)
    os.close(ours)
    try:
        ready, _, _ = select.select([read], [], [], 2)
        assert ready, "something holds the pipe 2 s after the hangup"
        assert os.read(read, 1) == b""
    finally:
        os.close(read)
        launcher.wait(20)


def test_pipeline_ends_on_one_interrupt(shell: Shell) -> None:
    shell.start(f'"$CB" {RUN} sh -c "echo U-P; {ASLEEP}" | cat')
    shell.bash.sendintr()
    shell.prompt()
    assert shell.status() == 130


def test_the_exit_report_comes_when_the_terminal_is_ours_again(box: Box, shell: Shell) -> None:
    write(box, "agent", "echo U-P\nread line\necho x >.envrc\nstty raw -echo\necho L-AST\n")
    shell.start(f'TERM=xterm "$CB" {RUN} sh agent')
    shell.bash.sendline("go")
    shell.bash.expect("L-AST")
    said = shell.prompt()
    # red on a terminal, and each line ends as the terminal's own modes have it, not the agent's
    assert "\x1b[1;31mclaudebox: danger:\x1b[0m changed while the session ran" in said
    assert "  .envrc: new; direnv runs it (cd)\r\n" in said
