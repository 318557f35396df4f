"""Each check answers as it should about small real repositories."""

from collections.abc import Callable

import pytest

from taut.audit import CHECKS
from taut.audit.check import Outcome
from tests.audit.case import Case
from tests.audit.tables import CASES


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_check_gives_the_answer_that_the_workflow_deserves(case: Case, answer: Callable[[Case], Outcome]):
    outcome = answer(case)
    assert outcome.answer == case.answer, outcome
    if case.evidence:
        assert case.evidence in outcome.evidence


@pytest.mark.parametrize("case", [case for case in CASES if case.answer == "fail"], ids=str)
def test_evidence_names_a_line_that_is_there(case: Case, answer: Callable[[Case], Outcome]):
    for place in answer(case).evidence:
        path, _, line = place.rpartition(":")
        content = case.files[path]
        text = content.decode("latin-1") if isinstance(content, bytes) else content
        assert 1 <= int(line) <= max(1, text.count("\n") + 1), place


def test_every_case_tells_a_story_of_its_own():
    told = [str(case) for case in CASES]
    assert sorted(one for one in set(told) if told.count(one) > 1) == []


@pytest.mark.parametrize("wanted", ["pass", "fail"])
def test_every_check_has_a_workflow_that_passes_and_one_that_fails(wanted: str):
    assert {case.id for case in CASES if case.answer == wanted} == {check.id for check in CHECKS}


def test_ids_and_keys_name_one_check_each():
    assert len({check.id for check in CHECKS}) == len({check.key for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_row_says_what_it_risks_and_how_to_mend_it(check):
    assert check.weight in {1, 3, 5, 8}
    assert check.risk.endswith(".") and check.remedy.endswith(".") and check.command and check.promise
