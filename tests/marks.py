"""Marks that tests of several rooms share."""

import os
from collections.abc import Iterable
from typing import TypeVar

import pytest

Row = TypeVar("Row")

# For a test of what is the same on every database: the fast run asks SQLite alone, the slow one PostgreSQL too.
slow_on_postgresql = pytest.mark.parametrize(
    "home", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)


def some(rows: Iterable[Row], every: int) -> list[Row]:
    """Each so many-th row of a long table of slow tests; all of them where ALL_ROWS is set, which takes hours."""
    return [*rows][:: 1 if os.environ.get("ALL_ROWS") else every]
