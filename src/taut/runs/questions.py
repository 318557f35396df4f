"""A search as SQL: conditions and orders are put together from constants, and every value of a user is bound."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from taut.errors import Invalid
from taut.ground.meta import Value
from taut.ground.meta.migrate import PLAIN_ORDER
from taut.runs.filters import Comparison, Condition, Order
from taut.runs.pages import Place
from taut.runs.settling import MOVING, SETTLED

View = Literal["active", "deleted", "all"]
Bound = dict[str, Value | Sequence[str] | Sequence[int]]
Term = tuple[str, bool]
"""An expression that rows are ordered by, and whether the highest comes first."""

TABLES = {"metric": "series", "param": "param", "tag": "run_tag"}
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
# PostgreSQL would make a join of an EXISTS, guess badly how many rows that gives, and read every run for a page.
AS_IT_STANDS = " LIMIT 1 OFFSET 0"
INDEXED = 200  # Characters of a param or tag that its index holds: see migration 0003.


@dataclass(slots=True)
class Question:
    """The parts of one SELECT over runs, and the values that are bound in it."""

    dialect: str
    run_id: str = "run.id"  # The column that conditions on what was logged hold theirs against.
    experiment: str = ""
    as_sets: Sequence[Comparison] = ()  # Conditions of which the runs that meet them are fetched, all at once.
    where: list[str] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    values: Bound = field(default_factory=dict)

    @property
    def plain(self) -> str:
        """How this dialect is told to order text by character."""
        return PLAIN_ORDER[self.dialect]

    def bound(self, value: Value | list[str]) -> str:
        """The parameter that stands for a value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def newest_first(self) -> list[Term]:
        """What every order ends with, so that no two runs are equal in it."""
        return [("run.started_ms", True), ("run.id" + self.plain, False)]

    def condition(self, condition: Condition) -> str:
        """A condition on `run`."""
        if not isinstance(condition, Comparison):
            parts = [self.condition(part) for part in condition.parts]
            return (
                f"({parts[0]}) IS NOT TRUE" if condition.how == "NOT" else "(" + f" {condition.how} ".join(parts) + ")"
            )
        if condition.entity == "attribute":
            return f"({self._attribute(condition)})"
        if condition.entity == "dataset":
            return self._dataset(condition)
        if condition in self.as_sets and (rows := self.rows_of(condition, self.experiment)):
            # Held against IS TRUE, for else PostgreSQL would make a join of it, and guess badly.
            return f"({self.run_id} IN (SELECT run_id {rows})) IS TRUE"  # Constants only.
        newest = " AND newest > 0" if condition.entity == "metric" else ""
        exists = (
            f"EXISTS (SELECT 1 FROM {TABLES[condition.entity]} "  # noqa: S608  # Constants only.
            f"WHERE run_id = {self.run_id} AND key = {self.bound(condition.key)}{newest}"
        )
        if condition.operator in {"IS NULL", "IS NOT NULL"}:
            return f"{'NOT ' if condition.operator == 'IS NULL' else ''}{exists}{AS_IT_STANDS})"
        value = self._held("value", condition)
        if condition.entity == "metric" and condition.operator == "!=":
            value = f"({value} OR value IS NULL)"  # What is not a number is no number there is.
        return f"{exists} AND {value}{AS_IT_STANDS})"

    def rows_of(self, comparison: Comparison, experiment: str) -> str | None:
        """FROM and WHERE of the rows that meet a comparison, where an index finds them; None where none does."""
        if comparison.entity not in TABLES or comparison.operator in {"!=", "IS NULL", "NOT IN", "ILIKE"}:
            return None
        at = f"experiment_id = {self.bound(experiment)} AND key = {self.bound(comparison.key)}"
        if comparison.entity == "metric":
            settled = (
                f"SELECT run_id FROM series WHERE {at} AND {self._held('stood', comparison)} AND newest = {SETTLED}"  # noqa: S608
            )
            moving = (
                "SELECT o.run_id FROM moving_run AS m CROSS JOIN series AS o "  # noqa: S608
                f"WHERE {self.moving(comparison.key, experiment)} AND {self._held('o.value', comparison)}"
            )
            return f"FROM ({settled} UNION ALL {moving}) AS met"
        start = f"substr(value, 1, {INDEXED}){self.plain}"
        match comparison.operator:
            case "=":
                # Said twice, SQLite would put the value into the expression and no longer know it as the index's.
                found = f"{start} = {self.bound(str(comparison.value)[:INDEXED])}"
                return f"FROM {TABLES[comparison.entity]} WHERE {at} AND {found}"
            case "LIKE" if prefix := _prefix(str(comparison.value)):
                found = f"{start} >= {self.bound(prefix)} AND {start} < {self.bound(prefix + chr(0x10FFFF))}"
            case "IS NOT NULL":
                return f"FROM {TABLES[comparison.entity]} WHERE {at}"
            case _:
                return None
        return f"FROM {TABLES[comparison.entity]} WHERE {at} AND {found} AND {self._held('value', comparison)}"

    def moving(self, key: str, experiment: str) -> str:
        """What holds for `m` and `o` where these are a run that moves and its series of this metric."""
        return (
            f"m.experiment_id = {self.bound(experiment)} AND o.run_id = m.run_id AND o.key = {self.bound(key)} "
            f"AND o.newest = {MOVING}"
        )

    def terms(self, order: Order) -> list[Term]:
        """What sorts by one key: first whether it is there, so that what is missing comes last both ways."""
        if order.entity == "attribute":
            expression = attribute_of(order.key)
            if expression == "run.started_ms":
                return [("0", False), (expression, order.descending)]
            nothing = "0" if order.key.lower() in NUMBERS else f"''{self.plain}"
            missing = f"CASE WHEN {expression} IS NULL THEN 1 ELSE 0 END"
            return [(missing, False), (f"COALESCE({expression}, {nothing})", order.descending)]
        if order.entity == "dataset":
            raise Invalid("runs cannot be ordered by their datasets")
        alias = f"o{len(self.joins)}"
        newest = f" AND {alias}.newest > 0" if order.entity == "metric" else ""
        self.joins.append(
            f"LEFT JOIN {TABLES[order.entity]} AS {alias} "
            f"ON {alias}.run_id = run.id AND {alias}.key = {self.bound(order.key)}{newest}"
        )
        missing = f"CASE WHEN {alias}.run_id IS NULL THEN 2 WHEN {alias}.value IS NULL THEN 1 ELSE 0 END"
        nothing = "0" if order.entity == "metric" else f"''{self.plain}"
        return [(missing, False), (f"COALESCE({alias}.value, {nothing})", order.descending)]

    def past(self, terms: list[Term], place: Place) -> str:
        """Rows behind the one that a token names, in the order of the terms."""
        return behind(terms, [self.bound(value) for value in place])

    def _attribute(self, comparison: Comparison) -> str:
        expression = attribute_of(comparison.key)
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
            return f"{exists}{holds.format(self.bound(part))})"
        if comparison.key not in DATASETS:
            raise Invalid(f"a dataset has name, digest and context, not {comparison.key!r}")
        return f"{exists}{self._held(DATASETS[comparison.key], comparison)})"

    def _held(self, left: str, comparison: Comparison) -> str:
        return held(left, comparison, self.dialect, self.bound)


