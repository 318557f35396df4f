"""Labels in lists and files: held against the log at once, all of them or none, each mistake with its line."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taut.errors import Denied, Invalid
from taut.faces.http.embedded import embedded_server
from taut.ground.access import Actor
from taut.ground.ledger import events
from taut.home import Home, open_home
from taut.serve import labelled_rows, log_labels
from taut.serve.log import labelling
from taut.serve.log.label_files import read_labels
from taut.serve.log.labelling import LabelsAdded, add_labels
from taut.serve.log.rows import log_prediction
from taut.serve.log.sealing import seal
from tests.serve.log.scenes import said, say
from tests.serve.scenes import record, register


@pytest.fixture
def late(project: Path) -> Iterator[Home]:
    """A home with a deployment `late`, and a request in a segment, one in a journal and one in the database."""
    with open_home(project, actor=Actor("ada", "owner")) as home:
        register(home)
        record(home, 1)
        say(home, said("sealed", counts=[2]), said("shown", role="shadow"))
        seal(home, "late")
        say(home, said("live", counts=[3]))
        log_prediction(home, "late", "row", 1, 5, {"x": [1]}, {"p": [0.5]})
        yield home


def read(data: bytes | str) -> list[tuple[str, int, float, int]]:
    found = read_labels(io.BytesIO(data.encode() if isinstance(data, str) else data), name="truth")
    return list(zip(found.ids, found.rows, found.values, found.lines, strict=True))


def parquet(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


# What is stored


def test_labels_find_their_predictions_wherever_those_lie(late: Home):
    ids, rows, values = ["live", "sealed", "row", "live"], [2, 1, 0, 0], [1.0, 0.0, 1.0, 0.5]
    assert add_labels(late, "late", ids, values, rows) == LabelsAdded(4, 0, 0)
    assert add_labels(late, "late", ids, [1.0, 1.0, 1.0, 0.5], rows) == LabelsAdded(0, 1, 3)
    found = labelled_rows(late, "late")
    assert sorted(zip(found.ids, found.labels, strict=True)) == [
        ("live.0", 0.5), ("live.2", 1.0), ("row.0", 1.0), ("sealed.1", 1.0),
    ]  # fmt: skip


def test_rows_are_the_first_where_none_are_given_and_the_same_label_twice_is_one(late: Home):
    assert add_labels(late, "late", ["live", "live"], [1.0, 1.0]) == LabelsAdded(1, 0, 0)
    assert add_labels(late, "late", [], []) == LabelsAdded(0, 0, 0)


def test_early_labels_wait_for_their_predictions(late: Home):
    ids = ["live", "later", "later"]
    with pytest.raises(Invalid, match=r"2 of 3 labels are of no prediction of 'late', the first is 'later\.0', line 8"):
        add_labels(late, "late", ids, [1.0, 1.0, 0.0], [0, 0, 1], lines=[7, 8, 9])
    assert labelled_rows(late, "late").ids == []
    assert add_labels(late, "late", ids, [1.0, 1.0, 0.0], [0, 0, 1], early=True) == LabelsAdded(3, 0, 0, 2)
    say(late, said("later", counts=[2]))
    assert sorted(labelled_rows(late, "late").ids) == ["later.0", "later.1", "live.0"]
    assert add_labels(late, "late", ids, [1.0, 1.0, 0.0], [0, 0, 1]) == LabelsAdded(0, 0, 3)


@pytest.mark.parametrize(
    ("ids", "values", "rows", "says"),
    [
        (["live"], [1.0, 2.0], None, "lists of one length, got 1, 1 and 2"),
        (["live"], [1.0], [0, 1], "lists of one length, got 1, 2 and 1"),
        (["live"], [float("nan")], None, r"1 labels are not finite numbers, the first is 'live\.0' = nan"),
        (["live"], [1.0], [-1], r"rows that no request has, the first is 'live\.-1'"),
        (["live"], [1.0], [2**40], "rows that no request has"),
        (["live"], [1.0], [3], r"the first is 'live\.3'"),
        (["live", "row", "live"], [1.0, 1.0, 0.0], None, r"'live\.0' is 1, and 'live\.0' is 0; a prediction has one"),
    ],
)
def test_a_mistake_stores_nothing(late: Home, ids: list[str], values: list[float], rows: Any, says: str):
    with pytest.raises(Invalid, match=says):
        add_labels(late, "late", ids, values, rows)
    assert labelled_rows(late, "late").ids == []


def test_one_entry_of_the_ledger_tells_a_call_that_changed_something(late: Home):
    for _ in range(2):
        add_labels(late, "late", ["live", "row"], [1.0, 0.0])
    with late.meta.read() as tx:
        (entry,) = events(tx, kind="label.logged")
    assert json.loads(entry.body) == {"changed": 0, "early": 0, "known": 0, "new": 2}


def test_whoever_may_not_label_is_refused(late: Home):
    with pytest.raises(Denied):
        add_labels(late.as_actor(Actor("vera", "viewer")), "late", ["live"], [1.0])


def test_labels_reach_a_server_from_afar(late: Home):
    with embedded_server(late) as url, open_home(url) as remote:
        assert add_labels(remote, "late", ["live", "sealed"], [1.0, 0.0], [1, 1]) == LabelsAdded(2, 0, 0)
        with pytest.raises(Invalid, match="line 3"):
            add_labels(remote, "late", ["gone"], [1.0], lines=[3])
    assert sorted(labelled_rows(late, "late").ids) == ["live.1", "sealed.1"]


def test_many_labels_are_written_in_parts_and_as_one(late: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(labelling, "TOGETHER", 7)
    names = [f"r{number:03}" for number in range(300)]
    say(late, said(*names))
    seal(late, "late")
    log_labels(late, "late", {"r007.0": 1.0, "r009.0": 0.0})
    assert add_labels(late, "late", names[::-1], [1.0] * 300) == LabelsAdded(298, 1, 1)
    with pytest.raises(Invalid, match="1 of 301"):
        add_labels(late, "late", [*names, "r300"], [0.0] * 301)
    assert set(labelled_rows(late, "late").labels) == {1.0}


@pytest.mark.slow
def test_a_hundred_thousand_labels_cost_seconds(late: Home):
    names = [f"r{number:06}" for number in range(100_000)]
    for start in range(0, 100_000, 10_000):
        say(late, said(*names[start : start + 10_000]))
    seal(late, "late")
    began = time.process_time()
    assert add_labels(late, "late", names, [1.0] * len(names)).new == len(names)
    assert time.process_time() - began < 10.0


# What is read


@pytest.mark.parametrize(
    "data",
    [
        "id,row,label\na,0,1\nb,2,0.5\n",
        "\ufefflabel,row,extra,id\r\n1,0,x,a\r\n0.5,2,,b\r\n",
        'id,label\na.0,true\n"b.2",5e-1',
        '{"id": "a", "label": true}\n{"id": "b", "row": 2, "label": 0.5, "more": []}\n',
        '{"id": "a.0", "row": null, "label": "1"}\n{"label": 0.5, "id": "b.2"}',
        parquet(id=["a", "b"], row=[0, 2], label=[1.0, 0.5]),
        parquet(label=[1, 0.5], id=["a.0", "b.2"], more=[None, None]),
    ],
)
def test_csv_json_lines_and_parquet_are_read_alike(data: bytes | str):
    assert [one[:3] for one in read(data)] == [("a", 0, 1.0), ("b", 2, 0.5)]


def test_lines_are_counted_as_an_editor_counts_them():
    assert [line for *_, line in read('id,label,note\na,1,"two\nlines"\n\nb,1,x\n')] == [3, 5]
    assert [line for *_, line in read('\n{"id": "a", "label": 1}\n\n{"id": "b", "label": 1}')] == [2, 4]
    assert [line for *_, line in read(parquet(id=["a", "b"], label=[1, 0]))] == [1, 2]


def test_a_file_without_labels_has_none():
    assert read("id,label\n") == read(parquet(id=pa.array([], pa.string()), label=pa.array([], pa.float64()))) == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "truth needs one column 'id'; it has nothing"),
        ("a,1\n", "needs one column 'id'; it has 'a', '1'"),
        ("id,label,id\n", "needs one column 'id'"),
        ("id,label\na,1\nb,maybe\n", "line 3: label 'maybe' is no finite number"),
        ("id,label\na,inf\n", "line 2: label 'inf' is no finite number"),
        ("id,label\na,\n", "line 2: label '' is no finite number"),
        ("id,label\n,1\n", "line 2: id '' and row None name no prediction"),
        ("id,row,label\na,-1,1\n", "line 2: id 'a' and row '-1'"),
        ("id,row,label\na," + "9" * 5000 + ",1\n", "line 2: id 'a' and row '9"),
        ("id,row,label\na,²,1\n", "line 2: id 'a' and row '²'"),
        ("id,label\na,1\nb\n", "line 3: 1 cells, where 2 columns are"),
        ('id,label\n"a,1\n', "line 2: unexpected end of data"),
        ('{"id": "a"}\n', "line 1: has no 'label'"),
        ('{"id": "a", "label": 1}\n{"id": 3, "label": 1}', "line 2: id 3 and row None"),
        ('{"id": "a", "label": 1}\n[1]', "line 2: "),
        ('{"id": "a", "label": 1}\n{"id": ', "line 2: "),
        ('{"id": "a", "label": ' + "9" * 400 + "}", "line 1: label 9"),
        ('{"id": "a", "row": true, "label": 1}', "line 1: id 'a' and row True"),
        (b"id,label\n\xff,1\n", "truth is no UTF-8"),
        (b"PAR1 and nothing more", "truth cannot be read"),
        (parquet(name=["a"], label=[1.0]), "needs one column 'id'; it has 'name', 'label'"),
        (parquet(id=["a", None], label=[1.0, 1.0]), "line 2: id None"),
        (parquet(id=["a"], label=[None]), "line 1: label None"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_mistake_names_its_line(data: bytes | str, says: str):
    with pytest.raises(Invalid) as told:
        read(data)
    assert says in told.value.message
