"""The page of a check: whether a table drifted from its reference, in which columns, and what they look like."""

from collections.abc import Sequence

from taut.watch.events import Reference
from taut.watch.offline import Check, Tally
from taut.watch.picture.columns import (
    LISTED,
    TOLD,
    Column,
    cards,
    column_table,
    legend,
    listed_names,
    notes_on,
)  # fmt: skip
from taut.watch.picture.document import document, header, listed, section
from taut.watch.picture.named import shown_name
from taut.watch.picture.svg import Markup, element
from taut.watch.picture.words import clipped, counted, told_evidence


def check_page(check: Check, found: Tally, reference: Reference, current: str, against: str) -> str:
    """The whole page, below 500 kB however many columns there are. `current` and `against` name the two tables."""
    columns = columns_of(check, found, reference)
    drawn, number = cards(columns)
    return document(
        f"{headline(check)}: {clipped(current)}",
        header("Check", headline(check), f"{check_lead(check, current, against)}.", _story(check, columns)),
        section(
            "Columns, then and now",
            legend(f"then: {clipped(against)}", f"now: {clipped(current)}"),
            drawn,
            *_not_pictured(len(columns), number),
        ),
        section("All columns", column_table(columns, "Columns by their evidence, strongest first"), *_more(columns)),
        section("How to read it, and what was left out", listed(_notes(check, found, columns))),
    )


def headline(check: Check) -> str:
    """Whether there is drift, and in which columns, in a few words."""
    if not any(check.alarms.values()):
        return "No drift is shown"
    named = [one for one in check.features if one.is_named] or list(check.features[:1])
    return f"Drift in {listed_names([shown_name(one.name) for one in named])}"


def bound_of(check: Check) -> float:
    """Where each budget alarms: the budgets share alpha."""
    return len(check.evidence) / check.alpha


def check_lead(check: Check, current: str, against: str) -> str:
    """What was held against what."""
    return f"{counted(check.rows, 'row')} of {clipped(current)} against {check.reference_rows:,} of {clipped(against)}"


def columns_of(check: Check, found: Tally, reference: Reference) -> list[Column]:
    """The check's features as columns to show: those that drifted first, then by evidence."""
    by_name = {feature.name: feature for feature in reference.features}
    columns = [Column(by_name[one.name], found.counts, one.e_value, one.psi, one.is_named) for one in check.features]
    return sorted(columns, key=lambda one: not one.is_named)


def _story(check: Check, columns: Sequence[Column]) -> list[tuple[str, str, str]]:
    drifted = sum(1 for one in columns if one.is_named)
    told = [
        ("Rows", f"{check.rows:,}", f"{check.labelled:,} labelled" if check.labelled else "no labels"),
        ("Reference", f"{check.reference_rows:,}", "rows"),
        ("Features", f"{len(columns):,}", f"{drifted:,} drifted"),
    ]
    told += [(f"Evidence: {budget}", told_evidence(e), _against(check, budget)) for budget, e in check.evidence.items()]
    return [*told, ("Alarm at", f"{bound_of(check):,.4g}", f"at most {check.alpha:.2g} false")]


def _against(check: Check, budget: str) -> str:
    return "alarm" if check.alarms[budget] else "below the bound"


def _not_pictured(columns: int, drawn: int) -> list[Markup]:
    rest = columns - drawn
    return (
        [element("p", f"{counted(rest, 'weaker feature')} without a picture: see the table.", class_="note")]
        if rest
        else []
    )


def _more(columns: Sequence[Column]) -> list[Markup]:
    rest = len(columns) - LISTED
    return [element("p", f"{counted(rest, 'weaker feature')} more, left out here.", class_="note")] if rest > 0 else []


def _notes(check: Check, found: Tally, columns: Sequence[Column]) -> list[str]:
    """What the numbers mean in a sentence each, and everything that the check did not look at."""
    bound = f"{bound_of(check):,.4g}"
    evidence = (
        f"An e-value of 1 says nothing, {bound} is what a fair bet on “nothing changed” reaches once in {bound} times. "
        f"Each budget alarms where the mean over its columns reaches {bound}."
    )
    named = (
        f"Columns are called drifted so that at most {check.alpha:.2g} of the names are wrong on average; an alarm can "
        "stand without any name."
    )
    psi = "PSI is how far apart the shares are: 0 for equal, 0.1 is worth a look, 0.25 a worry. It raises no alarm."
    notes = [evidence, named, psi, *notes_on([one.feature for one in columns])]
    if check.tolerance:
        notes.append(f"A share that shifted by at most {check.tolerance:g} is no drift here.")
    if check.coverage:
        notes.append(f"{check.coverage[0].upper()}{check.coverage[1:]}.")
    absent = [one.feature.name for one in columns if _is_absent(one)]
    if absent:
        notes.append(f"All missing, or no column of the table at all: {listed_names(absent, TOLD)}.")
    if check.clocks:
        notes.append(f"Left out, for they only count the time: {listed_names(check.clocks, TOLD)}.")
    if found.unknown:
        notes.append(f"Left out, for the reference does not have them: {listed_names(found.unknown, TOLD)}.")
    if found.left_out:
        notes.append(f"Left out, for nested and binary values are not watched: {listed_names(found.left_out, TOLD)}.")
    if "labels" not in check.evidence:
        notes.append("Errors and calibration were not looked at: the reference has no scores with labels.")
    elif not check.labelled:
        notes.append("Errors and calibration were not looked at: the table has no scores with labels.")
    return notes


def _is_absent(column: Column) -> bool:
    """Whether every row of a column is missing that was not so in the reference."""
    hits, trials = (side.get(column.feature.name, ()) for side in (column.counts.hits, column.counts.trials))
    return any(e.kind == "missing" and k == n > 0 for e, k, n in zip(column.feature.events, hits, trials, strict=False))
