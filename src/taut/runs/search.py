"""Runs that meet a filter, in an order, a page at a time: a filter becomes SQL whose values are always bound."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from taut.errors import Invalid
from taut.ground.meta import Row, Value
from taut.home import Home, verb
from taut.records import Run
from taut.runs.detail import RunDetail, among, read_runs
from taut.runs.filters import Comparison, Order, parse_filter, parse_order
from taut.runs.pages import Place, check_page_size, read_token, token_of

PAGE = 1000
IDS_OF_EXPERIMENTS = "SELECT id FROM experiment WHERE name IN"
View = Literal["active", "deleted", "all"]

# What a filter may name, and the column or expression that it means.
ATTRIBUTES = {
    "run_id": "run.id", "run id": "run.id", "run_name": "run.name", "run name": "run.name", "name": "run.name",
    "status": "run.status", "experiment_id": "run.experiment_id",
    "user_id": "COALESCE((SELECT value FROM run_tag WHERE run_id = run.id AND key = 'mlflow.user'), run.actor)",
    "artifact_uri": "'mlflow-artifacts:/' || run.experiment_id || '/' || run.id || '/artifacts'",
    "start_time": "run.started_ms", "created": "run.started_ms", "end_time": "run.ended_ms",
}  # fmt: skip
NUMBERS = {"start_time", "created", "end_time"}
DATASETS = {"name": "name", "digest": "digest"}
# SQLite's LIKE knows no case and PostgreSQL's knows an escape; MLflow's LIKE is exact and has none.
LIKE = {"sqlite": "{left} GLOB {right}", "postgresql": "{left} LIKE {right} ESCAPE ''"}
ILIKE = {"sqlite": "LOWER({left}) LIKE LOWER({right})", "postgresql": "LOWER({left}) LIKE LOWER({right}) ESCAPE ''"}
# PostgreSQL sorts text by the rules of a language; both shall sort by character.
PLAIN_ORDER = {"sqlite": "", "postgresql": ' COLLATE "C"'}


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs with all that was logged to them; `next_page` is empty on the last page."""

    runs: tuple[RunDetail, ...]
    next_page: str = ""


@verb("run.search", needs="run:read")
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
    with home.meta.read() as tx:
        question = _Question(home.meta.dialect)
        if experiments:
            named, values = among(experiments)
            question.where.append(f"run.experiment_id IN ({IDS_OF_EXPERIMENTS} {named})")
            question.values.update(values)
        rows = tx.rows(*question.asked(filter, order_by or [], "active", limit, ""))
        return [detail.run for detail in read_runs(tx, [str(row[0]) for row in rows[:limit]])]


@verb("run.page", needs="run:read")
def page_of_runs(
    home: Home,
    experiment_ids: list[str],
    *,
    filter: str = "",
    order_by: list[str] | None = None,
    view: View = "active",
    max_results: int = PAGE,
    page_token: str = "",
) -> RunPage:
    """A page of the runs of these experiments, with all that was logged to them.

    The token names the last run of the page, so runs that come and go meanwhile neither repeat nor hide others.
    """
    check_page_size(max_results)
    if not experiment_ids:
        return RunPage(())
    question = _Question(home.meta.dialect)
    named, values = among(experiment_ids)
    question.where.append(f"run.experiment_id IN {named}")
    question.values.update(values)
    with home.meta.read() as tx:
        rows = tx.rows(*question.asked(filter, order_by or [], view, max_results, page_token))
        found = read_runs(tx, [str(row[0]) for row in rows[:max_results]])
    return RunPage(tuple(found), _next_page(rows, max_results))


def _next_page(rows: Sequence[Row], max_results: int) -> str:
    return token_of(list(rows[max_results - 1][1:])) if len(rows) > max_results else ""


