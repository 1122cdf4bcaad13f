"""Ways out by planted links, by the launcher's death and by what /proc tells. Each with its control."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import leak
from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
OFFLINE = ("run", "-n", "offline")


def inside(box: Box, script: str, *options: str, **more: object) -> Result:
    return box.claudebox(*OFFLINE, "-y", *options, "--", "sh", "-c", script, **more)  # type: ignore[arg-type]


def home_inside(box: Box) -> Path:
    """The instance's home; it is there after the first launch."""
    assert inside(box, "true").status == 0, "the control: without what is planted it starts"
    (home,) = box.state.glob("instances/*/home")
    return home


def test_a_link_at_the_projects_place_leads_nowhere(box: Box) -> None:
    """CVE-2024-42472 (flatpak): a link where a directory of the application's is mounted led out of the sandbox.
    CVE-2026-39861 (Claude Code): a link that was made inside was followed by what wrote files outside.
    """
    home, victim = home_inside(box), box.home / "victim"
    victim.mkdir()
    (home / "code").symlink_to(victim)
    done = inside(box, "pwd; echo x >out")
    assert (done.status, done.stdout) == (0, f"{box.app}\n"), "one link must not lock the user out"
    assert f"{home}/code was no place for a mount; it is now aside/code." in done.stderr
    assert os.listdir(victim) == [] and (box.app / "out").read_text() == "x\n"
    assert [os.readlink(kept) for kept in home.parent.glob("aside/code.*")] == [str(victim)], "kept, not deleted"
    assert "aside" not in inside(box, "true").stderr, "said once"


def test_a_link_above_a_mount_point_in_the_home_leads_nowhere(box: Box) -> None:
    tool, victim = box.home / ".local" / "share" / "tool", box.home / "victim"
    tool.mkdir(parents=True)
    victim.mkdir()
    mount = ("-m", str(tool))
    assert inside(box, "test -d ~/.local/share/tool", *mount).status == 0, "the control"
    plant = f"mkdir -p ~/.local && rm -rf ~/.local/share && ln -s {victim} ~/.local/share"
    assert inside(box, plant).status == 0
    done = inside(box, "test -d ~/.local/share/tool && test ! -L ~/.local/share", *mount)
    assert done.status == 0 and "/home/.local/share was no place for a mount" in done.stderr
    assert os.listdir(victim) == []


@pytest.mark.parametrize("plant", ["mkdir -p ~/.local/tool", "ln -s /etc/passwd ~/.local/tool", "mkfifo ~/.local/tool"])
def test_something_else_at_a_files_place_is_moved_aside(box: Box, plant: str) -> None:
    tool = box.home / ".local" / "tool"
    tool.parent.mkdir()
    tool.write_text("of the host")
    assert inside(box, f"mkdir -p ~/.local; {plant}").status == 0
    done = inside(box, "cat ~/.local/tool", "-m", str(tool))
    assert (done.status, done.stdout) == (0, "of the host") and "aside/tool." in done.stderr


def test_a_directory_below_the_project_is_never_moved(box: Box) -> None:
    (box.app / "data").symlink_to("/etc")
    (box.home / "store").mkdir()
    done = inside(box, "true", "-m", f"{box.home}/store:{box.app}/data")
    assert done.status == 125 and (box.app / "data").is_symlink(), "in the project the launch stops"


def test_the_projects_place_cannot_be_moved(box: Box) -> None:
    attack = "cd ~ && mv code x"
    assert inside(box, attack).status == 1
    assert inside(box, "cd ~ && mv code/app code/x").status == 1
    assert box.run(["sh", "-c", attack]).status == 0, "the control"


def test_the_system_is_read_only(box: Box) -> None:
    script = "for p in / /usr /etc /dev /home; do touch $p/x && echo $p; done 2>/dev/null; touch /tmp/x && echo ok"
    assert inside(box, script).stdout == "ok\n"
    assert not Path("/tmp/x").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_launcher(box: Box, number: int) -> None:
    before, stub = leak.state(), box.app / ".git" / "commondir"
    script = "setsid sleep 300 & setsid nohup sleep 300 & trap '' TERM HUP; touch up; wait; wait"
    with box.start([box.program, *OFFLINE, "--", "sh", "-c", script]) as launcher:
        deadline = time.monotonic() + 20
        while not (box.app / "up").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(leak.descendants() - before.processes) >= 4, "the control: it runs"
        launcher.send_signal(number)
        if number == signal.SIGKILL:
            launcher.wait(5)
            assert leak.left(before) == []
            assert stub.exists(), "the control: a killed launcher cannot remove it"
    assert inside(box, "true").status == 0
    assert not stub.exists()


SECRET = {"DATABASE_PASSWORD": "hunter2-of-the-host"}
SEARCH = "grep -lza '^DATABASE_PASSWORD=' /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null"


def test_no_process_inside_shows_the_hosts_environment(box: Box) -> None:
    assert inside(box, SEARCH, env=SECRET).stdout == ""
    assert inside(box, "tr '\\0' '\\n' </proc/1/environ", env=SECRET).stdout == ""
    assert box.run(["sh", "-c", SEARCH], env=SECRET).stdout != "", "the control"


