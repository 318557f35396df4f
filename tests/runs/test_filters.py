"""The filter grammar against a plain oracle: every operator of every entity, on both databases, and any text at all."""

import operator
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.runs import (
    Comparison,
    Condition,
    DatasetInput,
    MetricPoint,
    Order,
    create_run,
    log_batch,
    log_inputs,
    lookup,
    matches,
    parse_filter,
    parse_order,
    search_runs,
    update_run,
)
from taut.runs.filters import TRACE_ENTITIES

BEGIN_MS = 1_700_000_000_000
# Texts that a pattern, a quote or a database could stumble over; None is a run that has no such value.
TEXTS = [
    "tree", "Tree", "TREE", "tr%e", "tr_e", "tr*e", "tr?e", "[a-z]ree", "it's", 'say "no"', "back\\slash", "a\nb",
    "", " ", "NULL", "1", "--", "'; DROP TABLE run; --", "grün", "雪", None,
]  # fmt: skip
NUMBERS = [0.0, -1.5, 1e-9, 0.5, 1.0, 2.0, 1e12, None]
STATUSES = ["RUNNING", "FINISHED", "FAILED"]


@dataclass(frozen=True)
class Known:
    """What was logged to a run, as plain values; the oracle looks at nothing else."""

    id: str
    kind: str | None
    team: str | None
    auc: float | None
    status: str
    start_ms: int
    dataset: str | None


def scene() -> list[Known]:
    """42 runs: each text twice, beside numbers and states that do not keep step with it."""
    return [
        Known(
            id=f"r{place:02}",
            kind=TEXTS[place % len(TEXTS)],
            team=TEXTS[(place * 5 + 3) % len(TEXTS)],
            auc=NUMBERS[place % len(NUMBERS)],
            status=STATUSES[place % len(STATUSES)],
            start_ms=BEGIN_MS + place // 2 * 1000,
            dataset=f"data{place % 4}" if place % 5 else None,
        )
        for place in range(42)
    ]


@pytest.fixture
def known(home) -> list[Known]:
    """The scene, logged to a home."""
    for one in scene():
        create_run(home, run_id=one.id, name=f"name {one.id}", started_ms=one.start_ms)
        log_batch(
            home,
            one.id,
            metrics=[] if one.auc is None else [MetricPoint("val auc", one.auc)],
            params={} if one.kind is None else {"kind": one.kind},
            tags={} if one.team is None else {"the.team": one.team},
        )
        if one.dataset is not None:
            log_inputs(home, one.id, [DatasetInput(one.dataset, f"digest-{one.dataset}", "local", "x")])
        if one.status != "RUNNING":
            update_run(home, one.id, status=one.status, ended_ms=one.start_ms + 500)
    return scene()


def is_like(found: str, pattern: str) -> bool:
    """LIKE without a regular expression: % is any text, _ one character, and nothing escapes either."""
    if not pattern:
        return not found
    if pattern[0] == "%":
        return any(is_like(found[skipped:], pattern[1:]) for skipped in range(len(found) + 1))
    return bool(found) and pattern[0] in {"_", found[0]} and is_like(found[1:], pattern[1:])


TEXT_LAWS: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "LIKE": is_like,
    "ILIKE": lambda found, pattern: is_like(found.lower(), pattern.lower()),
}
NUMBER_LAWS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PATTERNS = [
    "tree",
    "tr%",
    "%e",
    "tr_e",
    "TR_E",
    "%'%",
    '%"%',
    "%\\%",
    "%\n%",
    "",
    "%",
    "_",
    "[a-z]%",
    "*",
    "?%",
    "gr_n",
]


def quoted(text: str, mark: str = "'") -> str:
    return mark + text.replace(mark, mark * 2) + mark


def found(home, filter: str) -> list[str]:
    return sorted(run.id for run in search_runs(home, filter=filter))


def expected(known: Sequence[Known], law: Callable[..., bool]) -> list[str]:
    return sorted(one.id for one in known if law(one))


# Each operator of each entity


