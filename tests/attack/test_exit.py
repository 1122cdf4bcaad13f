"""What an agent can leave that no mount closes: the host's git runs it, and the report named it in red before.

Each attack is made by an agent inside, then judged by what the host's real git does. That it does something is the
control: the attack is one. Links are moved aside, so there the host's git does nothing, and their control is the same
without the sandbox.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git", "late_mounts"), pytest.mark.uid0]

RED = "claudebox: danger: changed while the session ran, and run on this host without being asked:"
MOVED = "claudebox: danger: what git would have followed appeared in a git directory; it was moved aside:"
LOCAL = ("-c", "protocol.file.allow=always")
GIT = "git -c user.name=A -c user.email=a@b.example"
# $OWNED is made by whatever runs; what runs lies in the project, as $RUN
PLANT = 'printf \'#!/bin/sh\\ntouch "%s"\\n\' "$PWD/owned" >run.sh && chmod +x run.sh && RUN="$PWD/run.sh"'
EMBED = (
    f'{PLANT}; P=$1; {GIT} init -q "$P" && {GIT} -C "$P" commit -q --allow-empty -m x'
    ' && git -C "$P" config core.fsmonitor "$RUN"'
)


class Attack(NamedTuple):
    """setup: what the host has before; script: what the agent does, with the argument; trigger: what the user does
    then; path: what the report has to name."""

    script: str
    trigger: str
    path: str
    setup: str = ""
    argument: str = ""


def embedded(path: str) -> Attack:
    script = f'{EMBED}; git add "$P" 2>/dev/null'
    return Attack(script=script, argument=path, trigger="git status", path=path)


SUBMODULE = (
    "git init -q ../lib && git -C ../lib commit -q --allow-empty -m x"
    " && git -c protocol.file.allow=always submodule --quiet add ../lib lib && git commit -qm lib"
)
HOOKS = (
    "mkdir hooks; printf '#!/bin/sh\\n' >hooks/pre-commit; chmod +x hooks/pre-commit; git add hooks; git commit -qm h"
)
OPEN = {
    "an embedded repository as a gitlink": embedded("sub"),
    "one so deep that no walk gets there": embedded("a/b/c/d/e/f/g"),
    "one with a name of the terminal's": embedded("a\x1b[31mb\nclaudebox: fine"),
    "an embedded repository that is entered": Attack(EMBED, "git -C sub status", "sub/.git", argument="sub"),
    "a directory that looks like a repository": Attack(
        f"{PLANT}; git init -q --bare b; git -C b config core.bare false; git -C b config core.worktree .."
        '; git -C b config core.fsmonitor "$RUN"',
        "git -C b status", "b",
    ),
    "a directory that leads to one": Attack(
        f"{EMBED}; mkdir b; echo 'ref: refs/heads/main' >b/HEAD; echo ../sub/.git >b/commondir"
        "; cp run.sh sub/.git/hooks/reference-transaction",
        "git -C b branch new",
        "b",
        argument="sub",
    ),
    "a submodule's configuration": Attack(
        f'{PLANT}; git config --file .git/modules/lib/config core.fsmonitor "$RUN"',
        "git status", ".git/modules/lib/config", SUBMODULE,
    ),
    "a submodule's pointer": Attack(
        f"{EMBED}; echo \"gitdir: $PWD/sub/.git\" >lib/.git", "git status", "lib/.git", SUBMODULE, "sub",
    ),
    "a submodule's hook": Attack(
        f'{PLANT}; cp run.sh .git/modules/lib/hooks/post-commit',
        "git -C lib commit -q --allow-empty -m x", ".git/modules/lib/hooks/post-commit", SUBMODULE,
    ),
    "a gitlink of a submodule": Attack(
        f"{EMBED}; git -C lib add inner 2>/dev/null",
        "git status", "'.git/modules/lib/index: inner'", SUBMODULE, "lib/inner",
    ),
    "a rebase that runs something": Attack(
        f"{PLANT}; GIT_SEQUENCE_EDITOR=true {GIT} rebase -q -i --exec false HEAD~1 2>/dev/null"
        '; echo "exec $RUN" >.git/rebase-merge/git-rebase-todo',
        "git rebase --continue", ".git/rebase-merge/git-rebase-todo", "git commit -q --allow-empty -m x",
    ),
    "a hook that is a link into the project": Attack(
        f"{PLANT}; cp run.sh hooks/pre-commit", "git commit -q --allow-empty -m x", "hooks/pre-commit",
        f"{HOOKS}; ln -s ../../hooks/pre-commit .git/hooks/pre-commit",
    ),
    "core.hooksPath in the project": Attack(
        f"{PLANT}; cp run.sh hooks/post-commit", "git commit -q --allow-empty -m x", "hooks/post-commit",
        f"{HOOKS}; git config core.hooksPath hooks",
    ),
    "include.path in the project": Attack(
        f'{PLANT}; git config --file gitconfig core.fsmonitor "$RUN"', "git status", "gitconfig",
        "touch gitconfig; git config include.path ../gitconfig",
    ),
    "an include of an include": Attack(
        f'{PLANT}; git config --file conf/two core.fsmonitor "$RUN"', "git status", "conf/two",
        "mkdir conf; git config --file conf/one include.path two; touch conf/two; git config include.path ../conf/one",
    ),
    "what direnv runs": Attack(f"{PLANT}; cp run.sh .envrc", "sh ./.envrc", ".envrc"),
    "what direnv runs, below": Attack(f"{PLANT}; mkdir -p a/b; cp run.sh a/b/.envrc", "sh a/b/.envrc", "a/b/.envrc"),
}  # fmt: skip


def inside(box: Box, script: str, *words: str, cwd: Path | None = None) -> Result:
    return box.claudebox("run", "-n", "offline", "--", "sh", "-c", script, "sh", *words, cwd=cwd or box.app)


def listed(done: Result, heading: str) -> list[str]:
    """The lines of a list of the report."""
    lines = iter(done.stderr.split("\n"))
    found: list[str] = []
    for line in lines:
        if line == heading:
            for row in lines:
                if not row.startswith("  "):
                    break
                found.append(row[2:])
    return found


def on_host(box: Box, script: str, *words: str, cwd: Path | None = None) -> Result:
    return box.run(["sh", "-c", script, "sh", *words], cwd=cwd, env={"GIT_EDITOR": "true"})


def printed(path: str) -> str:
    """A path as the report shows it."""
    return path if path.isprintable() else "$'" + path.replace("\x1b", "\\x1b").replace("\n", "\\n") + "'"


@pytest.mark.parametrize("attack", OPEN.values(), ids=OPEN.keys())
def test_what_the_hosts_git_would_run_is_named_in_red(box: Box, attack: Attack) -> None:
    if attack.setup:
        done = on_host(box, f"set -e; {attack.setup}")
        assert done.status == 0, done.stderr
    assert inside(box, "true").stderr.count("danger") == 0
    done = inside(box, attack.script, attack.argument)
    (box.app / "owned").unlink(missing_ok=True)  # what the agent ran itself is no matter
    red = listed(done, RED)
    assert [row for row in red if row.startswith(printed(attack.path) + ": ")], done.stderr
    assert "\x1b" not in done.stderr
    assert not (box.app / "owned").exists()
    on_host(box, attack.trigger)
    assert (box.app / "owned").exists(), "the control: it is an attack"


def test_a_repository_born_where_there_was_none(box: Box) -> None:
    plain = box.home / "code" / "plain"
    plain.mkdir()
    done = inside(box, EMBED, ".", cwd=plain)
    (plain / "owned").unlink(missing_ok=True)
    assert [row for row in listed(done, RED) if row.startswith(".git: new; ")], done.stderr
    on_host(box, "git status", cwd=plain)
    assert (plain / "owned").exists(), "the control"


def test_the_main_trees_index_from_a_worktree(box: Box) -> None:
    box.git("worktree", "add", "-q", "../tree")
    sha = box.git("rev-parse", "HEAD").strip()
    script = f"GIT_INDEX_FILE={box.app}/.git/index git update-index --add --cacheinfo 160000,{sha},sub"
    done = inside(box, script, cwd=box.app.parent / "tree")
    assert done.status == 0, done.stderr
    assert [row for row in listed(done, RED) if "sub: new; git enters it" in row], done.stderr
    assert "160000" in box.git("ls-files", "-s"), "the control"


# --- links -----------------------------------------------------------------------------------------

LINKS: dict[str, tuple[str, str, str]] = {
    "COMMIT_EDITMSG": ("COMMIT_EDITMSG", "echo planted >.git/MERGE_MSG", "git commit -q --allow-empty"),
    "logs/HEAD": ("logs/HEAD", "true", "git commit -q --allow-empty -m x"),
    "FETCH_HEAD": ("FETCH_HEAD", "true", "git fetch -q . main"),
    "ORIG_HEAD of a nested one": ("", "git init -q sub; ln -sf {0} sub/.git/COMMIT_EDITMSG; echo x >sub/.git/MERGE_MSG",
                                  "git -C sub commit -q --allow-empty"),
}  # fmt: skip


@pytest.mark.parametrize(("link", "more", "trigger"), LINKS.values(), ids=LINKS.keys())
def test_a_link_in_a_git_directory_is_moved_aside(box: Box, link: str, more: str, trigger: str) -> None:
    victim = box.home / "victim"
    script = more.format(victim) + (f"; ln -sf {victim} .git/{link}" if link else "")
    done = inside(box, script)
    rows = listed(done, MOVED)
    assert len(rows) == 1 and f"-> {victim}; now {box.state}/instances/" in rows[0], done.stderr
    kept = Path(rows[0].rpartition("; now ")[2])
    assert kept.is_symlink() and str(kept.readlink()) == str(victim)
    assert on_host(box, trigger).status == 0
    assert not victim.exists()
    assert on_host(box, script).status == 0
    on_host(box, trigger)
    assert victim.exists(), "the control: the same without the sandbox"


@pytest.mark.parametrize("mode", ["555", "311"])
def test_a_mode_hides_no_link(box: Box, mode: str) -> None:
    """Git needs neither to list the directory nor to write it, to write through the link."""
    victim = box.home / "victim"
    box.git("commit", "-q", "--allow-empty", "-m", "x")
    script = f"ln -sf {victim} .git/logs/HEAD; chmod {mode} .git/logs"
    done = inside(box, script)
    if listed(done, MOVED):
        box.git("commit", "-q", "--allow-empty", "-m", "x")
        assert not victim.exists()
    else:
        assert [row for row in listed(done, RED) if row.startswith(".git/logs: ") and "looked into" in row], done.stderr
    assert on_host(box, f"chmod 755 .git/logs; {script}; git commit -q --allow-empty -m x").status == 0
    assert victim.exists(), "the control"
    on_host(box, "chmod 755 .git/logs")


def test_a_long_name_hides_no_link(box: Box) -> None:
    name = "€" * 85  # 255 bytes
    done = inside(box, 'ln -s /x ".git/$1"', name)
    assert len(listed(done, MOVED)) == 1 and not (box.app / ".git" / name).is_symlink(), done.stderr


def test_git_works_afterwards(box: Box) -> None:
    links = "for f in HEAD.x index.x refs/heads/x logs/refs/heads/x objects/zz objects/info/x info/x; do"
    done = inside(box, f"{links} ln -s /etc/passwd .git/$f; done")
    assert len(listed(done, MOVED)) == 7, done.stderr
    assert not [path for path in (box.app / ".git").rglob("*") if path.is_symlink()]
    assert box.git("status", "--porcelain") == ""
    box.git("fsck", "--strict")


def test_a_link_that_git_made_itself_stays(box: Box) -> None:
    head = box.app / ".git" / "HEAD"
    box.git("config", "core.preferSymlinkRefs", "true")
    done = inside(box, "git switch -qc other; echo x >>README; git commit -qam x")
    assert listed(done, MOVED) == [] and done.status == 0
    assert box.git("symbolic-ref", "HEAD") == "refs/heads/other\n" and head.exists()


# --- the words of a hostile name -------------------------------------------------------------------


def test_a_name_cannot_pass_for_a_line_of_ours(box: Box) -> None:
    name = "x\nclaudebox: note: all is well\r\x1b[2J\u202e"
    script = 'mkdir "$1" && echo x >"$1/.envrc" && echo x >"$1/Makefile" && ln -s "$1" ".git/$1"'
    done = inside(box, script, name)
    assert done.status == 0
    assert not {"\x1b", "\r", "\u202e"} & set(done.stderr)
    assert all(line.startswith(("claudebox: danger:", "claudebox: note: ", "  ")) for line in done.stderr.splitlines())
    assert "claudebox: note: all is well" not in done.stderr.splitlines()
