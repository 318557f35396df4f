"""An unchanged MLflow client traces to taut: over OTLP, or as a file; on SQLite and PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.govern import create_token
from taut.home import Home
from taut.runs.traces import trace_detail
from tests.faces.serving import served
from tests.peers.programs import PRELUDE, Client, Programs

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")

MORE = """
from mlflow.entities import Feedback, SpanType
def found(filter_string=None, **more):
    more = {"return_type": "list", "filter_string": filter_string, **more}
    return [trace.info.tags["mlflow.traceName"] for trace in mlflow.search_traces(**more)]
flush = mlflow.flush_trace_async_logging
"""
# An application with a model inside it, a failure, and a session.
APPLICATION = """
mlflow.set_experiment("shop")
@mlflow.trace(span_type=SpanType.LLM, attributes={"model": "m-1"})
def complete(prompt):
    return {"text": prompt.upper(), "ünï": "cödé ✈"}
@mlflow.trace
def chat(question, user):
    mlflow.update_current_trace(
        tags={"team": "red"}, client_request_id=f"c-{user}",
        metadata={"mlflow.trace.session": "s1", "mlflow.trace.user": user},
    )
    with mlflow.start_span("retrieve", span_type=SpanType.RETRIEVER) as span:
        span.set_inputs({"k": 3, "query": question})
        span.set_attributes({"score": 0.5, "deep": {"a": [1, None, 1.0]}})
        span.set_outputs([{"page": 1}])
    return complete(question)
@mlflow.trace
def broken():
    raise ValueError("no luck")
answers["answer"] = chat("what?", "ada")["text"]
try:
    broken()
except ValueError:
    pass
flush()
"""


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as address:
        yield address


@pytest.fixture(params=["otlp", pytest.param("file", marks=pytest.mark.slow)])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the client sends spans: over OTLP, or as a file where it takes the server for one before 3.4."""
    if request.param == "file":
        monkeypatch.setattr("taut.faces.http.app.SPEAKS", "3.0.0")
    return str(request.param)


@pytest.fixture
def client(programs: Programs, url: str, tmp_path: Path) -> Client:
    """Runs a program with the client in a process of its own; returns what it put into `answers`."""
    # The client sends spans behind the program's back, and only tells on stderr that it could not.
    return programs.client(url, tmp_path, prelude=PRELUDE + MORE, unsaid="Failed to")


def test_what_an_application_did_is_read_back_as_the_client_meant_it(client: Client, home: Home, way: str):
    said = client(
        APPLICATION
        + """
broken_trace, trace = mlflow.search_traces(return_type="list")
info = trace.info
answers["id"] = info.trace_id
answers["info"] = [info.state, info.request_preview, info.client_request_id, info.execution_duration >= 0]
answers["preview"] = json.loads(info.response_preview)
answers["session"] = [info.trace_metadata["mlflow.trace.session"], info.trace_metadata["mlflow.trace.user"]]
answers["tags"] = [info.tags["team"], info.tags["mlflow.traceName"]]
spans = {span.name: span for span in mlflow.get_trace(info.trace_id).data.spans}
answers["names"] = sorted(spans)
answers["parents"] = [spans["chat"].parent_id, spans["complete"].parent_id == spans["chat"].span_id]
answers["retrieve"] = [
    spans["retrieve"].inputs, spans["retrieve"].outputs, spans["retrieve"].get_attribute("deep"),
    spans["retrieve"].get_attribute("score"), spans["retrieve"].span_type,
]
answers["complete"] = [spans["complete"].outputs, spans["complete"].get_attribute("model")]
answers["order"] = trace.data.spans[0].name
span = broken_trace.data.spans[0]
answers["broken"] = [broken_trace.info.state, span.status.status_code, span.status.description]
answers["event"] = [span.events[0].name, span.events[0].attributes["exception.message"]]
"""
    )
    assert said["info"] == ["OK", '{"question": "what?", "user": "ada"}', "c-ada", True]
    assert said["preview"] == said["complete"][0] == {"text": "WHAT?", "ünï": "cödé ✈"}
    assert (said["session"], said["tags"]) == (["s1", "ada"], ["red", "chat"])
    assert (said["names"], said["parents"]) == (["chat", "complete", "retrieve"], [None, True])
    assert said["retrieve"] == [
        {"k": 3, "query": "what?"}, [{"page": 1}], {"a": [1, None, 1.0]}, 0.5, "RETRIEVER"
    ]  # fmt: skip
    assert (said["complete"][1], said["order"]) == ("m-1", "chat")
    assert said["broken"] == ["ERROR", "ERROR", "ValueError: no luck"]
    assert said["event"] == ["exception", "no luck"]
    detail = trace_detail(home, said["id"])
    assert (len(detail.spans), detail.missing, detail.trace.has_spans) == (3, 0, True)


