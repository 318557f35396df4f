"""All small workflows of the tables on one shelf: one repository for the session, so that git is started few times."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from taut.audit.check import Outcome
from taut.audit.rubric import check_of
from taut.audit.workflow import read_workflow
from tests.audit.case import Case
from tests.audit.repositories import commit, write
from tests.audit.tables import CASES


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Path]:
    """The folder of each case: the committed ones lie side by side in one repository, the others in none."""
    tracked, loose = tmp_path_factory.mktemp("tracked"), tmp_path_factory.mktemp("loose")
    folders = {}
    for number, case in enumerate(CASES):
        folder = (tracked if case.committed else loose) / f"case-{number}"
        folder.mkdir()
        folders[case] = write(folder, case.files)
    commit(tracked)
    return folders


@pytest.fixture(scope="session")
def answer(shelf: dict[Case, Path]) -> Callable[[Case], Outcome]:
    """What the check of a case says of its folder; each folder is read once."""
    return cache(lambda case: check_of(case.id).decide(read_workflow(shelf[case])))
