"""A project that drifted, for each test that answers its alert in another way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.home import Home
from tests.pipelines.alarmed import copied, make_alarmed, opened


@pytest.fixture(scope="session")
def alarmed_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; whoever changes anything copies it."""
    return make_alarmed(tmp_path_factory.mktemp("alarmed") / "project")


@pytest.fixture
def alarmed(alarmed_template: Path, tmp_path: Path) -> Iterator[Home]:
    """A page is open, nothing is answered, nothing runs."""
    with opened(copied(alarmed_template, tmp_path / "project")) as home:
        yield home
