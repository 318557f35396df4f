"""`why`: from one prediction back to the bytes its model learned from, and on to everything the same bytes reached."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from taut.errors import NotFound
from taut.ground import wire
from taut.ground.access import ANY
from taut.ground.clock import iso
from taut.ground.ledger import downstream, upstream
from taut.ground.meta import Row, Tx
from taut.home import Home, sight, verb
from taut.records import Capture, GateCheck, Prediction
from taut.serve import PredictionReader, Span, open_logs
from taut.serve.batch.jobs import sees_job
from taut.serve.log.batch_ids import prediction_id as id_of

REACHED_SHOWN = 5  # Enough to go and look at; the count says the rest.

SELECT_LABEL = "SELECT value, at_ms FROM label WHERE deployment = :deployment AND id = :id AND row_index = :row"
SELECT_DEPLOYMENT = "SELECT target, cause, at_ms, actor FROM deployment WHERE name = :name AND revision = :revision"
SELECT_BATCH = """
SELECT id, model, number, output, source, actor, row_count, status, started_ms, deployment FROM batch_job WHERE id = :id
"""
SELECT_VERSION = "SELECT run_id, digest, created_ms, actor FROM model_version WHERE name = :model AND number = :number"
SELECT_GATE = """
SELECT id, passed, checks, champion, at_ms FROM gate_result
WHERE model = :model AND number = :number ORDER BY at_ms DESC LIMIT 1
"""
SELECT_RUN = "SELECT name, status, cause, capture, started_ms, actor FROM run WHERE id = :id"
SELECT_DATASET = (
    "SELECT tree, files, size_bytes, row_count FROM dataset_version WHERE name = :name AND number = :number"
)
SELECT_ALERT = "SELECT deployment, detector, feature, window_start_ms FROM alert WHERE id = :id"


@dataclass(frozen=True, slots=True)
class Link:
    """One point of the chain: what it is, and what is known of it, each fact a sentence fragment."""

    point: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reached:
    """Predictions of one model version on one deployment that the same data led to."""

    model: str
    deployment: str
    requests: int
    rows: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Trace:
    """The chain from a prediction back to the bytes, and all they reached; `examples` are other predictions."""

    prediction: str
    chain: tuple[Link, ...]
    reached: tuple[Reached, ...]
    rows_reached: int
    examples: tuple[str, ...]


@verb("prediction.why", needs="prediction:explain", on=ANY)
def trace_prediction(home: Home, prediction_id: str) -> Trace:
    """Trace `ID.ROW` (or `ID`, its first row) back to the data, and from that data on to every prediction it reached.

    A prediction of a batch is `JOB.PART.ROW`; those of batches are among the others where they were logged.
    Raises NotFound where no such prediction was ever answered, or by a deployment that the actor may not see alone:
    what that answered is not among the others either.
    """
    seen = sight(home, "deployment", "prediction:explain")
    with open_logs(home) as opened:
        tx = opened.tx
        known = opened.find(prediction_id)
        if known is not None and not seen.sees(known[0].deployment):
            known = None
        if known is not None and known[0].role == "batch":
            prediction_id = known[0].id  # Also where it was asked for as row 0 of itself.
        job = _job_of(tx, prediction_id)
        if job is not None and not sees_job(home, str(job[9])):
            job = None
        if job is not None:
            request_id, model, number = prediction_id, str(job[1]), int(str(job[2]))
            first = list(_batch_links(job, prediction_id))
            if known is not None:
                logged = _prediction_link(tx, *known)
                first[0] = Link(
                    first[0].point, (*first[0].facts, *logged.facts, f"in the log of {known[0].deployment}")
                )
        else:
            if known is None:
                hint = "taut watch predictions DEPLOYMENT"
                raise NotFound(f"no prediction {prediction_id!r} was answered here", hint=hint)
            found, row = known
            request_id, model, number = found.id, found.model, found.number
            prediction_id = f"{found.id}.{row}"
            first = [_prediction_link(tx, found, row), _deployment_link(tx, found.deployment, found.revision)]
        chain = [*first, _model_link(tx, model, number), *_gate_links(tx, model, number)]
        data: set[str] = set()
        for point in _ancestors(tx, f"model:{model}@{number}"):
            chain.append(_link(tx, point))
            if point.startswith("data:"):
                data.add(point)
        versions = sorted(_versions_below(tx, data) | {(model, number)})
        logs = [log for log in opened.logs if seen.sees(log.deployment)]
        reached = tuple(one for version in versions for log in logs for one in _reached(log, *version))
        examples = tuple(example for version in versions for example in _examples(logs, *version, request_id))
    total = sum(one.rows for one in reached)
    others = total if known is None else total - 1
    return Trace(prediction_id, tuple(chain), reached, others, examples[:REACHED_SHOWN])


def _job_of(tx: Tx, prediction_id: str) -> Row | None:
    """The batch that made `JOB.PART.ROW`."""
    job, *place = prediction_id.split(".")
    return tx.row(SELECT_BATCH, {"id": job}) if len(place) == 2 and all(map(str.isdecimal, place)) else None


def _prediction_link(tx: Tx, found: Prediction, row: int) -> Link:
    asked = ", ".join(f"{name}={values[row]}" for name, values in found.inputs.items() if row < len(values))
    said = ", ".join(f"{name}={_short(values[row])}" for name, values in found.outputs.items())
    label = tx.row(SELECT_LABEL, {"deployment": found.deployment, "id": found.id, "row": row})
    facts = [f"said {said}", f"asked {asked}", f"about {iso(found.event_ms)}, answered {iso(found.at_ms)}"]
    facts.append("its label has not come" if label is None else f"its label came: {_short(label[0])}")
    return Link(f"prediction:{found.id}.{row}", tuple(facts))


def _batch_links(job: tuple[object, ...], prediction_id: str) -> Iterable[Link]:
    """A prediction in a file of a batch, and the job that wrote it."""
    output, source, actor, rows = str(job[3]), str(job[4]), str(job[5]), str(job[6])
    _, part, row = prediction_id.rsplit(".", 2)
    yield Link(f"prediction:{prediction_id}", (f"row {row} of part {part} of the output", f"written below {output}"))
    by = f", as deployment {job[9]} had it" if job[9] else ""
    facts = (f"{rows} rows of {source}, {str(job[7]).lower()}", f"begun {iso(int(str(job[8])))} by {actor}{by}")
    yield Link(f"batch:{job[0]}", facts)


def _deployment_link(tx: Tx, name: str, revision: int) -> Link:
    found = tx.row(SELECT_DEPLOYMENT, {"name": name, "revision": revision})
    facts = (
        ()
        if found is None
        else (f"target {found[0]}, since {iso(int(str(found[2])))} by {found[3]}, cause {found[1]}",)
    )
    return Link(f"deployment:{name}@{revision}", facts)


def _model_link(tx: Tx, model: str, number: int) -> Link:
    found = tx.row(SELECT_VERSION, {"model": model, "number": number})
    if found is None:
        return Link(f"model:{model}@{number}", ("the version was deleted",))
    facts = (f"digest sha256:{found[1]}", f"registered {iso(int(str(found[2])))} by {found[3]}")
    return Link(f"model:{model}@{number}", facts)


def _gate_links(tx: Tx, model: str, number: int) -> Iterable[Link]:
    found = tx.row(SELECT_GATE, {"model": model, "number": number})
    if found is None:
        return [Link("gate:none", ("this version passed no gate",))]
    checks = wire.decode(str(found[2]), tuple[GateCheck, ...])
    verdict = "passed" if found[1] else "refused"
    against = f", against champion {model}@{found[3]}" if found[3] is not None else ""
    facts = [f"{verdict} {iso(int(str(found[4])))}{against}"]
    facts += [f"{'yes' if check.passed else 'NO '} {check.name}: {check.text}" for check in checks]
    return [Link(f"gate:{found[0]}", tuple(facts))]


def _ancestors(tx: Tx, point: str) -> list[str]:
    """Points above in the lineage, nearest first: the run, what caused it, the data it read."""
    arrows = [arrow for arrow in upstream(tx, point) if not arrow.source.startswith(("gate:", "deployment:"))]
    order, frontier = list[str](), [point]
    while frontier:
        above = [arrow.source for arrow in arrows if arrow.target in frontier and arrow.source not in order]
        frontier = [source for source in dict.fromkeys(above) if not source.startswith("model:")]
        order += sorted(frontier, key=lambda source: (source.startswith("data:"), source))
    return order


def _link(tx: Tx, point: str) -> Link:
    kind, _, name = point.partition(":")
    describe = {"run": _run_facts, "data": _data_facts, "alert": _alert_facts}.get(kind)
    return Link(point, () if describe is None else tuple(describe(tx, name)))


def _run_facts(tx: Tx, run_id: str) -> Iterable[str]:
    found = tx.row(SELECT_RUN, {"id": run_id})
    if found is None:
        return
    capture = wire.decode(str(found[3]), Capture)
    yield f"{found[0]}, {str(found[1]).lower()}, started {iso(int(str(found[4])))} by {found[5]}, cause {found[2]}"
    if capture.command:
        yield f"command {' '.join(capture.command)}"
    if capture.git is not None:
        patch = f", with a patch sha256:{capture.git.patch}" if capture.git.patch else ", nothing uncommitted"
        yield f"commit {capture.git.commit or 'none yet'} on {capture.git.branch}{patch}"
    if capture.environment:
        yield f"environment sha256:{capture.environment} ({capture.python}, {capture.platform})"
    yield from (f"not recorded: {what}" for what in capture.missing)


def _data_facts(tx: Tx, name: str) -> Iterable[str]:
    dataset, _, number = name.partition("@")
    found = tx.row(SELECT_DATASET, {"name": dataset, "number": int(number)})
    if found is not None:
        rows = f", {found[3]} rows" if found[3] is not None else ""
        yield f"tree sha256:{found[0]}, {found[1]} files, {found[2]} bytes{rows}"


def _alert_facts(tx: Tx, alert_id: str) -> Iterable[str]:
    found = tx.row(SELECT_ALERT, {"id": alert_id})
    if found is not None:
        yield f"{found[1]} on {found[2]} of {found[0]}, window of {iso(int(str(found[3])))}"


def _versions_below(tx: Tx, data: Iterable[str]) -> set[tuple[str, int]]:
    """Model versions made by a run that read the data, itself: not those further round the loop."""
    versions: set[tuple[str, int]] = set()
    for point in data:
        arrows = downstream(tx, point)
        readers = {arrow.target for arrow in arrows if arrow.source == point and arrow.target.startswith("run:")}
        for arrow in arrows:
            if arrow.source in readers and arrow.target.startswith("model:"):
                name, _, number = arrow.target.removeprefix("model:").rpartition("@")
                versions.add((name, int(number)))
    return versions


def _reached(log: PredictionReader, model: str, number: int) -> Iterable[Reached]:
    """What a version answered on one deployment, whoever got to see it."""
    found = [one for one in log.versions() if (one.model, one.number) == (model, number)]
    if found:
        requests, rows = sum(one.requests for one in found), sum(one.rows for one in found)
        first, last = min(one.first_event_ms for one in found), max(one.last_event_ms for one in found)
        yield Reached(f"{model}@{number}", log.deployment, requests, rows, first, last)


def _examples(logs: Iterable[PredictionReader], model: str, number: int, but: str) -> list[str]:
    found: list[Prediction] = []
    for log in logs:
        others = (one for one in log.requests(Span(log.deployment, number=number, model=model)) if one.id != but)
        found += islice(others, REACHED_SHOWN)
    return [id_of(one, 0) for one in sorted(found, key=lambda one: (one.event_ms, one.id))[:REACHED_SHOWN]]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
