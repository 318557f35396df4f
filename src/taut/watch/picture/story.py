"""What happened, in order: rollouts by hand, alerts, and the answer to each with its verdict's main figures."""

from taut.records import Alert
from taut.watch.picture.frame import colour_of
from taut.watch.picture.scales import day_name
from taut.watch.picture.svg import Markup, element
from taut.watch.picture.year import Answer, Rollout, Verdict, Year

NAMES = {
    "roc_auc": "ROC AUC", "brier": "Brier", "log_loss": "Log loss", "accuracy": "Accuracy",
    "calibration_error": "Calibration error",
}  # fmt: skip
AGAINST = " against champion"  # How the gate calls a check that compares a measure.
HEADS = ("", "When", "What", "Retrained", "Verdict", "Served")


def story_table(year: Year) -> Markup:
    """One row for each alert and each rollout that no alert caused."""
    dated = [(one.from_ms if one.from_ms is not None else year.span[1], -1, _begun(one, year)) for one in year.rollouts
             if not one.cause.startswith("alert:")]  # fmt: skip
    dated += [
        (alert.window_start_ms, number, _alerted(number, alert, year.answers.get(alert.id)))
        for number, alert in enumerate(year.alerts, start=1)
    ]
    rows = [row for _, _, row in sorted(dated, key=lambda one: one[:2])]
    heads = [element("th", name, scope="col") for name in HEADS]
    caption = element("caption", "Rollouts, alerts and the answers to them, in the time of events")
    return element(
        "table", caption, element("thead", element("tr", *heads)), element("tbody", *rows), class_="happened"
    )


def _begun(rollout: Rollout, year: Year) -> Markup:
    """A version that somebody rolled out."""
    verdicts = [one for one in year.verdicts if (one.model, one.number) == (rollout.model, rollout.number)]
    when = "not asked yet" if rollout.from_ms is None else day_name(rollout.from_ms)
    return _row("", when, [element("b", "Rolled out"), " by hand"], [], _judged(verdicts[-1] if verdicts else None),
                _serving(rollout.model, rollout.number, rollout.revision))  # fmt: skip


def _alerted(number: int, alert: Alert, answer: Answer | None) -> Markup:
    budget = alert.detector.partition(":")[2] or alert.detector
    found, bound = alert.evidence.get(budget), alert.evidence.get("bound")
    evidence = f"evidence {_brief(found)} over {_brief(bound)}" if found is not None and bound is not None else ""
    what: list[str | Markup] = [
        element("b", alert.severity.capitalize(), class_=f"is-{alert.severity}"), f" {budget}: {alert.feature}",
        element("small", evidence),
    ]  # fmt: skip
    when = day_name(alert.window_start_ms)
    if answer is None or not answer.run:
        state = "open; nothing was retrained" if alert.status == "open" else alert.status
        return _row(str(number), when, [*what, element("small", state)], [], [], [])
    rolled_out = answer.verdict is not None and answer.revision is not None
    served = _serving(answer.verdict.model, answer.number, answer.revision) if rolled_out and answer.verdict else []
    return _row(str(number), when, what, _retrained(answer), _judged(answer.verdict), served)


def _retrained(answer: Answer) -> list[str | Markup]:
    rows = f"on {answer.learnt:,} rows" if answer.learnt is not None else ""
    named = "not registered yet" if answer.number is None else f"v{answer.number}"
    return [named, element("small", f"run {answer.run[:8]}", Markup("<br/>"), rows)]


def _judged(verdict: Verdict | None) -> list[str | Markup]:
    """Accepted or refused, with the measures found; a refusal says why in the gate's own words."""
    if verdict is None:
        return ["no verdict yet"]
    word = "Accepted" if verdict.passed else "Refused"
    told: list[str | Markup] = [element("b", word, class_=f"is-{word.lower()}")]
    told += [element("small", line) for line in _figures(verdict)]
    told += [element("small", f"{one.name}: {one.text}", class_="why") for one in verdict.checks if not one.passed]
    return told


def _figures(verdict: Verdict) -> list[str]:
    """Each measure that the gate took, and how much better or worse it was than the champion's."""
    found = {check.name: check.found for check in verdict.checks}
    figures = []
    for measure, name in NAMES.items():
        value, gain = found.get(measure), found.get(f"{measure}{AGAINST}")
        words = [] if value is None else [f"{value:.4f}"]
        if gain is not None:
            words.append(f"{abs(gain):.4f} {'better' if gain >= 0 else 'worse'} than v{verdict.champion}")
        if words:
            figures.append(f"{name} {', '.join(words)}")
    return figures


def _serving(model: str, number: int | None, revision: int | None) -> list[str | Markup]:
    swatch = element("i", class_=colour_of(number or 1))
    return [swatch, f"{model}@{number}", element("small", f"revision {revision}")]


def _row(number: str, when: str, *cells: list[str | Markup]) -> Markup:
    named = [element("td", *cell, data_label=head) for head, cell in zip(HEADS[2:], cells, strict=True)]
    return element("tr", element("td", number, class_="number"), element("td", when, class_="when"), *named)


def _brief(value: float) -> str:
    return f"{value:,.0f}" if 10 <= value < 1e6 else f"{value:.2g}".replace("e+", "e")
