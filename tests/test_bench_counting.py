"""The measurement of counting measures what it says: the window that closes has the rows, and replicas are the same."""

from pathlib import Path

import pytest

from bench.counting import batches, close, count, filled, is_same_of_replicas, read
from taut.home import open_home


def test_the_window_that_is_measured_has_the_rows_that_were_answered(tmp_path: Path):
    said = batches(640)
    assert len(said) == 11  # The last is behind the window.
    filled(tmp_path, said, replicas=2)
    with open_home(tmp_path) as home:
        assert read(home) == count(home) == close(home) == 640


@pytest.mark.slow
def test_replicas_are_compared_in_any_order(tmp_path: Path):
    assert is_same_of_replicas(tmp_path, batches(640))
