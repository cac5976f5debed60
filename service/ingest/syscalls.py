"""System calls that a process gives up for good: what files and limits do not cover, a neighbour's socket above all."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

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


def give_up(libc: ctypes.CDLL) -> bool:
    """From now on they fail with EPERM, in this process and all it makes. False where this processor is not known.

    `PR_SET_NO_NEW_PRIVS` must be set. Raises OSError where the kernel refuses.
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
