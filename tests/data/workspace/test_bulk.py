"""Many files in one call: the C module and its stand-in in Python keep the same promises."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.data.workspace import bulk
from taut.data.workspace.packed import (
    CHANGED,
    DAMAGED,
    DONE,
    PRESENT,
    SKIPPED,
    STAMP_BYTES,
    TARGET,
    Brought,
    packed_digests,
    packed_names,
    unpacked_names,
)

HERE = Path(__file__).parents[3]
LARGE = (1 << 20, (1 << 20) + 1, 5 << 20)
KINDS = ["native", "python"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of doing it."""
    if request.param == "python":
        monkeypatch.setattr(bulk, "native", None)
    elif bulk.native is None:
        pytest.skip("the C module is not compiled")
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Folders for sources, a store, what is on its way there, and targets."""
    for name in ("source", "store", "staging", "target"):
        (tmp_path / name).mkdir()
    return tmp_path


def md5_of(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def made(place: Path, *contents: bytes) -> list[str]:
    """Sources of these contents."""
    names = [f"file-{number}" for number in range(len(contents))]
    for name, data in zip(names, contents, strict=True):
        (place / "source" / name).write_bytes(data)
    return names


def brought(place: Path, names: list[str], *, stored: bool = False, to: list[str] | None = None, **options) -> Brought:
    """Bring these sources into the store and to targets."""
    stores = ((f"{place}/store", f"{place}/staging"),) if stored else ()
    target = None if to is None else packed_names(to)
    base = None if to is None else f"{place}/target"
    return bulk.bring(
        len(names), f"{place}/source", packed_names(names), stores=stores, target_base=base, targets=target,
        **options,
    )  # fmt: skip


def stored(place: Path) -> dict[str, bytes]:
    """What the store holds."""
    return {file.parent.name + file.name: file.read_bytes() for file in (place / "store").rglob("*") if file.is_file()}


def test_content_goes_to_stores_and_targets_in_one_reading(place: Path, kind: str):
    contents = [b"", b"a", b"line\n" * 99, *(os.urandom(size) for size in LARGE)]
    names, other = made(place, *contents), place / "other"
    (other / "staging").mkdir(parents=True)
    both = tuple((str(root), f"{root}/staging") for root in (other, place / "store"))
    (place / "store" / "staging").mkdir()
    read: list[int] = []
    result = bulk.bring(
        len(names), f"{place}/source", packed_names(names), stores=both, target_base=f"{place}/target",
        targets=packed_names(names), mode=0o640, advance=read.append,
    )  # fmt: skip
    assert result.md5s == [md5_of(data) for data in contents]
    assert set(result.code_list()) == {DONE}
    assert result.failed() is None
    for number, data in enumerate(contents):
        path = f"{md5_of(data)[:2]}/{md5_of(data)[2:]}"
        found = (place / "store" / path).stat()
        assert result.stamp_of(number) == (len(data), found.st_mtime_ns, found.st_ino)
        assert (place / "store" / path).read_bytes() == (other / path).read_bytes() == data
        assert found.st_mode & 0o777 == (other / path).stat().st_mode & 0o777 == 0o444
        assert (place / "target" / names[number]).read_bytes() == data
        assert (place / "target" / names[number]).stat().st_mode & 0o777 == 0o640
    assert os.listdir(f"{place}/store/staging") == os.listdir(f"{other}/staging") == []
    assert sum(read) <= sum(map(len, contents))


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(0, 200))
@pytest.mark.skipif(bulk.native is None, reason="the C module is not compiled")
def test_its_md5_is_that_of_the_standard_library(tmp_path_factory: pytest.TempPathFactory, parts, padding: int):
    place = tmp_path_factory.mktemp("md5")
    contents = [part * (1 + padding) for part in parts] + [b"x" * padding]
    (place / "source").mkdir()
    assert brought(place, made(place, *contents)).md5s == [md5_of(data) for data in contents]


@pytest.mark.parametrize("name", ["a\nb", "\udcff\udcfe", "-rf", "ü", " ", "x" * 255])
def test_hostile_names_are_names(place: Path, kind: str, name: str):
    (place / "source" / name).write_bytes(b"content")
    result = brought(place, [name], to=[name], stored=True)
    assert result.failed() is None
    assert (place / "target" / name).read_bytes() == b"content"


def test_what_is_there_is_not_written_again_and_its_stamp_is_told(place: Path, kind: str):
    names = made(place, b"one", b"two")
    first = brought(place, names, stored=True)
    again = brought(place, names, stored=True)
    assert list(again.code_list()) == [PRESENT, PRESENT]
    assert again == Brought(first.digests, first.stamps, again.codes)
    object_ = place / "store" / md5_of(b"one")[:2] / md5_of(b"one")[2:]
    object_.chmod(0o644)
    object_.write_bytes(b"cut off here")
    assert list(brought(place, names, stored=True).code_list()) == [DONE, PRESENT]
    assert stored(place) == {md5_of(b"one"): b"one", md5_of(b"two"): b"two"}


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_bytes_that_are_not_what_was_said_go_nowhere(place: Path, kind: str, size: int):
    names = made(place, b"good", b"x" * size, b"late")
    said = packed_digests([md5_of(b"good"), md5_of(b"y" * size), md5_of(b"late")])
    result = brought(place, names, to=names, stored=True, digests=said, go_on=True)
    assert list(result.code_list()) == [DONE, DAMAGED, DONE]
    assert result.failed() == 1
    assert stored(place) == {md5_of(b"good"): b"good", md5_of(b"late"): b"late"}
    assert sorted(os.listdir(place / "target")) == [names[0], names[2]]
    assert os.listdir(place / "staging") == []


def test_after_an_error_nothing_more_is_begun(place: Path, kind: str):
    names = made(place, *(b"%d" % number for number in range(400)))
    names[0] = "absent"
    result = brought(place, names, stored=True, threads=1)
    assert result.code_list()[0] == errno.ENOENT
    assert SKIPPED in result.code_list()
    assert result.failed() == 0
    through = brought(place, names, stored=True, go_on=True)
    assert list(through.code_list()).count(errno.ENOENT) == 1
    assert len(stored(place)) == 399


def test_what_is_no_file_is_not_waited_for(place: Path, kind: str):
    os.mkfifo(place / "source" / "pipe")
    (place / "source" / "folder").mkdir()
    result = brought(place, ["pipe", "folder"], stored=True, go_on=True)
    assert result.code_list()[0] == CHANGED
    assert result.code_list()[1] == CHANGED
    assert stored(place) == {}


def test_a_target_that_is_there_is_not_touched_and_a_link_not_followed(place: Path, kind: str):
    names = made(place, b"one", b"two")
    (place / "target" / "there").write_bytes(b"mine")
    (place / "target" / "link").symlink_to(place / "elsewhere")
    result = brought(place, names, to=["there", "link"], go_on=True)
    assert list(result.code_list()) == [TARGET + errno.EEXIST] * 2
    assert (place / "target" / "there").read_bytes() == b"mine"
    assert not (place / "elsewhere").exists()


def test_a_file_becomes_the_object_itself(place: Path, kind: str):
    names = made(place, b"one", b"one", b"", b"z" * (2 << 20))
    (place / "source" / "link").symlink_to("file-0")
    result = brought(place, [*names, "link"], stored=True, is_linked=True, threads=1)
    assert result.failed() is None
    assert set(stored(place)) == {md5_of(b"one"), md5_of(b""), md5_of(b"z" * (2 << 20))}
    for number in (0, 3):
        found = (place / "source" / names[number]).stat()
        assert result.stamp_of(number) == (found.st_size, found.st_mtime_ns, found.st_ino)
        assert found.st_nlink == 2
        assert found.st_mode & 0o777 == 0o444
    assert list(result.code_list()) == [DONE, PRESENT, DONE, DONE, PRESENT]
    assert (place / "source" / names[2]).stat().st_nlink == 1


def test_an_object_that_is_damaged_gives_way_to_the_file(place: Path, kind: str):
    names = made(place, b"right")
    object_ = place / "store" / md5_of(b"right")[:2] / md5_of(b"right")[2:]
    object_.parent.mkdir()
    object_.write_bytes(b"wrong and long")
    assert brought(place, names, stored=True, is_linked=True).failed() is None
    assert object_.read_bytes() == b"right"
    assert object_.stat().st_ino == (place / "source" / names[0]).stat().st_ino


def test_links_out_read_only_what_nobody_verified(place: Path, kind: str):
    contents = [b"one", b"two", b""]
    brought(place, made(place, *contents), stored=True)
    digests = packed_digests(map(md5_of, contents))
    nothing = bytes(STAMP_BYTES * 3)

    def linked(stamps: bytes, *to: str) -> Brought:
        return bulk.bring(
            3, f"{place}/store", digests=digests, stamps=stamps, target_base=f"{place}/target", go_on=True,
            targets=packed_names(to), is_linked=True,
        )  # fmt: skip

    first = linked(nothing, "a", "b", "c")
    assert set(first.code_list()) == {DONE}
    object_ = place / "store" / md5_of(b"one")[:2] / md5_of(b"one")[2:]
    assert (place / "target" / "a").stat().st_ino == object_.stat().st_ino
    assert (place / "target" / "c").stat().st_nlink == 1
    object_.chmod(0o644)
    object_.write_bytes(b"ONE")
    os.utime(object_, ns=(1, 1))
    assert list(linked(first.stamps, "d", "e", "f").code_list()) == [DAMAGED, DONE, DONE]
    assert not (place / "target" / "d").exists()


def test_numbers_that_do_not_fit_are_refused(place: Path, kind: str):
    one = made(place, b"one")
    bad: list[Callable[[], Brought]] = [
        lambda: brought(place, ["a\0b"]),
        lambda: brought(place, [""]),
        lambda: brought(place, one, digests=b"short"),
        lambda: brought(place, one, stamps=b"short"),
        lambda: brought(place, one, threads=0),
        lambda: brought(place, one, is_linked=True, stored=True, to=one),
        lambda: bulk.bring(2, f"{place}/source", b"one\0"),
        lambda: bulk.bring(1, f"{place}/source", b"one"),
        lambda: bulk.bring(1, f"{place}/source"),
    ]
    for call in bad:
        with pytest.raises(ValueError, match=r"names|digest|stamp|threads|links"):
            call()
    with pytest.raises(FileNotFoundError):
        bulk.bring(1, f"{place}/absent", b"one\0")
    assert bulk.bring(0, f"{place}/source", b"").md5s == []


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("mount"), reason="mounts a small disk, as root")
def test_a_full_disk_leaves_nothing_half(place: Path, kind: str):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place / "store")]).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (place / "store" / "staging").mkdir()
        names = made(place, b"fits", b"x" * (900 << 10), b"y" * (900 << 10), b"z" * (3 << 20))
        result = bulk.bring(
            len(names), f"{place}/source", packed_names(names), go_on=True, threads=1,
            stores=((f"{place}/store", f"{place}/store/staging"),),
        )  # fmt: skip
        assert list(result.code_list()) == [DONE, DONE, TARGET + errno.ENOSPC, TARGET + errno.ENOSPC]
        assert set(stored(place)) == {md5_of(b"fits"), md5_of(b"x" * (900 << 10))}
        linked = bulk.bring(
            2, f"{place}/source", packed_names(made(place, b"f", b"g")), is_linked=True, go_on=True,
            stores=((f"{place}/store", f"{place}/store/staging"),),
        )  # fmt: skip
        assert linked.failed() is None, "another file system gets copies"
        assert (place / "source" / "file-0").stat().st_nlink == 1
    finally:
        subprocess.run(["umount", str(place / "store")], check=True)


def test_a_folder_is_told_with_its_stamps_its_folders_and_what_is_neither(place: Path, kind: str):
    folder = place / "source"
    (folder / "below").mkdir()
    (folder / "a").write_bytes(b"12345")
    (folder / "new\nline\udcff").touch()
    os.link(folder / "a", folder / "again")
    (folder / "link").symlink_to("a")
    (folder / "to-folder").symlink_to("below")
    os.mkfifo(folder / "pipe")
    names, stamps, folders, others = bulk.scan(str(folder), "in/side/")
    fields = iter(array("q", stamps))
    found = dict(zip(unpacked_names(names), zip(fields, fields, fields, fields, strict=True), strict=True))
    one = (folder / "a").stat()
    assert found.keys() == {"in/side/a", "in/side/again", "in/side/link", "in/side/new\nline\udcff"}
    assert found["in/side/a"] == found["in/side/link"] == (5, one.st_mtime_ns, 0, one.st_ino)
    assert found["in/side/new\nline\udcff"][2] == (folder / "new\nline\udcff").stat().st_ctime_ns
    assert (unpacked_names(folders), unpacked_names(others)) == (["below"], ["pipe"])
    (folder / "dangling").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError) as lost:
        bulk.scan(str(folder), "")
    assert lost.value.filename == str(folder / "dangling")
    with pytest.raises(NotADirectoryError):
        bulk.scan(str(folder / "a"), "")
    assert bulk.scan(str(folder / "below"), "") == (b"", b"", b"", b"")


def test_many_names_of_any_length_are_told_alike(place: Path, kind: str):
    names = [f"{number:03}{'x' * number}" for number in range(250)]
    for name in names:
        (place / "source" / name).touch()
    told, stamps, *_ = bulk.scan(str(place / "source"), "p/")
    assert sorted(unpacked_names(told)) == [f"p/{name}" for name in names]
    assert len(stamps) == 32 * len(names)


INTERRUPTED = """
import sys
from taut.data.workspace import bulk
from taut.data.workspace.packed import packed_names
if sys.argv[2] == "python":
    bulk.native = None
