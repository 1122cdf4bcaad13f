"""What a network costs: start, throughput, many at once; prints Markdown. `benchmarks/network` installs all it needs.

usage: network.py CLAUDEBOX DIRECTORY       DIRECTORY: empty, the user's own, outside /tmp

Everything runs in the test internet of tests/world.py. The same file is the server there, the client in a sandbox,
and what measures the starts.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RUNS = int(os.environ.get("CLAUDEBOX_BENCHMARK_RUNS", "30"))
FLOWS = max(7, RUNS // 4)
MANY = 50
SIZE = 128 << 20  # bytes of one flow
PUBLIC, SINK, SOURCE = "203.0.113.10", 5001, 5002
BOUND = 2.1
BACKENDS = ("slirp4netns", "pasta")
OFFLINE = "claudebox run -n offline -- true"
MTUS = "as the product has them: 65520, pasta 9000"


# --- server and client -----------------------------------------------------------------------------------


def serve() -> None:
    """Takes SIZE bytes on one port and says so, gives SIZE bytes on the other; until standard input ends."""
    import select

    listeners = [socket.create_server(("", port), backlog=16) for port in (SINK, SOURCE)]
    block = bytes(1 << 20)
    print("up", flush=True)
    while True:
        ready, _, _ = select.select([*listeners, 0], [], [])
        if 0 in ready:
            return
        for listener in ready:
            connection, _ = listener.accept()
            with connection:
                if listener is listeners[0]:
                    drain(connection)
                    connection.sendall(b"!")
                else:
                    for _ in range(SIZE >> 20):
                        connection.sendall(block)


def drain(connection: socket.socket) -> None:
    left, block = SIZE, bytearray(1 << 20)
    while left and (count := connection.recv_into(block)):
        left -= count


def flow(way: str) -> None:
    """Two flows to the public host, one after the other, `up` or `down`; prints the Gbit/s of each.

    A fresh backend is slower at first. The one without rules runs all the time, so it is the second that is compared.
    """
    print(*(SIZE * 8 / 1e9 / one_flow(way) for _ in range(2)))


def one_flow(way: str) -> float:
    """The seconds that one flow takes."""
    began = time.perf_counter()
    with socket.create_connection((PUBLIC, SINK if way == "up" else SOURCE)) as connection:
        if way == "up":
            block = bytes(1 << 20)
            for _ in range(SIZE >> 20):
                connection.sendall(block)
            connection.recv(1)
        else:
            drain(connection)
    return time.perf_counter() - began


# --- beside others, on the machine itself --------------------------------------------------------------------


def peers(program: str, environment: dict[str, str], app: Path) -> None:
    """Others that start without a network: in the world firejail, whose root is another, would do nothing at all."""
    from measure import interleaved

    python = Path(program).read_text().split("\n")[0][2:]
    commands: dict[str, list[str]] = {"python3 -c pass": [python, "-c", "pass"], "true, direct": [tool("true")]}
    commands["firejail --noprofile --net=none -- true"] = [
        *(tool("firejail"), "--quiet", "--noprofile", "--net=none", "--", "true")
    ]
    commands[OFFLINE] = [program, "run", "-n", "offline", "--", "true"]
    os.chdir(app)
    figures = interleaved(commands, environment, RUNS)
    print("| without a network, on the machine itself | median ms | min | × python3 -c pass |\n|---|---|---|---|")
    for name, figure in figures.items():
        print(f"| `{name}` | {figure.median:.1f} | {figure.times[0]:.1f} | {figure.ratio:.2f} |")
    print("\nIn the test internet:\n", flush=True)


# --- the starts, on the world's host -----------------------------------------------------------------------


def starts(program: str, home: Path) -> None:
    """Whole launches in turn, then many at once."""
    from measure import interleaved

    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
    python = Path(program).read_text().split("\n")[0][2:]
    commands: dict[str, list[str]] = {"python3 -c pass": [python, "-c", "pass"]}
    commands[OFFLINE] = [program, "run", "-n", "offline", "--", "true"]
    for backend in BACKENDS:
        commands[f"the same, internet-only by {backend}"] = [
            *("/usr/bin/env", f"CLAUDEBOX_HOME={state(home, backend)}"),
            *(program, "run", "-n", "internet-only", "--", "true"),
        ]
    figures = interleaved(commands, environment, RUNS)
    base = figures["python3 -c pass"].median
    print("| command | median ms | min | more than offline | × python3 -c pass |\n|---|---|---|---|---|")
    for name, figure in figures.items():
        more = figure.median - figures[OFFLINE].median
        shown = f"{more:+.1f} ms, {more / base:.2f} ×" if "internet-only" in name else ""
        print(f"| `{name}` | {figure.median:.1f} | {figure.times[0]:.1f} | {shown} | {figure.ratio:.2f} |")
    more = (figures[f"the same, internet-only by {BACKENDS[0]}"].median - figures[OFFLINE].median) / base
    print(
        f"\n{RUNS} runs of each, in turn. More than offline, by {BACKENDS[0]}, which is taken first: {more:.2f} ×",
        end="",
    )
    print(f" `python3 -c pass`, bound {BOUND}: {'held' if more <= BOUND else '**not held**'}.\n")
    print(f"| {MANY} at once | seconds until all run | failed | backend, MiB each | launcher, MiB each |")
    print("|---|---|---|---|---|")
    for backend in BACKENDS:
        print(many(program, backend, home, environment))


def tool(name: str) -> str:
    """A program of the system by its path."""
    return shutil.which(name, path="/usr/local/bin:/usr/bin:/bin") or sys.exit(f"{name} is missing")


def state(home: Path, backend: str) -> Path:
    """claudebox's own directory for one backend."""
    made = home / f".claudebox-{backend}"
    made.mkdir(mode=0o700, exist_ok=True)
    (made / "config.toml").write_text(f'[network]\nbackend = "{backend}"\n')
    return made


