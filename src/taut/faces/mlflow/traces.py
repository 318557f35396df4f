"""Traces as MLflow asks for them: its third API, and what clients before 3.0 use of the second."""

import re
from typing import Any

import msgspec

from taut.errors import Invalid, NotFound
from taut.faces.mlflow.assessments import Sent as SentAssessment
from taut.faces.mlflow.assessments import assessment_of
from taut.faces.mlflow.shapes import Json, Pair, pairs_of
from taut.faces.mlflow.spans import detail_shape, old_trace_shape, trace_shape
from taut.ground.clock import moment_ms, new_id
from taut.home import Home
from taut.runs.traces import (
    State,
    Trace,
    delete_traces,
    end_trace,
    get_trace,
    link_prompts,
    link_traces,
    list_traces,
    page_of_traces,
    start_trace,
    tag_trace,
    trace_detail,
    trace_details,
)

STATES: dict[str, State] = {
    "OK": "OK", "ERROR": "ERROR", "IN_PROGRESS": "IN_PROGRESS", "STATE_UNSPECIFIED": "STATE_UNSPECIFIED",
    "TRACE_STATUS_UNSPECIFIED": "STATE_UNSPECIFIED", "UNSPECIFIED": "STATE_UNSPECIFIED",
}  # fmt: skip
DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s")


class Experiment(msgspec.Struct):
    """An experiment that holds traces."""

    experiment_id: str


class Location(msgspec.Struct):
    """Where a trace is; taut has them in experiments only."""

    mlflow_experiment: Experiment
    type: str = ""


class Info(msgspec.Struct):
    """A trace as it is sent, without its spans."""

    trace_id: str
    trace_location: Location
    request_time: str
    state: str = "STATE_UNSPECIFIED"
    execution_duration: str = ""
    client_request_id: str = ""
    request_preview: str = ""
    response_preview: str = ""
    trace_metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    assessments: list[SentAssessment] = []


class Sent(msgspec.Struct):
    """A trace as it is sent; spans come by themselves."""

    trace_info: Info


class Start(msgspec.Struct):
    """POST traces, in the third API."""

    trace: Sent


class ById(msgspec.Struct):
    """GET traces/{trace_id}, and traces/{trace_id}/info in the second API."""

    trace_id: str


class Get(msgspec.Struct):
    """GET traces/get."""

    trace_id: str
    allow_partial: bool = False


class ByIds(msgspec.Struct):
    """GET traces/batchGet, POST traces/batchGetInfos."""

    trace_ids: list[str] = []
    experiment_ids: list[str] | None = None


class Search(msgspec.Struct):
    """POST traces/search."""

    locations: list[Location] = []
    filter: str = ""
    max_results: int = 100
    order_by: list[str] = []
    page_token: str = ""


class Tag(msgspec.Struct):
    """PATCH and DELETE traces/{trace_id}/tags."""

    trace_id: str
    key: str
    value: str = ""


class Delete(msgspec.Struct):
    """POST traces/delete-traces."""

    experiment_id: str
    max_timestamp_millis: int | None = None
    max_traces: int | None = None
    request_ids: list[str] = []


class LinkRun(msgspec.Struct):
    """POST traces/link-to-run."""

    run_id: str
    trace_ids: list[str] = []


class Prompt(msgspec.Struct):
    """A version of a prompt."""

    name: str
    version: str


class LinkPrompts(msgspec.Struct):
    """POST traces/link-prompts."""

    trace_id: str
    prompt_versions: list[Prompt] = []


class OldStart(msgspec.Struct):
    """POST traces, in the second API."""

    timestamp_ms: int
    experiment_id: str = "0"
    request_metadata: list[Pair] = []
    tags: list[Pair] = []


class OldEnd(msgspec.Struct):
    """PATCH traces/{trace_id}, in the second API."""

    trace_id: str
    timestamp_ms: int
    status: str = "TRACE_STATUS_UNSPECIFIED"
    request_metadata: list[Pair] = []
    tags: list[Pair] = []


class OldSearch(msgspec.Struct):
    """GET traces, in the second API."""

    experiment_ids: list[str] = []
    filter: str = ""
    max_results: int = 100
    order_by: list[str] = []
    page_token: str = ""


def start(home: Home, asked: Start) -> Json:
    """Describe a trace: clients do so when it has ended."""
    info = asked.trace.trace_info
    trace = Trace(
        info.trace_id, info.trace_location.mlflow_experiment.experiment_id, moment_ms(info.request_time),
        _milliseconds(info.execution_duration) if info.execution_duration else None, _state(info.state),
        client_request_id=info.client_request_id, request_preview=info.request_preview,
        response_preview=info.response_preview, metadata=info.trace_metadata, tags=info.tags,
        assessments=tuple(assessment_of(info.trace_id, one) for one in info.assessments),
    )  # fmt: skip
    return {"trace": {"trace_info": trace_shape(start_trace(home, trace))}}


