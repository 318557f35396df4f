"""Becomes the command of a run, after asking the kernel to end it should taut itself be killed.

Called `launch.py PARENT HOW PROGRAM ARGUMENTS…`. Without this a run whose `taut run` died would go on with nobody to
record how it ended. HOW is JSON: `fixed_addresses` takes chance out of where memory lies, `cores` are those to run on,
`writable` the only folders that may be written, `readable` the only ones that may be read besides, `ports` the only
ones that TCP may connect to, all other of the network being cut off. Fields may be left out.
"""

import ctypes
import errno
import json
import os
import signal
import struct
import sys
from typing import Any

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
ADDR_NO_RANDOMIZE, PERSONALITY_NOW = 0x0040000, 0xFFFFFFFF  # linux/personality.h
# linux/landlock.h; the numbers of the calls are those of every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REFER, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 13, 1 << 14
READS = EXECUTE | READ_FILE | READ_DIR
CHANGES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # Removing and making, all kinds.
ON_FILES = WRITE_FILE | TRUNCATE | EXECUTE | READ_FILE
CONNECT = 1 << 1
REFER_SINCE, TRUNCATE_SINCE, TCP_SINCE = 2, 3, 4
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm", "/proc/self")  # noqa: S108
# linux/seccomp.h, filter.h, audit.h. For each machine: its number, and those of socket(2) and io_uring_setup(2).
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, REFUSE, UNKNOWN = 0x7FFF0000, 0x00050000 | errno.EACCES, 0x00050000 | errno.ENOSYS
MACHINES = {"x86_64": (0xC000003E, 41, 425), "aarch64": (0xC00000B7, 198, 425)}
LOAD, EQUAL, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
NUMBER, MACHINE, FIRST, SECOND, THIRD = (
    0,
    4,
    16,
    24,
    32,
)  # Where struct seccomp_data has them; arguments are little endian.
X32 = 0x40000000
UNIX, INET, NETLINK, INET6, STREAM, TCP = 1, 2, 16, 10, 1, 6


def main() -> None:
    """Tie our life to the parent's and become the program."""
    parent, how, program = int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if how.get("cores"):
            os.sched_setaffinity(0, how["cores"])
        if how.get("fixed_addresses"):
            libc.personality(libc.personality(PERSONALITY_NOW) | ADDR_NO_RANDOMIZE)
        if "writable" in how or "ports" in how:
            confine(libc, how.get("writable"), how.get("readable"), how.get("ports"))
        if "ports" in how and os.uname().machine in MACHINES:
            leave_tcp_alone(libc)
    if os.getppid() != parent:  # It died before the kernel knew.
        sys.exit(128 + signal.SIGTERM)
    # Python ignores SIGPIPE and programs inherit that; give it back.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(program, sys.argv[4:])  # noqa: S606  # The user's own command is what this is for.


def confine(libc: Any, writable: Any, readable: Any, ports: Any) -> None:
    """Let the kernel (Landlock) refuse what lies outside the folders, and connections to other ports, for good."""
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    changes = CHANGES | (REFER if version >= REFER_SINCE else 0) | (TRUNCATE if version >= TRUNCATE_SINCE else 0)
    if readable is not None:
        changes |= READS
    handled = (changes if writable is not None else 0, CONNECT if ports is not None and version >= TCP_SINCE else 0)
    ruleset = _must(libc, CREATE_RULESET, struct.pack("=QQ", *handled), 8 if version < TCP_SINCE else 16, 0)
    if writable is not None:
        allowed = [(place, changes) for place in (*writable, *DEVICES)]
        for place, wanted in (*allowed, *((place, READS) for place in readable or ())):
            if os.path.exists(place):
                descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
                rights = wanted if os.path.isdir(place) else wanted & changes & ON_FILES
                _must(libc, ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
                os.close(descriptor)
    for port in ports or () if handled[1] else ():
        _must(libc, ADD_RULE, ruleset, 2, struct.pack("=QQ", CONNECT, port), 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _must(libc, RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def leave_tcp_alone(libc: Any) -> None:
    """Let the kernel (seccomp) refuse every socket that Landlock does not bound: of the network, only TCP is left.

    A ring of io_uring could make sockets past the filter, so it is refused, and so are calls by another machine's
    numbers.
    """
    machine, socket, ring = MACHINES[os.uname().machine]
    lines = [
        (LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, machine), (RETURN, 0, 0, UNKNOWN),
        (LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, X32), (RETURN, 0, 0, UNKNOWN),
        (EQUAL, 0, 1, ring), (RETURN, 0, 0, UNKNOWN),
        (EQUAL, 1, 0, socket), (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, FIRST), (EQUAL, 1, 0, UNIX), (EQUAL, 0, 1, NETLINK), (RETURN, 0, 0, ALLOW),
        (EQUAL, 1, 0, INET), (EQUAL, 0, 6, INET6),
        (LOAD, 0, 0, SECOND), (AND, 0, 0, 0xF), (EQUAL, 0, 3, STREAM),
        (LOAD, 0, 0, THIRD), (EQUAL, 2, 0, 0), (EQUAL, 1, 0, TCP), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW),
    ]  # fmt: skip
    program = b"".join(struct.pack("=HBBI", *line) for line in lines)
    held = ctypes.create_string_buffer(program, len(program))
    told = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(held)))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(told), 0, 0) != 0:
        sys.exit("taut: the kernel refused the sandbox: " + os.strerror(ctypes.get_errno()))


def _must(libc: Any, *arguments: Any) -> Any:
    result = libc.syscall(*arguments)
    if result < 0:
        sys.exit("taut: the kernel refused the sandbox: " + os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main()
