"""A data store whose writers are killed, run out of room, lose the network, or write at once: whole in the end."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from taut.data.store import create_store, open_store
from taut.errors import TautError, Unavailable
from tests.data.store.conftest import own_cache  # noqa: F401  # A fixture that each test here has.
from tests.data.store.scene import BAR, MIB, again, content, contents, edited, fetched, key_in, new_store, noise, table
from tests.faults.disks import fill, small_disk

# A process that kills itself right before or right after its n-th change to the place.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from taut.data.store import folder
from tests.data.store.scene import BAR, again
from taut.data.exchange.remote import Content

where, verb, when, left = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])

def dying(method):
    def change(self, *arguments, **options):
        global left
        left -= 1
        if left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = method(self, *arguments, **options)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    return change

folder.Folder._written = dying(folder.Folder._written)
folder.Folder.delete = dying(folder.Folder.delete)
store = again(where)
files = sorted((where / "files").iterdir())
if verb == "push":
    ancestor = (where / "ancestor").read_text()
    store.push([Content(f.name, f, f.stat().st_size, ancestor if f.name != ancestor else "") for f in files], BAR)
elif verb == "gc":
    store.gc((where / "keep").read_text().split(), young_s=0)
elif verb == "repair":
    store.repair(lambda digest: where / "files" / digest)
"""


def run(folder: Path, verb: str, when: str, at: int) -> bool:
    """Whether the process was killed; else it came to its end."""
    command = [sys.executable, "-c", PROGRAM, str(folder), verb, when, str(at)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def scene(folder: Path) -> dict[str, bytes]:
    """A store that holds nothing yet, and files for it, two of them versions of one another."""
    new_store(folder)
    lines = table(300)
    first = content(folder / "files", b"".join(lines))
    made = [
        first,
        content(folder / "files", b"".join(edited(lines, 0.02))),
        *contents(folder / "files", [b"a", b"", noise(9000)]),
    ]
    (folder / "ancestor").write_text(first.digest)
    return {one.digest: one.path.read_bytes() for one in made}


def check_whole(folder: Path, files: dict[str, bytes]) -> set[str]:
    """What is there comes back right; returns what that is."""
    store = again(folder)
    assert store.fsck().damages == []
    there = set(store.listed())
    assert there == files.keys() - store.missing(files)
    assert fetched(store, there, folder / "out") == {digest: files[digest] for digest in there}
    return there


def until_the_end(folder: Path, verb: str, when: str, first: int = 1) -> Iterator[int]:
    """Kill at each change in turn, until the work needs no more of them."""
    for at in range(first, 60):
        if not run(folder, verb, when, at):
            return
        yield at
    raise AssertionError("it never came to its end")


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_push_killed_at_any_change_is_whole_and_ends_when_repeated(tmp_path, when):
    for at in range(1, 40):
        folder = tmp_path / str(at)
        files = scene(folder)
        if not run(folder, "push", when, at):
            assert at > 5
            break
        check_whole(folder, files)
        assert not run(folder, "push", when, 1000)
        assert check_whole(folder, files) == files.keys()
    else:
        raise AssertionError("it never came to its end")


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_collection_killed_at_any_change_is_whole_and_ends_when_repeated(tmp_path, when):
    files = scene(tmp_path)
    assert not run(tmp_path, "push", when, 1000)
    kept = sorted(files)[:2]
    (tmp_path / "keep").write_text(" ".join(kept))
    died = []
    for at in until_the_end(tmp_path, "gc", when):
        died.append(at)
        assert check_whole(tmp_path, files) >= set(kept)
        for mark in (tmp_path / "store").glob("marks/*"):
            os.utime(mark, (1, 1))  # Fifteen minutes later the dead are known to be dead.
        assert not run(tmp_path, "push", when, 1000)
        assert check_whole(tmp_path, files) == files.keys()
    assert len(died) > 3
    assert check_whole(tmp_path, files) == set(kept)


@pytest.mark.slow
def test_a_repair_killed_at_any_change_is_whole_and_ends_when_repeated(tmp_path):
    files = scene(tmp_path)
    assert not run(tmp_path, "push", "after", 1000)
    for at in range(1, 40):
        for path in (tmp_path / "store" / "packs").rglob("*"):
            if path.is_file():
                path.unlink()
                break
        killed = run(tmp_path, "repair", "after", at)
        for mark in (tmp_path / "store").glob("marks/*"):
            os.utime(mark, (1, 1))
        assert not run(tmp_path, "repair", "after", 1000)
        assert not run(tmp_path, "push", "after", 1000)
        assert check_whole(tmp_path, files) == files.keys()
        if not killed:
            return
    raise AssertionError("it never came to its end")


@pytest.mark.slow
def test_a_killed_pull_leaves_whole_files_or_none_and_ends_when_repeated(tmp_path):
    store = new_store(tmp_path)
    pushed = contents(tmp_path / "files", [noise(50_000, at) for at in range(12)])
    store.push(pushed, BAR)
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom taut.data.store import pull\n"
        "from tests.data.store.scene import BAR, again\nwhere, left = Path(sys.argv[1]), int(sys.argv[2])\n"
        "real = Path.replace\n"
        "def replace(self, target):\n    global left\n    left -= 1\n"
        "    if left == 0: os.kill(os.getpid(), signal.SIGKILL)\n    return real(self, target)\n"
        "Path.replace = replace\nstore = again(where)\n"
        "store.pull({d: where / 'out' / d[:2] / d for d in store.listed()}, BAR)"
    )
    for at in (1, 5, 12):
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path), str(at)], capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        for one in pushed:
            path = tmp_path / "out" / one.digest[:2] / one.digest
            assert not path.exists() or path.read_bytes() == one.path.read_bytes()
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path), "1000"]).returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file()) == sorted(one.digest for one in pushed)
    assert list((tmp_path / "out").glob(".*")) == []


