"""How many bytes move: an object is read once and written once, whatever its size, and never held whole in memory."""

import io
import os
import tracemalloc

import pytest

from taut.data import add_dataset
from taut.ground.objects import connect_objects, oid_of
from taut.ground.objects.protocol import CHUNK_BYTES
from taut.home import open_home


class Source(io.RawIOBase):
    """A stream of zeros that counts what is taken from it."""

    def __init__(self, size: int) -> None:
        self.left, self.taken, self.largest = size, 0, 0

    def read(self, size: int = -1) -> bytes:
        given = self.left if size < 0 else min(size, self.left)
        self.left -= given
        self.taken += given
        self.largest = max(self.largest, given)
        return bytes(given)


def written() -> int:
    """Bytes that this process has handed to write(2)."""
    with open("/proc/self/io") as counters:
        return int(next(line for line in counters if line.startswith("wchar")).split()[1])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 20 * CHUNK_BYTES + 7])
def test_a_put_reads_each_byte_once_in_pieces_and_writes_it_once(tmp_path, size):
    objects = connect_objects(f"file://{tmp_path / 'objects'}")
    source = Source(size)
    before = written()
    oid = objects.put(source)  # type: ignore[arg-type]  # A raw stream reads as a file does.
    moved = written() - before
    assert (source.taken, source.left) == (size, 0)
    assert source.largest <= CHUNK_BYTES
    assert size <= moved <= size + 4096
    assert oid == oid_of(bytes(size))


def test_a_put_of_any_size_takes_the_memory_of_some_chunks(tmp_path):
    objects = connect_objects(f"file://{tmp_path / 'objects'}")
    tracemalloc.start()
    objects.put(Source(64 * CHUNK_BYTES))  # type: ignore[arg-type]  # As above.
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * CHUNK_BYTES


def test_adding_a_dataset_writes_its_bytes_once(project):
    data = os.urandom(3 * CHUNK_BYTES)
    (project / "raw.bin").write_bytes(data)
    with open_home(project) as home:
        before = written()
        add_dataset(home, project / "raw.bin")
        first = written() - before
    overhead = 600_000  # Pages of the write-ahead log, the pointer, the tree: none of it grows with the data.
    assert len(data) <= first <= len(data) + overhead
