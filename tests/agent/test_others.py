"""The other clients in the sandbox: each runs one command that a canned model asks for.

They reach it on 127.0.0.1, which only the tier `full` shares with the host.
"""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

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
    file.parent.mkdir(parents=True, exist_ok=True)
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


# --- logins ----------------------------------------------------------------------------------------


def jwt(**claims: object) -> str:
    """A token that says what it is about; nobody signed it."""
    parts = ({"alg": "RS256", "typ": "JWT"}, claims, {"signature": 1})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


def codex_login(box: Box, left: float = 3600) -> Path:
    """The host's login of Codex."""
    about = {"https://api.openai.com/auth": {"chatgpt_account_id": "account", "chatgpt_plan_type": "plus"}}
    token = jwt(exp=int(time.time() + left), email="ada@example.org", **about)
    tokens = {"id_token": token, "access_token": token, "refresh_token": "rt-of-the-host", "account_id": "account"}
    last = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    file = box.home / ".codex" / "auth.json"
    file.parent.mkdir(exist_ok=True)
    document = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": last}
    file.write_text(json.dumps(document))
    file.chmod(0o600)
    return file


@needs("codex", "node")
def test_codex_goes_on_with_the_access_token_alone(box: Box, tcp_model: CannedModel) -> None:
    provider = f'{{name="canned", base_url="{tcp_model.address}/v1", requires_openai_auth=true, wire_api="responses"}}'
    settings = ['model = "gpt-5"', 'model_provider = "canned"', f"model_providers.canned = {provider}", ""]
    own(box, ".codex/config.toml", "\n".join(settings))
    file = codex_login(box)
    before = file.read_bytes()
    check(box, tcp_model, launch(box, "codex", {}, "exec", PROMPT))
    (copy,) = box.state.glob("instances/*/home/.codex/auth.json")
    inside = json.loads(copy.read_text())
    assert inside["tokens"]["access_token"] == json.loads(before)["tokens"]["access_token"]
    assert inside["tokens"]["refresh_token"].startswith("claudebox-") and inside["auth_mode"] == "chatgpt"
    assert file.read_bytes() == before
    assert box.run(["grep", "-rl", "rt-of-the-host", box.state]).stdout == ""


@needs("codex", "node")
def test_codex_says_when_its_login_has_to_be_refreshed(box: Box) -> None:
    codex_login(box, left=-10)
    env = {"PATH": program_path("codex")}
    done = box.claudebox("--agent", "codex", "-n", "offline", "-y", "--", "login", "status", env=env)
    assert "the login has expired: run codex once on the host" in done.stderr, done
    (box.home / ".codex" / "auth.json").unlink()
    done = box.claudebox("--agent", "codex", "-n", "offline", "-y", "--", "login", "status", env=env)
    assert "so none in the sandbox: claudebox auth login codex" in done.stderr and "Not logged in" in done.stderr, done


@needs("opencode")
def test_a_login_that_is_made_inside_is_a_weakening(box: Box) -> None:
    env = {"PATH": program_path("opencode")}
    words = ("--agent", "opencode", "-n", "offline", "-y", "--", "--version")
    assert "weakening" not in box.claudebox(*words, env=env).stderr, "the control: there is none"
    (home,) = box.state.glob("instances/*/home")
    file = home / ".local" / "share" / "opencode" / "auth.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"anthropic": {"type": "oauth", "refresh": "r", "access": "a", "expires": 1}}')
    done = box.claudebox(*words, env=env)
    assert "weakening: opencode keeps a login of its own" in done.stderr and "revoke it" in done.stderr, done
    assert str(box.app) in box.claudebox("auth", "status", "opencode", env=env).stdout
    assert box.claudebox("auth", "import", "opencode", env=env).status == 125
    assert box.claudebox("auth", "forget", "opencode", env=env).status == 125 and file.exists(), "it asks"
    assert box.claudebox("auth", "forget", "opencode", "-y", env=env).status == 0 and not file.exists()
    assert box.claudebox("auth", "status", "opencode", env=env).status == 1
