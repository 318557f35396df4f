"""`compare_files` on tables, documents and pictures: what is the same content, and what a difference is told as."""

import io
import json
import sqlite3
import struct
import time
import uuid
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather
from pyarrow import parquet as pq

from taut.runs.comparing import Side, compare_files
from taut.runs.comparing.leaves import Rows
from taut.runs.comparing.tables import same_rows
from tests.runs.reproducing.compared import NOWHEN, ONE, OTHER, compared, kind

# Tables


def csv(rows: Sequence[tuple[object, ...]]) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in (("key", "value"), *rows)).encode()


ROWS: list[tuple[object, ...]] = [("a", 1.0), ("b", 2.5), ("c", 3.25)]


def test_the_same_rows_in_another_order_are_told_as_such():
    found = compared("g.csv", csv(ROWS), csv(ROWS[::-1]))
    assert (found.verdict, kind(found)) == ("rows", "row order")
    assert not found.is_same


def test_rows_whose_sums_came_in_another_order_are_matched():
    nearly = [(key, value + 1e-12) for key, value in ROWS[::-1] if isinstance(value, float)]
    found = compared("g.csv", csv(ROWS), csv(nearly))
    assert (found.verdict, kind(found)) == ("rows", "row order, sums in the last digits")
    assert found.first is not None
    assert found.first.gap == pytest.approx(1e-12, rel=1e-3)


def test_numbers_that_differ_in_their_last_digits_in_the_same_order_are_content():
    nearly = [(key, value + 1e-12) for key, value in ROWS if isinstance(value, float)]
    found = compared("g.csv", csv(ROWS), csv(nearly))
    assert (found.verdict, kind(found)) == ("different", "numbers")


def test_a_cell_that_differs_is_named_by_row_and_column():
    found = compared("g.csv", csv(ROWS), csv([*ROWS[:2], ("c", 4.25)]))
    assert found.first is not None
    assert (found.first.path, found.first.before, found.first.after, found.first.gap) == (
        ":3.value",
        "3.25",
        "4.25",
        1.0,
    )


def test_a_row_more_or_another_column_is_content():
    assert compared("g.csv", csv(ROWS), csv([*ROWS, ("d", 4)])).verdict == "different"
    assert compared("g.csv", csv(ROWS), csv(ROWS).replace(b"value", b"worth")).verdict == "different"


def test_a_column_of_times_of_the_run_is_no_content():
    texts = [datetime.fromtimestamp(side.start_ms / 1000 + 5, UTC).isoformat() for side in (ONE, OTHER)]
    assert compared("g.csv", *(csv([("a", text), ("b", 1)]) for text in texts)).verdict == "content"


def test_a_ragged_file_is_read_as_text():
    found = compared("g.csv", b"a,b\n1\n2,3,4\n", b"a,b\n1\n2,3,5\n")
    assert found.first is not None
    assert (found.verdict, found.first.path) == ("different", ":3")


def test_a_file_separated_by_tabs_is_a_table_too():
    assert compared("g.tsv", b"a\tb\n1\t2\n3\t4\n", b"a\tb\n3\t4\n1\t2\n").verdict == "rows"


def parquet(frame: pa.Table, **options: object) -> bytes:
    made = io.BytesIO()
    pq.write_table(frame, made, **options)
    return made.getvalue()


TABLE = pa.table({"key": ["a", "b", None], "value": [1.0, 2.5, 3.25], "many": [[1], [], None]})


def test_parquet_packed_in_another_way_is_the_same_content():
    found = compared("g.parquet", parquet(TABLE), parquet(TABLE, compression="zstd", row_group_size=1))
    assert found.verdict == "content"


def test_parquet_rows_in_another_order_are_told_as_such():
    found = compared("g.parquet", parquet(TABLE), parquet(TABLE.take([2, 0, 1])))
    assert (found.verdict, kind(found)) == ("rows", "row order")


def test_parquet_of_other_types_or_values_is_different():
    assert compared("g.parquet", parquet(TABLE), parquet(TABLE.slice(0, 2))).verdict == "different"
    narrow = TABLE.set_column(1, "value", TABLE["value"].cast("float32"))
    assert compared("g.parquet", parquet(TABLE), parquet(narrow)).verdict == "different"


def test_a_feather_file_is_a_table():
    made = []
    for table in (TABLE, TABLE.take([1, 0, 2])):
        target = io.BytesIO()
        feather.write_feather(table, target, compression="uncompressed")
        made.append(target.getvalue())
    assert compared("g.feather", *made).verdict == "rows"


