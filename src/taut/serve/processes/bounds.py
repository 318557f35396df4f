"""What bounds a process of a model: its threads, its memory, and that it ends with whoever started it."""

import ctypes
import os
import resource
import signal
import sys
import threading
from pathlib import Path

# What the libraries below numpy, scikit-learn, torch and their like read as they are loaded. joblib reads the last: a
# model with n_jobs=-1 would otherwise take every core for itself.
THREAD_SETTINGS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
)  # fmt: skip

# jemalloc, which pandas brings with Arrow, takes its locks before a fork and starts its thread again in the child.
STARTED_AGAIN = frozenset({"jemalloc_bg_thd"})

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def environment(threads: int) -> dict[str, str]:
    """This process's environment for one that loads a model."""
    return {**os.environ, **dict.fromkeys(THREAD_SETTINGS, str(threads))}


def end_with_parent(parent: int, by: signal.Signals) -> None:
    """Ask the kernel to send this signal once the parent is gone; at once where it is gone already.

    Elsewhere than on Linux a process sees by its closed socket that nobody asks it any more.
    """
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os.kill(os.getpid(), by)


def adopt_orphans() -> None:
    """Become the parent of what the processes of a model leave behind, so that it can be ended too."""
    if sys.platform == "linux":
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def children() -> list[int]:
    """The processes whose parent is this one; where the kernel does not say, none."""
    try:
        return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


def strange_threads() -> list[str]:
    """The names of the threads of this process, C libraries' too, that a fork would lose and not start again.

    Where the kernel does not say, those of Python alone.
    """
    own = str(os.getpid())
    try:
        names = [
            Path(f"/proc/self/task/{one}/comm").read_text().strip()
            for one in os.listdir("/proc/self/task")
            if one != own
        ]
    except OSError:
        names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    return [name for name in names if name not in STARTED_AGAIN]


def bound_memory(size_bytes: int) -> None:
    """Let this process have so many bytes of memory of its own, the model among them; past that MemoryError is raised.

    RLIMIT_DATA counts what a process can write and not what it maps of files, so it is near to what it really takes.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))


def _prctl(option: int, value: int) -> None:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
