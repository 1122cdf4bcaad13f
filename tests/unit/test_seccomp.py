"""The system call filter as a value: every row, every number, and libseccomp's opinion of it."""

from __future__ import annotations

from errno import EAFNOSUPPORT, ENOSYS, EPERM, EPROTONOSUPPORT
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bpf
import libseccomp
from capability import needs
from claudebox.errors import ClaudeboxError
from claudebox.plan import seccomp
from claudebox.plan.seccomp import CALLS, IOCTL, MACHINES, PERSONALITY, REQUESTS, SOCKET, SOCKETPAIR, seccomp_program

PROGRAMS = {machine: bpf.parse(seccomp_program(machine)) for machine in MACHINES}
ARCH = {machine: arch for machine, (arch, _) in MACHINES.items()}
I386, ARM32, RISCV64, S390X = 0x40000003, 0x40000028, 0xC00000F3, 0x80000016
X32 = 0x40000000
EVERY_NUMBER = [*range(1025), *range(X32, X32 + 1025), 0x7FFFFFFF, 0x80000000, 0xBFFFFFFF, 0xC0000000, 0xFFFFFFFE]
HIGH = (0, 1 << 32, 0xDEADBEEF << 32)  # what a program can put into the half of a register that the kernel ignores

machines = pytest.mark.parametrize("machine", MACHINES)


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    return bpf.error(PROGRAMS[machine], bpf.Call(ARCH[machine] if arch is None else arch, number, arguments))


def numbered(machine: str, numbers: seccomp.Numbers) -> int:
    number = numbers[MACHINES[machine][1]]
    assert number is not None
    return number


ROWS = [
    pytest.param(machine, numbers[column], refused, id=f"{machine}-{name}")
    for machine, (_, column) in MACHINES.items()
    for name, refused, numbers, _, _ in CALLS
    if numbers[column] is not None
]


@pytest.mark.parametrize(("machine", "number", "refused"), ROWS)
def test_row_is_refused_and_its_neighbours_are_not(machine: str, number: int, refused: int) -> None:
    listed = {numbers[MACHINES[machine][1]] for _, _, numbers, _, _ in CALLS}
    for arguments in product((0, 0xFFFFFFFFFFFFFFFF), repeat=2):
        assert verdict(machine, number, *arguments) == refused
    for neighbour in {number - 1, number + 1} - listed:
        assert verdict(machine, neighbour) == 0


def test_every_row_says_why_and_from_where() -> None:
    assert len({name for name, *_ in CALLS}) == len(CALLS)
    for name, refused, _, reason, source in CALLS:
        assert refused in (EPERM, ENOSYS), name
        assert reason and source.endswith(")"), name


@machines
def test_all_other_numbers_are_allowed_up_to_the_last_one(machine: str) -> None:
    column = MACHINES[machine][1]
    refused = {numbers[column]: error for _, error, numbers, _, _ in CALLS}
    judged = {numbers[column] for numbers in (IOCTL, SOCKET, SOCKETPAIR, PERSONALITY)}
    for number in EVERY_NUMBER:
        expected = refused.get(number, 0) if number <= seccomp.LAST_CALL else ENOSYS
        if number in judged:
            expected = EAFNOSUPPORT if number in (numbered(machine, SOCKET), numbered(machine, SOCKETPAIR)) else 0
        assert verdict(machine, number) == expected, number


@machines
def test_a_tracer_may_have_a_call_skipped(machine: str) -> None:
    assert verdict(machine, -1) == 0
    assert verdict(machine, 0xFFFFFFFE) == ENOSYS


@machines
@pytest.mark.parametrize("arch", [I386, ARM32, RISCV64, S390X, 0, 0xFFFFFFFF])
def test_other_architectures_have_no_calls(machine: str, arch: int) -> None:
    assert all(verdict(machine, number, arch=arch) == ENOSYS for number in (*range(600), -1))


def test_each_machine_is_foreign_to_the_other() -> None:
    assert verdict("x86_64", 1, arch=ARCH["aarch64"]) == ENOSYS
    assert verdict("aarch64", 1, arch=ARCH["x86_64"]) == ENOSYS


@pytest.mark.parametrize("number", [*range(512, 548), *(X32 | n for n in (0, 16, 41, 514, 520, 1023))])
def test_x32_is_refused_with_its_bit_and_without(number: int) -> None:
    assert verdict("x86_64", number, 0, 0x5412) == ENOSYS


@machines
@pytest.mark.parametrize("high", HIGH)
def test_requests_to_the_terminal(machine: str, high: int) -> None:
    ioctl = numbered(machine, IOCTL)
    requests = {request for _, request, _, _ in REQUESTS}
    assert {0x5412, 0x541C, 0x5423} == requests
    for request in range(0x5400, 0x5500):
        assert verdict(machine, ioctl, 0, high | request, 1) == (EPERM if request in requests else 0), hex(request)
        assert verdict(machine, ioctl, request, 0, request) == 0, "another argument is not the request"
    assert verdict(machine, ioctl, 0, high | 0x80005412) == 0, "another request of the low word"