@pytest.mark.parametrize("name", ["g.parquet", "g.feather", "g.npy", "g.zip", "g.sqlite", "g.png", "g.onnx"])
def test_a_file_that_only_seems_to_be_of_its_format_is_compared_by_its_bytes(name: str):
    begin = {"parquet": b"PAR1", "feather": b"ARROW1", "npy": b"\x93NUMPY\x01\x00", "zip": b"PK\x03\x04",
             "sqlite": b"SQLite format 3\0", "png": b"\x89PNG\r\n\x1a\n", "onnx": b"\xff\xff"}[name[2:]]  # fmt: skip
    assert compared(name, begin + b"\xfe\x00 one", begin + b"\xfe\x00 two").verdict == "different"


def test_rows_of_nothing_are_the_same_rows():
    nothing = Rows(("a",), ())
    assert same_rows(nothing, nothing) == 0.0
    assert same_rows(nothing, Rows(("b",), ())) is None


# Documents


def test_the_order_of_keys_is_no_content_of_json_and_yaml():
    found = compared("m.json", b'{"a": [1, {"c": 2, "d": 3}], "b": 2}', b'{"b": 2, "a": [1, {"d": 3, "c": 2}]}')
    assert (found.verdict, kind(found)) == ("content", "key order")
    assert compared("m.yaml", b"a: 1\nb: [2, 3]\n", b"b:\n- 2\n- 3\na: 1\n").verdict == "content"


def test_how_json_is_indented_is_no_content():
    value = {"a": [1, 2]}
    found = compared("m.json", json.dumps(value).encode(), json.dumps(value, indent=2).encode())
    assert (found.verdict, kind(found)) == ("content", "how it was packed")


def test_a_value_of_json_is_named_by_its_path():
    found = compared("m.json", b'{"a": [1, {"c": 2.0}]}', b'{"a": [1, {"c": 2.5}]}')
    assert found.first is not None
    assert (found.first.path, found.first.gap) == (".a[1].c", 0.5)


def test_a_list_that_is_longer_is_content():
    assert compared("m.json", b"[1, 2]", b"[1, 2, 3]").verdict == "different"
    assert compared("m.json", b"[]", b"{}").verdict == "different"
    assert compared("m.json", b"[1]", b"[true]").verdict == "different"


def test_lines_of_json_are_read_one_by_one():
    assert compared("m.jsonl", b'{"a": 1, "b": 2}\n{"a": 3}\n', b'{"b": 2, "a": 1}\n{"a": 3}\n').verdict == "content"
    assert compared("m.jsonl", b'{"a": 1}\n{"a": 3}\n', b'{"a": 1}\n{"a": 4}\n').verdict == "different"


def mlmodel(run: str, when: str, *, size: int = 3, flavour: str = "sklearn") -> bytes:
    return (
        f"artifact_path: /runs/{run}/model\nflavors:\n  {flavour}: {{pickled_model: model.pkl}}\n"
        f"model_size_bytes: {size}\nmodel_uuid: {uuid.uuid4().hex}\nrun_id: {run}\nutc_time_created: '{when}'\n"
    ).encode()


def test_an_mlmodel_of_another_run_is_the_same_content():
    found = compared("m/MLmodel", mlmodel("a1", "2026-01-01 00:00:00"), mlmodel("b2", "2026-02-01 00:00:00", size=4))
    assert found.verdict == "content"
    assert {one.kind for one in found.differences} == {"id of the run", "time", "size of what was packed"}


def test_an_mlmodel_of_another_flavour_is_different():
    assert compared("m/MLmodel", mlmodel("a", "x"), mlmodel("a", "x", flavour="xgboost")).verdict == "different"


def test_a_text_is_told_line_by_line():
    found = compared("train.log", b"epoch 1 loss 0.5\nepoch 2 loss 0.25\n", b"epoch 1 loss 0.5\nepoch 2 loss 0.75\n")
    assert found.first is not None
    assert (found.first.path, found.first.kind, found.first.gap) == (":2", "numbers", 0.5)


def stamped(side: Side, form: str, *, zone_h: float = 0) -> str:
    return (datetime.fromtimestamp(side.start_ms / 1000 + 20, UTC) + timedelta(hours=zone_h)).strftime(form)


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d %H:%M:%S,%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%a %b %d %H:%M:%S %Y", "at %H:%M:%S"]
)  # fmt: skip
def test_times_in_a_text_are_no_content(form: str):
    found = compared("train.log", *(f"{stamped(side, form)} began\n".encode() for side in (ONE, OTHER)))
    assert (found.verdict, kind(found)) == ("content", "time")


