"""What is new in a repository's config, and whether it is harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.plan.gitconfig import added, settings

BASE = b"[core]\n\trepositoryformatversion = 0\n\tbare = false\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[core]\n\tbare = false\n", [("core", "", "bare", "false")]),
        (b'[branch "a]b"] merge = x', [("branch", "a]b", "merge", "x")]),
        (b"[Alias]\n x = !touch # y\n;c\n#d\n", [("alias", "", "x", "!touch # y")]),
        (b"[a.B]\nK", [("a", "B", "k", "")]),
        (b"[core]\n\tpager = a\\\nb\n", [("core", "", "pager", "ab")]),
        (b"[core]\r\n\tpager = a\\\r\nb\r\n", [("core", "", "pager", "ab")]),
        (b'[core]\n\tpager = "a;\\\nb"\n', [("core", "", "pager", '"a;b"')]),
        (b"[core]\n\tpager = a\\\\\\\nb\n", [("core", "", "pager", "a\\\\b")]),
    ],
)
def test_settings(text: bytes, expected: list[tuple[str, str, str, str]]) -> None:
    assert settings(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b'[branch "main"]\n\tremote = origin\n\tmerge = refs/heads/main\n',
        b'[remote "origin"]\n\turl = https://example.org/x.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n',
        b"[user]\n\tname = Ada\n",
        b"# a remark\n\n",
    ],
)
def test_daily_work_is_harmless(text: bytes) -> None:
    assert added(BASE, BASE + text)[1] == []


@pytest.mark.parametrize(
    "text",
    [
        b"[core]\n\tfsmonitor = ./x\n",
        b"[CORE] fsMonitor = ./x",
        b"[core]\nhooksPath=h",
        b"[include]\n\tpath = x\n",
        b'[includeIf "gitdir:x"]\n\tpath = x\n',
        b'[filter "x"]\n\tclean = x\n',
        b"[alias]\n\tst = !x\n",
        b'[remote "o"]\n\turl = ext::sh -c x\n',
        b'[remote "o"]\n\tuploadpack = x\n',
        b"[extensions]\n\tworktreeConfig = true\n",
        b"[core\nnonsense",
        b"[core]\n\tpager = x \\\n y\n",
        b'[branch "x"] # [core]\n[core] sshCommand = x',
        b"; no end \\\n[core] fsmonitor = ./x",
        b"[user]\n\tname = Ada # no end \\\n[core] fsmonitor = ./x",
        b'[branch "x"]\n\tdescription = "a" ; \\\n[core] pager = ./x',
        b'[branch "x"]\n\tdescription = a\\\\\\\\\n[core] pager = ./x',
    ],
)
def test_what_runs_or_includes_is_not(text: bytes) -> None:
    assert added(BASE, BASE + text)[1] != []


@given(st.binary(max_size=200))
def test_any_bytes_are_read(text: bytes) -> None:
    assert added(text, text) == ([], [])
    settings(text)