def test_a_passed_secret_is_on_no_command_line(box: Box) -> None:
    script = 'grep -laF "$DATABASE_PASSWORD" /proc/[0-9]*/cmdline; echo $DATABASE_PASSWORD'
    done = inside(box, script, "-e", "DATABASE_PASSWORD", env=SECRET)
    assert done.stdout == "hunter2-of-the-host\n"
    words = ("sh", "-c", script, *SECRET.values())
    told = box.claudebox(*OFFLINE, "-y", "-e", "DATABASE_PASSWORD", "--", *words, env=SECRET)
    assert "/proc/1/cmdline\n" in told.stdout, "the control: one that stands in the command is found"


@pytest.mark.parametrize(("target", "status"), [("0", 137), ("-1", 0)])
def test_kill_of_everything_stays_inside(box: Box, target: str, status: int) -> None:
    code = f"import os, subprocess; p = subprocess.Popen(['sleep', '60']); os.kill({target}, 9); exit(p.wait() + 9)"
    done = box.claudebox(*OFFLINE, "--", "/usr/bin/python3", "-c", code, start_new_session=True)
    assert done.status == status, done.stderr
    assert not (box.app / ".git" / "commondir").exists(), "the launcher lived on and removed its stub"


def test_kill_0_reaches_a_parent_without_the_sandbox(box: Box) -> None:
    script = "/usr/bin/python3 -c 'import os; os.kill(0, 9)'; echo lived"
    done = box.run(["sh", "-c", script], start_new_session=True)
    assert (done.status, done.stdout) == (-9, "")


def test_processes_of_the_host_are_not_there(box: Box) -> None:
    probe = f"kill -0 {os.getpid()}"
    done = inside(box, f"ls -d /proc/[0-9]* | wc -l; {probe}")
    assert int(done.stdout) < 10
    assert done.status != 0 or os.getpid() < 10
    assert box.run(["sh", "-c", probe]).status == 0, "the control"


def test_a_link_that_an_earlier_session_left_in_a_mount_is_refused(box: Box) -> None:
    """The mount that a later launch asks for lay in one that an earlier sandbox could write, of another project too."""
    data, secret, other = box.home / "data", box.home / "secret", box.home / "other"
    for made in (data / "docs", secret, other):
        made.mkdir(parents=True)
    (secret / "key").write_text("a secret\n")
    read = (*OFFLINE, "-y", "-m", str(data / "docs"), "--", "ls", str(data / "docs"))
    assert box.claudebox(*read, cwd=other).status == 0, "the control: without a link it is mounted"
    planted = inside(box, f"rmdir {data}/docs && ln -s {secret} {data}/docs", "-m", f"{data}:rw")
    assert planted.status == 0 and (data / "docs").is_symlink(), planted
    done = box.claudebox(*read, cwd=other)
    assert done.status == 125 and "key" not in done.stdout, done
    assert f"{data}/docs is a link that a sandbox could have planted" in done.stderr


def test_private_keys_of_the_system_are_not_there(box: Box) -> None:
    """/etc/ssl/private and its like are root's, or a group's: nothing of them is in the sandbox, as uid 0 neither."""
    done = inside(box, "ls /etc/ssl; ls -d /etc/pki/tls/private /etc/pki/consumer /etc/pki/entitlement")
    assert done.stdout.split()[:1] == ["certs"], "the control: the certificates are there"
    assert "private" not in done.stdout and "/etc/pki" not in done.stdout


@pytest.mark.parametrize("module", ["claudebox", "ctypes"])
def test_a_module_on_a_pythonpath_into_the_project_is_not_imported(box: Box, module: str) -> None:
    ran = box.home / "ran"
    planted = box.app / "src"
    planted.mkdir()
    (planted / f"{module}.py").write_text(f"open({str(ran)!r}, 'w').close()\nraise SystemExit(7)\n")
    environment = {"PYTHONPATH": str(planted)}
    host = box.run(["/usr/bin/python3", "-c", f"import {module}"], env=environment)
    assert host.status == 7 and ran.exists(), "the control: another program of the host imports it"
    ran.unlink()
    done = inside(box, "echo started", env=environment)
    assert (done.status, done.stdout, ran.exists()) == (0, "started\n", False), done


def test_an_agent_that_an_earlier_sandbox_could_have_planted_is_not_run(box: Box) -> None:
    tools = box.home / "tools"
    tools.mkdir()
    (tools / "claude").write_text("#!/bin/sh\necho started\n")
    (tools / "claude").chmod(0o755)
    path = {"PATH": f"{tools}:{os.environ['PATH']}"}
    launch = ("-n", "offline", "--no-auth")
    assert box.claudebox(*launch, env=path).stdout == "started\n", "the control: it is found"
    assert inside(box, f"echo 'echo planted' >>{tools}/claude", "-m", f"{tools}:rw").status == 0
    done = box.claudebox(*launch, env=path)
    assert "started" not in done.stdout, done
    assert f"{tools}/claude is skipped: a sandbox can write there" in done.stderr
