"""What a run and a logged model hold, as counts and digests that two stores can be compared by, kind by kind."""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from taut.ground import wire
from taut.home import Home, verb
from taut.runs.artifacts import Artifact, all_artifacts, model_root, run_root
from taut.runs.detail import RunDetail
from taut.runs.history import metric_history
from taut.runs.logged import LoggedModel, get_logged_model
from taut.runs.points import MetricPoint
from taut.runs.rights import of_logged_model, of_run
from taut.runs.tracking import run_detail

SUM_BYTES = 16
PACKED = struct.Struct("<qqd?")


@dataclass(frozen=True, slots=True)
class Count:
    """How many of a kind there are, and a digest of them all that does not depend on their order."""

    number: int = 0
    digest: str = ""


@verb("run.tally", needs="run:read", on=of_run)
def tally_run(home: Home, run_id: str) -> dict[str, Count]:
    """What a run holds, by kind: itself, params, tags, metric points, inputs, outputs, files. Raises NotFound."""
    detail = run_detail(home, run_id)
    return run_tally(detail, _points(home, detail), _stored(home, run_root(detail.run.experiment_id, run_id)))


@verb("logged.tally", needs="run:read", on=of_logged_model)
def tally_logged_model(home: Home, model_id: str) -> dict[str, Count]:
    """What a logged model holds, by kind: itself with params, tags and latest metrics, and files. Raises NotFound."""
    model = get_logged_model(home, model_id)
    return logged_tally(model, _stored(home, model_root(model.experiment_id, model_id)))


def run_tally(detail: RunDetail, points: Iterable[MetricPoint], files: Iterable[Artifact]) -> dict[str, Count]:
    """The tally of a run, wherever it was read. Points that are the same count once where they follow each other."""
    run = detail.run
    return {
        "runs": Count(1, wire.digest([run.name, run.status, run.actor, run.started_ms, run.ended_ms, run.lifecycle])),
        "params": count_pairs(run.params),
        "tags": count_pairs(run.tags),
        "metric points": count_points(points),
        "inputs": count_all(wire.encode(one) for one in (*detail.inputs, *detail.model_inputs)),
        "outputs": count_all(wire.encode(one) for one in detail.outputs),
        **file_tally(files),
    }


def logged_tally(model: LoggedModel, files: Iterable[Artifact]) -> dict[str, Count]:
    """The tally of a logged model, wherever it was read; the experiment is left out, for its id may differ."""
    metrics = sorted((one.key, one.step, one.at_ms, one.value) for one in model.metrics)
    head = wire.plain(replace(model, experiment_id="", metrics=(), measured_in=()))
    return {"logged models": Count(1, wire.digest([head, metrics])), **file_tally(files)}


def file_tally(files: Iterable[Artifact]) -> dict[str, Count]:
    """Files by path and content, and their bytes."""
    known = list(files)
    names = count_all(wire.encode([file.path, file.oid, file.size_bytes]) for file in known)
    return {"files": names, "bytes": Count(sum(file.size_bytes for file in known), names.digest)}


def count_pairs(pairs: Mapping[str, str]) -> Count:
    """Params or tags."""
    return count_all(wire.encode(pair) for pair in pairs.items())


def count_points(points: Iterable[MetricPoint]) -> Count:
    """Points of any number of metrics, without the models that they judge.

    >>> count_points([MetricPoint("a", 1.0), MetricPoint("a", 1.0, model_id="m-1")]).number
    1
    """
    return count_all(_distinct(points))


def count_all(things: Iterable[bytes]) -> Count:
    """Count things and add up their hashes: the sum is the same in every order, and a repeated one changes it.

    >>> count_all([b"a", b"b"]) == count_all([b"b", b"a"]) != count_all([b"a", b"b", b"b"])
    True
    """
    number = total = 0
    for thing in things:
        number += 1
        total += int.from_bytes(hashlib.blake2b(thing, digest_size=SUM_BYTES).digest(), "little")
    return Count(number, f"{total % (1 << 8 * SUM_BYTES):032x}" if number else "")


def add_up(tallies: Iterable[Mapping[str, Count]]) -> dict[str, Count]:
    """The sum of tallies, kind by kind.

    >>> add_up([{"runs": count_all([b"a"])}, {"runs": count_all([b"b"])}])["runs"] == count_all([b"b", b"a"])
    True
    """
    sums: dict[str, Count] = {}
    for tally in tallies:
        for kind, one in tally.items():
            so_far = sums.get(kind, Count())
            sums[kind] = Count(so_far.number + one.number, _sum_of(so_far.digest, one.digest))
    return sums


def _sum_of(one: str, other: str) -> str:
    if not one or not other:
        return one or other
    return f"{(int(one[:32], 16) + int(other[:32], 16)) % (1 << 8 * SUM_BYTES):032x}"


def _distinct(points: Iterable[MetricPoint]) -> Iterator[bytes]:
    last = b""
    for point in points:
        # SQLite keeps no negative zero; adding zero makes both the same.
        value = 0.0 if point.value is None else point.value + 0.0
        packed = PACKED.pack(point.step, point.at_ms, value, point.value is None) + point.key.encode()
        if packed != last:
            yield packed
        last = packed


def _stored(home: Home, root: str) -> list[Artifact]:
    """The files of a root whose bytes are there: a name alone is no file."""
    named = all_artifacts(home, root)
    missing = home.objects.missing({file.oid for file in named})
    return [file for file in named if file.oid not in missing]


def _points(home: Home, detail: RunDetail) -> Iterator[MetricPoint]:
    """Every point of a run, metric by metric, in order; a page at a time."""
    for latest in detail.metrics:
        token = ""
        while True:
            page = metric_history(home, detail.run.id, latest.key, page_token=token)
            yield from page.points
            token = page.next_page
            if not token:
                break
