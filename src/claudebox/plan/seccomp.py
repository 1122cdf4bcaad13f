"""The system calls that the agent may not make, as a classic BPF program for `bwrap --seccomp FD`.

A value of the plan: nothing here reads the machine. Everything is allowed but

- what reaches past the namespaces (keyrings, AF_VSOCK, the terminal's input queue),
- what exists for the host's administrator (modules, kexec, swap, the clock),
- large kernel interfaces that programs do without when they are told "no such call" (bpf, io_uring),
- calls of another ABI (i386, x32, arm32), whose numbers and arguments the rules would misread, and
- calls that nobody has read yet: those after LAST_CALL look as on the kernel before them.

ptrace, mount, unshare, clone, setns and pivot_root stay, for debuggers and nested sandboxes. Later filters
of the agent can only refuse more (seccomp(2)).

EPERM says "you may not", where the kernel says the same to a process without capabilities; ENOSYS says
"not on this kernel", where programs have a second way. The kernel's bitmap (5.11, kernel/seccomp.c) skips
the program for every call whose verdict hangs on number and architecture alone.

Sources: linux/arch/*/tools/syscall*.tbl at 6.18; man pages as named in the rows; the lists of Docker
(profiles/seccomp/default.json) and Flatpak (common/flatpak-run.c, setup_seccomp).
"""

from __future__ import annotations

import struct
from errno import EAFNOSUPPORT, ENOSYS, EPERM, EPROTONOSUPPORT

from claudebox.errors import ClaudeboxError

# uname(2)'s machine → (AUDIT_ARCH_* of linux/audit.h, column of the numbers below). The second has never
# been run on such a machine: it is compared with libseccomp's tables and programs only.
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# file_setattr, Linux 6.17: the last call that was read for this table, on both machines. Beyond it lie later
# calls, x32 (from 0x40000000, X32_SYSCALL_BIT), and x32's own 512..547, which kernels before 5.4 took without
# that bit and 514 of them is ioctl.
LAST_CALL = 469
NOT_A_CALL = 0xFFFFFFFF  # -1 is what a tracer puts in to have a call skipped (ptrace(2)): no call of the kernel

Numbers = tuple[int | None, int | None]  # on x86_64, on aarch64; None: there is no such call

# name, verdict, numbers, reason, source
CALLS: tuple[tuple[str, int, Numbers, str, str], ...] = (
    ("add_key", EPERM, (248, 217), "keyrings know no namespaces: the host's keys are inherited", "keyrings(7)"),
    ("request_key", EPERM, (249, 218), "as add_key; starts /sbin/request-key on the host", "request_key(2)"),
    ("keyctl", EPERM, (250, 219), "as add_key", "keyctl(2)"),
    ("perf_event_open", EPERM, (298, 241), "sees other processes and the kernel", "perf_event_open(2)"),
    ("open_by_handle_at", EPERM, (304, 265), "opens files outside every mount", "open_by_handle_at(2)"),
    ("syslog", EPERM, (103, 116), "the host's kernel log", "syslog(2)"),
    ("move_pages", EPERM, (279, 239), "tells where memory lies, moves that of others", "move_pages(2)"),
    ("migrate_pages", EPERM, (256, 238), "as move_pages", "migrate_pages(2)"),
    ("init_module", EPERM, (175, 105), "code into the kernel", "init_module(2)"),
    ("finit_module", EPERM, (313, 273), "code into the kernel", "init_module(2)"),
    ("delete_module", EPERM, (176, 106), "out of the kernel", "delete_module(2)"),
    ("kexec_load", EPERM, (246, 104), "another kernel", "kexec_load(2)"),
    ("kexec_file_load", EPERM, (320, 294), "another kernel", "kexec_load(2)"),
    ("reboot", EPERM, (169, 142), "the machine", "reboot(2)"),
    ("swapon", EPERM, (167, 224), "the machine's memory", "swapon(2)"),
    ("swapoff", EPERM, (168, 225), "the machine's memory", "swapon(2)"),
    ("acct", EPERM, (163, 89), "writes a record of every process of the host", "acct(2)"),
    ("quotactl", EPERM, (179, 60), "limits of the host's users", "quotactl(2)"),
    ("quotactl_fd", EPERM, (443, 443), "as quotactl", "quotactl(2)"),
    ("settimeofday", EPERM, (164, 170), "the machine's clock", "settimeofday(2)"),
    ("clock_settime", EPERM, (227, 112), "the machine's clock", "clock_settime(2)"),
    ("iopl", EPERM, (172, None), "the machine's ports", "iopl(2)"),
    ("ioperm", EPERM, (173, None), "the machine's ports", "ioperm(2)"),
    ("bpf", ENOSYS, (321, 280), "programs in the kernel; its holes are many", "bpf(2)"),
    ("userfaultfd", ENOSYS, (323, 282), "stops the kernel in mid-copy: what exploits are made with", "userfaultfd(2)"),
    ("io_uring_setup", ENOSYS, (425, 425), "its operations pass seccomp by: IORING_OP_SOCKET, AF_VSOCK", "io_uring(7)"),
    ("io_uring_enter", ENOSYS, (426, 426), "as io_uring_setup", "io_uring(7)"),
    ("io_uring_register", ENOSYS, (427, 427), "as io_uring_setup", "io_uring(7)"),
    ("fanotify_init", ENOSYS, (300, 262), "watches whole file systems", "fanotify_init(2)"),
    ("lookup_dcookie", ENOSYS, (212, 18), "paths of other processes; gone in 6.7", "lookup_dcookie(2)"),
    ("uselib", ENOSYS, (134, None), "no program has used it since a.out; holes", "uselib(2)"),
)