def test_a_full_disk_is_told_and_room_cures_it(tmp_path):
    pushed = contents(tmp_path / "files", [noise(300_000, at) for at in range(4)])
    with small_disk(tmp_path / "disk") as disk:
        store = create_store(str(disk / "store"), key_in(tmp_path))
        store.push(pushed[:1], BAR)
        ballast = fill(disk)
        with pytest.raises(Unavailable, match="cannot be written") as told:
            store.push(pushed, BAR)
        assert "df -h" in told.value.hint
        ballast.unlink()
        assert set(store.listed()) == {pushed[0].digest}
        assert store.fsck().damages == []
        store.push(pushed, BAR)
        assert store.missing([one.digest for one in pushed]) == set()
        ballast = fill(disk)
        with pytest.raises(Unavailable, match="cannot be written"):
            store.pull({one.digest: disk / "out" / one.digest for one in pushed}, BAR)
        assert list((disk / "out").iterdir()) == []


@contextmanager
def cut_after(endpoint: str, allowed: int) -> Iterator[str]:
    """A way to a server that passes so many bytes to it and then none; every connection is cut."""
    parts = urlsplit(endpoint)
    left = [allowed]
    listener = socket.create_server(("127.0.0.1", 0))
    open_: list[socket.socket] = []

    def pass_on(source: socket.socket, target: socket.socket, counts: bool) -> None:
        try:
            while data := source.recv(65_536):
                if counts:
                    left[0] -= len(data)
                    if left[0] < 0:
                        break
                target.sendall(data)
        except OSError:
            return
        finally:
            for one in (source, target):
                with suppress(OSError):  # Closed by the other direction.
                    one.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if left[0] < 0:
                client.close()
                continue
            server = socket.create_connection((parts.hostname or "", parts.port or 80))
            open_.extend((client, server))
            for source, target, counts in ((client, server, True), (server, client, False)):
                threading.Thread(target=pass_on, args=(source, target, counts), daemon=True).start()

    worker = threading.Thread(target=serve)
    worker.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        worker.join()
        for one in open_:
            one.close()


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [20_000, 200_000, 2 * MIB])
def test_a_network_that_is_cut_is_told_and_the_repeated_push_ends(tmp_path, s3_server, s3_url, allowed):
    store = create_store(s3_url, key := key_in(tmp_path))
    pushed = contents(tmp_path / "files", [noise(MIB, at) for at in range(3)])
    with cut_after(s3_server.endpoint, allowed) as way, pytest.raises(Unavailable, match="did not answer"):
        open_store(s3_url.replace(s3_server.endpoint, way), key).push(pushed, BAR)
    assert set(store.listed()) == set()
    assert store.fsck().damages == []
    store.push(pushed, BAR)
    assert set(fetched(store, [one.digest for one in pushed], tmp_path / "out")) == {one.digest for one in pushed}


@pytest.mark.parametrize("kind", ["directory", "bucket"])
def test_two_push_at_once(tmp_path, kind, request):
    url = request.getfixturevalue("s3_url") if kind == "bucket" else str(tmp_path / "store")
    key = key_in(tmp_path)
    store = create_store(url, key)
    shared = contents(tmp_path / "files", [noise(60_000, at) for at in range(5)])
    own = [contents(tmp_path / "files", [noise(60_000, 100 * (at + 1) + one) for one in range(3)]) for at in range(2)]
    problems: list[TautError] = []

    def push(at: int) -> None:
        try:
            open_store(url, key).push([*shared, *own[at]], BAR)
        except TautError as problem:
            problems.append(problem)

    threads = [threading.Thread(target=push, args=(at,)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    digests = {one.digest for one in [*shared, *own[0], *own[1]]}
    assert set(store.listed()) == digests
    assert len(fetched(store, digests, tmp_path / "out")) == len(digests)
    assert store.fsck().damages == []


def test_pushing_beside_a_collection_loses_nothing(tmp_path):
    store = new_store(tmp_path)
    old = contents(tmp_path / "files", [noise(30_000, at) for at in range(6)])
    store.push(old, BAR)
    problems: list[TautError] = []

    def push() -> None:
        try:
            for turn in range(6):
                again(tmp_path).push([old[turn], content(tmp_path / "files", noise(30_000, 50 + turn))], BAR)
        except TautError as problem:
            problems.append(problem)

    def collect() -> None:
        try:
            for _ in range(4):
                again(tmp_path).gc([one.digest for one in old[:2]])
        except TautError as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for work in (push, collect)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    expected = {one.digest for one in old} | {path.name for path in (tmp_path / "files").iterdir()}
    assert again(tmp_path).missing(expected) == set()
    assert again(tmp_path).fsck().damages == []
    with closing(again(tmp_path).open_range(old[0].digest)) as stream:
        assert stream.read() == noise(30_000, 0)
