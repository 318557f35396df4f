"""Reading the evidence: when a change began and by which events it shows, from counts whose truth is known."""

import numpy as np
import pytest

from taut.errors import Invalid
from taut.watch.counts import WindowCounts, count_window
from taut.watch.detectors.evidence import onset, story_of, strongest_events, words_of
from taut.watch.detectors.ewin import Ewin, EwinState, ewin_of, start, update
from taut.watch.events import Event
from taut.watch.profile import make_reference

ROWS = 500


def columns(seed: int, rows: int = ROWS, *, shift: float = 0.0, missing: float = 0.0, levels: str = "ab") -> dict:
    """A number that may be shifted or missing, one that never is, and a level."""
    chance = np.random.default_rng(seed)
    moved = chance.normal(shift, 1, rows)
    moved[chance.random(rows) < missing] = np.nan
    return {"age": moved, "calm": chance.normal(size=rows), "plan": chance.choice(list(levels), rows)}


REFERENCE = make_reference(columns(0, 4_000))
DETECTOR = ewin_of(REFERENCE, "features")


def watched(windows: int, began: int, detector: Ewin = DETECTOR, **change) -> EwinState:
    """The state after so many windows, changed from number `began` on."""
    state = start(detector)
    for number in range(windows):
        rows = columns(100 + number, **(change if number >= began else {}))
        state = update(detector, state, count_window(REFERENCE, rows))
    return state


@pytest.mark.parametrize("began", [0, 1, 5, 9])
def test_the_onset_is_the_window_of_the_change_and_its_range_is_narrow(began: int):
    found = onset(DETECTOR, watched(12, began, shift=0.7))
    assert found.first <= began <= found.last
    assert found.last - found.first <= 2
    if began in [begun.at for begun in watched(12, began, shift=0.7).starts]:  # The older are remembered more sparsely.
        assert found.at == began


def test_the_onset_of_a_small_change_is_a_wider_range_that_holds_it():
    found = onset(DETECTOR, watched(24, 10, shift=0.12))
    assert found.first <= 10 <= found.last
    assert found.last > found.first


def test_a_range_that_holds_everything_is_all_windows():
    state = watched(6, 0)
    found = onset(DETECTOR, state, held=1.0)
    assert (found.first, found.last) == (0, 5)


def test_an_old_onset_is_found_among_the_starts_that_are_still_remembered():
    state = watched(70, 3, shift=0.5)
    assert 3 not in [begun.at for begun in state.starts]
    found = onset(DETECTOR, state)
    assert found.first <= 3 <= found.last


@pytest.mark.parametrize(
    ("change", "feature", "words"),
    [
        ({"shift": 0.7}, "age", "age <= "),
        ({"shift": -0.7}, "age", "age <= "),
        ({"missing": 0.05}, "age", "age is missing"),
        ({"shift": 40.0}, "age", "age outside "),
        ({"levels": "abc"}, "plan", "plan is a new level"),
        ({"levels": "aaab"}, "plan", "plan = "),
    ],
)
def test_the_strongest_event_is_the_one_that_was_changed(change, feature, words):
    state = watched(10, 4, **change)
    events = strongest_events(DETECTOR, state, feature, since=4)
    texts = [event.text for event in events]
    assert any(text.startswith(words) for text in texts), texts
    assert [event.log_bayes for event in events] == sorted((event.log_bayes for event in events), reverse=True)
    assert all(event.feature == feature for event in events)


def test_an_event_is_told_with_both_shares_and_how_many_times_as_often():
    state = watched(10, 4, missing=0.05)
    (missing,) = [one for one in strongest_events(DETECTOR, state, "age", since=4) if one.event == "age is missing"]
    assert missing.trials == 6 * ROWS
    assert missing.reference_share == 0.0
    assert missing.text == f"age is missing: {100 * missing.share:.3g} % of 3,000 rows, 0 % of 4,000 in the reference"
    state = watched(10, 4, shift=-0.7)
    first = strongest_events(DETECTOR, state, "age", since=4)[0]
    assert first.hits == round(first.share * first.trials)
    assert ", in the reference" not in first.text
    assert first.share > first.reference_share


def test_what_happens_no_more_is_told_so():
    state = watched(6, 2, levels="b")
    texts = [event.text for event in strongest_events(DETECTOR, state, "plan", since=2)]
    assert any(text.startswith("plan = a: 0 % of 2,000 rows, ") and text.endswith(", not once") for text in texts)


def test_the_story_names_the_suspects_first_and_the_bound():
    story = story_of(DETECTOR, watched(10, 4, shift=0.7))
    assert [suspect.name for suspect in story.suspects] == ["age"]
    assert story.suspects[0].is_named
    assert story.suspects[0].e_value > story.e_value > story.bound == pytest.approx(100.0)
    assert story.onset.at == 4


def test_where_nobody_is_named_the_one_with_the_most_evidence_is_told():
    state = watched(5, 5)
    story = story_of(DETECTOR, state)
    (suspect,) = story.suspects
    assert not suspect.is_named
    assert suspect.name == max(state.log_e, key=lambda name: state.log_e[name])
    assert len(suspect.events) >= 1


def test_rows_that_move_together_weigh_less():
    blocks = np.arange(4_000) // 400
    chance = np.random.default_rng(5)
    swinging = {"age": chance.normal(size=4_000) + np.repeat(chance.normal(0, 0.4, 10), 400)}
    detector = ewin_of(make_reference(swinging, blocks=blocks.tolist()), "features")
    loose = ewin_of(make_reference(swinging), "features")
    found = []
    for one in (detector, loose):
        rows = count_window(make_reference(swinging), {"age": chance.normal(0.5, 1, ROWS)})
        state = update(one, start(one), rows)
        found.append(strongest_events(one, state, "age", since=0)[0].log_bayes)
    assert found[0] < found[1]


def test_what_was_never_looked_at_has_no_onset_and_no_events():
    with pytest.raises(Invalid, match="no onset"):
        onset(DETECTOR, start(DETECTOR))
    with pytest.raises(Invalid, match="no onset"):
        story_of(DETECTOR, update(DETECTOR, start(DETECTOR), WindowCounts(0, {}, {})))
    state = watched(2, 0)
    with pytest.raises(Invalid, match="no feature 'nobody'"):
        strongest_events(DETECTOR, state, "nobody", since=0)
    with pytest.raises(Invalid, match="no start 7"):
        strongest_events(DETECTOR, state, "age", since=7)


def test_a_feature_that_was_asked_nothing_since_has_no_events():
    rows = count_window(REFERENCE, columns(1))
    only = WindowCounts(rows.rows, {"calm": rows.hits["calm"]}, {"calm": rows.trials["calm"]})
    state = update(DETECTOR, start(DETECTOR), only)
    assert strongest_events(DETECTOR, state, "age", since=0) == ()


def test_words_of_events():
    below = Event("below", "age <= 3", 10.5, 90.5, 10, 100, at=3.0)
    assert words_of(below) == "age <= 3 (its 10 % point in the reference)"
    assert words_of(Event("missing", "age is missing", 0.5, 9.5, 0, 9)) == "age is missing"
    assert words_of(Event("below", "age <= 3", 0.5, 0.5, 0, 0, at=3.0)) == "age <= 3"
