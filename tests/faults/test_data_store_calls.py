"""A data store whose writers die, are interrupted or run out of room at any call that changes a disk."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.store.scene import BAR, again, content, contents, edited, fetched, new_store, noise, overwrite, table

pytestmark = pytest.mark.slow
MEMORY = "/dev/shm"  # What is under test is the order of calls, not the disk.
POINTS = int(os.environ.get("FAULT_POINTS", "8"))  # Of each verb and fault; 0: every call.
ORDERLY, TOLD, INTERRUPTED = 0, 3, 130

# Forks a process for each line of its input: what to do, which fault, at which of the calls that change something.
PROGRAM = """
import errno, json, os, signal, sys
from pathlib import Path
from taut.data.exchange.remote import Content
from taut.data.store import chunks, connecting, folder, formats, fsck, gc, keys, pull, push, stores, deltas
from taut.errors import TautError
from tests.data.store.scene import BAR, again

KINDS = {"open": lambda path, flags, *rest, **more: flags & os.O_CREAT, "writev": None, "write": None, "mkdir": None,
         "link": None, "replace": None, "rename": None, "unlink": None, "rmdir": None, "fsync": None}
GROWING = {"open", "writev", "write", "mkdir", "link", "fsync"}

def act(where, verb):
    store = again(where)
    files = sorted((where / "files").iterdir())
    if verb == "push":
        ancestor = (where / "ancestor").read_text()
        store.push([Content(f.name, f, f.stat().st_size, ancestor if f.name != ancestor else "") for f in files], BAR)
    elif verb == "pull":
        store.pull({f.name: where / "out" / f.name[:2] / f.name for f in files}, BAR)
    elif verb == "gc":
        store.gc((where / "keep").read_text().split(), young_s=0)
    elif verb == "repair":
        store.repair(lambda digest: where / "files" / digest)

def armed(fault, at):
    state = {"count": 0, "full": False}
    def wrapped(name, real, changes):
        def call(*arguments, **options):
            if changes is not None and not changes(*arguments, **options):
                return real(*arguments, **options)
            if state["full"] and name in GROWING:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            state["count"] += 1
            if state["count"] == at:
                if fault == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if fault == "tear":
                    if name == "writev":
                        data = b"".join(arguments[1])
                        os.pwrite(arguments[0], data[: len(data) // 2], os.lseek(arguments[0], 0, os.SEEK_CUR))
                    os.kill(os.getpid(), signal.SIGKILL)
                if fault == "interrupt":
                    os.kill(os.getpid(), signal.SIGINT)
                if fault == "full" and name in GROWING:
                    state["full"] = True
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)
        return call
    for name, changes in KINDS.items():
        setattr(os, name, wrapped(name, getattr(os, name), changes))
    return state

for line in sys.stdin:
    where, verb, fault, at = json.loads(line)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)
        continue
    signal.signal(signal.SIGINT, signal.default_int_handler)
    state = armed(fault, at)
    try:
        act(Path(where), verb)
        status = 0
    except TautError as problem:
        status = 3 if len(str(problem).splitlines()) == 1 else 4
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        import traceback
        traceback.print_exc()
        status = 5
    (Path(where) / "count").write_text(str(state["count"]))
    os._exit(status)
"""


class Forks:
    """The program above, running."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, where: Path, verb: str, fault: str = "", at: int = 0) -> int:
        """The exit status of a process that does this; negative for a signal."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(where), verb, fault, at]) + "\n")
        self.process.stdin.flush()
        return int(json.loads(self.process.stdout.readline()))

    def end(self) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    running = Forks()
    yield running
    running.end()


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as name:
        yield Path(name)


def scene(folder: Path, verb: str) -> dict[str, bytes]:
    """A store before a verb, the files that it is about, and what a collection keeps."""
    store = new_store(folder)
    lines = table(300)
    first = content(folder / "files", b"".join(lines))
    made = [
        first,
        content(folder / "files", b"".join(edited(lines, 0.02)), first.digest),
        *contents(folder / "files", [b"a", b"", noise(9000), noise(40_000, 1)]),
    ]
    (folder / "ancestor").write_text(first.digest)
    (folder / "keep").write_text(f"{made[0].digest} {made[4].digest}")
    if verb != "push":
        for one in made:  # Each in a pack and an index of its own.
            store.push([one], BAR)
    if verb == "repair":
        packs = sorted(path for path in (folder / "store" / "packs").rglob("*") if path.is_file())
        overwrite(packs[0], packs[0].read_bytes()[:-5])
        packs[1].unlink()
        (index, *_) = sorted((folder / "store" / "index").iterdir())
        overwrite(index, b"")
    return {one.digest: one.path.read_bytes() for one in made}


def check_whole(folder: Path, verb: str, files: dict[str, bytes], *, is_done: bool) -> None:
    """What is there is right, now and, where the verb came to its end, all that should be there."""
    store = again(folder)
    there = set(store.listed())
    kept = set((folder / "keep").read_text().split())
    if verb != "repair" or is_done:
        assert store.fsck().damages == []
        assert fetched(store, there, folder / "checked") == {digest: files[digest] for digest in there}
    assert there >= {"push": set(), "gc": kept}.get(verb, files.keys())
    for path in (folder / "out").rglob("*") if verb == "pull" else ():
        if path.is_file() and ".taut-pull-" not in str(path):
            assert path.read_bytes() == files[path.name]
    if is_done:
        assert there == (kept if verb == "gc" else files.keys())
        if verb == "pull":
            out = {path.name: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}
            assert out == files
        assert [path for name in ("leases", "marks", "tmp") for path in (folder / "store").glob(f"{name}/*")] == []


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", ["kill", "tear", "interrupt", "full"])
@pytest.mark.parametrize("verb", ["push", "pull", "gc", "repair"])
def test_a_fault_at_any_call_leaves_all_whole_and_the_repeated_verb_ends(forks, memory, verb, fault):
    """FAULT_POINTS=0 tries every call of each verb."""
    files = scene(memory / "before", verb)
    shutil.copytree(memory / "before", memory / "counted")
    assert forks.run(memory / "counted", verb) == ORDERLY
    calls = int((memory / "counted" / "count").read_text())
    assert calls > 10
    check_whole(memory / "counted", verb, files, is_done=True)
    seen = set()
    for at in range(1, calls + 1, max(1, calls // POINTS) if POINTS else 1):
        folder = memory / "now"
        shutil.copytree(memory / "before", folder)
        status = forks.run(folder, verb, fault, at)
        seen.add(status)
        assert status in {"kill": (-9,), "tear": (-9,), "interrupt": (130,), "full": (0, 3)}[fault], (at, status)
        check_whole(folder, verb, files, is_done=status == ORDERLY)
        forget_the_dead(folder)
        assert forks.run(folder, verb) == ORDERLY, at
        forget_the_dead(folder)
        check_whole(folder, verb, files, is_done=True)
        shutil.rmtree(folder)
    assert seen - {ORDERLY}, "no fault was seen"


def forget_the_dead(folder: Path) -> None:
    """Let as much time pass as it takes until the leases and unfinished files of the dead are nobody's."""
    for path in (folder / "store").glob("marks/*"):
        os.utime(path, (1, 1))
    for name in ("leases", "tmp"):
        for path in (folder / "store").glob(f"{name}/*"):
            path.unlink()