SOCKETS = [
    pytest.param(family, kind, protocol, error, id=f"{family}-{kind:#x}-{protocol}")
    for family, kind, protocol, error in [
        (1, 1, 0, 0), (1, 2, 0, 0), (1, 5, 0, 0),
        (2, 1, 0, 0), (2, 2, 0, 0), (2, 2, 1, 0), (2, 3, 1, 0), (2, 1, 262, 0), (2, 0x80801, 6, 0),
        (10, 1, 0, 0), (10, 2, 58, 0), (10, 1, 262, 0), (10, 0x80002, 17, 0),
        (2, 10, 0x300, EAFNOSUPPORT), (2, 0x8000A, 3, EAFNOSUPPORT), (10, 10, 0, EAFNOSUPPORT),
        (2, 1, 256, EPROTONOSUPPORT), (10, 0x801, 256, EPROTONOSUPPORT),
        (16, 3, 0, 0), (16, 2, 4, 0), (16, 0x80003, 0, 0),
        (16, 3, 12, EPROTONOSUPPORT), (16, 3, 16, EPROTONOSUPPORT), (16, 3, 15, EPROTONOSUPPORT),
        (16, 3, 9, EPROTONOSUPPORT), (16, 3, 0xFFFFFFFF, EPROTONOSUPPORT),
        *((family, 2, 0, EAFNOSUPPORT) for family in range(64) if family not in (1, 2, 10, 16)),
        *((family, 1, 0, EAFNOSUPPORT) for family in (40, 256, 0x101, 0x80000001, 0xFFFFFFFF)),
    ]
]  # fmt: skip


@machines
@pytest.mark.parametrize("numbers", [SOCKET, SOCKETPAIR], ids=["socket", "socketpair"])
@pytest.mark.parametrize(("family", "kind", "protocol", "error"), SOCKETS)
def test_sockets(machine: str, numbers: seccomp.Numbers, family: int, kind: int, protocol: int, error: int) -> None:
    for a, b, c in product(HIGH, repeat=3):
        assert verdict(machine, numbered(machine, numbers), a | family, b | kind, c | protocol) == error


@machines
@pytest.mark.parametrize("high", HIGH)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, 0), (0x8, 0), (0x20000, 0), (0x20008, 0), (0x40000, 0), (0xFFFFFFFF, 0),
        (0x400000, EPERM), (0x440000, EPERM), (0x100000, EPERM), (0x4000000, EPERM), (0x1, EPERM), (0xFF, EPERM),
    ],
)  # fmt: skip
def test_personalities(machine: str, high: int, value: int, error: int) -> None:
    assert verdict(machine, numbered(machine, PERSONALITY), high | value) == error


@pytest.mark.parametrize("machine", ["", "i686", "armv7l", "riscv64", "aarch64_be", "x86_64 ", "X86_64"])
def test_unknown_machine_is_refused_by_name(machine: str) -> None:
    with pytest.raises(ClaudeboxError) as caught:
        seccomp_program(machine)
    assert (machine or "unknown") in caught.value.message
    assert "x86_64 and aarch64" in caught.value.hint


@machines
def test_kernel_answers_most_calls_without_the_program(machine: str) -> None:
    judged = {numbered(machine, numbers) for numbers in (IOCTL, SOCKET, SOCKETPAIR, PERSONALITY)}
    for number in range(seccomp.LAST_CALL + 1):
        _, read = bpf.run(PROGRAMS[machine], bpf.Call(ARCH[machine], number))
        assert (read == {0, 4}) is (number not in judged)


@machines
def test_same_program_each_time(machine: str) -> None:
    assert seccomp_program(machine) == seccomp_program(machine)
    assert len(PROGRAMS[machine]) < 200


def test_what_must_stay() -> None:
    stay = {
        "ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "unshare": 272, "setns": 308, "clone": 56,
        "clone3": 435, "mount_setattr": 442, "move_mount": 429, "open_tree": 428, "fsopen": 430, "seccomp": 317,
        "landlock_create_ruleset": 444, "landlock_restrict_self": 446, "process_vm_readv": 310, "kcmp": 312,
        "pidfd_open": 434, "pidfd_getfd": 438, "name_to_handle_at": 303, "memfd_create": 319, "mbind": 237,
        "get_mempolicy": 239, "adjtimex": 159, "uretprobe": 335, "rseq": 334, "sethostname": 170, "chroot": 161,
        "inotify_init1": 294, "futex_wait": 455, "mseal": 462, "fchmodat2": 452, "map_shadow_stack": 453,
    }  # fmt: skip
    for name, number in stay.items():
        assert verdict("x86_64", number) == 0, name


# --- against libseccomp --------------------------------------------------------------------------


