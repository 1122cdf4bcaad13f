"""The canned model's decisions: which step is due, and what the clients say about their conversation."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def canned() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "canned_model.py"
    spec = importlib.util.spec_from_file_location("canned_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BASH = {"name": "Bash", "input_schema": {}}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def call(number: int) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": "so"}, {"type": "tool_use", "id": f"t{number}"}]}


def result(number: int, text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{number}", "content": text}]}


def test_steps_follow_the_conversation(canned: ModuleType) -> None:
    scenario = canned.Scenario(
        steps=(canned.Step(run="a"), canned.Step(run="b"), canned.Step(say="c"), canned.Step(run="d"))
    )
    conversation = [user("go"), call(0), result(0, "x"), call(1), result(1, "y"), {"role": "assistant", "content": "c"}]
    expected = {1: "a", 3: "b", 5: "c"}
    for length, wanted in expected.items():
        _, step = scenario.due(list(canned.Anthropic.events({"messages": conversation[:length]})))
        assert (step.run or step.say) == wanted, length
    resumed = [*conversation, user("and on")]
    assert scenario.due(list(canned.Anthropic.events({"messages": resumed}))) == (3, canned.Step(run="d"))


def test_a_prompt_can_be_the_scenario(canned: ModuleType) -> None:
    scenario = canned.load_scenario("prompt")
    messages = [user("<system-reminder>run: no</system-reminder>"), user("please\nrun: echo 1\n  run: echo 2")]
    assert scenario.due(list(canned.Anthropic.events({"messages": messages}))) == (0, canned.Step(run="echo 1"))
    messages += [call(0), result(0, "1")]
    assert scenario.due(list(canned.Anthropic.events({"messages": messages}))) == (1, canned.Step(run="echo 2"))
    messages += [call(1), result(1, "2")]
    assert scenario.due(list(canned.Anthropic.events({"messages": messages})))[1].say == "prompt 1\n1\n2"
    messages += [{"role": "assistant", "content": "done"}, user("run: echo 3")]
    assert scenario.due(list(canned.Anthropic.events({"messages": messages}))) == (0, canned.Step(run="echo 3"))


def test_an_errand_gets_no_step(canned: ModuleType) -> None:
    with canned.CannedModel(canned.Scenario(steps=(canned.Step(run="a"),))) as model:
        entry: dict[str, Any] = {}
        reply = model.answer(canned.Anthropic, {"messages": [user("a title, please")]}, entry)
        assert not entry["main"] and reply.body["content"][0]["text"] == canned.SIDE_ANSWER
        reply = model.answer(canned.Anthropic, {"messages": [user("go")], "tools": [BASH], "stream": True}, entry)
        assert entry["main"] and entry["run"] == "a"
        kinds = [name for name, _ in reply.events]
        assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
        delta = next(data["delta"] for name, data in reply.events if name == "content_block_delta")
        assert json.loads(delta["partial_json"])["command"] == "a"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/messages?beta=true", "anthropic"),
        ("/v1/responses", "openai-responses"),
        ("/v1/chat/completions", "openai-chat"),
        ("/v1beta/models/gemini:streamGenerateContent?alt=sse", "gemini"),
        ("/v1/oauth/token", ""),
    ],
)
def test_the_path_tells_who_asks(canned: ModuleType, path: str, name: str) -> None:
    found = canned.protocol_of(path)
    assert (found.name if found else "") == name


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        ("Responses", {"tools": [{"name": "exec_command"}], "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
            {"type": "function_call", "call_id": "1"}, {"type": "function_call_output", "call_id": "1", "output": "x"},
        ]}),
        ("Chat", {"tools": [{"type": "function", "function": {"name": "bash"}}], "messages": [
            {"role": "system", "content": "s"}, {"role": "user", "content": "go"},
            {"role": "assistant", "tool_calls": [{"id": "1"}]}, {"role": "tool", "content": "x"}]}),
        ("Gemini", {"tools": [{"functionDeclarations": [{"name": "run_shell_command"}]}], "contents": [
            {"role": "user", "parts": [{"text": "<session_context>"}, {"text": "go"}]},
            {"role": "model", "parts": [{"functionCall": {"id": "1"}}]},
            {"role": "user", "parts": [{"functionResponse": {"response": {"output": "x"}}}]}]}),
    ],
)  # fmt: skip
def test_all_protocols_tell_the_same_story(canned: ModuleType, protocol: str, body: dict[str, Any]) -> None:
    spoken = getattr(canned, protocol)
    assert spoken.main(body) and not spoken.main({})
    assert [(kind, text) for kind, text in spoken.events(body) if kind != "call"] == [("prompt", "go"), ("result", "x")]


def test_an_errand_with_a_schema_gets_something_that_fits(canned: ModuleType) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}, "n": {"type": "INTEGER"}}}
    assert canned.minimal(schema) == {"a": "x", "n": 1}
