"""nix packages: realised before the sandbox starts, first on PATH, from the cache as long as nothing changed."""

from __future__ import annotations

import json

import pytest

from box import Box
from capability import needs
from nixes import Machine

pytestmark = needs("userns", "netns", "bwrap", "git", "nix")
RUN = "run -y -n offline "


@pytest.fixture
def machine(box: Box) -> Machine:
    return Machine(box)


@pytest.fixture
def served(box: Box) -> Machine:
    return Machine(box, daemon=True)


def test_a_package_is_on_path_and_an_unchanged_launch_starts_no_nix(machine: Machine) -> None:
    first = machine.claudebox(RUN + "--package hello -- hello")
    assert (first.status, first.stdout) == (0, "hello 1\n"), first.stderr
    assert "claudebox: nix realises nixpkgs#hello\n" in first.stderr
    assert len(machine.calls()) == 1
    again = machine.claudebox(RUN + "--package nixpkgs#hello -- hello")
    assert (again.status, again.stdout, again.stderr) == (0, "hello 1\n", ""), "no word and no nix"
    assert machine.calls() == []


def test_without_it_the_program_is_not_there(machine: Machine) -> None:
    assert machine.claudebox(RUN + "-- hello").status == 127, "the control"


def test_the_store_is_whole_and_read_only(machine: Machine) -> None:
    machine.run('nix --extra-experimental-features "nix-command flakes" build --no-link nixpkgs#tool')
    done = machine.claudebox(RUN + '--package hello -- sh -c "ls /nix /nix/store; touch /nix/store/x || echo kept"')
    assert done.status == 0 and "-tool\n" in done.stdout and "-hello\n" in done.stdout
    assert done.stdout.endswith("kept\n") and done.stdout.startswith("/nix:\nstore\n"), done.stderr


@pytest.mark.parametrize(("order", "said"), [("hello shadow", "hello 1"), ("shadow hello", "shadow")])
def test_the_order_of_path_is_the_order_written(machine: Machine, order: str, said: str) -> None:
    words = " ".join(f"--package {name}" for name in order.split())
    done = machine.claudebox(f"{RUN}{words} -- hello")
    assert (done.status, done.stdout) == (0, said + "\n"), done.stderr


def test_outputs(machine: Machine) -> None:
    assert machine.claudebox(RUN + "--package many^bin,man -- many").stdout == "many\n"
    kept = machine.run("ls ~/.claudebox/cache/packages/*/").stdout.split()
    assert any(one.startswith("root") and one.endswith("-bin") for one in kept)
    assert any(one.startswith("root") and one.endswith("-man") for one in kept)
    plain = machine.claudebox(RUN + "--package library -- true")
    assert plain.status == 0 and "has no bin directory" in plain.stderr


def test_other_flakes_and_profiles(machine: Machine) -> None:
    profile = machine.box.state / "profiles/tools.toml"
    profile.parent.mkdir(parents=True, mode=0o700)
    machine.box.state.chmod(0o700)
    profile.write_text(
        'packages = ["~/nixpkgs#tool", "path:~/nixpkgs", "shadow", "hello", "!shadow"]\n'.replace(
            '"path:~/nixpkgs", ', f'"path:{machine.flake}", '
        )
    )
    done = machine.claudebox(RUN + '-P tools -- sh -c "tool; hello"')
    assert (done.status, done.stdout) == (0, "tool\nhello 1\n"), done.stderr


def test_it_is_resolved_anew_when_what_decides_it_changes(machine: Machine) -> None:
    words = RUN + "--package hello -- hello"
    machine.claudebox(words)
    machine.calls()
    changes = {
        "the user's registry": lambda: machine.registry.write_text(machine.registry.read_text() + "\n"),
        "nix.conf": lambda: machine.conf.write_text(machine.conf.read_text() + "keep-outputs = true\n"),
        "an included file": lambda: machine.conf.write_text(machine.conf.read_text() + "!include more.conf\n"),
        "what is included": lambda: (machine.config / "more.conf").write_text("cores = 1\n"),
        "channels": lambda: (machine.box.home / ".nix-channels").write_text("https://example.org nixos\n"),
        "the world's registry": lambda: cached(machine),
    }
    for what, change in changes.items():
        change()
        assert machine.claudebox(words).stdout == "hello 1\n" and machine.calls(), what
        machine.claudebox(words)
        assert machine.calls() == [], f"{what}: once"


