"""Runs that meet a filter, in an order, a page at a time, in a time that does not grow with their number.

Within one experiment a search is led by an index: by that of a condition which few runs meet, else by that of the
order, read from its beginning until the page is full. What leads is decided by counting, up to a bound, what each
condition finds; databases guess that from statistics, and guess badly where one key of many is asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from taut.errors import Invalid
from taut.ground.access import ANY
from taut.ground.meta import Row, Tx
from taut.home import Home, sight, verb
from taut.records import Run
from taut.runs.detail import RunDetail, parse_columns, read_runs
from taut.runs.filters import Comparison, Condition, Order, parse_filter, parse_order
from taut.runs.pages import Place, check_page_size, read_token, token_of
from taut.runs.questions import INDEXED, TABLES, Bound, Question, Term, View
from taut.runs.settling import MOVING, SETTLED

PAGE = 1000
FEW = 2000  # Runs that are fetched and sorted in some 10 ms; where a condition finds no more, it leads the search.
MANY = 10_000  # Runs whose ids are fetched in some 5 ms, to pass over the others while an order is read.
ONE_BY_ONE = 20  # Experiments that are searched each by its own index; more of them are searched together.
IDS_OF_EXPERIMENTS = "SELECT id FROM experiment WHERE name IN [:names]"
IDS_OF_ALL = "SELECT id FROM experiment"
PRESENT, NOT_A_NUMBER, MISSING = 0, 1, 2  # The parts of an order by a metric, param or tag, as its first term says.


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs with all that was logged to them; `next_page` is empty on the last page."""

    runs: tuple[RunDetail, ...]
    next_page: str = ""


@dataclass(frozen=True, slots=True)
class _Search:
    """A search as it was asked for, read."""

    dialect: str
    conditions: tuple[Condition, ...]
    orders: tuple[Order, ...]
    view: View
    limit: int
    place: Place | None


@verb("run.search", needs="run:read", on=ANY)
def search_runs(
    home: Home,
    *,
    experiments: list[str] | None = None,
    filter: str = "",
    order_by: list[str] | None = None,
    limit: int = PAGE,
) -> list[Run]:
    """The active runs that meet a filter, newest first where no order is said; of all experiments or those named.

    Raises Invalid for a filter or order that cannot be read. An experiment that is not there has no runs.
    """
    search = _read(home, filter, order_by or [], "active", limit, "")
    with home.meta.read() as tx:
        seen = sight(home, "experiment", "run:read")
        ids: list[str] | None = None
        if experiments or not seen.is_whole:
            named = tx.rows(IDS_OF_EXPERIMENTS, {"names": experiments}) if experiments else tx.rows(IDS_OF_ALL)
            ids = [str(row[0]) for row in named if seen.sees(str(row[0]))]
        rows = _found(tx, search, ids)
        return [detail.run for detail in read_runs(tx, [str(row[0]) for row in rows[:limit]])]


@verb("run.page", needs="run:read", on=ANY)
def page_of_runs(
    home: Home,
    experiment_ids: list[str],
    *,
    filter: str = "",
    order_by: list[str] | None = None,
    view: View = "active",
    max_results: int = PAGE,
    page_token: str = "",
    columns: list[str] | None = None,
) -> RunPage:
    """A page of the runs of these experiments, with all that was logged to them or the `columns` asked for.

    The token names the last run of the page, so runs that come and go meanwhile neither repeat nor hide others.
    """
    check_page_size(max_results)
    search = _read(home, filter, order_by or [], view, max_results, page_token)
    wanted = None if columns is None else parse_columns(columns)
    seen = sight(home, "experiment", "run:read")
    experiment_ids = [one for one in experiment_ids if seen.sees(one)]
    if not experiment_ids:
        return RunPage(())
    with home.meta.read() as tx:
        rows = _found(tx, search, experiment_ids)
        details = read_runs(tx, [str(row[0]) for row in rows[:max_results]], wanted)
    more = len(rows) > max_results
    return RunPage(tuple(details), token_of(list(rows[max_results - 1][1:])) if more else "")


def _read(home: Home, filter: str, order_by: list[str], view: View, limit: int, page_token: str) -> _Search:
    """A search, with every part of it checked before anything is asked."""
    search = _Search(home.meta.dialect, parse_filter(filter), parse_order(order_by), view, limit, None)
    trial = Question(search.dialect)
    for condition in search.conditions:
        trial.condition(condition)
    length = 2 + sum(len(trial.terms(order)) for order in search.orders)
    place = read_token(page_token, length=length)
    if place is not None and not (isinstance(place[-2], int) and isinstance(place[-1], str)):
        raise Invalid("the page token is none that this server gave")  # A moment and an id end every one.
    return _Search(search.dialect, search.conditions, search.orders, view, limit, place)


