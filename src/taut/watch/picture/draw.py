"""The three charts of a life: two measures and the evidence, over one axis of time, with what was done marked on it."""

from html import escape
from math import log10

from taut.ground.clock import iso
from taut.records import Window
from taut.watch.picture.chart import LEFT, RIGHT, WIDTH, Points, Scale, frame, path, smoothed, ticks, time_scale
from taut.watch.picture.facts import Answer, Life

HEIGHT, TOP, BOTTOM = 210, 34, 34
LOG_FLOOR, LOG_ROOF = -1.0, 4.0  # Evidence below 0.1 or above 10,000 says no more than these do.
COLOURS = 6  # The page's palette has so many; versions take them in turn.


def draw_life(life: Life) -> str:
    """All charts of a life that has at least one window."""
    x = time_scale(life.windows[0].start_ms, life.windows[-1].end_ms)
    return "\n".join([
        _measure(life, x, "roc_auc", "ROC AUC, each day and the week's mean (higher is better)"),
        _measure(life, x, "brier", "Brier score, each day and the week's mean (lower is better)"),
        _evidence(life, x),
    ])  # fmt: skip


def colour_of(life: Life, version: int) -> str:
    """The class of a version's colour; the same in charts and tables."""
    return f"v{life.versions.index(version) % COLOURS if version in life.versions else COLOURS - 1}"


def _measure(life: Life, x: Scale, name: str, title: str) -> str:
    values = [value for window in life.windows if (value := window.measures.get(name)) is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    whole = smoothed(_points(life.windows, name))
    parts = [_rollouts(life, x)]
    for version in life.versions:
        colour = colour_of(life, version)
        own = [place for place, window in enumerate(life.windows) if window.version == version]
        thin = [_points(life.windows, name)[place] for place in own]
        thick = [whole[place] for place in own]
        parts.append(f'<path class="thin {colour}" d="{path(thin, x, y)}"/>')
        parts.append(f'<path class="line {colour}" d="{path(thick, x, y)}"/>')
        parts.append(_label(thick, x, f"v{version}", colour))
    return frame(title, HEIGHT, x, y, lambda value: f"{value:g}", ticks(low, high), "".join(parts))


def _label(points: Points, x: Scale, words: str, colour: str) -> str:
    """A version's name at the top of where it served."""
    first, last = points[0][0], points[-1][0]
    middle = (x(first) + x(last)) / 2
    return f'<text class="word {colour}" x="{middle:.1f}" y="{TOP - 2}" text-anchor="middle">{escape(words)}</text>'


def _evidence(life: Life, x: Scale) -> str:
    """Both e-values on a log scale, the bound as a line, alerts and answers as marks."""
    y = Scale(LOG_FLOOR, LOG_ROOF, HEIGHT - BOTTOM, TOP)
    parts = [_rollouts(life, x)]
    for budget, words in (("features", "inputs"), ("labels", "errors")):
        points = [(_middle(window), _log(window.evidence.get(budget))) for window in life.windows]
        parts.append(f'<path class="line {budget}" d="{path(points, x, y)}"/>')
        end = next((value for _, value in reversed(points) if value is not None), 0.0)
        parts.append(f'<text class="word {budget}" x="{WIDTH - RIGHT + 8}" y="{y(end) + 4:.1f}">{words}</text>')
    bounds = {alert.evidence["bound"] for alert in life.alerts if "bound" in alert.evidence}
    for bound in bounds:
        at = y(min(max(log10(bound), LOG_FLOOR), LOG_ROOF))
        parts.append(f'<line class="bound" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="word bound" x="{WIDTH - RIGHT + 8}" y="{at + 4:.1f}">alarm at {bound:g}</text>')
    parts += [_alert_mark(x(alert.window_start_ms), alert.severity, alert.feature) for alert in life.alerts]
    parts += [_answer_mark(x(answer.at_ms), answer) for answer in life.answers]
    title = "Evidence that something changed, against errors and inputs (log scale)"
    return frame(
        title, HEIGHT, x, y, lambda power: f"{10**power:g}", range(int(LOG_FLOOR), int(LOG_ROOF) + 1), "".join(parts)
    )


def _rollouts(life: Life, x: Scale) -> str:
    """A dashed line where another version began to serve."""
    changes = [answer.at_ms for answer in life.answers if answer.passed]
    return "".join(
        f'<line class="rollout" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>' for at in changes
    )


def _alert_mark(at: float, severity: str, feature: str) -> str:
    top = TOP + (2 if severity == "page" else 14)
    shape = f"M{at:.1f} {top}l5 9h-10z"
    return f'<path class="{severity}" d="{shape}"><title>{severity}: {escape(feature)}</title></path>'


def _answer_mark(at: float, answer: Answer) -> str:
    verdict = "accepted" if answer.passed else "refused"
    words = f"version {answer.version} {verdict}, {iso(answer.at_ms)[:10]}"
    centre = f'cx="{at:.1f}" cy="{HEIGHT - BOTTOM}"'
    return f'<circle class="{verdict}" {centre} r="6"><title>{escape(words)}</title></circle>'


def _points(windows: tuple[Window, ...], name: str) -> list[tuple[float, float | None]]:
    return [(_middle(window), window.measures.get(name)) for window in windows]


def _middle(window: Window) -> float:
    return (window.start_ms + window.end_ms) / 2


def _log(value: float | None) -> float | None:
    if value is None:
        return None
    return min(max(log10(value), LOG_FLOOR), LOG_ROOF) if value > 0 else LOG_FLOOR