def many(program: str, backend: str, home: Path, environment: dict[str, str]) -> str:
    """MANY sandboxes at once, each in a project of its own."""
    argv = [program, "run", "-n", "internet-only", "--", "sh", "-c", "echo up; read x"]
    settings = environment | {"CLAUDEBOX_HOME": str(state(home, backend))}
    projects = [home / "many" / str(number) for number in range(MANY)]
    for project in projects:
        project.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    launched = [subprocess.Popen(argv, cwd=project, env=settings, **pipes) for project in projects]
    up = [one.stdout is not None and one.stdout.readline() == b"up\n" for one in launched]
    took = time.perf_counter() - began
    below = {one.pid: Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split() for one in launched}
    helpers = [pid for pids in below.values() for pid in pids if carries(pid)]
    row = f"| {backend} | {took:.2f} | {up.count(False)} | {resident(helpers)} | {resident(map(str, below))} |"
    errors = [one.communicate(b"\n")[1] for one in launched]
    said = sorted({line for text in errors for line in text.decode(errors="replace").splitlines() if "error" in line})
    return "\n".join([row, *said])


def carries(pid: str) -> bool:
    """Whether a process is a backend."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False
    return words.rpartition(b"/")[2] in (b"slirp4netns", b"pasta", b"passt")


def resident(pids: Any) -> str:
    """Mean resident memory of some processes, in MiB."""
    found = []
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        found += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")]
    return f"{statistics.mean(found):.1f}" if found else "?"


# --- the whole ---------------------------------------------------------------------------------------------


def main() -> None:
    """Build the world, measure, print."""
    from contextlib import ExitStack

    from unfiltered import Unfiltered, unfiltered
    from world import World

    program, home, me = sys.argv[1], Path(sys.argv[2]), Path(__file__)
    python = "/usr/bin/python3"
    app = home / "code" / "app"
    app.mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=app, env={"PATH": "/usr/bin:/bin", "HOME": str(home)}, check=True)
    shutil.copy(me, app / "flow.py")
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home)}
    peers(program, environment, app)
    with World((4, 6)) as world, ExitStack() as stack:
        user = [*world.enter("user" if os.geteuid() else "root"), "env", "-C", str(app)]
        subprocess.run([*user, sys.executable, me, "starts", program, home], env=environment | runs(), check=True)
        server = stack.enter_context(
            subprocess.Popen(
                [*world.enter("root"), "ip", "netns", "exec", "inet", python, "-I", app / "flow.py", "serve"],
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
        )  # fmt: skip
        assert server.stdout is not None and server.stdout.readline() == b"up\n"
        client = [python, "-I", "flow.py", "flow"]
        ways: dict[str, list[str]] = {"direct": [*user, *client]}
        ways["full"] = [*user, program, "run", "-n", "full", "-y", "--", *client]
        for backend in BACKENDS:
            bare: Unfiltered = stack.enter_context(unfiltered(world, backend))
            ways[f"{backend}, without rules"] = [*bare.enter, "env", "-C", str(app), *client]
            chosen = ["env", f"CLAUDEBOX_HOME={state(home, backend)}"]
            launched = [program, "run", "-n", "internet-only", "-y", "--", *client]
            ways[f"internet-only by {backend}"] = [*user, *chosen, *launched]
        throughput(ways, environment)
        server.communicate(b"")


def runs() -> dict[str, str]:
    return {"CLAUDEBOX_BENCHMARK_RUNS": str(RUNS)}


def throughput(ways: dict[str, list[str]], environment: dict[str, str]) -> None:
    """Flows in turn, one at a time."""
    speeds: dict[tuple[str, str], list[float]] = {}
    first: dict[tuple[str, str], list[float]] = {}
    for _ in range(FLOWS):
        for name, argv in ways.items():
            for way in ("up", "down"):
                done = subprocess.run([*argv, way], env=environment, capture_output=True, text=True, check=False)
                if done.returncode and "ConnectionResetError" not in done.stderr:
                    sys.exit(f"{name}, {way}: {done.stderr}")
                one, two = (0.0, 0.0) if done.returncode else map(float, done.stdout.split())
                speeds.setdefault((name, way), []).append(two)
                first.setdefault((name, way), []).append(one)
    broken = {key: values.count(0.0) for key, values in speeds.items() if 0.0 in values}
    middle, cold = medians(speeds), medians(first)
    print("\n| one TCP flow, Gbit/s | up | down | of the backend without rules | the first one, up | down |")
    print("|---|---|---|---|---|---|")
    for name in ways:
        base = name.removeprefix("internet-only by ") + ", without rules"
        ratio = [middle[name, way] / middle[base, way] for way in ("up", "down") if middle.get((base, way))]
        shown = " up, ".join(f"{of:.2f}" for of in ratio) + (" down" if ratio else "")
        numbers = f"{middle[name, 'up']:.2f} | {middle[name, 'down']:.2f}"
        print(f"| {name} | {numbers} | {shown} | {cold[name, 'up']:.2f} | {cold[name, 'down']:.2f} |")
    for (name, way), count in broken.items():
        print(f"\n{name}, {way}: {count} of {FLOWS} flows were reset by the backend and are not counted.")
    print(
        f"\nMedians of {FLOWS} flows of {SIZE >> 20} MiB, in turn, each the second of its sandbox; the first one, of a"
    )
    print(
        "backend that has just started, is beside it (that without rules runs all the time, and has no first one). MTU"
    )
    print(f"{MTUS}. The bound is 0.8 of the backend's own.")


def medians(speeds: dict[tuple[str, str], list[float]]) -> dict[tuple[str, str], float]:
    """The middle of what was not reset."""
    return {key: statistics.median(filter(None, values)) if any(values) else 0.0 for key, values in speeds.items()}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["flow", way]:
            flow(way)
        case ["starts", program, home]:
            starts(program, Path(home))
        case _:
            main()