def _found(tx: Tx, search: _Search, experiments: list[str] | None) -> list[Row]:
    """Up to one row more than wanted: the id of a run, and what orders it."""
    distinct = None if experiments is None else list(dict.fromkeys(experiments))
    if distinct is None or len(distinct) > ONE_BY_ONE:
        return _together(tx, search, distinct)
    rows = [row for experiment in distinct for row in _of_one(tx, search, experiment)]
    return (_in_order(search, rows) if len(distinct) > 1 else rows)[: search.limit + 1]


def _in_order(search: _Search, rows: list[Row]) -> list[Row]:
    """What several statements found, in the order asked for."""
    down = [flag for order in search.orders for flag in (False, order.descending)] + [True, False]
    for column in reversed(range(len(down))):
        rows.sort(key=lambda row: row[column + 1], reverse=down[column])  # type: ignore[arg-type, return-value]  # A column is all text or all numbers.
    return rows


def _of_one(tx: Tx, search: _Search, experiment: str) -> list[Row]:
    counted = _counted(tx, search, experiment)
    fewest = min(counted, key=lambda one: one[0], default=None)
    if fewest is not None and fewest[0] <= FEW:
        return _led_by_condition(tx, search, experiment, fewest[1])
    if search.orders and search.orders[0].entity in TABLES:
        rows: list[Row] = []
        as_sets = [condition for count, condition in counted if count <= _bound_of(condition)]
        for row in _led_by_order(tx, search, experiment, as_sets):
            rows.append(row)
            if len(rows) > search.limit:
                break
        return rows
    return _together(tx, search, [experiment])


def _counted(tx: Tx, search: _Search, experiment: str) -> list[tuple[int, Comparison]]:
    """How many runs meet each condition that an index answers, or one more than the bound of it."""
    counted: list[tuple[int, Comparison]] = []
    for condition in search.conditions:
        question = Question(search.dialect)
        if isinstance(condition, Comparison) and (rows := question.rows_of(condition, experiment)):
            most = _bound_of(condition) + 1
            found = tx.row(f"SELECT COUNT(*) FROM (SELECT 1 {rows} LIMIT {most}) AS counted", question.values)  # noqa: S608
            counted.append((int(str(found[0])) if found else 0, condition))
    return counted


def _bound_of(condition: Comparison) -> int:
    """How far it is worth counting: where the index alone holds what is asked for, the ids are cheap to fetch too."""
    is_whole = condition.entity != "metric" and condition.operator == "=" and len(str(condition.value)) < INDEXED
    return MANY if is_whole else FEW


def _together(tx: Tx, search: _Search, experiments: Sequence[str] | None) -> list[Row]:
    """All conditions held against the runs of these experiments, or of all."""
    question = Question(search.dialect)
    if experiments is not None and len(experiments) == 1:
        question.where.append(f"run.experiment_id = {question.bound(experiments[0])}")
    elif experiments is not None:
        question.where.append(f"run.experiment_id IN [{question.bound(list(experiments))}]")
    return list(tx.rows(*_asked(question, search, "FROM run")))


def _led_by_condition(tx: Tx, search: _Search, experiment: str, leading: Comparison) -> list[Row]:
    question = Question(search.dialect)
    rows = question.rows_of(leading, experiment)
    question.where.append("run.id = led.run_id")
    sql, values = _asked(question, search, "FROM led CROSS JOIN run")
    return list(tx.rows(f"WITH led AS MATERIALIZED (SELECT run_id {rows}) {sql}", values))


def _led_by_order(tx: Tx, search: _Search, experiment: str, as_sets: Sequence[Comparison]) -> Iterator[Row]:
    """The index of what is ordered by, in its order; then runs whose metric is not a number; then those without it."""
    first = search.orders[0]
    parts = (PRESENT, NOT_A_NUMBER, MISSING) if first.entity == "metric" else (PRESENT, MISSING)
    reached = search.place[0] if search.place is not None else PRESENT
    for part in parts:
        if not isinstance(reached, int) or part < reached:
            continue
        if first.entity == "metric" and part != MISSING:
            both = [_part_of_order(tx, search, experiment, as_sets, part, state) for state in (SETTLED, MOVING)]
            yield from _in_order(search, [row for rows in both for row in rows]) if both[1] else both[0]
        else:
            yield from _part_of_order(tx, search, experiment, as_sets, part)


