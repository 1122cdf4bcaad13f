# ruff: noqa: E501  a replacement is quoted as it stands
"""Switches each defence off, one by one, in a copy of this checkout, and sees that a test notices.

    scripts/mutate [NAME...]        those whose name contains one of the words; without one, all; --list names them

Each row of DEFENCES is a replacement in one file that takes the defence away, and the tests that must go red. Before
that the same tests run on the copy as it is: what is red then proves nothing. Prints a table; exit status 1 when
something went unnoticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "src/claudebox"
LIMIT = 300  # seconds of one run
RESULT = re.compile(r"^(\d+) passed, (\d+) failed", re.M)


class Defence(NamedTuple):
    """name: of the defence; file: below src/claudebox; old, new: the replacement; suites, expression: of scripts/test."""

    name: str
    file: str
    old: str
    new: str
    suites: str
    expression: str


DEFENCES = (
    # processes and inheritance
    Defence("bwrap starts with an empty environment", "run/processes.py", "environment={},", "environment=dict(os.environ),",
            "attack", "shows_the_hosts_environment"),
    Defence("secrets come through a descriptor", "render/bwrap.py", '        "--args",\n        descriptor("options"),\n',
            "        *options(plan, descriptor, secrets=True),\n", "attack", "passed_secret_is_on_no_command_line"),
    Defence("descriptors of the caller stay out", "cli.py", "os.set_inheritable(int(name), False)", "pass",
            "attack", "descriptors_of_the_caller"),
    Defence("a process group of its own", "run/processes.py", "group=watch.pid,", "group=None,",
            "attack", "kill_of_everything_stays_inside"),
    Defence("the guard", "run/guard.py", "done; kill -9 $init 0", "done; exit 0", "attack", "freed_first_process or kills_at_random"),
    Defence("the guard knows pid 1", "run/guard.py", "kill -9 $init 0", "kill -9 0", "attack", "freed_first_process"),
    Defence("the gate asks for a word", "render/bwrap.py", '|| exit 125; "\n    \'[ "$token" = go ] || exit 125; ',
            '; "\n    \'', "attack", "kills_at_random_moments"),
    Defence("the gate closes its pipes", "render/bwrap.py", 'exec "$@" 3<&- 4>&-', 'exec "$@"', "sandbox", "test_posture"),
    Defence("the command starts behind the masks", "render/bwrap.py", '["--chdir", "/"]', '["--chdir", plan.directory]',
            "attack", "start_in_the_git_directory"),
    # namespaces, capabilities, filter
    Defence("a network namespace", "plan/isolation.py", '(*NAMESPACES, "net")', "NAMESPACES", "sandbox", "test_posture"),
    *(Defence(f"a {name} namespace", "plan/isolation.py", f'"{name}"', f'*("{name}",)[:0]', "sandbox", "test_posture")
      for name in ("pid", "ipc", "uts", "cgroup")),
    Defence("no capability", "render/bwrap.py", ', ["--cap-drop", "ALL"]', "", "sandbox uid0", "test_posture"),
    Defence("/proc/sys as uid 0", "plan/filesystem.py", "    if uid != 0:\n", "    if True:\n",
            "attack uid0", "settings_of_the_kernel"),
    Defence("the filter of system calls", "plan/seccomp.py", "    program = _foreign(arch)\n", "    return b''.join(_allow())\n    program = _foreign(arch)\n",
            "attack", "calls_that_no_agent_needs"),
    Defence("foreign ABIs", "plan/seccomp.py", "_instruction(EQUAL, arch, then=1),\n        *_refuse(ENOSYS),",
            "_instruction(EQUAL, arch, then=1),\n        *_allow(),", "sandbox", "test_seccomp_kernel and i386"),
    Defence("calls that nobody has read yet", "plan/seccomp.py", "LAST_CALL = 469", "LAST_CALL = 0x7FFFFFF0",
            "sandbox", "test_seccomp_kernel and (x32 or later)"),
    Defence("io_uring", "plan/seccomp.py", '("io_uring_setup", ENOSYS, (425, 425)', '("io_uring_setup", ENOSYS, (None, None)',
            "sandbox", "test_seccomp_kernel and ring"),
    Defence("socket families", "plan/seccomp.py", "    return code + _when((AF_INET, AF_INET6), internet) + _refuse(EAFNOSUPPORT)",
            "    return code + _when((AF_INET, AF_INET6), internet) + _allow()", "attack", "test_kernel and socket_families"),
    Defence("netlink to the firewall", "plan/seccomp.py", "    netlink += _refuse(EPROTONOSUPPORT)", "    netlink += _allow()",
            "sandbox", "test_seccomp_kernel and socket_families"),
    Defence("requests to the terminal", "plan/seccomp.py", "        code += _equal(request, _refuse(EPERM))",
            "        code += _equal(request, _allow())", "sandbox", "test_seccomp_kernel and request_to_the_terminal"),
    Defence("personalities", "plan/seccomp.py", "        code += _equal(value, _allow())\n    return code + _refuse(EPERM)",
            "        code += _equal(value, _allow())\n    return code + _allow()", "sandbox", "test_seccomp_kernel and personality"),
    Defence("Landlock scopes", "plan/isolation.py", 'landlock_scopes=tier == "full" and', "landlock_scopes=False and",
            "attack", "abstract_sockets_of_a_shared_network"),
    Defence("no user namespaces where they were refused", "render/bwrap.py", '[*made, ["--disable-userns"]]', "made",
            "sandbox", "test_inspection and nested"),
    # limits
    Defence("the number of processes", "run/limits.py", "            limit(pid, RLIMIT_NPROC, self.bounds.processes)\n", "",
            "sandbox", "test_limits and number_of_processes"),
    Defence("pid 1 is bounded too", "run/limits.py", "for pid in (sandbox.init, sandbox.agent):\n            limit",
            "for pid in (sandbox.agent,):\n            limit", "sandbox", "test_limits and pid_1"),
    Defence("no core file", "run/limits.py", "            limit(pid, RLIMIT_CORE, NO_CORE)\n", "", "sandbox", "test_limits and core"),
    Defence("the size of /tmp", "plan/filesystem.py", 'Tmpfs(target=target, size=tmp, mode=0o1777', "Tmpfs(target=target, mode=0o1777",
            "attack", "test_exhaustion and filler"),
    # mounts
    Defence("mount points follow no link", "descriptors.py", "DIRECTORY = os.O_PATH | os.O_NOFOLLOW |", "DIRECTORY = os.O_PATH |",
            "attack", "test_swaps"),
    Defence("mounts are compared with the plan", "run/mounts.py", "    if wrong:\n", "    if False:\n",
            "attack sandbox", "test_swaps or test_the_mounts_are_compared or verify"),
    Defence("planted links in the home are moved aside", "run/home.py", "            if not wanted(mode):\n", "            if False:\n",
            "attack", "test_filesystem and leads_nowhere"),
    Defence("links of an earlier sandbox", "pinning.py", "        if any(there.startswith", "        if False and any(there.startswith",
            "attack", "earlier_session_left_in_a_mount or an_agent_made_a_link"),
    Defence("private keys below /etc", "host.py", '"ca-certificates", "ca-certificates.conf"', '"ssl", "ca-certificates", "ca-certificates.conf"',
            "attack", "private_keys_of_the_system"),
    Defence("sockets of the host are masked", "plan/__init__.py", "    mounts += sockets.masks(mounts, host)\n", "",
            "attack", "test_sockets and a_socket_in_the_project"),
    Defence("claudebox's own directory cannot be mounted", "plan/filesystem.py", "    if reaches_ours and (", "    if False and (",
            "unit", "test_plan_filesystem"),
    # git
    Defence("hooks", "plan/git.py", '        made.append(_over_itself(f"{common}/hooks", "ro", "the host\'s git would run what lies there"))\n', "",
            "attack", "hosts_git_runs_nothing"),
    Defence("config", "plan/git.py", '        made.append(_over_itself(f"{common}/config", "ro", "the host\'s git would run programs named there"))\n', "",
            "attack", "hosts_git_runs_nothing"),
    Defence("commondir", "plan/git.py", '    made.append(_over_itself(f"{common}/commondir", "ro", "could lead the host\'s git to another configuration"))\n', "",
            "attack", "hosts_git_runs_nothing"),
    Defence("other working trees", "plan/git.py", '"ro", "another working tree\'s metadata"', '"rw", "another working tree\'s metadata"',
            "attack sandbox", "test_git or test_layouts or worktrees"),
    Defence("the repository cannot be moved", "plan/git.py", '        made.append(_over_itself(tree.common, "rw", why))', "        pass",
            "attack", "mask_cannot_be_moved"),
    Defence("a .git that is a file", "plan/git.py", '    if tree.pointed:\n', "    if False:\n", "sandbox", "test_layouts and obeys_is_read_only"),
    Defence("second names of masked files", "layout.py", "st_nlink > 1", "st_nlink > 1_000_000", "attack", "second_name_is_refused"),
    Defence("masks are put back", "run/interior.py", "    supervision.put_back = Mending(site.plan, supervision, spares.receive(ours, kept)).put_back\n",
            "    spares.receive(ours, kept)\n    supervision.put_back = lambda *_: True\n", "attack", "test_mending and protected_again"),
    Defence("who may still write is noticed", "run/mending.py", "        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)\n", "", "attack", "test_mending and gap"),
    Defence("links in .git are moved aside", "run/exitcheck.py", "        moved=tuple(move_aside(here, one) for one in links(changes)[:MOST]),\n", "", "attack", "test_exit and moved_aside"),
    # what is read, shown, asked
    Defence("control characters are escaped", "text.py", "    if text.isprintable():\n", "    if True:\n", "attack", "test_output"),
    Defence("the review asks for what grew", "plan/review.py", "def grown(", "def grown(*_: object) -> tuple[Grant, ...]:\n    return ()\n\n\ndef _grown(",
            "cli", "test_review"),
    Defence("files that others can write are not obeyed", "checked.py", "def _judge(", "def _judge(*_: object) -> None:\n    return\n\n\ndef _judged(",
            "unit", "test_checked"),
    Defence("programs of the project on PATH", "locating.py", "def writable(", "def writable(*_: object) -> bool:\n    return False\n\n\ndef _writable(",
            "attack", "programs_of_the_project_on_path or an_earlier_sandbox_could_have_planted"),
    Defence("git of the host ignores what steers it", "plan/environment.py", '"DBUS_*",\n', '\n', "attack unit", "variables_of_the_host or test_plan_environment"),
    Defence("a second session in one tree", "run/locks.py", "if not _locked(held.tree, ALONE) and not force:", "if False:", "sandbox", "test_together and refused"),
    # network
    Defence("the rules of the network", "plan/network/ruleset.py", "    for name in (\"host\", \"refused\"):\n", "    for name in ():\n",
            "attack", "test_network_matrix and refused"),
    Defence("what has no exception", "plan/network/ruleset.py", 'daddr @never{version} goto reasons"', 'daddr @never{version} continue"',
            "attack", "test_network_matrix and refused"),
    Defence("the host's own networks", "plan/network/ruleset.py", '    for name in ("host", "refused"):', '    for name in ("refused",):',
            "attack", "test_network_matrix and refused"),
    Defence("networks that appear are followed", "run/network.py", "            if own != self.own:\n", "            if False:\n",
            "sandbox", "test_network and (appears or stands)"),
    Defence("datagrams from outside", "plan/network/ruleset.py", '        _hook("input"),', '        _hook("input", policy="accept"),\n        "accept",',
            "attack", "datagrams_from_outside"),
    Defence("the rules stand before the way out", "run/network.py", '        answer(self.holder, "the rules of the network could not be loaded", arrivals)\n',
            "", "sandbox", "test_network_faults and rules"),
    # login
    Defence("no refresh token inside", "plan/broker.py", '"refreshToken": DUMMY + mark', '"refreshToken": tokens.refresh', "sandbox unit", "test_login or test_broker"),
    Defence("the copy of the login follows no link", "run/credentials.py", "os.O_TRUNC | os.O_NOFOLLOW |", "os.O_TRUNC |",
            "attack sandbox", "test_credentials or (test_login and spoiled)"),
    Defence("settings are not written through links", "descriptors.py", "os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW", "os.O_CREAT",
            "attack", "test_settings"),
)  # fmt: skip


def main(words: list[str]) -> int:
    """Run the table, or the rows that words choose."""
    chosen = [one for one in DEFENCES if not words or any(word in one.name for word in words)]
    if words == ["--list"]:
        print("\n".join(one.name for one in DEFENCES))
        return 0
    with tempfile.TemporaryDirectory(prefix="claudebox-mutate-", dir=os.environ.get("CLAUDEBOX_MUTATE_DIR")) as place:
        copy = Path(place, "checkout")
        copied(copy)
        rows = [row(copy, one) for one in chosen]
    print(f"\n{'defence':52} {'noticed by':45} seconds")
    for name, result, seconds in rows:
        print(f"{name:52} {result:45} {seconds:7.0f}")
    missed = [name for name, result, _ in rows if not result.endswith("red")]
    print(f"\n{len(rows) - len(missed)} of {len(rows)} noticed" + (f"; not: {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


def copied(copy: Path) -> None:
    """The files that git tracks, with their changes."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in os.fsdecode(listed).split("\0")[:-1]:
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)


