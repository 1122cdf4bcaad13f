"""`claudebox doctor` on this machine, and in worlds that lack something, made for real; each with its control."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from box import Box, Result
from capability import needs
from machine import USER, WORLD, over

pytestmark = needs("nft", "tun", "slirp4netns")  # of the default launch


@pytest.fixture
def agent(box: Box) -> Path:
    """An agent's client where PATH does not lead; doctor must not start it."""
    made = box.home / ".local" / "bin" / "claude"
    made.parent.mkdir(parents=True)
    made.write_text(f"#!/bin/sh\ntouch {box.home}/started\n")
    made.chmod(0o755)
    return made


def checks(done: Result) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert done.status == (0 if document["ready"] else 1)
    return {one["name"]: one for one in document["checks"]}


def doctor(box: Box, *, world: str = "", **options: Any) -> dict[str, dict[str, Any]]:
    """What doctor says in the box, or in a world of its own made by a shell's words."""
    if world:
        return checks(box.run([*WORLD, f"{world}{USER}{box.program} doctor --json"], **options))
    return checks(box.claudebox("doctor", "--json", **options))


def failing(found: dict[str, dict[str, Any]]) -> list[str]:
    """The needed checks that failed."""
    return [name for name, one in found.items() if one["needed"] and one["status"] not in ("ok", "warning")]


@needs("userns", "bwrap", "git", "late_mounts")
@pytest.mark.usefixtures("agent")
@pytest.mark.uid0
def test_this_machine(box: Box) -> None:
    found = doctor(box)
    assert failing(found) == []
    assert found["late mounts"]["status"] == found["seccomp"]["status"] == found["sandbox"]["status"] == "ok"
    assert not (box.home / "started").exists(), "a client on the real login is never run"
    assert not box.state.exists(), "doctor writes nothing"
    assert box.claudebox("run", "-n", "offline", "--", "true").status == 0, "and it was right"


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_the_table(box: Box) -> None:
    done = box.claudebox("doctor")
    assert (done.status, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[-1] == "ready: claudebox -n internet-only can start here"


def test_unknown_option(box: Box) -> None:
    done = box.claudebox("doctor", "--jsno")
    assert (done.status, done.stdout) == (125, "")
    assert done.stderr.splitlines()[1] == "hint: did you mean --json?"


@needs("userns", "bwrap", "nft")
def test_rules_and_a_tap_device_are_tried(box: Box) -> None:
    assert doctor(box)["nftables"]["status"] == "ok"


# --- programs ------------------------------------------------------------------------------------


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_no_bubblewrap(box: Box) -> None:
    """An empty file that nobody can execute lies over it."""
    (box.home / "nothing").write_text("")
    assert failing(doctor(box, world="true && ")) == [], "the control: the same world with it"
    found = doctor(box, world=over(box.home / "nothing", "/usr/bin/bwrap"))
    assert failing(found) == ["bubblewrap", "sandbox", "late mounts", "nftables"]
    assert found["bubblewrap"]["status"] == "missing"
    assert "bubblewrap" in found["bubblewrap"]["fix"]


def old_bwrap(box: Box, text: str) -> dict[str, str]:
    """PATH begins with a trusted directory that has another bwrap."""
    made = box.home / "tools" / "bwrap"
    made.parent.mkdir()
    made.write_text(text)
    made.chmod(0o755)
    return {"PATH": f"{made.parent}:/usr/bin:/bin"}


OLD = """#!/bin/sh
case $1 in
--version) echo "bubblewrap 0.4.1" ;;
*) echo "usage: bwrap [OPTIONS...] [--] COMMAND [ARGS...]"; echo "    --bind SRC DEST" ;;
esac
"""


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    ("text", "says"),
    [(OLD, "--ro-bind-fd"), ("#!/bin/sh\nexec sleep 600\n", "it does not answer")],
    ids=["old", "hangs"],
)
def test_a_bubblewrap_that_cannot_serve(box: Box, text: str, says: str) -> None:
    found = doctor(box, env=old_bwrap(box, text))
    assert failing(found) == ["bubblewrap", "sandbox", "late mounts", "nftables"]
    assert says in found["bubblewrap"]["detail"]
    assert found["bubblewrap"]["fix"]


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_a_bubblewrap_that_fails_or_hangs_at_the_start(box: Box) -> None:
    script = '#!/bin/sh\ncase $1 in --version | --help) exec /usr/bin/bwrap "$@" ;; esac\n'
    env = old_bwrap(box, script + 'echo "bwrap: No permissions to create new namespace" >&2; exit 1\n')
    found = doctor(box, env=env)
    assert failing(found) == ["sandbox", "late mounts", "nftables"]
    assert found["sandbox"]["detail"] == "bwrap: No permissions to create new namespace"
    (box.home / "tools" / "bwrap").write_text(script + "exec sleep 600\n")
    found = doctor(box, env=env)
    assert failing(found) == ["sandbox", "late mounts", "nftables"]
    assert "did not say in time" in found["sandbox"]["detail"]
    (box.home / "tools" / "bwrap").write_text(script + 'exec /usr/bin/bwrap "$@"\n')
    assert failing(doctor(box, env=env)) == [], "the control"


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_a_bubblewrap_of_the_project_is_skipped(box: Box) -> None:
    planted = box.app / "bwrap"
    planted.write_text(f"#!/bin/sh\ntouch {box.home}/started\n")
    planted.chmod(0o755)
    found = doctor(box, env={"PATH": f"{box.app}:/usr/bin:/bin"})
    assert failing(found) == []
    assert f"{planted} is skipped: a sandbox can write there" in found["bubblewrap"]["detail"]
    assert not (box.home / "started").exists()


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_an_env_without_default_signal(box: Box) -> None:
    made = box.home / "env"
    made.write_text("#!/bin/sh\necho \"env: unrecognized option '$1'\" >&2\nexit 1\n")
    made.chmod(0o755)
    found = doctor(box, world=over(made, "/usr/bin/env"))
    assert failing(found) == ["env", "sandbox", "late mounts", "nftables"]
    assert "unrecognized option" in found["env"]["detail"]
    assert "coreutils" in found["env"]["fix"]


