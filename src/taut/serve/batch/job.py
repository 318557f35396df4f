"""`taut batch`: a model over files of any size; each row once in the output, however often the job was killed."""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from taut.deploy import find_deployment
from taut.errors import Conflict, Invalid, TautError, UsageError
from taut.ground import wire
from taut.ground.clock import new_id
from taut.ground.progress import progress
from taut.home import Home
from taut.models import ServedForm, find_model, served_form
from taut.records import ModelVersion
from taut.serve.batch.buckets import Found, without_options
from taut.serve.batch.done import done_before, record_name
from taut.serve.batch.gathering import gather_parts
from taut.serve.batch.jobs import finish_batch, start_batch
from taut.serve.batch.logged import LogTo, log_part, logged_parts, must_be_moments
from taut.serve.batch.on_ray import over_ray
from taut.serve.batch.parts import Setup, Written
from taut.serve.batch.places import Folder, Place, connect_place, find_files
from taut.serve.batch.plan import (
    DonePart,
    Input,
    Options,
    Part,
    Plan,
    must_be_same,
    parts_of,
    plan_bytes,
    read_plan,
)
from taut.serve.batch.pool import cores, over_workers
from taut.serve.batch.reading import schema_of, survey
from taut.serve.batch.scoring import columns_read, must_not_clash
from taut.serve.log.keeping import policy_for

PLAN, SUCCESS = "_taut/plan.json", "_SUCCESS"
SINGLE = (".parquet", ".csv")
LOGGED_ROWS_MAX = 1_000_000
SURVEYS = 8  # Files that are looked at at once: most of it is waiting, or hashing outside of Python.

