from __future__ import annotations

from claudebox.mountinfo import parse, unescaped

LINE = rb"115 46 254:0 /a\040b /home/x\012y ro,nosuid - ext4 /dev/vda rw" + b"\n"


def test_a_carriage_return_in_a_name() -> None:
    """The kernel escapes space, tab, newline and backslash alone (proc_mounts, mangle())."""
    line = b"36 35 98:0 / /srv/a\rb\xc2\x85c rw,nosuid - ext4 /dev/sda rw\n"
    assert [one.target for one in parse(line * 2)] == ["/srv/a\rb\x85c"] * 2


def test_one_line() -> None:
    (entry,) = parse(LINE)
    assert (entry.device, entry.root, entry.target) == ("254:0", "/a b", "/home/x\ny")
    assert entry.read_only and entry.kind == "ext4"


def test_optional_fields_and_a_writable_mount() -> None:
    (entry,) = parse(b"1 2 0:5 / /p rw,nodev shared:7 master:3 - tmpfs none ro\n")
    assert not entry.read_only, "the mount's own options count, not the file system's"
    assert entry.kind == "tmpfs"


def test_a_carriage_return_in_a_name_is_no_end_of_a_line() -> None:
    (entry,) = parse(b"1 2 0:5 / /a\rb\x0bc rw - tmpfs none rw\n")
    assert entry.target == "/a\rb\x0bc"


def test_a_backslash_and_bytes_that_are_no_text() -> None:
    assert unescaped(rb"a\134b") == "a\\b"
    assert unescaped(b"\xff") == "\udcff"
