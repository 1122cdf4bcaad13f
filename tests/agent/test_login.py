"""The real Claude Code and a token endpoint that rotates: nobody is ever logged out, whatever happens when."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capability import SOAK, needs, repeat
from endpoint import Endpoint
from logins import KEY, NAME, host, log_in, login, put
from tokens import TEXT

pytestmark = [
    needs("claudebox", "claude", "userns", "netns", "bwrap", "git", "openssl", "user"),
    pytest.mark.timeout(20_000 if SOAK else 300),
]


def wait_for(what: Callable[[], Any], says: str, seconds: float = 70) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, says
        time.sleep(0.02)
    return answer


def whole(endpoint: Endpoint) -> None:
    """The host's file is whole, private, and holds what the endpoint gave last."""
    file = endpoint.box.home / ".claude" / NAME
    assert file.stat().st_mode & 0o777 == 0o600
    found = host(endpoint.box)
    last = 1 + len(endpoint.log("refresh"))
    assert found["refreshToken"] == f"sk-ant-ort01-refresh-{last}"
    assert found["accessToken"] == f"sk-ant-oat01-access-{last}"
    assert endpoint.log("spent") == [], "no refresh token was used twice"
    assert not [entry for entry in file.parent.iterdir() if "tmp" in entry.name], "nothing half written"


def projects(endpoint: Endpoint, count: int) -> list[Path]:
    """So many projects."""
    made = [endpoint.box.home / "code" / f"p{number}" for number in range(count)]
    for path in made:
        path.mkdir()
    return made


def refreshing(endpoint: Endpoint) -> bool:
    """Whether a refresher is at work: it holds the lock."""
    lock = endpoint.box.state / "auth" / "refresh.lock"
    return lock.exists() and subprocess.run(["flock", "-n", lock, "true"], check=False).returncode != 0


def expire(endpoint: Endpoint) -> None:
    """The host's token has expired."""
    put(endpoint.box, json.dumps({KEY: {**host(endpoint.box), "expiresAt": int((time.time() - 10) * 1000)}}).encode())


@pytest.mark.parametrize("count", [2, 10])
def test_launches_at_once_with_an_expired_token_refresh_once(endpoint: Endpoint, count: int) -> None:
    log_in(endpoint.box, left=-10)
    argv = ("-n", "full", "-y", "--", "-p", "hi")
    running = [endpoint.start(*argv, cwd=path) for path in projects(endpoint, count)]
    done = [process.communicate(timeout=150) for process in running]
    assert [out.decode() for out, _ in done] == [f"{TEXT}\n"] * count, done
    assert endpoint.log("refresh") == ["sk-ant-ort01-refresh-1"]
    assert endpoint.log("unauthorized") == []
    whole(endpoint)


def started_on_the_host(endpoint: Endpoint) -> subprocess.Popen[bytes]:
    """The user's own client, outside of any sandbox."""
    return endpoint.box.start(["claude", "-p", "hi"], env=endpoint.outside())


def test_ten_sandboxes_and_two_clients_on_the_host_refresh_once(endpoint: Endpoint) -> None:
    log_in(endpoint.box, left=-10)
    running = [endpoint.start("-n", "full", "-y", "--", "-p", "hi", cwd=path) for path in projects(endpoint, 10)]
    running += [started_on_the_host(endpoint) for _ in range(2)]
    done = [process.communicate(timeout=200) for process in running]
    assert [out.decode() for out, _ in done] == [f"{TEXT}\n"] * 12, done
    assert endpoint.log("refresh") == ["sk-ant-ort01-refresh-1"]
    whole(endpoint)


def test_rounds_of_a_client_on_the_host_against_sandboxes(endpoint: Endpoint) -> None:
    """All have an expired token, and begin at random within a second."""
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    log_in(endpoint.box, left=-10)
    places = projects(endpoint, 2)
    endpoint.order(delay=0.2)
    for number in range(repeat(200, 10)):
        expire(endpoint)
        starts = [lambda: started_on_the_host(endpoint)]
        starts += [lambda path=path: endpoint.start("-n", "full", "-y", "--", "-p", "hi", cwd=path) for path in places]
        chance.shuffle(starts)
        running = []
        for start in starts:
            running.append(start())
            time.sleep(chance.uniform(0, 0.5))
        done = [process.communicate(timeout=120) for process in running]
        assert [out.decode() for out, _ in done] == [f"{TEXT}\n"] * 3, (seed, number, done)
        assert len(endpoint.log("refresh")) == number + 1, (seed, number)
        whole(endpoint)


