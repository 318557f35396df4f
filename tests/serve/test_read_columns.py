"""What a person pipes into `taut predict`: CSV, columns or rows in JSON; one table, or told what is wrong with it."""

import csv
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.serve import read_columns

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
)
LINE = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), min_size=1, max_size=9)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, 2], "b": ["x", null]}',
        '[{"a": 1, "b": "x"}, {"a": 2, "b": null}]',
        '[{"b": "x", "a": 1}, {"a": 2, "b": null}]',
        '\n\t {"b": ["x", null], "a": [1, 2]}\n',
        '  \n[{"a": 1, "b": "x"},\n {"a": 2, "b": null}]\n',
    ],
)
def test_rows_and_columns_in_json_are_one_table(text: str):
    assert read_columns(text) == {"a": [1, 2], "b": ["x", None]}


@pytest.mark.parametrize(
    "text", ["a,b\n1,x\n2,\n", "a,b\n1,x\n2,", "a,b\r\n1,x\r\n2,\r\n", "\ufeffa,b\n1,x\n2,\n", '"a","b"\n"1","x"\n2,""']
)
def test_csv_is_text_however_its_lines_end(text: str):
    assert read_columns(text) == {"a": ["1", "2"], "b": ["x", ""]}


def test_a_quoted_comma_stays_in_its_value():
    assert read_columns('a,b\n"1,5","say ""no"""') == {"a": ["1,5"], "b": ['say "no"']}


def test_csv_keeps_zeros_that_a_number_would_lose():
    assert read_columns("carrier\n007\n") == {"carrier": ["007"]}


def test_one_column_of_csv_is_a_table():
    assert read_columns("a\n1\n2") == {"a": ["1", "2"]}


@pytest.mark.parametrize("text", ["", " ", "\n", "a", "a,b", "a,b\n"])
def test_a_text_without_a_row_is_refused(text: str):
    with pytest.raises(Invalid, match="a heading and at least one row"):
        read_columns(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1", "line 2 .* has 1 values, the heading has 2"),
        ("a,b\n1,2\n1,2,3", "line 3 .* has 3 values, the heading has 2"),
        ("a,b\n\n1", "line 3 .* has 1 values, the heading has 2"),
        ("a;b,c\n1;2", "line 2 .* has 1 values, the heading has 2"),
    ],
)
def test_a_ragged_line_of_csv_is_counted_from_the_heading(text: str, names: str):
    with pytest.raises(Invalid, match=names):
        read_columns(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[{"a": 1}, {"b": 1}]', "row 1 and row 0 .* 'a'"),
        ('[{"a": 1}, {"a": 1, "b": 1}]', "row 1 and row 0 .* 'b'"),
        ('[{"a": 1, "b": 1}, {"a": 1, "b": 1}, {"a": 1}]', "row 2 and row 0 .* 'b'"),
        ("[]", "no rows"),
    ],
)
def test_ragged_rows_of_json_are_told_by_row_and_column(text: str, names: str):
    with pytest.raises(Invalid, match=names):
        read_columns(text)


@pytest.mark.parametrize(
    "text",
    ["[", "{", '{"a": [1]', "[1]", "[[1]]", "[null]", '{"a": 1}', '{"a": [[1]]}', '{"a": [{}]}', '[{"a": [1]}]',
     '{"a": [1]} x', "[{'a': 1}]", '{"a": [NaN]}', '{"a": null}', "[" * 3000],
)  # fmt: skip
def test_json_that_is_no_table_is_refused_by_the_name_of_its_file(text: str):
    with pytest.raises(Invalid, match=r"rows\.json cannot be read"):
        read_columns(text, name="rows.json")


@given(st.dictionaries(st.text(max_size=5), st.lists(SCALARS, min_size=2, max_size=2), min_size=1, max_size=4))
def test_a_table_is_read_back_from_json_in_either_form(table: dict[str, list[str | float | int | bool | None]]):
    rows = [{name: values[place] for name, values in table.items()} for place in range(2)]
    written = msgspec.json.encode(table)
    assert msgspec.json.encode(read_columns(written.decode())) == written
    assert msgspec.json.encode(read_columns(msgspec.json.encode(rows).decode())) == written


@given(st.lists(st.tuples(LINE, LINE), min_size=1, max_size=5))
def test_a_table_is_read_back_from_csv(rows: list[tuple[str, str]]):
    stream = io.StringIO()
    csv.writer(stream).writerows([("first", "second"), *rows])
    assert read_columns(stream.getvalue()) == {"first": [a for a, _ in rows], "second": [b for _, b in rows]}


@given(st.text(max_size=60) | st.text('[]{}":,\n1a ', max_size=30))
def test_any_text_is_a_table_or_invalid(text: str):
    try:
        columns = read_columns(text)
    except Invalid as problem:
        assert str(problem)
    else:
        assert all(isinstance(values, list) for values in columns.values())
