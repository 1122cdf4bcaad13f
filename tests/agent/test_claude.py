"""The real Claude Code in the sandbox: its Bash tool, conversations in several launches, the terminal."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from box import Box
from capability import needs
from clients import Claude, terminal

pytestmark = [needs("claudebox", "claude", "userns", "bwrap", "git"), pytest.mark.timeout(240)]
NAME = secrets.token_hex(8)


@contextmanager
def host_things(box: Box) -> Iterator[dict[str, tuple[str, str]]]:
    """Things of the host that the sandbox must not reach: title → (command, what it prints on the host)."""
    (box.home / ".ssh").mkdir(mode=0o700)
    (box.home / ".ssh" / "id_ed25519").write_text(f"ssh-{NAME}\n")
    (box.home / "code" / "other").mkdir()
    (box.home / "code" / "other" / "secret").write_text(f"other-{NAME}\n")
    (box.home / ".claudebox").mkdir(mode=0o700, exist_ok=True)
    (box.home / ".claudebox" / "config.toml").write_text(f"# config-{NAME}\n")
    abstract = f"test-{NAME}"
    dial = f"import socket as s; c = s.socket(s.AF_UNIX); c.connect('\\0{abstract}'); print(c.recv(99).decode())"
    sleeper = subprocess.Popen(["sleep", "200"], env={"CANARY": f"environ-{NAME}"})
    listeners = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)]
    try:
        listeners[1].bind("\0" + abstract)
        listeners[1].listen()
        for listener, name in zip(listeners, ("tcp", "abstract"), strict=True):
            threading.Thread(target=greet, args=(listener, f"{name}-{NAME}\n".encode()), daemon=True).start()
        port = listeners[0].getsockname()[1]
        yield {
            "a key": ("cat ~/.ssh/id_ed25519", f"ssh-{NAME}"),
            "another project": ("cat ../other/secret", f"other-{NAME}"),
            "our own directory": ("cat ~/.claudebox/config.toml", f"config-{NAME}"),
            "environments": (f"grep -aoh environ-{NAME} /proc/[0-9]*/environ 2>/dev/null", f"environ-{NAME}"),
            "a process": (f"kill -0 {sleeper.pid} && echo kill-{NAME}", f"kill-{NAME}"),
            "a port": (f"exec 3<>/dev/tcp/127.0.0.1/{port} && cat <&3", f"tcp-{NAME}"),
            "an abstract socket": (f"python3 -c {shlex.quote(dial)}", f"abstract-{NAME}"),
        }
    finally:
        sleeper.kill()
        sleeper.wait()
        for listener in listeners:
            listener.close()


def greet(listener: socket.socket, text: bytes) -> None:
    try:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(text)
    except OSError:
        pass


@pytest.mark.uid0
def test_its_commands_see_the_project_and_nothing_else(box: Box, claude: Claude) -> None:
    with host_things(box) as things:
        for title, (command, canary) in things.items():
            control = box.run(["bash", "-c", command]).stdout
            assert canary in control, f"{title}: on the host the same command gets there"
        wanted = [f"{command}; echo tried-$((6 * 7))" for command, _ in things.values()]
        own, *results = claude.run("cat README; pwd; id -un; echo new >made", *wanted)
    expected = ["An example.", str(box.app), box.run(["id", "-un"]).stdout.strip()]
    assert own.splitlines() == expected
    assert (box.app / "made").read_text() == "new\n"
    for (title, (_, canary)), result in zip(things.items(), results, strict=True):
        assert canary not in result, title
        assert "tried-42" in result and "not found" not in result, f"{title}: {result}"


@pytest.mark.uid0
def test_a_commit_lands_on_the_host(box: Box, claude: Claude) -> None:
    committed, hook, config = claude.run(
        "echo more >>README && git commit -q -a -m 'Say more' && git log --format=%s",
        "echo 'touch pwned' >.git/hooks/post-checkout",
        "git config core.fsmonitor 'touch pwned'",
    )
    assert committed.splitlines() == ["Say more", "Start"]
    assert "Read-only file system" in hook
    assert "could not lock config file" in config or "Read-only file system" in config or "busy" in config
    assert box.git("log", "-1", "--format=%an <%ae> %s") == "Ada Example <ada@example.org> Say more\n"
    assert box.git("status", "--porcelain", "--ignored") == ""
    assert not (box.app / ".git" / "hooks" / "post-checkout").exists()
    assert "fsmonitor" not in (box.app / ".git" / "config").read_text()


def test_a_conversation_is_continued_in_a_second_launch(box: Box, claude: Claude) -> None:
    first = claude("-p", "run: echo one >/tmp/one; cat /tmp/one")
    assert (first.status, first.stdout) == (0, "prompt 1\none\n"), first.stderr
    second = claude("--continue", "-p", "run: cat /tmp/one || echo gone")
    assert second.status == 0 and second.stdout.startswith("prompt 2\n"), second
    assert "gone" in second.stdout, "/tmp is of one launch"
    prompts = claude.model.requests[-1]["prompts"]
    assert prompts[0].strip() == "run: echo one >/tmp/one; cat /tmp/one"

    (conversation,) = box.state.glob("instances/*/home/.claude/projects/*/*.jsonl")
    third = claude("--resume", conversation.stem, "-p", "run: echo three")
    assert (third.status, third.stdout) == (0, "prompt 3\nthree\n"), third.stderr
    assert not (box.home / ".claude").exists(), "nothing is written on the host"
    assert not (box.home / ".claude.json").exists()


def test_without_unattended_it_asks(claude: Claude) -> None:
    done = claude("-p", "run: echo x >made", unattended=False)
    results = [text for entry in claude.model.requests for text in entry.get("results", ())]
    assert done.status == 0 and len(results) == 1, done
    assert not (claude.box.app / "made").exists()
    assert claude.run("echo x >made; cat made") == ["x"], "the control"


def test_the_marks_of_an_outer_session_stay_outside(claude: Claude) -> None:
    outer = {"CLAUDECODE": "1", "CLAUDE_CODE_SSE_PORT": "1", "CLAUDE_CODE_ENTRYPOINT": "outer", "NODE_OPTIONS": "--bad"}
    done = claude("-p", "run: env", env=outer)
    assert done.status == 0, done.stderr
    assert "outer" not in done.stdout and "SSE_PORT" not in done.stdout and "NODE_OPTIONS" not in done.stdout
    assert "DISABLE_AUTOUPDATER=1" in done.stdout


def test_exit_status_and_stdout_are_the_clients(claude: Claude) -> None:
    version = claude("--version")
    assert version.status == 0 and version.stdout.endswith("(Claude Code)\n")
    wrong = claude("--no-such-option")
    assert wrong.status == 1 and wrong.stdout == "" and "no-such-option" in wrong.stderr


@needs("tmux")
@pytest.mark.parametrize("unattended", [False, True], ids=["asks", "unattended"])
def test_a_conversation_in_the_terminal(claude: Claude, unattended: bool) -> None:
    """No question of a first start; a prompt, its command (with a question, if so), and /exit."""
    mode = ["--unattended"] if unattended else ["--", "--permission-mode", "default"]
    options = [*map(os.fspath, claude.options()), *mode]
    with terminal(claude.box, [str(claude.box.program), *options], claude.environment()) as type_:
        first = type_(until="bypass permissions on" if unattended else "❯")
        assert "theme" not in first and "trust" not in first.lower(), first
        type_("run: echo $((6*7))-seen >made; cat made", until="made; cat made")
        if not unattended:
            asked = type_("Enter", until="Do you want to proceed?")
            assert "1. Yes" in asked
            assert not (claude.box.app / "made").exists()
            time.sleep(1)  # the client ignores keys that come together with its question
        type_("Enter", until="● prompt 1")
        type_("/exit", until="/exit")
        type_("Enter", until="status-0")
    assert (claude.box.app / "made").read_text() == "42-seen\n"


@needs("tmux")
def test_resize_stop_and_continue_in_the_terminal(claude: Claude) -> None:
    """What a person does in a long session: another size, Ctrl-Z, the shell's fg, /help, /exit."""
    options = [str(claude.box.program), *map(os.fspath, claude.options()), "--unattended"]
    with terminal(claude.box, ["bash", "--norc", "--noprofile"], claude.environment()) as type_:
        type_("PS1='ho''st> '; clear", "Enter", until="host>")
        type_(shlex.join(options), "Enter", until="bypass permissions on")
        type_("run: stty size </dev/tty || echo no-tty", until="no-tty")
        type_("Enter", until="● prompt 1")
        assert "─" * 91 in type_(until="bypass permissions on")
        type_.tmux("resize-window", "-x", "90", "-y", "30")
        type_(until="\n" + "─" * 90 + "\n")
        type_("C-z", until="Stopped")
        type_("echo in-$((6*7))-the-shell", "Enter", until="in-42-the-shell")
        type_("stty -a | grep -o ' icanon'", "Enter", until="\n icanon")
        type_("clear", "Enter", until="host>")
        type_("fg", "Enter", until="bypass permissions on")
        type_("/help", until="/help")
        type_("Enter", until="ustom")
        type_("Escape", until="bypass permissions on")
        type_("/exit", until="/exit")
        type_("Enter", until="host>")
        type_("echo status-$?", "Enter", until="status-0")