Runner = Callable[[Setup, Sequence[Part]], Iterator[Written]]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a job came to. `parts_before` were there from an earlier run; `nulled` and `skipped` count rows.

    `said` is what was wrong with one of these rows, empty where there are none.
    """

    job: str
    model: str
    output: str
    rows: int
    scored: int
    nulled: int
    skipped: int
    parts: int
    parts_before: int
    said: str = ""


def run_batch(
    home: Home, model: str, source: str, output: str, *, options: Options | None = None, workers: int = 0,
    on: str = "",
) -> BatchResult:  # fmt: skip
    """Score every row of `source` by a version (`late@3`) or what a deployment serves, into a folder or one file.

    The same call again goes on where the last one stopped. `workers` processes, one for each core for 0; `on` is
    empty for this machine, or `ray`. Raises NotFound, Invalid naming file and row where wrong rows stop it, Conflict
    where the output is another job's or the input was changed, Unavailable where workers die of the same rows.
    """
    chosen = options or Options()
    chosen = replace(chosen, keep=tuple(dict.fromkeys(chosen.keep)))
    source = source if "://" in source else str(Path(source).absolute())
    if on not in ("", "ray"):
        raise UsageError(f"a batch runs here or on ray, not on {on!r}")
    _must_agree(chosen)
    version, deployment = _version_of(home, model)
    log = _log_of(home, chosen.log, version, deployment) if chosen.log else None
    form = served_form(home, version)
    single = None if output.startswith("s3://") or not output.endswith(SINGLE) else Path(output).absolute()
    work = output if single is None else str(single.with_name(f".{single.name}.taut"))
    place = connect_place(work)
    _must_lie_apart(source, work)
    with _alone(place):
        plan = _planned(home, place, _Wanted(version, deployment, form, source, chosen))
        return _run(home, Setup(plan, form, source, work, log), place, single, _runner(on, workers))


def _run(home: Home, setup: Setup, place: Place, single: Path | None, runner: Runner) -> BatchResult:
    plan = setup.plan
    start_batch(
        home, plan.job, model=plan.model, deployment=plan.deployment, source=without_options(plan.source),
        output=str(single or place.url), plan=sha256(plan_bytes(plan)).hexdigest(), files=len(plan.inputs),
        rows=plan.rows, digests=[one.digest.removeprefix("md5:") for one in plan.inputs if one.digest[:4] == "md5:"],
    )  # fmt: skip
    is_gathered = single is not None and place.read(SUCCESS) is not None and single.exists()
    done = done_before(place, plan, is_gathered=is_gathered)
    if setup.log is not None:  # A part that is not in the log is not done: again, so that both say the same.
        lacking = done.keys() - logged_parts(home, setup.log, plan.job, done)
        place.remove([record_name(number) for number in lacking])
        done = {number: one for number, one in done.items() if number not in lacking}
    before = len(done)
    try:
        rest = [part for part in parts_of(plan) if part.number not in done]
        with progress("scoring", total=plan.rows, unit=" rows") as bar:
            bar.advance(sum(one.rows for one in done.values()))
            by_number = {part.number: part for part in rest}
            for written in runner(setup, rest) if rest else ():
                one = written.done
                place.create(record_name(one.number), wire.encode(one))
                if setup.log is not None and written.log is not None:
                    log_part(home, setup.log, plan.job, by_number[one.number], written.log)
                done[one.number] = one
                bar.advance(one.rows)
        result = _result(plan, str(single or place.url), done, before)
        if single is not None and not is_gathered:
            gather_parts(Path(str(place.url)), [part.name for part in parts_of(plan)], single)
        ordered = [done[number] for number in sorted(done)]
        manifest = wire.encode({"result": result, "parts": ordered})
        if place.read(SUCCESS) is None:
            place.create(SUCCESS, manifest)
        if single is not None:
            place.remove(part.name for part in parts_of(plan))
    except TautError:
        finish_batch(home, plan.job, status="FAILED", scored=0, nulled=0, skipped=0, parts=len(done), manifest="")
        raise
    finish_batch(
        home, plan.job, status="FINISHED", scored=result.scored, nulled=result.nulled, skipped=result.skipped,
        parts=result.parts, manifest=sha256(wire.encode(ordered)).hexdigest(),
    )  # fmt: skip
    return result


@dataclass(frozen=True, slots=True)
class _Wanted:
    version: ModelVersion
    deployment: str
    form: ServedForm
    source: str
    options: Options


def _planned(home: Home, place: Place, wanted: _Wanted) -> Plan:
    """The plan that stands there already, else a new one, written before anything is done."""
    written = place.read(PLAN)
    before = None if written is None else read_plan(written, where=place.url)
    if before is None and (stranger := next((name for name in place.list() if not name.startswith("_taut/")), None)):
        raise Conflict(f"{place.url} is not empty: it holds {stranger}", hint="name another output")
    known = {} if before is None else {one.name: one for one in before.inputs}
    part_rows = wanted.options.part_rows
    with ThreadPoolExecutor(SURVEYS) as pool:
        found = find_files(wanted.source)
        inputs = tuple(pool.map(lambda one: _surveyed(wanted.source, one, part_rows, known.get(one.name)), found))
    now = Plan(
        new_id(), home.clock.now_ms(), f"{wanted.version.name}@{wanted.version.number}", wanted.version.digest,
        sha256(wanted.form.graph).hexdigest() if wanted.form.graph else "", wanted.deployment, wanted.options,
        without_options(wanted.source), inputs,
    )  # fmt: skip
    if before is not None:
        return must_be_same(before, now, where=place.url)
    _must_fit(wanted, inputs)
    if not place.create(PLAN, plan_bytes(now)):
        raise Conflict(f"somebody else begins a batch at {place.url} at this moment", hint="the same command again")
    return now


def _surveyed(source: str, found: Found, part_rows: int, known: Input | None) -> Input:
    return known if known is not None and known.mark == found.mark else survey(source, found, part_rows)


def _must_fit(wanted: _Wanted, inputs: Sequence[Input]) -> None:
    """Raise Invalid before anything is written where a file lacks a column, or has one of another type."""
    if not any(one.rows for one in inputs):
        raise Invalid(f"there are no rows to score in {without_options(wanted.source)}")
    model = wanted.form.load()
    must_not_clash(model, wanted.options)
    kept: dict[str, object] = {}
    for one in inputs:
        schema = schema_of(wanted.source, one)
        try:
            columns_read(model.signature, wanted.options, schema, is_text=one.format == "csv")
            if wanted.options.event_time:
                must_be_moments(schema, wanted.options.event_time)
        except Invalid as problem:
            raise Invalid(f"{one.name}: {problem.message}") from None
        for name in wanted.options.keep:
            kind = schema.field(name).type
            if kept.setdefault(name, kind) != kind:
                raise Invalid(f"{one.name}: column {name!r} is of type {kind}, in files before it of {kept[name]}")


def _result(plan: Plan, output: str, done: dict[int, DonePart], before: int) -> BatchResult:
    parts = [done[part.number] for part in parts_of(plan)]
    nulled, skipped = sum(one.nulled for one in parts), sum(one.skipped for one in parts)
    said = next((one.said for one in parts if one.said), "")
    return BatchResult(
        plan.job, plan.model, output, plan.rows, plan.rows - nulled - skipped, nulled, skipped, len(parts), before, said
    )


def _version_of(home: Home, model: str) -> tuple[ModelVersion, str]:
    """A version by its own name, or the one that a deployment serves, with the deployment's revision."""
    if "@" in model:
        return find_model(home, model), ""
    deployed = find_deployment(home, model)
    return find_model(home, f"{deployed.model}@{deployed.number}"), f"{model}@{deployed.revision}"


