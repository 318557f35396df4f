"""Reading the evidence: when a change began, and by which events it shows, from the counts that a detector remembers.

Both compare the rows since each possible onset with all rows before it, the reference's included, event by event: the
Bayes factor of "a share of its own" against "the same share". It reads totals and starts alone, so it explains whatever
made of them an e-value. It explains and promises nothing: the bound is the detector's.
"""

from __future__ import annotations

from math import exp, log

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, logsumexp

from taut.errors import Invalid
from taut.watch.detectors.ewin import Ewin, EwinState, e_value, suspects
from taut.watch.events import PAIRS, Event, Feature
from taut.watch.story import Onset, Story, StrongEvent, Suspect

Floats = NDArray[np.float64]

HELD = 0.9
"""How much of the weight the range of onsets holds."""
EVENTS_SHOWN, SUSPECTS_SHOWN = 3, 8
E_MAX_LOG = 700.0
"""Beyond this a float is infinite, and JSON has no infinity."""


def story_of(detector: Ewin, state: EwinState) -> Story:
    """What the detector has to tell now. Raises Invalid before the first window that asked anything.

    Features named by e-BH come first; where none is named, those with the most evidence.
    """
    named = suspects(detector, state)
    ranked = sorted(state.log_e, key=lambda name: (name not in named, -state.log_e[name], name))
    begun = onset(detector, state)
    shown = tuple(
        Suspect(
            name, exp(min(state.log_e[name], E_MAX_LOG)), name in named,
            strongest_events(detector, state, name, since=begun.at),
        )
        for name in ranked[: max(1, min(len(named), SUSPECTS_SHOWN))]
    )  # fmt: skip
    return Story(e_value(state), 1.0 / detector.alpha, shown, begun)


def onset(detector: Ewin, state: EwinState, *, held: float = HELD) -> Onset:
    """When the change began, in checks: the likeliest of the starts that the state remembers, and a range of them.

    Each start weighs as its Bayes factor, the mean over the events of a feature and over the features, with equal
    weight a check; old starts are remembered more and more sparsely, and each stands for the checks between its
    neighbours. The range is the shortest that holds `held` of the weight. Raises Invalid without any start.
    """
    if not state.starts:
        raise Invalid("a detector that has looked at nothing knows no onset")
    at = np.array([begun.at for begun in state.starts])
    weights = _by_feature(detector, _log_bayes(detector, state)) + np.log(np.diff([*at, state.checks]))
    shares = np.exp(weights - logsumexp(weights))
    first, last = _shortest(shares, held)
    since, until = [0, *(at[:-1] + 1)], [*(at[1:] - 1), state.checks - 1]
    return Onset(int(at[int(np.argmax(shares))]), int(since[first]), int(until[last]), held)


def strongest_events(
    detector: Ewin, state: EwinState, feature: str, *, since: int, most: int = EVENTS_SHOWN
) -> tuple[StrongEvent, ...]:
    """The events of a feature whose shares changed most since a start that the state remembers, strongest first.

    Those without evidence of a change are left out, but for the strongest. Raises Invalid for an unknown feature or
    start.
    """
    places = [place for place, begun in enumerate(state.starts) if begun.at == since]
    names = [one.name for one in detector.features]
    if not places or feature not in names:
        raise Invalid(f"the detector remembers no start {since}, or watches no feature {feature!r}")
    begun = state.starts[places[0]]
    log_bayes = _log_bayes(detector, state)[places[0]]
    first = sum(len(one.events) for one in detector.features[: names.index(feature)])
    found = []
    watched = detector.features[names.index(feature)]
    for place, event in enumerate(watched.events, start=first):
        hits, trials = state.hits[place] - begun.hits[place], state.trials[place] - begun.trials[place]
        if trials and event.trials:
            found.append(_told(watched, event, hits, trials, float(log_bayes[place])))
    found.sort(key=lambda one: (-one.log_bayes, one.event))
    return tuple(one for place, one in enumerate(found[:most]) if not place or one.log_bayes > 0.0)


def named_columns(detector: Ewin, state: EwinState) -> list[str]:
    """The suspects, strongest first; where columns hang together otherwise, the two of the strongest pair follow."""
    names = suspects(detector, state)
    if PAIRS not in names:
        return names
    feature = next(one for one in detector.features if one.name == PAIRS)
    strongest = strongest_events(detector, state, PAIRS, since=onset(detector, state).at, most=1)
    pairs = {event.name: event.of for event in feature.events}
    return [*names, *(pairs[strongest[0].event] or ())] if strongest else names


def words_of(event: Event) -> str:
    """An event as people say it; where a cut lies is said by the share of the reference at or below it.

    >>> words_of(Event("below", "age <= 31.5", 300.0, 701.0, 300, 1000, at=31.5))
    'age <= 31.5 (its 30 % point in the reference)'
    """
    if event.kind != "below" or not event.trials:
        return event.name
    return f"{event.name} (its {100 * event.hits / event.trials:.0f} % point in the reference)"


def _told(feature: Feature, event: Event, hits: int, trials: int, log_bayes: float) -> StrongEvent:
    share, before = hits / trials, event.hits / event.trials
    times = f", {share / before:.3g} times as often" if before and share >= 1.5 * before else ""
    if before and share <= before / 1.5:
        times = ", not once" if not hits else f", {before / share:.3g} times as rarely"
    text = (
        f"{words_of(event)}: {100 * share:.3g} % of {trials:,} rows, "
        f"{100 * before:.3g} % of {event.trials:,} in the reference{times}"
    )
    return StrongEvent(
        feature.name, event.name, hits, trials, share, before, event.trials, round(log_bayes, 6), text
    )  # fmt: skip


def _log_bayes(detector: Ewin, state: EwinState) -> Floats:
    """For each start and event, log P(rows since | a share of their own) / P(rows since | the share before)."""
    events = [event for feature in detector.features for event in feature.events]
    deff = np.array([event.deff for event in events])
    hits = np.array([begun.hits for begun in state.starts], dtype=np.float64)
    trials = np.array([begun.trials for begun in state.starts], dtype=np.float64)
    a = (np.array([event.a for event in events]) + hits) / deff
    b = (np.array([event.b for event in events]) + trials - hits) / deff
    k = (np.array(state.hits) - hits) / deff
    misses = (np.array(state.trials) - trials) / deff - k
    same = betaln(a + k, b + misses) - betaln(a, b)
    own = betaln(0.5 + k, 0.5 + misses) - betaln(0.5, 0.5)
    ratio: Floats = own - same
    rarer = np.array([event.one_sided for event in events]) & (k * (a + b) <= a * (k + misses))
    return np.where(rarer, np.minimum(ratio, 0.0), ratio)


def _by_feature(detector: Ewin, log_bayes: Floats) -> Floats:
    """The mean over each feature's events, then over the features, in logarithms, for each start."""
    sizes = np.array([len(feature.events) for feature in detector.features])
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.logaddexp.reduceat(log_bayes, firsts, axis=1) - np.log(sizes)
    mean: Floats = logsumexp(means, axis=1) - log(len(sizes))
    return mean


def _shortest(shares: Floats, held: float) -> tuple[int, int]:
    """The first and last place of the shortest run whose shares reach `held`; the heaviest of equal ones."""
    total = np.concatenate([[0.0], np.cumsum(shares)])
    runs = []
    for first in range(len(shares)):
        last = int(np.searchsorted(total, total[first] + held, side="left")) - 1
        if last < len(shares):
            runs.append((last - first, -(total[last + 1] - total[first]), first))
    if not runs:
        return 0, len(shares) - 1
    length, _, first = min(runs)
    return first, first + length