@pytest.mark.parametrize("mark", ["'", '"'])
def test_every_text_operator_on_a_param_and_a_tag_finds_what_the_oracle_finds(home, known, mark):
    values = sorted({*PATTERNS, *(text for text in TEXTS if text is not None)})
    for sign, law in TEXT_LAWS.items():
        for value in values:
            written = f"{sign} {quoted(value, mark)}"
            wanted = expected(known, lambda one, law=law, value=value: one.kind is not None and law(one.kind, value))
            assert (written, found(home, f"params.kind {written}")) == (written, wanted)
            wanted = expected(known, lambda one, law=law, value=value: one.team is not None and law(one.team, value))
            assert (written, found(home, f"tags.`the.team` {written}")) == (written, wanted)


def test_every_number_operator_on_a_metric_finds_what_the_oracle_finds(home, known):
    for sign, law in NUMBER_LAWS.items():
        for value in (-1.5, 0.0, 1e-9, 0.75, 1.0, 1e12, 1e300, -1e300):
            wanted = expected(known, lambda one, law=law, value=value: one.auc is not None and law(one.auc, value))
            assert (sign, value, found(home, f"metrics.`val auc` {sign} {value!r}")) == (sign, value, wanted)


def test_every_number_operator_on_a_time_finds_what_the_oracle_finds(home, known):
    at_ms = BEGIN_MS + 7000
    for sign, law in NUMBER_LAWS.items():
        wanted = expected(known, lambda one, law=law: law(one.start_ms, at_ms))
        assert (sign, found(home, f"attributes.start_time {sign} {at_ms}")) == (sign, wanted)
        ended = expected(known, lambda one, law=law: one.status != "RUNNING" and law(one.start_ms + 500, at_ms + 500))
        assert (sign, found(home, f"end_time {sign} {at_ms + 500}")) == (sign, ended)


def test_what_is_missing_meets_is_null_and_no_other_operator(home, known):
    for written, value_of in (
        ("params.kind", lambda one: one.kind),
        ("tags.`the.team`", lambda one: one.team),
        ("metrics.`val auc`", lambda one: one.auc),
        ("end_time", lambda one: None if one.status == "RUNNING" else one.start_ms),
    ):
        gone = expected(known, lambda one, value_of=value_of: value_of(one) is None)
        assert found(home, f"{written} IS NULL") == gone
        assert found(home, f"{written} is  not   null") == sorted({one.id for one in known} - set(gone))


def test_lists_hold_each_of_their_values_and_their_negation_only_what_is_there(home, known):
    listed = ["tree", "it's", "雪", "nobody"]
    written = ", ".join(map(quoted, listed))
    assert found(home, f"params.kind IN ({written})") == expected(known, lambda one: one.kind in listed)
    assert found(home, f"params.kind NOT IN ({written})") == expected(
        known, lambda one: one.kind is not None and one.kind not in listed
    )
    assert found(home, "attribute.status IN ('RUNNING','FAILED')") == expected(
        known, lambda one: one.status in {"RUNNING", "FAILED"}
    )
    assert found(home, "run_id not in ( 'r00' , 'r01' )") == expected(known, lambda one: one.id not in {"r00", "r01"})
    assert found(home, f"start_time IN ({BEGIN_MS}, {BEGIN_MS + 3000})") == ["r00", "r01", "r06", "r07"]


def test_a_dataset_is_found_by_name_and_digest_with_every_text_operator(home, known):
    for sign, law in TEXT_LAWS.items():
        for value in ("data1", "DATA1", "data_", "%a2", "other"):
            wanted = expected(
                known, lambda one, law=law, value=value: one.dataset is not None and law(one.dataset, value)
            )
            assert (sign, value, found(home, f"dataset.name {sign} '{value}'")) == (sign, value, wanted)
    assert found(home, "datasets.digest IN ('digest-data0', 'digest-data3')") == expected(
        known, lambda one: one.dataset in {"data0", "data3"}
    )


