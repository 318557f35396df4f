"""What changed upstream since an alert's onset: who answered, and what the versions that did were made of."""

from collections.abc import Iterator
from dataclasses import dataclass

from taut.ground import wire
from taut.ground.clock import iso
from taut.ground.ledger import upstream
from taut.ground.meta import Tx
from taut.records import Capture
from taut.serve import PredictionReader

SELECT_VERSION = "SELECT run_id, created_ms FROM model_version WHERE name = :model AND number = :number"
SELECT_CAPTURE = "SELECT capture FROM run WHERE id = :id"
SELECT_REVISION = "SELECT cause, at_ms FROM deployment WHERE name = :name AND revision = :revision"
SELECT_NEWER = """
SELECT number, at_ms FROM dataset_version WHERE name = :name AND number > :number ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class Made:
    """What a model version was made of: its run, the commit of its code, the data that its run read."""

    version: str
    run: str
    commit: str
    environment: str
    data: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """One thing that is another than before the onset; empty `before` for what was not there. `text` says it whole."""

    what: str
    before: str
    now: str
    text: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """The versions that answered before the onset and since, and what is other by now; none where nothing is."""

    before: Made | None
    since: tuple[Made, ...]
    changes: tuple[Changed, ...]


def upstream_since(log: PredictionReader, from_ms: int, until_ms: int, held: str) -> Upstream:
    """What changed between the events before `from_ms` and those from there on, up to `until_ms`.

    `held` is the version that the reference is about (`late@1`): it stands for those before where nobody had answered.
    A newer version of the data that the model learned from counts as a change, whenever it was added: rows that are
    served may come from there.
    """
    earlier = [one for one in log.versions(until_ms=from_ms) if one.role == "live"]
    later = [one for one in log.versions(from_ms, until_ms) if one.role == "live"]
    tx, known = log.tx, {one.revision for one in earlier}
    was = f"{earlier[-1].model}@{earlier[-1].number}" if earlier else held
    changes = [
        _revision(tx, log.deployment, one.revision, f"{one.model}@{one.number}", one.first_event_ms)
        for one in later
        if one.revision not in known and (earlier or one.revision > 1)
    ]
    versions = list(dict.fromkeys(f"{one.model}@{one.number}" for one in later)) or [was]
    before, since = _made(tx, was), tuple(_made(tx, version) for version in versions)
    for made in since:
        if made.version != before.version:
            changes += _differences(before, made)
    changes += _newer_data(tx, since[-1])
    return Upstream(before, since, tuple(changes))


def _revision(tx: Tx, name: str, revision: int, version: str, first_ms: int) -> Changed:
    found = tx.row(SELECT_REVISION, {"name": name, "revision": revision})
    cause = f", cause {found[0]}" if found is not None else ""
    text = f"deployment {name} revision {revision} ({version}) answered first {iso(first_ms)[:19]}{cause}"
    return Changed("deployment", "", f"deployment:{name}@{revision}", text)


def _differences(before: Made, now: Made) -> Iterator[Changed]:
    yield Changed("model version", before.version, now.version, f"model version {before.version} -> {now.version}")
    for what, old, new in (
        ("code commit", before.commit, now.commit),
        ("environment", before.environment, now.environment),
        ("data", ", ".join(before.data), ", ".join(now.data)),
    ):
        if old != new:
            told = f"{what} of the version: {_short(old)} -> {_short(new)}"
            yield Changed(what, old, new, told)


def _newer_data(tx: Tx, now: Made) -> Iterator[Changed]:
    for point in now.data:
        name, _, number = point.removeprefix("data:").rpartition("@")
        for newer, at_ms in tx.rows(SELECT_NEWER, {"name": name, "number": int(number)}):
            added = f"data:{name}@{newer}"
            text = f"{added} was added {iso(int(str(at_ms)))[:19]}; {now.version} learned from {point}"
            yield Changed("newer data", point, added, text)


def _made(tx: Tx, version: str) -> Made:
    model, _, number = version.rpartition("@")
    found = tx.row(SELECT_VERSION, {"model": model, "number": int(number)})
    run_id = "" if found is None else str(found[0])
    captured = tx.row(SELECT_CAPTURE, {"id": run_id}) if run_id else None
    capture = wire.decode(str(captured[0]), Capture, what=f"the capture of run {run_id}") if captured else Capture()
    point = f"run:{run_id}"
    arrows = upstream(tx, point) if run_id else []
    data = sorted(one.source for one in arrows if one.target == point and one.source.startswith("data:"))
    return Made(version, run_id, capture.git.commit if capture.git else "", capture.environment, tuple(data))


def _short(value: str) -> str:
    """Digests as people write them; what has a name stays."""
    return (value if ":" in value else value[:12]) or "not recorded"
