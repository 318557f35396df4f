"""Scores, headline, next steps and their rendering."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.audit import CHECKS, PRINCIPLES, AuditReport, Finding, audit_path, render_report
from taut.audit.check import failed, not_applicable, passed, unknown
from taut.audit.report import finding_of, lowest_of, report_of, score_of
from tests.audit.repositories import HARDENED, LESSON, SERVE, TAUT_YAML, WORKFLOW, commit, write

OUTCOMES = {"pass": passed("yes"), "fail": failed("no", ["a.py:1"]), "na": not_applicable("-"), "unknown": unknown("?")}
ANSWERS = st.lists(st.sampled_from(list(OUTCOMES)), min_size=len(CHECKS), max_size=len(CHECKS))
GOLDEN = Path(__file__).parent / "golden_lesson.txt"

REMEDIES: list[dict[str, str | bytes]] = [
    {"requirements.txt": "fastapi==0.115.0\njoblib==1.4.2\npandas==2.2.3\nscikit-learn==1.6.0\n"},
    {"README.md": "pip install -r requirements.txt\n"},
    {"LICENSE": "Apache-2.0\n"},
    {"MODEL_CARD.md": "# Late\n"},
    {"taut.yaml": TAUT_YAML},
    {"flights.csv.dvc": "outs: [{md5: d41d8cd98f00b204e9800998ecf8427e, path: flights.csv}]\n"},
    {"Makefile": "train:\n\ttaut run -- python train.py\n"},
    {".github/workflows/check.yml": WORKFLOW},
    {"tests/test_model.py": "def test_it():\n    assert evaluate()['auc'] > 0.7\n"},
    {"Dockerfile": 'FROM python:3.11-slim\nUSER app\nHEALTHCHECK CMD true\nCMD ["gunicorn", "app:app"]\n'},
    {"k8s/late.yaml": HARDENED},
    {"monitor.py": "from evidently import Report\n"},
]


def findings_of(answers: list[str]) -> list[Finding]:
    return [finding_of(check, OUTCOMES[answer]) for check, answer in zip(CHECKS, answers, strict=True)]


def scores(report: AuditReport) -> dict[str, float | None]:
    return {one.principle: one.score for one in report.principles}


@given(ANSWERS)
def test_scores_lie_between_0_and_1_and_are_null_where_nothing_applies(answers: list[str]):
    for score in report_of("x", findings_of(answers)).principles:
        assert (score.score is None) == (score.weight_applicable == 0)
        assert score.score is None or 0 <= score.score <= 1


@given(ANSWERS, st.randoms())
def test_the_order_of_the_findings_does_not_change_the_report(answers: list[str], chance):
    findings = findings_of(answers)
    mixed = list(findings)
    chance.shuffle(mixed)
    assert report_of("x", findings) == report_of("x", mixed)


@given(ANSWERS, st.integers(0, len(CHECKS) - 1))
def test_mending_a_finding_never_lowers_a_score(answers: list[str], number: int):
    before = scores(report_of("x", findings_of(answers)))
    after = scores(report_of("x", findings_of([*answers[:number], "pass", *answers[number + 1 :]])))
    assert all((after[principle] or 0) >= (old or 0) for principle, old in before.items())


@given(ANSWERS)
def test_the_headline_is_the_lowest_principle(answers: list[str]):
    report = report_of("x", findings_of(answers))
    known = [score.score for score in report.principles if score.score is not None]
    lowest = next((score for score in report.principles if score.principle == report.lowest), None)
    assert (lowest.score if lowest else None) == min(known, default=None)
    assert lowest is None or not lowest.failed or report.headline.startswith(lowest.title)


@given(ANSWERS)
def test_next_steps_are_few_and_mend_what_fails_heaviest_first(answers: list[str]):
    report = report_of("x", findings_of(answers))
    failing = {one.id for one in report.findings if one.answer == "fail"}
    assert len(report.next_steps) <= 3
    assert bool(report.next_steps) == bool(failing)
    assert all(set(step.mends) <= failing for step in report.next_steps)
    weights = [step.weight for step in report.next_steps]
    assert weights == sorted(weights, reverse=True)


@given(ANSWERS)
def test_a_report_survives_json(answers: list[str]):
    report = report_of("x", findings_of(answers), ["a.py: holds null bytes"])
    assert msgspec.json.decode(msgspec.json.encode(report), type=AuditReport) == report


def test_what_is_unknown_or_does_not_apply_counts_on_neither_side():
    score = score_of("scalability", findings_of(["unknown", "na"] * (len(CHECKS) // 2)))
    assert (score.score, score.weight_applicable) == (None, 0)
    assert lowest_of([score]) is None


@pytest.mark.parametrize("remedy", REMEDIES, ids=lambda one: next(iter(one)))
def test_a_remedy_in_the_folder_never_lowers_a_score(tmp_path: Path, remedy: dict[str, str | bytes]):
    write(tmp_path, {**LESSON, "app.py": SERVE})
    before = scores(audit_path(commit(tmp_path)))
    after = scores(audit_path(commit(write(tmp_path, remedy), "Mend")))
    assert all(old is None or (after[principle] or 0) >= old for principle, old in before.items())
    assert after != before


def test_all_remedies_together_lift_every_principle(tmp_path: Path):
    write(tmp_path, {**LESSON, "app.py": SERVE})
    before = scores(audit_path(tmp_path))
    for remedy in REMEDIES:
        write(tmp_path, remedy)
    after = scores(audit_path(commit(tmp_path)))
    assert all((after[principle] or 0) >= (before[principle] or 0) for principle in PRINCIPLES), (before, after)
    lifted = ("reproducibility", "automation", "monitoring", "collaboration")
    assert all((after[principle] or 0) > max(before[principle] or 0, 0.9) for principle in lifted), (before, after)


def test_the_three_gaps_of_the_lesson_are_found_with_principle_risk_remedy_and_place(tmp_path: Path):
    report = audit_path(write(tmp_path, LESSON))
    failing = {one.id: one for one in report.findings if one.answer == "fail"}
    gaps = {
        "RE01": "reproducibility",
        "AU07": "automation",
        "AU02": "automation",
        "MO05": "monitoring",
        "MO07": "monitoring",
    }
    for id, principle in gaps.items():
        assert failing[id].principle == principle
        assert failing[id].risk and failing[id].remedy and failing[id].command and failing[id].evidence
    assert failing["AU07"].evidence == ("deploy.sh:2",)


def test_the_order_in_which_files_were_written_does_not_matter(tmp_path: Path):
    files = {**LESSON, "app.py": SERVE, "a/b.yaml": HARDENED}
    one = audit_path(write(tmp_path / "one", dict(sorted(files.items()))))
    two = audit_path(write(tmp_path / "two", dict(sorted(files.items(), reverse=True))))
    assert one.findings == two.findings


def test_the_lesson_reads_as_it_always_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(write(tmp_path, LESSON))
    assert render_report(audit_path(Path())) == GOLDEN.read_text(encoding="utf-8")


def test_the_lowest_principle_stands_first_and_empty_ones_last(tmp_path: Path):
    lines = render_report(audit_path(write(tmp_path, LESSON))).splitlines()
    titles = [next(title for title in PRINCIPLES.values() if title in line) for line in lines[2:8]]
    assert lines[0].startswith(titles[0])
    assert len(set(titles)) == 6


@pytest.mark.parametrize("width", [1, 60, 80, 200])
def test_lines_keep_to_the_width(tmp_path: Path, width: int):
    text = render_report(audit_path(write(tmp_path, LESSON)), width=width)
    assert max(map(len, text.splitlines())) <= max(width, 90)


def test_colour_only_when_asked_for(tmp_path: Path):
    report = audit_path(write(tmp_path, LESSON))
    assert "\x1b[" not in render_report(report)
    assert "\x1b[31m" in render_report(report, colour=True)


def test_progress_advances_by_files_and_checks(tmp_path: Path):
    class Counted:
        total = 0

        def advance(self, done: int = 1) -> None:
            self.total += done

    counted = Counted()
    audit_path(write(tmp_path, LESSON), progress=counted)
    assert counted.total == len(LESSON) + len(CHECKS)
