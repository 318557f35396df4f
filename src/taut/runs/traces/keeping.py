"""Traces that are there: tagged, linked to runs and prompts, deleted."""

from taut.errors import Invalid, NotFound
from taut.ground.meta import Tx, Value
from taut.home import Home, require, verb
from taut.runs.names import TAG_VALUE_MAX, check_key
from taut.runs.rights import of_experiment, of_run, of_trace
from taut.runs.traces.reading import IDS_MAX, no_trace, read_trace
from taut.runs.traces.records import NAME_TAG, Trace, trace_root
from taut.runs.traces.writing import COMPUTED_TAGS, TRACE_ID, write_tags
from taut.runs.tracking import get_run

LINKS_MAX = 100  # As MLflow's own server has it.

LOCK = "UPDATE trace SET has_spans = has_spans WHERE id = :id"
RENAME = "UPDATE trace SET name = :name WHERE id = :id"
DELETE_TAG = "DELETE FROM trace_tag WHERE trace_id = :id AND key = :key"
INSERT_LINK = """
INSERT INTO trace_link (trace_id, kind, target) VALUES (:trace_id, :kind, :target)
ON CONFLICT (trace_id, kind, target) DO NOTHING
"""
SELECT_OLD = """
SELECT id FROM trace WHERE experiment_id = :experiment_id AND at_ms <= :until_ms ORDER BY at_ms, id LIMIT :limit
"""
SELECT_NAMED = "SELECT id FROM trace WHERE experiment_id = :experiment_id AND id IN"
# The trace first: its row is what others lock before they write below it.
LOCK_SOME = "UPDATE trace SET has_spans = has_spans WHERE id IN"
DELETES = (
    "DELETE FROM trace_span WHERE trace_id IN",
    "DELETE FROM trace_tag WHERE trace_id IN",
    "DELETE FROM trace_metadata WHERE trace_id IN",
    "DELETE FROM trace_link WHERE trace_id IN",
    "DELETE FROM trace_assessment WHERE trace_id IN",
    "DELETE FROM trace WHERE id IN",
)
DELETE_FILES = ("DELETE FROM artifact WHERE root IN", "DELETE FROM artifact_folder WHERE root IN")
CHUNK = 500


def _of_run_said(home: Home, trace_ids: list[str], run_id: str) -> str:
    return of_run(home, run_id)


@verb("trace.tag", needs="run:write", on=of_trace)
def tag_trace(home: Home, trace_id: str, key: str, value: str | None) -> Trace:
    """Set a tag; None takes it away. Raises NotFound, also for a tag that is not there; Invalid for a bad key."""
    if key in COMPUTED_TAGS:
        raise Invalid(f"the tag {key!r} of a trace is not set by hand")
    if value is not None:
        check_key(key, of="tag")
    with home.meta.transaction() as tx:
        if not tx.execute(LOCK, {"id": trace_id}):
            raise no_trace(trace_id)
        if key == NAME_TAG:
            if value is None and not read_trace(tx, trace_id).name:
                raise _no_tag(trace_id, key)
            tx.execute(RENAME, {"id": trace_id, "name": (value or "")[:TAG_VALUE_MAX]})
        elif value is not None:
            write_tags(tx, trace_id, {key: value})
        elif not tx.execute(DELETE_TAG, {"id": trace_id, "key": key}):
            raise _no_tag(trace_id, key)
        home.append(tx, "trace.tagged", subject=f"trace:{trace_id}", body={"key": key})
        return read_trace(tx, trace_id)


@verb("trace.link", needs="run:write", on=_of_run_said)
def link_traces(home: Home, trace_ids: list[str], run_id: str) -> None:
    """Say that traces belong to a run, also before they have come; twice is once. Raises NotFound for the run."""
    if len(trace_ids) > LINKS_MAX:
        raise Invalid(f"at most {LINKS_MAX} traces are linked to a run at once, not {len(trace_ids)}")
    for trace_id in trace_ids:
        if not TRACE_ID.fullmatch(trace_id):
            raise Invalid(f"{trace_id[:80]!r} cannot be the id of a trace")
    get_run(home, run_id)
    for resource in {of_trace(home, one) for one in trace_ids} if home.actor.is_bound else ():
        require(home, "run:write", verb="trace.link", resource=resource)
    with home.meta.transaction() as tx:
        _link(tx, [(one, run_id) for one in trace_ids], "run")
        home.append(tx, "trace.linked", subject=f"run:{run_id}", body={"traces": len(trace_ids)})


