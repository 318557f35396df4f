"""Asked of an interpreter after a run, as `python -c`: prints as JSON what it is and what is installed for it.

It stands alone, for only that interpreter knows what it would import. Its argument lists libraries that the run loaded.
"""

import ctypes
import hashlib
import importlib.metadata
import json
import locale
import os
import platform
import sys
import time
from typing import Any

# What an installer adds, or what names the place of the environment: not part of what was installed.
ADDED = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json")


def packages() -> Any:
    """Name, version, digest of what RECORD lists, origin and top names of every distribution; the first of a name."""
    found = {}  # type: dict[str, Any]
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name and name.lower() not in found:
            found[name.lower()] = package(name, distribution)
    return [found[name] for name in sorted(found)]


def package(name: str, distribution: Any) -> Any:
    """What is known of one distribution."""
    kept, tops = [], set()  # type: list[str], set[str]
    for line in (distribution.read_text("RECORD") or "").splitlines():
        path = line.rsplit(",", 2)[0].strip('"')
        if path.startswith(("..", "/")) or path.endswith(".pyc"):
            continue
        tops.add(path.split("/", 1)[0])
        if path.rsplit("/", 1)[-1] not in ADDED:
            kept.append(line)
    record = hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest() if kept else ""
    return {
        "name": name, "version": distribution.version or "", "record": record,
        "origin": (distribution.read_text("direct_url.json") or "").strip(),
        "tops": sorted(tops),
    }  # fmt: skip


def origin() -> str:
    """How this interpreter came here."""
    base = os.path.realpath(sys.base_prefix)
    if os.path.isdir(os.path.join(sys.base_prefix, "conda-meta")):
        kind = "conda"
    elif "/.pyenv/" in base or "/pyenv/versions/" in base:
        kind = "pyenv"
    elif "/uv/python/" in base:
        kind = "uv"
    else:
        kind = "system"
    return "venv of " + kind if sys.prefix != sys.base_prefix else kind


def called(library: Any, names: Any, kind: Any) -> Any:
    """The answer of the first of these functions that the library has."""
    for name in names:
        function = getattr(library, name, None)
        if function is not None:
            function.restype = kind
            answer = function()
            return answer.decode("ascii", "replace") if isinstance(answer, bytes) else answer
    return None


def blas(path: str) -> Any:
    """Version, threads and kernel of OpenBLAS, whatever its functions are called in this build."""
    library = ctypes.CDLL(path)
    named = [start + "openblas_get_{}" + end for start in ("", "scipy_") for end in ("", "64_", "_64")]
    config = called(library, [name.format("config") for name in named], ctypes.c_char_p) or ""
    kernel = called(library, [name.format("corename") for name in named], ctypes.c_char_p) or ""
    threads = called(library, [name.format("num_threads") for name in named], ctypes.c_int) or 0
    words = config.split()
    return {"version": words[1] if len(words) > 1 else "", "threads": threads, "kernel": kernel}


def openmp(path: str) -> Any:
    """Threads of an OpenMP runtime."""
    return {"threads": called(ctypes.CDLL(path), ["omp_get_max_threads"], ctypes.c_int) or 0}


ASKED = {"blas": blas, "openmp": openmp}


def libraries(loaded: Any) -> Any:
    """Facts of the libraries that compute, and the C library."""
    name, version = platform.libc_ver()
    found = [{"kind": "libc", "name": name or "libc", "version": version}]  # type: list[dict[str, Any]]
    for kind, path in loaded:
        about = {"kind": kind, "name": os.path.basename(path), "version": "", "path": path}
        try:
            about.update(ASKED[kind](path) if kind in ASKED else {})
        except (OSError, AttributeError):
            about["version"] = ""  # Known by its name alone: it cannot be loaded here.
        found.append(about)
    return found


about = platform.python_implementation() + " " + platform.python_version()
print(  # noqa: T201  # Its answer.
    json.dumps({
        "python": about, "platform": platform.platform(), "packages": packages(), "interpreter": sys.executable or "",
        "implementation": platform.python_implementation(), "version": platform.python_version(),
        "build": " ".join(platform.python_build()) + ", " + platform.python_compiler(), "origin": origin(),
        "libraries": libraries(json.loads(sys.argv[1])), "encoding": sys.getfilesystemencoding(),
        "locale": ".".join(part for part in locale.getlocale() if part), "timezone": "/".join(time.tzname),
    })
)  # fmt: skip
