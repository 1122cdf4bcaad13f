"""Readers of what an agent may have written, or what lies torn on a disk: whatever the bytes, an answer or a sentence.

Each reader gets a text as it is written by who writes it, changed in a few places: bytes replaced, taken out, doubled,
moved, and words that are known to hurt. None takes longer than a bound, or ends in anything but its own errors.
"""

from __future__ import annotations

import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claudebox import layout, mountinfo, targets
from claudebox.agents import load_agent
from claudebox.commands import inspection
from claudebox.errors import ClaudeboxError
from claudebox.plan import broker, gitconfig, merge
from claudebox.plan.login import shape
from claudebox.run import credentials, exitcheck, gitlinks, kept, processes, session, stubs

SECONDS, MEMORY = 2.0, 64 << 20  # of one text, on a busy machine
HURTS = (
    b"\0", b"\n", b"\r", b"\\", b'"', b"\x1b]0;x\x07", b"\xff\xfe", b"\xed\xa0\x80", b"../" * 40, b"[" * 3000,
    b'{"a":' * 3000, b"9" * 5000, b"-1", b"1e999", b"null", b"NaN", b'"' + b"a" * 70000 + b'"', b" = ", b"\t" * 300,
    b"a." * 300, b"\xe2\x80\xae", b"/proc/self/fd/0", b"[include]\n\tpath = x\n", b"\\u0000", b"\\ud800",
)  # fmt: skip

SHAPE = shape(load_agent("claude", ""))
LOGIN = b'{"claudeAiOauth": {"accessToken": "a", "refreshToken": "claudebox-1", "expiresAt": 1764000000000}, "mcp": {}}'
RECORD = (
    b'{"pid": 7, "started": 9, "instance": "0123", "project": "/srv/app", "directory": "/srv/app", "tier": "offline", '
    b'"agent": "claude", "command": ["a", "b"], "terminal": "", "since": 1, "messages": ["said"]}\n'
)
KEPT = (
    b'project = "/srv/app"\ninode = 12\nmade = "2026-01-01T00:00:00Z"\n\n[remembered]\nnetwork = "offline"\n'
    b'profiles = ["python", "mine"]\n\n[accepted]\nversion = 1\ngrants = [\n    ["mount", "ro", "", "/srv"],\n]\n'
)
CONFIG = (
    b'[core]\n\tbare = false\n\tworktree = "../../app"\n[remote "x"]\n\turl = a \\\n\tb\n[include]\n\tpath = ../x\n'
)
SNAPSHOT = (
    b'{"root": "/srv/app", "common": "/srv/app/.git", "entry": "", "head": "abc", "cut": false, "targets": [], '
    b'"seen": [["hook", "/srv/app/.git/hooks/x", "file"]]}\n'
)
MOUNTINFO = rb"31 29 0:27 / /srv/a\040b rw,nosuid shared:1 - tmpfs none rw,size=1024k" + b"\n"


@st.composite
def changed(draw: st.DrawFn, text: bytes) -> bytes:
    """A text with a few changes in it."""
    for _ in range(draw(st.integers(0, 4))):
        here, there = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        piece = draw(st.sampled_from(HURTS) | st.binary(max_size=8))
        text = draw(
            st.sampled_from(
                (
                    text[:here] + piece + text[there:],
                    text[:here] + piece + text[here:],
                    text[:here] + text[there:],
                    text[:there] + text[here:],
                    text[:there],
                )
            )
        )[: 1 << 20]
    return text


def bounded(read: Callable[[], object], *allowed: type[Exception]) -> None:
    """Read: an answer, or one of the errors that the reader says it raises, with a sentence that can be shown."""
    tracemalloc.start()
    began = time.monotonic()
    try:
        read()
    except ClaudeboxError as error:
        assert error.message and "Traceback" not in error.message
    except allowed:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert time.monotonic() - began < SECONDS
    assert peak < MEMORY


@given(changed(LOGIN))
def test_the_copy_of_the_login(raw: bytes) -> None:
    host = broker.see_host(LOGIN, 0, SHAPE)
    bounded(lambda: broker.see_copy(raw, host.tokens, SHAPE, locked=True))
    bounded(lambda: broker.see_host(raw, 0, SHAPE))


@given(changed(RECORD))
def test_the_record_of_a_session(raw: bytes) -> None:
    def shown() -> None:
        found = session.from_text(raw)
        if found is not None:
            session.described(found)
            session.as_text(found)

    bounded(shown)


@given(changed(KEPT))
def test_what_is_kept_of_an_instance(raw: bytes) -> None:
    bounded(lambda: kept.scanned(raw) or kept.parsed(raw, "/somewhere"))


@given(changed(CONFIG), changed(CONFIG))
def test_the_configuration_of_a_repository(one: bytes, other: bytes) -> None:
    bounded(lambda: gitconfig.settings(one))
    bounded(lambda: gitconfig.added(one, other))
    bounded(lambda: [gitconfig.plain(value) for *_, value in gitconfig.settings(one)])


