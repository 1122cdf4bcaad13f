"""The broker against the kernel: what a sandbox has of the host's login, at launch and while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import logins
from box import Box, Result
from capability import needs
from logins import copy, copy_file, host, instance, lock, log_in, login, put

pytestmark = [needs("claudebox", "userns", "bwrap"), pytest.mark.timeout(120)]


def launch(box: Box, *command: str, **options: Any) -> Result:
    return box.claudebox("run", "-n", "offline", "--", *(command or ("true",)), **options)


def wait_for(what: Callable[[], Any], says: str) -> Any:
    """The first true answer; a fact that does not come within 10 s fails."""
    deadline = time.monotonic() + 10
    while not (answer := what()):
        assert time.monotonic() < deadline, says
        time.sleep(0.01)
    return answer


@contextmanager
def session(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    """A shell in the sandbox that runs what is written to it."""
    with box.start(
        [box.program, "run", "-n", "offline", "--", "sh"], stdin=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        try:
            order(running, "true")
            yield running
        finally:
            assert running.stdin is not None
            running.stdin.close()
            running.wait(20)


def order(running: subprocess.Popen[bytes], command: str) -> str:
    """Run a command in a session; what it prints, and what claudebox says meanwhile."""
    assert running.stdin is not None and running.stdout is not None
    running.stdin.write(f"{command}\necho; echo done\n".encode())
    running.stdin.flush()
    lines = []
    while (line := running.stdout.readline()) not in (b"done\n", b""):
        lines.append(line.decode())
    return "".join(lines)


@pytest.mark.uid0
def test_the_sandbox_gets_the_access_token_and_no_refresh_token(box: Box) -> None:
    log_in(box)
    done = launch(box, "sh", "-c", "cat ~/.claude/.credentials.json; touch ~/.claude/.credentials.json")
    assert (done.status, done.stderr) == (0, "")
    found = json.loads(done.stdout)[logins.KEY]
    assert found["accessToken"] == "sk-ant-oat01-access-1"
    assert found["refreshToken"].startswith("claudebox-")
    assert found["expiresAt"] == host(box)["expiresAt"] + 300_000
    assert copy_file(box).stat().st_mode & 0o777 == 0o600
    assert lock(box).is_dir() and lock(box).stat().st_mtime > time.time() + 10 * 365 * 86400


def test_nowhere_in_the_sandbox_or_in_our_directory_is_the_refresh_token(box: Box) -> None:
    log_in(box)
    word = "sk-ant-ort01-refresh"
    done = launch(box, "grep", "-rIl", "--exclude-dir=proc", "--exclude-dir=sys", word, "/home", "/tmp", "/run", "/etc")
    ours = box.run(["grep", "-rl", word, box.state])
    control = box.run(["grep", "-rl", word, box.home / ".claude"])
    assert (done.stdout, ours.stdout) == ("", "")
    assert control.stdout.endswith(".credentials.json\n"), "the control: it is found where it is"
    environment = launch(box, "sh", "-c", "cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; echo control-$((6*7))")
    assert word not in environment.stdout and "control-42" in environment.stdout


def test_without_a_login_nothing_is_made(box: Box) -> None:
    assert launch(box).stderr == ""
    assert not (instance(box) / "home" / ".claude").exists() and not (box.state / "auth").exists()


def test_an_unchanged_login_is_not_written_again(box: Box) -> None:
    log_in(box)
    launch(box)
    before = copy_file(box).stat()
    launch(box)
    assert copy_file(box).stat().st_ino == before.st_ino
    log_in(box, 2)
    launch(box)
    assert copy_file(box).stat().st_ino != before.st_ino, "the control: a new login is"


def test_a_logout_is_kept(box: Box) -> None:
    file = log_in(box)
    launch(box)
    copy_file(box).write_text(json.dumps({**json.loads(copy_file(box).read_text()), "mcpOAuth": {"a": 1}}))
    file.unlink()
    launch(box)
    assert json.loads(copy_file(box).read_text()) == {"mcpOAuth": {"a": 1}}, "what the client keeps beside it stays"
    assert not lock(box).exists()


@pytest.mark.uid0
def test_a_running_sandbox_follows_the_host(box: Box) -> None:
    file = log_in(box)
    with session(box) as running:
        log_in(box, 2)
        wait_for(lambda: (copy(box) or {}).get("accessToken") == "sk-ant-oat01-access-2", "a new login")
        assert "access-2" in order(running, "cat ~/.claude/.credentials.json")
        file.unlink()
        wait_for(lambda: copy(box) is None and not lock(box).exists(), "the logout")
        assert "the host was logged out" in order(running, "cat ~/.claude/.credentials.json")
        log_in(box, 3)
        wait_for(lambda: (copy(box) or {}).get("accessToken") == "sk-ant-oat01-access-3", "a login after it")


def test_a_first_login_reaches_a_running_sandbox(box: Box) -> None:
    with session(box):
        log_in(box)
        wait_for(
            lambda: instance(box).joinpath("home/.claude").exists() and copy(box) and lock(box).is_dir(), "the login"
        )


SABOTAGE = {
    "removed": "rm $c",
    "blanked": """echo '{"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}' >$c""",
    "torn": "printf '{\"claudeAi' >$c",
    "replaced by a link": "ln -s /etc/passwd $c.x; mv -T $c.x $c",
    "replaced by a directory": "rm $c; mkdir -p $c/a/b",
    "replaced by a FIFO": "rm $c; mkfifo $c",
    "nested deeply": "head -c 60000 /dev/zero | tr '\\0' '[' >$c",
    "huge": "truncate -s 2G $c",
    "without its lock": "rmdir ~/.claude/.oauth_refresh.lock",
    "with a stale lock": "touch ~/.claude/.oauth_refresh.lock",
    "with a file as the lock": "rmdir ~/.claude/.oauth_refresh.lock; echo >~/.claude/.oauth_refresh.lock",
    "with something in the lock": "mkdir ~/.claude/.oauth_refresh.lock/x; touch ~/.claude/.oauth_refresh.lock",
    "its directory moved": "mv ~/.claude ~/old",
    "its directory removed": "rm -rf ~/.claude",
    "its directory a link": "mv ~/.claude ~/old; ln -s /etc ~/.claude",
}


def whole(box: Box) -> bool:
    """Whether the copy and its lock are as they were published."""
    try:
        usable = copy_file(box).is_file() and copy_file(box).stat().st_size < 1 << 16  # a FIFO would hold us
        found = copy(box) if usable else None
    except (OSError, ValueError, RecursionError):
        return False
    return bool(found and found["accessToken"]) and lock(box).is_dir() and lock(box).stat().st_mtime == 4e9


@pytest.mark.parametrize("what", SABOTAGE)
def test_a_spoiled_copy_is_mended(box: Box, what: str) -> None:
    file = log_in(box)
    before = file.read_bytes()
    with session(box) as running:
        # nothing is whole between the act and its mending: wait until the launcher has seen it
        mark = copy_file(box).stat().st_ino, lock(box).stat().st_ctime_ns
        order(running, f"c=~/.claude/.credentials.json; {SABOTAGE[what]}")
        wait_for(lambda: whole(box) and (copy_file(box).stat().st_ino, lock(box).stat().st_ctime_ns) != mark, what)
        assert running.poll() is None
    assert file.read_bytes() == before


def test_what_the_client_keeps_beside_the_login_survives(box: Box) -> None:
    log_in(box)
    with session(box) as running:
        order(
            running, 'cd ~/.claude; sed \'s/^{/{"mcpOAuth":{"s":"own"},/\' .credentials.json >x; mv x .credentials.json'
        )
        log_in(box, 2)
        wait_for(lambda: (copy(box) or {}).get("accessToken") == "sk-ant-oat01-access-2", "the new login")
        assert json.loads(copy_file(box).read_text())["mcpOAuth"] == {"s": "own"}


def test_a_login_of_its_own_is_left_alone_and_named(box: Box) -> None:
    log_in(box)
    with session(box) as running:
        mine = json.dumps({logins.KEY: login(77)})
        shown = order(running, f"cd ~/.claude; echo '{mine}' >x; mv x .credentials.json")
        wait_for(lambda: not lock(box).exists(), "the lock is gone, so that the client can refresh by itself")
        log_in(box, 2)
        shown += order(running, "sleep 0.3")
        assert json.loads(copy_file(box).read_text()) == json.loads(mine)
        assert "a login of its own: claudebox auth import" in shown
    launch(box)
    assert json.loads(copy_file(box).read_text()) == json.loads(mine), "at the next launch too"


def ticks(pid: int) -> int:
    """The processor time of a process so far, in hundredths of a second."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


