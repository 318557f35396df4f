"""One home for all endpoints of these tests: it gives them the time, and keeps nothing."""

from collections.abc import Iterator

import pytest

from taut.home import Home
from tests.serve.scenes import make_home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with make_home(tmp_path_factory.mktemp("http") / "project") as made:
        yield made
