"""Compile and verify: a version as a graph that answers as it does, or the reason why it answers itself.

A graph is used where both agree on a sample and at its edges; the verdict stands with the version. Recording one needs
the right to judge versions, for whoever does says what a version answers.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from taut.errors import Conflict, Invalid
from taut.ground import wire
from taut.ground.meta import Row
from taut.ground.objects import read_object
from taut.home import Home, verb
from taut.models.compiled.comparing import TOLERANCE, Compared, compare
from taut.models.compiled.convert import convert
from taut.models.compiled.graph import Unsupported
from taut.models.compiled.predictor import CompiledPredictor, load_compiled
from taut.models.compiled.probing import Columns, probes, sample_of
from taut.models.mlmodel import MLMODEL, parse_mlmodel
from taut.models.package import fetch_model
from taut.models.predictor import Predictor, in_process, load_model
from taut.models.registry import find_model
from taut.models.rights import of_model
from taut.models.rows import read_inputs
from taut.models.signature import UNSIGNED, Signature, parse_signature
from taut.models.versions import version_in
from taut.records import Compilation, ModelVersion

SAMPLE_ROWS = 2_000
MADE_UP_ROWS = 500
LIBRARIES = ("scikit-learn", "lightgbm", "xgboost", "numpy", "onnx", "onnxruntime")
SINGLE_TOLERANCE = 1e-6

COLUMNS = "model, number, digest, graph, reason, rows, gap, tolerance, versions, at_ms, actor"
SELECT = f"SELECT {COLUMNS} FROM compilation WHERE model = :model AND number = :number"  # noqa: S608
UPSERT = """
INSERT INTO compilation (model, number, digest, graph, reason, rows, gap, tolerance, versions, at_ms, actor)
VALUES (:model, :number, :digest, :graph, :reason, :rows, :gap, :tolerance, :versions, :at_ms, :actor)
ON CONFLICT (model, number) DO UPDATE SET digest = excluded.digest, graph = excluded.graph, reason = excluded.reason,
    rows = excluded.rows, gap = excluded.gap, tolerance = excluded.tolerance, versions = excluded.versions,
    at_ms = excluded.at_ms, actor = excluded.actor
"""


def compile_model(
    home: Home, reference: str, *, sample: Path | None = None, tolerance: float | None = None
) -> Compilation:
    """Write a version (`late@3`) as a graph, hold the two against each other, store the verdict.

    The rows of `sample` (CSV) are what both are asked, else the version's own input example, else made-up ones; and
    the edges of those. `tolerance` is 1e-9 where nothing is said, 1e-6 for a model that itself adds in float32.
    Raises NotFound, Invalid for a sample that does not fit, UsageError where a package is missing.
    """
    if tolerance is not None and not 0.0 <= tolerance < 1.0:
        raise Invalid(f"a tolerance is at least 0 and below 1, not {tolerance}")
    found = find_model(home, reference)
    folder = fetch_model(home, found)
    model = load_model(folder, found.digest)
    if model.no_graph:
        return _record(home, found, b"", Compared({}, 0.0, tolerance or TOLERANCE), model.no_graph)
    try:
        converted = convert(model.estimator, model.signature)
    except Unsupported as problem:
        return _record(home, found, b"", Compared({}, 0.0, tolerance or TOLERANCE), f"{problem} has no graph")
    allowed = tolerance if tolerance is not None else SINGLE_TOLERANCE if converted.single else TOLERANCE
    compiled = load_compiled(converted.graph, model.signature)
    compared = verify(model, compiled, _sample(folder, model.signature, compiled, sample), tolerance=allowed)
    return _record(home, found, converted.graph if compared.agree else b"", compared, compared.difference)


def verify(model: Predictor, compiled: CompiledPredictor, sample: Columns, *, tolerance: float) -> Compared:
    """Ask a model and its graph the sample and its edges."""
    texts = {name: list(known) for name, known in compiled.described.vocabularies.items()}
    return compare(
        model.predict, compiled.predict, probes(model.signature, sample, texts, model.predict), tolerance=tolerance
    )


@dataclass(frozen=True, slots=True)
class ServedForm:
    """What a version is served by, as it can be handed to another process: a graph, or the folder it was fetched to."""

    signature: Signature
    graph: bytes
    folder: str
    digest: str

    @property
    def in_process(self) -> bool:
        """Whether a server may answer by it itself: a graph, or a flavour that runs no foreign code.

        Raises Invalid and UsageError for a folder that holds no model which can be loaded.
        """
        return bool(self.graph) or in_process(Path(self.folder))

    def load(self, *, threads: int = 1) -> Predictor | CompiledPredictor:
        """Load it. Raises what `load_compiled` and `load_model` do."""
        if self.graph:
            return load_compiled(self.graph, self.signature, threads=threads)
        return load_model(Path(self.folder), self.digest)


def served_form(home: Home, found: ModelVersion) -> ServedForm:
    """What a version is served by: its graph where the verdict on these very bytes allows it, else the model itself."""
    verdict = served_graph(home, found)
    signature = parse_signature(found.signature) or UNSIGNED
    if verdict is None:
        return ServedForm(signature, b"", str(fetch_model(home, found)), found.digest)
    return ServedForm(signature, read_object(home.objects, verdict.graph), "", found.digest)


def load_served(home: Home, found: ModelVersion) -> Predictor | CompiledPredictor:
    """Load what a version is served by, see `served_form`."""
    return served_form(home, found).load()


def served_graph(home: Home, found: ModelVersion) -> Compilation | None:
    """The verdict that lets a version's graph answer in its place; None where the model answers itself."""
    verdict = find_compilation(home, found.name, found.number)
    usable = verdict is not None and verdict.is_used and verdict.digest == found.digest and bool(found.signature)
    return verdict if usable else None


