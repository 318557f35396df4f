"""Where rows of a CSV end is found without taking its cells apart, and agrees with who does."""

import csv
import io
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from taut.errors import Invalid
from taut.models.signature import SignatureColumn
from taut.serve.batch import texts
from taut.serve.batch.texts import survey_text, text_batches, typed_text

CELLS = st.text(st.sampled_from('ab,"\n ;é'), max_size=4)


def unheard(_: bytes) -> None: ...


def written(rows: list[list[str]], end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=12), st.sampled_from(["\n", "\r\n"]), st.integers(1, 5)
)
def test_parts_of_a_csv_hold_its_rows_each_once(rows: list[list[str]], end: str, part_rows: int):
    data = written([["x", "y"], *rows], end)
    block, texts.BLOCK = texts.BLOCK, 7  # Pieces end anywhere: within quotes, between the two of a pair, of a line end.
    try:
        found = survey_text(io.BytesIO(data), part_rows, unheard)
    except Invalid:
        texts.BLOCK = block
        assert b'"' in data  # Of a header that is longer than a piece the rest is not seen.
        return
    texts.BLOCK = block
    assert found.cuts[-1] == len(rows) and all(cut % part_rows == 0 for cut in found.cuts[:-1])
    again = []
    for start, stop in pairwise(found.offsets):
        again += list(csv.reader(io.StringIO(data[start:stop].decode(), newline="")))
    assert again == rows


def test_a_csv_is_heard_whole_and_its_parts_read_alone():
    rows = [[f"{row}", f'say "{row}"\nand, so on'] for row in range(10)]
    data = b"\xef\xbb\xbf" + written([["x", "y"], *rows])
    heard: list[bytes] = []
    found = survey_text(io.BytesIO(data), 4, heard.append)
    assert b"".join(heard) == data and found.names == ("x", "y") and found.cuts == (0, 4, 8, 10)
    stream = io.BytesIO(data)
    for place in (2, 0, 1):
        start, stop = found.offsets[place : place + 2]
        stream.seek(start)
        (batch,) = text_batches(stream, stop - start, found.names, ",", {"y", "x"})
        assert batch.to_pydict()["y"] == [row[1] for row in rows[found.cuts[place] : found.cuts[place + 1]]]


@pytest.mark.parametrize(
    ("data", "cuts"),
    [
        (b"x,y\n", (0,)),
        (b"x,y", (0,)),
        (b"x,y\n1,2", (0, 1)),
        (b"x,y\n\n1,2\n\r\n\n3,4\n\n", (0, 2)),
        (b'"x","y"\n1,2\n', (0, 1)),
        (b'\xef\xbb\xbf"x",y\n1,2\n', (0, 1)),
    ],
)
def test_empty_lines_are_no_rows(data: bytes, cuts: tuple[int, ...]):
    assert survey_text(io.BytesIO(data), 10, unheard).cuts == cuts


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it has no header"),
        ("x,y\n1,2\n".encode("utf-16"), "it is written in UTF-16; a batch reads UTF-8"),
        (b'x,y\n1,"2\n3,4\n', "it ends within quotes"),
        (b'x,y\n5" pipe,2\n', "byte 5 of its text is a quote within a cell that begins with none"),
    ],
)
def test_what_every_reader_would_cut_elsewhere_is_refused(data: bytes, said: str):
    with pytest.raises(Invalid) as refused:
        survey_text(io.BytesIO(data), 10, unheard)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("kind", "words", "values", "wrong"),
    [
        ("double", ["1.5", None, "-2e3"], [1.5, None, -2000.0], None),
        ("double", ["1.5", "1_0", " 2 ", "soon"], [1.5, None, 2.0, None], [1, 3]),
        ("long", ["1", None, "-7"], [1, None, -7], None),
        ("long", ["1", "0x10", "1.0", "1.5", str(2**63)], [1, None, 1, None, None], [1, 3, 4]),
        ("boolean", ["true", "FALSE", None, "yes"], [True, False, None, None], [3]),
        ("string", ["1", None], ["1", None], None),
    ],
)
def test_words_are_read_by_the_signature_as_a_server_reads_them(
    kind: Any, words: list[Any], values: list[Any], wrong: list[int] | None
):
    cells, rows = typed_text(SignatureColumn("x", kind), pa.array(words, pa.string()))
    assert cells.to_pylist() == values
    assert (None if rows is None else np.flatnonzero(rows).tolist()) == wrong
