"""Classic BPF as seccomp runs it: an interpreter, and the kernel's own check of a program.

Sources: kernel/seccomp.c (seccomp_check_filter), net/core/filter.c (bpf_check_classic), linux/seccomp.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
DATA = 64  # sizeof(struct seccomp_data)
LONGEST = 4096  # BPF_MAXINSNS

LOAD, AND, JUMP, RETURN = 0x20, 0x54, 0x05, 0x06
COMPARISONS = {
    0x15: lambda a, k: a == k,
    0x25: lambda a, k: a > k,
    0x35: lambda a, k: a >= k,
    0x45: lambda a, k: a & k != 0,
}


class Instruction(NamedTuple):
    """One struct sock_filter."""

    code: int
    then: int
    otherwise: int
    value: int


class Call(NamedTuple):
    """What a filter sees of a system call; whole registers, as the program in the sandbox filled them."""

    arch: int
    number: int
    arguments: Sequence[int] = ()

    def data(self) -> bytes:
        """The struct seccomp_data of a little-endian machine."""
        arguments = [argument & 0xFFFFFFFFFFFFFFFF for argument in self.arguments]
        return struct.pack("<IIQ6Q", self.number & 0xFFFFFFFF, self.arch, 0, *arguments, *[0] * (6 - len(arguments)))


def parse(program: bytes) -> list[Instruction]:
    """The instructions of a program; AssertionError for one that the kernel would not take."""
    assert len(program) % 8 == 0
    code = [Instruction(*fields) for fields in struct.iter_unpack("<HBBI", program)]
    assert 0 < len(code) <= LONGEST
    assert code[-1].code == RETURN, "the last instruction ends the program"
    for place, one in enumerate(code):
        left = len(code) - place - 1  # a jump past the last instruction is refused
        if one.code == LOAD:
            assert one.value % 4 == 0 and one.value < DATA
        elif one.code == JUMP:
            assert one.value < left
        elif one.code in COMPARISONS:
            assert one.then < left and one.otherwise < left
        else:
            assert one.code in (AND, RETURN), f"{one.code:#x} is not known here"
    return code


def run(code: Sequence[Instruction], call: Call) -> tuple[int, set[int]]:
    """What the program answers (SECCOMP_RET_*), and the offsets of seccomp_data that it read for it."""
    data, place, accumulator, read = call.data(), 0, 0, set[int]()
    while (one := code[place]).code != RETURN:
        place += 1
        if one.code == LOAD:
            read.add(one.value)
            (accumulator,) = struct.unpack_from("<I", data, one.value)
        elif one.code == AND:
            accumulator &= one.value
        elif one.code == JUMP:
            place += one.value
        else:
            place += one.then if COMPARISONS[one.code](accumulator, one.value) else one.otherwise
    return one.value, read


def error(code: Sequence[Instruction], call: Call) -> int:
    """The errno that a call gets, 0 when it is allowed; nothing else can come of a filter of ours."""
    answer, _ = run(code, call)
    if answer == ALLOW:
        return 0
    assert answer & 0xFFFF0000 == ERRNO, f"{answer:#x}"
    return answer & 0xFFFF