def test_many_conditions_hold_together(home, known):
    chance = random.Random(7)
    for _ in range(60):
        text, number, state = chance.choice(PATTERNS), chance.choice(NUMBERS[:-1]), chance.choice(STATUSES)
        sign, measure = chance.choice(list(TEXT_LAWS)), chance.choice(list(NUMBER_LAWS))
        both = chance.choice([" AND ", " and ", "\n\tAnd  "])
        filter = both.join(
            [f"params.kind {sign} {quoted(text)}", f"metrics.`val auc` {measure} {number!r}", f"status != '{state}'"]
        )

        def law(
            one: Known,
            text: str = text,
            number: float | None = number,
            state: str = state,
            sign: str = sign,
            measure: str = measure,
        ) -> bool:
            assert number is not None
            if one.kind is None or one.auc is None or one.status == state:
                return False
            return TEXT_LAWS[sign](one.kind, text) and NUMBER_LAWS[measure](one.auc, number)

        assert (filter, found(home, filter)) == (filter, expected(known, law))


def test_a_hostile_value_finds_the_run_that_has_it_and_leaves_every_table(home, known):
    assert found(home, f"params.kind = {quoted('; DROP TABLE run; --')}") == []
    hostile = "'; DROP TABLE run; --"
    assert found(home, f"params.kind = {quoted(hostile)}") == expected(known, lambda one: one.kind == hostile)
    assert found(home, "params.\"kind' OR 1=1 --\" = 'x'") == []
    assert len(found(home, "")) == len(known)


# Reading alone


ALIASES = {
    "metric": ["metric", "metrics", "METRICS"],
    "param": ["param", "params", "parameter", "parameters"],
    "tag": ["tag", "tags", "Tag"],
    "attribute": ["attribute", "attributes", "attr", "run"],
    "dataset": ["dataset", "datasets"],
}


def leaves(condition: Condition) -> list[Comparison]:
    """The comparisons of a condition."""
    if isinstance(condition, Comparison):
        return [condition]
    return [leaf for part in condition.parts for leaf in leaves(part)]


def only(filter: str) -> Comparison:
    """The one comparison that a filter consists of."""
    (condition,) = parse_filter(filter)
    (comparison,) = leaves(condition)
    assert condition == comparison
    return comparison


@pytest.mark.parametrize(("entity", "written"), [(kind, name) for kind, names in ALIASES.items() for name in names])
def test_every_name_of_an_entity_means_it(entity, written):
    value = "1" if entity == "metric" else "'1'"
    comparison = only(f"{written}.name = {value}")
    assert (comparison.entity, comparison.key) == (entity, "name")
    (order,) = parse_order([f"{written}.name"])
    assert order == Order(comparison.entity, "name", descending=False)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("params.`a b`", "a b"),
        ('params."a b"', "a b"),
        ('params.`a "b"`', 'a "b"'),
        ('params."a`b"', "a`b"),
        ("params.a.b/c-d:e", "a.b/c-d:e"),
        ("params.`AND`", "AND"),
        ("params.`x = 'y' AND z`", "x = 'y' AND z"),
        ("params.größe", "größe"),
    ],
)
def test_backticks_and_double_quotes_hold_a_key_together(written, key):
    assert parse_filter(f"{written} = 'v'") == (Comparison("param", key, "=", ("v",)),)
    assert parse_order([f"{written} desc"]) == (Order("param", key, descending=True),)


@pytest.mark.parametrize(
    ("number", "value"),
    [("1", 1.0), ("+1", 1.0), ("-.5", -0.5), ("1.", 1.0), ("1e3", 1000.0), ("2.5E-3", 0.0025), ("0", 0.0)],
)
def test_numbers_are_read_as_python_reads_them(number, value):
    assert only(f"metrics.m={number}").value == value == float(number)


@pytest.mark.parametrize("number", ["1e", "0x10", "1_000", "nan", "inf", "1.2.3", "--1", "1,5", "٣x"])
def test_what_is_no_number_is_told(number):
    with pytest.raises(Invalid):
        parse_filter(f"metrics.m = {number}")


