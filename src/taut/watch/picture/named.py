"""Features and events as people say them: what a column is called, what one event did."""

from taut.watch.events import CUTS, ERROR, PAIRS, TARGET, Event, Feature
from taut.watch.picture.words import clipped, ordinal, told_share, told_value


def shown_name(feature: str) -> str:
    """A feature's name as people call it, those of the labels in words."""
    known = {ERROR: "wrong predictions", TARGET: "true labels by score", PAIRS: "columns two by two"}
    return known.get(feature, clipped(feature))


def told_event(feature: Feature, event: Event, then: float, now: float) -> str:
    """What one event did, as a sentence without its column: how many of the rows it is true of, now and then."""
    shares = f"{told_share(now)} now, {told_share(then)} then"
    return f"{_named(feature, event)}: {shares}"


def _named(feature: Feature, event: Event) -> str:
    if event.kind == "below" and event.at is not None:
        cuts = [one.at for one in feature.events if one.kind == "below"]
        place = cuts.index(event.at) + 1
        which = f"its {ordinal(place)} cut of {len(cuts)}" if len(cuts) == CUTS else "a cut of the reference"
        return f"at or below {told_value(event.at)}, {which}"
    if event.kind == "outside" and feature.low is not None and feature.high is not None:
        return f"outside {told_value(feature.low)} to {told_value(feature.high)}, all that the reference had"
    return {
        "missing": "missing",
        "present": "not missing, as all of the reference was",
        "level": f"is {clipped(event.level or '', 40)}",
        "rest": "another than the most frequent levels",
        "unseen": "a level that the reference never had",
    }.get(event.kind, clipped(event.name, 160))