def row(copy: Path, one: Defence) -> tuple[str, str, float]:
    """One defence: its name, who noticed, how long it took."""
    began = time.monotonic()
    file = copy / SOURCE / one.file
    before = file.read_text(encoding="utf-8")
    if before.count(one.old) < 1:
        return one.name, "the table is out of date", 0.0
    control = ran(copy, one)
    if control is None or control[0] == 0 or control[1]:
        return one.name, f"the tests are no measure: {control}", time.monotonic() - began
    file.write_text(before.replace(one.old, one.new), encoding="utf-8")
    try:
        found = ran(copy, one)
    finally:
        file.write_text(before, encoding="utf-8")
    took = time.monotonic() - began
    if found is None:
        result = f"{one.suites}: a run without an end, red"
    else:
        result = f"{one.suites}: {found[1]} of {sum(found)} red" if found[1] else f"nobody ({sum(found)} tests)"
    print(f"{one.name}: {result}", flush=True)
    return one.name, result, took


CONTROLS: dict[tuple[str, str], tuple[int, int] | None] = {}


def ran(copy: Path, one: Defence) -> tuple[int, int] | None:
    """Passed and failed, without the formatter's and checkers' rows; None for a run that did not end."""
    clean = (copy / SOURCE / one.file).read_bytes() == (ROOT / SOURCE / one.file).read_bytes()
    key = (one.suites, one.expression)
    if clean and key in CONTROLS:
        return CONTROLS[key]
    words = ["scripts/test", *one.suites.split(), "-k", one.expression]
    environment = {**os.environ, "CLAUDEBOX_SUITE_TIMEOUT": str(LIMIT)}
    done = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    found = RESULT.search(done.stdout)
    result = (int(found[1]), int(found[2])) if found else None
    if clean:
        CONTROLS[key] = result
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