@needs("userns", "bwrap", "git")
def test_no_agent(box: Box) -> None:
    done = box.claudebox("doctor")
    assert done.status == 1
    assert done.stdout.splitlines()[-1].endswith("see agent; claudebox run -n internet-only can")


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_what_to_type_is_this_distribution_s(box: Box) -> None:
    release = box.home / "os-release"
    release.write_text('NAME="Alpine Linux"\nID=alpine\nPRETTY_NAME="Alpine Linux v3.22"\n')
    (box.home / "nothing").write_text("")
    world = over(box.home / "nothing", "/usr/bin/bwrap") + over(release, "/etc/os-release")
    assert doctor(box, world=world)["bubblewrap"]["fix"] == "sudo apk add bubblewrap"
    text = box.run([*WORLD, f"{world}{USER}{box.program} doctor"]).stdout
    assert text.startswith("Alpine Linux v3.22, Linux ")


# --- kernel and devices --------------------------------------------------------------------------


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_no_user_namespaces(box: Box) -> None:
    program = f"exec {box.program} doctor --json"
    world = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    assert failing(checks(box.run([*world, program]))) == [], "the control: user namespaces in one"
    found = checks(box.run([*world, f"echo 0 >/proc/sys/user/max_user_namespaces && {program}"]))
    assert failing(found) == ["user namespaces", "sandbox", "late mounts", "nftables"]
    assert found["user namespaces"]["detail"] == "user.max_user_namespaces is 0"
    assert "user.max_user_namespaces" in found["user namespaces"]["fix"]
    assert "bwrap: " in found["sandbox"]["detail"]


