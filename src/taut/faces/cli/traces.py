"""`taut traces`: list what applications did, and show one as a tree."""

import difflib
from collections import defaultdict

import click

from taut.errors import NotFound
from taut.faces.cli.shown import json_option, shown, table
from taut.ground.clock import iso
from taut.home import Home, open_home
from taut.runs.traces import Assessment, Span, TraceDetail, TracePage

NO_TRACE = "no trace yet; point MLFLOW_TRACKING_URI at a taut server and decorate a function with @mlflow.trace"
NO_SUCH_TRACE = "no trace is so; try: taut traces list"
SHOWN_MAX = 60  # Characters of a request in a row, so that five columns fit beside it in 120.
SPANS_MAX = 200


@click.group(epilog="Example: taut traces list")
def traces() -> None:
    """List and show traces of applications."""


@traces.command("list", epilog="Example: taut traces list --filter \"status = 'ERROR'\"")
@click.option("--experiment", default="", help="Only of this experiment.")
@click.option(
    "--filter", "written", default="", help="Only those that match, as \"status = 'ERROR' AND tags.a = 'b'\"."
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500), help="At most so many.")
@json_option
def list_traces(experiment: str, written: str, limit: int, as_json: bool) -> None:
    """List traces, newest first."""
    from taut.runs.traces import page_of_traces

    empty = NO_SUCH_TRACE if experiment or written else NO_TRACE
    with open_home() as home:
        page = page_of_traces(home, _experiments(home, experiment), filter=written, max_results=limit)
        shown(page, as_json, lambda found: _listed(found, empty))


@traces.command(epilog="Example: taut traces show tr-0af7")
@click.argument("trace_id")
@json_option
def show(trace_id: str, as_json: bool) -> None:
    """Show a trace with its spans and assessments; the first digits of its id are enough."""
    from taut.runs.traces import resolve_trace

    with open_home() as home:
        shown(resolve_trace(home, trace_id), as_json, told)


def told(detail: TraceDetail) -> str:
    """A trace in full: what is known of it, then its spans as a tree."""
    trace = detail.trace
    facts = [
        ("trace", f"{trace.id} ({trace.name or 'without a name'}) in experiment {trace.experiment_id}"),
        ("state", f"{trace.state.lower()}, {_duration(trace.duration_ms)}"),
        ("time", iso(trace.at_ms)),
        ("runs", ", ".join(trace.runs)),
        ("asked", _one_line(trace.request_preview, 1000)),
        ("answered", _one_line(trace.response_preview, 1000)),
        *(("tag", f"{key} = {value}") for key, value in sorted(trace.tags.items())),
        *((one.kind, _assessed(one)) for one in trace.assessments),
        ("missing", f"{detail.missing} spans have not come yet" if detail.missing else ""),
    ]
    lines = [f"{name:<12} {fact}" for name, fact in facts if fact]
    tree = _tree(detail.spans)
    more = [f"… and {len(tree) - SPANS_MAX} more spans; all of them with --json"] if len(tree) > SPANS_MAX else []
    return "\n".join([*lines, *tree[:SPANS_MAX], *more])


def _tree(spans: tuple[Span, ...]) -> list[str]:
    """A line a span, below the span that it is a step of; one whose parent is not here stands at the top."""
    known = {span.id for span in spans}
    below: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        below[span.parent if span.parent in known and span.parent != span.id else ""].append(span)
    lines: list[str] = []
    waiting = [(span, 0) for span in reversed(below.pop("", []))]
    while waiting:
        span, depth = waiting.pop()
        lines.append(f"{'   ' * depth}{'└─ ' if depth else ''}{_said(span)}")
        waiting += [(child, depth + 1) for child in reversed(below.pop(span.id, []))]
    return lines + [_said(span) for circle in below.values() for span in circle]


def _said(span: Span) -> str:
    took = _duration((span.end_ns - span.start_ns) // 1_000_000 if span.end_ns else None)
    failed = f" {click.style('error', fg='red')}" + (f": {_one_line(span.message, 200)}" if span.message else "")
    kind = "" if span.type == "UNKNOWN" else f" [{span.type.lower()}]"
    return f"{_one_line(span.name, 200)}{kind} {took}{failed if span.status == 'ERROR' else ''}"


def _assessed(one: Assessment) -> str:
    value = one.content.get("value", one.content.get("error", one.content))
    by = f" by {one.source_id}" if one.source_id else ""
    return f"{one.name} = {_one_line(str(value), 200)}{by}{'' if one.valid else ' (overridden)'}"


def _listed(page: TracePage, empty: str) -> str:
    rows = [
        (
            trace.id, trace.name or "-", trace.state.lower(), iso(trace.at_ms)[:19], _duration(trace.duration_ms),
            _one_line(trace.request_preview, SHOWN_MAX) or "-",
        )
        for trace in page.traces
    ]  # fmt: skip
    return table(["trace", "name", "state", "began", "took", "asked"], rows, empty=empty)


def _experiments(home: Home, name: str) -> list[str]:
    """The ids of all experiments, or of the one that is named; a misspelt name is an error with the nearest one."""
    from taut.runs import list_experiments

    known = {one.name: one.id for one in list_experiments(home)}
    if not name:
        return list(known.values())
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        raise NotFound(
            f"there is no experiment {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
            hint="taut traces list",
        )
    return [known[name]]


def _duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "running"
    return f"{milliseconds} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"


def _one_line(text: str, longest: int) -> str:
    """Text of an application in one line, without what would steer a terminal."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"
