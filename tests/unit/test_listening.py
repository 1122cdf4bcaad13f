"""Which sockets of the host lie below what is granted, out of a made-up table; and where they are masked."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import HOME, make_host, make_mount, make_plan, make_profile, make_project
from claudebox import listening
from claudebox.errors import ClaudeboxError
from claudebox.model import Bind

HEAD = "Num       RefCount Protocol Flags    Type St Inode Path\n"
LISTENS = "0000000000000000: 00000002 00000000 00010000 0001 01 30001"
DATAGRAM = "0000000000000000: 00000002 00000000 00000000 0002 01 30002"
CONNECTED = "0000000000000000: 00000003 00000000 00000000 0001 03 30003"


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    """A directory with the socket `s`; its path is short enough for bind(2) whatever pytest calls it."""
    top = tmp_path / "project"
    top.mkdir()
    os.chdir(top)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
        yield top.resolve()
    os.chdir("/")


def found(top: Path, *lines: str) -> tuple[str, ...]:
    table = top.parent / "unix"
    table.write_text(HEAD + "".join(f"{line}\n" for line in lines))
    return listening.survey([str(top)], str(table))


def test_one_that_listens(top: Path) -> None:
    assert found(top, f"{LISTENS} {top}/s") == (f"{top}/s",)


def test_one_that_takes_datagrams(top: Path) -> None:
    assert found(top, f"{DATAGRAM} {top}/s") == (f"{top}/s",)


def test_what_is_not_one(top: Path) -> None:
    (top / "file").touch()
    (top / "link").symlink_to("s")
    others = [f"{CONNECTED} {top}/s", f"{LISTENS} @{top}/s", LISTENS, f"{LISTENS} {top}/gone", f"{LISTENS} {top}/file"]
    assert found(top, *others, f"{LISTENS} {top}/link", f"{LISTENS} /run/other") == ()


def test_a_name_through_a_link(top: Path) -> None:
    (top.parent / "other").symlink_to("project")
    assert found(top, f"{LISTENS} {top.parent}/other/s") == (f"{top}/s",)


def test_a_relative_name(top: Path) -> None:
    assert found(top, f"{LISTENS} s") == (f"{top}/s",)


def test_a_name_that_looks_like_a_line(top: Path) -> None:
    words = "\n1 2 3 x y z 7 /s"
    assert found(top, f"{LISTENS} {top}/x\n{LISTENS} {top}/s\ny z", f"{LISTENS} {top}/x{words}") == (f"{top}/s",)


def test_a_carriage_return_in_a_name(top: Path) -> None:
    os.rename("s", "s\r1 2 3")
    assert found(top, f"{LISTENS} {top}/s\r1 2 3") == (f"{top}/s\r1 2 3",)


def test_too_many_stop_the_launch(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "MOST", 0)
    with pytest.raises(ClaudeboxError, match="1 sockets of the host"):
        found(top, f"{LISTENS} {top}/s")


def test_no_table(top: Path) -> None:
    assert listening.survey([str(top)], str(top / "none")) == ()


def masked(*paths: str, **changes: object) -> list[str]:
    mounts = changes.pop("mounts", ())
    pinned = tuple(m.source + "/" for m in mounts)  # type: ignore[attr-defined]
    host = make_host(changes.pop("project", None), listening=paths, pinned=pinned, **changes)  # type: ignore[arg-type]
    plan = make_plan(host, make_profile(mounts=mounts))
    found = [m for m in plan.mounts if isinstance(m, Bind) and m.covers]
    assert all((m.source, m.access, m.late, m.inside) == ("/dev/null", "ro", True, True) for m in found)
    assert {m.covers for m in found} == {n.text.split()[4].rstrip(":") for n in plan.notes if "listens" in n.text}
    return [m.target for m in found]


def test_a_mask_in_the_project() -> None:
    assert masked("/srv/app/tmp/s", "/srv/other/s") == ["/srv/app/tmp/s"]


def test_a_mask_in_a_project_below_the_home() -> None:
    assert masked(f"{HOME}/code/app/s", project=make_project(f"{HOME}/code/app")) == [f"{HOME}/code/app/s"]


def test_a_mask_in_a_mount_that_is_elsewhere() -> None:
    assert masked("/data/s", mounts=(make_mount("/data", "/mnt"),)) == ["/mnt/s"]


def test_one_source_at_two_targets() -> None:
    mounts = (make_mount("/data", "/mnt"), make_mount("/data", "/also"))
    assert masked("/data/s", mounts=mounts) == ["/mnt/s", "/also/s"]


def test_one_that_another_mount_hides() -> None:
    mounts = (make_mount("/data", "/mnt"), make_mount("/other", "/mnt/run"))
    assert masked("/data/run/s", mounts=mounts) == []


def test_one_that_was_granted_by_name() -> None:
    assert masked("/data/s", mounts=(make_mount("/data"), make_mount("/data/s"))) == []


def test_it_is_the_last_mount() -> None:
    plan = make_plan(make_host(listening=("/srv/app/s",)))
    assert isinstance(plan.mounts[-1], Bind) and plan.mounts[-1].covers == "/srv/app/s"