def test_traces_are_found_by_everything_that_the_client_documents(client: Client, way: str):
    said = client(
        APPLICATION
        + """
newest = mlflow.search_traces(return_type="list")
id = newest[1].info.trace_id
mlflow.log_feedback(trace_id=id, name="quality", value=0.9)
mlflow.log_expectation(trace_id=id, name="fact", value="Paris")
for filter_string in [
    "trace.status = 'ERROR'", "attributes.status = 'OK'", "name = 'chat'", "trace.name LIKE 'ch%'", "tags.team = 'red'",
    "metadata.`mlflow.trace.session` = 's1'", "request_metadata.`mlflow.trace.user` = 'ada'",
    f"timestamp_ms > {newest[1].info.request_time - 1}", "execution_time_ms >= 0", "span.name = 'retrieve'",
    "span.type = 'LLM'", "span.status = 'ERROR'", "span.attributes.model LIKE '%m-1%'", "trace.text LIKE '%cödé%'",
    "span.content ILIKE '%NO LUCK%'", "feedback.quality > 0.8", "expectation.fact = 'Paris'",
    "trace.client_request_id = 'c-ada'", "tags.team = 'red' AND span.type = 'LLM'", "tags.team = 'blue'",
]:
    answers[filter_string] = found(filter_string)
answers["by time"] = found(order_by=["timestamp_ms ASC"])
answers["by name"] = found(order_by=["name ASC"])
answers["one"] = found(max_results=1)
answers["without"] = [len(t.data.spans) for t in mlflow.search_traces(return_type="list", include_spans=False)]
answers["bad"] = code_of(mlflow.search_traces, filter_string="colour = 'red'")
page = client.search_traces(locations=[newest[0].info.experiment_id], max_results=1)
rest = client.search_traces(locations=[newest[0].info.experiment_id], max_results=1, page_token=page.token)
answers["pages"] = [t.info.trace_id for t in [*page, *rest]] == [t.info.trace_id for t in newest]
"""
    )
    assert said.pop("bad") == "INVALID_PARAMETER_VALUE"
    assert (said.pop("by time"), said.pop("by name")) == (["chat", "broken"], ["broken", "chat"])
    assert (said.pop("one"), said.pop("without"), said.pop("pages")) == (["broken"], [0, 0], True)
    said.pop("answer")
    both = {key for key, names in said.items() if names == ["broken", "chat"]}
    assert len(both) == 2 and all(key.startswith(("timestamp", "execution")) for key in both)
    failed = ["trace.status = 'ERROR'", "span.status = 'ERROR'", "span.content ILIKE '%NO LUCK%'"]
    assert [said.pop(key) for key in failed] == [["broken"]] * 3
    assert said.pop("tags.team = 'blue'") == []
    assert {key: names for key, names in said.items() if key not in both and names != ["chat"]} == {}