def families(call: str) -> list[libseccomp.Rule]:
    """Refusals, because libseccomp's default is to allow: every value but a few, and every higher bit."""
    word, kept = 0xFFFFFFFF, (1, 2, 10, 16)
    rules = [libseccomp.Rule(call, EAFNOSUPPORT, [(0, word, family)]) for family in range(64) if family not in kept]
    rules += [libseccomp.Rule(call, EAFNOSUPPORT, [(0, 1 << bit, 1 << bit)]) for bit in range(6, 32)]
    for protocol in range(32):
        if protocol not in (0, 4):
            rules.append(libseccomp.Rule(call, EPROTONOSUPPORT, [(0, word, 16), (2, word, protocol)]))
    rules += [libseccomp.Rule(call, EPROTONOSUPPORT, [(0, word, 16), (2, 1 << bit, 1 << bit)]) for bit in range(5, 32)]
    for family in (2, 10):
        rules.append(libseccomp.Rule(call, EAFNOSUPPORT, [(0, word, family), (1, 0xF, 10)]))
        for kind in set(range(16)) - {10}:
            refusal = [(0, word, family), (1, 0xF, kind), (2, word, 256)]
            rules.append(libseccomp.Rule(call, EPROTONOSUPPORT, refusal))
    return rules


def reference() -> list[libseccomp.Rule]:
    """The filter once more, in libseccomp's words; call numbers are libseccomp's."""
    word = 0xFFFFFFFF
    rules = [libseccomp.Rule(name, error) for name, error, *_ in CALLS]
    rules += [libseccomp.Rule("ioctl", EPERM, [(1, word, request)]) for request in (0x5412, 0x541C, 0x5423)]
    rules += [*families("socket"), *families("socketpair")]
    # allowed: no bit but 0x8, 0x20000 and 0x40000, of these not each combination, or all bits
    for bit in set(range(32)) - {3, 17, 18}:
        for zero in set(range(32)) - {bit}:
            rules.append(libseccomp.Rule("personality", EPERM, [(0, 1 << bit | 1 << zero, 1 << bit)]))
    for both in (0x40008, 0x60000, 0x60008):
        rules.append(libseccomp.Rule("personality", EPERM, [(0, word, both)]))
    return rules


WORDS = (
    (0, 1, 2, 3, 4, 8, 9, 10, 12, 15, 16, 17, 31, 40, 42, 63, 64, 256, 0x20000, 0x20008, 0x40000, 0x40008, 0x60000,
     0x60008, 0x400000, 0x80000002, 0xFFFFFFFE, 0xFFFFFFFF),
    (0, 1, 2, 3, 9, 10, 11, 26, 0x8000A, 0x80802, 0x5411, 0x5412, 0x541C, 0x5423, 0x80005412, 0xFFFFFFFF),
    (0, 1, 3, 4, 5, 6, 12, 16, 255, 256, 257, 262, 0x80000000, 0x80000004, 0xFFFFFFFF),
)  # fmt: skip


@pytest.fixture(scope="module")
def references() -> dict[str, list[bpf.Instruction]]:
    return {machine: bpf.parse(libseccomp.build(machine, reference(), ENOSYS)) for machine in MACHINES}


@needs("libseccomp")
@machines
def test_numbers_are_libseccomps(machine: str) -> None:
    column = MACHINES[machine][1]
    judged = [("ioctl", IOCTL), ("socket", SOCKET), ("socketpair", SOCKETPAIR), ("personality", PERSONALITY)]
    for name, numbers in [*((name, numbers) for name, _, numbers, _, _ in CALLS), *judged]:
        found = libseccomp.number(machine, name)
        assert (None if found < 0 else found) == numbers[column], name


@needs("libseccomp")
@machines
def test_same_verdicts_as_libseccomp(machine: str, references: dict[str, list[bpf.Instruction]]) -> None:
    """Up to LAST_CALL, where libseccomp knows no such rule, and everything of other architectures."""
    ours, theirs = PROGRAMS[machine], references[machine]
    judged = {numbered(machine, numbers) for numbers in (IOCTL, SOCKET, SOCKETPAIR, PERSONALITY)}
    x32 = [number for number in EVERY_NUMBER if number >= X32] if machine == "x86_64" else []
    for number in [*range(seccomp.LAST_CALL + 1), *x32, 0xFFFFFFFF]:
        classes = product(*WORDS) if number in judged else [(0, 0, 0), (0xFFFFFFFFFFFFFFFF,) * 3]
        for arguments in classes:
            call = bpf.Call(ARCH[machine], number, arguments)
            assert bpf.error(ours, call) == bpf.error(theirs, call), call
    for arch in {I386, ARM32, *ARCH.values()} - {ARCH[machine]}:
        for number in EVERY_NUMBER:
            call = bpf.Call(arch, number)
            assert bpf.error(ours, call) == bpf.error(theirs, call) == ENOSYS, call


@needs("libseccomp")
@machines
@settings(max_examples=300, deadline=None)
@given(
    number=st.sampled_from([0, 1, 2, 3]),
    arguments=st.tuples(*(st.one_of(st.integers(0, 2**64 - 1), st.sampled_from(words)) for words in WORDS)),
)
def test_same_verdicts_as_libseccomp_for_any_arguments(
    machine: str, references: dict[str, list[bpf.Instruction]], number: int, arguments: tuple[int, ...]
) -> None:
    numbers = (IOCTL, SOCKET, SOCKETPAIR, PERSONALITY)[number]
    call = bpf.Call(ARCH[machine], numbered(machine, numbers), arguments)
    assert bpf.error(PROGRAMS[machine], call) == bpf.error(references[machine], call)