def cached(machine: Machine) -> None:
    file = machine.box.home / ".cache/nix/flake-registry.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}")


def test_a_flake_on_this_machine_and_refresh(machine: Machine) -> None:
    by_path, by_name = f"--package {machine.flake}#hello", "--package hello"
    for words in (by_path, by_name):
        assert machine.claudebox(f"{RUN}{words} -- hello").stdout == "hello 1\n"
    machine.release("2")
    machine.calls()
    assert machine.claudebox(f"{RUN}{by_path} -- hello").stdout == "hello 2\n", "its files decide it"
    assert machine.claudebox(f"{RUN}{by_name} -- hello").stdout == "hello 1\n", "a registry's name stays what it was"
    assert machine.claudebox(f"{RUN}--refresh-packages {by_name} -- hello").stdout == "hello 2\n"
    assert machine.claudebox(f"{RUN}{by_name} -- hello").stdout == "hello 2\n"


def test_a_root_keeps_it_and_what_was_collected_is_realised_again(machine: Machine) -> None:
    words = RUN + "--package hello -- hello"
    machine.claudebox(words)
    machine.run("nix-store --gc")
    machine.calls()
    assert machine.claudebox(words).stdout == "hello 1\n" and machine.calls() == [], "nix's own root kept it"
    machine.run("rm ~/.claudebox/cache/packages/*/root; nix-store --gc; ls /nix/store")
    machine.calls()
    assert machine.claudebox(words).stdout == "hello 1\n" and len(machine.calls()) == 1


def test_two_launches_at_once_realise_once(machine: Machine) -> None:
    one = f"{machine.box.program} {RUN}--force --package hello -- hello"
    done = machine.run(f"{one} & {one}; wait")
    assert done.stdout == "hello 1\n" * 2, done.stderr
    assert len(machine.calls()) == 1


def test_a_dry_run_realises_nothing(machine: Machine) -> None:
    words = "run -n offline --package hello --dry-run --json -- true"
    done = machine.claudebox(words)
    plan = json.loads(done.stdout)
    path = next(one["value"] for one in plan["environment"] if one["name"] == "PATH")
    assert path.startswith("<nix:nixpkgs#hello>:") and machine.calls() == []
    assert plan["packages"] == [
        {"name": "nixpkgs#hello", "paths": None, "reason": "asked for", "origin": "--package hello"}
    ]
    assert not (machine.box.state / "cache/packages").exists()
    text = machine.claudebox(words.replace("--json", ""))
    assert "nixpkgs#hello  not realised yet" in text.stdout and "for which <nix:nixpkgs#hello> stands" in text.stdout
    machine.claudebox(RUN + "--package hello -- true")
    found = json.loads(machine.claudebox(words).stdout)["packages"][0]["paths"]
    assert found[0].startswith("/nix/store/") and found[0].endswith("-hello/bin")


def test_a_failed_build_leaves_the_last_good_result(machine: Machine) -> None:
    words = RUN + "--package hello -- hello"
    machine.claudebox(words)
    (machine.flake / "flake.nix").write_text("{ outputs = { self }: { }; }")
    done = machine.claudebox(RUN + "--refresh-packages --package hello -- hello")
    assert (done.status, done.stdout) == (0, "hello 1\n")
    assert "nix could not realise nixpkgs#hello" in done.stderr and "does not provide attribute" in done.stderr
    assert "is used for nixpkgs#hello" in done.stderr


