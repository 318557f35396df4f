"""How many fronts a machine, or a container with its quota, is worth."""

import os
from pathlib import Path

import pytest

from taut.serve.supervising.cores import cores

ALL = len(os.sched_getaffinity(0))


def test_without_a_quota_it_is_what_this_process_may_run_on(tmp_path: Path):
    assert cores(tmp_path) == ALL
    assert cores() >= 1


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", ALL), ("50000 100000", 1), ("100000 100000", 1), ("150000 100000", min(2, ALL)),
        ("6400000 100000", ALL), ("1 100000", 1), ("100000 0", ALL), ("nonsense", ALL), ("", ALL),
    ],
)  # fmt: skip
def test_the_quota_of_a_container_bounds_it(tmp_path: Path, quota: str, expected: int):
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", ALL), ("50000", 1), ("6400000", ALL)])
def test_older_kernels_say_it_in_two_files(tmp_path: Path, quota: str, expected: int):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == expected