def _part_of_order(
    tx: Tx, search: _Search, experiment: str, as_sets: Sequence[Comparison], part: int, state: int = SETTLED
) -> Sequence[Row]:
    """A page of one part of the order; of metrics those that stand still, or those that move."""
    first, *rest = search.orders
    # What meets no condition is passed over before its run is looked up.
    question = Question(search.dialect, "run.id" if part == MISSING else "o.run_id", experiment, as_sets)
    question.where.append(f"run.experiment_id = {question.bound(experiment)}")
    value, source = _part(question, first, part, experiment, state)
    place = search.place if search.place is not None and search.place[0] == part else None
    if place is not None and part == PRESENT:
        question.where.append(_from_here(question, first, place, state))
    terms: list[Term] = [(str(part), False), (value, first.descending)]
    terms += [term for order in rest for term in question.terms(order)]
    index = [(f"substr(o.value, 1, {INDEXED}){question.plain}", first.descending)]
    ahead = index if part == PRESENT and first.entity != "metric" else []
    return tx.rows(*_select(question, search, source, terms, place, ahead=ahead))


def _part(question: Question, order: Order, part: int, experiment: str, state: int) -> tuple[str, str]:
    """The expression of an order's value in one of its parts, and the tables that are read there."""
    table = TABLES[order.entity]
    if part == MISSING:
        newest = " AND o.newest > 0" if order.entity == "metric" else ""
        question.where.append(
            f"NOT EXISTS (SELECT 1 FROM {table} AS o "  # noqa: S608  # Constants only.
            f"WHERE o.run_id = run.id AND o.key = {question.bound(order.key)}{newest})"
        )
        source = "FROM run"
    else:
        at = f"o.experiment_id = {question.bound(experiment)} AND o.key = {question.bound(order.key)}"
        source = f"FROM {table} AS o CROSS JOIN run"
        if order.entity == "metric" and state == MOVING:
            at = question.moving(order.key, experiment)
            source = f"FROM moving_run AS m CROSS JOIN {table} AS o CROSS JOIN run"
        elif order.entity == "metric":
            at += f" AND o.newest = {SETTLED}"
        there = "NOT NULL" if part == PRESENT else "NULL"
        question.where.append(f"run.id = o.run_id AND {at} AND {_held_by(order, state)} IS {there}")
    if part == PRESENT:
        plain = "" if order.entity == "metric" else question.plain
        return f"{_held_by(order, state)}{plain}", source
    return ("0" if order.entity == "metric" else f"''{question.plain}"), source


def _held_by(order: Order, state: int) -> str:
    """The column that holds the value: of a metric that stands still that of the index, which no point changes."""
    return "o.stood" if order.entity == "metric" and state == SETTLED else "o.value"


def _from_here(question: Question, order: Order, place: Place, state: int) -> str:
    """Where the index is entered on a page behind the first."""
    sign = "<=" if order.descending else ">="
    if order.entity == "metric":
        return f"{_held_by(order, state)} {sign} {question.bound(place[1])}"
    return f"substr(o.value, 1, {INDEXED}){question.plain} {sign} {question.bound(str(place[1])[:INDEXED])}"


def _asked(question: Question, search: _Search, source: str) -> tuple[str, Bound]:
    terms = [term for order in search.orders for term in question.terms(order)]
    return _select(question, search, source, terms, search.place)


def _select(
    question: Question,
    search: _Search,
    source: str,
    terms: list[Term],
    place: Place | None,
    *,
    ahead: Sequence[Term] = (),
) -> tuple[str, Bound]:
    """The statement and its values; the first column is the id, the others are what orders the rows."""
    question.where += [question.condition(condition) for condition in search.conditions]
    if search.view != "all":
        question.where.append(f"run.lifecycle = {question.bound(search.view)}")
    terms = [*terms, *question.newest_first()]
    if place is not None:
        question.where.append(question.past(terms, place))
    columns = ", ".join(expression for expression, _ in terms)
    sorting = [term for term in (*ahead, *terms) if not term[0].isdigit()]  # A number would name a column.
    order = ", ".join(f"{expression} {'DESC' if down else 'ASC'}" for expression, down in sorting)
    sql = f"SELECT run.id, {columns} {source} {' '.join(question.joins)}"
    sql += f" WHERE {' AND '.join(question.where) or '1 = 1'} ORDER BY {order} LIMIT {search.limit + 1}"
    return sql, dict(question.values)
