"""What is remembered of a file that was found right: by its content, and never in place of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claudebox import document, locate, parsed
from claudebox.model import Layer
from claudebox.parsed import MOST, NAME, Known

TEXT = b'# one\nextends = ["python"]\n[[mounts]]\nsource = "/a"\n[[mounts]]\nsource = "/b"\n[env]\nset = { A = "b" }\n'


def remembered(ours: Path, raw: bytes = TEXT) -> Known:
    known = Known(str(ours))
    found, problems = document.examine("p.toml", Layer.CONFIG, raw)
    assert found and not problems
    known.put(raw, found)
    known.keep()
    return Known(str(ours))


def test_what_was_found_right_is_found_again_with_its_lines(tmp_path: Path) -> None:
    known = remembered(tmp_path)
    found = known.get("p.toml", Layer.CONFIG, TEXT)
    assert found == document.examine("p.toml", Layer.CONFIG, TEXT)[0]
    assert found and str(found.origin("mounts", 1, "source")) == "p.toml:6"
    assert str(found.origin("mounts", 1, "gone")) == "p.toml:5" and str(found.origin("gone")) == "p.toml"


def test_lines_are_those_of_the_places() -> None:
    text = TEXT.decode()
    places = locate.places(text)
    expected = {path: locate.line_column(text, place.key)[0] for path, place in places.items()}
    assert len(expected) > 9 and locate.lines(text, places) == expected


def test_another_content_and_another_claudebox_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = remembered(tmp_path)
    assert known.get("p.toml", Layer.CONFIG, TEXT + b" ") is None
    monkeypatch.setattr(parsed, "__version__", "999")
    assert Known(str(tmp_path)).get("p.toml", Layer.CONFIG, TEXT) is None


@pytest.mark.parametrize("content", [b"", b"x", b"\xe9\x00", b"i\x01\x00\x00\x00", b"{" * 99])
def test_a_broken_cache_costs_the_parsing(tmp_path: Path, content: bytes) -> None:
    remembered(tmp_path)
    (tmp_path / "cache" / NAME).write_bytes(content)
    assert Known(str(tmp_path)).get("p.toml", Layer.CONFIG, TEXT) is None
    assert remembered(tmp_path).get("p.toml", Layer.CONFIG, TEXT)


def test_it_is_bounded(tmp_path: Path) -> None:
    for number in range(MOST + 5):
        known = remembered(tmp_path, TEXT + b"# %d" % number)
    assert len(known.entries) == MOST
    assert known.get("p", Layer.CONFIG, TEXT + b"# %d" % number) and not known.get("p", Layer.CONFIG, TEXT + b"# 0")


def test_a_directory_that_cannot_be_written_costs_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parsed.descriptors, "replace_file", full)
    assert remembered(tmp_path).get("p.toml", Layer.CONFIG, TEXT) is None
