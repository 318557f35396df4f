"""Tables of Arrow and Parquet as requests, and Arrow streams as answers; bytes that are none, or that are a trap."""

import io
import sys
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid, TooLarge, Unsupported
from taut.models.signature import Signature, SignatureColumn
from taut.records import Prediction
from taut.serve.requests import infer_answer, invocation_answer, read_infer, read_infer_table, read_invocation
from taut.serve.requests.arrow import PARQUET
from taut.serve.requests.asked import ARROW, CELLS_MAX

SIGNATURE = Signature((SignatureColumn("n", "double"), SignatureColumn("t", "string")))
TABLE = pa.table({"n": [1.5, 2.5], "t": ["x", None]})


def stream(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def columns(body: bytes, kind: str = ARROW) -> dict[str, list[Any]]:
    return read_invocation(body, SIGNATURE, content_type=kind).columns


@pytest.mark.parametrize(("body", "kind"), [(stream(TABLE), ARROW), (parquet(TABLE), PARQUET)])
def test_every_form_of_a_table_gives_the_same_columns(body: bytes, kind: str):
    assert columns(body, kind) == {"n": [1.5, 2.5], "t": ["x", None]}


def test_a_table_of_several_batches_is_one_request():
    several = pa.Table.from_batches([*TABLE.to_batches(), *TABLE.slice(1).to_batches()])
    assert columns(stream(several)) == {"n": [1.5, 2.5, 2.5], "t": ["x", None, None]}


def test_an_inference_may_be_an_arrow_stream_too():
    asked = read_infer_table(stream(TABLE), request_id="mine", moment="2013-04-01", accept=ARROW)
    assert (asked.columns["n"], asked.id, asked.event_ms, asked.arrow) == ([1.5, 2.5], "mine", 1364774400000, True)


@pytest.mark.parametrize(
    ("array", "cells"),
    [
        (pa.array([1, None, 2**53 + 1]), [1, None, 2**53 + 1]),
        (pa.array([255], pa.uint8()), [255]),
        (pa.array([True, None, False]), [True, None, False]),
        (pa.array([0.5], pa.float16()), [0.5]),
        (pa.array([0.1], pa.float32()), [0.10000000149011612]),
        (pa.array(["x", None], pa.large_string()), ["x", None]),
        (pa.array(["x", None, "x", "y"]).dictionary_encode(), ["x", None, "x", "y"]),
        (pa.array([None, None]), [None, None]),
        (pa.array([0, None], pa.timestamp("ms")), ["1970-01-01 00:00:00.000000", None]),
        (pa.array([0], pa.timestamp("ns", "Europe/Berlin")), ["1970-01-01 00:00:00.000000"]),
        (pa.array([1], pa.date32()), ["1970-01-02 00:00:00.000000"]),
    ],
)
def test_a_column_of_every_type_is_plain_values(array: Any, cells: list[Any]):
    one = Signature((SignatureColumn("a", "double"),))
    table = pa.table({"a": array})
    for body, kind in ((stream(table), ARROW), (parquet(table), PARQUET)):
        found = read_invocation(body, one, content_type=kind).columns["a"]
        assert found == cells
        assert [type(value) for value in found] == [type(value) for value in cells]


@pytest.mark.parametrize(
    "array", [pa.array([[1.0]]), pa.array([{"a": 1}]), pa.array([b"x"]), pa.array(["x"], pa.string_view())]
)
def test_a_type_that_no_column_has_is_named(array: Any):
    with pytest.raises(Invalid, match=r"column 'n' is of type|for type string_view"):
        columns(stream(pa.table({"n": array, "t": ["x"]})))


def test_two_columns_of_one_name_are_told():
    with pytest.raises(Invalid, match="two columns of one name"):
        columns(stream(pa.table([[1.5], [2.5], ["x"]], names=["n", "n", "t"])))


# Traps


BIG = pa.table({"n": [0.0] * 100_000, "t": pa.array(["x" * 50] * 100_000).dictionary_encode()})


def legacy(body: bytes) -> bytes:
    """A stream without the word before the length of each message, as the oldest writers framed it."""
    found, start = b"", 0
    for message in pa.ipc.MessageReader.open_stream(body):
        head = body.index(message.metadata.to_pybytes(), start)
        start = head + message.metadata.size + (message.body.size if message.body is not None else 0)
        found += body[head - 4 : start]
    return found + b"\0\0\0\0"


@pytest.mark.parametrize("kind", ["zstd", "lz4"])
@pytest.mark.parametrize("table", [BIG, BIG.select(["n"]), BIG.slice(0, 1).select(["t"])])
def test_compressed_batches_are_refused_before_they_are_unpacked(kind: str, table: Any):
    written = stream(table, compression=kind)
    assert pa.ipc.open_stream(legacy(written)).read_all() == table
    for body in (written, legacy(written), stream(TABLE)[:-8] + written[written.index(b"\xff" * 4, 8) :]):
        with pytest.raises(Invalid, match="compressed"):
            columns(body)


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli", "lz4"])
def test_parquet_of_a_codec_that_packs_very_much_into_little_is_refused(codec: str):
    with pytest.raises(Invalid, match="packed by"):
        columns(parquet(BIG, compression={"n": codec, "t": "snappy"}), PARQUET)


def test_one_long_text_of_very_many_rows_is_held_once():
    long = "x" * 1_000_000
    table = pa.table(
        {"n": [0.0] * 50_000, "t": pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int8()), [long])}
    )
    for body, kind in ((stream(table), ARROW), (parquet(table, compression="snappy"), PARQUET)):
        texts = columns(body, kind)["t"]
        assert len({id(text) for text in texts}) == 1
        assert texts[0] == long


