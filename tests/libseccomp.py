"""libseccomp through ctypes, for tests only: another author's tables of call numbers, and another compiler.

libseccomp 2.5, seccomp.h. Load it only in tests that need `libseccomp`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from typing import NamedTuple

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
MASKED = 7  # SCMP_CMP_MASKED_EQ, enum scmp_compare
_ACT_BADARCH = 2  # enum scmp_filter_attr
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


class Compare(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class Rule(NamedTuple):
    """Refuse a call with an errno when all comparisons of the low words hold: (argument, mask, value)."""

    call: str
    errno: int
    when: Sequence[tuple[int, int, int]] = ()


def load() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Compare),
    ]  # fmt: skip
    return library


def number(machine: str, name: str) -> int:
    """The number of a call on a machine; negative when it has none there."""
    resolve = load().seccomp_syscall_resolve_name_arch
    resolve.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    found: int = resolve(ARCHES[machine], name.encode())
    return found


def build(machine: str, rules: Sequence[Rule], foreign: int) -> bytes:
    """A program that allows all but the rules; calls of another architecture get the errno `foreign`."""
    library = load()
    context = library.seccomp_init(ALLOW)
    assert context
    try:
        for arch in set(ARCHES.values()) - {ARCHES[machine]}:
            library.seccomp_arch_remove(context, arch)  # the machine that the tests run on; the rest is not there
        added = library.seccomp_arch_add(context, ARCHES[machine])
        assert added in (0, -17), os.strerror(-added)
        assert library.seccomp_attr_set(context, _ACT_BADARCH, ERRNO | foreign) == 0
        for rule in rules:
            if number(machine, rule.call) < 0:
                continue
            call = library.seccomp_syscall_resolve_name(rule.call.encode())  # of this machine: it is translated
            when = [Compare(argument, MASKED, mask, value) for argument, mask, value in rule.when]
            compares = (Compare * len(when))(*when)
            result = library.seccomp_rule_add_array(context, ERRNO | rule.errno, call, len(when), compares)
            assert result == 0, f"{rule}: {os.strerror(-result)}"
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("bpf", os.MFD_CLOEXEC)
    try:
        result = library.seccomp_export_bpf(context, descriptor)
        assert result == 0, os.strerror(-result)
        return os.pread(descriptor, 1 << 20, 0)
    finally:
        os.close(descriptor)
