"""The host's secrets: every way from the sandbox to a file of the real home. The canary must be nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git", "late_mounts"), pytest.mark.uid0]
CANARY = "canary-of-the-real-home"
SECRETS = (
    ".ssh/id_ed25519", ".gnupg/private-keys-v1.d/x.key", ".aws/credentials", ".netrc", ".npmrc", ".git-credentials",
    ".config/gh/hosts.yml", ".docker/config.json", ".kube/config", ".claude/.credentials.json", ".claude.json",
    ".codex/auth.json", ".gemini/oauth_creds.json", ".mozilla/firefox/x/logins.json", ".password-store/x.gpg",
    ".bash_history", ".pypirc", ".cargo/credentials.toml", ".local/share/keyrings/login.keyring", "Documents/letter",
)  # fmt: skip


@pytest.fixture
def real(box: Box) -> Box:
    """A home with secrets in it, and another project beside."""
    for name in (*SECRETS, "code/other/.env"):
        path = box.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"secret": "{CANARY}"}}\n')
    return box


def inside(box: Box, script: str, *options: str, tier: str = "offline", cwd: object = None) -> Result:
    return box.claudebox("run", "-y", "-n", tier, *options, "--", "sh", "-c", script, cwd=cwd or box.app)


SEARCH = f"grep -rlsI --exclude-dir=proc --exclude-dir=usr --exclude-dir=dev --exclude-dir=nix '{CANARY}' / | head -20"


@pytest.mark.parametrize("tier", ["offline", pytest.param("full", marks=needs("landlock_scopes"))])
def test_all_that_can_be_read_is_searched(real: Box, tier: str) -> None:
    (real.app / "here").write_text(CANARY)
    found = inside(real, SEARCH, tier=tier).stdout.splitlines()
    assert found == [f"{real.app}/here"], "the control is in the project"


WAYS = (
    "{}", "/proc/1/root{}", "/proc/self/root{}", "/proc/1/cwd/../../../../../../../..{}", "/proc/self/fd/0/..{}",
    "/newroot{}", "/oldroot{}", "/run/s/0{}", "/run/host{}", "/proc/thread-self/root{}", "/dev/fd/../root{}",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_by_its_path(real: Box, name: str) -> None:
    """By its own name, and by what shows another root."""
    path = real.home / name
    words = " ".join(f"'{way.format(path)}'" for way in WAYS)
    done = inside(real, f"cat {words} 2>/dev/null; ls {words} 2>/dev/null; test -d /proc/1/root/usr && echo there")
    assert CANARY not in done.stdout
    assert done.stdout.splitlines()[-1] == "there", "the control: such ways lead somewhere"
    assert CANARY in real.run(["cat", str(path)]).stdout


LINKS = {
    "a link in the project": ("{app}/link", "cat link"),
    "a link in the home": ("{home}/link", "cat ~/link"),
    "a link above": ("{app}/d", "cat d/id_ed25519"),
    "a link at .git's neighbour": ("{app}/.envrc", "cat .envrc"),
}


@pytest.mark.parametrize("title", LINKS)
def test_a_link_to_a_secret_leads_nowhere(real: Box, title: str) -> None:
    """CVE-2026-39861 (Claude Code): a link that was made inside was followed by what wrote files outside."""
    assert inside(real, "true").status == 0
    (home,) = real.state.glob("instances/*/home")
    place, script = LINKS[title]
    target = real.home / ".ssh" / ("" if "above" in title else "id_ed25519")
    Path(place.format(app=real.app, home=home)).symlink_to(target)
    done = inside(real, script + " 2>/dev/null; echo over")
    assert done.stdout == "over\n", done
    follow = real.run(["sh", "-c", script], env={"HOME": str(home)})
    assert CANARY in follow.stdout, "the control: on the host it leads there"


def test_a_source_of_a_mount_that_an_agent_made_a_link(real: Box) -> None:
    """An earlier session turned a directory that the user mounts into a link to the keys."""
    data = real.app / "data"
    data.mkdir()
    mount = ("-m", f"{data}:/mnt")
    assert inside(real, "true", *mount).status == 0, "the control"
    assert inside(real, f"rmdir data && ln -s {real.home}/.ssh data").status == 0
    done = inside(real, "cat /mnt/*", *mount)
    assert done.status == 125 and CANARY not in done.stdout and "link" in done.stderr


def test_a_project_that_is_replaced_by_a_link(real: Box) -> None:
    """The project's own directory, from the parent's mount of an earlier session: made a link to the home."""
    inner = real.app / "inner"
    inner.mkdir()
    assert inside(real, f"rmdir inner && ln -s {real.home}/.ssh inner").status == 0
    done = inside(real, "cat * 2>/dev/null; cat id_ed25519 2>/dev/null; pwd", cwd=real.app)
    assert CANARY not in done.stdout and done.stdout.endswith(f"{real.app}\n")


@pytest.mark.parametrize("name", [".ssh", ".aws", ".gnupg", ".claude"])
def test_a_start_in_a_place_of_secrets_is_said(real: Box, name: str) -> None:
    """It is what the user typed; the home itself is refused, and a mount of it is named in red."""
    done = inside(real, "true", "-m", str(real.home / name))
    assert done.status == 125 or "danger" in done.stderr
    assert inside(real, "true", cwd=real.home).status == 125


def test_secrets_that_were_passed_are_on_no_disk(real: Box) -> None:
    """A variable's value is in memory only: not in the state, not in the record of the session."""
    script = "cat > up; true"
    done = real.claudebox(
        "run", "-y", "-n", "offline", "-e", "API_TOKEN", "--", "sh", "-c", script, env={"API_TOKEN": CANARY}
    )
    assert done.status == 0
    assert real.run(["grep", "-rl", CANARY, str(real.state)]).stdout == ""
    assert CANARY in inside(real, "echo $T", "-e", f"T={CANARY}").stdout, "the control"


@pytest.mark.parametrize("what", ["fifo", "huge", "directory", "loop", "deep"])
def test_what_stands_where_the_launcher_reads_the_home(real: Box, what: str) -> None:
    """Files of the instance's home that our code reads: none of them holds up the launch or eats memory."""
    plant = {
        "fifo": "mkfifo",
        "huge": "truncate -s 10G",
        "directory": "mkdir -p",
        "loop": "ln -s .claude.json",
        "deep": "printf '%0100000d' 0 | tr 0 '[' >",
    }[what]
    names = "~/.claude.json ~/.claude/settings.json ~/.claude/.credentials.json ~/.claude/history.jsonl"
    assert inside(real, f"mkdir -p ~/.claude; for f in {names}; do rm -rf $f; {plant} $f; done").status == 0
    done = real.claudebox("run", "-n", "offline", "--", "true", timeout=20)
    assert done.status in (0, 125) and "Traceback" not in done.stderr, done.stderr
    for args in (("instance", "list"), ("instance", "show"), ("ps",)):
        listed = real.claudebox(*args, timeout=20)
        assert listed.status == 0 and "Traceback" not in listed.stderr
    assert os.path.lexists(real.state)
