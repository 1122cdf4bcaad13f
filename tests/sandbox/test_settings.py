"""The user's own settings of the agent in the sandbox: what is bound, what is copied, what stays as it was changed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git")]
SETTINGS = {
    "model": "opus",
    "env": {"A": "1", "CLAUDE_CONFIG_DIR": "/x"},
    "apiKeyHelper": "/bin/key",
    "hooks": {"Stop": []},
}
STATE = {"theme": "light", "hasCompletedOnboarding": True, "mcpServers": {"one": {"command": "one"}}, "userID": "me"}


def inside(box: Box, script: str, *options: str, **more: Any) -> Result:
    return box.claudebox("run", "-n", "offline", "-y", *options, "--", "sh", "-c", script, **more)


def put(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def seen(box: Box, path: str = "~/.claude/settings.json", **more: Any) -> Any:
    """What a JSON file of the home says inside."""
    done = inside(box, f"cat {path}", **more)
    assert (done.status, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


def listing(directory: Path) -> list[tuple[str, int]]:
    """All below a directory, with its times: what was written shows."""
    return sorted((str(path), path.lstat().st_mtime_ns) for path in directory.rglob("*"))


@pytest.fixture
def host(box: Box) -> Path:
    """~/.claude of the host, with a bit of everything."""
    directory = box.home / ".claude"
    put(directory / "settings.json", SETTINGS)
    put(box.home / ".claude.json", STATE)
    put(directory / "CLAUDE.md", "be kind\n")
    put(directory / "commands" / "x.md", "a command\n")
    put(directory / "plugins" / "a" / "b.json", "{}\n")
    put(directory / ".credentials.json", '{"mcpOAuth": {"refreshToken": "of-the-host"}}')
    (directory / "plugins" / "link").symlink_to("/etc/passwd")
    return directory


@pytest.mark.uid0
def test_what_comes_along(box: Box, host: Path) -> None:
    before = listing(host)
    script = "cd ~/.claude; cat CLAUDE.md commands/x.md plugins/a/b.json; ls -A; readlink plugins/link"
    done = inside(box, f"{script}; echo x >>plugins/a/b.json")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "be kind", "a command", "{}", "CLAUDE.md", "commands", "plugins", "settings.json", "/etc/passwd",
    ]  # fmt: skip
    assert seen(box) == {"model": "opus", "env": {"A": "1"}, "hooks": {"Stop": []}}
    assert seen(box, "~/.claude.json") == {
        "theme": "light",
        "hasCompletedOnboarding": True,
        "mcpServers": STATE["mcpServers"],
    }
    refused = inside(
        box, "cd ~/.claude; echo x >CLAUDE.md; echo x >commands/y; rm commands/x.md; mv commands c; echo end"
    )
    assert refused.stdout == "end\n" and len(refused.stderr.splitlines()) == 4
    assert inside(box, "grep -rl of-the-host ~ 2>/dev/null").stdout == "", "no login"
    assert listing(host) == before, "nothing is written on the host"


def test_what_was_changed_inside_stays_and_the_rest_follows(box: Box, host: Path) -> None:
    seen(box)
    change = """sed -i 's/"opus"/"haiku"/; s/"A": "1"/"A": "1", "MINE": "2"/' ~/.claude/settings.json"""
    assert inside(box, change).status == 0
    kept = {"model": "haiku", "env": {"A": "1", "MINE": "2"}, "hooks": {"Stop": []}}
    assert seen(box) == kept
    put(host / "settings.json", {"model": "sonnet", "env": {"A": "3"}, "cleanupPeriodDays": 9})
    assert seen(box) == {"model": "haiku", "env": {"A": "3", "MINE": "2"}, "cleanupPeriodDays": 9}
    put(host / "settings.json", "{ torn")
    assert seen(box) == {"model": "haiku", "env": {"A": "3", "MINE": "2"}, "cleanupPeriodDays": 9}
    (host / "settings.json").unlink()
    assert seen(box) == {"model": "haiku", "env": {"MINE": "2"}}
    assert inside(box, "rm ~/.claude/settings.json").status == 0
    assert inside(box, "test -e ~/.claude/settings.json").status == 1, "the host says nothing"
    put(host / "settings.json", SETTINGS)
    assert seen(box)["model"] == "opus"
    assert inside(box, "rm ~/.claude/settings.json").status == 0
    assert seen(box)["model"] == "opus", "without one of its own it has the host's again"


def test_servers_follow_in_a_file_of_the_agents_own(box: Box, host: Path) -> None:
    seen(box, "~/.claude.json")
    own = {"theme": "dark", "projects": {"/p": {"n": 1.5}}, "mcpServers": {"one": {"command": "one"}, "mine": {}}}
    assert inside(box, "cat >~/.claude.json", input=json.dumps(own)).status == 0
    put(box.home / ".claude.json", {**STATE, "theme": "light-daltonized", "mcpServers": {"two": {}}})
    assert seen(box, "~/.claude.json") == {**own, "mcpServers": {"mine": {}, "two": {}}}


@pytest.mark.parametrize("content", ['{"mcpServers": {', "[" * 60_000, '{"a":' * 60_000, "[]", b"\xff"])
def test_a_torn_file_of_the_agents_own_is_left_alone(box: Box, host: Path, content: str | bytes) -> None:
    seen(box, "~/.claude.json")
    assert inside(box, "cat >~/.claude.json", input=content).status == 0
    put(box.home / ".claude.json", {**STATE, "mcpServers": {"two": {}}})
    done = inside(box, "cat ~/.claude.json")
    assert done.stdout_bytes == (content if isinstance(content, bytes) else content.encode())
    assert (
        done.status == 0 and "/home/.claude.json is left as it is: " in done.stderr and "Traceback" not in done.stderr
    )
    assert inside(box, "echo '{}' >~/.claude.json").status == 0
    assert seen(box, "~/.claude.json") == {"mcpServers": {"two": {}}}, "and is tried again"


def test_a_file_that_a_client_holds_waits_for_the_next_launch(box: Box, host: Path) -> None:
    seen(box, "~/.claude.json")
    argv = [box.program, "run", "-n", "offline", "--", "sh", "-c", "mkdir ~/.claude.json.lock; echo held; read x"]
    with box.start(argv, stdin=subprocess.PIPE) as first:
        assert first.stdout is not None and first.stdout.readline() == b"held\n"
        put(box.home / ".claude.json", {**STATE, "mcpServers": {"two": {}}})
        done = inside(box, "cat ~/.claude.json", "--force")
        assert "one" in done.stdout and "/home/.claude.json is in use: mcpServers of yours wait" in done.stderr
        (lock,) = box.state.glob("instances/*/home/.claude.json.lock")
        os.utime(lock, (time.time() - 600,) * 2)
        done = inside(box, "cat ~/.claude.json", "--force")
        assert "two" in json.loads(done.stdout)["mcpServers"], "nobody renews it"
        assert not lock.exists()
        first.communicate(b"\n", timeout=20)


@pytest.mark.parametrize(
    "plant",
    ["mkdir $l", "mkdir -p $l/x/y", "touch $l", "ln -s /nowhere $l", "mkdir $l; touch -d 2100-01-01 $l"],
)
def test_a_lock_that_an_agent_left_holds_nobody_up(box: Box, host: Path, plant: str) -> None:
    seen(box, "~/.claude.json")
    assert inside(box, f"l=~/.claude.json.lock; {plant}").status == 0
    put(box.home / ".claude.json", {**STATE, "mcpServers": {"two": {}}})
    assert "two" in seen(box, "~/.claude.json")["mcpServers"]
    assert not os.path.lexists(next(box.state.glob("instances/*/home")) / ".claude.json.lock")


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_for_anothers_copying_can_be_ended(box: Box, host: Path, ends: int) -> None:
    seen(box)
    (instance,) = (box.state / "instances").iterdir()
    with open(instance / "locks" / "settings", "r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        argv = [box.program, "run", "-n", "offline", "--", "echo", "ran"]
        try:
            with box.start(argv) as first:
                wait_for(lambda: threads(first.pid) == 2, "it waits for the lock")
                first.send_signal(ends)
                assert first.communicate(timeout=10)[0] == b"" and first.returncode in (128 + ends, -ends)
            with box.start(argv) as second:
                wait_for(lambda: threads(second.pid) == 2, "it waits for the lock")
                fcntl.flock(held, fcntl.LOCK_UN)
                assert second.communicate(timeout=10)[0] == b"ran\n", "the control: it goes on when the lock is free"
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)


def wait_for(what: Callable[[], bool], says: str) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, says
        time.sleep(0.01)


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task")) if os.path.exists(f"/proc/{pid}/task") else 0


def test_plugins_are_copied_once(box: Box, host: Path) -> None:
    assert inside(box, "echo mine >~/.claude/plugins/a/b.json").status == 0
    put(host / "plugins" / "new", "x")
    assert inside(box, "cd ~/.claude/plugins; cat a/b.json; ls").stdout == "mine\na\nlink\n"
    assert inside(box, "rm -r ~/.claude/plugins").status == 0
    assert inside(box, "test -e ~/.claude/plugins").status == 1, "what was removed inside stays so"


def test_a_signal_while_plugins_are_copied_ends_the_launch(box: Box, host: Path) -> None:
    for number in range(3000):
        put(host / "plugins" / str(number // 100) / str(number), "x")
    with box.start([box.program, "run", "-n", "offline", "-y", "--", "touch", "ran"]) as launcher:
        deadline = time.monotonic() + 20
        while not list(box.state.glob("instances/*/settings/plugins.copy/*/*")) and time.monotonic() < deadline:
            pass
        launcher.terminate()
        assert launcher.wait(20) == 143
    assert not (box.app / "ran").exists() and not list(box.state.glob("instances/*/settings/plugins.copy"))
    assert inside(box, "ls ~/.claude/plugins | wc -l").stdout == "32\n", "the next launch copies them whole"


def test_a_file_of_the_instances_own_lies_underneath(box: Box) -> None:
    assert (
        inside(box, "mkdir -p ~/.claude/agents; echo mine >~/.claude/CLAUDE.md; echo a >~/.claude/agents/a").status == 0
    )
    put(box.home / ".claude" / "CLAUDE.md", "of the host\n")
    put(box.home / ".claude" / "agents" / "b", "b\n")
    assert inside(box, "cd ~/.claude; cat CLAUDE.md; ls agents").stdout == "of the host\nb\n"
    (box.home / ".claude" / "CLAUDE.md").unlink()
    (box.home / ".claude" / "agents" / "b").unlink()
    (box.home / ".claude" / "agents").rmdir()
    assert inside(box, "cd ~/.claude; cat CLAUDE.md; ls agents").stdout == "mine\na\n"


def test_mount_points_are_gone_afterwards(box: Box, host: Path) -> None:
    assert inside(box, "test -e ~/.claude/CLAUDE.md").status == 0
    (home,) = box.state.glob("instances/*/home")
    assert sorted(os.listdir(home / ".claude")) == ["plugins", "settings.json"]


def test_the_hosts_directory_may_lie_elsewhere(box: Box, host: Path) -> None:
    other = box.home / "other"
    put(other / "settings.json", {"model": "elsewhere"})
    put(other / ".claude.json", {"theme": "light", "mcpServers": {"elsewhere": {}}})
    put(other / "CLAUDE.md", "elsewhere\n")
    env = {"CLAUDE_CONFIG_DIR": str(other)}
    done = inside(box, "cat ~/.claude/CLAUDE.md; echo $CLAUDE_CONFIG_DIR", env=env)
    assert done.stdout == "elsewhere\n\n"
    assert seen(box, env=env) == {"model": "elsewhere"}
    assert seen(box, "~/.claude.json", env=env)["mcpServers"] == {"elsewhere": {}}


def test_links_of_the_users_own_are_followed(box: Box) -> None:
    put(box.home / "dotfiles" / "CLAUDE.md", "from dotfiles\n")
    put(box.home / "dotfiles" / "claude.json", {"model": "from dotfiles"})
    (box.home / ".claude").mkdir()
    (box.home / ".claude" / "CLAUDE.md").symlink_to("../dotfiles/CLAUDE.md")
    (box.home / ".claude" / "settings.json").symlink_to(box.home / "dotfiles" / "claude.json")
    assert inside(box, "cat ~/.claude/CLAUDE.md").stdout == "from dotfiles\n"
    assert seen(box) == {"model": "from dotfiles"}


def test_one_source_at_two_places(box: Box) -> None:
    put(box.home / "shared" / "a.md", "text\n")
    (box.home / ".claude").mkdir()
    for name in ("commands", "skills"):
        (box.home / ".claude" / name).symlink_to(box.home / "shared")
    assert inside(box, "cat ~/.claude/commands/a.md ~/.claude/skills/a.md").stdout == "text\ntext\n"
    mounts = [option for place in ("one", "two") for option in ("-m", f"{box.home}/shared:/{place}")]
    assert inside(box, "cat /one/a.md /two/a.md", *mounts).stdout == "text\ntext\n"


def test_first_launches_side_by_side(box: Box, host: Path) -> None:
    """Of one instance at the same time: one of them copies, all have it."""
    for number in range(200):
        put(host / "plugins" / str(number) / "f", "x")
    script = "ls ~/.claude/plugins | wc -l; ls ~/.claude/commands; cat ~/.claude/settings.json"
    argv = [box.program, "run", "-n", "offline", "-y", "--force", "--", "sh", "-c", script]
    started = [box.start(argv) for _ in range(4)]
    for one in started:
        out, err = one.communicate(timeout=60)
        said = [line for line in err.splitlines() if not line.startswith(b"claudebox: copying")]  # it took a second
        assert (one.returncode, said) == (0, [])
        assert out.split()[:2] == [b"202", b"x.md"] and b'"opus"' in out


@pytest.mark.parametrize("name", ["CLAUDE.md", "commands", "settings.json", "plugins"])
def test_a_link_that_a_sandbox_could_have_planted_stops_the_launch(box: Box, name: str) -> None:
    """The user's own link leads into the project, where the sandbox makes another one of what was there."""
    secret = box.home / "secret"
    secret.mkdir()
    put(secret / "key", '{"key": "secret"}')
    (box.home / ".claude").mkdir()
    (box.home / ".claude" / name).symlink_to(box.app / "shared")
    (box.app / "shared").mkdir()
    assert inside(box, "true").status == 0, "the control: no link of the project's"
    assert inside(box, f"rm -r shared; ln -s {secret} shared").status == 0
    done = inside(box, f"cat ~/.claude/{name}/key")
    assert done.status == 125 and f"{box.app}/shared is a link that a sandbox could have planted" in done.stderr


