"""The object store as a state machine: whatever is done in whatever order, it is a dictionary from digest to bytes."""

import io
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from taut.errors import NotFound
from taut.ground.objects import Objects, connect_objects, oid_of, read_object

BYTES = st.one_of(st.binary(max_size=200), st.sampled_from([b"", b"same", b"x" * 70_000]))


class ObjectStore(RuleBasedStateMachine):
    """A store beside a dictionary; after each step both hold the same."""

    oids = Bundle("oids")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, bytes] = {}
        self.objects = self.open_store()

    def open_store(self) -> Objects:
        return connect_objects("memory://")

    @rule(target=oids, data=BYTES)
    def put(self, data: bytes) -> str:
        oid = self.objects.put(io.BytesIO(data))
        assert oid == oid_of(data)
        self.model[oid] = data
        return oid

    @rule(target=oids, data=BYTES)
    def name_without_putting(self, data: bytes) -> str:
        return oid_of(data)

    @rule(oid=oids, start=st.integers(0, 300), length=st.one_of(st.none(), st.integers(1, 300)))
    def read_range(self, oid: str, start: int, length: int | None) -> None:
        data = self.model.get(oid)
        if data is None:
            try:
                self.objects.open(oid).close()
            except NotFound:
                return
            raise AssertionError(f"{oid} was never put, and yet it opened")
        with self.objects.open(oid, start=start, length=length) as stream:
            assert stream.read() == data[start : None if length is None else start + length]

    @rule(some=st.lists(oids, max_size=4))
    def delete(self, some: list[str]) -> None:
        self.objects.delete(some)
        for oid in some:
            self.model.pop(oid, None)

    @rule(some=st.lists(oids, max_size=6))
    def ask_for_the_missing(self, some: list[str]) -> None:
        assert self.objects.missing(some) == set(some) - self.model.keys()

    @rule(target=oids)
    def forget_nothing(self):
        return multiple()

    @invariant()
    def both_hold_the_same(self) -> None:
        assert set(self.objects.list()) == self.model.keys()
        for oid, data in self.model.items():
            assert read_object(self.objects, oid) == data


class FolderStore(ObjectStore):
    """The same of a folder, which may be closed and opened between any two steps."""

    def open_store(self) -> Objects:
        self.folder = tempfile.TemporaryDirectory()
        return connect_objects(f"file://{self.folder.name}/objects")

    @rule()
    def open_again(self) -> None:
        self.objects = connect_objects(f"file://{self.folder.name}/objects")

    @invariant()
    def nothing_is_left_unfinished(self) -> None:
        assert list((Path(self.folder.name) / "objects" / "tmp").iterdir()) == []

    def teardown(self) -> None:
        self.folder.cleanup()


SHORT = settings(max_examples=25, stateful_step_count=20, deadline=None, derandomize=True)
TestMemory = ObjectStore.TestCase
TestMemory.settings = SHORT
TestFolder = FolderStore.TestCase
TestFolder.settings = SHORT
