"""What tests of deployments share: a home on either database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.ground.meta import connect_metadata
from taut.ground.objects import connect_objects
from taut.home import Home
from tests.marks import POSTGRESQL_SLOW
from tests.serve.scenes import register


@pytest.fixture(params=POSTGRESQL_SLOW)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """A home with two versions of a model, on either database."""
    url = (
        f"sqlite:///{tmp_path / 'meta.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("migrated_postgres_url")
    )
    folder = tmp_path / "project" / ".taut"
    folder.mkdir(parents=True)
    made = Home(
        str(folder.parent), folder, connect_metadata(url), connect_objects(f"file://{folder / 'objects'}"),
        Actor("ada", "owner"), SetClock(1_000),
    )  # fmt: skip
    with made:
        for factor in (0.1, 0.2):
            register(made, factor=factor)
        yield made
