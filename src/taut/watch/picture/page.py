"""The page around the charts: the story in numbers, what each alert led to, and every window in a table."""

from collections.abc import Iterable
from html import escape
from importlib.resources import files

from taut.ground.clock import iso
from taut.home import Home, verb
from taut.records import Window
from taut.watch.picture.draw import colour_of, draw_life
from taut.watch.picture.facts import Answer, Life, read_life

KEY = (
    '<p class="key"><span class="mark page">▲</span> page: errors changed '
    '<span class="mark ticket">▲</span> ticket: inputs changed '
    '<span class="mark accepted">●</span> retrained, accepted '
    '<span class="mark refused">○</span> retrained, refused</p>'
)
MEASURES = ("roc_auc", "brier", "accuracy", "positive_rate")


@verb("watch.report", needs="deployment:read")
def watch_report(home: Home, deployment: str) -> str:
    """One self-contained HTML page: the life of a deployment, window by window. Needs no network and no script."""
    life = read_life(home, deployment)
    name = escape(deployment)
    inside = _told(life) if life.windows else _empty(name)
    style = files("taut.watch.picture").joinpath("style.css").read_text()
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/>\n<title>{name}: its life</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>{name}</h1>\n{inside}\n</main>\n</body>\n</html>\n"
    )


def _empty(name: str) -> str:
    return (
        f"<p>No window of {name} has closed yet. A window closes when its time and lateness have passed, by the "
        "events that were asked about.</p><p>Next: <code>taut up --once</code></p>"
    )


def _told(life: Life) -> str:
    first, last = iso(life.windows[0].start_ms)[:10], iso(life.windows[-1].end_ms)[:10]
    return "\n".join([
        f"<p class=\"span\">{first} to {last}</p>",
        _figures(life),
        draw_life(life),
        KEY,
        _answers(life),
        _windows(life),
    ])  # fmt: skip


def _figures(life: Life) -> str:
    accepted = sum(answer.passed for answer in life.answers)
    pages = sum(alert.severity == "page" for alert in life.alerts)
    figures = [
        (f"{life.traffic.rows:,}", "predictions"),
        (f"{life.traffic.labelled:,}", "labelled"),
        (f"{len(life.windows):,}", "windows"),
        (f"{pages}", "pages"),
        (f"{len(life.alerts) - pages}", "tickets"),
        (f"{len(life.answers)}", "retrainings"),
        (f"{accepted}", "accepted"),
        (f"{len(life.answers) - accepted}", "refused"),
    ]
    return "<dl>" + "".join(f"<div><dt>{word}</dt><dd>{number}</dd></div>" for number, word in figures) + "</dl>"


def _answers(life: Life) -> str:
    if not life.answers:
        return "<h2>Retrainings</h2><p>None so far.</p>"
    return "<h2>Retrainings, and what the gate said</h2>" + "".join(_answer(life, answer) for answer in life.answers)


def _answer(life: Life, answer: Answer) -> str:
    verdict = "accepted" if answer.passed else "refused"
    rows = "".join(
        f"<tr><td>{'yes' if check.passed else '<strong>no</strong>'}</td><td>{escape(check.name)}</td>"
        f"<td>{escape(check.text)}</td></tr>"
        for check in answer.checks
    )
    colour = colour_of(life, answer.version) if answer.passed else "off"
    return (
        f'<details class="{verdict}"><summary><span class="chip {colour}">v{answer.version}</span> '
        f"{iso(answer.at_ms)[:10]} <strong>{verdict}</strong>, after a {answer.alert.severity} on "
        f"<code>{escape(answer.alert.feature)}</code></summary><table>{rows}</table></details>"
    )


def _windows(life: Life) -> str:
    head = "".join(
        f"<th>{name}</th>" for name in ("from", "version", "rows", "labelled", *MEASURES, "e errors", "e inputs")
    )
    rows = "".join(f"<tr>{_cells(_row(window))}</tr>" for window in life.windows)
    return f"<details><summary>Every window in numbers</summary><table><tr>{head}</tr>{rows}</table></details>"


def _row(window: Window) -> Iterable[str]:
    yield iso(window.start_ms)[:10]
    yield f"v{window.version}"
    yield f"{window.rows:,}"
    yield f"{window.labelled:,}"
    for name in MEASURES:
        yield _number(window.measures.get(name))
    for budget in ("labels", "features"):
        yield _number(window.evidence.get(budget))


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{escape(value)}</td>" for value in values)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
