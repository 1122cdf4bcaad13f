"""What a launch costs, beside others of its kind; prints Markdown. `benchmarks/launch` installs all it needs.

usage: launch.py CLAUDEBOX DIRECTORY [SRT]      DIRECTORY: empty, the user's own, outside /tmp; SRT: its program
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from measure import Figure, interleaved

RUNS = int(os.environ.get("CLAUDEBOX_BENCHMARK_RUNS", "40"))
BOUNDS = (("python3 -c pass", 4.0), ("srt", 0.15), ("firejail --noprofile --net=none", 1.0))
OURS = "claudebox run -n offline -- true"
RESIDENT = 20.0  # MiB, of a launcher that waits


def main() -> None:
    """Make a project, measure, print."""
    program, directory = sys.argv[1], Path(sys.argv[2])
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(directory), "LANG": "C.UTF-8"}
    project = directory / "code" / "app"
    make_project(project, environment)
    os.chdir(project)
    large = directory / "code" / "large"
    make_large(large, environment)
    figures = interleaved(commands(program, large, sys.argv[3] if len(sys.argv) > 3 else ""), environment, RUNS)
    print(table(figures))
    print(bounds(figures))
    print(f"A launcher that waits: {resident(program, environment):.1f} MiB resident (bound {RESIDENT:.0f}).\n")
    print("Imports of that launch that take more than 0.3 ms, children included (`python -X importtime`):\n")
    print(imports(program, environment))


def make_project(project: Path, environment: dict[str, str]) -> None:
    """A repository of one commit."""
    project.mkdir(parents=True)
    (project / "README").write_text("An example.\n")
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "-q"], ["add", "README"], [*identity, "commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *words], cwd=project, env=environment, check=True)


def make_large(project: Path, environment: dict[str, str]) -> None:
    """A repository of 200,000 entries, 50,000 of which the exit check looks at, twice a launch."""
    for number in range(8000):
        inner = project / f"a{number % 20}" / f"b{number // 20 % 20}" / f"c{number // 400}"
        inner.mkdir(parents=True)
        for file in range(24):
            (inner / str(file)).touch()
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=project, env=environment, check=True)


def commands(program: str, large: Path, srt: str) -> dict[str, list[str]]:
    """What is measured, the yardstick first: the interpreter that runs claudebox, doing nothing."""
    python = Path(program).read_text().split("\n")[0][2:]
    bare = "--ro-bind / / --proc /proc --dev /dev --unshare-all --die-with-parent --cap-drop ALL"
    found: dict[str, list[str]] = {
        "python3 -c pass": [python, "-c", "pass"],
        "bwrap alone": ["/usr/bin/bwrap", *bare.split(), "true"],
        OURS: [program, "run", "-n", "offline", "--", "true"],
        "the same in a tree of 200,000 entries": [program, "run", "-n", "offline", "-C", str(large), "--", "true"],
    }
    if firejail := shutil.which("firejail"):
        found["firejail --noprofile"] = [firejail, "--quiet", "--noprofile", "true"]
        found["firejail --noprofile --net=none"] = [firejail, "--quiet", "--noprofile", "--net=none", "true"]
    if srt:
        found["srt"] = [srt, "true"]
    return found


def table(figures: dict[str, Figure]) -> str:
    """One row a command."""
    lines = ["| command | median ms | min | max | × python3 -c pass |", "|---|---|---|---|---|"]
    for name, figure in figures.items():
        low, high = figure.times[0], figure.times[-1]
        lines.append(f"| `{name}` | {figure.median:.1f} | {low:.1f} | {high:.1f} | {figure.ratio:.2f} |")
    return "\n".join(lines) + f"\n\n{RUNS} runs of each, in turn. Ratios are the median of the pairs.\n"


def bounds(figures: dict[str, Figure]) -> str:
    """Each bound and whether it holds; the exit status is no judge, the table is."""
    lines = []
    for name, most in BOUNDS:
        if name in figures:
            is_now = figures[OURS].median / figures[name].median if name != "python3 -c pass" else figures[OURS].ratio
            lines.append(f"- {is_now:.2f} × `{name}`, bound {most:g}: {'held' if is_now <= most else '**not held**'}")
    return "\n".join(lines) + "\n"


def resident(program: str, environment: dict[str, str]) -> float:
    """Resident memory of a launcher whose agent is running, in MiB."""
    argv = [program, "run", "-n", "offline", "--", "sh", "-c", "echo up; read -r x"]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout
        launcher.stdout.readline()
        status = Path(f"/proc/{launcher.pid}/status").read_text()
        launcher.send_signal(signal.SIGTERM)
        launcher.communicate()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def imports(program: str, environment: dict[str, str]) -> str:
    """The slow imports, the slowest first."""
    argv = [program, "run", "-n", "offline", "--", "true"]
    done = subprocess.run(
        argv, env=environment | {"PYTHONPROFILEIMPORTTIME": "1"}, capture_output=True, text=True, check=True
    )
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines()[1:] if "|" in line]
    slow = sorted(
        ((int(total) / 1000, name.strip()) for _, total, name in rows if total.strip().isdigit()), reverse=True
    )
    return "\n".join(f"- {name}: {taken:.1f} ms" for taken, name in slow if taken > 0.3) + "\n"


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"measured in {time.monotonic() - began:.0f} s", file=sys.stderr)
