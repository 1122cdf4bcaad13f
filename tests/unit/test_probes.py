from __future__ import annotations

from pathlib import Path

from claudebox.probes import remembered


def test_asked_once_as_long_as_the_file_is_the_same(tmp_path: Path) -> None:
    program, asked = tmp_path / "program", []
    program.write_text("one")

    def probe() -> str:
        asked.append(1)
        return f"answer {len(asked)}"

    ours = str(tmp_path)
    assert remembered(ours, str(program), probe, keep=False) == "answer 1"
    assert not (tmp_path / "cache").exists(), "a dry run writes nothing"
    assert remembered(ours, str(program), probe, keep=True) == "answer 2"
    assert remembered(ours, str(program), probe, keep=True) == "answer 2"
    (tmp_path / "new").write_text("two")
    (tmp_path / "new").rename(program)
    assert remembered(ours, str(program), probe, keep=True) == "answer 3"


def test_a_broken_cache_costs_the_probe_only(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("one")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "probes.json").write_bytes(b"\xff\x00{{{")
    assert remembered(str(tmp_path), str(program), lambda: "answer", keep=True) == "answer"