@pytest.mark.parametrize(
    ("package", "said", "hint"),
    [
        ("helo", "Did you mean hello?", "nix search nixpkgs WORD"),
        ("broken", "the compiler says no", "the lines above are nix's own"),
        ("full", "No space left on device", "free some space"),
        ("github:nobody/nothing#x", "unable to download", "nix needs the network"),
    ],
)
def test_nix_says_itself_what_is_wrong(machine: Machine, package: str, said: str, hint: str) -> None:
    done = machine.claudebox(f"{RUN}--package {package} -- true")
    assert done.status == 125 and said in done.stderr and hint in done.stderr, done.stderr
    assert done.stderr.count("claudebox: error: nix could not realise") == 1


def test_what_is_no_installable_is_refused(machine: Machine) -> None:
    done = machine.claudebox(RUN + '--package "nixpkgs#python3.withPackages (p: [])" -- true')
    assert done.status == 125 and "belongs in a flake of yours" in done.stderr
    assert machine.calls() == []


def test_a_flake_that_a_sandbox_can_write_is_not_evaluated(machine: Machine) -> None:
    (machine.box.app / "flake.nix").write_text((machine.flake / "flake.nix").read_text())
    for words in (f"path:{machine.box.app}#hello", f"{machine.box.home}#hello"):
        done = machine.claudebox(f"{RUN}--package {words} -- true")
        assert done.status == 125 and "a sandbox can write there" in done.stderr, words
    assert machine.calls() == []


def test_the_review_asks_for_a_package_by_name(machine: Machine) -> None:
    done = machine.claudebox("run -n offline --package hello -- true")
    assert done.status == 125 and "package" in done.stderr and "nixpkgs#hello: its programs are on PATH" in done.stderr
    assert machine.calls() == [], "nothing is realised before it"
    assert machine.claudebox(RUN + "--package hello -- true").status == 0
    assert machine.claudebox("run -n offline --package nixpkgs#hello -- true").status == 0, "accepted by its full name"


def test_without_nix(box: Box) -> None:
    machine = Machine(box)
    (box.home / "bin/nix").unlink()
    words = machine.words(f"mount --version >/dev/null; {box.program} {RUN}--package hello -- true")
    words[-1] = words[-1].replace("umount -l . &&", "umount -l . && mount --bind /dev/null /usr/bin/nix &&")
    done = box.run(words, env={"PATH": "/usr/bin:/bin:/usr/sbin"})
    assert done.status == 125 and "nixpkgs#hello (--package hello) needs nix, which was not found" in done.stderr


# --- with a daemon -------------------------------------------------------------------------------


def test_with_a_daemon(served: Machine) -> None:
    done = served.claudebox(RUN + "--package hello -- hello")
    assert (done.status, done.stdout) == (0, "hello 1\n"), done.stderr
    assert "the nix daemon builds and fetches for the sandbox" in done.stderr


def test_nix_works_inside_by_the_daemon(served: Machine) -> None:
    (served.box.app / "flake.nix").write_text((served.flake / "flake.nix").read_text())
    inside = "nix build --no-link --json path:.#tool; cat /etc/nix/nix.conf; echo $NIX_REMOTE; "
    inside += "nix shell path:.#hello -c hello"
    done = served.claudebox(RUN + f'-- sh -c "{inside.replace("$", chr(92) + "$")}"')
    assert done.status == 0 and "-tool" in done.stdout and "daemon\nhello 1\n" in done.stdout, done.stderr
    assert "sandbox = false" in done.stdout and "hunter2" not in done.stdout


def test_the_daemon_can_be_left_out(served: Machine) -> None:
    served.box.state.mkdir(mode=0o700, exist_ok=True)
    (served.box.state / "config.toml").write_text("[sandbox]\nnix_daemon = false\n")
    done = served.claudebox(RUN + '-- sh -c "ls /nix/var; echo no \\$NIX_REMOTE"')
    assert done.stdout == "no\n" and "the nix daemon" not in done.stderr
