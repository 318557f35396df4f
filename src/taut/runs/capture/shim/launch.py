"""Becomes the command of a run, after asking the kernel to end it should taut itself be killed.

Called `launch.py PARENT HOW PROGRAM ARGUMENTS…`. Without this a run whose `taut run` died would go on with nobody to
record how it ended. HOW is JSON: `fixed_addresses` takes chance out of where memory lies, `cores` are those to run on,
`writable` the only folders that may be written, `ports` the only ones that TCP may connect to. Fields may be left out.
"""

import ctypes
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
WRITE_FILE, REFER, TRUNCATE = 1 << 1, 1 << 13, 1 << 14
CHANGES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # Removing and making, all kinds.
ON_FILES = WRITE_FILE | TRUNCATE
CONNECT = 1 << 1
REFER_SINCE, TRUNCATE_SINCE, TCP_SINCE = 2, 3, 4
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm", "/proc/self")  # noqa: S108


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
            confine(libc, how.get("writable"), how.get("ports"))
    if os.getppid() != parent:  # It died before the kernel knew.
        sys.exit(128 + signal.SIGTERM)
    # Python ignores SIGPIPE and programs inherit that; give it back.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(program, sys.argv[4:])  # noqa: S606  # The user's own command is what this is for.


def confine(libc: Any, writable: Any, ports: Any) -> None:
    """Let the kernel (Landlock) refuse writes outside the folders and connections to other ports, for good."""
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    changes = CHANGES | (REFER if version >= REFER_SINCE else 0) | (TRUNCATE if version >= TRUNCATE_SINCE else 0)
    handled = (changes if writable is not None else 0, CONNECT if ports is not None and version >= TCP_SINCE else 0)
    ruleset = _must(libc, CREATE_RULESET, struct.pack("=QQ", *handled), 8 if version < TCP_SINCE else 16, 0)
    for place in (*writable, *DEVICES) if writable is not None else ():
        if os.path.exists(place):
            descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
            rights = changes if os.path.isdir(place) else changes & ON_FILES
            _must(libc, ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
            os.close(descriptor)
    for port in ports or () if handled[1] else ():
        _must(libc, ADD_RULE, ruleset, 2, struct.pack("=QQ", CONNECT, port), 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _must(libc, RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _must(libc: Any, *arguments: Any) -> Any:
    result = libc.syscall(*arguments)
    if result < 0:
        sys.exit("taut: the kernel refused the sandbox: " + os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main()