@dataclass(slots=True)
class _Question:
    """One SELECT that is put together from constants; everything that a user wrote goes into `values`."""

    dialect: str
    where: list[str] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)

    def asked(
        self, filter: str, order_by: list[str], view: View, limit: int, page_token: str
    ) -> tuple[str, dict[str, Value]]:
        """The statement and its values; the first column is the id, the others are what orders the rows."""
        for comparison in parse_filter(filter):
            self.where.append(self._condition(comparison))
        if view != "all":
            self.where.append(f"run.lifecycle = {self._bound(view)}")
        terms = [term for order in parse_order(order_by) for term in self._terms(order)]
        terms += [("run.started_ms", True), ("run.id" + PLAIN_ORDER[self.dialect], False)]
        place = read_token(page_token, length=len(terms))
        if place is not None:
            self.where.append(self._past(terms, place))
        columns = ", ".join(expression for expression, _ in terms)
        order = ", ".join(f"{expression} {'DESC' if down else 'ASC'}" for expression, down in terms)
        condition = " AND ".join(self.where) or "1 = 1"
        sql = f"SELECT run.id, {columns} FROM run {' '.join(self.joins)} WHERE {condition}"  # noqa: S608  # No user's text.
        return f"{sql} ORDER BY {order} LIMIT {self._bound(limit + 1)}", self.values

    def _bound(self, value: Value) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def _condition(self, comparison: Comparison) -> str:
        if comparison.entity == "attribute":
            return self._attribute(comparison)
        if comparison.entity == "dataset":
            return self._dataset(comparison)
        table = {"metric": "metric_latest", "param": "param", "tag": "run_tag"}[comparison.entity]
        exists = f"EXISTS (SELECT 1 FROM {table} WHERE run_id = run.id AND key = {self._bound(comparison.key)}"  # noqa: S608
        if comparison.operator in {"IS NULL", "IS NOT NULL"}:
            return f"{'NOT ' if comparison.operator == 'IS NULL' else ''}{exists})"
        return f"{exists} AND {self._held('value', comparison)})"

    def _attribute(self, comparison: Comparison) -> str:
        expression = _attribute_of(comparison.key)
        is_number = comparison.key.lower() in NUMBERS
        if not comparison.operator.startswith("IS"):
            fits = all(isinstance(value, str) != is_number for value in comparison.values)
            if not fits or (not is_number and comparison.operator in {"<", "<=", ">", ">="}):
                raise Invalid(f"{comparison.key!r} is {'a number' if is_number else 'text'}; compare it with such")
        return self._held(expression, comparison)

    def _dataset(self, comparison: Comparison) -> str:
        exists = "EXISTS (SELECT 1 FROM run_input WHERE run_id = run.id AND "
        if comparison.key == "context":
            if comparison.operator != "=":
                raise Invalid("the context of a dataset is compared by = only")
            part = f'"mlflow.data.context":"{comparison.value}"'
            holds = "instr(tags, {}) > 0" if self.dialect == "sqlite" else "strpos(tags, {}) > 0"
            return f"{exists}{holds.format(self._bound(part))})"
        if comparison.key not in DATASETS:
            raise Invalid(f"a dataset has name, digest and context, not {comparison.key!r}")
        return f"{exists}{self._held(DATASETS[comparison.key], comparison)})"

    def _held(self, left: str, comparison: Comparison) -> str:
        """An expression held against the values of a comparison."""
        operator = comparison.operator
        if operator in {"IS NULL", "IS NOT NULL"}:
            return f"{left} {operator}"
        if operator in {"IN", "NOT IN"}:
            return f"{left} {operator} ({', '.join(self._bound(value) for value in comparison.values)})"
        if operator == "LIKE":
            pattern = str(comparison.value)
            right = self._bound(_glob(pattern) if self.dialect == "sqlite" else pattern)
            return LIKE[self.dialect].format(left=left, right=right)
        if operator == "ILIKE":
            return ILIKE[self.dialect].format(left=left, right=self._bound(comparison.value))
        return f"{left} {'<>' if operator == '!=' else operator} {self._bound(comparison.value)}"

    def _terms(self, order: Order) -> list[tuple[str, bool]]:
        """What sorts by one key: first whether it is there, so that what is missing comes last both ways."""
        plain = PLAIN_ORDER[self.dialect]
        if order.entity == "attribute":
            expression = _attribute_of(order.key)
            nothing = "0" if order.key.lower() in NUMBERS else f"''{plain}"
            missing = f"CASE WHEN {expression} IS NULL THEN 1 ELSE 0 END"
            return [(missing, False), (f"COALESCE({expression}, {nothing})", order.descending)]
        if order.entity == "dataset":
            raise Invalid("runs cannot be ordered by their datasets")
        table = {"metric": "metric_latest", "param": "param", "tag": "run_tag"}[order.entity]
        alias = f"o{len(self.joins)}"
        self.joins.append(
            f"LEFT JOIN {table} AS {alias} ON {alias}.run_id = run.id AND {alias}.key = {self._bound(order.key)}"
        )
        missing = f"CASE WHEN {alias}.run_id IS NULL THEN 2 WHEN {alias}.value IS NULL THEN 1 ELSE 0 END"
        nothing = "0" if order.entity == "metric" else f"''{plain}"
        return [(missing, False), (f"COALESCE({alias}.value, {nothing})", order.descending)]

    def _past(self, terms: list[tuple[str, bool]], place: Place) -> str:
        """Rows behind the one that a token names, in the order of the terms."""
        if not (isinstance(place[-2], int) and isinstance(place[-1], str)):  # A moment and an id, whatever the order.
            raise Invalid("the page token is none that this server gave")
        bound = [self._bound(value) for value in place]
        ways = []
        for last, (expression, down) in enumerate(terms):
            same = [f"{terms[i][0]} = {bound[i]}" for i in range(last)]
            ways.append(" AND ".join([*same, f"{expression} {'<' if down else '>'} {bound[last]}"]))
        return "(" + " OR ".join(f"({way})" for way in ways) + ")"


def _attribute_of(key: str) -> str:
    if key.lower() not in ATTRIBUTES:
        raise Invalid(
            f"a run has no attribute {key[:80]!r}; it has {', '.join(sorted(ATTRIBUTES))}, "
            "and metrics.KEY, params.KEY, tags.KEY"
        )
    return ATTRIBUTES[key.lower()]


def _glob(pattern: str) -> str:
    """A LIKE pattern as SQLite's GLOB, which is exact in case.

    >>> _glob("a%_[*")
    'a*?[[][*]'
    """
    meant = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(meant.get(char, char) for char in pattern)
