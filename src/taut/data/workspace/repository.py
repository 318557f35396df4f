"""A DVC repository: where it begins, what its config says of the cache, and its locks, so that both tools can work."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from taut.data.workspace.cache import DEFAULT_TYPES, TYPES, Cache
from taut.data.workspace.config import CACHE, FOLDER, Config, config_files
from taut.errors import Conflict, Invalid, Unavailable

LOCK, RWLOCK = "tmp/lock", "tmp/rwlock"
LOCK_S = 3.0  # As long as DVC waits itself.


class Repository:
    """A folder that holds `.dvc`, and the config of all four levels of DVC, the nearest last."""

    def __init__(self, root: str) -> None:
        self.root = root

    @cached_property
    def config(self) -> Config:
        """What the config says. Raises Invalid for a broken file."""
        return Config(config_files(self.root))

    def is_on(self, section: str, option: str) -> bool:
        """Whether a switch is on."""
        return self.config.is_on(section, option)

    def cache(self) -> Cache:
        """The cache that the config names, with its kinds of link. Raises Invalid for a kind that there is not."""
        words = self.config.option(CACHE, "type").strip("[]").split(",")
        kinds = [kind for word in words if (kind := word.strip("\"' "))]
        if unknown := [kind for kind in kinds if kind not in TYPES]:
            raise Invalid(f"cache.type of {self.root} is {unknown[0]!r}, not one of {', '.join(TYPES)}")
        folder = self.config.cache_folder(f"{self.root}/{FOLDER}/{CACHE}")
        return Cache(Path(folder), kinds or DEFAULT_TYPES)

    @contextmanager
    def locked(self, paths: tuple[str, ...] = ()) -> Iterator[None]:
        """Hold DVC's lock, so that no command of DVC's begins meanwhile.

        Raises Conflict where one holds it for over 3 s, or works on one of the paths (absolute) right now.
        """
        import fcntl

        file = f"{self.root}/{FOLDER}/{LOCK}"
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "a+", encoding="ascii") as stream:
            end = time.monotonic() + LOCK_S
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise Conflict(f"DVC works in {self.root}: it holds {file}", hint="wait for it") from None
                    time.sleep(0.05)
            self._check_rwlock(paths)
            stream.truncate(0)
            stream.write(f" {os.getpid()}\n")
            stream.flush()
            yield

    def stage(self, files: list[Path]) -> None:
        """Have git stage what was written, as `core.autostage` asks for. Raises Unavailable with git's words."""
        import subprocess

        if not files or self.is_on("core", "no_scm"):
            return
        done = subprocess.run(
            ["git", "-C", self.root, "add", "--", *map(str, files)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = (done.stderr.strip() or "nothing").splitlines()[0]
            raise Unavailable(f"git could not stage {files[0].name}: {said}", hint="git status")

    def _check_rwlock(self, paths: tuple[str, ...]) -> None:
        """A stage that runs has let go of the lock, and says here what it reads and writes."""
        with suppress(FileNotFoundError, ValueError, AttributeError):  # Half written, or gone: nobody works.
            held = json.loads(Path(f"{self.root}/{FOLDER}/{RWLOCK}").read_bytes())
            for path, one in held.get("write", {}).items():
                if any(_overlap(path, ours) for ours in paths) and os.path.exists(f"/proc/{one.get('pid')}"):
                    raise Conflict(f"{path} is being written by {one.get('cmd')!r}", hint="wait for it")


def repository_of(place: str) -> Repository | None:
    """The nearest DVC repository at or above a path; None where there is none."""
    while True:
        if os.path.isfile(f"{place}/{FOLDER}/config"):
            return Repository(place)
        above = os.path.dirname(place)
        if above == place:
            return None
        place = above


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
