"""Marks that tests of several rooms share."""

import os
from collections.abc import Iterable
from typing import TypeVar

import pytest

Row = TypeVar("Row")

# For what is the same on every database: the fast run asks SQLite alone, the slow one PostgreSQL too. The params of a
# fixture, and a mark for a single test.
POSTGRESQL_SLOW = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
slow_on_postgresql = pytest.mark.parametrize("home", POSTGRESQL_SLOW, indirect=True)


def some(rows: Iterable[Row], every: int) -> list[Row]:
    """Each so many-th row of a long table of slow tests; all of them where ALL_ROWS is set, which takes hours."""
    return [*rows][:: 1 if os.environ.get("ALL_ROWS") else every]