print("ready", flush=True)
names = packed_names(["big"] * 400)
bulk.bring(400, sys.argv[1] + "/source", names, stores=((sys.argv[1] + "/store", sys.argv[1] + "/staging"),))
"""


def test_ctrl_c_is_answered_at_once_and_leaves_nothing_half(place: Path, kind: str):
    with (place / "source" / "big").open("wb") as stream:
        stream.truncate(256 << 20)
    command = [sys.executable, "-c", INTERRUPTED, str(place), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as working:
        assert working.stdout is not None
        working.stdout.readline()
        while not os.listdir(place / "staging"):
            assert working.poll() is None
        working.send_signal(signal.SIGINT)
        asked = time.monotonic()
        _, said = working.communicate(timeout=30)
    assert time.monotonic() - asked < 5, "generous: the machine may be busy"
    assert b"KeyboardInterrupt" in said
    assert os.listdir(place / "staging") == []


def test_what_the_listener_raises_ends_it(place: Path, kind: str):
    with (place / "source" / "big").open("wb") as stream:
        stream.truncate(64 << 20)

    def stop(_: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        brought(place, ["big"] * 100, stored=True, advance=stop)
    assert os.listdir(place / "staging") == []


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_the_c_module_passes_under_the_sanitizers(tmp_path: Path):
    """This file's tests once more, on a build that ends at the first wrong access or undefined operation."""
    runtime = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    if not os.path.isabs(runtime):
        pytest.skip("the compiler has no sanitizers")
    shutil.copytree(HERE / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    native = tmp_path / "src/taut/data/workspace/native"
    flags = ["-std=gnu11", "-g", "-O1", "-fPIC", "-shared", "-pthread", "-fsanitize=address,undefined"]
    flags += ["-fno-sanitize-recover=all", f"-I{sysconfig.get_path('include')}"]
    subprocess.run(["cc", *flags, "-o", str(native / "_native.abi3.so"), str(native / "native.c")], check=True)
    environment = {
        **os.environ, "LD_PRELOAD": os.path.realpath(runtime), "PYTHONPATH": str(tmp_path / "src"),
        "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "-k", "native or md5 or scan", __file__]
    done = subprocess.run(
        [sys.executable, *words], cwd=HERE, env=environment, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "passed" in done.stdout