def test_an_agent_that_keeps_spoiling_does_not_keep_us_busy(box: Box) -> None:
    log_in(box)
    with session(box) as running:
        before = ticks(running.pid)
        order(
            running, "cd ~/.claude; timeout 3 sh -c 'while :; do rm -f .credentials.json; : >.credentials.json; done'"
        )
        assert ticks(running.pid) - before < 100, "less than a third of the time"
        wait_for(lambda: whole(box), "mended afterwards")


# --- bad files of the host's ----------------------------------------------------------------------


def directory(file: Path) -> None:
    file.mkdir()


def fifo(file: Path) -> None:
    os.mkfifo(file)


def link(file: Path) -> None:
    file.symlink_to("/etc/passwd")


def large(file: Path) -> None:
    with file.open("wb") as made:
        made.truncate(2 << 30)


def unreadable(file: Path) -> None:
    file.write_text("{}")
    file.chmod(0)


def text(content: str) -> Callable[[Path], object]:
    return lambda file: file.write_text(content)


HOST_FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a directory": (directory, "is a directory"),
    "a FIFO": (fifo, "is no regular file"),
    "a link": (link, "is a symbolic link"),
    "2 GB": (large, "is larger than"),
    "nested deeply": (text("[" * 60_000), "is no JSON object"),
    "NaN": (
        text('{"claudeAiOauth": {"accessToken": "a", "refreshToken": "b", "expiresAt": NaN}}'),
        "is no JSON object",
    ),
    "no JSON": (text("accessToken"), "is no JSON object"),
    "empty": (text(""), "is no JSON object"),
    "a newer shape": (text('{"claudeAiOauth": {"version": 2, "tokens": []}}'), "does not know"),
}