def test_a_session_that_was_asleep_when_its_token_expired(endpoint: Endpoint) -> None:
    """As a laptop's sleep: all of it stands still meanwhile."""
    log_in(endpoint.box, left=3600)
    command = "echo up; read x; claude -p hi"
    with endpoint.start("run", "-y", "-n", "full", "--", "sh", "-c", command, stdin=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"up\n"
        launcher = next(iter(launchers(running.pid)), running.pid)
        asleep = [launcher, *below(launcher)]
        for pid in asleep:
            os.kill(pid, signal.SIGSTOP)
        expire(endpoint)
        time.sleep(1)
        assert endpoint.log("refresh") == [], "the control: it is asleep"
        for pid in (*reversed(asleep), running.pid):  # nsenter stops with what it started
            os.kill(pid, signal.SIGCONT)
        out, err = running.communicate(b"\n", timeout=120)
    assert out.decode() == f"{TEXT}\n", (out, err)
    assert b"login" not in err, err
    whole(endpoint)


def below(pid: int) -> list[int]:
    """All processes below one."""
    return [one for child in children_of(pid) for one in (child, *below(child))]


def test_a_slow_answer_is_waited_for_and_said(endpoint: Endpoint) -> None:
    endpoint.order(delay=6)
    log_in(endpoint.box, left=-10)
    done = endpoint.claude("-p", "hi")
    assert done.stdout == f"{TEXT}\n", done
    assert done.stderr.count("the login has expired; waiting") == 1
    whole(endpoint)


def test_a_token_that_is_due_is_refreshed_in_mid_session(endpoint: Endpoint) -> None:
    log_in(endpoint.box, left=243)  # due in three seconds
    with endpoint.start("run", "-y", "-n", "full", "--", "sh", stdin=subprocess.PIPE) as running:
        wait_for(lambda: endpoint.log("refresh"), "the refresh", 20)
        wait_for(lambda: "access-2" in json.dumps(host(endpoint.box)), "saved", 20)
        copies = endpoint.box.state.glob(f"instances/*/home/.claude/{NAME}")
        wait_for(lambda: any("access-2" in copy.read_text() for copy in copies) or True, "published", 20)
        out, _ = running.communicate(b"grep -c access-2 ~/.claude/.credentials.json\n", timeout=20)
    assert out == b"1\n"
    whole(endpoint)


def test_a_session_outlives_its_token(endpoint: Endpoint) -> None:
    """It expires while no refresh succeeds; the client waits, and goes on as soon as one does."""
    endpoint.order(fail=503)
    log_in(endpoint.box, left=5)
    command = "sleep 5; claude -p hi"
    with endpoint.start("run", "-y", "-n", "full", "--", "sh", "-c", command) as running:
        wait_for(lambda: endpoint.log("failed"), "a try that fails", 30)
        time.sleep(5)
        endpoint.order()
        out, err = running.communicate(timeout=120)
    assert out.decode() == f"{TEXT}\n", (out, err)
    whole(endpoint)


def test_what_cannot_be_refreshed_is_said_once(endpoint: Endpoint) -> None:
    endpoint.order(fail=503)
    log_in(endpoint.box, left=-10)
    with endpoint.start("run", "-y", "-n", "full", "--", "sh", "-c", "sleep 20") as running:
        _, err = running.communicate(timeout=60)
    assert err.decode().count("could not be refreshed") == 1, err
    assert len(endpoint.log("failed")) >= 2, "it is tried again"
    assert host(endpoint.box)["refreshToken"] == "sk-ant-ort01-refresh-1"


def test_a_spent_login_of_the_hosts_is_named(endpoint: Endpoint) -> None:
    log_in(endpoint.box, number=0, left=-10)  # a refresh token that the endpoint does not know
    done = endpoint.claude("-p", "hi")
    assert done.status != 0
    assert "no longer valid: claudebox auth login" in done.stderr or "could not be refreshed" in done.stderr


def test_kills_lose_no_login(endpoint: Endpoint) -> None:
    """kill -9 of the launcher, or of all that runs in its sandbox, at random moments around a refresh."""
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    endpoint.order(delay=0.3)
    log_in(endpoint.box, left=-10)
    for number in range(repeat(1000, 60)):
        expire(endpoint)
        with endpoint.start("-n", "full", "-y", "--", "-p", "hi") as running:
            try:
                running.wait(chance.uniform(0, 2.5))
            except subprocess.TimeoutExpired:
                launcher = next(iter(launchers(running.pid)), running.pid)
                os.kill(chance.choice([launcher, *children_of(launcher)]), signal.SIGKILL)
            running.communicate(timeout=90)
        wait_for(lambda: not refreshing(endpoint), f"the refresher ends (seed {seed}, round {number})")
        whole(endpoint)
    endpoint.order()
    assert endpoint.claude("-p", "hi").stdout == f"{TEXT}\n", f"seed {seed}"


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def launchers(pid: int) -> list[int]:
    """The claudebox below a process."""
    found = []
    for child in [pid, *children_of(pid)]:
        try:
            if b"claudebox" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1:2][0]:
                found.append(child)
        except (OSError, IndexError):
            continue
    return found or [one for child in children_of(pid) for one in launchers(child)]


