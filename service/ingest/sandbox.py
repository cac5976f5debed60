"""A kernel sandbox for this process and for good: it needs no root and no package, and nothing takes it off again.

Landlock (Linux 5.13) leaves reading of the Python installation and writing of one folder; a network namespace leaves no
network, where the kernel lets an ordinary user have one; a filter of system calls no socket and no other program;
limits leave so much memory, time and processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

PR_SET_SECCOMP, MODE_FILTER = 22, 2
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
# Where the kernel lays the number and the architecture of a call.
NUMBER_AT, ARCHITECTURE_AT = 0, 4
# Numbers of another table of the same processor (x32) begin here.
OTHER_TABLE = 0x40000000
# socket, connect, execve, execveat, setsid, setpgid, ptrace, process_vm_readv, process_vm_writev, pidfd_getfd,
# io_uring_setup (which reaches most of the others).
REFUSED = {
    "x86_64": (0xC000003E, (41, 42, 59, 322, 112, 109, 101, 310, 311, 438, 425)),
    "aarch64": (0xC00000B7, (198, 203, 221, 281, 157, 154, 117, 270, 271, 438, 425)),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def give_up_calls(libc: ctypes.CDLL) -> bool:
    """Has the calls in `REFUSED`, which no rule of files covers, fail with EPERM from now on, here and in all it makes.

    Gives False where this processor is not known. Needs `PR_SET_NO_NEW_PRIVS`. Raises OSError where the kernel refuses.
    """
    if platform.machine() not in REFUSED:
        return False
    architecture, numbers = REFUSED[platform.machine()]
    steps = [(LOAD, 0, 0, ARCHITECTURE_AT), (JUMP_EQUAL, 1, 0, architecture), (RETURN, 0, 0, REFUSE)]
    steps += [(LOAD, 0, 0, NUMBER_AT), (JUMP_AT_LEAST, len(numbers) + 1, 0, OTHER_TABLE)]
    steps += [(JUMP_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    program = _Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    if libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel refuses the filter of system calls")
    return True


PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
VERSION_FLAG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
# Rights over files, by the version of Landlock that knows them.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
TCP_RIGHTS = 3
SCOPES = 3
READ = READ_FILE | READ_DIR
PROCESSES = 512
OPEN_FILES = 256
READABLE = (
    "/usr", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/random",
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/filesystems",
    "/proc/sys/vm", "/proc/sys/kernel", "/sys/devices/system", "/sys/fs/cgroup",
)  # fmt: skip


def why_not() -> str | None:
    """Why the kernel offers no sandbox; None where it does."""
    version = landlock_version()
    if version >= 1:
        return None
    return "this kernel has no Landlock (Linux 5.13, and `landlock` among its security modules)"


def enter(folder: Path, memory_bytes: int, cpu_s: int, file_bytes: int) -> bool:
    """From now on this process, of one thread still, reads Python and writes `folder` alone. False without Landlock.

    Raises OSError where the kernel refuses what it said it could do.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    alone = own_network()
    _limits(memory_bytes, cpu_s, file_bytes, own_processes=alone)
    version = landlock_version()
    if version < 1:
        return False
    _restrict(libc, version, folder)
    give_up_calls(libc)
    libc.prctl(PR_SET_DUMPABLE, 0)
    return True


def own_network() -> bool:
    """Leaves this process, of one thread, with no network; False where the kernel does not let it."""
    return bool(ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)


def _limits(memory_bytes: int, cpu_s: int, file_bytes: int, *, own_processes: bool) -> None:
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if own_processes:
        # Without a user namespace of its own, the threads of the whole user would be counted.
        limits[resource.RLIMIT_NPROC] = PROCESSES
    for what, most in limits.items():
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _restrict(libc: ctypes.CDLL, version: int, folder: Path) -> None:
    rights = sum(bits for since, bits in FILE_RIGHTS.items() if version >= since)
    attributes = struct.pack("=Q", rights)
    if version >= 4:
        attributes += struct.pack("=Q", TCP_RIGHTS)
    if version >= 6:
        attributes += struct.pack("=Q", SCOPES)
    ruleset = _call(libc, CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in _readable():
            _allow(libc, ruleset, path, READ if path.is_dir() else READ_FILE)
        _allow(libc, ruleset, Path("/dev/null"), READ_FILE | WRITE_FILE)
        _allow(libc, ruleset, folder, rights & ~EXECUTE)
        _call(libc, RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _readable() -> Iterable[Path]:
    package = Path(__file__).resolve().parents[1]
    python = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    paths = {*python, package, *(Path(entry).resolve() for entry in sys.path if "site-packages" in entry)}
    return [path for path in (*paths, *map(Path, READABLE)) if path.exists()]


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            _call(libc, ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
        finally:
            os.close(descriptor)


def landlock_version() -> int:
    """0 or below where the kernel has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_FLAG))


def _call(libc: ctypes.CDLL, number: int, *arguments: int | bytes) -> int:
    found = int(libc.syscall(number, *arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses the sandbox")
    return found