@given(changed(LOGIN), st.sampled_from(("settings.json", "config.toml")))
def test_settings_of_the_agents_own(raw: bytes, name: str) -> None:
    text = raw.decode(errors="replace")
    bounded(lambda: merge.parse(text, name), ValueError)
    bounded(lambda: merge.merged_text('{"a": 1}', '{"a": 2}', text, (), "settings.json"), ValueError)


@given(changed(SNAPSHOT))
def test_a_snapshot_of_a_session_that_was_killed(raw: bytes) -> None:
    def read() -> None:
        import json

        found = json.loads(raw)
        exitcheck.from_text(found)

    bounded(read, ValueError, KeyError, TypeError, RecursionError)  # which its caller takes for a torn one


@given(changed(MOUNTINFO))
def test_mountinfo_has_names_of_the_agents(raw: bytes) -> None:
    name = raw.replace(b"\n", b"").replace(b" ", b"").replace(b"\\", b"")[:200] or b"x"
    line = b"31 29 0:27 / /" + name + b" rw - tmpfs none rw\n"
    assert mountinfo.parse(line)[0].target == "/" + name.decode(errors="surrogateescape")


@given(changed(b'{ "child-pid": 123, "ipc-namespace": 4026531839 }\n'))
def test_the_status_of_bubblewrap(raw: bytes) -> None:
    bounded(lambda: processes.child_pid(raw))


@given(st.lists(changed(b'["read", "ENOENT", "none"]'), min_size=1, max_size=2))
def test_the_answers_of_the_probes(pieces: list[bytes]) -> None:
    """What comes out of a sandbox is a list of words, or no answer."""
    raw = b"".join(pieces)
    found = inspection.words(raw)
    assert found is None or all(isinstance(one, str) for one in found)


# --- files in a directory ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place() -> str:
    with tempfile.TemporaryDirectory(prefix="hypothesis-") as made:
        yield made  # type: ignore[misc]


def put(directory: str, name: str, raw: bytes) -> str:
    path = Path(directory, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return directory


@given(raw=changed(b"gitdir: /srv/app/.git/worktrees/one\n"))
@example(raw=b"gitdir: /a\0b\n")
@example(raw=b"gitdir: " + b"x" * 5000 + b"\n")
def test_a_git_file(place: str, raw: bytes) -> None:
    bounded(lambda: layout.find_repository(put(place, "tree/.git", raw) + "/tree"))


@given(raw=changed(b"../app/.git/worktrees/one"), back=changed(b"/srv/app/.git\n"), config=changed(CONFIG))
def test_what_a_git_file_leads_to(place: str, raw: bytes, back: bytes, config: bytes) -> None:
    real = os.path.realpath(place)
    for name, content in (
        ("HEAD", b"ref: refs/heads/main\n"),
        ("commondir", raw),
        ("gitdir", back),
        ("config", config),
    ):
        put(real, f"main/.git/worktrees/one/{name}", content)
    put(real, "linked/.git", f"gitdir: {real}/main/.git/worktrees/one\n".encode())
    bounded(lambda: layout.find_repository(f"{real}/linked"))
    put(real, "module/.git", f"gitdir: {real}/main/.git/modules/m\n".encode())
    put(real, "main/.git/modules/m/config", config)
    bounded(lambda: layout.find_repository(f"{real}/module"))


@given(
    raw=changed(b'[{"path": "/srv/app/.git/commondir", "content": "../.git\\n"},\n {"path": "/x", "content": null}]\n')
)
def test_the_record_of_stubs(place: str, raw: bytes) -> None:
    here = os.open(put(place, "stubs.json", raw), os.O_RDONLY | os.O_DIRECTORY)
    try:
        bounded(lambda: stubs._read(here))
    finally:
        os.close(here)


@given(raw=changed(b"key\t2f7372762f61\t62\nother\n"))
def test_the_cache_of_gitlinks(place: str, raw: bytes) -> None:
    here = os.open(put(place, gitlinks.CACHE, raw), os.O_RDONLY | os.O_DIRECTORY)
    try:
        bounded(lambda: gitlinks.Gitlinks("/usr/bin/git", here).remembered())
    finally:
        os.close(here)


@given(raw=changed(b"0123\n4567\n1764000000000\n"))
def test_the_stamp_of_a_login(place: str, raw: bytes) -> None:
    here = os.open(put(place, credentials.STAMP, raw), os.O_RDONLY | os.O_DIRECTORY)
    try:
        bounded(lambda: credentials.read_stamp(here))
    finally:
        os.close(here)


@given(config=changed(CONFIG), included=changed(CONFIG))
@example(config=CONFIG, included=b"[include]\n\tpath = a\0b\n")
def test_what_the_hosts_git_obeys(place: str, config: bytes, included: bytes) -> None:
    real = os.path.realpath(place)
    put(real, "obeys/.git/config", config)
    put(real, "obeys/x", included)
    bounded(lambda: targets.find(f"{real}/obeys", f"{real}/obeys/.git", "/home/ada"))