def test_the_refresher_starts_nothing_of_the_users(endpoint: Endpoint) -> None:
    """No hook and no server of the user's configuration runs, and nothing else in it changes."""
    directory = endpoint.box.home / ".claude"
    log_in(endpoint.box, left=-10)
    trap = {"type": "command", "command": f"touch {endpoint.box.home}/started"}
    hooks = {"SessionStart": [{"hooks": [trap]}]}
    (directory / "settings.json").write_text(json.dumps({"hooks": hooks}))
    server = {"command": "touch", "args": [f"{endpoint.box.home}/started"]}
    (endpoint.box.home / ".claude.json").write_text(json.dumps({"mcpServers": {"x": server}, "theme": "dark"}))
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir() if path.name != NAME}
    endpoint.box.claudebox("run", "-y", "-n", "full", "--", "true", env=endpoint.environment())
    wait_for(lambda: endpoint.log("refresh") and not refreshing(endpoint), "the refresh")
    whole(endpoint)
    assert not (endpoint.box.home / "started").exists()
    assert {path.name: path.stat().st_mtime_ns for path in directory.iterdir() if path.name != NAME} == before


def test_whose_login_it_is(endpoint: Endpoint) -> None:
    log_in(endpoint.box)
    bundle = {**endpoint.environment(), "SSL_CERT_FILE": os.fspath(endpoint.directory / "ca.pem")}
    done = endpoint.box.claudebox("auth", "status", "--online", env=bundle)
    assert done.status == 0 and "ada@example.org" in done.stdout and "access-" not in done.stdout, done


def test_a_login_that_was_made_inside_is_imported(endpoint: Endpoint) -> None:
    box = endpoint.box
    box.claudebox("run", "-y", "-n", "full", "--", "true")
    copy = next(box.state.glob("instances/*/home")) / ".claude" / NAME
    copy.parent.mkdir(exist_ok=True)
    own = {"claudeAiOauth": login(1, 3600), "mcpOAuth": {"a": 1}}
    copy.write_text(json.dumps(own))
    refused = box.claudebox("auth", "import", env=endpoint.environment())
    assert refused.status == 125 and "ada@example.org" in refused.stderr, refused
    assert not (box.home / ".claude").exists()
    done = box.claudebox("auth", "import", "-y", env=endpoint.environment())
    assert done.status == 0, done
    assert host(box) == own["claudeAiOauth"]
    assert (box.home / ".claude" / NAME).stat().st_mode & 0o777 == 0o600
    assert json.loads(copy.read_text()) == {"mcpOAuth": {"a": 1}}
