"""The checks of quality: what in a window's data is broken, what looks odd, what is worth a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import floor

from scipy.special import bdtrc, betaincinv

from taut.watch.columns import Column
from taut.watch.counts import WindowCounts, count_window
from taut.watch.events import Event, EventKind, Feature, Reference
from taut.watch.quality.facts import Facts, facts_of, inputs_of
from taut.watch.quality.finding import Finding, Severity, by_severity
from taut.watch.quality.units import multiplied
from taut.watch.rows import duplicates_of

SURE = 1e-6
"""A share is higher than in the reference where chance shows as much with so small a probability, twice over: for the
reference's own share, and for the window's given the highest that is left."""
MISSING_MORE, RANGE_MORE, NEW_MORE, UNREAD_MORE = 0.02, 0.01, 0.01, 0.01
"""Rises of a share that are worth a warning."""
HALF = 0.5
"""Where half of the values are gone, new or no numbers, the column is broken."""
CONSTANT_MIN, TWICE_MORE = 50, 0.01
TOLD = 3
"""New levels that are named."""


def quality_of(reference: Reference, counts: WindowCounts, facts: Facts) -> tuple[Finding, ...]:
    """Hold a window against its reference by fixed rules, the gravest first; empty where nothing is to be said.

    `counts` and `facts` are of the same rows. Data that look as the reference yield no error: a finding about a share
    needs that chance is ruled out (`SURE`) and that the share rose by as much as its rule says. What drifts is not
    broken: an error says that half of a column is gone, new, no number or stuck, or in another unit. Profiles that have
    no histogram or no duplicates are checked for the rest.
    """
    if not facts.rows:
        return (Finding("volume", "", "error", "there are no rows", 0, 0),)
    found = [*_schema(reference, facts), *_duplicates(reference, facts)]
    for feature in inputs_of(reference):
        if facts.kinds.get(feature.name, "other") != "other" and feature.name in counts.hits:
            found += _of_feature(feature, counts, facts)
    return by_severity(found)


def quality_of_rows(reference: Reference, columns: Mapping[str, Column]) -> tuple[Finding, ...]:
    """The same of rows at hand: `columns` by name, all of one length. Raises Invalid where they are not.

    >>> from taut.watch.profile import make_reference
    >>> reference = make_reference({"age": [20.0 + place % 40 for place in range(200)]})
    >>> [one.text for one in quality_of_rows(reference, {"age": [None] * 50})]
    ['100 % missing, 0 % in the reference']
    """
    counts = count_window(reference, columns)
    return quality_of(reference, counts, facts_of(reference, columns, rows=counts.rows))


def _schema(reference: Reference, facts: Facts) -> Iterator[Finding]:
    known = {feature.name: feature for feature in inputs_of(reference)}
    rows = facts.rows
    for name, feature in known.items():
        if name not in facts.kinds:
            missing = _event(feature, "missing")
            optional = missing is None or missing.hits > HALF * missing.trials
            yield Finding("schema", name, "warning" if optional else "error", "the column is not there", rows, rows)
        elif facts.kinds[name] == "other":
            text = f"the column holds neither numbers nor words; the reference has {_told(feature)}"
            yield Finding("schema", name, "error", text, rows, rows)
    for name, kind in facts.kinds.items():
        if name not in known and name not in reference.clocks:
            text = "the reference has no such column" + ("; of its kind none is watched" if kind == "other" else "")
            yield Finding("schema", name, "info", text, rows, rows)


def _of_feature(feature: Feature, counts: WindowCounts, facts: Facts) -> list[Finding]:
    numeric = (_unread, _unit, _stuck)
    words = (_numbers, _new, _one_level)
    checks: Sequence[Callable[[Feature, WindowCounts, Facts], Finding | None]]
    checks = (_missing, *(words if feature.kind == "categorical" else numeric))
    found = [finding for check in checks if (finding := check(feature, counts, facts)) is not None]
    names = {finding.check for finding in found}
    if names & {"kind"}:
        return [finding for finding in found if finding.check == "kind"]
    beyond = _range(feature, counts) if feature.kind == "numeric" and "unit" not in names else None
    return found if beyond is None else [*found, beyond]


def _missing(feature: Feature, counts: WindowCounts, facts: Facts) -> Finding | None:
    event = _event(feature, "missing")
    if event is None:
        return _present(feature, counts)
    hits, trials = _asked(feature, event, counts)
    hits -= facts.unread.get(feature.name, 0)
    before, now = event.hits / event.trials, hits / trials
    text = f"{_percent(now)} missing, {_percent(before)} in the reference"
    if now - before >= MISSING_MORE and _is_more(event, hits, trials):
        severity: Severity = "error" if now - before >= HALF or (hits == trials and before < HALF) else "warning"
        return Finding("missing", feature.name, severity, text, hits, trials)
    if before - now >= max(MISSING_MORE, before * 0.75) and _is_more(_turned(event), trials - hits, trials):
        return Finding("missing", feature.name, "info", text, hits, trials)
    return None


def _present(feature: Feature, counts: WindowCounts) -> Finding | None:
    event = _event(feature, "present")
    hits, trials = (0, 0) if event is None else _asked(feature, event, counts)
    text = f"{hits:,} values are there, where the reference has none"
    return Finding("missing", feature.name, "info", text, hits, trials) if hits else None


def _unread(feature: Feature, _: WindowCounts, facts: Facts) -> Finding | None:
    """Words in a column of numbers."""
    bad, good = facts.unread.get(feature.name, 0), sum(facts.sizes.get(feature.name, {}).values())
    if not bad + good or facts.kinds[feature.name] != "words":
        return None
    share = bad / (bad + good)
    if not bad:
        return Finding("kind", feature.name, "info", "the numbers come as words", good, good)
    text = f"{_percent(share)} of the values are no numbers, as all are in the reference"
    severity: Severity = "error" if share >= HALF else "warning" if share >= UNREAD_MORE else "info"
    return Finding("kind" if share >= HALF else "unread", feature.name, severity, text, bad, bad + good)


def _numbers(feature: Feature, _: WindowCounts, facts: Facts) -> Finding | None:
    """Numbers in a column of words, unless its words were mostly numbers, too."""
    levels = feature.levels or feature.known or ()
    numeric = sum(_is_number(level) for level in levels)
    if facts.kinds[feature.name] != "numbers" or not levels or numeric * 2 >= len(levels):
        return None
    text = f"the column holds numbers, where the reference has words, as {levels[0]!r}"
    return Finding("kind", feature.name, "error", text, facts.rows, facts.rows)


def _unit(feature: Feature, _: WindowCounts, facts: Facts) -> Finding | None:
    sizes = facts.sizes.get(feature.name, {})
    found = multiplied(feature, sizes)
    if found is None:
        return None
    total = sum(sizes.values())
    event = _event(feature, "outside")
    if not found.is_all and (
        event is None or found.hits < RANGE_MORE * total or not _is_more(event, found.hits, total)
    ):
        return None
    part = "the values look" if found.is_all else f"{_percent(found.hits / total)} of the values look"
    text = f"{part} multiplied by {found.name} against the reference"
    return Finding("unit", feature.name, "error" if found.is_large else "warning", text, found.hits, total)


def _range(feature: Feature, counts: WindowCounts) -> Finding | None:
    event = _event(feature, "outside")
    if event is None:
        return None
    hits, trials = _asked(feature, event, counts)
    expected = event.a / (event.a + event.b)
    if not trials or hits / trials - expected < RANGE_MORE or not _is_more(event, hits, trials):
        return None
    bins = counts.bins.get(feature.name, ())
    sides = f"; {bins[0]:,} below, {bins[-1]:,} above" if bins else ""
    text = f"{_percent(hits / trials)} outside {feature.low:g} to {feature.high:g}, the range of the reference{sides}"
    return Finding("range", feature.name, "warning", text, hits, trials)


def _new(feature: Feature, counts: WindowCounts, facts: Facts) -> Finding | None:
    event = _event(feature, "unseen")
    if event is None:
        return None
    hits, trials = _asked(feature, event, counts)
    expected = event.a / (event.a + event.b)
    # Where every fifth word was new to the reference itself, as in a column of names, one more is no news.
    if not hits or expected > 0.2 or not _is_more(event, hits, trials):
        return None
    rise = hits / trials - expected
    levels = facts.fresh.get(feature.name, {})
    named = ", ".join(f"{level!r} ({count:,})" for level, count in list(levels.items())[:TOLD])
    more = f" and {len(levels) - TOLD} more" if len(levels) > TOLD else ""
    text = f"{_percent(hits / trials)} are levels that the reference has not: {named}{more}"
    severity: Severity = "error" if rise >= HALF else "warning" if rise >= NEW_MORE else "info"
    return Finding("new-level", feature.name, severity, text, hits, trials)


def _stuck(feature: Feature, counts: WindowCounts, facts: Facts) -> Finding | None:
    """One number alone, where so many rows of the reference would have shown another one.

    Where most numbers of the reference are different ones, as of a measuring device, it is an error; a column of few
    values, as the day of the week, may well be constant for a window.
    """
    bins, span = counts.bins.get(feature.name, ()), facts.spans.get(feature.name)
    if span is None or span[0] != span[1] or not _is_odd(feature, bins):
        return None
    is_continuous = feature.distinct * 2 > sum(feature.bins)
    text = f"every value is {span[0]:g}, where the reference has {feature.distinct:,} different ones"
    return Finding("constant", feature.name, "error" if is_continuous else "warning", text, sum(bins), sum(bins))


def _one_level(feature: Feature, counts: WindowCounts, _: Facts) -> Finding | None:
    bins = counts.bins.get(feature.name, ())
    if not _is_odd(feature, bins) or not any(bins[:-2]):
        return None
    level = feature.levels[next(place for place, count in enumerate(bins) if count)]
    text = f"every value is {level!r}, where the reference has {feature.distinct:,} different ones"
    return Finding("constant", feature.name, "warning", text, sum(bins), sum(bins))


def _is_odd(feature: Feature, bins: Sequence[int]) -> bool:
    """Whether all values lie in one bin, and the reference's share of it makes that as good as impossible.

    Where its values came in runs, as the day of the month does, rows weigh less, as everywhere.
    """
    filled = [place for place, count in enumerate(bins) if count]
    if len(filled) != 1 or sum(bins) < CONSTANT_MIN or feature.distinct < 2:
        return False
    share = (feature.bins[filled[0]] + 1) / (sum(feature.bins) + 1)
    return bool(share ** (sum(bins) / max(event.deff for event in feature.events)) < SURE)


def _duplicates(reference: Reference, facts: Facts) -> Iterator[Finding]:
    """More equal rows than the reference leads one to expect of a window of this size.

    Of m independent rows no more equal an earlier one than there are pairs of equal ones, which grow with the square
    of m; and no larger share than in the reference, where m is not larger. The reference may have had fewer pairs by
    luck: four times their root and ten more are allowed for.
    """
    known, now = reference.duplicates, duplicates_of(facts.hashes)
    if known is None or now.rows < CONSTANT_MIN:
        return
    pairs = (known.pairs + 4.0 * known.pairs**0.5 + 10.0) * (now.rows / known.rows) ** 2
    share = known.again / known.rows
    expected = max(share, pairs / now.rows if now.rows > known.rows else 0.0)
    found = now.again / now.rows
    if found < 3 * expected + TWICE_MORE:
        return
    text = f"{_percent(found)} of the rows are there already, {_percent(share)} in the reference"
    yield Finding("duplicates", "", "error" if found >= HALF else "warning", text, now.again, now.rows)


def _event(feature: Feature, kind: EventKind) -> Event | None:
    return next((event for event in feature.events if event.kind == kind), None)


def _asked(feature: Feature, event: Event, counts: WindowCounts) -> tuple[int, int]:
    place = feature.events.index(event)
    return counts.hits[feature.name][place], counts.trials[feature.name][place]


def _is_more(event: Event, hits: int, trials: int) -> bool:
    """Whether the share is higher than in the reference by more than chance; rows that move together weigh less."""
    if not hits:
        return False
    highest = betaincinv(event.a / event.deff, event.b / event.deff, 1.0 - SURE)
    asked = floor(trials / event.deff)
    return bool(asked and bdtrc(max(floor(hits / event.deff) - 1, 0), asked, highest) < SURE)


def _turned(event: Event) -> Event:
    """The question turned round."""
    return Event(event.kind, event.name, event.b, event.a, event.trials - event.hits, event.trials, deff=event.deff)


def _told(feature: Feature) -> str:
    return "words" if feature.kind == "categorical" else "numbers"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _percent(share: float) -> str:
    """A share as people write it.

    >>> _percent(0.0), _percent(0.0004), _percent(0.041), _percent(1.0)
    ('0 %', '0.04 %', '4.1 %', '100 %')
    """
    return f"{100 * share:.3g} %" if share < HALF or share == 1.0 else f"{100 * share:.1f} %"