def test_what_reaches_a_secret_says_so(box: Box) -> None:
    put(box.home / ".ssh" / "id", "key")
    (box.home / ".claude").mkdir()
    (box.home / ".claude" / "skills").symlink_to(box.home / ".ssh")
    done = inside(box, "ls ~/.claude/skills")
    assert done.stdout == "id\n" and "danger" in done.stderr and "it reaches SSH keys" in done.stderr
    (box.home / ".claude" / "skills").unlink()
    put(box.home / ".claude" / "skills" / "a", "harmless")
    done = inside(box, "ls ~/.claude/skills")
    assert (done.stdout, done.stderr) == ("a\n", "")


def test_claudeboxs_own_directory_never_comes_along(box: Box) -> None:
    (box.home / ".claude").mkdir()
    (box.home / ".claude" / "agents").symlink_to(box.state)
    box.state.mkdir(mode=0o700)
    done = inside(box, "true")
    assert done.status == 125 and "no sandbox may have" in done.stderr


def test_a_project_among_the_settings_is_the_project(box: Box, host: Path) -> None:
    skill = host / "skills" / "one"
    put(skill / "SKILL.md", "text")
    done = inside(box, "echo new >made; ls ~/.claude/skills; cat ~/.claude/CLAUDE.md", cwd=skill)
    assert (done.status, done.stdout) == (0, "one\nbe kind\n"), done
    assert (skill / "made").read_text() == "new\n"
    assert f"the project holds settings that Claude Code on the host obeys, hooks too: {host}/skills\n" in done.stderr