def test_spaces_around_signs_do_not_matter_and_and_inside_a_word_joins_nothing():
    with pytest.raises(Invalid, match="AND or OR is expected"):
        parse_filter("params.a='1'AND params.b='2'")
    assert parse_filter("  params.a='1'   AND   params.b  !=  '2'  ") == parse_filter(
        "params.a = '1' and params.b!='2'"
    )
    with pytest.raises(Invalid):
        parse_filter("params.a = '1' ANDparams.b = '2'")


EASY = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
HELD = EASY.filter(lambda text: "\0" not in text)  # What a key or value may be.
# Words of the grammar in any order reach deeper than letters would.
WORDS = st.lists(
    st.sampled_from(
        ["metrics.", "params.", "tags.`a b`", "run_id", "dataset.name", "=", "!=", "<", ">=", "LIKE", "IN", "NOT IN",
         "IS NULL", "IS NOT NULL", "AND", "OR", "(", ")", ",", "'a'", '"b"', "'", '"', "`", "1", "-2e5", ".", " ", ""]
    ),
    max_size=12,
)  # fmt: skip


@given(st.one_of(EASY, WORDS.map(" ".join), WORDS.map("".join)))
@example("\x00")
@example("metrics.a = 1e999")
@example("params.a = '" + "'" * 1001)
@example("params." * 500)
def test_any_text_is_a_filter_or_invalid_and_nothing_else(text: str):
    try:
        comparisons = parse_filter(text)
    except Invalid as told:
        assert told.message
    else:
        assert all(leaf.key for one in comparisons for leaf in leaves(one))
        assert bool(comparisons) == bool(text.strip())


@given(st.one_of(EASY, WORDS.map(" ".join)))
def test_any_text_is_an_order_or_invalid_and_nothing_else(text: str):
    try:
        orders = parse_order([text])
    except Invalid as told:
        assert "is no order" in told.message or "is none of" in told.message
    else:
        assert [type(one) for one in orders] == [Order]


@given(HELD, HELD.filter(lambda key: len(key) > 0 and "`" not in key))
def test_any_text_in_quotes_comes_back_as_it_was_written(value: str, key: str):
    for mark in ("'", '"'):
        wanted = (Comparison("tag", key, "=", (value,)),)
        assert parse_filter(f"tags.`{key}` = {quoted(value, mark)}") == wanted


@given(st.lists(HELD, min_size=1, max_size=5))
def test_a_list_keeps_its_values_and_their_order(values: list[str]):
    assert only(f"params.a IN ({','.join(map(quoted, values))})").values == tuple(values)


def test_no_text_of_any_length_takes_longer_than_a_blink_to_refuse():
    import time

    for hostile in ("params.a = '" + "''" * 20_000, "`" * 50_000, "a" * 50_000, "AND " * 10_000, " " * 50_000 + "x"):
        begun = time.process_time()
        with pytest.raises(Invalid):
            parse_filter(hostile)
        assert time.process_time() - begun < 1.0


@pytest.mark.parametrize("filter", ["params.kind = 'a\0b'", "tags.`a\0b` = 'c'", "run_name LIKE '%\0%'"])
def test_a_filter_with_a_nul_is_told_where_and_never_cut_off_there(home, filter):
    create_run(home, run_id="r")
    with pytest.raises(Invalid, match=f"character {filter.index(chr(0)) + 1}: a NUL"):
        search_runs(home, filter=filter)


# The same conditions on what is in memory


@given(EASY, st.text("ab%_*?[].\\", max_size=6))
def test_like_in_memory_is_like_by_the_oracle(text: str, pattern: str):
    assert matches(Comparison("tag", "t", "LIKE", (pattern,)), text) == is_like(text, pattern)


