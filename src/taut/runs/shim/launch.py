"""Becomes the command of a run, after asking the kernel to end it should taut itself be killed.

Called `launch.py PARENT PROGRAM ARGUMENTS…`. Without this a run whose `taut run` died would go on with nobody to
record how it ended.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Tie our life to the parent's and become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # It died before the kernel knew.
        sys.exit(128 + signal.SIGTERM)
    # Python ignores SIGPIPE and programs inherit that; give it back.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(program, sys.argv[3:])  # noqa: S606  # The user's own command is what this is for.


if __name__ == "__main__":
    main()