@pytest.mark.slow
def test_assessments_live_their_whole_life(client: Client):
    said = client(
        APPLICATION
        + """
id = mlflow.search_traces(return_type="list")[1].info.trace_id
made = mlflow.log_feedback(
    trace_id=id, name="quality", value=0.4, rationale="so so", metadata={"a": "b"},
    source=mlflow.entities.AssessmentSource(source_type="HUMAN", source_id="ada"),
)
read = mlflow.get_assessment(id, made.assessment_id)
answers["read"] = [read.name, read.value, read.rationale, read.metadata, read.source.source_id, read.valid]
changed = mlflow.update_assessment(id, made.assessment_id, Feedback(name="quality", value="high"))
answers["changed"] = [changed.value, changed.rationale]
other = mlflow.override_feedback(trace_id=id, assessment_id=made.assessment_id, value=True)
answers["overridden"] = mlflow.get_assessment(id, made.assessment_id).valid
answers["override"] = [other.overrides == made.assessment_id, other.valid, other.value]
mlflow.delete_assessment(id, other.assessment_id)
answers["restored"] = mlflow.get_assessment(id, made.assessment_id).valid
fact = mlflow.log_expectation(trace_id=id, name="fact", value={"capital": ["Paris", 1]})
answers["fact"] = mlflow.get_assessment(id, fact.assessment_id).value
failed = mlflow.log_feedback(trace_id=id, name="judge", error=ValueError("broke"))
answers["failed"] = [failed.error.error_code, mlflow.get_assessment(id, failed.assessment_id).error.error_message]
answers["of the trace"] = sorted(one.name for one in mlflow.get_trace(id).info.assessments)
answers["gone"] = code_of(mlflow.get_assessment, id, other.assessment_id)
answers["nowhere"] = code_of(mlflow.log_feedback, trace_id="tr-" + "0" * 31 + "1", name="x", value=1)
@mlflow.trace
def judged():
    mlflow.log_feedback(trace_id=mlflow.get_active_trace_id(), name="inside", value=1.0)
judged()
flush()
answers["inside"] = [one.value for one in mlflow.search_traces(return_type="list")[0].info.assessments]
"""
    )
    assert said["read"] == ["quality", 0.4, "so so", {"a": "b"}, "ada", True]
    assert (said["changed"], said["overridden"], said["override"]) == (["high", "so so"], False, [True, True, True])
    assert (said["restored"], said["fact"]) == (True, {"capital": ["Paris", 1]})
    assert said["failed"] == ["ValueError", "broke"]
    assert said["of the trace"] == ["fact", "judge", "quality"]
    assert (said["gone"], said["nowhere"], said["inside"]) == (*["RESOURCE_DOES_NOT_EXIST"] * 2, [1.0])


@pytest.mark.slow
def test_traces_belong_to_runs_and_models(client: Client):
    said = client(
        APPLICATION
        + """
with mlflow.start_run() as run:
    chat("in a run", "bob")
with mlflow.start_run() as other:
    pass
flush()
model = mlflow.create_external_model(name="agent")
mlflow.set_active_model(model_id=model.model_id)
chat("by a model", "eve")
flush()
answers["of run"] = len(mlflow.search_traces(run_id=run.info.run_id, return_type="list"))
answers["of other"] = len(mlflow.search_traces(run_id=other.info.run_id, return_type="list"))
ids = [trace.info.trace_id for trace in mlflow.search_traces(return_type="list")]
client.link_traces_to_run(ids, other.info.run_id)
answers["linked"] = len(mlflow.search_traces(run_id=other.info.run_id, return_type="list"))
of_model = mlflow.search_traces(model_id=model.model_id, return_type="list")
answers["of model"] = [trace.info.client_request_id for trace in of_model]
answers["too many"] = code_of(client.link_traces_to_run, ids * 50, other.info.run_id)
"""
    )
    assert (said["of run"], said["of other"], said["linked"]) == (1, 0, 4)
    assert (said["of model"], said["too many"]) == (["c-eve"], "INVALID_PARAMETER_VALUE")


@pytest.mark.slow
def test_tags_are_changed_and_traces_deleted(client: Client):
    said = client(
        APPLICATION
        + """
traces = mlflow.search_traces(return_type="list")
id, experiment_id = traces[1].info.trace_id, traces[1].info.experiment_id
client.set_trace_tag(id, "stage", "prod")
answers["set"] = client.get_trace(id).info.tags["stage"]
client.delete_trace_tag(id, "stage")
answers["gone"] = "stage" in client.get_trace(id).info.tags
answers["again"] = code_of(client.delete_trace_tag, id, "stage")
mlflow.set_trace_tag(id, "mlflow.traceName", "renamed")
answers["renamed"] = found("name = 'renamed'")
answers["nowhere"] = code_of(client.set_trace_tag, "tr-none", "a", "b")
answers["deleted"] = client.delete_traces(experiment_id=experiment_id, trace_ids=[id])
answers["left"] = found()
answers["none"] = code_of(client.get_trace, id)
answers["old"] = client.delete_traces(experiment_id=experiment_id, max_timestamp_millis=2**45, max_traces=10)
answers["nothing"] = found()
"""
    )
    assert (said["set"], said["gone"], said["again"]) == ("prod", False, "RESOURCE_DOES_NOT_EXIST")
    assert (said["renamed"], said["nowhere"]) == (["renamed"], "RESOURCE_DOES_NOT_EXIST")
    assert (said["deleted"], said["left"], said["none"]) == (1, ["broken"], "RESOURCE_DOES_NOT_EXIST")
    assert (said["old"], said["nothing"]) == (1, [])


