"""Traces that meet a filter, in an order, a page at a time: a filter becomes SQL whose values are always bound."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.ground.access import ANY
from taut.ground.meta import Row, Tx, Value
from taut.ground.meta.migrate import PLAIN_ORDER
from taut.home import Home, sight, verb
from taut.runs.filters import TRACE_ENTITIES, Comparison, Order, all_of, matches, parse_filter, parse_order
from taut.runs.pages import Place, check_page_size, read_token, token_of
from taut.runs.questions import behind, held
from taut.runs.traces.reading import SELECT_SPANS, read_traces, span_of
from taut.runs.traces.records import NAME_TAG, RUN_KEY, SESSION_KEY, TracePage

PAGE = 100
PAGE_MAX = 500
SCANNED = 500  # Traces that are looked at together where a condition cannot be asked in SQL.

END = "(trace.at_ms + COALESCE(trace.duration_ms, 0))"
NAME = "NULLIF(trace.name, '')"
# What a filter or an order may name, and the expression that it means.
ATTRIBUTES = {
    "request_id": "trace.id", "trace_id": "trace.id", "experiment_id": "trace.experiment_id",
    "client_request_id": "NULLIF(trace.client_request_id, '')", "status": "trace.state", "state": "trace.state",
    "name": NAME, "timestamp": "trace.at_ms", "timestamp_ms": "trace.at_ms", "request_time": "trace.at_ms",
    "execution_time": "trace.duration_ms", "execution_time_ms": "trace.duration_ms",
    "execution_duration": "trace.duration_ms", "end_time": END, "end_time_ms": END,
}  # fmt: skip
NUMBERS = frozenset({
    "timestamp", "timestamp_ms", "request_time", "execution_time", "execution_time_ms", "execution_duration",
    "end_time", "end_time_ms",
})  # fmt: skip
SPAN_COLUMNS = {"name": "name", "type": "type", "status": "status"}
ATTRIBUTE_OF_SPAN = "attributes."
ORDERED = frozenset({"<", "<=", ">", ">="})

HOLDS = {"sqlite": "instr({left}, {right}) > 0", "postgresql": "strpos({left}, {right}) > 0"}

TABLES = {"tag": "trace_tag", "metadata": "trace_metadata"}
# Traces of the sessions that an assessment speaks of as a whole.
OF_SESSIONS = (
    f"SELECT m.trace_id FROM (SELECT session FROM trace_assessment WHERE session <> '' AND {{condition}}) AS a "  # noqa: S608  # Constants only.
    f"JOIN trace_metadata AS m ON m.key = '{SESSION_KEY}' AND substr(m.value, 1, 64) = substr(a.session, 1, 64) "
    "AND m.value = a.session"
)
Term = tuple[str, bool, type[int] | type[str]]  # An expression, whether it goes downwards, what its values are.


@verb("trace.page", needs="run:read", on=ANY)
def page_of_traces(
    home: Home,
    experiment_ids: list[str],
    *,
    filter: str = "",
    order_by: list[str] | None = None,
    max_results: int = PAGE,
    page_token: str = "",
) -> TracePage:
    """A page of the traces of these experiments that meet a filter, newest first where no order is said.

    The token names the last trace of the page, so traces that come and go meanwhile neither repeat nor hide others.
    Raises Invalid for a filter or an order that cannot be read.
    """
    check_page_size(max_results, at_most=PAGE_MAX)
    question = _Question(home.meta.dialect)
    question.ask(filter, order_by or [])
    seen = sight(home, "experiment", "run:read")
    experiment_ids = [one for one in experiment_ids if seen.sees(one)]
    if not experiment_ids:
        return TracePage(())
    with home.meta.read() as tx:
        rows = _found(tx, question, experiment_ids, max_results, page_token)
        traces = read_traces(tx, [str(row[0]) for row in rows[:max_results]])
    more = len(rows) > max_results
    return TracePage(tuple(traces), token_of(list(rows[max_results - 1][1:])) if more else "")


def _found(tx: Tx, question: "_Question", experiment_ids: list[str], wanted: int, page_token: str) -> list[Row]:
    """One row more than wanted, where there are so many. What SQL cannot ask is looked at in some traces at a time."""
    place = read_token(page_token, length=len(question.terms))
    if not question.looked_at:
        return list(tx.rows(*question.statement(experiment_ids, place, wanted + 1)))
    found: list[Row] = []
    while True:
        rows = tx.rows(*question.statement(experiment_ids, place, SCANNED))
        kept = question.look_at(tx, [str(row[0]) for row in rows])
        found += [row for row in rows if row[0] in kept]
        if len(found) > wanted or len(rows) < SCANNED:
            return found[: wanted + 1]
        place = list(rows[-1][1:])


@dataclass(slots=True)
class _Question:
    """One SELECT that is put together from constants; everything that a user wrote goes into `values`."""

    dialect: str
    where: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    joins: list[str] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    spans: list[str] = field(default_factory=list)
    looked_at: list[Comparison] = field(default_factory=list)

    def ask(self, filter: str, order_by: Sequence[str]) -> None:
        """Take in a filter and an order."""
        comparisons = all_of(parse_filter(filter, TRACE_ENTITIES))
        self.where += [self._condition(one) for one in comparisons if not _is_of_spans(one)]
        self._ask_spans([one for one in comparisons if _is_of_spans(one)])
        self.terms = [term for order in parse_order(order_by, TRACE_ENTITIES) for term in self._terms(order)]
        # Both downwards, so that the index of an experiment is read backwards and nothing is sorted.
        self.terms += [("trace.at_ms", True, int), ("trace.id", True, str)]

    def statement(self, experiment_ids: list[str], place: Place | None, limit: int) -> tuple[str, dict[str, Any]]:
        """The statement and its values; the first column is the id, the others are what orders the rows."""
        values: dict[str, Any] = {"ids": list(experiment_ids)}
        where = ["trace.experiment_id IN [:ids]", *self.where]
        if place is not None:
            where.append(self._past(place, values))
        columns = ", ".join(expression for expression, _, _ in self.terms)
        order = ", ".join(f"{expression} {'DESC' if down else 'ASC'}" for expression, down, _ in self.terms)
        sql = f"SELECT trace.id, {columns} FROM trace {' '.join(self.joins)} WHERE {' AND '.join(where)}"  # noqa: S608  # No user's text.
        return f"{sql} ORDER BY {order} LIMIT :limit", {**self.values, **values, "limit": limit}

    def look_at(self, tx: Tx, trace_ids: Sequence[str]) -> set[str]:
        """Those of these traces with a span that meets all conditions on spans, also those on its attributes."""
        if not trace_ids:
            return set()
        names, values = "[:ids]", {"ids": list(trace_ids)}
        where = " AND ".join([f"trace_id IN {names}", *self.spans])
        kept = set()
        for row in tx.rows(f"{SELECT_SPANS} WHERE {where}", {**self.values, **values}):
            span = span_of(row)
            found = (_words_of(span.attributes.get(one.key.removeprefix(ATTRIBUTE_OF_SPAN))) for one in self.looked_at)
            if all(matches(one, words) for one, words in zip(self.looked_at, found, strict=True)):
                kept.add(span.trace_id)
        return kept

    def _bound(self, value: Value) -> str:
        name = f"v{len(self.values)}"
        # A whole number is bound as one: PostgreSQL would leave an index on BIGINT aside for a float.
        is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        self.values[name] = int(value or 0) if is_whole else value
        return f":{name}"

    def _condition(self, comparison: Comparison) -> str:
        match comparison.entity:
            case "attribute":
                return self._attribute(comparison)
            case "tag" if comparison.key == NAME_TAG:
                return self._held(NAME, comparison)
            case "tag" | "metadata" if (comparison.entity, comparison.key) != ("metadata", RUN_KEY):
                return self._pair(comparison)
            case "metadata":
                return self._run(comparison)
            case "issue":
                if comparison.key != "id" or comparison.operator != "=":
                    raise Invalid("an issue is asked for as issue.id = 'ID'")
                named = self._bound(comparison.value)
                return f"trace.id IN (SELECT trace_id FROM trace_assessment WHERE name = {named} AND kind = 'issue')"  # noqa: S608  # No user's text.
            case _:
                return self._assessment(comparison)

    def _attribute(self, comparison: Comparison) -> str:
        key = comparison.key.lower()
        if key == "run_id":
            return self._run(comparison)
        if key == "prompt":
            if comparison.operator != "=" or str(comparison.value).count("/") != 1:
                raise Invalid("a prompt is asked for as prompt = 'NAME/VERSION'")
            return self._linked("prompt", comparison)
        expression = _attribute_of(key)
        if not comparison.operator.startswith("IS"):
            is_number = key in NUMBERS
            fits = all(isinstance(value, str) != is_number for value in comparison.values)
            if not fits or (not is_number and comparison.operator in ORDERED):
                raise Invalid(f"{comparison.key!r} is {'a number' if is_number else 'text'}; compare it with such")
        return self._held(expression, comparison)

    def _pair(self, comparison: Comparison) -> str:
        table = TABLES[comparison.entity]
        key = f"key = {self._bound(comparison.key)}"
        if comparison.operator == "=":  # An index knows the start of a value.
            start = self._bound(str(comparison.value)[:64])
            same = f"substr(value, 1, 64) = {start} AND {self._held('value', comparison)}"
            return f"trace.id IN (SELECT trace_id FROM {table} WHERE {key} AND {same})"  # noqa: S608  # No user's text.
        exists = f"EXISTS (SELECT 1 FROM {table} WHERE trace_id = trace.id AND {key}"  # noqa: S608  # No user's text.
        if comparison.operator in {"IS NULL", "IS NOT NULL"}:
            return f"{'NOT ' if comparison.operator == 'IS NULL' else ''}{exists})"
        return f"{exists} AND {self._held('value', comparison)})"

    def _run(self, comparison: Comparison) -> str:
        """A trace belongs to the run that it says it was made in, and to all that it was linked to."""
        said = self._pair(Comparison("metadata", RUN_KEY, comparison.operator, comparison.values))
        if comparison.operator in {"!=", "NOT IN", "IS NULL"}:
            return said
        return f"({said} OR {self._linked('run', comparison)})"

    def _linked(self, kind: str, comparison: Comparison) -> str:
        held = "1 = 1" if comparison.operator == "IS NOT NULL" else self._held("target", comparison)
        return f"trace.id IN (SELECT trace_id FROM trace_link WHERE kind = '{kind}' AND {held})"  # noqa: S608  # No user's text.

    def _assessment(self, comparison: Comparison) -> str:
        """One that is valid, of the trace itself or of its whole session."""
        named = f"kind = '{comparison.entity}' AND name = {self._bound(comparison.key)} AND valid = 1"
        if not comparison.operator.startswith("IS"):
            named += f" AND {self._valued(comparison)}"
        sessions = OF_SESSIONS.format(condition=named)
        inside = "NOT IN" if comparison.operator == "IS NULL" else "IN"
        joined = "AND" if comparison.operator == "IS NULL" else "OR"
        direct = f"trace.id {inside} (SELECT trace_id FROM trace_assessment WHERE {named})"  # noqa: S608  # No user's text.
        return f"({direct} {joined} trace.id {inside} ({sessions}))"

    def _valued(self, comparison: Comparison) -> str:
        """The value of an assessment: numbers are compared as such, also where they are written as text."""
        value = comparison.values[0]
        if isinstance(value, float):
            if comparison.operator not in {"=", "!=", *ORDERED}:
                raise Invalid(f"{comparison.operator} compares with text in quotes")
            return self._held("number", comparison)
        if comparison.operator in ORDERED:
            raise Invalid(f"{comparison.key!r} is compared by {comparison.operator} with a number")
        if comparison.operator in {"=", "!="} and (number := _number(value)) is not None:
            same = f"(word = {self._bound(value)} OR COALESCE(number = {self._bound(number)}, 1 = 0))"
            return same if comparison.operator == "=" else f"NOT {same}"
        return self._held("word", comparison)

    def _ask_spans(self, comparisons: Sequence[Comparison]) -> None:
        """One span has to meet all conditions on spans."""
        if not comparisons:
            return
        self.spans = [self._span(one) for one in comparisons]
        where = " AND ".join(self.spans)
        if any(one.key == "name" and one.operator == "=" for one in comparisons):
            self.where.append(f"trace.id IN (SELECT trace_id FROM trace_span WHERE {where})")  # noqa: S608  # No user's text.
        else:
            self.where.append(f"EXISTS (SELECT 1 FROM trace_span WHERE trace_id = trace.id AND {where})")  # noqa: S608  # As above.

    def _span(self, comparison: Comparison) -> str:
        key = comparison.key
        if key == "content" or comparison.entity == "attribute":
            if comparison.operator not in {"LIKE", "ILIKE"}:
                raise Invalid(f"{key!r} is searched by LIKE and ILIKE")
            return f"({self._held('content', comparison)} OR {self._held('name', comparison)})"
        if comparison.operator.startswith("IS"):
            raise Invalid("spans are compared by = != LIKE ILIKE IN")
        if key.startswith(ATTRIBUTE_OF_SPAN) and len(key) > len(ATTRIBUTE_OF_SPAN):
            self.looked_at.append(comparison)
            return self._holds_attribute(key.removeprefix(ATTRIBUTE_OF_SPAN), comparison)
        if key not in SPAN_COLUMNS:
            raise Invalid(f"a span has name, type, status, content and attributes.KEY, not {key[:80]!r}")
        held = self._held(key, comparison)
        if key == "name" and comparison.operator == "=":
            return f"substr(name, 1, 64) = {self._bound(str(comparison.value)[:64])} AND {held}"
        return held

    def _holds_attribute(self, key: str, comparison: Comparison) -> str:
        """Leaves out most spans that cannot meet a condition on an attribute; what is left is looked at."""
        named = msgspec.json.encode(key).decode()
        beginnings = [f"{named}:"]
        if comparison.operator == "=":  # Text stands in quotes there, all else as it is.
            value = str(comparison.value)
            beginnings = [f"{named}:{msgspec.json.encode(value).decode()}", f"{named}:{value}"]
        holds = [HOLDS[self.dialect].format(left="content", right=self._bound(one)) for one in beginnings]
        return f"({' OR '.join(holds)})"

    def _held(self, left: str, comparison: Comparison) -> str:
        return held(left, comparison, self.dialect, self._bound)

    def _terms(self, order: Order) -> list[Term]:
        """What sorts by one key: first whether it is there, so that what is missing comes last both ways."""
        key = order.key.lower()
        if order.entity == "attribute" and key != "run_id":
            expression, kind = _attribute_of(key), int if key in NUMBERS else str
        elif order.entity == "tag" and order.key == NAME_TAG:
            expression, kind = NAME, str
        elif order.entity in TABLES or key == "run_id":
            table = TABLES.get(order.entity, "trace_metadata")
            name = self._bound(RUN_KEY if order.entity == "attribute" else order.key)
            alias = f"o{len(self.joins)}"
            self.joins.append(f"LEFT JOIN {table} AS {alias} ON {alias}.trace_id = trace.id AND {alias}.key = {name}")
            expression, kind = f"{alias}.value", str
        else:
            raise Invalid(f"traces are not ordered by {order.entity} {order.key[:80]!r}")
        nothing = "0" if kind is int else "''"
        plain = "" if kind is int else PLAIN_ORDER[self.dialect]
        missing = f"CASE WHEN {expression} IS NULL THEN 1 ELSE 0 END"
        return [(missing, False, int), (f"COALESCE({expression}, {nothing}){plain}", order.descending, kind)]

    def _past(self, place: Place, values: dict[str, Any]) -> str:
        """Rows behind the one that a token names, in the order of the terms."""
        if not all(isinstance(one, kind) for one, (_, _, kind) in zip(place, self.terms, strict=True)):
            raise Invalid("the page token is none that this server gave")
        values |= {f"p{number}": one for number, one in enumerate(place)}
        if len(self.terms) == 2:
            return "(trace.at_ms, trace.id) < (:p0, :p1)"
        return behind([term[:2] for term in self.terms], [f":p{number}" for number in range(len(place))])


def _is_of_spans(comparison: Comparison) -> bool:
    return comparison.entity == "span" or (comparison.entity == "attribute" and comparison.key.lower() == "text")


def _attribute_of(key: str) -> str:
    if key not in ATTRIBUTES:
        raise Invalid(
            f"a trace has no attribute {key[:80]!r}; it has {', '.join(sorted(ATTRIBUTES))}, prompt, run_id, text, "
            "and tags.KEY, metadata.KEY, span.KEY, feedback.NAME, expectation.NAME"
        )
    return ATTRIBUTES[key]


def _words_of(value: Any) -> str | None:
    """An attribute of a span as a condition sees it: text as it is, all else as JSON."""
    return value if isinstance(value, str) or value is None else msgspec.json.encode(value).decode()


def _number(written: str) -> float | None:
    try:
        return float(written)
    except ValueError:
        return None
