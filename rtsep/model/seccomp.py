"""seccomp: a process irrevocably limits its own system calls (Linux).

A filter in the kernel's small language (BPF) checks the number and the arguments of each call. It allows what
a loaded model needs: memory, time, waiting, reading of files. Everything else fails with EPERM: network,
programs, processes, threads, writing of files, signals to others, and unforeseen calls. Calls newer than the
table fail with ENOSYS, as on an older kernel, so that libraries use older calls.

The kernel's own description: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # codes of BPF
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _PROCESSOR, _ARGUMENTS = 0, 4, 16  # offsets in the data of a call, in bytes

_SET_FILTER, _ALL_THREADS, _GET_AVAILABLE = 1, 1, 2
_NEWEST = 451
"""First call number that is newer than the tables."""


class Processor(NamedTuple):
    """System calls of one kind of processor."""

    audit: int
    seccomp: int
    plain: Mapping[str, int]  # calls that are harmless with any argument
    calls: Mapping[str, int]  # calls with checked arguments


_X86_64 = Processor(
    audit=0xC000003E,
    seccomp=317,
    plain={
        "read": 0, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mmap": 9,
        "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
        "pread64": 17, "readv": 19, "access": 21, "sched_yield": 24, "mremap": 25, "msync": 26, "mincore": 27,
        "madvise": 28, "nanosleep": 35, "getpid": 39, "exit": 60, "uname": 63, "getcwd": 79,
        "readlink": 89, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "times": 100,
        "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131,
        "sched_getparam": 143, "sched_getscheduler": 145, "sched_get_priority_max": 146,
        "sched_get_priority_min": 147, "mlock": 149, "munlock": 150, "mlockall": 151, "munlockall": 152,
        "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204, "getdents64": 217,
        "set_tid_address": 218, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229,
        "clock_nanosleep": 230, "exit_group": 231, "newfstatat": 262, "readlinkat": 267, "faccessat": 269,
        "set_robust_list": 273, "getcpu": 309, "getrandom": 318, "membarrier": 324, "mlock2": 325,
        "statx": 332, "rseq": 334, "faccessat2": 439,
    },
    calls={"write": 1, "open": 2, "openat": 257, "fcntl": 72, "sched_setscheduler": 144, "tgkill": 234,
     "prlimit64": 302},
)  # fmt: skip

_AARCH64 = Processor(
    audit=0xC00000B7,
    seccomp=277,
    plain={
        "getcwd": 17, "faccessat": 48, "close": 57, "getdents64": 61, "lseek": 62, "read": 63, "readv": 65,
        "pread64": 67, "ppoll": 73, "readlinkat": 78, "newfstatat": 79, "fstat": 80, "exit": 93,
        "exit_group": 94, "set_tid_address": 96, "futex": 98, "set_robust_list": 99, "nanosleep": 101,
        "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "sched_getscheduler": 120,
        "sched_getparam": 121, "sched_getaffinity": 123, "sched_yield": 124, "sched_get_priority_max": 125,
        "sched_get_priority_min": 126, "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134,
        "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "uname": 160, "getrlimit": 163,
        "getrusage": 165, "getcpu": 168, "gettimeofday": 169, "getpid": 172, "getppid": 173, "getuid": 174,
        "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178, "sysinfo": 179, "brk": 214,
        "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "msync": 227, "mlock": 228,
        "munlock": 229, "mlockall": 230, "munlockall": 231, "mincore": 232, "madvise": 233, "getrandom": 278,
        "membarrier": 283, "mlock2": 284, "statx": 291, "rseq": 293, "faccessat2": 439,
    },
    calls={
        "write": 64, "openat": 56, "fcntl": 25, "sched_setscheduler": 119, "tgkill": 131, "prlimit64": 261,
    },
)  # fmt: skip

_PROCESSORS = {"x86_64": _X86_64, "aarch64": _AARCH64}

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HARMLESS_FCNTL = (1, 2, 3)  # F_GETFD, F_SETFD, F_GETFL: none of them requests signals

_LIMITS_OF_SCHEDULING = (0, 8, 15)  # RLIMIT_CPU, RLIMIT_MEMLOCK, RLIMIT_RTTIME

Code = list[tuple[int, int, int, int]]  # code, jump if true, jump if false, value


def available() -> bool:
    """Return whether this kernel filters calls, and the processor's calls are listed here."""
    if sys.platform != "linux" or sys.byteorder != "little" or platform.machine() not in _PROCESSORS:
        return False
    action = ctypes.c_uint32(_ERRNO)
    seccomp = _PROCESSORS[platform.machine()].seccomp
    return int(_libc().syscall(seccomp, _GET_AVAILABLE, 0, ctypes.byref(action))) == 0


def restrict(writable: Sequence[int]) -> None:
    """Limit all threads of this process to the calls of a model; only files in `writable` can be written.

    Needs `no_new_privs`. Raise `OSError`.
    """
    if not available():
        raise OSError("this kernel or processor has no supported seccomp")
    processor = _PROCESSORS[platform.machine()]
    code = _program(processor, writable)
    packed = b"".join(struct.pack("<HBBI", *line) for line in code)
    lines = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("@HP", len(code), ctypes.addressof(lines))
    if _libc().syscall(processor.seccomp, _SET_FILTER, _ALL_THREADS, program) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _program(processor: Processor, writable: Sequence[int]) -> Code:
    code: Code = [
        (_LOAD, 0, 0, _PROCESSOR),
        (_EQUAL, 1, 0, processor.audit),
        (_RETURN, 0, 0, _KILL),  # a call of another kind of program, such as a 32-bit one
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, 0x40000000),  # numbers of x32, another kind
        (_RETURN, 0, 0, _KILL),
        (_AT_LEAST, 0, 1, _NEWEST),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for number in processor.plain.values():
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    us = [os.getpid()]
    for name, number in processor.calls.items():
        if name in ("open", "openat"):
            check = _no_bit(1 if name == "open" else 2, _WRITES)
        elif name == "write":
            check = _one_of(0, writable)
        elif name == "fcntl":
            check = _one_of(1, _HARMLESS_FCNTL)
        elif name == "tgkill":  # used by `abort` and `raise`
            check = _one_of(0, us)
        elif name == "prlimit64":
            check = _own_limits()
        else:  # 0: this process
            check = _one_of(0, [0])
        code += [(_EQUAL, 0, len(check), number), *check]
    return [*code, (_RETURN, 0, 0, _ERRNO | errno.EPERM)]


def _one_of(argument: int, values: Sequence[int]) -> Code:
    """Allow the call if the lower half of an argument has one of these values."""
    code: Code = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument)]
    for value in values:
        code += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*code, (_RETURN, 0, 0, _ERRNO | errno.EPERM)]


def _own_limits() -> Code:
    """Allow reading this process's limits, and setting those that its scheduling needs."""
    refused = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    allowed = (_RETURN, 0, 0, _ALLOW)
    code: Code = [(_LOAD, 0, 0, _ARGUMENTS), (_EQUAL, 1, 0, 0), refused, (_LOAD, 0, 0, _ARGUMENTS + 8)]
    for limit in _LIMITS_OF_SCHEDULING:
        code += [(_EQUAL, 0, 1, limit), allowed]
    for half in (16, 20):  # the address of the new limit must be null
        code += [(_LOAD, 0, 0, _ARGUMENTS + half), (_EQUAL, 1, 0, 0), refused]
    return [*code, allowed]


def _no_bit(argument: int, bits: int) -> Code:
    """Allow the call if the lower half of an argument has none of these bits."""
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        (_ANY_BIT, 1, 0, bits),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc
