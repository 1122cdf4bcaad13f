#!/usr/bin/env python3
"""A canned model: what an agent's client takes for its API, on a unix socket or on 127.0.0.1.

It thinks nothing. A scenario is a list of steps, one per turn of the model: a command that the client
is to run with its shell tool, or a text that ends the turn. Which step is due follows from the
conversation that the client sends along, so that nothing is kept here and `--resume` works.

    canned_model.py --unix PATH | --port N  [--scenario NAME|FILE] [--log FILE]

    scenario    `prompt` (built in): each line `run: COMMAND` of the user's last prompt is a step, and
                the answer then repeats the results; or a JSON file
                {"steps": [{"run": "COMMAND", "label": "for the log"}, {"say": "TEXT"}, ...]}
    log         one JSON line per request: method, path, protocol, main (false: the client's own
                errands, such as titles), step, prompts, and the results it got since the last turn

Prints `ready ADDRESS` once it listens, and ends when its standard input does (--stdin) or by a signal.

It speaks Anthropic Messages (Claude Code), OpenAI Responses (Codex), OpenAI Chat Completions
(opencode) and Gemini's generateContent (Gemini CLI), each as far as its client needs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socketserver
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

Event = tuple[str, str]  # (prompt | call | result | answer, its text)
Json = dict[str, Any]
SIDE_ANSWER = "canned"


class Step(NamedTuple):
    """One turn of the model: a command for the shell tool, or a text."""

    run: str = ""
    say: str = ""
    label: str = ""


class Scenario(NamedTuple):
    """The steps in order; from_prompt: they are in the user's last prompt instead."""

    steps: tuple[Step, ...] = ()
    from_prompt: bool = False

    def due(self, events: list[Event]) -> tuple[int, Step]:
        """The number of the step that is due after these events, and the step."""
        kinds = [kind for kind, _ in events]
        if not self.from_prompt:
            number = kinds.count("call") + kinds.count("answer")
            return number, self.steps[number] if number < len(self.steps) else Step(say="nothing is left to do")
        start = len(kinds) - kinds[::-1].index("prompt") if "prompt" in kinds else 0
        lines = events[start - 1][1].splitlines() if start else []
        commands = [line.partition("run:")[2].strip() for line in lines if line.strip().startswith("run:")]
        number = kinds[start:].count("call")
        if number < len(commands):
            return number, Step(run=commands[number])
        results = [text for kind, text in events[start:] if kind == "result"]
        return number, Step(say="\n".join([f"prompt {kinds.count('prompt')}", *results]))


def load_scenario(name: str) -> Scenario:
    """The built-in scenario of that name, or the JSON file."""
    if name == "prompt":
        return Scenario(from_prompt=True)
    with open(name, encoding="utf-8") as file:
        return Scenario(steps=tuple(Step(**step) for step in json.load(file)["steps"]))


# --- what the clients speak ----------------------------------------------------------------------


class Reply(NamedTuple):
    """An answer of the model in one client's words: a whole body, or server-sent events."""

    body: Json | None = None
    events: tuple[tuple[str, Json], ...] = ()
    done: bool = False  # the stream ends with [DONE]


def texts(content: Any) -> str:
    """The text of a message's content, whether it is a string or a list of blocks."""
    if isinstance(content, str):
        return content
    return "".join(str(block.get("text", "")) for block in content or () if isinstance(block, dict))


def tools_of(body: Json) -> dict[str, Json]:
    """The tools of a request by name, for the protocols that list them flat."""
    return {str(tool.get("name", tool.get("type"))): tool for tool in body.get("tools") or ()}


def schema_of(body: Json) -> Json:
    """The JSON schema that an errand wants its answer in, if it does."""
    found = body.get("generationConfig", {}).get("responseJsonSchema")
    found = found or body.get("output_config", {}).get("format", {}).get("schema")
    return found if isinstance(found, dict) else {}


