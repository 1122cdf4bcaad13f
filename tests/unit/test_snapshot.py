"""What is read of a project: each row of the table, bounded, no link followed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claudebox import targets
from claudebox.model import Snapshot, Watch
from claudebox.plan.watched import DIRECTORIES, FILES
from claudebox.run import beneath, gitlinks, snapshot
from claudebox.run.gitlinks import Gitlinks
from claudebox.run.listings import Listings

GIT = ["HEAD", "config", "hooks/pre-commit.sample", "objects/ab/cd", "objects/info/packs", "refs/heads/main"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a repository of git's own."""
    made = Path(os.path.realpath(tmp_path)) / "app"
    repository(made / ".git")
    return made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_RDONLY)
    yield opened
    os.close(opened)


def repository(where: Path) -> None:
    for name in GIT:
        put(where / name, "")


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def take(root: Path, here: int, **more: object) -> Snapshot:
    watch = Watch(root=str(root), common=str(root / ".git"))._replace(**more)  # type: ignore[arg-type]
    return snapshot.take(watch, Gitlinks("", here), Listings(here, str(root)))


def rows(root: Path, here: int, **more: object) -> dict[str, str]:
    """Path below the project → row, but for its own repository."""
    found = take(root, here, **more)
    return {one.path.removeprefix(f"{root}/"): one.row for one in found.seen if one.path != f"{root}/.git"}


def test_nothing_of_a_plain_project(root: Path, here: int) -> None:
    put(root / "README")
    put(root / "src" / "main.py")
    assert rows(root, here) == {}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", ["", "a/", "a/b/c/d/"])
def test_a_file_of_the_table(root: Path, here: int, name: str, where: str) -> None:
    path = put(root / where / name)
    before = take(root, here)
    assert rows(root, here) == {where + name: FILES[name]}
    path.write_text("y")
    assert take(root, here).seen != before.seen


@pytest.mark.parametrize(("name", "file", "row"), [(n, f, r) for n, files in DIRECTORIES.items() for f, r in files])
def test_a_directory_of_the_table(root: Path, here: int, name: str, file: str, row: str) -> None:
    path = f"{name}/{file}".replace("//", "/") + ("deep/any" if file.endswith("/") else "")
    put(root / "a" / path)
    assert rows(root, here) == {f"a/{path}": row}


@pytest.mark.parametrize(
    ("path", "text", "row"),
    [
        (".git/config", "[core]\nfsmonitor = x\n", "config"),
        (".git/config.worktree", "[core]\nfsmonitor = x\n", "config"),
        (".git/modules/a/config", "[core]\nfsmonitor = x\n", "config"),
        (".git/modules/objects/config", "[core]\nfsmonitor = x\n", "config"),
        (".git/modules/a/hooks/x", "x", "hook"),
        (".git/commondir", "../elsewhere\n", "commondir"),
        (".git/commondir", "../..\n", "commondir"),
        (".git/worktrees/a/commondir", "../../sub\n", "commondir"),
        (".git/worktrees/a/gitdir", "/x/.git\n", "entry"),
        (".git/worktrees/a/config.worktree", "[core]\nfsmonitor = x\n", "config"),
        (".git/rebase-merge/git-rebase-todo", "exec x\n", "todo"),
        (".git/worktrees/a/rebase-merge/git-rebase-todo", "exec x\n", "todo"),
        (".git/objects/info/alternates", "/x\n", "alternates"),
        (".git/index", "DIRC\0\0\xe0\0", "unlisted"),
        (".git/sharedindex.abc", "DIRC\0\0\xe0\0", "unlisted"),
        ("a/.git", "gitdir: /x\n", "pointer"),
    ],
)
def test_a_file_of_git(root: Path, here: int, path: str, text: str, row: str) -> None:
    put(root / path).write_bytes(text.encode("latin-1"))
    assert rows(root, here) == {path: row}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".git/config", "[core]\n\tbare = false\n"), (".git/commondir", "../.git\n"), (".git/config.worktree", ""),
        (".git/worktrees/a/commondir", "../..\n"), (".git/rebase-merge/git-rebase-todo", "pick 1 x\n"),
        (".git/refs/heads/config", "x"), (".git/logs/refs/heads/hooks/x", "x"), (".git/hooks/x.sample", "x"),
        (".git/index", "DIRC"), ("node_modules/a/.envrc", "x"), ("a/b/c/d/e/.envrc", "x"),
        (".git/objects/ab/config", "["),
    ],
)  # fmt: skip
def test_what_runs_nothing(root: Path, here: int, path: str, text: str) -> None:
    put(root / path, text)
    assert rows(root, here) == {}


