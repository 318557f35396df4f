"""What `fsck` says of the points of metrics: nothing of whole ones, whatever was logged; a sentence of each damage."""

import random

import pytest

from taut.govern import check_home
from taut.home import Home
from taut.runs import MetricPoint, create_run, known, log_batch, unsound_series
from taut.runs import series as stored
from taut.runs.points import pack
from tests.faces.shell import taut

RUN = "a" * 32


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few points, so that some hundreds fill several."""
    monkeypatch.setattr(stored, "TAIL", 8)
    monkeypatch.setattr(known, "TAIL", 8)
    monkeypatch.setattr(stored, "CHUNK", 16)


@pytest.fixture
def filled(home: Home) -> Home:
    """A run with a metric of 100 points in chunks and rows, another of one, and a third measured on two models."""
    create_run(home, run_id=RUN)
    steps = list(range(0, 200, 2))
    for step in steps:
        log_batch(home, RUN, metrics=[MetricPoint("loss", step / 7, step, step)])
    log_batch(home, RUN, metrics=[MetricPoint("loss", 0.25, 51, 51), MetricPoint("once", None)])
    for model in ("", "m-1"):
        log_batch(home, RUN, metrics=[MetricPoint("acc", 0.5, 1, 1, model_id=model)])
    return home


def said(home: Home, *, deep: bool = True) -> list[str]:
    with home.meta.read() as tx:
        return [f"{whom}: {what}" for whom, what in unsound_series(tx, deep=deep)]


def test_whole_points_are_silent_and_both_rows_and_chunks_are_there(filled: Home):
    assert said(filled) == said(filled, deep=False) == []
    with filled.meta.read() as tx:
        for table in ("point", "chunk"):
            count = tx.row(f"SELECT COUNT(*) FROM {table}")
            assert count and int(str(count[0])) > 2


@pytest.mark.parametrize("seed", range(4))
def test_points_that_come_late_again_and_at_random_leave_a_sound_store(home: Home, seed: int):
    chance = random.Random(seed)
    create_run(home, run_id=RUN)
    for _ in range(60):
        points = [
            MetricPoint(
                chance.choice("ab"), chance.choice([None, 0.5, 1.0]), chance.randrange(40), chance.randrange(3),
                chance.choice(["", "m-1"]),
            )
            for _ in range(chance.choice([1, 2, 9, 30]))
        ]  # fmt: skip
        log_batch(home, RUN, metrics=points)
        assert said(home) == []


LOSS = f"SELECT id FROM series WHERE key = 'loss' AND run_id = '{RUN}'"
FIRST_CHUNK = f"(SELECT MIN(first_step) FROM chunk WHERE series = ({LOSS}))"
POINT = "series, step, at_ms, value"
DAMAGES = [
    (f"DELETE FROM point WHERE series = ({LOSS}) AND step = 198", "of its points are rows"),
    (f"DELETE FROM chunk WHERE series = ({LOSS}) AND first_step = {FIRST_CHUNK}", "it says that it has 101 points"),
    (f"UPDATE series SET points = points + 1 WHERE id = ({LOSS})", "it says that it has 102 points, it has 101"),
    (f"UPDATE series SET tail = tail + 1 WHERE id = ({LOSS})", "of its points are rows"),
    (f"UPDATE series SET sealed_step = NULL, sealed_ms = NULL WHERE id = ({LOSS})", "it says up to step None"),
    (
        f"INSERT INTO point ({POINT}, nth) SELECT {POINT}, 1 FROM point WHERE series = ({LOSS})",
        "more than once",
    ),
    ("INSERT INTO point (series, step, at_ms, value) VALUES (99, 1, 1, 0.5)", "1 points belong to no metric"),
    ("UPDATE series SET newest = 1 WHERE key = 'acc'", "2 of its series are said to hold the latest"),
    ("UPDATE series SET stood = 99.5, newest = 1 WHERE key = 'once'", "searches find it at 99.5, its latest value is"),
    (f"UPDATE series SET stood = NULL, newest = 1 WHERE id = ({LOSS})", "searches find it at None, its latest value"),
    ("UPDATE series SET newest = 0 WHERE key = 'once'", "0 of its series are said to hold the latest"),
    ("DELETE FROM moving_run", "its metrics move and searches do not know it"),
]
DEEP = [
    (f"UPDATE chunk SET body = summary WHERE first_step = {FIRST_CHUNK}", "does not hold what its row says"),
    (f"UPDATE chunk SET last_step = last_step + 1 WHERE first_step = {FIRST_CHUNK}", "does not hold what its row says"),
    (f"UPDATE series SET sealed_step = sealed_step - 1 WHERE id = ({LOSS})", "its chunks end at step"),
    (f"UPDATE series SET value = 0.125 WHERE id = ({LOSS})", "its latest point is (198, 198,"),
]


@pytest.mark.parametrize(("tampering", "sentence"), [*DAMAGES, *DEEP])
def test_each_damage_is_told(filled: Home, tampering: str, sentence: str):
    with filled.meta.transaction() as tx:
        tx.execute(tampering)
    assert any(sentence in line for line in said(filled)), said(filled)
    is_deep = (tampering, sentence) in DEEP
    assert bool(said(filled, deep=False)) is not is_deep


def replace_first_chunk(home: Home, body: bytes) -> None:
    with home.meta.transaction() as tx:
        tx.execute(f"UPDATE chunk SET body = :body WHERE first_step = {FIRST_CHUNK}", {"body": body})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "cannot be read"),
        (b"\1\0\0\0nonsense", "a chunk of a metric"),
        (pack([(2, 0, 1.0), (0, 0, 1.0)]), "out of order"),
        (pack([(0, 0, 1.0), (0, 0, 1.0)]), "holds a point twice"),
        (pack([(0, 0, 0.0), (150, 150, 1.0)]), "overlaps the one before it"),
        (pack([(0, 0, 0.0), (198, 198, 198 / 7)]), "are both rows and in the chunk"),
    ],
)
def test_a_chunk_with_other_points_is_told_and_the_rest_is_read_all_the_same(filled: Home, body: bytes, sentence: str):
    replace_first_chunk(filled, body)
    assert any(sentence in line for line in said(filled)), said(filled)
    assert said(filled, deep=False) == []


def test_the_command_ends_with_corrupt_and_names_the_metric(filled: Home):
    replace_first_chunk(filled, b"")
    problems = check_home(filled).problems
    assert {(problem.kind, problem.subject) for problem in problems} == {("damaged", f"run:{RUN} (metric loss)")}
    told = taut(filled.project, "fsck")
    assert told.status == 14
    assert f"damaged: run:{RUN} (metric loss): the chunk at step 0" in told.out
    assert taut(filled.project, "fsck", "--quick").status == 0