@given(st.sampled_from(sorted(NUMBER_LAWS)), st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_numbers_in_memory_are_ordered_as_numbers(sign: str, one: float, other: float):
    comparison = only(f"metrics.m {sign} 0")
    held = Comparison("metric", "m", comparison.operator, (other,))
    assert matches(held, one) == NUMBER_LAWS[sign](one, other)


def test_memory_and_database_agree_on_every_text_operator(home, known):
    for sign in TEXT_LAWS:
        for value in PATTERNS:
            filter = f"params.kind {sign} {quoted(value)}"
            (comparison,) = parse_filter(filter)
            wanted = expected(known, lambda one, comparison=comparison: matches(comparison, one.kind))
            assert (filter, found(home, filter)) == (filter, wanted)


def test_what_is_missing_in_memory_meets_is_null_alone():
    for filter in ("tags.a = 'x'", "tags.a != 'x'", "tags.a IN ('x')", "tags.a NOT IN ('x')", "tags.a LIKE '%'"):
        assert not matches(only(filter), None)
    assert matches(only("tags.a IS NULL"), None)
    assert not matches(only("tags.a IS NULL"), "")
    assert matches(only("tags.a IS NOT NULL"), "")


def test_comparing_text_with_a_number_in_memory_is_told_with_what_to_write():
    with pytest.raises(Invalid, match="text in quotes"):
        matches(Comparison("attribute", "name", "=", (1.0,)), "one")
    with pytest.raises(Invalid, match="a number"):
        matches(Comparison("attribute", "creation_time", "=", ("one",)), 1.0)


def test_a_thing_without_params_says_what_it_can_be_found_by():
    attributes: dict[str, str | float | None] = {"name": "late", "created": 5.0}
    assert lookup(only("name = 'x'"), attributes, {}) == "late"
    assert lookup(only("tags.a = 'x'"), attributes, {"a": "b"}) == "b"
    for filter in ("params.a = 'x'", "colour = 'red'", "dataset.name = 'x'"):
        with pytest.raises(Invalid, match=r"known are tags\.KEY, created, name"):
            lookup(only(filter), attributes, {})


def test_what_may_be_asked_of_a_trace_is_read_by_its_own_words():
    text = "trace.status = 'OK' AND metadata.k LIKE 'v%' AND span.attributes.model = 'm' AND feedback.good > 0.5"
    read = parse_filter(text, TRACE_ENTITIES)
    assert [(one.entity, one.key) for part in read for one in leaves(part)] == [
        ("attribute", "status"), ("metadata", "k"), ("span", "attributes.model"), ("feedback", "good"),
    ]  # fmt: skip
    assert parse_order(["request_metadata.k DESC"], TRACE_ENTITIES)[0].entity == "metadata"
    for told in ("metrics.auc > 1", "run.status = 'OK'"):
        with pytest.raises(Invalid, match="is none of attr"):
            parse_filter(told, TRACE_ENTITIES)
    for told in ("metadata.k > 3", "span.name = 3", "issue.id < 1"):
        with pytest.raises(Invalid, match="text in quotes"):
            parse_filter(told, TRACE_ENTITIES)
    for told in ("metadata.k = 'v'", "span.name = 'x'", "feedback.good = 'x'"):
        with pytest.raises(Invalid, match="is none of attr"):
            parse_filter(told)


def test_what_no_store_answers_soon_is_not_read():
    for filter in (
        " AND ".join(["params.a = 'b'"] * 501), " OR ".join(["(NOT params.a = 'b')"] * 501),
        f"params.a IN ({', '.join(['7'] * 5001)})".replace("7", "'b'"), f"params.a = '{'b' * 300_000}'",
    ):  # fmt: skip
        with pytest.raises(Invalid, match="at most"):
            parse_filter(filter)
    with pytest.raises(Invalid, match="at most 50"):
        parse_order(["metrics.a"] * 51)
    assert len(parse_filter(" AND ".join(["params.a = 'b'"] * 500))) == 500


def test_like_in_memory_takes_no_more_than_the_pattern_times_the_text():
    began = time.process_time()
    for pattern in ("%a" * 2000 + "b", "%a_" * 1000 + "b", "%" * 5000 + "b", "_" * 4000):
        assert not matches(Comparison("tag", "t", "LIKE", (pattern,)), "a" * 3999)
    assert time.process_time() - began < 1
