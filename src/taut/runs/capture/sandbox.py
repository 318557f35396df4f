"""Where a command runs beside its folder: variables of its own, and what the kernel lets it write and connect to."""

import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CREATE_RULESET = 444  # Landlock's first call; asked with the flag 1 it tells the version. Source: linux/landlock.h.
TCP_SINCE = 4


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What differs from the caller's own: `variables` are set, `writable` are the only folders that may be written.

    Empty `writable` means no bound; `ports` are the only ones that TCP may connect to, None for all.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    writable: tuple[str, ...] = ()
    ports: tuple[int, ...] | None = None

    def bounds(self, *besides: Path) -> dict[str, object]:
        """What the launcher asks of the kernel; `besides` may be written too."""
        writable = {"writable": [*self.writable, *map(str, besides)]} if self.writable else {}
        return {**writable, **({"ports": list(self.ports)} if self.ports is not None else {})}


def landlock_version() -> int:
    """The kernel's version of Landlock; 0 where it has none, or was told not to."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1)))


def make_sandbox(scratch: Path, *, tracking_uri: str, offline: bool) -> tuple[Sandbox, tuple[str, ...]]:
    """A sandbox in which a command cannot change what lies outside `scratch`; and what of that cannot be had here."""
    version = landlock_version()
    folders = {"HOME": scratch / "user", "TMPDIR": scratch / "tmp"}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    variables = {
        **{name: str(folder) for name, folder in folders.items()},
        "PYTHONUSERBASE": os.environ.get("PYTHONUSERBASE", str(Path.home() / ".local")),
        "PYTHONPYCACHEPREFIX": str(scratch / "tmp" / "pycache"),
    }
    port = urlsplit(tracking_uri).port
    ports = tuple([port] if port else []) if offline and version >= TCP_SINCE else None
    missing = [] if version else ["it was not kept from writing elsewhere: this kernel has no Landlock"]
    if offline and ports is None:
        missing.append("the network was not cut off: that takes Landlock 4, a kernel of 6.7")
    return Sandbox(variables, (str(scratch),) if version else (), ports), tuple(missing)
