"""Files that only the user and root can write; each "no" beside the same file in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from claudebox.checked import LARGEST, read_checked
from claudebox.errors import ClaudeboxError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in order, in a directory in order."""
    file = tmp_path / "box" / "config.toml"
    file.parent.mkdir(mode=0o700)
    file.write_bytes(b"agent = 'x'\n")
    file.chmod(0o600)
    return file


def content(path: Path) -> bytes:
    read = read_checked(str(path))
    assert read is not None
    return read[0]


def refusal(path: Path) -> tuple[str, str]:
    with pytest.raises(ClaudeboxError) as caught:
        read_checked(str(path))
    return caught.value.message, caught.value.hint


def descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


def test_read(file: Path) -> None:
    before = descriptors()
    read = read_checked(str(file))
    assert read is not None
    assert read[0] == b"agent = 'x'\n"
    assert os.path.samestat(read[1], file.stat())
    assert descriptors() == before


def test_missing(file: Path) -> None:
    assert read_checked(f"{file}.no") is None
    assert read_checked(f"{file.parent}.no/config.toml") is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_file_that_others_can_write(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert refusal(file) == (f"{file} is writable by others than you", f"chmod go-w {file}")
    file.chmod(mode & ~0o022)
    assert content(file)


def test_a_directory_that_others_can_write(file: Path) -> None:
    file.parent.chmod(0o770)
    assert refusal(file) == (f"{file.parent} is writable by others than you", f"chmod go-w {file.parent}")
    file.parent.chmod(0o1770)  # sticky: nobody else can replace the file
    assert content(file)


def test_a_path_is_quoted_in_the_hint(file: Path) -> None:
    odd = file.with_name("it's; x")
    file.rename(odd)
    odd.chmod(0o622)
    assert refusal(odd)[1].startswith("chmod go-w '")


def foreign(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Give path to somebody else, or, where we may not, become somebody else."""
    if os.geteuid() == 0:
        os.chown(path, 4242, -1, follow_symlinks=False)
        return 4242
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    return os.getuid()


def test_a_foreign_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = foreign(file, monkeypatch)
    message, hint = refusal(file)
    assert message.endswith(f" belongs to uid {uid}, neither to you nor to root")
    assert hint.startswith(f"chown {os.geteuid()} ")


def test_a_foreign_link(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = file.with_name("link")
    link.symlink_to("config.toml")
    assert content(link)
    foreign(link, monkeypatch)
    assert " belongs to uid " in refusal(link)[0]


def test_links_are_followed(file: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "deep").mkdir(parents=True, mode=0o755)
    store.chmod(0o1775)
    file.rename(store / "deep" / "real")
    (store / "deep" / "hop").symlink_to("../deep/./real")
    file.symlink_to(store / "deep" / "hop")
    assert content(file) == b"agent = 'x'\n"
    (store / "deep").chmod(0o775)
    assert refusal(file)[1] == f"chmod go-w {store}/deep"
    (store / "deep").chmod(0o755)
    store.chmod(0o775)
    assert refusal(file)[1] == f"chmod go-w {store}"
    store.chmod(0o755)
    (store / "deep" / "real").chmod(0o666)
    assert refusal(file)[1] == f"chmod go-w {store}/deep/real"


def test_a_link_through_a_linked_directory(file: Path, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    (open_to_all / "way").symlink_to(file.parent)
    link = file.with_name("link")
    link.symlink_to(open_to_all / "way" / "config.toml")
    open_to_all.chmod(0o755)
    assert content(link)
    open_to_all.chmod(0o777)
    assert refusal(link)[1] == f"chmod go-w {open_to_all}"


def test_a_dangling_link_is_not_a_missing_file(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to("nowhere")
    assert refusal(link)[0] == f"{link} cannot be read: no such file or directory"


def test_a_loop(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to("link")
    assert refusal(link)[0] == f"{link} cannot be read: too many levels of symbolic links"


def test_other_kinds_do_not_hold_us(file: Path) -> None:
    fifo, directory, through = file.with_name("fifo"), file.with_name("directory"), file.with_name("through")
    os.mkfifo(fifo, 0o600)
    directory.mkdir()
    for path in (fifo, directory):
        assert refusal(path) == (f"{path} is not a regular file", "put a file there, or remove it")
    for target in ("/dev/zero", "..", "/"):
        through.symlink_to(target)
        refusal(through)
        through.unlink()


def test_a_file_in_the_way(file: Path) -> None:
    assert refusal(file / "config.toml")[0].endswith("cannot be read: not a directory")


def test_size_is_bounded(file: Path) -> None:
    file.write_bytes(b"#" * LARGEST)
    assert len(content(file)) == LARGEST
    file.write_bytes(b"#" * (LARGEST + 1))
    assert refusal(file)[0] == f"{file} is larger than 1 MiB"


def test_a_directory_that_is_a_link_is_judged_hop_by_hop(file: Path, tmp_path: Path) -> None:
    hop, link = tmp_path / "hop", tmp_path / "link"
    hop.mkdir(mode=0o700)
    (hop / "box").symlink_to(file.parent)
    link.symlink_to(hop / "box")
    assert content(link / file.name) == b"agent = 'x'\n"
    assert read_checked(f"{link}/gone.toml") is None
    hop.chmod(0o777)
    assert refusal(link / file.name) == (f"{hop} is writable by others than you", f"chmod go-w {hop}")
    hop.chmod(0o700)
    file.parent.chmod(0o777)
    assert refusal(link / file.name)[0] == f"{file.parent} is writable by others than you"
