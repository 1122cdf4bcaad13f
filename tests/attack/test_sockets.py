"""Ways out by unix sockets: connect(2) takes a path, and no mount option stops it. Each with its control."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git", "late_mounts"), pytest.mark.uid0]
KINDS = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM, "packets": socket.SOCK_SEQPACKET}

# Sends a word to a socket by its path: "sent", or the name of the error.
SEND = """
import errno, os, socket, sys
path, kind = sys.argv[1:]
os.chdir(os.path.dirname(path))
try:
    with socket.socket(socket.AF_UNIX, int(kind)) as one:
        one.connect(os.path.basename(path))
        one.send(b"word")
    print("sent")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@contextmanager
def listening(path: Path, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """A socket of the host at path, bound by its absolute name, as daemons do it."""
    with socket.socket(socket.AF_UNIX, kind) as made:
        made.bind(str(path))
        if kind != socket.SOCK_DGRAM:
            made.listen()
        made.setblocking(False)
        yield made
    path.unlink(missing_ok=True)


def reached(made: socket.socket, kind: int) -> bool:
    """Whether a word arrived: the host's own word for it."""
    try:
        if kind == socket.SOCK_DGRAM:
            return made.recv(10) == b"word"
        made.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def send(box: Box, path: Path | str, kind: int, *options: str) -> Result:
    words = ("/usr/bin/python3", "-c", SEND, str(path), str(int(kind)))
    return box.claudebox("run", "-y", "-n", "offline", *options, "--", *words)


@pytest.fixture
def place(box: Box) -> Path:
    """A short path, as sun_path has room for 107 bytes."""
    assert len(str(box.app / ".git/x.sock")) < 107
    return box.app / "x.sock"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_socket_in_the_project(box: Box, place: Path, kind: int) -> None:
    with listening(place, kind) as made:
        done = send(box, place, kind)
        assert done.stdout == "ECONNREFUSED\n" and not reached(made, kind), done.stderr
        assert f"the host listens on {place}: it is masked" in done.stderr
        granted = send(box, place, kind, "-m", f"{place}:/run/granted")
        assert granted.status == 0, granted.stderr
        assert box.run(["/usr/bin/python3", "-c", SEND, str(place), str(int(kind))]).stdout == "sent\n"
        assert reached(made, kind), "the control"
    assert box.git("status", "--porcelain") == ""


def test_a_socket_that_was_granted_by_name(box: Box, place: Path) -> None:
    with listening(place) as made:
        assert send(box, "/run/granted", socket.SOCK_STREAM, "-m", f"{place}:/run/granted").stdout == "sent\n"
        assert reached(made, socket.SOCK_STREAM)


def test_a_socket_that_the_configuration_grants_at_its_own_path(box: Box, place: Path) -> None:
    mount = f'[[mounts]]\nsource = "{place}"\nkind = "socket"\n'
    box.state.mkdir(mode=0o700, exist_ok=True)
    with listening(place) as made:
        assert send(box, place, socket.SOCK_STREAM).stdout == "ECONNREFUSED\n", "the control"
        (box.state / "config.toml").write_text(mount)
        done = send(box, place, socket.SOCK_STREAM)
        assert done.stdout == "sent\n" and "is masked" not in done.stderr, done.stderr
        assert reached(made, socket.SOCK_STREAM)


def test_a_socket_in_a_read_only_mount(box: Box) -> None:
    data = box.home / "data"
    data.mkdir()
    with listening(data / "s") as made:
        done = send(box, "/mnt/data/s", socket.SOCK_STREAM, "-m", f"{data}:/mnt/data")
        assert done.stdout == "ECONNREFUSED\n" and not reached(made, socket.SOCK_STREAM), done.stderr


def test_gits_own_daemon(box: Box) -> None:
    """core.fsmonitor's, with which the host's git would have told what it watches."""
    path = box.app / ".git" / "x.sock"
    with listening(path) as made:
        assert send(box, path, socket.SOCK_STREAM).stdout == "ECONNREFUSED\n"
        assert not reached(made, socket.SOCK_STREAM)


def test_a_socket_through_a_link(box: Box) -> None:
    """The name that was bound leads through a link of the host."""
    (box.home / "short").symlink_to(box.app)
    with listening(box.home / "short" / "s") as made:
        assert send(box, box.app / "s", socket.SOCK_STREAM).stdout == "ECONNREFUSED\n"
        assert not reached(made, socket.SOCK_STREAM)


def test_the_mask_cannot_be_taken_away(box: Box, place: Path) -> None:
    script = f"rm -f {place}; mv {place} {place}.old; ln -f {place} hard; umount {place}; unshare -Urm umount {place}"
    with listening(place) as made:
        done = box.claudebox("run", "-n", "offline", "--", "sh", "-c", f"{script}; cat {place}; test -e hard || exit 9")
        assert done.status == 9
        assert send(box, place, socket.SOCK_STREAM).stdout == "ECONNREFUSED\n"
        assert not reached(made, socket.SOCK_STREAM)


def test_one_that_is_made_anew_is_masked_again(box: Box, place: Path) -> None:
    """Its daemon was restarted: the kernel detaches the mask with the file; the new one is masked when it is seen."""
    agent = 'echo up; while read -r line; do sh -c "$line"; echo done; done'
    with (
        listening(place),
        box.start([box.program, "run", "-n", "offline", "--", "sh", "-c", agent], stdin=subprocess.PIPE) as session,
    ):
        assert session.stdout and session.stdin
        assert session.stdout.readline() == b"up\n"
        os.unlink(place)
        with listening(place) as again:
            for _ in range(200):
                session.stdin.write(f"test -S {place} && echo open\n".encode())
                session.stdin.flush()
                if session.stdout.readline() == b"done\n":
                    break
                session.stdout.readline()
            else:
                pytest.fail("it was not masked again")
            assert not reached(again, socket.SOCK_STREAM)
            assert session.stderr and b"is masked, and none" in session.stderr.readline()
            assert f"the host made {place} anew: it is masked again" in session.stderr.readline().decode()
            session.communicate(timeout=20)
    assert session.returncode == 0


ABSTRACT = """
import errno, socket, sys
try:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\\0" + sys.argv[1])
    print("reached")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@needs("landlock_scopes")
def test_abstract_sockets_of_a_shared_network(box: Box) -> None:
    """CVE-2020-15257 (containerd): a container on the host's network reached the runtime's abstract socket.

    In tier full a Landlock scope stops it; in the others the network is another one.
    """
    name = f"claudebox-attack-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("\0" + name)
        made.listen()
        words = ("/usr/bin/python3", "-c", ABSTRACT, name)
        assert box.claudebox("run", "-y", "-n", "full", "--", *words).stdout == "EPERM\n"
        assert box.claudebox("run", "-y", "-n", "full", "--", "unshare", "--user", *words).stdout == "EPERM\n"
        assert box.claudebox("run", "-n", "offline", "--", *words).stdout == "ECONNREFUSED\n"
        assert box.run(words).stdout == "reached\n", "the control"