@verb("trace.prompt", needs="run:write", on=of_trace)
def link_prompts(home: Home, trace_id: str, prompts: list[str]) -> None:
    """Say which prompts, as NAME/VERSION, a trace used; twice is once. Raises NotFound."""
    for prompt in prompts:
        if not 1 <= len(prompt) <= 1000:
            raise Invalid(f"{prompt[:80]!r} names no version of a prompt")
    with home.meta.transaction() as tx:
        if not tx.execute(LOCK, {"id": trace_id}):
            raise no_trace(trace_id)
        _link(tx, [(trace_id, one) for one in prompts], "prompt")
        home.append(tx, "trace.linked", subject=f"trace:{trace_id}", body={"prompts": len(prompts)})


@verb("trace.delete", needs="run:delete", on=of_experiment)
def delete_traces(
    home: Home,
    experiment_id: str,
    *,
    trace_ids: list[str] | None = None,
    until_ms: int | None = None,
    limit: int | None = None,
) -> int:
    """Delete traces of an experiment for good, spans and assessments with them; returns how many there were.

    Either those named, or those that began no later than `until_ms`, the oldest `limit` of them. Bytes of their
    attachments stay until they are collected. Raises Invalid where neither or both are said.
    """
    if (until_ms is None) == (not trace_ids):
        raise Invalid("say either which traces to delete or until when they began, not both")
    if until_ms is not None and abs(until_ms) >= 2**63:
        raise Invalid(f"{until_ms} is no time in milliseconds")
    if limit is not None and (trace_ids or limit < 1):
        raise Invalid("a limit is a positive number and goes with the time until when traces are deleted")
    if trace_ids and len(trace_ids) > IDS_MAX:
        raise Invalid(f"at most {IDS_MAX} traces are named at once, not {len(trace_ids)}")
    with home.meta.transaction() as tx:
        found = _chosen(tx, experiment_id, trace_ids, until_ms, limit)
        for start in range(0, len(found), CHUNK):
            forget_traces(tx, experiment_id, found[start : start + CHUNK])
        if found:
            body = {"traces": len(found), "until_ms": until_ms}
            home.append(tx, "trace.deleted", subject=f"experiment:{experiment_id}", body=body)
    return len(found)


def _chosen(
    tx: Tx, experiment_id: str, trace_ids: list[str] | None, until_ms: int | None, limit: int | None
) -> list[str]:
    if trace_ids:
        names, values = "[:ids]", {"ids": list(trace_ids)}
        rows = tx.rows(f"{SELECT_NAMED} {names} ORDER BY id", {"experiment_id": experiment_id, **values})
    else:
        said: dict[str, Value] = {"experiment_id": experiment_id, "until_ms": until_ms, "limit": limit or 2**31 - 1}
        rows = tx.rows(SELECT_OLD, said)
    return [str(row[0]) for row in rows]


def forget_traces(tx: Tx, experiment_id: str, trace_ids: list[str]) -> None:
    """Take out all rows of traces, in the caller's transaction; who may ask for it is the caller's to know."""
    names, values = "[:ids]", {"ids": list(trace_ids)}
    tx.execute(f"{LOCK_SOME} {names}", values)
    for sql in DELETES:
        tx.execute(f"{sql} {names}", values)
    names, values = "[:ids]", {"ids": [trace_root(experiment_id, one) for one in trace_ids]}
    for sql in DELETE_FILES:
        tx.execute(f"{sql} {names}", values)


def _link(tx: Tx, links: list[tuple[str, str]], kind: str) -> None:
    tx.executemany(INSERT_LINK, [{"trace_id": one, "kind": kind, "target": target} for one, target in sorted(links)])


def _no_tag(trace_id: str, key: str) -> NotFound:
    return NotFound(f"trace {trace_id} has no tag {key[:80]!r}")
