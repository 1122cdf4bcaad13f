"""An instance's directory that somebody else could have made or could write is refused, with the repair."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from box import Box
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]

RUN = ("run", "-n", "offline", "--", "true")


def link(instance: Path) -> None:
    instance.rename(instance.parent.parent / "elsewhere")
    instance.symlink_to(instance.parent.parent / "elsewhere")


def linked_home(instance: Path) -> None:
    (instance / "home").rename(instance / "elsewhere")
    (instance / "home").symlink_to("elsewhere")


WAYS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a link": (link, "cannot use {}: "),
    "a link as its home": (linked_home, "cannot use {}: "),
    "writable by the group": (lambda instance: instance.chmod(0o770), "{} is not yours alone"),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_refused(box: Box, way: str) -> None:
    assert box.claudebox(*RUN).status == 0
    (instance,) = box.state.glob("instances/*")
    make, sentence = WAYS[way]
    make(instance)
    done = box.claudebox(*RUN)
    assert (done.status, done.stdout) == (125, ""), done
    first, second = done.stderr.splitlines()
    assert first.startswith("claudebox: error: " + sentence.format(instance))
    assert second.startswith("hint: ")


def test_no_command_follows_a_link_in_its_place(box: Box) -> None:
    assert box.claudebox(*RUN).status == 0
    (instance,) = box.state.glob("instances/*")
    link(instance)
    there = box.state / "elsewhere"
    before = sorted(os.listdir(there))
    for words in (("remove", "-y"), ("repair",), ("prune", "--older-than", "0d", "-y")):
        done = box.claudebox("instance", *words)
        assert done.status == 125, (words, done)
        assert done.stderr.splitlines()[-1].startswith("hint: ")
    assert sorted(os.listdir(there)) == before
