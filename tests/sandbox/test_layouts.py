"""Every layout of a repository: git works inside, nothing else of it is in sight, and nothing of ours is left."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git", "late_mounts"), pytest.mark.uid0]

LOCAL = ("-c", "protocol.file.allow=always")


def worktree(box: Box) -> Path:
    box.git("worktree", "add", "-q", "../tree", "-b", "side")
    return box.app.parent / "tree"


def worktree_inside(box: Box) -> Path:
    (box.app / ".git" / "info" / "exclude").write_text(".trees\n")
    box.git("worktree", "add", "-q", ".trees/one", "-b", "side")
    return box.app / ".trees" / "one"


def worktree_with_config(box: Box) -> Path:
    tree = worktree(box)
    box.git("config", "extensions.worktreeConfig", "true")
    return tree


def worktree_of_bare(box: Box) -> Path:
    box.git("clone", "-q", "--bare", str(box.app), str(box.home / "store.git"))
    box.git("worktree", "add", "-q", str(box.home / "tree"), "main", cwd=box.home / "store.git")
    return box.home / "tree"


def worktree_beside_bare(box: Box) -> Path:
    top = box.home / "code" / "top"
    box.git("clone", "-q", "--bare", str(box.app), str(top / ".bare"))
    (top / ".git").write_text("gitdir: ./.bare\n")
    box.git("worktree", "add", "-q", "tree", "main", cwd=top)
    return top / "tree"


def submodule(box: Box) -> Path:
    top = box.home / "code" / "top"
    box.git("init", "-q", str(top))
    box.git(*LOCAL, "submodule", "--quiet", "add", str(box.app), "lib", cwd=top)
    box.git("commit", "-q", "-m", "Add lib", cwd=top)
    return top / "lib"


def main_with_worktrees(box: Box) -> Path:
    worktree(box)
    return box.app


def without_hooks(box: Box) -> Path:
    subprocess.run(["rm", "-r", str(box.app / ".git" / "hooks")], check=True)
    return box.app


TREES = [
    worktree, worktree_inside, worktree_with_config, worktree_of_bare, worktree_beside_bare, submodule,
    main_with_worktrees, without_hooks,
]  # fmt: skip
Layout = Callable[[Box], Path]
WORK = """set -e
echo changed >README; echo new >new; git add -A; git commit -qm Inside; git switch -qc other; git stash list
git switch -q -; git merge -q other; git log --format=%s -1; git status --porcelain; git fsck --no-progress 2>&1
"""


def inside(box: Box, tree: Path, script: str, *options: str) -> Result:
    return box.claudebox("run", "-n", "offline", *options, "--", "sh", "-c", script, cwd=tree)


def common(box: Box, tree: Path) -> Path:
    return Path(box.git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=tree).strip())


def listing(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if "objects" not in path.parts}


@pytest.mark.parametrize("layout", TREES)
def test_git_works_and_nothing_is_left(box: Box, layout: Layout) -> None:
    tree = layout(box)
    git = common(box, tree)
    before, refs = box.git("status", "--porcelain", cwd=tree), listing(git)
    for _ in range(2):
        assert inside(box, tree, "true").status == 0
    assert box.git("status", "--porcelain", cwd=tree) == before
    assert listing(git) == refs
    done = inside(box, tree, WORK)
    assert (done.status, done.stdout, done.stderr) == (0, "Inside\n", ""), done
    assert box.git("log", "-1", "--format=%s", cwd=tree) == "Inside\n"
    assert box.git("status", "--porcelain", cwd=tree) == before
    assert not list(git.glob("**/*.lock")) and not (git / "commondir").exists()


@pytest.mark.parametrize("layout", TREES)
def test_what_the_hosts_git_obeys_is_read_only(box: Box, layout: Layout) -> None:
    tree = layout(box)
    git = common(box, tree)
    entry = Path(box.git("rev-parse", "--path-format=absolute", "--git-dir", cwd=tree).strip())
    targets = [git / "config", git / "commondir", git / "hooks" / "post-commit", git / "config.worktree"]
    if (tree / ".git").is_file():
        targets.append(tree / ".git")
    if entry != git:
        targets += [entry / "commondir", entry / "gitdir"]
    if layout is worktree_with_config:
        targets.append(entry / "config.worktree")
    else:
        targets.remove(git / "config.worktree")
    for target in targets:
        done = inside(box, tree, f"echo x >>'{target}'")
        assert done.status not in (0, 125, 127) and "Read-only" in done.stderr, target
    assert inside(box, tree, f"mv '{git}' '{git}.x'; mv '{tree}/.git' x; git worktree prune; git gc -q").status == 0
    assert inside(box, tree, f"echo x >'{entry}/COMMIT_EDITMSG'").status == 0, "the control"
    box.git("fsck", cwd=tree)


@pytest.mark.parametrize("layout", [worktree, worktree_inside, worktree_of_bare, worktree_beside_bare, submodule])
def test_only_the_git_directory_of_the_rest_is_in_sight(box: Box, layout: Layout) -> None:
    tree = layout(box)
    git = common(box, tree)
    (git.parent / "secret").write_text("secret\n")
    script = f"cat '{git.parent}/secret'; touch '{git.parent}/planted'; cat '{git}/config' >/dev/null && echo in sight"
    done = inside(box, tree, script)
    assert done.stdout == "in sight\n", done
    assert (git.parent / "secret").exists() and not (git.parent / "planted").exists()


def test_the_worktrees_of_a_repository_share_an_instance(box: Box) -> None:
    tree = worktree(box)
    assert inside(box, box.app, "echo kept >~/note").status == 0
    assert inside(box, tree, "cat ~/note").stdout == "kept\n"
    assert len(list((box.state / "instances").iterdir())) == 1


def test_a_bare_repository_itself(box: Box) -> None:
    box.git("clone", "-q", "--bare", str(box.app), str(box.home / "store.git"))
    store = box.home / "store.git"
    before = listing(store)
    done = inside(box, store, "git log --format=%s; git branch made; echo x >>config; pwd")
    assert done.stdout == f"Start\n{store}\n" and "Read-only" in done.stderr
    assert box.git("branch", "--list", "made", cwd=store).strip() == "made"
    assert listing(store) - before <= {
        "refs/heads/made",
        "logs",
        "logs/refs",
        "logs/refs/heads",
        "logs/refs/heads/made",
    }


# --- forged ----------------------------------------------------------------------------------------


def forged(box: Box, how: str) -> Path:
    """A project whose agent wrote a `.git` that leads to the repository of another."""
    project = box.home / "code" / "forged"
    project.mkdir()
    target = box.app / ".git"
    if how == "an entry of another tree":
        worktree(box)
        target = box.app / ".git" / "worktrees" / "tree"
    if how == "a submodule of another tree":
        target = common(box, submodule(box))
    if how == "a bare repository":
        target = box.home / "store.git"
        box.git("clone", "-q", "--bare", str(box.app), str(target))
    if how == "no repository":
        target = box.home / ".ssh"
        target.mkdir()
    (project / ".git").write_text(f"gitdir: {target}\n")
    return project


@pytest.mark.parametrize(
    "how",
    [
        "another main tree",
        "an entry of another tree",
        "a submodule of another tree",
        "a bare repository",
        "no repository",
    ],
)
def test_a_forged_pointer_mounts_nothing(box: Box, how: str) -> None:
    project = forged(box, how)
    done = inside(box, project, "echo ran")
    assert done.status == 125 and done.stdout == "" and "does not lead back" in done.stderr
    (project / ".git").unlink()
    assert inside(box, project, "echo ran").stdout == "ran\n", "the control"


@pytest.mark.parametrize("text", ["", "gitdir: \n", "nonsense\n", "gitdir: /nowhere\n", "gitdir: " + "x" * 20000])
def test_a_broken_pointer_is_one_sentence(box: Box, text: str) -> None:
    project = box.home / "code" / "broken"
    project.mkdir()
    (project / ".git").write_text(text)
    done = inside(box, project, "echo ran")
    assert done.status == 125 and done.stdout == "" and done.stderr.count("\n") == 2, done.stderr


# --- what leads nowhere back: accepted by its path -------------------------------------------------


def separate(box: Box) -> Path:
    box.git("clone", "-q", "--separate-git-dir", str(box.home / "apart"), str(box.app), str(box.home / "code" / "tree"))
    return box.home / "code" / "tree"


def test_a_separate_git_directory_is_mounted_once_it_was_accepted(box: Box) -> None:
    tree, apart = separate(box), box.home / "apart"
    for _ in range(2):  # a refusal is no acceptance
        done = inside(box, tree, "echo ran")
        assert (done.status, done.stdout) == (125, "") and "nothing leads back" in done.stderr, done.stderr
        assert f"git  {apart}, read-write" in " ".join(done.stderr.replace("\n", " ").split()).replace("git ", "git  ")
    assert inside(box, tree, WORK, "-y").stdout == "Inside\n"
    done = inside(box, tree, "git status --porcelain; echo x >>$(git rev-parse --git-dir)/config")
    assert done.stdout == "" and "Read-only" in done.stderr, "accepted for good, and masked like any other"
    assert str(apart) in next((box.state / "instances").glob("*/instance.toml")).read_text()
    box.git("fsck", cwd=tree)
    assert not (apart / "commondir").exists()


def test_another_path_is_asked_for_again(box: Box) -> None:
    tree = separate(box)
    assert inside(box, tree, "echo gitdir: ../other >.git; true", "-y").status == 0
    shutil.copytree(box.home / "apart", box.home / "other")
    (tree / ".git").write_text(f"gitdir: {box.home}/other\n")
    done = inside(box, tree, "echo ran")
    assert done.status == 125 and f"{box.home}/other" in done.stderr


def test_one_that_leads_back_needs_no_question(box: Box) -> None:
    tree = separate(box)
    box.git("config", "--file", str(box.home / "apart" / "config"), "core.worktree", str(tree))
    assert inside(box, tree, "git status --porcelain").stdout == ""


def test_borrowed_objects_are_mounted_read_only_once_they_were_accepted(box: Box) -> None:
    tree, store = box.home / "code" / "tree", box.app / ".git" / "objects"
    (box.app / ".git" / "secret").write_text("x")
    box.git("clone", "-q", "--shared", str(box.app), str(tree))
    done = inside(box, tree, "git log --format=%s")
    assert done.status == 125 and f"{store}, read-only" in done.stderr, done.stderr
    assert inside(box, tree, WORK, "-y").stdout == "Inside\n"
    done = inside(
        box, tree, f"git log -1 --format=%s; git fsck --no-progress; cat {box.app}/.git/secret; touch {store}/x"
    )
    assert done.stdout == "Inside\n" and done.stderr.count("No such file") == 1 and "Read-only" in done.stderr
    box.git("fsck", cwd=tree)


@pytest.mark.parametrize("what", ["no store", "above the project", "inside"])
def test_what_an_agent_writes_there_is_no_grant(box: Box, what: str) -> None:
    place = {"no store": box.home / ".ssh", "above the project": box.home, "inside": box.app / "store"}[what]
    for name in () if what == "no store" else ("info", "pack"):
        (place / name).mkdir(parents=True)
    place.mkdir(exist_ok=True)
    (place / "key").write_text("secret\n")
    (box.app / ".git" / "objects" / "info" / "alternates").write_text(f"{place}\n")
    done = inside(box, box.app, f"cat {place}/key; ls -A {box.home}", "-y")
    assert done.status == {"no store": 0, "above the project": 125, "inside": 0}[what], done.stderr
    assert ("secret" in done.stdout) is (what == "inside") and ".gitconfig" not in done.stdout


# --- who commits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [worktree, worktree_of_bare, submodule])
def test_the_identity_is_what_git_on_the_host_says_here(box: Box, layout: Layout) -> None:
    tree = layout(box)
    entry = box.git("rev-parse", "--path-format=absolute", "--git-dir", cwd=tree).strip()
    with (box.home / ".gitconfig").open("a") as file:
        file.write(f'[includeIf "gitdir:{entry}"]\n\tpath = work.conf\n')
    (box.home / "work.conf").write_text("[user]\n\temail = ada@work.example\n")
    box.git("config", "user.name", "Of The Repository", cwd=tree)
    made = inside(box, tree, "git -C / config user.email; git -C / config user.name")
    assert made.stdout == "ada@work.example\nAda Example\n", "the repository's own is read by git inside"
    elsewhere = box.home / "code" / "elsewhere"
    elsewhere.mkdir()
    assert inside(box, elsewhere, "git -C / config user.email").stdout == "ada@example.org\n", "the control"