@verb("model.compilation", needs="model:read", on=of_model)
def find_compilation(home: Home, name: str, number: int) -> Compilation | None:
    """The newest verdict on a version's graph; None where it was never compiled. Raises NotFound for no version."""
    with home.meta.read() as tx:
        version_in(tx, name, number)
        row = tx.row(SELECT, {"model": name, "number": number})
        return None if row is None else _compilation(row)


@verb("model.record_compilation", needs="model:gate", on=of_model)
def record_compilation(
    home: Home,
    name: str,
    number: int,
    *,
    digest: str,
    graph: str,
    reason: str,
    rows: dict[str, int],
    gap: float,
    tolerance: float,
    versions: dict[str, str],
) -> Compilation:
    """Store the verdict on a version's graph in the place of an earlier one; `graph` is a stored object or empty.

    Raises NotFound for no version, Conflict where its bytes are others, Invalid where the graph is not stored, or
    where there is neither a graph nor a reason.
    """
    if bool(graph) == bool(reason):
        raise Invalid("a verdict has a graph, or a reason why there is none")
    if graph and home.objects.claim([graph]):
        raise Invalid(f"the graph {graph[:12]} is not stored", hint=f"taut model compile {name}@{number}")
    with home.meta.transaction() as tx:
        found = version_in(tx, name, number)
        if found.digest != digest:
            raise Conflict(f"{found.point} has other bytes than those that were compiled", hint="compile it again")
        made = Compilation(
            name, number, digest, graph, reason, rows, gap, tolerance, versions, home.clock.now_ms(), home.actor.name
        )
        tx.execute(UPSERT, {**wire.plain(made), "rows": wire.text(rows), "versions": wire.text(versions)})
        body = {"graph": graph, "reason": reason, "digest": digest}
        home.append(tx, "model.compiled" if graph else "model.not_compiled", subject=found.point, body=body)
        return made


def _record(home: Home, found: ModelVersion, graph: bytes, compared: Compared, reason: str) -> Compilation:
    oid = home.objects.put(io.BytesIO(graph)) if graph else ""
    return record_compilation(
        home, found.name, found.number, digest=found.digest, graph=oid, reason=reason, rows=compared.rows,
        gap=compared.gap, tolerance=compared.tolerance, versions=_versions(),
    )  # fmt: skip


def _versions() -> dict[str, str]:
    """Which libraries took part; those that are not installed did not."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _sample(folder: Path, signature: Signature, compiled: CompiledPredictor, given: Path | None) -> Columns:
    if given is not None:
        rows = read_inputs(given, signature, rows=SAMPLE_ROWS)
        if not next(iter(rows.values()), []):
            raise Invalid(f"{given} holds no rows")
        return rows
    example = _example(folder, signature)
    texts = {name: list(known) for name, known in compiled.described.vocabularies.items()}
    made_up = sample_of(signature, texts, rows=MADE_UP_ROWS, seed=0)
    if example is None:
        return made_up
    return {name: [*example[name], *made_up[name]] for name in signature.names}


def _example(folder: Path, signature: Signature) -> Columns | None:
    """The input example that was saved with the model, where there is one that fits its signature."""
    info = parse_mlmodel((folder / MLMODEL).read_bytes()).example
    if not info:
        return None
    try:
        written = json.loads((folder / info).read_bytes())
    except (OSError, ValueError):
        return None  # It is an aid to others; made-up rows take its place.
    columns, data = written.get("columns"), written.get("data", written.get("inputs"))
    if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        return None
    names: Sequence[str] = columns if isinstance(columns, list) else signature.names
    if set(names) != set(signature.names) or any(len(row) != len(names) for row in data) or not data:
        return None
    return {name: [row[place] for row in data] for place, name in enumerate(names)}


def _compilation(row: Row) -> Compilation:
    model, number, digest, graph, reason, rows, gap, tolerance, versions, at_ms, actor = row
    return Compilation(
        str(model), int(str(number)), str(digest), str(graph), str(reason),
        wire.decode(str(rows), dict[str, int], what="the rows of a verdict"), float(str(gap)), float(str(tolerance)),
        wire.decode(str(versions), dict[str, str], what="the libraries of a verdict"), int(str(at_ms)), str(actor),
    )  # fmt: skip