def _must_agree(options: Options) -> None:
    """Raise Invalid or UsageError for options that make no job."""
    if options.part_rows < 1:
        raise Invalid(f"a part has one row at least, not {options.part_rows}")
    if options.event_time and not options.log:
        raise UsageError("--event-time is for the log", hint="--log ENDPOINT")
    if options.log and options.id_column:
        raise UsageError(
            "what is logged has ids that the job makes: those of a column need not be another in each row",
            hint=f"--keep {options.id_column}",
        )
    if options.log and options.part_rows > LOGGED_ROWS_MAX:
        raise Invalid(f"a logged part has {LOGGED_ROWS_MAX} rows at most, for it is sorted in memory")


def _log_of(home: Home, endpoint: str, version: ModelVersion, chosen_by: str) -> LogTo:
    """Where the answers of a version are logged. Raises NotFound, Invalid for an endpoint of another model."""
    deployed = find_deployment(home, endpoint)
    if deployed.model != version.name:
        raise Invalid(f"endpoint {endpoint!r} answers by {deployed.model!r}; {version.name!r} is not for its log")
    name, _, revision = chosen_by.rpartition("@")
    return LogTo(endpoint, int(revision) if name == endpoint else 0, policy_for(home, endpoint))


def _must_lie_apart(source: str, output: str) -> None:
    """Raise Conflict where the output lies in the folder that is read: it would be read in the next run."""
    if source.startswith("s3://") != output.startswith("s3://"):
        return
    if source.startswith("s3://"):
        read, written = (f"{without_options(one).rstrip('/')}/" for one in (source, output))
        is_within = written.startswith(read)
    else:
        is_within = Path(source).absolute() in (Path(output).absolute(), *Path(output).absolute().parents)
    if is_within:
        raise Conflict(f"the output {without_options(output)} lies in the input", hint="name a place beside it")


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """One process works on a folder at a time; the lock of one that was killed is free. A bucket has none.

    There two who do the same plan write the same parts, and whoever comes with another plan is refused.
    """
    if not isinstance(place, Folder):
        yield
        return
    place.scratch()
    with (place.path / "_taut" / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another batch works at {place.url}", hint="wait until it ends") from None
        for left in place.scratch().iterdir():  # Of one that was killed.
            left.unlink(missing_ok=True)
        yield


def _runner(on: str, workers: int) -> Runner:
    if on == "ray":
        return over_ray
    return partial(over_workers, workers=workers or cores())
