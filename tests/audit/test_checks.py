"""Each check answers as it should about small real repositories."""

from pathlib import Path

import pytest

from taut.audit import CHECKS
from tests.audit.case import Case
from tests.audit.learning_cases import AUTOMATION, REPRODUCIBILITY
from tests.audit.repositories import commit, found, write
from tests.audit.serving_cases import COLLABORATION, MONITORING, SCALABILITY, SECURITY

CASES = [*REPRODUCIBILITY, *AUTOMATION, *SCALABILITY, *MONITORING, *SECURITY, *COLLABORATION]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_check_gives_the_answer_that_the_workflow_deserves(tmp_path: Path, case: Case):
    write(tmp_path, case.files)
    if case.committed:
        commit(tmp_path)
    finding = found(tmp_path, case.id)
    assert finding.answer == case.answer, finding
    if case.evidence:
        assert case.evidence in finding.evidence


@pytest.mark.parametrize("answer", ["pass", "fail"])
def test_every_check_has_a_workflow_that_passes_and_one_that_fails(answer: str):
    assert {case.id for case in CASES if case.answer == answer} == {check.id for check in CHECKS}


def test_ids_and_keys_name_one_check_each():
    assert len({check.id for check in CHECKS}) == len({check.key for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_row_says_what_it_risks_and_how_to_mend_it(check):
    assert check.weight in {1, 3, 5, 8}
    assert check.risk.endswith(".") and check.remedy.endswith(".") and check.command and check.promise
