"""Tests of the prediction log: what it keeps in a database is a few plain tables, asked the same on both."""

import pytest

from taut.home import Home
from tests.marks import POSTGRESQL_SLOW


@pytest.fixture(params=POSTGRESQL_SLOW)
def home(home: Home) -> Home:
    """The home of all tests, in the fast run on SQLite alone."""
    return home
