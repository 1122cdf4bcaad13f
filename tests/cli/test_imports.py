"""What a launch does not import: each costs it a millisecond or more, on every start."""

from __future__ import annotations

import pytest

from box import Box
from capability import needs

pytestmark = [needs("bwrap"), pytest.mark.newest]

HEAVY = {
    "argparse", "asyncio", "collections.abc", "contextlib", "dataclasses", "enum", "functools", "gettext", "hashlib",
    "importlib.metadata", "inspect", "ipaddress", "inotify_simple", "json", "logging", "pathlib", "random",
    "re", "rich", "shlex", "shutil", "signal", "socket", "subprocess", "tempfile", "tomlkit", "tomllib", "typing",
}  # fmt: skip


def imported(box: Box, *args: str) -> set[str]:
    done = box.claudebox(*args, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.status == 0, done.stderr
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize(
    "tier", ["offline", pytest.param("internet-only", marks=needs("netns", "nft", "tun", "slirp4netns"))]
)
def test_a_launch_imports_nothing_heavy(box: Box, tier: str) -> None:
    """A module of the launch takes NamedTuple from claudebox.record, signal from claudebox.signals, names for
    annotations under `if TYPE_CHECKING:`, and everything else where it is used."""
    for _ in range(2):  # the second launch finds what was tried remembered
        found = imported(box, "run", "-n", tier, "--", "true")
    assert "claudebox.run.supervise" in found and ("claudebox.run.network" in found) is (tier == "internet-only")
    site = {"re", "enum", "functools", "collections.abc"} if "_distutils_hack" in found else set()
    assert found & HEAVY - site == set()


PARSING = {"claudebox.document", "claudebox.validate", "claudebox.locate", "tomllib"}
FILES = PARSING | {"claudebox.lineage", "claudebox.checked"}


def test_a_launch_without_a_profile_imports_nothing_for_one(box: Box) -> None:
    launch = ("run", "-n", "offline", "--", "true")
    imported(box, *launch)
    assert imported(box, *launch) & FILES == set()
    assert imported(box, "run", "-y", "-P", "rust", *launch[1:]) >= FILES, "the control"
    imported(box, "use", "rust")
    imported(box, *launch[:-2], "-y", *launch[-2:])
    assert "claudebox.lineage" in imported(box, *launch), "for the profile"
    imported(box, "use", "--clear", "--network", "offline")
    assert imported(box, *launch) & FILES == set(), "what else is remembered is read by hand"


def test_a_profile_that_has_not_changed_is_not_parsed_again(box: Box) -> None:
    (box.state / "profiles").mkdir(parents=True, mode=0o700)
    box.state.chmod(0o700)
    profile = box.state / "profiles/mine.toml"
    profile.write_text('extends = ["python"]\n[env.set]\nEDITOR = "vim"\n')
    launch = ("run", "-n", "offline", "-y", "-P", "mine", "--", "true")
    assert imported(box, *launch[:-2], "--dry-run", *launch[-2:]) >= PARSING
    assert not (box.state / "cache/profiles").exists(), "a dry run writes nothing"
    assert imported(box, *launch) >= PARSING
    found = imported(box, *launch)
    site = {"re", "enum", "functools", "collections.abc"} if "_distutils_hack" in found else set()
    assert found & (HEAVY | PARSING) - site == set()
    profile.write_text(profile.read_text().replace("vim", "vix"))
    assert imported(box, *launch) >= PARSING


def test_the_list_is_of_real_modules(box: Box) -> None:
    assert "argparse" in imported(box, "--help")