@pytest.mark.parametrize(
    "where",
    ["HEAD.x", "logs/HEAD", "refs/heads/x", "refs/heads/objects/ab/x", "objects/ab.x", "objects/info/x", "modules/a/x",
     "worktrees/a/x", "rebase-merge/x", "modules/objects/ab/x"],
)  # fmt: skip
def test_a_link_in_a_git_directory(root: Path, here: int, where: str) -> None:
    path = root / ".git" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/x")
    assert rows(root, here) == {f".git/{where}": "link"}


def test_a_reference_that_is_a_link_of_git_is_none(root: Path, here: int) -> None:
    head = root / ".git" / "HEAD"
    head.unlink()
    head.symlink_to("refs/heads/main")
    assert rows(root, here) == {}
    head.unlink()
    head.symlink_to("refs/../../x")
    assert rows(root, here) == {".git/HEAD": "link"}


@pytest.mark.parametrize("names", [["HEAD", "objects/", "refs/"], ["HEAD", "commondir"]])
def test_what_git_takes_for_a_repository(root: Path, here: int, names: list[str]) -> None:
    for name in names:
        (root / "a" / name).mkdir(parents=True) if name.endswith("/") else put(root / "a" / name)
    put(root / "a" / "config", "[core]\nfsmonitor = x\n")
    found = rows(root, here)
    assert found.pop("a") == "bare" and found.pop("a/config") == "config"
    for name in names:
        if name.endswith("/"):
            (root / "a" / name).rmdir()
            assert "a" not in rows(root, here), "the control"
            break


def test_a_repository_hides_nothing_below_it(root: Path, here: int) -> None:
    """One that an agent made of the project itself, too."""
    for name in ("HEAD", "config"):
        put(root / name, "")
    for name in ("objects", "refs"):
        put(root / name / ".envrc")
    assert rows(root, here, common=f"{root}/.git") == {
        str(root): "bare",
        "objects/.envrc": "direnv",
        "refs/.envrc": "direnv",
    }


def test_a_bare_repository_is_no_surprise_in_itself(root: Path, here: int) -> None:
    bare = root / "store.git"
    repository(bare)
    put(bare / "worktrees" / "a" / "HEAD")
    put(bare / "worktrees" / "a" / "commondir", "../..\n")
    assert take(bare, here, common=str(bare)).seen == ()


def test_a_repository_elsewhere(root: Path, here: int) -> None:
    tree = root.parent / "tree"
    put(tree / ".git", "gitdir: x\n")
    put(root / ".git" / "modules" / "a" / "hooks" / "x")
    put(root / ".git" / "worktrees" / "tree" / "logs" / "HEAD", f"{'0' * 40} {'a' * 40} A <a@b> 1 +0000\tx\n")
    found = take(tree, here, common=f"{root}/.git", entry="tree")
    assert [one.row for one in found.seen] == ["hook", "pointer"]
    assert found.head == "a" * 40


@pytest.mark.parametrize("line", ["", "x", "a b c", f"{'0' * 40} {'A' * 40} x", f"{'0' * 40} --{'a' * 38} x"])
def test_a_reflog_that_names_no_commit(root: Path, here: int, line: str) -> None:
    put(root / ".git" / "logs" / "HEAD", line)
    assert take(root, here).head == ""