# Calls that are judged by an argument. The kernel takes all of these as 32-bit (int, unsigned int), so the
# rules read the low word alone: high bits change nothing for either.
IOCTL: Numbers = (16, 29)
SOCKET: Numbers = (41, 198)
SOCKETPAIR: Numbers = (53, 199)  # it makes two sockets, and loads the family's module, before it can fail
PERSONALITY: Numbers = (135, 92)

# What could be done to the user's terminal, which the agent holds.
REQUESTS: tuple[tuple[str, int, str, str], ...] = (
    ("TIOCSTI", 0x5412, "types into the user's shell", "ioctl_tty(2)"),
    ("TIOCLINUX", 0x541C, "pastes into a console", "ioctl_console(2)"),
    ("TIOCSETD", 0x5423, "another line discipline: old drivers, and a dead terminal after the end", "ioctl_tty(2)"),
)

# EAFNOSUPPORT for all other families. AF_VSOCK (40) and AF_QIPCRTR (42) know no network namespaces, so no tier
# holds without this; AF_PACKET, AF_ALG, AF_TIPC, AF_BLUETOOTH, … are drivers that a call loads (net-pf-*).
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_TYPE_MASK, SOCK_PACKET = 0xF, 10  # AF_INET with it is AF_PACKET: __sock_create, net/socket.c
IPPROTO_SMC = 256  # AF_SMC by another name (6.11); its data goes by RDMA, past the namespace's rules
# EPROTONOSUPPORT for all others, nf_tables above all: routes and addresses (getifaddrs), what `ss` asks.
NETLINK_ROUTE, NETLINK_SOCK_DIAG = 0, 4

# EPERM for all others: READ_IMPLIES_EXEC and its like undo protections of every program started later.
# Plain, PER_LINUX32, UNAME26, both, ADDR_NO_RANDOMIZE (gdb), and the question which it is.
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)

# Instructions (linux/filter.h, linux/bpf_common.h): a word of struct seccomp_data, comparisons, an end.
LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
NUMBER, ARCH, ARGUMENT = 0, 4, (16, 24, 32)  # offsets in struct seccomp_data; both machines are little-endian
ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # SECCOMP_RET_*

Code = list[bytes]


def seccomp_program(machine: str) -> bytes:
    """The program as struct sock_filter[], for a kernel whose uname(2) says machine.

    Raises ClaudeboxError for a machine without a table.
    """
    if machine not in MACHINES:
        known = " and ".join(MACHINES)
        raise ClaudeboxError(
            f"no system call filter for {machine or 'an unknown machine'}",
            hint=f"claudebox runs on {known}; without the filter a sandbox would be half protected",
        )
    arch, column = MACHINES[machine]
    program = _foreign(arch)
    program += _when((IOCTL[column],), _requests())
    program += _when((SOCKET[column], SOCKETPAIR[column]), _families())
    program += _when((PERSONALITY[column],), _personalities())
    for _, verdict, numbers, _, _ in CALLS:
        number = numbers[column]
        if number is not None:
            program += _equal(number, _refuse(verdict))
    program += _allow()
    return b"".join(program)


def _foreign(arch: int) -> Code:
    """Other ABIs and calls after the last one have no such call. Leaves the number loaded."""
    return [
        _instruction(LOAD, ARCH),
        _instruction(EQUAL, arch, then=1),
        *_refuse(ENOSYS),
        _instruction(LOAD, NUMBER),
        _instruction(AT_LEAST, LAST_CALL + 1, otherwise=3),
        *_equal(NOT_A_CALL, _allow()),
        *_refuse(ENOSYS),
    ]


def _requests() -> Code:
    code = [_instruction(LOAD, ARGUMENT[1])]
    for _, request, _, _ in REQUESTS:
        code += _equal(request, _refuse(EPERM))
    return code + _allow()


def _families() -> Code:
    netlink = [_instruction(LOAD, ARGUMENT[2])]
    for protocol in (NETLINK_ROUTE, NETLINK_SOCK_DIAG):
        netlink += _equal(protocol, _allow())
    netlink += _refuse(EPROTONOSUPPORT)
    internet = [
        _instruction(LOAD, ARGUMENT[1]),
        _instruction(AND, SOCK_TYPE_MASK),
        *_equal(SOCK_PACKET, _refuse(EAFNOSUPPORT)),
        _instruction(LOAD, ARGUMENT[2]),
        *_equal(IPPROTO_SMC, _refuse(EPROTONOSUPPORT)),
        *_allow(),
    ]
    code = [_instruction(LOAD, ARGUMENT[0]), *_equal(AF_UNIX, _allow()), *_equal(AF_NETLINK, netlink)]
    return code + _when((AF_INET, AF_INET6), internet) + _refuse(EAFNOSUPPORT)


def _personalities() -> Code:
    code = [_instruction(LOAD, ARGUMENT[0])]
    for value in PERSONALITIES:
        code += _equal(value, _allow())
    return code + _refuse(EPERM)


def _when(values: tuple[int | None, ...], body: Code) -> Code:
    """What is loaded is one of values: body, which ends in a return. Otherwise on, what is loaded kept."""
    known = [value for value in values if value is not None]
    code = [_instruction(EQUAL, value, then=len(known) - place) for place, value in enumerate(known[1:], start=1)]
    return [*code, *_equal(known[0], body)]


def _equal(value: int, body: Code) -> Code:
    return [_instruction(EQUAL, value, otherwise=len(body)), *body]


def _allow() -> Code:
    return [_instruction(RETURN, ALLOW)]


def _refuse(error: int) -> Code:
    return [_instruction(RETURN, ERRNO | error)]


def _instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One struct sock_filter: then and otherwise are how many instructions a comparison skips."""
    return struct.pack("<HBBI", code, then, otherwise, value)
