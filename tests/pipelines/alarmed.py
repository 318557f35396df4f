"""A project that drifted: made once, copied for each test that answers its alert in another way."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taut.deploy import list_deployments, stop_deployment
from taut.ground.access import Actor
from taut.home import Home, open_home
from taut.pipelines.plan import apply_project
from taut.watch import close_windows, list_alerts
from tests.pipelines.scenes import simulated


def make_alarmed(folder: Path) -> Path:
    """Version 1 on days that drift from the first: asked until a page is open, nothing answered, nothing running."""
    with simulated(folder, drift_from=0) as scene:
        list(apply_project(scene.home, scene.project))
        while not list_alerts(scene.home, "late", "open"):
            assert scene.day < 25, "the drift was not found"
            scene.pass_day()
            close_windows(scene.home, "late", scene.project.monitors["late"])
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[Home]:
    """Open a project on the machine's own clock; what it started is stopped at the end."""
    with open_home(folder, actor=Actor("ada", "owner")) as home:
        try:
            yield home
        finally:
            for deployment in list_deployments(home):
                stop_deployment(home, deployment.name)


def copied(template: Path, folder: Path) -> Path:
    """A project of its own with the same past."""
    shutil.copytree(template, folder)
    return folder
