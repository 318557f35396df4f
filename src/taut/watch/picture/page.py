"""The page around the drawing: the story in numbers, the drawing in two widths, and the numbers of each window."""

from taut.ground.clock import age
from taut.watch.picture.document import document, header, scrolled, section, table_of
from taut.watch.picture.figure import figure
from taut.watch.picture.frame import colour_of
from taut.watch.picture.points import MEAN_FROM, MEAN_OF, Point, points_of
from taut.watch.picture.scales import day_name, moment_name
from taut.watch.picture.story import story_table
from taut.watch.picture.svg import Markup, element, joined
from taut.watch.picture.words import told_evidence
from taut.watch.picture.year import Year

WIDE, NARROW = 1120, 640  # What suits a desk and a hand; the style sheet shows one of them.
NUMBERS = (
    "From", "Version", "Rows", "Labelled", "Share", "ROC AUC", "Brier", "Evidence: labels", "Evidence: features",
)  # fmt: skip


def page_of(year: Year, newest: Markup | None = None) -> str:
    """The whole page: well-formed, without scripts, and it fetches nothing. `newest` shows the newest window."""
    title = f"{year.deployment}: the life of a deployment"
    return document(title, _heading(year), *(_pictured(year, newest) if year.windows else [_nothing_yet(year)]))


def _pictured(year: Year, newest: Markup | None) -> list[Markup]:
    points = points_of(year.windows)
    return [
        element(
            "figure",
            figure(year, points, WIDE, class_="wide"),
            figure(year, points, NARROW, class_="narrow"),
            element("figcaption", *_legend(len(points))),
        ),
        section("What happened", story_table(year)),
        *([newest] if newest is not None else []),
        section("Window by window", _numbers(year, points)),
    ]


def _heading(year: Year) -> Markup:
    """The name, since when and what serves, and the numbers that tell the story."""
    serves = year.rollouts[-1]
    words = f"{serves.model}@{serves.number} serves"
    if year.windows:
        first, last = year.span
        words = f"{day_name(first)} to {day_name(last - 1)}; {words} now"
    return header("Deployment", year.deployment, words, _story(year))


def _story(year: Year) -> list[tuple[str, str, str]]:
    """Name, number, and what else there is to say of it."""
    pages = sum(1 for alert in year.alerts if alert.severity == "page")
    share = f"{year.labelled / year.predictions:.1%} of them" if year.predictions else ""
    both = f"{_counted(pages, 'page')}, {_counted(len(year.alerts) - pages, 'ticket')}"
    rolled_out = sum(1 for one in year.retrained if one.revision is not None)
    return [
        ("Predictions", f"{year.predictions:,}", _counted(len(year.rollouts), "revision")),
        ("Labelled", f"{year.labelled:,}", share),
        ("Windows", f"{len(year.windows):,}", _length(year)),
        ("Alerts", f"{len(year.alerts):,}", both),
        ("Retrainings", f"{len(year.retrained):,}", f"{rolled_out:,} rolled out"),
        ("Accepted", f"{year.judged(passed=True):,}", "by the gate"),
        ("Refused", f"{year.judged(passed=False):,}", "by the gate"),
    ]


def _length(year: Year) -> str:
    if not year.windows:
        return "none closed yet"
    newest = year.windows[-1]
    return f"of {age(newest.start_ms, newest.end_ms)}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _nothing_yet(year: Year) -> Markup:
    """Instead of a drawing of nothing: which command would change that."""
    if year.period is not None:
        begin, end = (day_name(at_ms) for at_ms in year.period)
        says = f"No window begins between {begin} and {end}. All of them:"
        command = f"taut watch report {year.deployment}"
    elif year.references:
        says = "No window has closed yet. Windows close once their time and lateness have passed:"
        command = "taut up --once"
    else:
        says = f"Nobody watches {year.deployment} yet. Give it a section under monitors: in taut.yaml, then:"
        command = "taut apply"
    return element("section", element("p", says), element("pre", element("code", command)), class_="empty")


def _legend(points: int) -> list[Markup]:
    """What the marks mean, drawn with the marks themselves."""
    mean = f"Thin lines are single windows, thick ones the mean of {MEAN_OF}." if points > MEAN_FROM else ""
    marks = [
        ("M7 2l6 11h-12Z", "page", "page: errors have changed"),
        ("M7 2l6 11h-12Z", "ticket", "ticket: inputs have changed"),
    ]
    keys = [_key(element("path", d=path, class_=name), words) for path, name, words in marks]
    keys += [
        _key(joined([_circle("accepted"), element("path", d="M4 8.4l2.2 2.4l4 -4.6", class_="sign")]), "accepted"),
        _key(joined([_circle("refused"), element("path", d="M4.5 5.5l5 5m0 -5l-5 5", class_="sign")]), "refused"),
    ]
    return [*keys, element("span", mean)]


def _circle(class_: str) -> Markup:
    return element("circle", cx=7, cy=8, r=7, class_=class_)


def _key(mark: Markup, words: str) -> Markup:
    return element("span", element("svg", mark, viewBox="-1 0 16 16", aria_hidden="true", class_="key"), words)


def _numbers(year: Year, points: list[Point]) -> Markup:
    """The drawn numbers as a table; neighbours that were drawn as one stand as one."""
    together = max(point.windows for point in points)
    says = f"Up to {together} windows stand in one row: rows add up, measures are means." if together > 1 else ""
    heads = [(name, "" if place < 2 else "n") for place, name in enumerate(NUMBERS)]
    caption = f"Rows, measures and evidence of {year.deployment}, by window. {says}"
    return scrolled(table_of(caption, heads, (_row(point) for point in points), "numbers"), "Window by window")


def _row(point: Point) -> Markup:
    share = f"{point.labelled / point.rows:.1%}" if point.rows else "–"
    values = [
        f"{point.rows:,}", f"{point.labelled:,}", share,
        _measure(point.measures.get("roc_auc")), _measure(point.measures.get("brier")),
        told_evidence(point.evidence.get("labels")), told_evidence(point.evidence.get("features")),
    ]  # fmt: skip
    return element(
        "tr",
        element("td", moment_name(point.start_ms)),
        element("td", element("i", class_=colour_of(point.version)), f"v{point.version}"),
        *(element("td", value) for value in values),
    )


def _measure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