def minimal(schema: Json) -> Any:
    """Something that fits a simple JSON schema."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = str(schema.get("type", "string")).lower()
    if kind == "object":
        return {name: minimal(inner) for name, inner in schema.get("properties", {}).items()}
    return {"array": [], "boolean": False, "integer": 1, "number": 1, "null": None}.get(kind, SIDE_ANSWER)


class Anthropic:
    """POST /v1/messages: Claude Code. Its errands (titles, summaries, topics) come without the Bash tool."""

    name = "anthropic"

    @staticmethod
    def main(body: Json) -> bool:
        return "Bash" in tools_of(body)

    @staticmethod
    def events(body: Json) -> Iterator[Event]:
        for message in body.get("messages", ()):
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            kinds = {block["type"] for block in blocks}
            if message["role"] == "assistant":
                calls = [block for block in blocks if block["type"] == "tool_use"]
                yield from (("call", call["id"]) for call in calls)
                if not calls and "text" in kinds:
                    yield "answer", texts(blocks)
            elif "tool_result" in kinds:
                yield from (
                    ("result", texts(block.get("content"))) for block in blocks if block["type"] == "tool_result"
                )
            elif message["role"] == "user":
                own = [
                    block for block in blocks if not str(block.get("text", "")).lstrip().startswith("<system-reminder>")
                ]
                if own:
                    yield "prompt", texts(own)

    @staticmethod
    def reply(body: Json, number: int, step: Step) -> Reply:
        if step.run:
            call = {"command": step.run, "description": step.label or "a step of the scenario"}
            block: Json = {"type": "tool_use", "id": f"toolu_canned_{number:04}_{time.time_ns():x}", "name": "Bash"}
            empty, whole = {**block, "input": {}}, {**block, "input": call}
            delta: Json = {"type": "input_json_delta", "partial_json": json.dumps(call)}
        else:
            empty, whole = {"type": "text", "text": ""}, {"type": "text", "text": step.say}
            delta = {"type": "text_delta", "text": step.say}
        message: Json = {"id": f"msg_canned_{time.time_ns():x}", "type": "message", "role": "assistant"}
        message |= {"model": body.get("model", "canned"), "stop_sequence": None}
        stop = {"stop_reason": "tool_use" if step.run else "end_turn", "stop_sequence": None}
        usage = {"input_tokens": 1, "output_tokens": 1}
        if not body.get("stream"):
            return Reply(body={**message, **stop, "content": [whole], "usage": usage})
        events: list[Json] = [
            {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": stop, "usage": usage},
            {"type": "message_stop"},
        ]
        return Reply(events=tuple((event["type"], event) for event in events))


class Responses:
    """POST /v1/responses: Codex. What its shell tool is called changes with its releases."""

    name = "openai-responses"
    SHELLS = ("exec_command", "shell_command", "shell", "local_shell")

    @classmethod
    def main(cls, body: Json) -> bool:
        return any(name in tools_of(body) for name in cls.SHELLS)

    @staticmethod
    def events(body: Json) -> Iterator[Event]:
        for item in body.get("input", ()):
            kind = item.get("type", "message")
            if kind.endswith("_call"):
                yield "call", item.get("call_id", "")
            elif kind.endswith("_call_output"):
                yield "result", texts(item.get("output"))
            elif kind == "message" and item.get("role") == "assistant":
                yield "answer", texts(item["content"])
            elif kind == "message" and item.get("role") == "user":
                text = texts(item["content"])
                if not text.lstrip().startswith(("<", "# AGENTS.md")):
                    yield "prompt", text

    @classmethod
    def reply(cls, body: Json, number: int, step: Step) -> Reply:
        identity = f"canned_{number:04}_{time.time_ns():x}"
        if step.run:
            shell = next((name for name in cls.SHELLS if name in tools_of(body)), cls.SHELLS[0])
            call: Json = {
                "exec_command": {"cmd": step.run},
                "shell_command": {"command": step.run},
            }.get(shell, {"command": ["sh", "-c", step.run]})
            item: Json = {"type": "function_call", "id": f"fc_{identity}", "call_id": f"call_{identity}"}
            item |= {"name": shell, "arguments": json.dumps(call), "status": "completed"}
        else:
            content = [{"type": "output_text", "text": step.say, "annotations": []}]
            item = {"type": "message", "id": f"msg_{identity}", "role": "assistant", "content": content}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        response: Json = {"id": f"resp_{identity}", "object": "response", "model": body.get("model", "canned")}
        whole = {**response, "status": "completed", "output": [item], "usage": usage}
        if not body.get("stream"):
            return Reply(body=whole)
        events: list[Json] = [
            {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
        return Reply(events=tuple((event["type"], event) for event in events))


class Chat:
    """POST /v1/chat/completions: opencode, with its provider for whatever speaks like OpenAI."""

    name = "openai-chat"

    @staticmethod
    def main(body: Json) -> bool:
        return any(tool.get("function", {}).get("name") == "bash" for tool in body.get("tools") or ())

    @staticmethod
    def events(body: Json) -> Iterator[Event]:
        for message in body.get("messages", ()):
            role, calls = message.get("role"), message.get("tool_calls") or ()
            yield from (("call", call["id"]) for call in calls)
            if role == "assistant" and not calls:
                yield "answer", texts(message.get("content"))
            elif role == "tool":
                yield "result", texts(message.get("content"))
            elif role == "user":
                text = texts(message.get("content"))
                yield (
                    "prompt",
                    text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text,
                )  # opencode quotes it

    @staticmethod
    def reply(body: Json, number: int, step: Step) -> Reply:
        identity = f"chatcmpl-canned{number:04}{time.time_ns():x}"
        message: Json = {"role": "assistant", "content": step.say or None}
        if step.run:
            call = {"command": step.run, "description": step.label or "a step of the scenario"}
            function = {"name": "bash", "arguments": json.dumps(call)}
            message["tool_calls"] = [{"index": 0, "id": f"call_{identity}", "type": "function", "function": function}]
        head: Json = {"id": identity, "created": int(time.time()), "model": body.get("model", "canned")}
        finish = "tool_calls" if step.run else "stop"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return Reply(body={**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        head["object"] = "chat.completion.chunk"
        chunks: list[Json] = [
            {**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage},
        ]
        return Reply(events=tuple(("", chunk) for chunk in chunks), done=True)


class Gemini:
    """POST …:streamGenerateContent and …:generateContent: Gemini CLI."""

    name = "gemini"

    @staticmethod
    def main(body: Json) -> bool:
        declared = [item for tool in body.get("tools") or () for item in tool.get("functionDeclarations") or ()]
        return any(item.get("name") == "run_shell_command" for item in declared)

    @staticmethod
    def events(body: Json) -> Iterator[Event]:
        for content in body.get("contents", ()):
            parts = content.get("parts") or ()
            calls = [part["functionCall"] for part in parts if "functionCall" in part]
            results = [part["functionResponse"] for part in parts if "functionResponse" in part]
            yield from (("call", call.get("id", "")) for call in calls)
            yield from (("result", str(result.get("response", {}).get("output", result))) for result in results)
            if content.get("role") == "model" and not calls:
                yield "answer", texts(parts)
            elif content.get("role") == "user" and not results:
                own = [part for part in parts if not str(part.get("text", "")).lstrip().startswith("<session_context>")]
                if own:
                    yield "prompt", texts(own)

    @staticmethod
    def reply(body: Json, number: int, step: Step) -> Reply:
        part: Json = {"text": step.say}
        if step.run:
            call = {"command": step.run, "description": step.label or "a step of the scenario"}
            part = {"functionCall": {"name": "run_shell_command", "args": call, "id": f"canned_{number:04}"}}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        whole: Json = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "canned"}
        return Reply(events=(("", whole),)) if body.get("stream") else Reply(body=whole)


Protocol = type[Anthropic] | type[Responses] | type[Chat] | type[Gemini]


def protocol_of(path: str) -> Protocol | None:
    """Who asks, by the path of the request."""
    path = path.partition("?")[0]
    if path.endswith("/v1/messages"):
        return Anthropic
    if path.endswith("/responses"):
        return Responses
    if path.endswith("/chat/completions"):
        return Chat
    if path.endswith((":streamGenerateContent", ":generateContent")):
        return Gemini
    return None


# --- the server ----------------------------------------------------------------------------------


class CannedModel:
    """Serves a scenario from a thread of its own, from `with` to its end.

    requests holds what the log holds. address is the path of the socket, or `http://127.0.0.1:PORT`.
    """

    def __init__(self, scenario: Scenario, *, unix: str = "", port: int = 0, log: str = "") -> None:
        self.scenario = scenario
        self.requests: list[Json] = []
        self._log = log
        self._lock = threading.Lock()
        model = self

        class Handler(_Handler):
            canned = model

        if unix:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unix)
            self._server: socketserver.BaseServer = _UnixServer(unix, Handler)
            self.address = unix
        else:
            tcp = _TCPServer(("127.0.0.1", port), Handler)
            self._server, self.address = tcp, f"http://127.0.0.1:{tcp.server_address[1]}"

    def __enter__(self) -> CannedModel:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def results(self) -> list[tuple[Step, str]]:
        """What the client sent back of each command, by steps in order; only of scenarios with a list of steps."""
        found = {entry["step"] - 1: entry["results"][-1] for entry in self.requests if entry.get("results")}
        return [(self.scenario.steps[number], text) for number, text in sorted(found.items())]

    def answer(self, protocol: Protocol, body: Json, entry: Json) -> Reply:
        """The reply that is due; entry is filled for the log."""
        entry |= {"protocol": protocol.name, "main": protocol.main(body), "model": body.get("model", "")}
        if not entry["main"]:
            schema = schema_of(body)
            return protocol.reply(body, 0, Step(say=json.dumps(minimal(schema)) if schema else SIDE_ANSWER))
        events = list(protocol.events(body))
        number, step = self.scenario.due(events)
        entry |= {"step": number, "run": step.run, "label": step.label}
        entry["prompts"] = [text for kind, text in events if kind == "prompt"]
        entry["results"] = [text for kind, text in _since_last_turn(events) if kind == "result"]
        return protocol.reply(body, number, step)

    def record(self, entry: Json) -> None:
        with self._lock:
            self.requests.append(entry)
            if self._log:
                with open(self._log, "a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")


def _since_last_turn(events: list[Event]) -> Iterable[Event]:
    last = max((index for index, (kind, _) in enumerate(events) if kind in ("call", "answer")), default=-1)
    return events[last + 1 :]


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class _TCPServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    canned: CannedModel
    protocol_version = "HTTP/1.1"
    timeout = 600

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.canned.record({"method": "HEAD", "path": self.path})
        known = self.path.partition("?")[0] in ("/", "/api/hello")
        self._send(200 if known else 404, b"", "application/json")

    def do_GET(self) -> None:
        self.canned.record({"method": "GET", "path": self.path})
        if self.path.partition("?")[0].endswith("/models"):
            self._json(200, {"object": "list", "data": [{"id": "canned", "object": "model"}], "models": []})
        elif self.path.partition("?")[0] in ("/", "/api/hello"):
            self._json(200, {"message": "hello"})
        else:
            self._unknown()

    def do_POST(self) -> None:
        entry: Json = {"method": "POST", "path": self.path}
        try:
            body = self._body()
            path = self.path.partition("?")[0]
            protocol = protocol_of(path)
            if path.endswith("/count_tokens"):
                self._json(200, {"input_tokens": 1})
            elif path.endswith(":countTokens"):
                self._json(200, {"totalTokens": 1})
            elif protocol is None:
                self._unknown()
            else:
                if protocol is Gemini:
                    body["stream"] = path.endswith(":streamGenerateContent")
                self._reply(self.canned.answer(protocol, body, entry))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            entry["error"] = f"{type(error).__name__}: {error}"
            self._json(400, {"type": "error", "error": {"type": "invalid_request_error", "message": entry["error"]}})
        finally:
            self.canned.record(entry)

    do_PUT = do_DELETE = do_PATCH = do_GET

    def _body(self) -> Json:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            data = gzip.decompress(data)
        body = json.loads(data or b"{}")
        if not isinstance(body, dict):
            raise ValueError("not a JSON object")
        return body

    def _unknown(self) -> None:
        self._json(
            404, {"type": "error", "error": {"type": "not_found_error", "message": f"no such path: {self.path}"}}
        )

    def _reply(self, reply: Reply) -> None:
        if reply.body is not None:
            return self._json(200, reply.body)
        lines = [(f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n" for name, data in reply.events]
        if reply.done:
            lines.append("data: [DONE]\n\n")
        self._send(200, "".join(lines).encode(), "text/event-stream")

    def _json(self, status: int, body: Json) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("request-id", "req_canned")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)


def main() -> int:
    """Serve until the end of standard input, or a signal."""
    parser = argparse.ArgumentParser(description="A canned model for agents' clients.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--unix", default="", metavar="PATH", help="listen on a unix socket")
    where.add_argument("--port", type=int, default=0, metavar="N", help="listen on 127.0.0.1; 0 chooses a port")
    parser.add_argument("--scenario", default="prompt", metavar="NAME|FILE")
    parser.add_argument("--log", default="", metavar="FILE", help="one JSON line per request")
    parser.add_argument("--stdin", action="store_true", help="end when standard input does")
    typed = parser.parse_args()
    with CannedModel(load_scenario(typed.scenario), unix=typed.unix, port=typed.port, log=typed.log) as model:
        print("ready", model.address, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            if typed.stdin:
                sys.stdin.buffer.read()
            else:
                threading.Event().wait()
    if typed.unix:
        with contextlib.suppress(OSError):
            os.unlink(typed.unix)
    return 0


if __name__ == "__main__":
    sys.exit(main())
