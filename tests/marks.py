"""Marks that tests of several rooms share."""

import pytest

# For a test of what is the same on every database: the fast run asks SQLite alone, the slow one PostgreSQL too.
slow_on_postgresql = pytest.mark.parametrize(
    "home", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
