"""instance.toml: paths of any bytes, read by hand as a TOML parser reads it, changed without losing anything."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.errors import ClaudeboxError
from claudebox.run import accepted, kept
from claudebox.run.kept import Kept

PATHS = st.binary(min_size=1, max_size=40).map(lambda raw: "/" + os.fsdecode(raw.replace(b"\0", b"")))


@given(PATHS)
def test_any_path_is_read_back(path: str) -> None:
    raw = kept.as_text(path).encode()
    for found in (kept.scanned(raw), kept.parsed(raw, "/i")):
        assert found is not None
        assert found.project == path
    assert raw.startswith(kept.FIRST)
    assert tomllib.loads(raw.decode())["project"] == kept.encoded(path)


@pytest.mark.parametrize(
    ("path", "written"),
    [("/home/ada/app", "/home/ada/app"), ('/a "b"\\c', "/a %22b%22%5Cc"), ("/\n%41é", "/%0A%2541é"),
     ("/\udcff", "/%FF")],
)  # fmt: skip
def test_a_path_as_it_is_written(path: str, written: str) -> None:
    assert kept.encoded(path) == written


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / kept.NAME).write_text(kept.as_text(str(tmp_path)))
    return tmp_path


def change(directory: Path, **remembered: str | tuple[str, ...]) -> None:
    here = os.open(directory, os.O_RDONLY)
    try:
        kept.change(here, str(directory), {}, remembered)
    finally:
        os.close(here)


def test_what_use_writes_is_read_by_hand_and_by_a_parser_alike(directory: Path) -> None:
    change(directory, network="offline", agent="my-agent", profiles=("python", "my_own.one"))
    raw = (directory / kept.NAME).read_bytes()
    scanned = kept.scanned(raw)
    assert scanned is not None
    assert scanned == kept.parsed(raw, "/i")._replace(made=scanned.made)
    assert (scanned.network, scanned.agent) == ("offline", "my-agent")
    assert scanned.profiles == ("python", "my_own.one")
    assert scanned.inode == directory.stat().st_ino
    change(directory, network="")
    assert kept.read(str(directory)).network == "" and kept.read(str(directory)).agent == "my-agent"
    change(directory, agent="", profiles=())
    assert b"remembered" not in (directory / kept.NAME).read_bytes()


def test_a_change_keeps_what_it_does_not_know(directory: Path) -> None:
    path = directory / kept.NAME
    path.write_text(path.read_text() + '# mine\n[accepted]\nmounts = ["/a"]\n')
    change(directory, network="full")
    found = path.read_text()
    assert "# mine\n" in found and tomllib.loads(found)["accepted"] == {"mounts": ["/a"]}
    assert kept.scanned(path.read_bytes()) is None, "the parser reads it"
    assert kept.read(str(directory)).network == "full"


@pytest.mark.parametrize(
    "text",
    ['network = "offline"\n', 'project = 7\n', 'project = "/a"\nremembered = 1\n', "project = \n", "\udcff",
     'project = "/a"\n[remembered]\nnetwork = 1\n', 'project = "/a"\n[remembered]\nprofiles = "a"\n',
     'project = "/a"\n[remembered]\nprofiles = [1]\n'],
)  # fmt: skip
def test_what_is_wrong_is_an_error_with_the_file(text: str, directory: Path) -> None:
    (directory / kept.NAME).write_bytes(os.fsencode(text))
    with pytest.raises(ClaudeboxError, match=kept.NAME):
        kept.read(str(directory))


def test_an_old_instance_is_read_and_carried_over(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(b"/p\xff")
    assert kept.read(str(tmp_path)) == Kept(project="/p\udcff")
    here = os.open(tmp_path, os.O_RDONLY)
    assert kept.begin(here, "/p\udcff") is False, "it is no first launch"
    assert os.listdir(tmp_path) == [kept.NAME]
    assert kept.project_at(str(tmp_path)) == "/p\udcff"
    os.close(here)


def test_a_launch_touches_the_file_and_another_projects_is_refused(directory: Path) -> None:
    path = directory / kept.NAME
    os.utime(path, (5, 5))
    here = os.open(directory, os.O_RDONLY)
    assert kept.begin(here, str(directory)) is False
    assert kept.read(str(directory)).used > 5
    with pytest.raises(ClaudeboxError, match="says that it is of"):
        kept.begin(here, "/elsewhere")
    os.close(here)


def put(ours: Path, name: str, project: str, inode: int = 0) -> None:
    (ours / "instances" / name).mkdir(parents=True)
    text = f'project = "{kept.encoded(project)}"\ninode = {inode}\n'
    (ours / "instances" / name / kept.NAME).write_text(text)


def test_all_projects(tmp_path: Path) -> None:
    assert kept.projects(str(tmp_path)) == ()
    put(tmp_path, "a" * 16, "/p")
    put(tmp_path, ".being-removed", "/gone")
    (tmp_path / "instances" / ("b" * 16)).mkdir()
    (tmp_path / "instances" / ("b" * 16) / "root").write_text("/old")
    assert set(kept.projects(str(tmp_path))) == {"/p", "/old"}


def test_a_moved_project_is_known_by_its_inode_then_by_its_name(tmp_path: Path) -> None:
    ours, new = tmp_path / "ours", tmp_path / "new" / "app"
    new.mkdir(parents=True)
    put(ours, "0" * 16, str(tmp_path))  # still there
    put(ours, "1" * 16, "/gone/other")
    assert kept.moved_from(str(ours), str(new)) == ""
    put(ours, "2" * 16, "/gone/app")
    assert kept.moved_from(str(ours), str(new)) == "/gone/app"
    put(ours, "3" * 16, "/gone/renamed", inode=new.stat().st_ino)
    assert kept.moved_from(str(ours), str(new)) == "/gone/renamed"


def test_what_sandboxes_could_write_is_never_cut_off(tmp_path: Path) -> None:
    put(tmp_path, "a" * 16, "/p")
    paths = [f"/trees/{number:04}/{'x' * 80}" for number in range(2000)]
    here = os.open(tmp_path / "instances" / ("a" * 16), os.O_RDONLY)
    kept.note_written(here, ["/p", *paths], "/p")
    kept.note_written(here, ["/data", paths[0]], "/p")
    os.close(here)
    assert set(kept.projects(str(tmp_path))) == {"/p", "/data", *paths}


def test_instances_that_cannot_be_listed_are_not_none(tmp_path: Path) -> None:
    (tmp_path / "instances").touch()
    with pytest.raises(ClaudeboxError, match="cannot list"):
        kept.projects(str(tmp_path))


# --- what was accepted ---------------------------------------------------------------------------

ROWS = st.lists(st.lists(st.text(max_size=12) | PATHS, min_size=1, max_size=6).map(tuple), max_size=5).map(tuple)


def accept(directory: Path, rows: tuple[tuple[str, ...], ...]) -> None:
    here = os.open(directory, os.O_RDONLY)
    try:
        accepted.record(here, str(directory), rows)
    finally:
        os.close(here)


@given(ROWS.filter(lambda rows: all(c < "\ud800" or c > "\udfff" for row in rows for one in row for c in one)))
def test_what_was_accepted_is_read_by_hand_and_by_a_parser_alike(rows: tuple[tuple[str, ...], ...]) -> None:
    raw = (kept.as_text("/p") + accepted.section(rows)).encode()
    scanned = kept.scanned(raw)
    assert scanned is not None and scanned.accepted == rows
    assert kept.parsed(raw, "/i").accepted == rows


def test_what_was_accepted_is_replaced_and_use_keeps_it(directory: Path) -> None:
    assert kept.accepted(str(directory)) is None
    accept(directory, ())
    assert kept.accepted(str(directory)) == ()
    accept(directory, (("mount", "rw", "", "/a ]\n", "/b"),))
    change(directory, network="offline")
    raw = (directory / kept.NAME).read_bytes()
    found = kept.scanned(raw)
    assert found is not None, "no launch needs the parser"
    assert (found.network, found.accepted) == ("offline", (("mount", "rw", "", "/a ]\n", "/b"),))
    accept(directory, (("variable", "pass", "", "A", ""),))
    raw = (directory / kept.NAME).read_bytes()
    assert raw.count(b"[accepted]") == 1 and b"/a" not in raw
    assert kept.read(str(directory)).network == "offline"
    assert not [name for name in os.listdir(directory) if name.endswith(".tmp")]


def test_a_file_that_somebody_edited_keeps_its_words(directory: Path) -> None:
    path = directory / kept.NAME
    path.write_text(path.read_text() + '# mine\n[accepted]\nversion = 1\ngrants = [["a", "b"], 7, ["c"]]\n')
    assert kept.accepted(str(directory)) == (("a", "b"), ("c",))
    accept(directory, (("d",),))
    assert "# mine" in path.read_text() and kept.accepted(str(directory)) == (("d",),)


@pytest.mark.parametrize("table", ["accepted = 1", "[accepted]\nversion = 2\ngrants = []", "[accepted]\ngrants = 1"])
def test_what_is_not_understood_was_not_accepted(table: str, directory: Path) -> None:
    path = directory / kept.NAME
    path.write_text(path.read_text() + table + "\n")
    assert kept.accepted(str(directory)) is None


def test_more_than_fits_is_refused(directory: Path) -> None:
    before = (directory / kept.NAME).read_bytes()
    with pytest.raises(ClaudeboxError, match="cannot hold"):
        accept(directory, (("x" * kept.LIMIT,),))
    assert (directory / kept.NAME).read_bytes() == before