def test_a_project_of_dotfiles_says_what_it_holds(box: Box, host: Path) -> None:
    host.rename(box.app / "claude")
    host.symlink_to("code/app/claude")
    done = inside(box, "cat ~/.claude/CLAUDE.md; echo x >>claude/settings.json")
    assert (done.status, done.stdout) == (0, "be kind\n")
    assert "weakening: the project holds settings that Claude Code on the host obeys" in done.stderr
    assert f"{box.app}/claude/settings.json" in done.stderr


def test_a_mount_that_was_asked_for_goes_before(box: Box, host: Path) -> None:
    done = inside(box, "echo more >>~/.claude/CLAUDE.md; echo x >~/.claude/new", "-m", f"{host}:{host}:rw")
    assert done.status == 0, done.stderr
    assert (host / "CLAUDE.md").read_text() == "be kind\nmore\n"
    assert (host / "new").exists() and json.loads((host / "settings.json").read_text()) == SETTINGS


def test_a_dry_run_shows_all_of_it_and_writes_nothing(box: Box, host: Path) -> None:
    put(host / "settings.json", {**SETTINGS, "env": {"API_TOKEN": "sk-" + "a1" * 20}})
    before = listing(box.home)
    text = box.claudebox("run", "-n", "offline", "--dry-run", "--", "true")
    shown = json.loads(box.claudebox("run", "-n", "offline", "--dry-run", "--json", "--", "true").stdout)
    assert text.status == 0 and listing(box.home) == before
    assert [(one["kind"], one["path"], one["changed"]) for one in shown["settings"]] == [
        ("file", ".claude/settings.json", True), ("file", ".claude.json", True), ("tree", ".claude/plugins", True),
    ]  # fmt: skip
    mounts = {one["target"]: one for one in shown["mounts"] if one["target"].startswith(str(host))}
    assert [(one["access"], one["late"], one["sensitive"]) for one in mounts.values()] == [("ro", True, None)] * 2
    notes = [note["text"] for note in shown["notes"]]
    assert f"{host}/settings.json comes along: model, env (API_TOKEN), hooks (Stop)" in notes
    assert f"apiKeyHelper of {host}/settings.json is left out: a program of the host's that prints a key" in notes
    assert f"env.API_TOKEN=*** of {host}/settings.json comes along: it looks like an API key" in notes
    assert f"{box.home}/.claude.json comes along: mcpServers (one)" in notes
    assert all(note in text.stdout for note in notes)
    assert "a1a1" not in text.stdout + str(shown)
    assert inside(box, "true").status == 0
    again = json.loads(box.claudebox("run", "-n", "offline", "--dry-run", "--json", "--", "true").stdout)
    assert not any(one["changed"] for one in again["settings"])
    assert [note["text"] for note in again["notes"]] == notes, "known from the last copy"


