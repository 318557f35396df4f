"""Threads and kernels for real: a run has them again, and where nobody recorded them they are found by experiment."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taut.faces.http.embedded import embedded_server
from taut.ground.access import Actor
from taut.home import Home, open_home
from taut.records import Reproduction, Run, Surroundings
from taut.runs import execute_run, record_capture
from taut.runs.capture.determinism import OLDER_KERNELS, kernels
from taut.runs.reproducing import Asked, reproduce_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CORES = sorted(os.sched_getaffinity(0))
MATRIX = "import numpy as np\na = np.random.default_rng(0).normal(size=(1200, 1200))\n"
PRODUCT = MATRIX + "a = a[:150, :150]\nnp.save('out.npy', a @ a.T)\n"
SINGULAR = MATRIX + "np.save('out.npy', np.linalg.svd(a[:300])[1])\n"

needs_kernels = pytest.mark.skipif(not kernels(), reason="no kernels are known for this processor")
needs_cores = pytest.mark.skipif(len(CORES) < 2, reason="it takes two cores to have two threads")


@pytest.fixture
def home(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    for name in ("OPENBLAS_CORETYPE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with open_home(project, actor=Actor("ada", "owner")) as opened:
        yield opened


def run(home: Home, text: str) -> Run:
    (home.project / "train.py").write_text(text)
    with embedded_server(home) as uri:
        return execute_run(home, [sys.executable, "train.py"], tracking_uri=uri, folder=home.project)


def reproduced(home: Home, one: Run) -> Reproduction:
    return reproduce_run(home, one.id, serve=embedded_server, asked=Asked(here=True))


def forget(home: Home, one: Run, name: str, cpu: str = "") -> None:
    """As if the run's variable had been set by nobody: by another machine, or within the program."""
    around = one.capture.surroundings or Surroundings()
    left = {key: value for key, value in around.variables.items() if key != name}
    record_capture(
        home, one.id, replace(one.capture, surroundings=replace(around, variables=left, cpu=cpu or around.cpu))
    )


@needs_kernels
def test_kernels_of_another_processor(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", OLDER_KERNELS["OPENBLAS_CORETYPE"])
    one = run(home, PRODUCT)
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    assert reproduced(home, one).verdict == "bytes"  # It was recorded, so it is set again.
    forget(home, one, "OPENBLAS_CORETYPE", cpu="A processor of 2005")
    found = reproduced(home, one)
    if found.verdict == "bytes":
        pytest.skip("this processor chooses the oldest kernels by itself")
    assert (found.verdict, found.cause) == ("different", "CPU kernel"), found
    assert "A processor of 2005" in found.evidence
    assert any(note.startswith("hardware: ") for note in found.notes)


@needs_cores
def test_another_count_of_threads(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = run(home, SINGULAR)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert reproduced(home, one).verdict == "bytes"
    forget(home, one, "OMP_NUM_THREADS")
    found = reproduced(home, one)
    if found.verdict == "bytes":
        pytest.skip("this BLAS gives the same with one thread and with two")
    assert (found.verdict, found.cause) == ("different", "thread count"), found


@needs_cores
def test_a_run_on_fewer_cores_has_as_few_threads_again(home: Home):
    os.sched_setaffinity(0, CORES[:1])
    try:
        one = run(home, SINGULAR)
    finally:
        os.sched_setaffinity(0, CORES)
    found = reproduced(home, one)
    assert found.verdict == "bytes", found
    assert any(note.startswith("thread count: the run had 1 cores") for note in found.notes)