# --- hostile ---------------------------------------------------------------------------------------


def test_whatever_lies_there_is_looked_at_and_not_waited_for(root: Path, here: int) -> None:
    os.mkfifo(root / ".envrc")
    os.mkfifo(root / ".git" / "commondir")
    os.mkfifo(root / ".git" / "index")
    (root / ".exrc").mkdir()
    os.truncate(put(root / "Makefile"), 1 << 40)
    os.truncate(put(root / ".git" / "config"), 1 << 40)
    put(root / ".npmrc").chmod(0)
    (root / "flake.nix").symlink_to("/dev/zero")
    (root / ".vscode").symlink_to("/etc")
    with socket.socket(socket.AF_UNIX) as one:
        here_then = os.getcwd()
        os.chdir(root)
        one.bind(".mcp.json")
        os.chdir(here_then)
        found = {Path(seen.path).name: seen.state.partition(" ")[0] for seen in take(root, here).seen}
    root.joinpath(".npmrc").chmod(0o600)
    assert found.pop(".npmrc") in ("unreadable", "000")  # uid 0 reads it
    assert found == {
        ".envrc": "fifo", "commondir": "fifo", ".exrc": "directory", "Makefile": "large", "config": "large",
        "flake.nix": "link", ".vscode": "link", ".mcp.json": "socket", ".git": "directory",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["a", ".vscode", ".husky", "a/.git", ".git/modules"])
def test_no_link_is_followed(root: Path, here: int, name: str) -> None:
    other = root.parent / "other"
    for inner in (".envrc", "tasks.json", "config", "x/hooks/y"):
        put(other / inner, "[alias]\n")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(other)
    found = rows(root, here)
    assert all(inner == name for inner in found), found


@pytest.mark.parametrize("name", ["a", ".git/logs", ".husky"])
def test_a_directory_that_cannot_be_listed_is_noted(root: Path, here: int, name: str, monkeypatch: Any) -> None:
    """What lies in it can be opened by its name: `chmod 311` would hide it from us alone."""
    put(root / name / ".envrc")
    real = beneath.opened

    def refused(top: int, path: str, flags: int) -> int:
        if path == name:
            raise PermissionError(13, "no")
        return real(top, path, flags)

    monkeypatch.setattr(beneath, "opened", refused)  # uid 0 may list whatever it is
    assert rows(root, here) == {name: "closed"}


def test_a_flood_is_cut_and_hides_nothing_above(root: Path, here: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "ENTRIES", 100)
    put(root / ".envrc")
    assert not take(root, here).cut, "the control"
    for number in range(200):
        put(root / "a" / str(number))
    assert take(root, here).cut and rows(root, here) == {".envrc": "direnv"}


def test_a_flood_in_the_repository_is_cut_as_well(root: Path, here: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "ENTRIES", 100)
    for number in range(200):
        put(root / ".git" / "a" / "b" / str(number))
    (root / ".git" / "COMMIT_EDITMSG").symlink_to("/x")
    assert take(root, here).cut and rows(root, here) == {".git/COMMIT_EDITMSG": "link"}


def test_a_name_that_is_not_text(root: Path, here: int) -> None:
    name = os.fsdecode(b"\xff\n\x1b")
    put(root / name / ".envrc")
    assert rows(root, here) == {f"{name}/.envrc": "direnv"}


def test_a_project_that_is_gone(root: Path, here: int) -> None:
    with pytest.raises(FileNotFoundError):
        take(root / "gone", here)


# --- gitlinks --------------------------------------------------------------------------------------


