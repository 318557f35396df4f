"""Workflows in many people's words: gaps are found, practices are seen, and silence stays silence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.audit import AuditReport, audit_text
from taut.audit.concepts import CONCEPTS
from tests.audit.prose_cases import HARMLESS, SENTENCES, WORKFLOWS, Prose

CHOSEN = st.lists(st.sampled_from([sentence for sentence, _, _ in SENTENCES]), min_size=1, max_size=6, unique=True)


def answers(report: AuditReport) -> dict[str, str]:
    return {one.id: one.answer for one in report.findings}


def verdicts(report: AuditReport) -> dict[str, str]:
    return {one.principle: one.verdict for one in report.principles}


@pytest.mark.parametrize("prose", WORKFLOWS, ids=str)
def test_a_described_workflow_gets_the_verdicts_that_its_words_carry(prose: Prose):
    found = verdicts(audit_text(prose.text))
    assert {principle: found[principle] for principle in prose.verdicts} == prose.verdicts


@pytest.mark.parametrize("prose", WORKFLOWS, ids=str)
def test_each_practice_is_shown_missing_or_not_told_as_the_words_say(prose: Prose):
    found = answers(audit_text(prose.text))
    assert {id: found[id] for id in prose.answers} == prose.answers


@pytest.mark.parametrize("prose", WORKFLOWS, ids=str)
def test_what_fails_is_quoted_from_the_text_and_what_is_not_told_is_not(prose: Prose):
    squeezed = " ".join(prose.text.split())
    for finding in audit_text(prose.text).findings:
        assert bool(finding.evidence) == (finding.answer in {"pass", "fail"})
        for quote in finding.evidence:
            assert quote.partition('"')[2].rstrip('"…')[:40] in squeezed


@pytest.mark.parametrize(("sentence", "id", "answer"), SENTENCES)
def test_one_sentence_says_one_thing_of_a_practice(sentence: str, id: str, answer: str):
    assert answers(audit_text(sentence))[id] == answer


@pytest.mark.parametrize(("sentence", "id"), HARMLESS)
def test_words_that_only_sound_so_say_nothing(sentence: str, id: str):
    assert answers(audit_text(sentence))[id] == "unknown"


@pytest.mark.parametrize(("sentence", "id", "answer"), SENTENCES)
@pytest.mark.parametrize(
    "change", [str.upper, lambda text: f"- {text}", lambda text: f"  {text}\n", lambda text: f"1. {text}"]
)
def test_case_marks_and_spaces_do_not_change_what_is_said(sentence: str, id: str, answer: str, change):
    assert answers(audit_text(change(sentence)))[id] == answer


@given(CHOSEN, st.randoms())
def test_the_order_in_which_it_is_told_does_not_matter(sentences: list[str], chance):
    mixed = list(sentences)
    chance.shuffle(mixed)
    assert answers(audit_text("\n".join(f"- {one}" for one in sentences))) == answers(
        audit_text("\n".join(f"- {one}" for one in mixed))
    )


@given(CHOSEN)
def test_saying_it_twice_changes_nothing(sentences: list[str]):
    told = "\n".join(f"- {one}" for one in sentences)
    assert answers(audit_text(told)) == answers(audit_text(f"{told}\n{told}"))


@given(CHOSEN, st.sampled_from([sentence for sentence, _ in HARMLESS]))
def test_a_sentence_on_something_else_changes_no_verdict_for_the_worse(sentences: list[str], harmless: str):
    id = next(id for sentence, id in HARMLESS if sentence == harmless)
    before = answers(audit_text("\n".join(f"- {one}" for one in sentences)))
    after = answers(audit_text("\n".join(f"- {one}" for one in [*sentences, harmless])))
    assert before[id] == after[id]


@given(CHOSEN, st.sampled_from([one for one in SENTENCES if one[2] == "pass"]))
def test_telling_of_a_practice_never_makes_it_missing(sentences: list[str], told: tuple[str, str, str]):
    sentence, id, _ = told
    before = answers(audit_text("\n".join(f"- {one}" for one in sentences)))
    after = answers(audit_text("\n".join(f"- {one}" for one in [*sentences, sentence])))
    assert after[id] == ("fail" if before[id] == "fail" else "pass")


@given(CHOSEN)
def test_the_headline_counts_the_five_principles(sentences: list[str]):
    report = audit_text("\n".join(f"- {one}" for one in sentences))
    five = [verdict for principle, verdict in verdicts(report).items() if principle != "collaboration"]
    violated = five.count("violated")
    assert report.headline.startswith("Of 5 principles: ")
    assert (f"{violated} violated" in report.headline) == bool(violated)
    assert f"{five.count('present') or 'none'} present" in report.headline


@given(CHOSEN)
def test_next_steps_mend_what_is_missing_before_what_is_not_told(sentences: list[str]):
    report = audit_text("\n".join(f"- {one}" for one in sentences))
    found = answers(report)
    kinds = [found[id] for step in report.next_steps for id in step.mends]
    assert kinds == sorted(kinds, key=["fail", "unknown"].index)


def test_a_long_step_is_quoted_shortened():
    text = "There are no tests " + "of any kind " * 40
    quote = next(one for one in audit_text(text).findings if one.id == "AU02").evidence[0]
    assert quote.endswith('…"') and len(quote) < 180


def test_every_practice_is_asked_for_once_when_nothing_is_told():
    report = audit_text("Hello.")
    assert [one.what.startswith("Not told: ") for one in report.findings] == [True] * len(CONCEPTS)
    assert len({one.what for one in report.findings}) == len(CONCEPTS)