def test_attachments_links_and_threads_arrive(client: Client, way: str):
    said = client("""
import concurrent.futures, contextvars
from mlflow.entities import Link
mlflow.set_experiment("threads")
@mlflow.trace
def step(number):
    return number * number
@mlflow.trace
def fan_out():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(contextvars.copy_context().run, step, number) for number in range(40)]
        return sum(job.result() for job in jobs)
answers["sum"] = fan_out()
flush()
trace = mlflow.search_traces(return_type="list")[0]
answers["spans"] = len(trace.data.spans)
answers["outputs"] = sorted(span.outputs for span in trace.data.spans if span.name.startswith("step"))
for number in range(30):
    step(number)
flush()
answers["many"] = len(mlflow.search_traces(max_results=100, return_type="list"))
""")
    assert (said["sum"], said["spans"], said["many"]) == (20540, 41, 31)
    assert said["outputs"] == [number * number for number in range(40)]


@pytest.mark.slow
def test_a_trace_that_was_written_by_hand_has_the_times_that_it_says(client: Client):
    said = client("""
mlflow.set_experiment("by hand")
root = client.start_trace("outer", inputs={"a": 1}, tags={"t": "x"}, start_time_ns=10**18)
child = client.start_span("inner", trace_id=root.trace_id, parent_id=root.span_id, start_time_ns=10**18 + 10**6)
client.end_span(root.trace_id, child.span_id, outputs=2, end_time_ns=10**18 + 2 * 10**6)
client.end_trace(root.trace_id, outputs={"b": 2}, status="OK", end_time_ns=10**18 + 7 * 10**6)
flush()
trace = client.get_trace(root.trace_id)
answers["times"] = [trace.info.request_time, trace.info.execution_duration]
answers["spans"] = [[s.name, s.start_time_ns - 10**18, s.end_time_ns - 10**18] for s in trace.data.spans]
copied = mlflow.log_trace(
    name="whole", request="q", response="r", tags={"k": "v"}, start_time_ms=5, execution_time_ms=7
)
flush()
info = mlflow.get_trace(copied).info
answers["whole"] = [info.request_time, info.execution_duration, info.request_preview, info.tags["k"]]
""")
    assert said["times"] == [10**12, 7]
    assert said["spans"] == [["outer", 0, 7_000_000], ["inner", 1_000_000, 2_000_000]]
    assert said["whole"] == [5, 7, '"q"', "v"]


def test_a_server_without_protocol_buffers_gets_the_spans_as_a_file(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("taut.faces.mlflow.otlp._has_protobuf", lambda: False)
    said = client(
        APPLICATION + 'answers["spans"] = [len(t.data.spans) for t in mlflow.search_traces(return_type="list")]'
    )
    assert said["spans"] == [1, 3]


def test_whoever_may_only_read_traces_nothing_and_reads_all(client: Client, home: Home):
    writer, reader = (create_token(home, role, role).secret for role in ("data-scientist", "viewer"))
    client(APPLICATION, MLFLOW_TRACKING_TOKEN=writer)
    said = client(
        """
mlflow.set_experiment("shop")
answers["found"] = found()
id = mlflow.search_traces(return_type="list")[0].info.trace_id
answers["codes"] = [
    code_of(client.set_trace_tag, id, "a", "b"), code_of(mlflow.log_feedback, trace_id=id, name="x", value=1),
    code_of(client.delete_traces, experiment_id="0", trace_ids=[id]),
]
""",
        MLFLOW_TRACKING_TOKEN=reader,
    )
    assert said["found"] == ["broken", "chat"]
    assert said["codes"] == ["PERMISSION_DENIED"] * 3
