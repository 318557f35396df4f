"""How many statements a verb costs. The numbers may fall; where one rises, the change says why.

A verb that costs a statement a row, or a commit a call where one would do, is slow where nobody looks: on PostgreSQL
over a network each statement is a round trip. So the count must also not depend on how much the home holds.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from taut.deploy import record_deployment
from taut.govern import check_home, create_token, show_ledger, show_line, trace_prediction
from taut.ground.ledger import Happening, append_events
from taut.ground.meta import Cell, Figure, Insert, Metadata, Row, Tx, Update, Value
from taut.ground.meta.protocol import Parameters
from taut.home import Home, open_home
from taut.models import find_model, promote_model, record_gate, record_model
from taut.pipelines.steps import record_step
from taut.records import GateCheck, TreeFile
from taut.runs import MetricPoint, create_run, get_run, log_batch, search_runs, update_run
from taut.runs.traces import (
    Assessment,
    Span,
    Trace,
    assess_trace,
    delete_traces,
    log_spans,
    page_of_traces,
    start_trace,
    trace_details,
)
from taut.serve import labelled_rows, list_predictions, log_labels, log_prediction
from taut.watch import list_alerts, list_windows

PASSED = GateCheck("brier", True, 0.1, 0.2, "fine")


class Counted:
    """A metadata store that writes down what passes through it."""

    def __init__(self, meta: Metadata) -> None:
        self.meta = meta
        self.seen: Counter[str] = Counter()
        self.url, self.dialect = meta.url, meta.dialect

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        self.seen["transactions"] += 1
        with self.meta.transaction() as tx:
            yield CountedTx(tx, self.seen)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        self.seen["reads"] += 1
        with self.meta.read() as tx:
            yield CountedTx(tx, self.seen)

    def ask(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        self.seen["reads"] += 1
        self.seen["statements"] += 1
        return self.meta.ask(sql, parameters)

    def figures(self) -> Mapping[str, Figure]:
        return self.meta.figures()

    def close(self) -> None:
        self.meta.close()


class CountedTx:
    def __init__(self, tx: Tx, seen: Counter[str]) -> None:
        self.tx, self.seen, self.dialect = tx, seen, tx.dialect

    def execute(self, sql: str, parameters: Mapping[str, Cell | Sequence[str] | Sequence[int]] | None = None) -> int:
        self.seen["statements"] += 1
        return self.tx.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Mapping[str, Cell]]) -> None:
        self.seen["statements"] += 1
        self.tx.executemany(sql, parameters)

    def insert(self, into: Insert, rows: Sequence[tuple[Cell, ...]]) -> None:
        self.seen["statements"] += bool(rows)
        self.tx.insert(into, rows)

    def update(self, of: Update, rows: Sequence[tuple[Value, ...]]) -> int:
        self.seen["statements"] += bool(rows)
        return self.tx.update(of, rows)

    def rows(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        self.seen["statements"] += 1
        return self.tx.rows(sql, parameters)

    def each(self, sql: str, parameters: Parameters | None = None) -> Iterator[Row]:
        self.seen["statements"] += 1
        return self.tx.each(sql, parameters)

    def row(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        self.seen["statements"] += 1
        return self.tx.row(sql, parameters)


def cost(home: Home, act: Callable[[Home], object]) -> tuple[int, int, int]:
    """Transactions, reads and statements of one act."""
    counted = Counted(home.meta)
    act(replace(home, meta=counted))
    return counted.seen["transactions"], counted.seen["reads"], counted.seen["statements"]


def put(home: Home, path: str, data: bytes) -> TreeFile:
    return TreeFile(path, home.objects.put(io.BytesIO(data)), "", len(data))


@pytest.fixture
def home(project: Path) -> Iterator[Home]:
    """On SQLite alone: what is counted is asked before a driver sees it."""
    with open_home(project) as opened:
        yield opened


@pytest.fixture
def line(home: Home) -> Home:
    """A run, a version that passed its gate, a deployment and an answered request."""
    create_run(home, run_id="a" * 32, name="first")
    record_model(home, "late", [put(home, "MLmodel", b"flavors: {sklearn: {pickled_model: m}}\n")], source="test")
    record_gate(home, "late", 1, checks=[PASSED])
    promote_model(home, "late", 1)
    record_deployment(home, "late", "late", 1, "process", {}, "manual")
    ask(home, "first")
    return home


def ask(home: Home, request: str, rows: int = 2) -> None:
    log_prediction(home, "late", request, 1, 5, {"x": [0.5] * rows}, {"probability": [0.7] * rows})


def points(count: int) -> list[MetricPoint]:
    return [MetricPoint(f"m{number % 7}", 0.5, 0, number) for number in range(count)]


def test_an_answered_request_costs_one_commit_and_two_statements(line):
    assert cost(line, lambda home: ask(home, "r1")) == (1, 0, 2)
    assert cost(line, lambda home: ask(home, "r2", rows=500)) == (1, 0, 2)


def test_an_entry_of_the_ledger_costs_two_statements_and_so_do_many(line):
    def append(home: Home) -> None:
        with home.meta.transaction() as tx:
            home.append(tx, "thing.done", subject="thing:1")

    def append_many(home: Home) -> None:
        with home.meta.transaction() as tx:
            append_events(tx, [Happening("thing.done", f"thing:{number}", "ada", number) for number in range(50)])

    assert cost(line, append) == cost(line, append_many) == (1, 0, 2)


def test_a_step_of_the_loop_costs_its_row_and_its_entry(line):
    assert cost(line, lambda home: record_step(home, "alert:1", "export", {})) == (1, 0, 3)
    assert cost(line, lambda home: record_step(home, "alert:1", "export", {})) == (1, 0, 1)


def test_a_token_costs_its_row_its_entry_the_note_that_access_changed_and_a_look_for_old_ones(line):
    assert cost(line, lambda home: create_token(home, "ci", "viewer")) == (1, 0, 6)


@pytest.mark.parametrize("act", ["metrics", "params", "tags"])
def test_a_batch_of_a_run_is_one_commit_and_no_statement_a_point(line, act):
    def batch(home: Home, size: int) -> None:
        named = {f"k{number}": "v" for number in range(size)}
        log_batch(
            home,
            "a" * 32,
            metrics=points(size) if act == "metrics" else (),
            params=named if act == "params" else None,
            tags=named if act == "tags" else None,
        )

    batch(line, 10)
    batch(line, 20)  # A metric that is logged to a second time begins to move, which costs a statement once.
    small = cost(line, lambda home: batch(home, 30))
    large = cost(line, lambda home: batch(home, 90))
    assert small == large
    assert small[0] == 1
    assert small[1] == 0
    assert small[2] <= 10


def test_labels_are_one_commit_however_many(line):
    """Two statements ask for segments, of which one may hold what the table does not."""
    for number in range(40):
        ask(line, f"bulk{number}", rows=10)
    few = {f"bulk0.{row}": 1.0 for row in range(10)}
    many = {f"bulk{number}.{row}": 0.0 for number in range(40) for row in range(10)}
    assert cost(line, lambda home: log_labels(home, "late", few)) == (1, 0, 7)
    assert cost(line, lambda home: log_labels(home, "late", many)) == (1, 0, 7)
    assert cost(line, lambda home: log_labels(home, "late", many)) == (1, 0, 4)  # All known: nothing to store.


def test_status_costs_the_same_in_an_empty_home_and_a_full_one(home, tmp_path: Path):
    transactions, reads, empty = cost(home, show_line)
    assert (transactions, reads) == (0, 1)
    assert empty <= 9  # The log of predictions is asked for the deployments in it.
    for number in range(20):
        create_run(home, name=str(number))
    assert cost(home, show_line)[2] <= empty + 1  # One more asks for the newest run's metric.


READS: dict[str, Callable[[Home], object]] = {
    "a run": lambda home: get_run(home, "a" * 32),
    "a search": search_runs,
    "a version": lambda home: find_model(home, "late@champion"),
    "the ledger": show_ledger,
    "windows": lambda home: list_windows(home, "late"),
    "alerts": list_alerts,
    "predictions": lambda home: list_predictions(home, "late"),
    "labelled rows": lambda home: labelled_rows(home, "late"),
}


@pytest.mark.parametrize("what", READS)
def test_reading_writes_nothing_and_costs_the_same_however_much_there_is(line, what):
    before = cost(line, READS[what])
    for number in range(30):
        create_run(line, name=f"more {number}")
        ask(line, f"more{number}")
    after = cost(line, READS[what])
    assert before == after
    assert before[0] == 0
    assert before[1] == 1
    assert before[2] <= 8


def test_a_trace_costs_the_same_however_many_were_asked(line):
    before = cost(line, lambda home: trace_prediction(home, "first.0"))
    for number in range(50):
        ask(line, f"more{number}")
    assert cost(line, lambda home: trace_prediction(home, "first.0")) == before
    assert before[:2] == (0, 1)


def test_fsck_reads_the_rows_in_one_moment_and_lists_four_things_besides(line):
    """Projects, datasets, and for the log of predictions the deployments and the segments."""
    transactions, reads, statements = cost(line, check_home)
    assert (transactions, reads) == (0, 5)
    for number in range(20):
        create_run(line, name=str(number))
    assert cost(line, check_home)[2] == statements


@pytest.mark.parametrize(
    ("what", "act", "limit"),
    [
        ("a run", lambda home: create_run(home, name="next"), 14),
        ("an ended run", lambda home: update_run(home, "a" * 32, status="FINISHED", ended_ms=1), 17),
        ("a promotion", lambda home: promote_model(home, "late", 1), 12),
        ("a verdict", lambda home: record_gate(home, "late", 1, checks=[PASSED]), 12),
        ("a deployment", lambda home: record_deployment(home, "more", "late", 1, "process", {}, "manual"), 10),
        ("the same deployment", lambda home: record_deployment(home, "late", "late", 1, "process", {}, "x"), 1),
    ],
)
def test_a_change_is_one_commit_of_few_statements(line, what, act, limit):
    transactions, _, statements = cost(line, act)
    assert transactions == 1, what
    assert statements <= limit, what


# Traces


def spans_of(trace: int, count: int) -> list[Span]:
    name = f"tr-{trace:032x}"
    return [
        Span(name, f"{one:016x}", "s", one, one + 1, "" if one == 1 else "1".rjust(16, "0"))
        for one in range(1, count + 1)
    ]


@pytest.mark.parametrize("count", [1, 50])
def test_spans_of_a_trace_cost_the_same_however_many_they_are(home: Home, count: int):
    create_run(home)  # Makes the experiment.
    assert cost(home, lambda one: log_spans(one, "0", spans_of(1, count))) == (1, 0, 6)
    assert cost(home, lambda one: log_spans(one, "0", spans_of(1, count))) == (1, 0, 6)


@pytest.mark.parametrize("held", [1, 30])
def test_reading_traces_costs_the_same_however_many_there_are(home: Home, held: int):
    create_run(home)
    for number in range(1, held + 1):
        log_spans(home, "0", spans_of(number, 3))
        assess_trace(home, Assessment("", f"tr-{number:032x}", "good", "feedback", {"value": 1}))
    ids = [f"tr-{number:032x}" for number in range(1, held + 1)]
    assert cost(home, lambda one: page_of_traces(one, ["0"])) == (0, 1, 6)
    assert cost(home, lambda one: trace_details(one, ids)) == (0, 1, 6)
    assert cost(home, lambda one: page_of_traces(one, ["0"], filter="span.attributes.a = 'b'")) == (0, 1, 1)
    assert cost(home, lambda one: delete_traces(one, "0", trace_ids=ids)) == (1, 0, 12)


def test_a_description_costs_the_same_before_and_after_the_spans(home: Home):
    create_run(home)
    told = Trace("tr-" + "0" * 31 + "1", "0", 5, 6, "OK", tags={"a": "1", "b": "2"}, metadata={"c": "3"})
    assert cost(home, lambda one: start_trace(one, told)) == (1, 0, 11)
    log_spans(home, "0", spans_of(1, 2))
    assert cost(home, lambda one: start_trace(one, told)) == (1, 0, 14)
