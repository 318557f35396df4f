"""How far the demo got, asked of the project itself."""

import subprocess
from pathlib import Path

from taut.errors import TautError
from taut.faces.demo.year import MODEL
from taut.home import open_home
from taut.models import find_model, list_gates
from taut.runs import reconcile_runs, search_runs


def is_committed(project: Path) -> bool:
    """Whether the project has a commit."""
    asked = subprocess.run(["git", "rev-parse", "--verify", "HEAD"], cwd=project, capture_output=True, check=False)
    return asked.returncode == 0


def first_run(project: Path) -> str:
    """The id of the first training that finished, empty before.

    A client says FINISHED while its command goes on; what was killed just then is settled first, for it did not finish.
    """
    if not (project / ".taut").is_dir():
        return ""
    with open_home(project) as home:
        reconcile_runs(home)
        found = [run.id for run in search_runs(home) if run.status == "FINISHED" and run.name == "first"]
    return found[-1] if found else ""


def is_judged(project: Path) -> bool:
    """Whether the gate has judged the first version."""
    with open_home(project) as home:
        return bool(list_gates(home, MODEL, 1))


def has_champion(project: Path) -> bool:
    """Whether a version was promoted."""
    try:
        with open_home(project) as home:
            find_model(home, f"{MODEL}@champion")
    except TautError:
        return False
    return True
