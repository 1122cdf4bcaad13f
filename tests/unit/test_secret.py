"""What looks like a secret, and what only has the name of one."""

from __future__ import annotations

import pytest

from claudebox.secret import looks_like

HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (f"sk-ant-{HEX}", "an API key"),
        (f"ghp_{HEX}", "a GitHub token"),
        (f"github_pat_{HEX}", "a GitHub token"),
        (f"glpat-{HEX}", "a GitLab token"),
        ("AKIAIOSFODNN7EXAMPLE", "an AWS access key"),
        ("xoxb-1234567890-abc", "a Slack token"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "a private key"),
        ("-----BEGIN PRIVATE KEY-----", "a private key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x", "a JSON web token"),
        (f"https://user:ghp_{HEX}@github.com", "a GitHub token"),
    ],
)
def test_by_value(value: str, what: str) -> None:
    assert looks_like("ANYTHING", value) == what


@pytest.mark.parametrize("name", ["A_TOKEN", "SECRET", "db_password", "API_KEY"])
def test_by_name_and_value(name: str) -> None:
    assert looks_like(name, HEX) == "a secret"
    assert looks_like(f"{name}_FILE", HEX) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EDITOR", "vim"),
        ("KEY", "short1"),
        ("SSH_KEY", "/home/mia/.ssh/id_ed25519_0123456789"),
        ("SSH_KEY", "~/.ssh/id_ed25519_0123456789"),
        ("MAX_TOKEN", "11111111111111111111"),
        ("SORT_KEY", "name and then 1 by 1 the dates"),
        ("GIT_SHA", HEX),
        ("X", "-----BEGIN PUBLIC KEY-----"),
        ("X", f"task-{HEX}"),
        ("X", ""),
    ],
)
def test_harmless(name: str, value: str) -> None:
    assert looks_like(name, value) == ""
