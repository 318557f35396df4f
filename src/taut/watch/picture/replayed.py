"""The page of a replay: evidence from window to window, and what the first one in alarm looked like."""

from collections.abc import Sequence
from math import exp

from taut.watch.measures.psi import psi_of_feature
from taut.watch.offline import Seen, Watching
from taut.watch.picture.columns import LISTED, Column, cards, legend, listed_names, notes_on
from taut.watch.picture.course import POINTS_MAX, Course, bundles, colour_legend, course_figure
from taut.watch.picture.document import document, header, listed, scrolled, section, table_of
from taut.watch.picture.named import shown_name
from taut.watch.picture.svg import Markup, element
from taut.watch.picture.words import clipped, counted, told_evidence

WIDE, NARROW = 1120, 380
CARDS = 9


def replay_page(course: Course, watching: Watching, folder: str) -> str:
    """The whole page of a stream of at least one window, below 500 kB however many windows and features there are."""
    bound = course.bound(watching.alpha)
    shown = course.first or course.newest
    assert shown is not None, folder
    drawn, _ = cards(columns_of(shown), CARDS)
    when = "the first window in alarm" if course.first else "the newest window"
    return document(
        f"{course_headline(course)}: {clipped(folder)}",
        header("Replay", course_headline(course), f"{course_lead(course, folder)}.", _story(course, watching)),
        element(
            "figure",
            course_figure(course, bound, WIDE, class_="wide"),
            course_figure(course, bound, NARROW, class_="narrow"),
            colour_legend(bound),
            class_="course",
        ),
        section(
            f"{shown.window.window}, {when}",
            legend("then: the reference", f"now: {shown.window.window}"),
            drawn,
        ),
        section("Features", _features(course, bound)),
        section("Window by window", _numbers(course)),
        section("How to read it", listed(_notes(course, watching, shown))),
    )


def course_headline(course: Course) -> str:
    """Whether and when there was an alarm, and for which features, in a few words."""
    if course.first is None:
        return f"No alarm in {counted(len(course.moments), 'window')}"
    named = [shown_name(name) for name in course.first.window.features]
    return f"Alarm in {course.first.window.window}" + (f": {listed_names(named)}" if named else "")


def columns_of(seen: Seen) -> list[Column]:
    """The features as they were in one window, those named first, then by the evidence so far."""
    log_e = {name: value for state in seen.states.values() for name, value in state.log_e.items()}
    columns = [
        Column(
            feature, seen.counts, exp(min(log_e[feature.name], 700.0)), psi_of_feature(feature, seen.counts),
            feature.name in seen.window.features,
        )
        for feature in seen.reference.features
        if feature.name in log_e
    ]  # fmt: skip
    return sorted(columns, key=lambda one: (not one.is_named, -(one.e_value or 0.0), one.feature.name))


def course_lead(course: Course, folder: str) -> str:
    """How much was replayed."""
    rows = sum(moment.rows for moment in course.moments)
    return f"{counted(rows, 'row')} in {counted(len(course.moments), 'window')} of {clipped(folder)}, in order"


def _story(course: Course, watching: Watching) -> list[tuple[str, str, str]]:
    reference = course.newest.reference if course.newest else None
    told = [
        ("Windows", f"{len(course.moments):,}", f"{counted(sum(m.rows for m in course.moments), 'row')}"),
        ("Reference", f"{reference.rows if reference else 0:,}", "rows"),
    ]
    for budget in course.moments[-1].evidence:
        first = next((moment.window for moment in course.moments if moment.alarms[budget]), None)
        peak = max(moment.evidence[budget] for moment in course.moments)
        told.append((f"Evidence: {budget}", told_evidence(peak), f"alarm in {first}" if first else "never in alarm"))
    return [*told, ("Alarm at", f"{course.bound(watching.alpha):,.4g}", f"at most {watching.alpha:.2g} false")]


def _features(course: Course, bound: float) -> Markup:
    """Each feature's evidence, strongest first."""
    heads = [("Feature", ""), ("Most evidence", "n"), ("in", ""), ("At the end", "n"), (f"{bound:,.4g} reached in", "")]
    rows = []
    for name in course.strongest()[:LISTED]:
        peak, at = course.peak(name)
        first = next((m.window for m in course.moments if exp(min(m.log_e[name], 700.0)) >= bound), "–")
        end = exp(min(course.moments[-1].log_e[name], 700.0))
        rows.append(
            element(
                "tr", element("td", shown_name(name), class_="name"), _number(told_evidence(exp(min(peak, 700.0)))),
                element("td", course.moments[-at].window), _number(told_evidence(end)), element("td", first),
            )
        )  # fmt: skip
    return scrolled(table_of("Features by the most evidence that they had", heads, rows), "Features")


def _numbers(course: Course) -> Markup:
    """The drawn evidence as a table; neighbours that were drawn as one stand as one."""
    budgets = list(course.moments[0].evidence)
    heads = [
        ("Window", ""),
        ("Rows", "n"),
        *((f"Evidence: {one}", "n") for one in budgets),
        ("Alarm", ""),
        ("Features", ""),
    ]
    rows = [_row(course, some, budgets) for some in bundles(len(course.moments), POINTS_MAX)]
    return scrolled(table_of("Rows and evidence, window by window", heads, rows), "Window by window")


def _row(course: Course, some: range, budgets: Sequence[str]) -> Markup:
    moments = [course.moments[place] for place in some]
    name = moments[0].window if len(moments) == 1 else f"{moments[0].window} to {moments[-1].window}"
    alarms = [budget for budget in budgets if any(moment.alarms[budget] for moment in moments)]
    named = [shown_name(one) for one in moments[-1].named]
    return element(
        "tr",
        element("td", clipped(name)),
        _number(f"{sum(moment.rows for moment in moments):,}"),
        *(_number(told_evidence(max(moment.evidence[budget] for moment in moments))) for budget in budgets),
        element("td", " and ".join(alarms), class_="is-page" if alarms else None),
        element("td", listed_names(named) if named else "", class_="wide"),
    )


def _notes(course: Course, watching: Watching, shown: Seen) -> list[str]:
    bound = f"{course.bound(watching.alpha):,.4g}"
    over = f"in {watching.per:,} windows" if watching.per else "over all windows together"
    promise = (
        f"The chance that any budget reaches {bound} though nothing changed is at most {watching.alpha:.2g} "
        f"{over}. An alarm stays one; the evidence weighs every window in which the change may have begun."
    )
    shows = "The pictures show one window alone against the reference; the evidence beside them is of all up to it."
    notes = [promise, shows, *notes_on(shown.reference.features)]
    if shown.window.coverage:
        notes.append(f"{shown.window.coverage[0].upper()}{shown.window.coverage[1:]}.")
    if watching.tolerance:
        notes.append(f"A share that shifted by at most {watching.tolerance:g} is no drift here.")
    if len(course.moments) > POINTS_MAX:
        notes.append(
            "Neighbouring windows are drawn, and stand in the table, together: rows add up, evidence is the strongest."
        )
    return notes


def _number(words: str) -> Markup:
    return element("td", words, class_="n")