@pytest.mark.parametrize("what", HOST_FILES)
def test_a_bad_file_of_the_hosts_stops_nothing_and_is_named(box: Box, what: str) -> None:
    make, says = HOST_FILES[what]
    file = log_in(box)
    launch(box)
    published = copy_file(box).read_bytes()
    file.unlink()
    make(file)
    state = file.lstat()
    done = launch(box, "echo", "up")
    assert (done.status, done.stdout) == (0, "up\n")
    assert says in done.stderr and str(file) in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert (file.lstat().st_ino, file.lstat().st_mtime_ns) == (state.st_ino, state.st_mtime_ns), "left as it is"
    assert copy_file(box).read_bytes() == published, "nothing is lost"


@needs("user")
def test_an_unreadable_file_of_the_hosts(box: Box) -> None:
    unreadable(log_in(box))
    done = launch(box)
    assert done.status == 0 and "cannot be read: permission denied" in done.stderr


def test_a_file_that_others_can_read_is_used_and_named(box: Box) -> None:
    put(box, json.dumps({logins.KEY: login()}).encode(), mode=0o644)
    done = launch(box)
    assert done.status == 0 and "others can read: chmod 600" in done.stderr
    assert copy(box) is not None


def test_a_host_file_that_goes_bad_in_mid_session(box: Box) -> None:
    log_in(box)
    with session(box) as running:
        put(box, b"{")
        put(box, b"torn")
        assert "is no JSON object" in order(running, "sleep 1.5")  # it begins to watch after a second
        log_in(box, 2)
        wait_for(lambda: (copy(box) or {}).get("accessToken") == "sk-ant-oat01-access-2", "the next good one")


def test_a_config_directory_of_ones_own(box: Box) -> None:
    made = log_in(box).parent.rename(box.home / "elsewhere")
    launch(box, env={"CLAUDE_CONFIG_DIR": os.fspath(made)})
    assert (copy(box) or {}).get("accessToken") == "sk-ant-oat01-access-1"
    wrong = launch(box, env={"CLAUDE_CONFIG_DIR": "relative"})
    assert wrong.status == 125 and "CLAUDE_CONFIG_DIR" in wrong.stderr
    ours = launch(box, env={"CLAUDE_CONFIG_DIR": os.fspath(instance(box) / "home" / ".claude")})
    assert ours.status == 125 and "leads into" in ours.stderr


# --- the refresher ---------------------------------------------------------------------------------

CLIENT = """#!/bin/sh
flock -n ~/.claudebox/auth/refresh.lock true && echo free >>~/seen || echo held >>~/seen
setsid sh -c 'for i in $(seq 200); do [ ! -e ~/stay ] || sleep 0.1; done; touch ~/gone' &
mv ~/next ~/.claude/.credentials.json
"""


def client(box: Box, text: str) -> None:
    """A client of the user's on the host that does what text says when it is to refresh."""
    made = box.home / ".local" / "bin" / "claude"
    made.parent.mkdir(parents=True)
    made.write_text(text)
    made.chmod(0o755)


def test_what_the_client_leaves_behind_does_not_hold_our_lock(box: Box) -> None:
    client(box, CLIENT)
    (box.home / "stay").touch()
    (box.home / "next").write_text(json.dumps({logins.KEY: login(2)}))
    (box.home / "next").chmod(0o600)
    log_in(box, left=-10)
    with session(box):
        wait_for(lambda: (copy(box) or {}).get("accessToken") == "sk-ant-oat01-access-2", "refreshed and published")
        wait_for(lambda: not list((box.state / "auth").glob("client.*")), "the client has ended")
        assert (box.home / "seen").read_text() == "held\n", "the control: it was held while the client ran"
        assert not (box.home / "gone").exists(), "the control: what it left behind still runs"
        assert box.run(["flock", "-n", box.state / "auth" / "refresh.lock", "true"]).status == 0
        (box.home / "stay").unlink()
        wait_for((box.home / "gone").exists, "the end of it")


# --- nothing wakes an idle session ----------------------------------------------------------------


def wakes(pid: int) -> int:
    """How often a process has gone to sleep so far."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("\nvoluntary_ctxt_switches:\t")[2].split()[0])


def test_an_idle_session_is_never_woken(box: Box) -> None:
    log_in(box)
    with session(box) as running:
        order(running, "sleep 1.5")  # it begins to watch after a second
        before = wakes(running.pid)
        time.sleep(3)
        assert wakes(running.pid) == before
        (box.home / ".claude" / "made").touch()
        wait_for(lambda: wakes(running.pid) > before, "the control: something in the directory does wake it")
