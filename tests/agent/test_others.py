"""The other clients in the sandbox: each runs one command that a canned model asks for.

They reach it on 127.0.0.1, which only the tier `full` shares with the host.
"""

from __future__ import annotations

import json

import pytest

from box import Box, Result
from capability import needs
from clients import CannedModel, program_path

pytestmark = [needs("claudebox", "userns", "bwrap", "git"), pytest.mark.timeout(240)]
PROMPT = "run: cat README; pwd; ls ~/code; cat ~/secret"


def launch(box: Box, agent: str, env: dict[str, str], *arguments: str) -> Result:
    (box.home / "secret").write_text("a secret of the host\n")
    (box.home / "code" / "other").mkdir()
    passed = [option for name in env for option in ("-e", name)]
    options = ["--agent", agent, "-n", "full", "-y", "--unattended", *passed]
    return box.claudebox(*options, "--", *arguments, env={**env, "PATH": program_path(agent)}, timeout=120)


def own(box: Box, path: str, text: str) -> None:
    """The user's own settings of an agent, on the host: they come along."""
    file = box.home / path
    file.parent.mkdir(parents=True)
    file.write_text(text)


def check(box: Box, model: CannedModel, done: Result) -> None:
    """The command ran in the project, saw it, and saw nothing else."""
    assert done.status == 0, done
    results = [text for entry in model.requests for text in entry.get("results", ())]
    assert len(results) == 1, (model.requests, done)
    assert "An example." in results[0] and str(box.app) in results[0]
    assert "other" not in results[0] and "a secret" not in results[0]
    assert "No such file" in results[0]


@needs("codex", "node")
def test_codex(box: Box, tcp_model: CannedModel) -> None:
    provider = f'{{name="canned", base_url="{tcp_model.address}/v1", env_key="OPENAI_API_KEY", wire_api="responses"}}'
    settings = [
        'model = "gpt-5" # of the host',
        'model_provider = "canned"',
        f"model_providers.canned = {provider}",
        "",
    ]
    own(box, ".codex/config.toml", "\n".join(settings))
    check(box, tcp_model, launch(box, "codex", {"OPENAI_API_KEY": "canned"}, "exec", PROMPT))


@needs("gemini", "node")
def test_gemini(box: Box, tcp_model: CannedModel) -> None:
    settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": False}}
    own(box, ".gemini/settings.json", json.dumps({**settings, "tools": {"sandbox": "docker"}}))
    variables = {"GEMINI_API_KEY": "canned", "GOOGLE_GEMINI_BASE_URL": tcp_model.address}
    check(box, tcp_model, launch(box, "gemini", variables, "-p", PROMPT))


@needs("opencode")
def test_opencode(box: Box, tcp_model: CannedModel) -> None:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "canned",
        "options": {"baseURL": f"{tcp_model.address}/v1", "apiKey": "left out"},
        "models": {"canned": {"name": "canned", "tool_call": True, "limit": {"context": 100000, "output": 1000}}},
    }
    settings = {"model": "canned/canned", "small_model": "canned/canned", "provider": {"canned": provider}}
    own(box, ".config/opencode/opencode.jsonc", f"// of the host\n{json.dumps(settings)}")
    check(box, tcp_model, launch(box, "opencode", {}, "run", PROMPT))


@pytest.mark.parametrize(
    ("agent", "version"),
    [
        pytest.param("codex", "codex-cli ", marks=needs("codex", "node")),
        pytest.param("gemini", "", marks=needs("gemini", "node")),
        pytest.param("opencode", "", marks=needs("opencode")),
    ],
)
def test_a_version_offline(box: Box, agent: str, version: str) -> None:
    done = box.claudebox("--agent", agent, "-n", "offline", "--", "--version", env={"PATH": program_path(agent)})
    assert done.status == 0, done
    assert done.stdout.startswith(version) and done.stdout.removeprefix(version)[0].isdigit()
