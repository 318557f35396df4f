"""A DVC repository: where it begins, what its config says of the cache, and its locks, so that both tools can work."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from taut.data.workspace.cache import DEFAULT_TYPES, TYPES, Cache
from taut.data.workspace.config import CACHE, FOLDER, Config, config_files
from taut.data.workspace.digests import md5_of
from taut.errors import Conflict, Invalid, Unavailable

LOCK, RWLOCK = "tmp/lock", "tmp/rwlock"
LOCK_S = 3.0  # As long as DVC waits itself.
CLAIMED_S = 365 * 86_400  # As DVC does: whoever holds it takes it away.


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
        """Hold DVC's lock, so that no command of DVC's begins meanwhile, nor a stage that runs comes to its end.

        Raises Conflict where one holds it for over 3 s, or reads or writes one of the paths (absolute) right now.
        """
        file = f"{self.root}/{FOLDER}/{LOCK}"
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with _linked(file) if self.is_on("core", "hardlink_lock") else _flocked(file):
            self._check_rwlock(paths)
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
            for mode, word in (("write", "written"), ("read", "read")):
                for path, those in held.get(mode, {}).items():
                    alive = [one for one in _listed(those) if os.path.exists(f"/proc/{one.get('pid')}")]
                    if alive and any(_overlap(path, ours) for ours in paths):
                        raise Conflict(f"{path} is being {word} by {alive[0].get('cmd')!r}", hint="wait for it")


@contextmanager
def _flocked(file: str) -> Iterator[None]:
    """DVC's lock as it is mostly: `flock`, with the holder's id in it."""
    import fcntl

    with open(file, "a+", encoding="ascii") as stream:
        for _ in _tries(file):
            with suppress(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        stream.truncate(0)
        stream.write(f" {os.getpid()}\n")
        stream.flush()
        yield


@contextmanager
def _linked(file: str) -> Iterator[None]:
    """DVC's lock for file systems without `flock` (`core.hardlink_lock`): a claim, to which the lock is a second name.

    The claim holds the host and the process that made it, and its time is when it ends.
    """
    import socket

    claim = f"{file}|{socket.gethostname()}|{os.getpid()}|{int.from_bytes(os.urandom(4))}"
    own = f"{os.path.dirname(file)}/{md5_of(claim.encode())}.lock"
    Path(own).write_text(claim, encoding="utf-8")
    try:
        end = time.time() + CLAIMED_S
        os.utime(own, (end, end))
        for _ in _tries(file):
            with suppress(FileExistsError):
                os.link(own, file)
                break
        try:
            yield
        finally:
            os.unlink(file)
    finally:
        os.unlink(own)


def _tries(file: str) -> Iterator[None]:
    """Come round until it is over 3 s. Raises Conflict then."""
    end = time.monotonic() + LOCK_S
    while True:
        yield
        if time.monotonic() > end:
            raise Conflict(f"DVC works in {os.path.dirname(file)}: it holds {file}", hint="wait for it")
        time.sleep(0.05)


def _listed(those: Any) -> list[Any]:
    return those if isinstance(those, list) else [those]


def repository_of(place: str) -> Repository | None:
    """The nearest DVC repository at or above a path; None where there is none."""
    while True:
        if os.path.isfile(f"{place}/{FOLDER}/config"):
            return Repository(place)
        above = os.path.dirname(place)
        if above == place:
            return None
        place = above


def git_over(place: str) -> bool:
    """Whether git keeps a folder, or one above it; of a worktree and a submodule `.git` is a file."""
    while not os.path.exists(f"{place}/.git"):
        if (above := os.path.dirname(place)) == place:
            return False
        place = above
    return True


def ignored_by_git(folder: str, files: list[str]) -> set[str]:
    """Which of the files below a folder, and of the folders above them, git is told to ignore, folders with `/`.

    Those included that it has nevertheless. None where git cannot tell, or is not there: then nothing is left out.
    """
    import subprocess

    # With the slash, as DVC asks: `data/*` ignores the folder itself then, whatever stands below about its files.
    folders = {f"{above}/" for file in files for above in _folders_above(file, folder)}
    command = ["git", "-C", folder, "check-ignore", "--no-index", "-z", "--stdin"]
    asked = "\0".join([*files, *folders]).encode(errors="surrogateescape")
    if not files:
        return set()
    try:
        done = subprocess.run(command, input=asked, capture_output=True, check=False)
    except FileNotFoundError:
        return set()
    return (
        set(filter(None, done.stdout.decode(errors="surrogateescape").split("\0"))) if done.returncode == 0 else set()
    )


def _folders_above(file: str, top: str) -> Iterator[str]:
    while len(file := os.path.dirname(file)) > len(top):
        yield file


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