@pytest.mark.newest
def test_an_unchanged_launch_reads_no_settings(box: Box, host: Path) -> None:
    (host / ".credentials.json").unlink()  # without a login in it it would be read

    def imported() -> set[str]:
        done = box.claudebox("run", "-n", "offline", "-y", "--", "true", env={"PYTHONPROFILEIMPORTTIME": "1"})
        assert done.status == 0, done.stderr
        return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}

    assert {"json", "claudebox.plan.merge"} <= imported(), "the control: the first one reads them"
    before = listing(box.home)
    assert {"json", "shutil", "claudebox.plan.merge", "claudebox.run.tree"}.isdisjoint(imported())
    written = [path for path, _ in set(listing(box.home)) - set(before)]
    assert not [path for path in written if "/settings" in path or path.endswith(".json")], written


OPENCODE = '{"model": "a", "provider": {"p": {"options": {"apiKey": "secret", "x": 1}}},}'
OTHERS = [
    ("codex", ".codex/config.toml", 'model = "a" # c\nnotify = ["secret"]\n', 'model = "a"\nextra = 1\n'),
    ("gemini", ".gemini/settings.json", '{"model": "a", // c\n "sandbox": "secret"}', '{"model": "a", "extra": 1}'),
    ("opencode", ".config/opencode/opencode.jsonc", OPENCODE, '{"model": "a", "extra": 1}'),
]


@pytest.mark.parametrize(("agent", "path", "of_host", "of_own"), OTHERS, ids=[one[0] for one in OTHERS])
def test_other_agents(box: Box, agent: str, path: str, of_host: str, of_own: str) -> None:
    put(box.home / path, of_host)
    first = inside(box, f"cat ~/{path}", "--agent", agent)
    assert first.status == 0 and '"a"' in first.stdout and "secret" not in first.stdout, first
    assert inside(box, f"cat >~/{path}", "--agent", agent, input=of_own).status == 0
    put(box.home / path, of_host.replace('"a"', '"b"'))
    done = inside(box, f"cat ~/{path}", "--agent", agent).stdout
    assert done.split() == of_own.replace('"a"', '"b"').replace("{", "{ ").replace("}", " }").split()
    assert "notify" in (box.home / path).read_text() or agent != "codex"
