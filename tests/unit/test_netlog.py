"""Logs of gateways in an instance's directory, and what is asked of one, against an endpoint of the test's own."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

import pytest

from claudebox.errors import ClaudeboxError
from claudebox.run import netlog
from claudebox.run.session import Session

ONE = Session(
    pid=4711, started=1, instance="0" * 16, project="/srv/app", directory="/srv/app", tier="allowlist", agent="claude",
    command=("claude",), terminal="", since=0,
)  # fmt: skip
LINE = b'{"time": 1, "verdict": "allowed", "name": "a.example.com", "port": 443}\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "instances" / ONE.instance / "network"
    found.mkdir(parents=True)
    return found


def test_logs_the_newest_first(place: Path) -> None:
    for number, name in enumerate(("12-34.log", "13-34.log", "x-1.log", "14.sock", "15.log", "-.log", "12-34.log.tmp")):
        (place / name).write_bytes(b"")
        os.utime(place / name, (number, number))
    here = netlog.opened(str(place.parent))
    assert [(one.pid, one.started) for one in netlog.logs(here)] == [(13, 34), (12, 34)]
    os.close(here)
    assert netlog.opened(str(place.parent.parent)) == -1


def test_a_log_is_read_as_it_grows(place: Path) -> None:
    log = place / "12-34.log"
    log.write_bytes(LINE + b"torn\n" + LINE[:20])
    here = netlog.opened(str(place.parent))
    reader = netlog.Reader(here, log.name)
    assert [one.name for one in reader.events()] == ["a.example.com"]
    assert list(reader.events()) == []
    with log.open("ab") as file:
        file.write(LINE[20:] + LINE)
    assert [one.name for one in reader.events()] == ["a.example.com"] * 2
    reader.close()
    os.close(here)


def test_a_link_is_no_log(place: Path) -> None:
    (place / "12-34.log").symlink_to("/etc/passwd")
    here = netlog.opened(str(place.parent))
    with pytest.raises(ClaudeboxError, match="cannot read"):
        netlog.Reader(here, "12-34.log")
    os.close(here)


def answering(place: Path, answer: bytes) -> tuple[threading.Thread, list[bytes]]:
    """A gateway that gives one answer, and what it was asked."""
    asked: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    here = os.open(place, os.O_PATH)
    listener.bind(f"/proc/self/fd/{here}/{ONE.pid}.sock")
    os.close(here)
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with listener, connection:
            asked.append(connection.recv(1 << 16))
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread, asked


def test_an_order_and_its_answer(place: Path, tmp_path: Path) -> None:
    thread, asked = answering(place, b'{"ok": true, "rules": []}\n')
    assert netlog.ask(ONE, str(tmp_path), {"do": "state"}) == {"ok": True, "rules": []}
    thread.join()
    assert json.loads(asked[0]) == {"do": "state"}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b'{"ok": false, "error": "ValueError: no"}\n', "refused it: ValueError: no"),
        (b"[]\n", "refused it: without a reason"),
        (b"torn", "does not answer"),
        (b"", "does not answer"),
    ],
)
def test_an_answer_that_is_none(place: Path, tmp_path: Path, answer: bytes, says: str) -> None:
    thread, _ = answering(place, answer)
    with pytest.raises(ClaudeboxError, match=says):
        netlog.ask(ONE, str(tmp_path), {"do": "state"})
    thread.join()


def test_a_session_without_a_gateway(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ClaudeboxError, match="has no gateway"):
        netlog.ask(ONE, str(tmp_path), {"do": "state"})
    (place / f"{ONE.pid}.sock").write_bytes(b"")
    with pytest.raises(ClaudeboxError, match="does not answer"):
        netlog.ask(ONE, str(tmp_path), {"do": "state"})
