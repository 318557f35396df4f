"""Comparing runs: what differs is told, what does not is counted."""

import io

import pytest

from taut.errors import UsageError
from taut.home import Home
from taut.records import Capture, GitState, InputRead
from taut.runs import compare_runs, create_run, finish_run, log_batch, render_comparison


def finished(home: Home, name: str, packages: str, depth: str, auc: float) -> str:
    run = create_run(home, name=name)
    log_batch(home, run.id, params={"depth": depth, "seed": "1"})
    environment = home.objects.put(io.BytesIO(packages.encode()))
    capture = Capture(
        command=("python", "train.py"), git=GitState("c" * 40, "main", "", (), ()), environment=environment,
        inputs=(InputRead("x.csv", "f" * 64, 1, ""),),
    )  # fmt: skip
    finish_run(home, run.id, capture, "FINISHED", 5)
    return run.id


def test_params_packages_and_data_that_differ_are_told(home: Home):
    one = finished(home, "one", "numpy==1.0\nscipy==1.0\n", "4", 0.5)
    two = finished(home, "two", "numpy==2.0\nscipy==1.0\nextra==1\n", "8", 0.6)
    comparison = compare_runs(home, [one, two])
    assert (comparison.runs, comparison.names) == ((one, two), ("one", "two"))
    assert {(d.kind, d.name, d.values) for d in comparison.differences} == {
        ("param", "depth", ("4", "8")),
        ("package", "numpy", ("1.0", "2.0")),
        ("package", "extra", (None, "1")),
    }
    shown = render_comparison(comparison)
    assert "param depth" in shown
    assert shown.endswith("other facts are the same")


def test_a_run_differs_from_itself_in_nothing(home: Home):
    one = finished(home, "one", "numpy==1.0\n", "4", 0.5)
    assert compare_runs(home, [one, one]).differences == ()
    with pytest.raises(UsageError, match="two runs or more"):
        compare_runs(home, [one])
