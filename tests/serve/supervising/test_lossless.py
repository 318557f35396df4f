"""Nothing that was written whole goes without an answer: at changes of revision, lost fronts apart, and at the end."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.deploy import deploy_model
from taut.deploy.running import run_folder, serving_now
from taut.ground.compute import stop_process
from taut.home import Home
from taut.project import DeploymentSpec
from taut.records import DeploymentState
from tests.parts import eventually
from tests.serve.scenes import make_home, register
from tests.serve.supervising.hammer import Hammer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = 32


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        for factor in (0.1, 0.2):
            register(made, factor=factor)
        yield made
        for left in serving_now(run_folder(made), "late"):
            stop_process(left.handle, grace_s=0.0)


def deployed(home: Home, number: int) -> DeploymentState:
    spec = DeploymentSpec(model=f"late@{number}", workers=2)
    return deploy_model(home, "late", model=f"late@{number}", spec=spec)


def test_many_changes_of_version_under_load_drop_nothing(home: Home):
    state = deployed(home, 1)
    with Hammer(state.url, CLIENTS) as hammer:
        changes = 0
        while hammer.answered < 10_000 or changes < 10:
            deployed(home, changes % 2 + 1 if changes else 2)
            changes += 1
        hammer.stop()
    assert (hammer.dropped, hammer.wrong) == ([], [])
    assert sum(tally.refused for tally in hammer.tallies) == 0, "the door was never closed"
    assert set(hammer.versions) == {"1", "2"}


@pytest.mark.parametrize("ends", ["SIGTERM", "SIGINT"])
def test_an_end_under_load_drops_nothing(home: Home, ends: str):
    answered = 0
    for _ in range(5):
        state = deployed(home, 1)
        with Hammer(state.url, CLIENTS) as hammer:
            eventually(lambda: hammer.answered > 2_000, within=60, what="traffic")
            os.kill(int(state.handle.partition(":")[0]), signal.Signals[ends])
            hammer.wait()
        assert (hammer.dropped, hammer.wrong) == ([], [])
        answered += hammer.answered
        eventually(lambda: serving_now(run_folder(home), "late") == [], what="its end")
    assert answered >= 10_000


def test_a_supervisor_that_is_killed_takes_no_accepted_request_along(home: Home):
    """Its fronts hear of it from the kernel, answer what they had accepted, and end."""
    state = deployed(home, 1)
    with Hammer(state.url, CLIENTS) as hammer:
        eventually(lambda: hammer.answered > 1_000, within=60, what="traffic")
        fronts = serving_now(run_folder(home), "late")[0].fronts
        os.kill(int(state.handle.partition(":")[0]), signal.SIGKILL)
        begun_s = time.monotonic()
        hammer.wait()
    assert time.monotonic() - begun_s < 20
    assert len(fronts) == 2
    assert (hammer.dropped, hammer.wrong) == ([], [])
