"""Laws of whole folders: scores, remedies, evidence and the order of files, over many mixtures of small workflows."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from taut.audit import CHECKS, AuditReport, audit_path
from tests.audit.repositories import LESSON, SERVE, write
from tests.audit.tables import CASES
from tests.audit.test_report import REMEDIES, scores

Files = dict[str, str | bytes]
SMALL = [dict(case.files) for case in CASES if sum(map(len, case.files.values())) < 5_000]
MIXTURES = st.lists(st.sampled_from(SMALL), min_size=1, max_size=4)
SOME = settings(max_examples=40, deadline=None)


def audited(files: Files) -> AuditReport:
    with TemporaryDirectory() as folder:
        return audit_path(write(Path(folder), files))


def side_by_side(parts: list[Files]) -> Files:
    """Several workflows in one folder, each in a folder of its own."""
    return {f"part{number}/{path}": text for number, part in enumerate(parts) for path, text in part.items()}


@SOME
@given(MIXTURES)
def test_every_mixture_of_workflows_has_a_whole_report(parts: list[Files]):
    report = audited(side_by_side(parts))
    assert [one.id for one in sorted(report.findings, key=lambda one: one.id)] == sorted(check.id for check in CHECKS)
    assert all(score is None or 0 <= score <= 1 for score in scores(report).values())


@SOME
@given(MIXTURES)
def test_evidence_names_lines_of_files_that_are_there(parts: list[Files]):
    files = side_by_side(parts)
    for finding in audited(files).findings:
        for place in finding.evidence:
            path, _, line = place.rpartition(":")
            content = files[path]
            assert 1 <= int(line) <= content.count(b"\n" if isinstance(content, bytes) else "\n") + 1, finding  # type: ignore[arg-type]  # the kind of the newline is that of the content
            assert len(finding.evidence) <= 5


@SOME
@given(MIXTURES, st.randoms())
def test_the_order_in_which_files_were_written_changes_nothing(parts: list[Files], chance):
    files = side_by_side(parts)
    mixed = list(files.items())
    chance.shuffle(mixed)
    assert audited(files).findings == audited(dict(mixed)).findings


@SOME
@given(st.lists(st.sampled_from(range(len(REMEDIES))), unique=True, max_size=6), st.sampled_from(range(len(REMEDIES))))
def test_one_more_remedy_never_lowers_a_principle(chosen: list[int], more: int):
    files: Files = {**LESSON, "app.py": SERVE}
    for number in chosen:
        files |= REMEDIES[number]
    before, after = scores(audited(files)), scores(audited(files | REMEDIES[more]))
    assert all(old is None or (after[principle] or 0) >= old for principle, old in before.items()), (before, after)


@SOME
@given(MIXTURES)
def test_a_file_of_notes_changes_no_answer_but_that_of_the_collaboration(parts: list[Files]):
    files = side_by_side(parts)
    before = {one.id: one.answer for one in audited(files).findings if one.principle != "collaboration"}
    noted = audited({**files, "notes.txt": "Remember the milk.\n"})
    assert {one.id: one.answer for one in noted.findings if one.principle != "collaboration"} == before
