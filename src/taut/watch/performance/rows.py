"""Answers of each version as arrays, from the prediction log with the labels that are known by now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from taut.ground.access import local_actor
from taut.home import Home
from taut.serve import Asked, Labelled, each_request
from taut.serve.log.said import EVERY_ROLE
from taut.serve.log.spans import END_OF_TIME_MS
from taut.watch.columns import Column, numeric_array
from taut.watch.performance.sequences import Floats

Cell = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which answers: their `score` is an output (else the one called `prediction`), `by` an input column beside it.

    Events from `from_ms` on and before `until_ms`.
    """

    deployment: str
    score: str = "probability"
    from_ms: int = -END_OF_TIME_MS
    until_ms: int = END_OF_TIME_MS
    by: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in the order of their events, all of shape (rows,): scores and labels are NaN where unknown."""

    event_ms: NDArray[np.int64]
    scores: Floats
    labels: Floats
    by: Column = ()

    def __len__(self) -> int:
        return len(self.scores)

    def between(self, from_ms: int, until_ms: int) -> Rows:
        """Those of events in a range, without their `by`."""
        begin, end = np.searchsorted(self.event_ms, [from_ms, until_ms]).tolist()
        return Rows(self.event_ms[begin:end], self.scores[begin:end], self.labels[begin:end])

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which have a score and a label."""
        return ~(np.isnan(self.scores) | np.isnan(self.labels))


@dataclass(frozen=True, slots=True)
class Pairs:
    """What two versions said: both to the same requests, and each to requests of its own."""

    both: tuple[Rows, Rows]
    alone: tuple[Rows, Rows]


@dataclass(slots=True)
class _Gathered:
    """Rows while they are read."""

    event_ms: list[int] = field(default_factory=list)
    scores: list[Cell] = field(default_factory=list)
    labels: list[float | None] = field(default_factory=list)
    by: list[Cell] = field(default_factory=list)

    def add(self, one: Labelled, wanted: Wanted) -> None:
        said = one.request
        self.event_ms.extend([said.event_ms] * said.rows)
        self.scores.extend(said.outputs.get(wanted.score) or said.outputs.get("prediction") or [None] * said.rows)
        self.labels.extend(one.labels)
        if wanted.by:
            self.by.extend(said.inputs.get(wanted.by) or [None] * said.rows)

    def rows(self) -> Rows:
        return Rows(
            np.asarray(self.event_ms, dtype=np.int64), numeric_array(self.scores), numeric_array(self.labels), self.by
        )


def rows_by_version(home: Home, wanted: Wanted) -> dict[tuple[str, int], Rows]:
    """What each version answered, by model and number, oldest first; a shadow's answers do not count.

    Raises NotFound for a deployment that never was.
    """
    found: dict[tuple[str, int], _Gathered] = {}
    for one in _answers(home, Asked(wanted.deployment, wanted.from_ms, wanted.until_ms)):
        found.setdefault((one.request.model, one.request.number), _Gathered()).add(one, wanted)
    return {version: gathered.rows() for version, gathered in found.items()}


def all_rows(home: Home, wanted: Wanted, version: tuple[str, int] | None = None) -> Rows:
    """The same of all versions together, or of one of them."""
    model, number = version or ("", 0)
    gathered = _Gathered()
    for one in _answers(home, Asked(wanted.deployment, wanted.from_ms, wanted.until_ms, number, model)):
        gathered.add(one, wanted)
    return gathered.rows()


def rows_of_two(home: Home, wanted: Wanted, one: tuple[str, int], other: tuple[str, int]) -> Pairs:
    """What two versions answered, whoever got it: as live, as canary, or as a shadow of the other."""
    both, alone = (_Gathered(), _Gathered()), (_Gathered(), _Gathered())
    asked = Asked(wanted.deployment, wanted.from_ms, wanted.until_ms, roles=tuple(EVERY_ROLE))
    for _, answers in groupby(_answers(home, asked), lambda said: (said.request.event_ms, said.request.id)):
        by_version = {(said.request.model, said.request.number): said for said in answers}
        said = [by_version.get(version) for version in (one, other)]
        into = alone if None in said else both
        for gathered, answer in zip(into, said, strict=True):
            if answer is not None:
                gathered.add(answer, wanted)
    return Pairs((both[0].rows(), both[1].rows()), (alone[0].rows(), alone[1].rows()))


def versions_named(versions: Sequence[tuple[str, int]]) -> str:
    """Versions as a sentence lists them.

    >>> versions_named([("late", 1), ("late", 2)])
    'late@1, late@2'
    """
    return ", ".join(f"{model}@{number}" for model, number in versions)


def _answers(home: Home, asked: Asked) -> Iterator[Labelled]:
    """Sums over rows are told to whoever may see a deployment; the rows themselves are not."""
    return each_request(home.as_actor(local_actor()), asked)