def test_what_is_known_of_an_index_is_not_read_again(root: Path, here: int, monkeypatch: pytest.MonkeyPatch) -> None:
    index = put(root / ".git" / "index")
    index.write_bytes(b"x" * gitlinks.SMALL + b"\0\0\xe0\0")
    old = os.stat(index).st_ctime_ns
    monkeypatch.setattr(gitlinks, "FRESH", 0)
    first = Gitlinks("", here)
    first.remember(first_key(index), ["a\tb"], old)
    first.save()
    again, directory = Gitlinks("", here), os.open(index.parent, os.O_RDONLY)
    try:
        assert again.of(directory, "index") == ["a\tb"]
        index.write_bytes(b"y" * gitlinks.SMALL + b"\0\0\xe0\0")
        assert again.of(directory, "index") is None, "another one"
    finally:
        os.close(directory)


def first_key(index: Path) -> str:
    found = index.stat()
    return f"{found.st_dev}.{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}.0"


def test_one_that_was_written_just_now_is_not_known(here: int) -> None:
    import time

    one = Gitlinks("", here)
    one.remember("key", [], time.time_ns())
    assert not one.changed
    one.remember("key", [], time.time_ns() - 10**10)
    assert one.changed


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5])
def test_a_mode_across_two_reads_counts(tmp_path: Path, at: int) -> None:
    path = tmp_path / "index"
    path.write_bytes(b"x" * ((1 << 20) - at) + gitlinks.MODE + b"x")
    file = os.open(path, os.O_RDONLY)
    assert gitlinks._hits(file, 1) == 1
    os.close(file)


# --- targets ---------------------------------------------------------------------------------------


def test_where_the_hosts_git_is_led_into_the_project(root: Path) -> None:
    common = root / ".git"
    (common / "hooks" / "pre-push").symlink_to("../../scripts/push")
    (common / "hooks" / "outside").symlink_to("/usr/bin/true")
    put(common / "config", "[include]\n\tpath = ../team.conf\n[core] hooksPath = .husky/_\n[x]\npath = y\n")
    put(root / "team.conf", '[includeIf "gitdir:/x]y/"]\n\tpath = "deeper.conf"\n')
    assert targets.find(str(root), str(common), "/home/ada") == (
        (f"{root}/.husky/_", "core.hooksPath"),
        (f"{root}/deeper.conf", "include.path"),
        (f"{root}/scripts/push", "the hook pre-push"),
        (f"{root}/team.conf", "include.path"),
    )


def test_a_target_that_is_a_link_counts_twice(root: Path) -> None:
    put(root / "b" / "x")
    (root / "a").symlink_to("b")
    put(root / ".git" / "config", "[core]\nhooksPath = a\n")
    found = targets.find(str(root), str(root / ".git"), "/home/ada")
    assert [path for path, _ in found] == [f"{root}/a", f"{root}/b"]


def test_includes_that_multiply_come_to_an_end(root: Path) -> None:
    """An agent may write what the host's configuration includes: no launch may hang on it."""
    put(root / ".git" / "config", "[include]\n\tpath = ../a.conf\n")
    each = "[include]\n" + "".join(f"\tpath = {name}.conf\n\tpath = none{name}\n" for name in "abcdefgh" * 500)
    for name in "abcdefgh":
        put(root / f"{name}.conf", each)
    found = [path for path, _ in targets.find(str(root), str(root / ".git"), "/home/ada")]
    assert f"{root}/h.conf" in found and len(found) == 16


def test_nothing_leads_there_by_itself(root: Path) -> None:
    put(root / ".git" / "config", "[core]\nbare = false\n[include]\npath = ~/x\n")
    assert targets.find(str(root), str(root / ".git"), str(root.parent)) == ()


def test_a_target_is_watched_whole(root: Path, here: int) -> None:
    put(root / "hooks" / "a")
    put(root / "hooks" / "deep" / "b")
    put(root / "conf")
    watched = (f"{root}/hooks", f"{root}/conf", f"{root}/gone", f"{root}/README/x")
    assert rows(root, here, targets=watched) == {"hooks/a": "target", "hooks/deep/b": "target", "conf": "target"}
