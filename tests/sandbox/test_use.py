"""`claudebox use`: remembered for a project, over config.toml, below the environment and the command line."""

from __future__ import annotations

import json
import os
import tomllib

import pytest

from box import Box, Result
from capability import needs
from sessions import session

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]


def values(done: Result) -> dict[str, tuple[str, str]]:
    assert (done.status, done.stderr) == (0, ""), done
    return {one["name"]: (one["value"], one["origin"]) for one in json.loads(done.stdout)["values"]}


def shown(box: Box, *words: str, **options: object) -> dict[str, tuple[str, str]]:
    return values(box.claudebox("use", *words, "--json", **options))


def tier(box: Box, *words: str, **options: object) -> str:
    done = box.claudebox("run", *words, "--dry-run", "--json", "--", "true", **options)
    assert done.status == 0, done
    return str(json.loads(done.stdout)["network"]["tier"])


def test_without_arguments_it_shows_and_writes_nothing(box: Box) -> None:
    before = sorted(os.listdir(box.home))
    assert shown(box)["network"] == ("internet-only", "builtin")
    table = box.claudebox("use").stdout
    assert str(box.app) in table and "internet-only" in table
    assert sorted(os.listdir(box.home)) == before


def test_what_is_remembered_holds_for_launches_below_the_command_line(box: Box) -> None:
    assert shown(box, "--network", "full", "--agent", "codex") == {
        "network": ("full", "claudebox use"), "agent": ("codex", "claudebox use"), "unattended": ("no", "builtin"),
    }  # fmt: skip
    assert tier(box) == "full"
    assert tier(box, "-n", "offline") == "offline"
    assert tier(box, env={"CLAUDEBOX_NETWORK": "offline"}) == "offline"
    assert shown(box, env={"CLAUDEBOX_NETWORK": "offline"})["network"] == ("offline", "CLAUDEBOX_NETWORK")
    (box.app / "sub").mkdir()
    assert tier(box, cwd=box.app / "sub") == "full"
    other = box.home / "code" / "other"
    other.mkdir()
    assert shown(box, cwd=other)["network"] == ("internet-only", "builtin")


def test_it_counts_more_than_the_configuration(box: Box) -> None:
    box.state.mkdir(mode=0o700)
    (box.state / "config.toml").write_text('agent = "gemini"\n[network]\ntier = "full"\n[env]\npass = ["EDITOR"]\n')
    found = shown(box, "--network", "offline")
    assert found["network"] == ("offline", "claudebox use")
    assert found["agent"] == ("gemini", "~/.claudebox/config.toml:1")
    assert found["env"] == ("EDITOR", "~/.claudebox/config.toml:5")
    assert box.claudebox("run", "--", "true").status == 0, "offline, not full"


def passed(box: Box, *words: str, **options: object) -> list[str]:
    done = box.claudebox("run", "-n", "offline", *words, "--dry-run", "--json", "--", "true", **options)
    assert done.status == 0, done
    return [one["name"] for one in json.loads(done.stdout)["environment"] if one["reason"] == "set"]


def test_profiles_are_remembered_and_replaced(box: Box) -> None:
    (box.state / "profiles").mkdir(parents=True)
    box.state.chmod(0o700)
    for name in ("a", "b", "c"):
        (box.state / f"profiles/{name}.toml").write_text(f'env.set.{name.upper()} = "1"\n')
    found = box.claudebox("use", "a", "b", "--json")
    assert [(one["name"], one["value"], one["origin"]) for one in json.loads(found.stdout)["values"]] == [
        ("profile", "a", "claudebox use"), ("profile", "b", "claudebox use"), ("network", "internet-only", "builtin"),
        ("agent", "claude", "builtin"), ("unattended", "no", "builtin"),
        ("env", "A=…", "~/.claudebox/profiles/a.toml:1"), ("env", "B=…", "~/.claudebox/profiles/b.toml:1"),
    ]  # fmt: skip
    (path,) = box.state.glob("instances/*/instance.toml")
    assert tomllib.loads(path.read_text())["remembered"] == {"profiles": ["a", "b"]}
    assert passed(box) == ["A", "B"]
    assert passed(box, env={"CLAUDEBOX_PROFILE": "c,a"}) == ["A", "C"]
    assert passed(box, "-P", "c", env={"CLAUDEBOX_PROFILE": "a"}) == ["C"]
    assert box.claudebox("use", "c", env={"CLAUDEBOX_PROFILE": "a"}).status == 0
    assert passed(box) == ["C"]
    (one,) = json.loads(box.claudebox("instance", "list", "--json").stdout)["instances"]
    assert one["remembered"]["profiles"] == ["c"]
    (box.state / "profiles/c.toml").unlink()
    done = box.claudebox("run", "-n", "offline", "--", "true")
    assert done.status == 125 and 'claudebox use: there is no profile "c"' in done.stderr
    assert "claudebox use --clear" in done.stderr
    shown(box, "--clear")
    assert passed(box) == []


def test_one_by_one_and_clear(box: Box) -> None:
    shown(box, "--network", "offline")
    assert shown(box, "--agent", "codex")["network"] == ("offline", "claudebox use")
    (path,) = box.state.glob("instances/*/instance.toml")
    assert tomllib.loads(path.read_text())["remembered"] == {"network": "offline", "agent": "codex"}
    assert shown(box, "--clear", "--network", "full") == {
        "network": ("full", "claudebox use"), "agent": ("claude", "builtin"), "unattended": ("no", "builtin"),
    }  # fmt: skip
    assert shown(box, "--clear")["network"] == ("internet-only", "builtin")
    assert "remembered" not in tomllib.loads(path.read_text())


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (["--network", "ofline"], 'there is no network tier "ofline", nearest is "offline"', "the tiers are"),
        (["--agent", "cladue"], 'there is no agent "cladue"', "claude"),
        (["pyton"], 'claudebox use: there is no profile "pyton", nearest is "python"', "the profiles are"),
        (["--netwrk", "full"], "unknown option or argument: --netwrk", "did you mean --network?"),
    ],
)
def test_what_there_is_not_is_refused_and_nothing_written(box: Box, words: list[str], sentence: str, hint: str) -> None:
    done = box.claudebox("use", *words)
    assert (done.status, done.stdout) == (125, "")
    first, second = done.stderr.splitlines()
    assert sentence in first and hint in second
    assert not box.state.exists()


def test_while_a_session_runs(box: Box) -> None:
    with session(box) as launcher:
        assert shown(box, "--network", "full")["network"][0] == "full"
        assert launcher.communicate(b"\n")[0] == b"down\n"
    assert tier(box) == "full"
    (one,) = json.loads(box.claudebox("instance", "list", "--json").stdout)["instances"]
    assert one["remembered"] == {"network": "full", "agent": None, "profiles": []}
