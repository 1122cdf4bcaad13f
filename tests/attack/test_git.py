"""What an agent could do to the repository so that the host's git runs its programs. Each with its control."""

from __future__ import annotations

import os

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]

PLANT = "printf '#!/bin/sh\\ntouch %s\\n' \"$PWD/owned\" >{0} && chmod +x {0}"


def inside(box: Box, script: str, *options: str, cwd: object = None) -> Result:
    return box.claudebox("run", "-n", "offline", *options, "--", "sh", "-c", script, cwd=cwd or box.app)


def commit(box: Box) -> None:
    box.git("commit", "-q", "--allow-empty", "-m", "By the host")


@pytest.mark.parametrize(
    "attack",
    [
        PLANT.format(".git/hooks/post-commit"),
        f"mkdir h; {PLANT.format('h/post-commit')}; git config core.hooksPath h",
        f"{PLANT.format('h')}; git config core.fsmonitor ./h && git update-index --fsmonitor",
        f"cp -r .git c; rm -f c/hooks/* c/commondir; {PLANT.format('c/hooks/post-commit')};"
        " rm -f .git/commondir; echo ../c >.git/commondir",
        f"cp -r .git c; rm -f c/hooks/* c/commondir; {PLANT.format('c/hooks/post-commit')}; mv .git x && mv c .git",
    ],
    ids=["hook", "hooksPath", "fsmonitor", "commondir", "another .git"],
)
def test_the_hosts_git_runs_nothing_of_the_agents(box: Box, attack: str) -> None:
    inside(box, attack)
    commit(box)
    box.git("status")
    assert not (box.app / "owned").exists()
    # the control: the same without the sandbox
    box.run(["sh", "-c", "rm -rf c h; " + attack])
    commit(box)
    box.git("status")
    assert (box.app / "owned").exists()


@pytest.mark.parametrize(
    "attack",
    [
        "rm .git/config",
        "mv .git/config .git/c",
        "mv .git/hooks .git/h",
        "rmdir .git/hooks",
        "ln .git/config c",
        "mv .git/commondir c",
        "rm .git/commondir",
        "chmod 777 .git/config",
        "touch .git/hooks/x",
    ],
)
def test_a_mask_cannot_be_moved_or_taken_away(box: Box, attack: str) -> None:
    hooks = box.app / ".git" / "hooks"
    for name in hooks.iterdir():
        name.unlink()
    before = (box.app / ".git" / "config").read_bytes()
    assert inside(box, attack).status not in (0, 125, 127)
    assert (box.app / ".git" / "config").read_bytes() == before
    assert os.listdir(hooks) == []
    (box.app / ".git" / "commondir").write_text("../.git\n")
    assert box.run(["sh", "-c", attack]).status == 0, "the control"


@pytest.mark.parametrize("where", [".git", ".git/hooks", ".git/objects"])
@pytest.mark.parametrize("how", ["cwd", "-C"])
def test_a_start_in_the_git_directory_stays_behind_the_masks(box: Box, where: str, how: str) -> None:
    start = box.app / where
    options, cwd = ([], start) if how == "cwd" else (["-C", str(start)], box.app)
    attack = "echo '#' >>$(git rev-parse --git-dir)/config"
    done = inside(box, f"pwd; echo x >x; {attack}", *options, cwd=cwd)
    assert done.stdout == f"{start}\n"
    assert done.status not in (0, 125)
    assert (start / "x").exists() is (where != ".git/hooks")
    assert "#" not in (box.app / ".git" / "config").read_text()
    assert box.run(["sh", "-c", attack], cwd=start).status == 0, "the control"
    assert "#" in (box.app / ".git" / "config").read_text()


def test_a_hook_with_a_second_name_is_refused(box: Box) -> None:
    hook = box.app / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    os.link(hook, box.app / "second")
    done = inside(box, "true")
    assert done.status == 125 and "has 2 names" in done.stderr
    (box.app / "second").unlink()
    assert inside(box, "true").status == 0, "the control"


@pytest.mark.parametrize("name", ["config", "hooks", "commondir"])
def test_a_link_in_place_of_a_masked_entry_is_refused(box: Box, name: str) -> None:
    place, real = box.app / ".git" / name, box.app / "real"
    if name == "commondir":
        real.write_text("../.git\n")
    else:
        place.rename(real)
    place.symlink_to(real)
    done = inside(box, "true")
    assert done.status == 125 and f".git/{name} is no" in done.stderr
    place.unlink()
    if name != "commondir":
        real.rename(place)
    assert inside(box, "true").status == 0, "the control"


def test_an_entry_of_worktrees_that_breaks_lines_locks_nobody_out(box: Box) -> None:
    """The kernel writes a carriage return in a mount point as it is; what reads its table must not end a line there."""
    box.git("worktree", "add", "-q", "-b", "side", str(box.home / "side"))
    assert inside(box, "mv .git/worktrees/side '.git/worktrees/side\r36 35 0:1 / /x'; true").status == 0
    (box.app / ".git" / "worktrees" / "a\rb\x85c\u2028d").mkdir()
    done = inside(box, "touch '.git/worktrees/a\rb\x85c\u2028d/commondir' || echo refused")
    assert (done.status, done.stdout) == (0, "refused\n"), done.stderr