# A filter as a container has it: EPERM for unshare(2) and for clone(2) with CLONE_NEWUSER, ENOSYS for clone3(2).
CONTAINER = """
import ctypes, os, struct, sys
UNSHARE, CLONE, CLONE3 = {"x86_64": (272, 56, 435), "aarch64": (97, 220, 435)}[os.uname().machine]
one = lambda code, value, then=0, otherwise=0: struct.pack("<HBBI", code, then, otherwise, value)
program = b"".join([
    one(0x20, 0),                        # the number of the call
    one(0x15, UNSHARE, 4, 0), one(0x15, CLONE3, 4, 0), one(0x15, CLONE, 0, 4),
    one(0x20, 16), one(0x45, 0x10000000, 0, 2),  # clone's flags
    one(0x06, 0x00050001), one(0x06, 0x00050026), one(0x06, 0x7FFF0000),
])
libc = ctypes.CDLL(None, use_errno=True)
held = ctypes.create_string_buffer(program)
header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(held)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, header, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


@needs("userns", "bwrap", "git", "user")
@pytest.mark.usefixtures("agent")
def test_a_container_that_forbids_user_namespaces(box: Box) -> None:
    found = checks(box.run(["/usr/bin/python3", "-c", CONTAINER, box.program, "doctor", "--json"]))
    assert failing(found) == ["user namespaces", "sandbox", "late mounts", "nftables"]
    assert "it does not allow them (unshare: EPERM)" in found["user namespaces"]["detail"]
    assert "--security-opt seccomp=unconfined" in found["user namespaces"]["fix"]


def offline(box: Box) -> None:
    box.state.mkdir(mode=0o700)
    (box.state / "config.toml").write_text('[network]\ntier = "offline"\n')


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_tun_device_that_may_not_be_opened(box: Box, mode: int) -> None:
    """A file stands in for the device: its mode decides, and that it is no device shows when it is tried."""
    made = box.home / "tun"
    made.write_text("")
    made.chmod(mode)
    hidden = f"{over(made, '/dev/net/tun')}chmod {mode:o} /dev/net/tun && "
    found = doctor(box, world=hidden)
    assert found["/dev/net/tun"]["found"] == f"mode {mode:04o}"
    assert found["/dev/net/tun"]["status"] == "failed"
    assert found["/dev/net/tun"]["needed"] and failing(found) == ["/dev/net/tun"]
    offline(box)
    assert failing(doctor(box, world=hidden)) == [], "tier offline does without"


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_no_tun_device(box: Box) -> None:
    found = doctor(box, world="mount -t tmpfs none /dev/net && ")
    assert found["/dev/net/tun"]["status"] == "missing"
    assert "tun" in found["/dev/net/tun"]["fix"]
    assert failing(found) == ["/dev/net/tun"]


# --- ~/.claudebox --------------------------------------------------------------------------------


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_state_that_others_can_write(box: Box) -> None:
    assert box.claudebox("run", "-n", "offline", "--", "true").status == 0
    assert failing(doctor(box)) == [], "the control: as a launch made it"
    inside = next((box.state / "instances").iterdir()) / "locks"
    inside.chmod(0o770)
    (box.state / "cache" / "link").symlink_to("/etc/passwd")
    found = doctor(box)["state"]
    assert found["status"] == "failed"
    assert f"{inside} can be written by others" in found["detail"] and f"chmod go-w {inside}" in found["fix"]
    assert "link is a link" in found["detail"]
    (box.state / "config.toml").touch(mode=0o600)
    box.state.chmod(0o770)
    found = doctor(box)
    assert failing(found) == ["state", "config"], "what is in it cannot be trusted either"
    assert f"chmod 700 {box.state}" in found["state"]["fix"]


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_what_the_agent_wrote_in_its_home_is_no_concern(box: Box) -> None:
    script = "mkdir -m 777 open; ln -s /etc/passwd link; chmod 777 ."
    assert box.claudebox("run", "-n", "offline", "--", "sh", "-c", f"cd; {script}").status == 0
    assert failing(doctor(box)) == []


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_broken_config(box: Box) -> None:
    box.state.mkdir(mode=0o700)
    config = box.state / "config.toml"
    config.write_text('[network]\ntier = "full"\n')
    found = doctor(box)
    assert failing(found) == [] and found["config"]["found"] == "tier full", "the control"
    config.write_text('agnet = "claude"\n[network]\nteir = "full"\n')
    found = doctor(box)
    assert failing(found) == ["config"]
    assert "agnet" in found["config"]["detail"] and "teir" in found["config"]["detail"], "all errors at once"


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_a_directory_where_nothing_can_be_written(box: Box) -> None:
    box.state.mkdir(mode=0o700)
    found = doctor(box, world=f"mount -t tmpfs -o ro,mode=0777 none {box.home}/.claudebox && ")
    assert "space" in failing(found)
    assert "nothing can be written" in found["space"]["detail"]


@needs("userns", "bwrap", "git")
def test_no_home(box: Box) -> None:
    found = doctor(box, env={"HOME": None})
    assert "home" in failing(found)
    assert found["home"]["detail"] == "HOME is not set to a directory"


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_what_use_remembered_is_the_default(box: Box) -> None:
    assert box.claudebox("run", "-n", "offline", "--", "true").status == 0
    kept = next((box.state / "instances").iterdir()) / "instance.toml"
    kept.write_text(kept.read_text() + '[remembered]\nnetwork = "full"\n')
    assert doctor(box)["config"]["found"] == "tier full"
    assert doctor(box, cwd=box.home)["config"]["found"] == "tier internet-only", "the control: no project"
    kept.write_text("project = [")
    found = doctor(box)
    assert failing(found) == ["state", "config"]
    assert "instance.toml" in found["state"]["detail"] and "instance.toml" in found["config"]["detail"]


@pytest.mark.usefixtures("agent")
def test_a_relative_directory_of_ours(box: Box) -> None:
    found = doctor(box, env={"CLAUDEBOX_HOME": "here"})
    assert "state" in failing(found)
    assert found["state"]["detail"] == "CLAUDEBOX_HOME is not an absolute path"


@needs("userns", "bwrap", "git")
@pytest.mark.usefixtures("agent")
def test_a_directory_that_was_deleted(box: Box) -> None:
    gone = box.home / "gone"
    gone.mkdir()
    assert failing(checks(box.run(["sh", "-c", 'rmdir "$PWD"; exec "$0" doctor --json', box.program], cwd=gone))) == []


@needs("userns", "bwrap", "git")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["int", "term", "kill"])
def test_what_hangs_ends_with_a_doctor_that_is_killed(box: Box, number: signal.Signals) -> None:
    """The fixture that looks for what is left is the test; that the program ran is its control."""
    made = box.home / "tools" / "nix"
    made.parent.mkdir()
    made.write_text(f"#!/bin/sh\necho up >{box.home}/up\nsleep 600\n")
    made.chmod(0o755)
    os.mkfifo(box.home / "up")
    with box.start([box.program, "doctor"], env={"PATH": f"{made.parent}:/usr/bin:/bin"}) as process:
        assert (box.home / "up").read_text() == "up\n"
        process.send_signal(number)
        process.wait(timeout=10)
