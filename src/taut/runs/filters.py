"""MLflow's filters and orders, read into comparisons: `metrics.auc > 0.9 AND params.depth = '3' AND tags.a IS NULL`.

Beyond MLflow's grammar OR, NOT and parentheses are read as SQL reads them: NOT binds tightest, then AND, then OR.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from taut.errors import Invalid

Entity = Literal[
    "metric", "param", "tag", "attribute", "dataset", "metadata", "span", "feedback", "expectation", "issue"
]
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"]
Found = str | float | None

ENTITIES: dict[str, Entity] = {
    "metric": "metric", "metrics": "metric", "param": "param", "params": "param", "parameter": "param",
    "parameters": "param", "tag": "tag", "tags": "tag", "attribute": "attribute", "attributes": "attribute",
    "attr": "attribute", "run": "attribute", "dataset": "dataset", "datasets": "dataset",
}  # fmt: skip
# What a trace has; `run` is no word for it there.
TRACE_ENTITIES: dict[str, Entity] = {
    "tag": "tag", "tags": "tag", "attribute": "attribute", "attributes": "attribute", "attr": "attribute",
    "trace": "attribute", "metadata": "metadata", "request_metadata": "metadata", "span": "span",
    "feedback": "feedback", "expectation": "expectation", "issue": "issue",
}  # fmt: skip
KEY = re.compile(r"""\s*(?:([A-Za-z_]+)\.)?(?:`([^`]+)`|"([^"]+)"|([^\s=!<>'"`,()]+))""")
OPERATOR = re.compile(r"\s*(<=|>=|!=|=|<|>|(?:NOT\s+)?IN\b|I?LIKE\b|IS\s+NOT\s+NULL\b|IS\s+NULL\b)", re.IGNORECASE)
VALUE = re.compile(r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.]))""")
JOIN = re.compile(r"(?:\s+|(?<=\)))(AND|OR)(?=[\s(]|$)", re.IGNORECASE)
NOT = re.compile(r"\s*NOT(?=[\s(])", re.IGNORECASE)
OPEN, CLOSE = re.compile(r"\s*\("), re.compile(r"\s*\)")
DEPTH_MAX = 50  # Parentheses in parentheses: far past what anybody writes, far below what a parser dies of.
# Each value is a parameter of a statement, whose time grows with their square on SQLite: 16,000 took 0.8 s.
TEXT_MAX, CONDITIONS_MAX, VALUES_MAX = 256 << 10, 500, 5_000
ORDERS_MAX = 50  # Each may be a join, of which SQLite takes 64.
DIRECTION = re.compile(r"\s+(ASC|DESC)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition: what of a run (or model) is held against which value; `values` has several only for IN."""

    entity: Entity
    key: str
    operator: Operator
    values: tuple[str | float, ...] = ()

    @property
    def value(self) -> str | float:
        """The one value of any operator but IN."""
        return self.values[0]


@dataclass(frozen=True, slots=True)
class Order:
    """One term of an order."""

    entity: Entity
    key: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """Conditions of which all (AND), at least one (OR) or the only one not (NOT) must hold."""

    how: Literal["AND", "OR", "NOT"]
    parts: tuple["Condition", ...]


Condition = Comparison | Joined


def parse_filter(text: str, entities: Mapping[str, Entity] = ENTITIES) -> tuple[Condition, ...]:
    """Conditions of which all must hold; none for an empty text. Raises Invalid with the place that cannot be read.

    Nor is one read that has more conditions, or values in them, than a store answers soon. `entities` are the words
    that may stand in front of a key, and what each means.

    >>> parse_filter("metrics.`val loss` <= 0.5 and params.kind IN ('a', 'b')")[1].values
    ('a', 'b')
    >>> parse_filter("NOT (tags.a = 'x' OR tags.b = 'y')")[0].how
    'NOT'
    """
    if "\0" in text:  # No key or value has one, and SQLite would end a pattern there.
        raise Invalid(f"the filter cannot be read at character {text.index(chr(0)) + 1}: a NUL is no text")
    if len(text) > TEXT_MAX:
        raise Invalid(f"a filter has at most {TEXT_MAX} characters, this has {len(text)}")
    text = text.strip()
    if not text:
        return ()
    condition, at = _joined(text, 0, "OR", 0, entities)
    if at < len(text):
        raise _unreadable(text, at, "AND or OR")
    _check_sizes(condition)
    return condition.parts if isinstance(condition, Joined) and condition.how == "AND" else (condition,)


def all_of(conditions: Sequence[Condition]) -> list[Comparison]:
    """Conditions where only comparisons can be asked for. Raises Invalid for OR, NOT and parentheses in them."""
    plain = [one for one in conditions if isinstance(one, Comparison)]
    if len(plain) != len(conditions):
        raise Invalid("these are filtered by conditions joined by AND, without OR and NOT")
    return plain


def holds(condition: Condition, of: Callable[[Comparison], Found]) -> bool:
    """Whether a condition holds for a thing in memory; `of` looks up what a comparison is about.

    >>> holds(parse_filter("tags.a = 'x' OR tags.b = 'y'")[0], lambda one: {"a": None, "b": "y"}[one.key])
    True
    """
    if isinstance(condition, Comparison):
        return matches(condition, of(condition))
    if condition.how == "NOT":
        return not holds(condition.parts[0], of)
    return (all if condition.how == "AND" else any)(holds(part, of) for part in condition.parts)


def parse_order(
    terms: Sequence[str], entities: Mapping[str, Entity] = ENTITIES, *, at_most: int = ORDERS_MAX
) -> tuple[Order, ...]:
    """Terms as `metrics.auc DESC`; ascending where nothing is said. Raises Invalid, also for too many of them.

    >>> parse_order(["metrics.auc desc"])
    (Order(entity='metric', key='auc', descending=True),)
    """
    if len(terms) > at_most:
        raise Invalid(f"at most {at_most} terms may be asked for, these are {len(terms)}")
    orders = []
    for term in terms:
        direction = DIRECTION.search(term)
        written = term[: direction.start()] if direction else term
        key = KEY.fullmatch(written.strip())
        if key is None:
            raise Invalid(f"{term[:80]!r} is no order; write metrics.KEY, params.KEY, tags.KEY or a field, and DESC")
        entity, name = _key(key, entities)
        orders.append(Order(entity, name, direction is not None and direction[1].upper() == "DESC"))
    return tuple(orders)


def matches(comparison: Comparison, found: Found) -> bool:
    """Whether a value that is in memory meets a condition; what is missing meets only IS NULL."""
    if comparison.operator == "IS NULL":
        return found is None
    if found is None or comparison.operator == "IS NOT NULL":
        return found is not None
    if comparison.operator in {"IN", "NOT IN"}:
        return (found in comparison.values) == (comparison.operator == "IN")
    value = comparison.value
    if isinstance(found, str) != isinstance(value, str):
        wanted = "text in quotes" if isinstance(found, str) else "a number"
        raise Invalid(f"{comparison.key!r} is compared with {wanted}")
    if comparison.operator in {"LIKE", "ILIKE"}:
        return _like(str(found), str(value), ignore_case=comparison.operator == "ILIKE")
    if comparison.operator in {"=", "!="}:
        return (found == value) == (comparison.operator == "=")
    return _is_ordered(comparison.operator, found, value)


def lookup(comparison: Comparison, attributes: Mapping[str, Found], tags: Mapping[str, str]) -> Found:
    """What a condition on a thing with attributes and tags looks at. Raises Invalid for what such a thing has not."""
    if comparison.entity == "tag":
        return tags.get(comparison.key)
    if comparison.entity != "attribute" or comparison.key not in attributes:
        raise Invalid(f"cannot filter by {comparison.key!r}; known are tags.KEY, {', '.join(sorted(attributes))}")
    return attributes[comparison.key]


def _joined(
    text: str, at: int, how: Literal["AND", "OR"], depth: int, entities: Mapping[str, Entity]
) -> tuple[Condition, int]:
    """Conditions joined by OR, each of them conditions joined by AND."""
    parts: list[Condition] = []
    while True:
        part, at = _joined(text, at, "AND", depth, entities) if how == "OR" else _single(text, at, depth, entities)
        parts.append(part)
        join = JOIN.match(text, at)
        if join is None or join[1].upper() != how:
            return (parts[0] if len(parts) == 1 else Joined(how, tuple(parts))), at
        at = join.end()


def _single(text: str, at: int, depth: int, entities: Mapping[str, Entity]) -> tuple[Condition, int]:
    """One comparison, one in parentheses, or the contrary of one."""
    if depth > DEPTH_MAX:
        raise _unreadable(text, at, f"an end of the parentheses, {DEPTH_MAX} deep,")
    contrary = NOT.match(text, at)
    if contrary is not None:
        part, at = _single(text, contrary.end(), depth + 1, entities)
        return Joined("NOT", (part,)), at
    opened = OPEN.match(text, at)
    if opened is None:
        return _comparison(text, at, entities)
    part, at = _joined(text, opened.end(), "OR", depth + 1, entities)
    closed = CLOSE.match(text, at)
    if closed is None:
        raise _unreadable(text, at, "AND, OR or a closing parenthesis")
    return part, closed.end()


def _comparison(text: str, at: int, entities: Mapping[str, Entity]) -> tuple[Comparison, int]:
    key = KEY.match(text, at)
    if key is None:
        raise _unreadable(text, at, "a key such as metrics.auc or params.`my key`")
    entity, name = _key(key, entities)
    operator = OPERATOR.match(text, key.end())
    if operator is None:
        raise _unreadable(text, key.end(), "one of = != < <= > >= LIKE ILIKE IN, IS NULL")
    said = cast("Operator", " ".join(operator[1].upper().split()))
    if said.startswith("IS"):
        return Comparison(entity, name, said), operator.end()
    values, end = _values(text, operator.end()) if said.endswith("IN") else _value(text, operator.end())
    comparison = Comparison(entity, name, said, values)
    _check(comparison)
    return comparison, end


def _key(found: re.Match[str], entities: Mapping[str, Entity]) -> tuple[Entity, str]:
    entity, *names = found.groups()
    name = next(one for one in names if one)
    if entity is None:
        return "attribute", name
    if entity.lower() not in entities:
        raise Invalid(f"{entity!r} in {found[0].strip()!r} is none of {', '.join(sorted(entities))}")
    return entities[entity.lower()], name


def _value(text: str, at: int) -> tuple[tuple[str | float, ...], int]:
    found = VALUE.match(text, at)
    if found is None:
        raise _unreadable(text, at, "a number, or text in quotes")
    single, double, number = found.groups()
    if number is not None:
        return (float(number),), found.end()
    return (single.replace("''", "'") if single is not None else double.replace('""', '"'),), found.end()


def _values(text: str, at: int) -> tuple[tuple[str | float, ...], int]:
    opened = re.compile(r"\s*\(").match(text, at)
    if opened is None:
        raise _unreadable(text, at, "a list in parentheses")
    values: list[str | float] = []
    at = opened.end()
    while True:
        value, at = _value(text, at)
        values += value
        follows = re.compile(r"\s*([,)])").match(text, at)
        if follows is None:
            raise _unreadable(text, at, "a comma or a closing parenthesis")
        at = follows.end()
        if follows[1] == ")":
            return tuple(values), at


def _check_sizes(condition: Condition) -> None:
    """Raise Invalid for more than a statement should hold."""
    comparisons = list(_comparisons(condition))
    values = sum(len(one.values) for one in comparisons)
    if len(comparisons) > CONDITIONS_MAX or values > VALUES_MAX:
        raise Invalid(
            f"a filter has at most {CONDITIONS_MAX} conditions with {VALUES_MAX} values in all of them, "
            f"this has {len(comparisons)} with {values}"
        )


def _comparisons(condition: Condition) -> Iterator[Comparison]:
    if isinstance(condition, Comparison):
        yield condition
    else:
        for part in condition.parts:
            yield from _comparisons(part)


def _check(comparison: Comparison) -> None:
    """The kinds of value and operator that go together."""
    numeric = comparison.operator in {"<", "<=", ">", ">="}
    texts = all(isinstance(value, str) for value in comparison.values)
    if comparison.entity == "metric" and (texts or comparison.operator not in {"=", "!=", "<", "<=", ">", ">="}):
        raise Invalid(f"metric {comparison.key!r} is compared by = != < <= > >= with a number")
    if comparison.entity in {"param", "tag", "dataset", "metadata", "span", "issue"} and (numeric or not texts):
        raise Invalid(f"{comparison.entity} {comparison.key!r} is compared by = != LIKE ILIKE IN with text in quotes")
    if comparison.operator in {"LIKE", "ILIKE"} and not texts:
        raise Invalid(f"{comparison.operator} compares with text in quotes")


def _like(found: str, pattern: str, *, ignore_case: bool) -> bool:
    """Whether text meets a pattern of % and _. A regular expression would try every way to part it: that can take ages.

    >>> [_like("model-a", pattern, ignore_case=False) for pattern in ("%el_a", "m%", "%a%a%")]
    [True, True, False]
    """
    if ignore_case:
        found, pattern = found.lower(), pattern.lower()
    first, *others = pattern.split("%")
    if not others:
        return len(found) == len(pattern) and _at(found, pattern, 0)
    *inner, last = others
    end = len(found) - len(last)
    if end < len(first) or not _at(found, first, 0) or not _at(found, last, end):
        return False
    at = len(first)
    for part in filter(None, inner):  # The first place where it fits leaves the most for those behind it.
        fits = (place for place in range(at, end - len(part) + 1) if _at(found, part, place))
        at = next(fits, end) + len(part)
        if at > end:
            return False
    return True


def _at(found: str, part: str, at: int) -> bool:
    """Whether a part without % stands at a place, each _ for any character."""
    if "_" not in part:
        return found.startswith(part, at)
    return all(wanted in ("_", char) for wanted, char in zip(part, found[at : at + len(part)], strict=True))


def _is_ordered(operator: str, found: str | float, value: str | float) -> bool:
    smaller, equal = found < value, found == value  # type: ignore[operator]  # Both are text or both numbers here.
    return {"<": smaller, "<=": smaller or equal, ">": not (smaller or equal), ">=": not smaller}[operator]


def _unreadable(text: str, at: int, wanted: str) -> Invalid:
    found = repr(text[at : at + 30].strip()) if text[at:].strip() else "its end"
    return Invalid(f"the filter cannot be read at character {at + 1}: {wanted} is expected, found {found}")
