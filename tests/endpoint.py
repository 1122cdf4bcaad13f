"""The token endpoint (tokens.py) in a network namespace of its own, and a host in it whose client knows no other.

def test_refresh(endpoint):
    log_in(endpoint.box, left=-10)
    done = endpoint.claude("-p", "hi")
    assert endpoint.refreshes() == ["sk-ant-ort01-refresh-1"]
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from box import Box, Result
from capability import PATH, SYSTEM_PATH, agent_path
from world import children, tool

PROGRAM = Path(__file__).with_name("tokens.py")
NAMES = "platform.claude.com api.anthropic.com console.anthropic.com"
CERTIFICATES = """
set -e
new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 $new -days 30 -keyout ca.key -out ca.pem -subj /CN=test -addext basicConstraints=critical,CA:TRUE
openssl req $new -keyout key.pem -out cert.csr -subj /CN=platform.claude.com
echo subjectAltName=DNS:platform.claude.com,DNS:api.anthropic.com,DNS:console.anthropic.com >names
openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out cert.pem
"""


class Endpoint:
    """A running endpoint. box: the box, with every command on the host in that namespace."""

    def __init__(self, box: Box) -> None:
        self.directory = box.home / "endpoint"
        self.directory.mkdir()
        made = subprocess.run(
            ["sh", "-c", CERTIFICATES], cwd=self.directory, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
        (self.directory / "hosts").write_text(f"127.0.0.1 localhost {NAMES}\n")
        (self.directory / "log.jsonl").touch()
        serve = f'ip link set lo up && mount --bind "$1/hosts" /etc/hosts && exec {sys.executable} -B {PROGRAM} "$1"'
        self.process = subprocess.Popen(
            [tool("unshare"), "--user", "--map-root-user", "--net", "--mount", "--fork", "--pid", "--mount-proc",
             "--kill-child", "sh", "-c", serve, "sh", self.directory],
            env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        enter = (tool("nsenter"), "--target", str(children(self.process.pid)[0]), "--net", "--mount", "--pid", "--user",
                 "--preserve-credentials", "--", tool("unshare"), "--user", f"--map-user={os.geteuid()}",
                 f"--map-group={os.getegid()}", "--")  # fmt: skip
        self.box = dataclasses.replace(box, enter=enter)

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{agent_path('claude').parent}:{PATH}",
            "NODE_EXTRA_CA_CERTS": os.fspath(self.directory / "ca.pem"),
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:8080",
        }

    def outside(self) -> dict[str, str]:
        """The environment of a client on the host: its sockets and temporary files go with the box."""
        return {**self.environment(), "CLAUDE_CODE_TMPDIR": f"{self.box.home}", "XDG_RUNTIME_DIR": f"{self.box.home}"}

    def start(self, *argv: Any, **options: Any) -> subprocess.Popen[bytes]:
        return self.box.start([self.box.program, *argv], env=self.environment(), **options)

    def claude(self, *arguments: str, **options: Any) -> Result:
        """The client in the sandbox."""
        return self.box.claudebox("-n", "full", "-y", "--", *arguments, env=self.environment(), timeout=120, **options)

    def order(self, **orders: Any) -> None:
        """What the endpoint is to do from now on."""
        made = self.directory / "orders.made"
        made.write_text(json.dumps(orders))
        os.rename(made, self.directory / "orders.json")

    def log(self, what: str) -> list[str]:
        """The tokens of all requests of a kind: refresh, spent, failed, message, unauthorized."""
        entries = [json.loads(line) for line in (self.directory / "log.jsonl").read_text().splitlines()]
        return [entry["token"] for entry in entries if entry["what"] == what]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def endpoint(box: Box) -> Iterator[Endpoint]:
    """A host with a token endpoint, and no login yet."""
    made = Endpoint(box)
    try:
        yield made
    finally:
        made.close()