@pytest.mark.parametrize("zone_h", [-8, 2, 5.5, 12.75])
def test_times_of_any_zone_are_known(zone_h: float):
    texts = (f"{stamped(side, '%Y-%m-%d %H:%M:%S', zone_h=zone_h)} began" for side in (ONE, OTHER))
    assert compared("train.log", *(text.encode() for text in texts)).verdict == "content"


def test_times_that_are_no_moment_of_the_run_are_content():
    found = compared("train.log", b"born 1999-01-01 00:00:00\n", b"born 1998-01-01 00:00:00\n")
    assert found.verdict == "different"


@pytest.mark.parametrize("text", ["took {} s", "fit in {}s", "elapsed: {}", "time={}", "{} it/s", "{} ms/step"])
def test_how_long_a_line_says_it_took_is_no_content(text: str):
    assert compared("train.log", text.format("1.25").encode(), text.format("1.75").encode()).verdict == "content"


@pytest.mark.parametrize("text", ["loss {}", "time 3 s, loss {}", "took 3 s loss {}", "rate {} per day", "{}"])
def test_a_number_beside_a_time_is_content(text: str):
    assert compared("train.log", text.format("1.25").encode(), text.format("1.75").encode()).verdict == "different"


def test_addresses_in_a_text_are_no_content_and_small_hexadecimals_are():
    first, second = b"<Model object at 0x7f12c0a04d30>", b"<Model object at 0x7f98c0a04d30>"
    assert compared("notes.txt", first, second).verdict == "content"
    assert compared("notes.txt", b"mask 0xff", b"mask 0xfe").verdict == "different"


def test_a_uuid_is_content_and_told_as_one():
    found = compared("id.txt", str(uuid.uuid4()).encode(), str(uuid.uuid4()).encode())
    assert (found.verdict, kind(found)) == ("different", "uuid")


def test_the_names_of_the_runs_and_their_folders_are_no_content():
    first, second = b"run-one wrote /home/ada/first/m.pkl", b"run-two wrote /home/ada/second/m.pkl"
    found = compared("notes.txt", first, second)
    assert (found.verdict, kind(found)) == ("content", "name of the run or its folder")
    assert compared("notes.txt", first, b"run-two wrote /home/ada/third/m.pkl").verdict == "different"
    assert compared("notes.bin", b"\xff\x00run-one", b"\xff\x00run-two").verdict == "content"
    assert compared("notes.bin", b"\xff\x00run-one", b"\xff\x00run-six").verdict == "different"


def test_the_worst_difference_of_a_line_speaks_for_it():
    texts = (f"{stamped(side, '%Y-%m-%d %H:%M:%S')} loss {loss}" for side, loss in ((ONE, 0.5), (OTHER, 0.6)))
    found = compared("train.log", *(text.encode() for text in texts))
    assert (found.verdict, kind(found)) == ("different", "numbers")


def test_a_long_file_that_differs_everywhere_is_told_in_some_places():
    first, second = (("\n".join(f"value {number + add}" for number in range(5000))).encode() for add in (0, 1))
    found = compared("x.txt", first, second)
    assert found.verdict == "different"
    assert len(found.differences) == 200


@given(st.text(), st.text())
def test_texts_that_differ_are_never_the_same_bytes_and_equal_ones_always(one: str, other: str):
    first, second = one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass")
    verdict = compare_files("x.txt", first, second, NOWHEN, NOWHEN).verdict
    assert (verdict == "bytes") == (first == second)


# Pictures and other binaries


def png(pixels: bytes, *, note: bytes = b"", level: int = 9) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    noted = chunk(b"tEXt", b"Creation Time\0" + note) if note else b""
    return b"\x89PNG\r\n\x1a\n" + header + noted + chunk(b"IDAT", zlib.compress(pixels, level)) + chunk(b"IEND", b"")


def test_a_picture_is_its_pixels():
    pixels = b"\0\1\2\0\3\4"
    now, later = (time.ctime(side.start_ms / 1000 + 1).encode() for side in (ONE, OTHER))
    assert compared("p.png", png(pixels, note=now), png(pixels, note=later, level=1)).verdict == "content"
    assert compared("p.png", png(pixels, note=b"auc 0.91"), png(pixels, note=b"auc 0.93")).verdict == "different"
    assert compared("p.png", png(pixels), png(b"\0\1\2\0\3\5")).verdict == "different"


