"""A token endpoint on loopback that rotates refresh tokens and refuses spent ones, and a model behind it.

    python tokens.py DIRECTORY          in a network namespace of its own, as its root

DIRECTORY has `cert.pem` and `key.pem` (for TLS on 127.0.0.1:443, as platform.claude.com), and `orders.json`:
`delay` in seconds before an answer, `fail` with a status instead of one, `life` of the tokens in seconds. Every request
is a line of `log.jsonl` there. The model, on 127.0.0.1:8080 (where a proxy to the endpoint is too), answers only to
an access token that has not expired.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TEXT = "hello from the model"


class State:
    """What the endpoint knows: which tokens are good, and what it is to do."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.mutex = directory, threading.Lock()
        self.refresh, self.access, self.number = {"sk-ant-ort01-refresh-1"}, {"sk-ant-oat01-access-1": 0.0}, 1

    def orders(self) -> dict[str, Any]:
        try:
            return json.loads((self.directory / "orders.json").read_text())  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return {}

    def log(self, **entry: Any) -> None:
        line = json.dumps({"time": time.time(), **entry}) + "\n"
        with self.mutex, (self.directory / "log.jsonl").open("a") as file:
            file.write(line)

    def rotate(self, token: str) -> dict[str, Any] | None:
        """New tokens for a refresh token that was not used yet."""
        with self.mutex:
            if token not in self.refresh:
                return None
            self.refresh.remove(token)
            self.number += 1
            life = self.orders().get("life", 28800)
            access, refresh = f"sk-ant-oat01-access-{self.number}", f"sk-ant-ort01-refresh-{self.number}"
            self.refresh.add(refresh)
            self.access[access] = time.time() + life
        return {
            "token_type": "Bearer", "access_token": access, "refresh_token": refresh, "expires_in": life,
            "scope": "user:inference user:profile",
        }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """One request of either server."""

    protocol_version = "HTTP/1.1"
    state: State

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_HEAD(self) -> None:
        self.answer(200, b"")

    def do_GET(self) -> None:
        self.state.log(what="get", path=self.path)
        if self.path.startswith("/api/oauth/profile") and self.headers.get("Authorization", "").startswith(
            "Bearer sk-"
        ):
            account = {"uuid": "1", "email": "ada@example.org", "display_name": "Ada"}
            organization = {"uuid": "2", "name": "Example", "organization_type": "claude_max"}
            self.answer(200, json.dumps({"account": account, "organization": organization}).encode())
        else:
            self.answer(404, b"{}")

    def do_CONNECT(self) -> None:
        """As a proxy for who does not know the endpoint's names: whatever is asked for, it is the endpoint."""
        with socket.create_connection(("127.0.0.1", 443)) as there:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            threading.Thread(target=relay, args=(there, self.connection), daemon=True).start()
            relay(self.connection, there)
        self.close_connection = True

    def do_POST(self) -> None:
        body = self.body()
        if self.path.startswith("/v1/oauth/token"):
            self.token(body)
        elif self.path.startswith("/v1/messages"):
            self.message(body)
        else:
            self.state.log(what="post", path=self.path)
            self.answer(404, b"{}")

    def token(self, body: bytes) -> None:
        orders = self.state.orders()
        sent = json.loads(body)
        token = sent.get("refresh_token", "")
        time.sleep(orders.get("before", 0))
        if orders.get("fail"):
            self.state.log(what="failed", token=token)
            self.answer(orders["fail"], b'{"error": "unavailable"}')
            return
        if sent.get("grant_type") == "authorization_code":
            with self.state.mutex:
                self.state.refresh = {token := "a code"}  # whoever logs in has the one login from now on
        made = self.state.rotate(token)
        self.state.log(what="refresh" if made else "spent", token=token)
        time.sleep(orders.get("delay", 0))
        if made is None:
            self.answer(400, b'{"error": "invalid_grant", "error_description": "Refresh token not found or invalid"}')
        else:
            self.answer(200, json.dumps(made).encode())

    def message(self, body: bytes) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        good = self.state.access.get(token, 0.0) > time.time()
        self.state.log(what="message" if good else "unauthorized", token=token)
        if not good:
            error = {"type": "authentication_error", "message": "OAuth token has expired"}
            self.answer(401, json.dumps({"type": "error", "error": error}).encode())
            return
        self.answer(200, events(json.loads(body)), "text/event-stream")


def relay(source: socket.socket, target: socket.socket) -> None:
    """Pass on what one side sends until it ends."""
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def events(sent: dict[str, Any]) -> bytes:
    """A message of one text, as server-sent events."""
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": sent.get("model", "m"), "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    return "".join(f"event: {row['type']}\ndata: {json.dumps(row)}\n\n" for row in rows).encode()


def main(directory: Path) -> None:
    """Serve both until the end of stdin, so that a test run that is killed leaves nothing; `ready` on stdout."""
    Handler.state = State(directory)
    model = ThreadingHTTPServer(("127.0.0.1", 8080), Handler)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    endpoint = ThreadingHTTPServer(("127.0.0.1", 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    endpoint.socket = context.wrap_socket(endpoint.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    os.write(1, b"ready\n")
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
