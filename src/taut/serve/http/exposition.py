"""The counters as Prometheus reads them: text exposition format 0.0.4, no client library."""

from collections.abc import Iterator, Sequence

from taut.serve.http import board as at
from taut.serve.http.board import Board, Labels

Cells = Sequence[float]


def exposition(board: Board, *, now_s: float) -> bytes:
    """All counters of all fronts, a line a version; `now_s` is of the clock that the fronts read."""
    versions = [(_labels(labels), board.total(place)) for place, labels in enumerate(board.backends)]
    lines: list[str] = []
    for name, kind, text, lines_of in FAMILIES:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for labels, cells in versions:
            lines += lines_of(name, labels, cells, now_s)
    return ("\n".join(lines) + "\n").encode()


def _requests(name: str, labels: str, cells: Cells, _: float) -> Iterator[str]:
    for code, count in zip((*at.CODES, "other"), cells[: at.OTHER + 1], strict=True):
        if count:
            yield _line(name, labels, count, f'code="{code}"')


def _errors(name: str, labels: str, cells: Cells, _: float) -> Iterator[str]:
    yield _line(name, labels, sum(cells[at.PLACE_OF[400] : at.OTHER + 1]))


def _rows(name: str, labels: str, cells: Cells, _: float) -> Iterator[str]:
    yield _line(name, labels, cells[at.ROWS])


def _waiting(name: str, labels: str, cells: Cells, _: float) -> Iterator[str]:
    yield _line(name, labels, cells[at.WAITING])


def _held(name: str, labels: str, cells: Cells, _: float) -> Iterator[str]:
    yield _line(name, labels, cells[at.HELD])


def _lag(name: str, labels: str, cells: Cells, now_s: float) -> Iterator[str]:
    yield _line(name, labels, max(0.0, now_s - cells[at.UNLOGGED]) if cells[at.UNLOGGED] else 0.0)


def _request_seconds(name: str, labels: str, cells: Cells, _: float) -> Iterator[str]:
    yield from _histogram(name, labels, at.BOUNDS_S, cells[at.REQUEST : at.MODEL])


def _model_seconds(name: str, labels: str, cells: Cells, _: float) -> Iterator[str]:
    yield from _histogram(name, labels, at.MODEL_BOUNDS_S, cells[at.MODEL : at.BATCH])


def _batch_size(name: str, labels: str, cells: Cells, _: float) -> Iterator[str]:
    yield from _histogram(name, labels, at.BATCH_BOUNDS, cells[at.BATCH : at.WAITING])


FAMILIES = (
    ("taut_requests_total", "counter", "Prediction requests answered, by HTTP status.", _requests),
    ("taut_errors_total", "counter", "Prediction requests answered with an error.", _errors),
    ("taut_rows_total", "counter", "Rows predicted.", _rows),
    ("taut_requests_waiting", "gauge", "Requests accepted and not yet answered.", _waiting),
    ("taut_request_bytes_held", "gauge", "Bytes of the requests that are under way.", _held),
    ("taut_log_lag_seconds", "gauge", "Age of the oldest prediction that is not yet in the log.", _lag),
    ("taut_request_seconds", "histogram", "Time from the whole request to its answer.", _request_seconds),
    ("taut_model_seconds", "histogram", "Time of one call of the model, waiting for it included.", _model_seconds),
    ("taut_batch_requests", "histogram", "Requests answered by one call of the model.", _batch_size),
)


def _histogram(name: str, labels: str, bounds: Sequence[float], cells: Cells) -> Iterator[str]:
    """`cells` are the counts of the buckets, of what lies beyond the last bound, and the sum."""
    *counts, total = cells
    so_far = 0.0
    for bound, count in zip((*bounds, "+Inf"), counts, strict=True):
        so_far += count
        yield _line(f"{name}_bucket", labels, so_far, f'le="{bound}"')
    yield _line(f"{name}_sum", labels, total)
    yield _line(f"{name}_count", labels, so_far)


def _line(name: str, labels: str, value: float, more: str = "") -> str:
    written = str(int(value)) if value.is_integer() else repr(value)
    return f"{name}{{{labels}{',' + more if more else ''}}} {written}"


def _labels(labels: Labels) -> str:
    named = (
        ("deployment", labels.deployment), ("model", labels.model), ("version", labels.version),
        ("revision", labels.revision),
    )  # fmt: skip
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in named)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