def test_a_time_in_the_comment_of_a_jpeg_is_no_content():
    from PIL import Image

    made = []
    now, later = (time.strftime("%Y:%m:%d %H:%M:%S", time.gmtime(side.start_ms / 1000)) for side in (ONE, OTHER))
    for comment, colour in ((now, 10), (later, 10), (now, 200), ("auc 0.93", 10)):
        target = io.BytesIO()
        Image.new("L", (16, 16), colour).save(target, "JPEG", comment=comment)
        made.append(target.getvalue())
    assert compared("p.jpg", made[0], made[1]).verdict == "content"
    assert compared("p.jpg", made[0], made[2]).verdict == "different"
    assert compared("p.jpg", made[0], made[3]).verdict == "different"


def test_the_time_of_an_object_is_no_content_of_hdf5():
    def dataset(made_ms: int, values: bytes) -> bytes:
        stamp = struct.pack("<I", made_ms // 1000)
        old = b"\x12\0\x08\0\0\0\0\0\1\0\0\0" + stamp
        new = b"OHDR\x02\x20" + stamp * 4 + bytes([len(values)]) + values + stamp  # A checksum differs with the times.
        return b"\x89HDF\r\n\x1a\n" + old + new

    first = dataset(ONE.start_ms, b"weights")
    assert compared("m.h5", first, dataset(OTHER.start_ms, b"weights")).verdict == "content"
    assert compared("m.h5", first, dataset(OTHER.start_ms, b"biasses")).verdict == "different"
    assert compared("m.h5", first, dataset(ONE.start_ms - 10**9, b"weights")).verdict == "different"


def test_the_dates_of_a_pdf_are_no_content():
    first = b"%PDF-1.4\n/CreationDate (D:2026) /ModDate (D:2026) /ID [<a><b>]\n\xff page"
    assert compared("p.pdf", first, first.replace(b"2026", b"2027").replace(b"<a>", b"<c>")).verdict == "content"
    assert compared("p.pdf", first, first.replace(b"page", b"leaf")).verdict == "different"


def database(folder: Path, statements: list[str]) -> bytes:
    file = folder / f"{uuid.uuid4()}.db"
    base = sqlite3.connect(file)
    for statement in statements:
        base.execute(statement)
    base.commit()
    base.close()
    return file.read_bytes()


MAKE = ["CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 'x')", "INSERT INTO t VALUES (2, 'y')"]


def test_a_database_is_what_it_holds(tmp_path: Path):
    first = database(tmp_path, MAKE)
    assert compared("t.db", first, database(tmp_path, [*MAKE, "DELETE FROM t", *MAKE[1:], "VACUUM"][:-1])).is_same
    assert compared("t.db", first, database(tmp_path, [*MAKE, "INSERT INTO t VALUES (3, 'z')"])).verdict == "different"
    swapped = database(tmp_path, [MAKE[0], MAKE[2], MAKE[1]])
    assert compared("t.db", first, swapped).verdict == "rows"


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def test_the_names_that_a_converter_makes_up_are_no_content_of_onnx():
    made = [
        field(1, 8) + field(6, doc) + field(7, field(2, name) + field(1, node))
        for doc, name, node in (
            (b"a" * 32, b"OnnxML_" + b"1" * 32, b"relu"), (b"b" * 32, b"OnnxML_" + b"2" * 32, b"relu"),
            (b"a" * 32, b"OnnxML_" + b"1" * 32, b"tanh"), (b"a" * 32, b"churn", b"relu"),
        )
    ]  # fmt: skip
    assert compared("m.onnx", made[0], made[1]).verdict == "content"
    assert compared("m.onnx", made[0], made[2]).verdict == "different"
    assert compared("m.onnx", made[0], made[3]).verdict == "different"


def test_a_model_of_skops_is_the_same_whatever_its_ids():
    import skops.io
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = ["red apple", "blue pear", "green plum"]
    first, second = (skops.io.dumps(TfidfVectorizer(stop_words=["blue"]).fit(words)) for _ in range(2))
    assert first != second
    assert compared("m.skops", first, second).verdict == "content"
    changed = skops.io.dumps(TfidfVectorizer(stop_words=["blue"]).fit([*words, "red plum"]))
    assert compared("m.skops", first, changed).verdict == "different"


def test_what_no_reader_knows_is_one_piece():
    found = compared("x.bin", b"\xff\x00\x01", b"\xff\x00\x02")
    assert (found.verdict, kind(found)) == ("different", "value")
