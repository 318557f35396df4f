"""A home of SQLite: what a batch does with files hangs on no database; its verbs are tried on both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.home import Home, open_home
from tests.models.conftest import one_thread

__all__ = ["home", "one_thread"]


@pytest.fixture
def home(project: Path) -> Iterator[Home]:
    """The home of an empty project."""
    with open_home(project) as opened:
        yield opened
