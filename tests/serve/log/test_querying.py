"""Rows of the log by range, version, id and what stands in their columns; labels beside them, newest first or not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taut.errors import Denied, Invalid, NotFound
from taut.faces.http.embedded import embedded_server
from taut.ground.access import Actor
from taut.home import Home, open_home
from taut.serve import log_labels
from taut.serve.log import paging
from taut.serve.log.paging import Asked, Labelled, each_request, page_predictions
from taut.serve.log.querying import Condition, query_rows, read_condition
from taut.serve.log.rows import log_prediction
from taut.serve.log.sealing import seal
from tests.serve.log.scenes import said, say
from tests.serve.scenes import record, register

HOUR = 3_600_000


@pytest.fixture
def late(project: Path) -> Iterator[Home]:
    """Answers of two versions in a segment, a journal and the database; the second row of `b` is labelled."""
    with open_home(project, actor=Actor("ada", "owner")) as home:
        for number, factor in enumerate((0.1, 0.2), 1):
            register(home, factor=factor)
            record(home, number)
        say(home, said("a", event_ms=[1 * HOUR]), said("b", event_ms=[2 * HOUR], counts=[2]), said("s", role="shadow"))
        seal(home, "late")
        say(home, said("d", event_ms=[90 * HOUR], number=2, delay=9.0))
        log_prediction(home, "late", "c", 1, 3 * HOUR, {"delay": [None], "carrier": ["AA"]}, {"probability": [0.5]})
        log_labels(home, "late", {"b.1": 1.0})
        yield home


def ids(home: Home, *where: str, labelled: bool = False, newest: bool = False, limit: int = 0, **asked: Any) -> list:
    conditions = [read_condition(one) for one in where]
    rows = query_rows(home, Asked("late", **asked), conditions, labelled=labelled, newest=newest, limit=limit)
    return [row.id for row in rows]


def test_rows_come_in_the_order_of_their_events_or_the_newest_first(late: Home):
    assert ids(late) == ["a.0", "b.0", "b.1", "c.0", "d.0"]
    assert ids(late, newest=True) == ["d.0", "c.0", "b.1", "b.0", "a.0"]
    assert ids(late, limit=2) == ["a.0", "b.0"]
    assert ids(late, newest=True, limit=3) == ["d.0", "c.0", "b.1"]


def test_going_back_reads_no_further_than_it_must(late: Home, monkeypatch: pytest.MonkeyPatch):
    parts: list[Asked] = []

    def watched(home: Home, part: Asked) -> Iterator[Labelled]:
        parts.append(part)
        return each_request(home, part)

    monkeypatch.setattr("taut.serve.log.querying.each_request", watched)
    assert ids(late, newest=True, limit=1) == ["d.0"]
    (part,) = parts
    assert (part.from_event_ms, part.until_event_ms) == (90 * HOUR + 1 - paging.FIRST_STEP_MS, 90 * HOUR + 1)
    parts.clear()
    assert len(ids(late, newest=True)) == 5
    assert [one.from_event_ms for one in parts[:-1]] == [one.until_event_ms for one in parts[1:]]
    assert (parts[0].until_event_ms, parts[-1].from_event_ms) == (90 * HOUR + 1, HOUR)


@pytest.mark.parametrize("newest", [False, True])
def test_rows_are_found_by_range_and_version(late: Home, newest: bool):
    order = (lambda found: found[::-1]) if newest else (lambda found: found)
    assert ids(late, from_event_ms=2 * HOUR, until_event_ms=90 * HOUR, newest=newest) == order(["b.0", "b.1", "c.0"])
    assert ids(late, number=2, newest=newest) == ["d.0"]
    assert ids(late, number=2, model="other", newest=newest) == []
    assert ids(late, from_event_ms=5 * HOUR, until_event_ms=6 * HOUR, newest=newest) == []


SHADOWS = [("b", 2, 2), ("b", 3, 2), ("d", 1, 90)]


def shadowed(home: Home) -> None:
    """Answers of shadows to requests that are in the log already."""
    for name, number, hour in SHADOWS:
        say(home, said(name, event_ms=[hour * HOUR], number=number, role="shadow", counts=[1 + (name == "b")]))


@pytest.mark.parametrize("newest", [False, True])
def test_what_shadows_said_is_found_where_it_is_asked_for(late: Home, newest: bool):
    shadowed(late)
    order = (lambda found: found[::-1]) if newest else (lambda found: found)
    assert ids(late, newest=newest) == order(["a.0", "b.0", "b.1", "c.0", "d.0"])
    asked = Asked("late", from_event_ms=HOUR, roles=("shadow", "live"))
    rows = [(row.id, row.number, row.label) for row in query_rows(late, asked, newest=newest)]
    told: list[tuple[str, float | None]] = [("b.0", None), ("b.1", 1.0)]
    expected: list[tuple[str, int, float | None]] = [
        ("a.0", 1, None),
        ("c.0", 1, None),
        ("d.0", 1, None),
        ("d.0", 2, None),
    ]
    expected += [(row, number, label) for row, label in told for number in (1, 2, 3)]
    assert sorted(rows, key=str) == sorted(expected, key=str)
    assert ids(late, roles=("shadow",), number=3, newest=newest) == order(["b.0", "b.1"])


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_all_answers_to_a_request_are_on_one_page(late: Home, monkeypatch: pytest.MonkeyPatch, limit: int):
    shadowed(late)
    monkeypatch.setattr(paging, "PAGE", limit)
    asked = Asked("late", roles=("live", "shadow"))
    here = [(one.request.id, one.request.role, one.request.number) for one in each_request(late, asked)]
    assert len(here) == 8
    with embedded_server(late) as url, open_home(url) as remote:
        afar = [(one.request.id, one.request.role, one.request.number) for one in each_request(remote, asked)]
    assert afar == here


def test_rows_are_found_by_id(late: Home):
    assert ids(late, ids=("b.1",)) == ["b.1"]
    assert ids(late, ids=("d", "b")) == ["d.0", "b.0", "b.1"]
    assert ids(late, ids=("b", "b.1"), labelled=True) == ["b.1"]
    assert ids(late, ids=("d", "b"), newest=True) == ["b.1", "b.0", "d.0"]
    for unknown in ("b.2", "nobody", ""):
        with pytest.raises(NotFound, match="never answered"):
            ids(late, ids=("a", unknown))


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (["delay > 1"], ["b.1", "d.0"]),
        (["input.delay<=0.5"], ["a.0", "b.0"]),
        (["delay = null"], ["c.0"]),
        (["delay != null", "delay < 1"], ["a.0", "b.0"]),
        (["carrier = AA"], ["c.0"]),
        (['carrier != "AA"'], ["a.0", "b.0", "b.1", "d.0"]),
        (["carrier > 3"], []),
        (["output.probability >= 0.5"], ["c.0"]),
        (["probability = 0.25", "number = 2"], ["d.0"]),
        (["label = 1"], ["b.1"]),
        (["label = null", "id = b.0"], ["b.0"]),
        (["role = shadow"], []),
    ],
)
def test_rows_are_found_by_what_is_in_them(late: Home, where: list[str], found: list[str]):
    assert ids(late, *where) == found
    assert ids(late, *where, newest=True) == found[::-1]


def test_a_column_of_no_row_is_told_with_the_nearest(late: Home):
    with pytest.raises(Invalid, match=r"none of the predictions has a column 'deley'; did you mean 'delay'\?"):
        ids(late, "deley > 1")
    with pytest.raises(Invalid, match=r"a column 'output\.xyz'; there are carrier, delay, probability"):
        ids(late, "output.xyz = 1")
    assert ids(late, "deley > 1", until_event_ms=0) == []  # Where nothing was answered, nobody knows.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a=1", Condition("a", "=", 1)),
        (" a b  <=  -1.5e3 ", Condition("a b", "<=", -1500.0)),
        ("a = 'x'", Condition("a", "=", "'x'")),
        ("a=", Condition("a", "=", "")),
        ('a = "3"', Condition("a", "=", "3")),
        ("a != true", Condition("a", "!=", True)),
        ("a>b=c", Condition("a", ">", "b=c")),
    ],
)
def test_a_condition_is_read(written: str, meant: Condition):
    assert read_condition(written) == meant


@pytest.mark.parametrize("written", ["", "a", "= 3", "a ~ 3", "a = [1]", "a = {}"])
def test_what_is_no_condition_is_told(written: str):
    with pytest.raises(Invalid):
        read_condition(written)


def test_rows_have_all_that_is_known_of_them(late: Home):
    (row,) = query_rows(late, Asked("late", ids=("b.1",)))
    assert (row.inputs, row.outputs, row.label) == ({"delay": 1.5, "carrier": "UA"}, {"probability": 0.25}, 1.0)
    assert (row.model, row.number, row.revision, row.role, row.latency_us) == ("late", 1, 1, "live", 120)
    assert (row.event_ms, row.at_ms) == (2 * HOUR, 5_000)


def test_pages_follow_each_other_without_a_gap(late: Home):
    pages = page_predictions(late, "late", limit=1)
    while page := page_predictions(
        late, "late", after_event_ms=pages[-1].request.event_ms, after_id=pages[-1].request.id, limit=1
    ):
        pages += page
    assert [one.request.id for one in pages] == ["a", "b", "c", "d"]
    assert [one.labels for one in pages] == [[None], [None, 1.0], [None], [None]]


@pytest.mark.parametrize("size", [1, 2, 3, 500])
def test_it_is_the_same_from_afar(late: Home, monkeypatch: pytest.MonkeyPatch, size: int):
    monkeypatch.setattr(paging, "PAGE", size)
    with embedded_server(late) as url, open_home(url) as remote:
        for words in ({}, {"ids": ("b", "d.0")}, {"number": 1}, {"from_event_ms": 3 * HOUR}):
            for newest in (False, True):
                here = list(query_rows(late, Asked("late", **words), newest=newest))
                assert list(query_rows(remote, Asked("late", **words), newest=newest)) == here != []


def test_who_may_not_read_and_what_never_was(late: Home):
    viewer = late.as_actor(Actor("vera", "viewer"))
    for asked in (Asked("late"), Asked("late", ids=("a",))):
        with pytest.raises(Denied):
            list(each_request(viewer, asked))
    with pytest.raises(NotFound, match="did you mean 'late'"):
        list(each_request(late, Asked("lat")))
    for newest in (False, True):
        with pytest.raises(NotFound):
            list(query_rows(late, Asked("lat"), newest=newest))
