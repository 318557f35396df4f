"""A workflow told in words: what it misses, what it shows, and what it does not say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.audit import AuditReport, audit_text, check_of
from taut.audit.concepts import CONCEPTS, PRESENT_WHEN
from taut.audit.describe import clauses_of, steps_of
from taut.errors import Invalid

LESSON = """\
1. Data scientist trains a model locally with no version control.
2. Model is manually deployed by copying files to a server.
3. No automated testing or monitoring is in place.
"""

MATURE = """\
- Code lives in Git and every dataset is versioned with DVC; each run is tracked in MLflow.
- CI runs unit tests, and a gate compares the model with the champion before the pipeline deploys it automatically.
- Drift of live data is tested and alerts page the engineer on call.
- Roles decide who may approve; artifacts are encrypted and secrets are kept in a secret store.
- The service runs with three replicas on Kubernetes.
- Every change is reviewed in a pull request.
"""


def verdicts(report: AuditReport) -> dict[str, str]:
    return {one.principle: one.verdict for one in report.principles}


def answers(text: str) -> dict[str, str]:
    return {one.id: one.answer for one in audit_text(text).findings}


def test_the_workflow_of_the_lesson_violates_three_principles_and_is_silent_on_the_others():
    report = audit_text(LESSON)
    assert verdicts(report) == {
        "reproducibility": "violated",
        "automation": "violated",
        "monitoring": "violated",
        "security": "not shown",
        "scalability": "not shown",
        "collaboration": "not shown",
    }
    assert report.headline == "Of 5 principles: 3 violated, 2 not shown, none present."


@pytest.mark.parametrize(("id", "step"), [("RE01", 1), ("AU07", 2), ("AU02", 3), ("MO02", 3), ("MO05", 3)])
def test_each_gap_of_the_lesson_is_quoted_with_risk_and_remedy(id: str, step: int):
    finding = next(one for one in audit_text(LESSON).findings if one.id == id)
    assert finding.answer == "fail"
    assert finding.evidence == (f'step {step}: "{LESSON.splitlines()[step - 1][3:]}"',)
    assert finding.risk and finding.remedy and finding.command


def test_first_comes_what_nothing_brings_back_then_bad_releases_then_what_detects_them():
    assert [step.mends for step in audit_text(LESSON).next_steps] == [("RE01",), ("AU07",), ("MO02",)]


def test_a_mature_workflow_shows_every_principle():
    assert set(verdicts(audit_text(MATURE)).values()) == {"present"}


def test_silence_is_never_held_against_a_workflow():
    report = audit_text("The team meets on Mondays.")
    assert {one.answer for one in report.findings} == {"unknown"}
    assert {one.score for one in report.principles} == {None}
    assert set(verdicts(report).values()) == {"not shown"}


def test_a_principle_of_which_only_a_part_is_told_is_partly_shown():
    assert verdicts(audit_text("The code is in Git."))["reproducibility"] == "partly shown"


@pytest.mark.parametrize(
    ("text", "id", "answer"),
    [
        ("The model is never copied to the server by hand.", "AU07", "pass"),
        ("Nothing goes live without passing the tests.", "AU02", "pass"),
        ("There are no tests, alerts or gates.", "MO07", "fail"),
        ("There are no tests, but alerts page the team.", "MO07", "pass"),
        ("Monitoring is missing.", "MO05", "fail"),
        ("Monitoring is planned for next quarter.", "MO02", "fail"),
        ("Tests are not run.", "AU02", "fail"),
        ("We should write tests.", "AU02", "fail"),
        ("Everyone has admin access.", "SG05", "fail"),
        ("The password is hard-coded.", "SG01", "fail"),
        ("Jenkins deploys each release.", "AU07", "pass"),
        ("Runs are logged to MLflow.", "RE09", "pass"),
        ("The model is e-mailed; we send the pickle file to operations.", "AU07", "fail"),
        ("Prometheus watches latency.", "MO05", "unknown"),
        ("The service crashes under load.", "SC06", "fail"),
        ("Only he knows how it works.", "CO04", "fail"),
        ("Drift is tested each week.", "MO05", "pass"),
    ],
)
def test_denial_wish_and_opposite_are_told_from_presence(text: str, id: str, answer: str):
    assert answers(text)[id] == answer


def test_a_practice_that_one_step_shows_and_another_denies_is_missing():
    assert answers("1. The code is in Git.\n2. The notebooks are not in version control.")["RE01"] == "fail"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("1) Train.\n2) Copy.", ["Train.", "Copy."]),
        ("* Train\n  on rows\n* Copy", ["Train on rows", "Copy"]),
        ("Step 1: train\nStep 2: copy", ["train", "copy"]),
        ("We train. We copy!", ["We train.", "We copy!"]),
    ],
)
def test_steps_are_numbers_bullets_or_sentences(text: str, steps: list[str]):
    assert [step.text for step in steps_of(text)] == steps


def test_a_clause_keeps_its_denial_over_a_list_and_ends_at_but():
    assert clauses_of("no tests, gates, or alerts but git") == ["no tests, gates, or alerts", "git"]


@pytest.mark.parametrize("text", ["", " \n\t", "x" * 20_001])
def test_a_text_that_says_nothing_or_far_too_much_is_invalid(text: str):
    with pytest.raises(Invalid) as caught:
        audit_text(text)
    assert caught.value.hint


@given(st.text(min_size=1).filter(str.strip))
def test_any_words_get_a_whole_report(text: str):
    report = audit_text(text)
    assert len(report.findings) == len(CONCEPTS)
    assert all(one.score is None or 0 <= one.score <= 1 for one in report.principles)


@given(st.permutations(LESSON.splitlines()))
def test_the_order_of_the_steps_does_not_change_what_is_missing(lines: list[str]):
    text = "\n".join(f"- {line[3:]}" for line in lines)
    assert verdicts(audit_text(text)) == verdicts(audit_text(LESSON))


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda one: one.id)
def test_every_practice_has_a_risk_and_a_remedy_of_its_own_or_of_its_check(concept):
    if concept.key:
        assert concept.promise and concept.risk and concept.remedy and concept.command
    else:
        assert check_of(concept.id).principle == concept.principle


def test_what_makes_a_principle_present_are_practices_of_it():
    of = {concept.id: concept.principle for concept in CONCEPTS}
    assert all(of[id] == principle for principle, groups in PRESENT_WHEN.items() for group in groups for id in group)