def held(left: str, comparison: Comparison, dialect: str, bound: Callable[[Value], str]) -> str:
    """An expression held against the values of a comparison; `bound` gives the parameter that stands for a value."""
    operator = comparison.operator
    if operator in {"IS NULL", "IS NOT NULL"}:
        return f"{left} {operator}"
    if operator in {"IN", "NOT IN"}:
        return f"{left} {operator} ({', '.join(bound(value) for value in comparison.values)})"
    if operator == "LIKE":
        pattern = str(comparison.value)
        right = bound(_glob(pattern) if dialect == "sqlite" else pattern)
        return LIKE[dialect].format(left=left, right=right)
    if operator == "ILIKE":
        return ILIKE[dialect].format(left=left, right=bound(comparison.value))
    return f"{left} {'<>' if operator == '!=' else operator} {bound(comparison.value)}"


def behind(terms: Sequence[Term], parameters: Sequence[str]) -> str:
    """Rows behind the one whose places these parameters hold, in the order of the terms."""
    ways = []
    for last, (expression, down) in enumerate(terms):
        same = [f"{terms[i][0]} = {parameters[i]}" for i in range(last)]
        ways.append(" AND ".join([*same, f"{expression} {'<' if down else '>'} {parameters[last]}"]))
    return "(" + " OR ".join(f"({way})" for way in ways) + ")"


def attribute_of(key: str) -> str:
    """The expression that an attribute of a run means. Raises Invalid for one that runs do not have."""
    if key.lower() not in ATTRIBUTES:
        raise Invalid(
            f"a run has no attribute {key[:80]!r}; it has {', '.join(sorted(ATTRIBUTES))}, "
            "and metrics.KEY, params.KEY, tags.KEY"
        )
    return ATTRIBUTES[key.lower()]


def _prefix(pattern: str) -> str:
    """What stands before the first wildcard of a LIKE pattern, as far as the index holds it."""
    return pattern.partition("%")[0].partition("_")[0][:INDEXED]


def _glob(pattern: str) -> str:
    """A LIKE pattern as SQLite's GLOB, which is exact in case.

    >>> _glob("a%_[*")
    'a*?[[][*]'
    """
    meant = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(meant.get(char, char) for char in pattern)
