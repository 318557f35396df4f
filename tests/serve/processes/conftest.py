"""One pool around a model that does as it is told, shared by the tests that leave it as they found it."""

from collections.abc import Iterator

import pytest

from tests.serve.processes.tricksters import Saved, Stand, Trickster, saved, stand


@pytest.fixture(scope="session")
def trickster(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """The model on disk."""
    return saved(tmp_path_factory.mktemp("trickster") / "model", Trickster())


@pytest.fixture(scope="session")
def shared(trickster: Saved) -> Iterator[Stand]:
    """A pool of at most four processes with a gibibyte each, which a test must leave whole."""
    with stand(trickster, most=4, memory_bytes=1 << 30) as made:
        yield made
