"""The exit check's pure half: the table, the comparison, the words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.model import Change, ExitReport, Seen, Snapshot, Watch
from claudebox.plan.exit import change, compare, followed
from claudebox.plan.gitconfig import HARMLESS, obeyed
from claudebox.plan.watched import DIRECTORIES, FILES, ROWS, executes
from claudebox.render import exit
from claudebox.run import exitcheck

ROOT = "/srv/app"
TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
PATHS = st.lists(st.sampled_from(["a", "b", ".git", "hooks", "config", "x\n"]), min_size=1, max_size=4).map(
    lambda parts: f"{ROOT}/" + "/".join(parts)
)
SEEN = st.builds(
    lambda row, path, state: Seen(row=row, path=path, state=state), st.sampled_from(sorted(ROWS)), PATHS, TEXT
)
MANY = st.lists(SEEN, max_size=8, unique_by=lambda one: (one.row, one.path))


def snapshot(*seen: Seen, **changes: object) -> Snapshot:
    made = Snapshot(watch=Watch(root=ROOT, common=f"{ROOT}/.git"), seen=tuple(sorted(seen)))
    return made._replace(**changes)  # type: ignore[arg-type]


def seen(row: str, path: str, state: str = "000 ab") -> Seen:
    return Seen(row=row, path=f"{ROOT}/{path}", state=state)


def names(found: tuple[Change, ...]) -> list[tuple[str, str, bool]]:
    return [(one.row, one.path.removeprefix(ROOT + "/"), one.new) for one in found]


# --- the table -------------------------------------------------------------------------------------


def test_every_name_has_its_row_and_every_row_its_reason() -> None:
    used = {*FILES.values(), *(row for files in DIRECTORIES.values() for _, row in files)}
    assert used <= set(ROWS)
    assert all(row.reason and row.sets_off for row in ROWS.values())


def test_the_documentation_names_what_is_looked_at() -> None:
    page = (Path(__file__).parents[2] / "docs" / "git.md").read_text()
    assert [name for name in DIRECTORIES if name not in page and name not in (".config", ".mise")] == []
    others = ("mise", "lefthook", "akefile", "justfile", "devcontainer")  # "and its other names"
    assert [name for name in FILES if name not in page and not any(part in name for part in others)] == []


@pytest.mark.parametrize("row", ROWS)
def test_each_row_is_reported(row: str) -> None:
    (found,) = compare(snapshot(), snapshot(seen(row, "x")))
    assert (found.reason, found.sets_off, found.unasked) == tuple(ROWS[row])
    text = said(ExitReport(root=ROOT, head="", changes=(found,)))
    assert "x" in text and ROWS[row].sets_off in text
    assert ("danger" in text) is ROWS[row].unasked


def said(report: ExitReport) -> str:
    return "\n".join(f"{one.severity}: {one.text}\n" + "\n".join(one.rows) for one in exit.blocks(report))


# --- what a configuration runs ---------------------------------------------------------------------

PLAIN = b"""# of git
[core]
\trepositoryformatversion = 0
\tfilemode = true
; a remark
[remote "origin"]
\turl = https://example.org/a.git
\tfetch = +refs/heads/*:refs/remotes/origin/*
[branch "main"]
\tremote = origin
\tmerge = refs/heads/main
[submodule "lib"]
\turl = ../lib
\tactive = true
"""


def test_what_git_writes_itself_runs_nothing() -> None:
    assert obeyed(PLAIN) == b""
    assert obeyed(b"") == b""


@pytest.mark.parametrize(
    "line",
    [
        "[core]\n fsmonitor = x", "[core] fsmonitor = x", "[CORE]\nFSMonitor=x", "[core]\nsshCommand = x",
        "[core]fsmonitor=x", "[core]\nworktree = ../x", "[include]\npath = x",
        '[includeIf "gitdir:/"]\npath = x', "[alias]\nst = !x", '[filter "x"]\nclean = x', '[diff "x"]\ntextconv = x',
        "[core]\nhooksPath = x", '[submodule "x"]\nupdate = !x', '[remote "x"]\nuploadpack = x', "[core]\nfsmonitor",
        '[remote "x"]\nvcs = x', "[extensions]\nworktreeConfig = true", '[remote "]\n[core]"]\nfsmonitor = x',
        "[ core ]\nfsmonitor = x", "[core.x]\nfsmonitor = x", "[credential]\nhelper = !x", "fsmonitor = x",
        "[core] # x ]\nfsmonitor = x", "\ufeff[core]\nfsmonitor = x", "[core]\r\nfsmonitor = x", "[gpg]\nprogram = x",
    ],
)  # fmt: skip
def test_what_runs_something_stays(line: str) -> None:
    assert obeyed(PLAIN + line.encode() + b"\n") != b""


@given(st.lists(st.sampled_from([*PLAIN.splitlines(), b"[core]\\", b"\\", b'"', b"[", b"]", b" "])), st.data())
def test_no_text_around_it_hides_a_line(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines)))
    with_it = obeyed(b"\n".join([*lines[:at], b"\tfsmonitor = ./x", *lines[at:]]))
    assert [line for line in with_it.split(b"\n") if line.endswith(b"fsmonitor = ./x")]


def test_no_harmless_key_runs_anything() -> None:
    risky = {
        "fsmonitor", "hookspath", "sshcommand", "pager", "editor", "askpass", "gitproxy", "attributesfile", "worktree",
        "alternaterefscommand", "uploadpack", "receivepack", "vcs", "proxy", "update", "worktreeconfig", "path",
    }  # fmt: skip
    assert not {(s, k) for s, keys in HARMLESS.items() for k in keys & risky} - {("submodule", "path")}


def test_a_todo_list() -> None:
    assert executes(b"pick 1 exec x\n# exec x\nexec\nfixup 2 x\n") == b"exec"
    assert executes(b"pick 1\n x  make\n\texec ./a b\n") == b"x  make\nexec ./a b"
    assert executes(b"") == b""


# --- the comparison --------------------------------------------------------------------------------


@given(MANY)
def test_nothing_changed(one: list[Seen]) -> None:
    assert compare(snapshot(*one), snapshot(*one)) == ()
    assert compare(snapshot(*one), snapshot()) == (), "what is gone runs nothing"


@given(MANY, MANY)
def test_whatever_differs_is_named_or_lies_in_what_is(before: list[Seen], after: list[Seen]) -> None:
    found = compare(snapshot(*before), snapshot(*after))
    reported = {(one.row, one.path) for one in found}
    born = {one.path for one in found if one.new}
    for one in set(after) - set(before):
        inside = any(one.path.startswith(path + "/") or one.path == f"{path}/.git" for path in born)
        assert (one.row, one.path) in reported or inside
    assert reported <= {(one.row, one.path) for one in set(after) - set(before)}
    assert {(one.row, one.path) for one in set(after) - set(before) if one.row == "link"} <= reported


def test_new_or_changed() -> None:
    before = snapshot(seen("make", "Makefile"), seen("direnv", ".envrc"))
    after = snapshot(seen("make", "Makefile"), seen("direnv", ".envrc", "001 ab"), seen("package", "package.json"))
    assert names(compare(before, after)) == [("direnv", ".envrc", False), ("package", "package.json", True)]


def test_a_repository_that_was_born_stands_for_what_is_in_it() -> None:
    after = snapshot(
        seen("repository", "sub/.git", "directory"), seen("config", "sub/.git/config"),
        seen("hook", "sub/.git/hooks/x"), seen("link", "sub/.git/x", "link /y"), seen("gitlink", "sub"),
        seen("repository", "new/.git", "directory"), seen("config", "new/.git/config"),
    )  # fmt: skip
    found = compare(snapshot(), after)
    assert names(found) == [("repository", "new/.git", True), ("gitlink", "sub", True), ("link", "sub/.git/x", True)]
    assert [one.path for one in followed(found, f"{ROOT}/.git")] == [f"{ROOT}/sub/.git/x"]
    known = snapshot(seen("repository", "sub/.git", "directory"), seen("gitlink", "sub"))
    assert ("config", "sub/.git/config", True) in names(compare(known, after))


def test_what_git_would_follow_is_moved_aside() -> None:
    paths = (".git/worktrees/a/commondir", ".git/commondir", "sub/.git/worktrees/a/commondir")
    found = compare(snapshot(), snapshot(*(seen("commondir", path) for path in paths)))
    assert [one.path for one in followed(found, f"{ROOT}/.git")] == [f"{ROOT}/{paths[0]}"]
    assert followed(found, "") == (), "no repository, no working trees of one"


def test_a_row_of_another_release_is_red() -> None:
    assert change(seen("unheard of", "x"), new=True).unasked


# --- the words -------------------------------------------------------------------------------------


def report(*changes: Change, **more: object) -> ExitReport:
    return ExitReport(root=ROOT, head="", changes=changes)._replace(**more)  # type: ignore[arg-type]


def test_nothing_is_said_of_nothing() -> None:
    assert exit.blocks(report()) == ()


def test_a_report_is_short() -> None:
    many = tuple(
        change(seen(row, f"{n}/x"), new=n % 2 == 0) for n in range(500) for row in ("direnv", "make", "pointer")
    )
    moved = tuple((f"{ROOT}/.git/{n}", "/x", "") for n in range(500))
    text = said(report(*many, moved=moved))
    assert text.count("\n") < 60 and max(map(len, text.splitlines())) < 500
    assert "and 980 more" in text and "and 480 more" in text and "and 492 more" in text


def test_a_configuration_that_was_replaced_is_red_with_its_diff() -> None:
    (block,) = exit.blocks(report(replaced=((f"{ROOT}/.git/config", ("+ branch.x.remote = origin",)),)))
    assert block.severity == "danger" and block.text.startswith(".git/config was replaced on the host")
    assert block.rows == ("+ branch.x.remote = origin",)


def test_a_report_for_programs() -> None:
    found = change(seen("direnv", "\udcff\n/.envrc"), new=True)
    moved, replaced = ((f"{ROOT}/.git/x", "/y", "/z"),), ((f"{ROOT}/.git/config", ("+ a.b = c",)),)
    text = exit.as_json(report(found, moved=moved, replaced=replaced, cut=True))
    read = json.loads(text)["exit_report"]
    assert text.count("\n") == 1 and read["changes"][0] == found._asdict() and read["schema_version"] == 1
    assert read["moved"] == [{"path": f"{ROOT}/.git/x", "said": "/y", "now": "/z"}]
    assert read["replaced"] == [{"path": f"{ROOT}/.git/config", "lines": ["+ a.b = c"]}]
    assert read["more_than_is_looked_at"] is True


def test_the_command_to_look_is_safe_and_names_the_commit_before() -> None:
    found = change(seen("direnv", "a b/.envrc"), new=False)
    text = said(report(found, head="0123456789abcdef" * 2 + "01234567"))
    assert (
        "git -C /srv/app diff --no-ext-diff --no-textconv --ignore-submodules=all 0123456789ab -- 'a b/.envrc'" in text
    )


def test_no_git_is_told_to_run_in_a_nested_repository() -> None:
    found = (
        change(seen("repository", "sub/.git", "directory"), new=True),
        change(seen("hook", "b/.git/hooks/x"), new=False),
    )
    text = said(report(*found))
    assert "diff" not in text and "run no git in a repository that you did not make: sub/.git" in text
    assert "cat -v -- /srv/app/b/.git/hooks/x" in text


def test_what_is_no_file_is_called_what_it_is_and_not_read() -> None:
    text = said(
        report(change(seen("exrc", ".exrc", "fifo"), new=True), change(seen("exrc", "b", "link /etc"), new=True))
    )
    assert "new, fifo;" in text and "new, link;" in text and "cat" not in text


def test_a_cut_is_red() -> None:
    (block,) = exit.blocks(report(cut=True))
    assert block.severity == "danger" and "50,000" in block.text


# --- records ---------------------------------------------------------------------------------------


@given(MANY, TEXT, st.booleans())
def test_a_snapshot_is_read_back_as_it_was(many: list[Seen], word: str, cut: bool) -> None:
    watch = Watch(root=word, common=word, entry=word, targets=(word, "b"))
    made = Snapshot(watch=watch, seen=tuple(many), head=word, cut=cut)
    assert exitcheck.from_text(json.loads(exitcheck.as_text(made).encode())) == made


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"7", b"{}", b"[" * 9999, b"\xff", b'{"said": 7}', b'{"seen": [1]}']
)
def test_a_torn_record_is_said_to_be_one(text: bytes) -> None:
    (block,) = exitcheck.resumed(text, "", -1)
    assert block.severity == "danger"