def get_info(home: Home, asked: ById) -> Json:
    """One without its spans."""
    return {"trace": {"trace_info": trace_shape(get_trace(home, asked.trace_id))}}


def get(home: Home, asked: Get) -> Json:
    """One with its spans; without `allow_partial`, only once all of them are there."""
    detail = trace_detail(home, asked.trace_id)
    if not asked.allow_partial and (detail.missing or not detail.spans):
        raise NotFound(
            f"trace {asked.trace_id} is not fully exported yet: {len(detail.spans)} of "
            f"{len(detail.spans) + detail.missing} spans are here; try again later"
        )
    return {"trace": detail_shape(detail)}


def get_all(home: Home, asked: ByIds) -> Json:
    """Some with their spans, as far as they are there."""
    found = trace_details(home, asked.trace_ids, experiment_ids=asked.experiment_ids)
    return {"traces": [detail_shape(detail) for detail in found]}


def get_all_infos(home: Home, asked: ByIds) -> Json:
    """Some without their spans."""
    found = list_traces(home, asked.trace_ids, experiment_ids=asked.experiment_ids)
    return {"trace_infos": [trace_shape(trace) for trace in found]}


def search(home: Home, asked: Search) -> Json:
    """A page of those that meet a filter."""
    experiment_ids = [one.mlflow_experiment.experiment_id for one in asked.locations]
    return _page(home, asked, experiment_ids, trace_shape)


def set_tag(home: Home, asked: Tag) -> Json:
    """Set a tag."""
    tag_trace(home, asked.trace_id, asked.key, asked.value)
    return {}


def delete_tag(home: Home, asked: Tag) -> Json:
    """Take a tag away."""
    tag_trace(home, asked.trace_id, asked.key, None)
    return {}


def delete(home: Home, asked: Delete) -> Json:
    """Delete traces for good."""
    deleted = delete_traces(
        home, asked.experiment_id, trace_ids=asked.request_ids, until_ms=asked.max_timestamp_millis,
        limit=asked.max_traces,
    )  # fmt: skip
    return {"traces_deleted": deleted}


def link_run(home: Home, asked: LinkRun) -> Json:
    """Say that traces belong to a run."""
    link_traces(home, asked.trace_ids, asked.run_id)
    return {}


def link_all_prompts(home: Home, asked: LinkPrompts) -> Json:
    """Say which prompts a trace used."""
    link_prompts(home, asked.trace_id, [f"{one.name}/{one.version}" for one in asked.prompt_versions])
    return {}


def old_start(home: Home, asked: OldStart) -> Json:
    """Begin a trace; its id is given here."""
    trace = Trace(
        f"tr-{new_id()}", asked.experiment_id, asked.timestamp_ms,
        metadata=pairs_of(asked.request_metadata, what="metadata"), tags=pairs_of(asked.tags, what="tag"),
    )  # fmt: skip
    return {"trace_info": old_trace_shape(start_trace(home, trace))}


def old_end(home: Home, asked: OldEnd) -> Json:
    """End a trace."""
    ended = end_trace(
        home, asked.trace_id, ended_ms=asked.timestamp_ms, state=_state(asked.status),
        metadata=pairs_of(asked.request_metadata, what="metadata"), tags=pairs_of(asked.tags, what="tag"),
    )  # fmt: skip
    return {"trace_info": old_trace_shape(ended)}


def old_info(home: Home, asked: ById) -> Json:
    """One without its spans."""
    return {"trace_info": old_trace_shape(get_trace(home, asked.trace_id))}


def old_search(home: Home, asked: OldSearch) -> Json:
    """A page of those that meet a filter."""
    return _page(home, asked, asked.experiment_ids, old_trace_shape)


def _page(home: Home, asked: Search | OldSearch, experiment_ids: list[str], shape: Any) -> Json:
    page = page_of_traces(
        home, experiment_ids, filter=asked.filter, order_by=asked.order_by, max_results=asked.max_results,
        page_token=asked.page_token,
    )  # fmt: skip
    answer: Json = {"traces": [shape(trace) for trace in page.traces]}
    return {**answer, "next_page_token": page.next_page} if page.next_page else answer


def _state(written: str) -> State:
    if written not in STATES:
        raise Invalid(f"the state of a trace is one of {', '.join(STATES)}, not {written[:40]!r}")
    return STATES[written]


def _milliseconds(written: str) -> int:
    """A duration of protocol buffers, as 1.5s, in whole milliseconds. Raises Invalid."""
    found = DURATION.fullmatch(written)
    if found is None:
        raise Invalid(f"{written[:40]!r} is no duration in seconds, as 1.5s")
    size = int(found[2]) * 1000 + int((found[3] or "0").ljust(3, "0")[:3])
    return -size if found[1] else size