def test_more_words_than_their_places_could_count_with_one_more_are_read():
    words = [f"w{place}" for place in range(128)]
    array = pa.DictionaryArray.from_arrays(pa.array([127, None], pa.int8()), words)
    assert columns(stream(pa.table({"n": [1.0, 2.0], "t": array})))["t"] == ["w127", None]


def test_many_rows_in_few_bytes_are_refused():
    nothing = pa.table({"n": pa.nulls(CELLS_MAX), "t": pa.nulls(CELLS_MAX)})
    same = pa.table({"n": pa.array([1.0] * (CELLS_MAX // 2 + 1)), "t": pa.nulls(CELLS_MAX // 2 + 1)})
    for body, kind in ((stream(nothing), ARROW), (parquet(same), PARQUET)):
        assert len(body) < CELLS_MAX
        with pytest.raises(TooLarge, match="values; it may have 2000000"):
            columns(body, kind)


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
@given(body=st.binary(max_size=200))
def test_no_bytes_at_all_are_more_than_an_invalid_table(kind: str, body: bytes):
    with pytest.raises(Invalid):
        columns(body, kind)


@pytest.mark.parametrize(("body", "kind"), [(stream(TABLE), ARROW), (parquet(TABLE), PARQUET)])
def test_a_damaged_table_is_read_or_invalid_at_every_byte(body: bytes, kind: str):
    for place in range(len(body)):
        for damaged in (body[:place], body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]):
            try:
                found = columns(damaged, kind)
            except Invalid:
                continue
            assert {len(values) for values in found.values()} <= {0, 2}


# Answers


def told() -> Prediction:
    return Prediction("late", "an-id", 3, "flights", 2, 0, 0, 2, {}, {"prediction": [0, 1], "probability": [0.1, 0.9]})


def test_an_arrow_stream_holds_only_the_outputs_that_were_asked_for():
    body = b'{"inputs": [], "outputs": [{"name": "probability"}]}'
    answer = infer_answer(told(), read_infer(body, accept=ARROW))
    assert pa.ipc.open_stream(answer.data).read_all().to_pydict() == {"probability": [0.1, 0.9]}


@pytest.mark.parametrize("answer", [infer_answer, invocation_answer])
def test_an_answer_may_be_an_arrow_stream(answer: Any):
    request = read_invocation(stream(TABLE), SIGNATURE, content_type=ARROW, accept=f"{ARROW}, */*")
    body = answer(told(), request)
    table = pa.ipc.open_stream(body.data).read_all()
    assert table.to_pydict() == {"prediction": [0, 1], "probability": [0.1, 0.9]}
    assert table.schema.metadata == {b"id": b"an-id", b"version": b"2", b"revision": b"3"}
    assert (body.content_type.decode(), body.headers) == (ARROW, ((b"x-request-id", b"an-id"),))


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", f"application/json, {ARROW};q=0.5"])
def test_without_a_wish_for_arrow_the_answer_is_json(accept: str):
    request = read_invocation(stream(TABLE), SIGNATURE, content_type=ARROW, accept=accept)
    assert msgspec.json.decode(invocation_answer(told(), request).data)["predictions"] == [0, 1]


def test_without_pyarrow_both_ways_are_unsupported_and_name_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for kind, accept in ((ARROW, ""), ("application/json", ARROW)):
        with pytest.raises(Unsupported) as refused:
            read_invocation(b'{"inputs": [[1.5, "x"]]}', SIGNATURE, content_type=kind, accept=accept)
        assert "taut[data]" in refused.value.hint
