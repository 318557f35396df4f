"""Where a command runs beside its folder: variables of its own, and what the kernel lets it read, write and reach."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import taut

CREATE_RULESET = 444  # Landlock's first call; asked with the flag 1 it tells the version. Source: linux/landlock.h.
TCP_SINCE = 4
MACHINES = ("x86_64", "aarch64")  # Whose numbers of system calls the launcher knows.
SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/etc", "/opt", "/proc", "/sys", "/dev", "/run",
    "/var/lib", "/var/cache", "/nix/store", "/gnu/store", "/snap",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What differs from the caller's own: `variables` are set, `writable` are the only folders that may be written.

    Empty `writable` means no bound; `readable` may be read besides, None for everything. `ports` are the only ones that
    TCP may connect to, and nothing else of the network is left, None for all of it. `cleared` are variables of the
    caller that are not passed on.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    writable: tuple[str, ...] = ()
    ports: tuple[int, ...] | None = None
    readable: tuple[str, ...] | None = None
    cleared: frozenset[str] = frozenset()

    def bounds(self, *besides: Path) -> dict[str, object]:
        """What the launcher asks of the kernel; `besides` may be written too."""
        writable = {"writable": [*self.writable, *map(str, besides)]} if self.writable else {}
        readable = {"readable": list(self.readable)} if self.writable and self.readable is not None else {}
        return {**writable, **readable, **({"ports": list(self.ports)} if self.ports is not None else {})}

    def around(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment as a command in the sandbox gets it."""
        return {**{name: value for name, value in environ.items() if name not in self.cleared}, **self.variables}


def landlock_version() -> int:
    """The kernel's version of Landlock; 0 where it has none, or was told not to."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1)))


def make_sandbox(
    scratch: Path,
    *,
    tracking_uri: str,
    offline: bool,
    readable: Iterable[str] | None = None,
    cleared: frozenset[str] = frozenset(),
) -> tuple[Sandbox, tuple[str, ...]]:
    """A sandbox in which a command cannot change what lies outside `scratch`; and what of that cannot be had here.

    With `readable` it cannot read elsewhere either, but for the system's own files.
    """
    version = landlock_version()
    folders = {"HOME": scratch / "user", "TMPDIR": scratch / "tmp"}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    base = os.environ.get("PYTHONUSERBASE", str(Path.home() / ".local"))
    variables = {
        **{name: str(folder) for name, folder in folders.items()},
        "PYTHONUSERBASE": base,
        "PYTHONPYCACHEPREFIX": str(scratch / "tmp" / "pycache"),
        "DVC_SITE_CACHE_DIR": str(scratch / "tmp" / "dvc"),  # Else dvc writes below /var/tmp.
    }
    port = urlsplit(tracking_uri).port
    is_cut_off = version >= TCP_SINCE and platform.machine() in MACHINES
    ports = tuple([port] if port else []) if offline and is_cut_off else None
    missing = [] if version else ["it was not kept from reading and writing elsewhere: this kernel has no Landlock"]
    if offline and ports is None:
        missing.append("the network was not cut off: that takes Landlock 4 (Linux 6.7) on x86-64 or arm64")
    places = None
    if readable is not None and version:
        own = (*SYSTEM, base, str(Path(taut.__file__).parent), *readable)
        places = tuple(dict.fromkeys(os.path.realpath(place) for place in own))
    return Sandbox(variables, (str(scratch),) if version else (), ports, places, cleared), tuple(missing)
