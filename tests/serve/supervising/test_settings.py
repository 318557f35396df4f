"""What taut.yaml says of an endpoint: limits, the access log, gRPC; and its log is sealed beside it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from taut.deploy import deploy_model, deployment_logs, find_deployment, spec_of, stop_deployment
from taut.deploy.running import run_folder, serving_now
from taut.errors import Invalid
from taut.ground import wire
from taut.home import Home
from taut.project import DeploymentSpec, LimitsSpec
from taut.records import DeploymentState
from taut.serve import list_predictions
from taut.serve.scoring.limits import HELD_BYTES, Limits, limits_of
from tests.parts import eventually, free_port
from tests.serve.scenes import ROWS, make_home, register, tensors
from tests.serve.supervising.scenes import pid_of


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        register(made, factor=0.1)
        yield made
        stop_deployment(made, "late")


def deployed(home: Home, **settings: Any) -> DeploymentState:
    spec = wire.convert({"model": "late@1", "workers": 1, **settings}, DeploymentSpec, what="the deployment")
    state = deploy_model(home, "late", model="late@1", spec=spec)
    assert spec_of(find_deployment(home, "late")) == spec
    return state


def infer(url: str, rows: int = 1, **more: Any) -> int:
    columns = {name: values[:1] * rows for name, values in ROWS.items()}
    body = msgspec.json.encode({"inputs": tensors(columns), **more})
    return urllib3.request("POST", f"{url}/v2/models/late/infer", body=body, retries=False, timeout=30.0).status


@pytest.mark.slow
def test_limits_and_the_access_log_are_as_the_file_says(home: Home):
    url = deployed(home, limits={"body": "1Ki", "answer": "2s"}, access_log="all").url
    assert infer(url, id="ours") == 200
    assert infer(url, 500) == 413
    assert eventually(lambda: len(_lines(home)) == 2, what="two lines")
    assert [(one["status"], one.get("id", "")) for one in _lines(home)] == [(200, "ours"), (413, "")]


def _lines(home: Home) -> list[dict[str, Any]]:
    """What the access log says of requests that ask for something."""
    written = deployment_logs(home, "late", lines=50).splitlines()
    lines = [msgspec.json.decode(line) for line in written if line.startswith("{")]
    return [one for one in lines if one["method"] == "POST"]


@pytest.mark.slow
def test_grpc_is_spoken_at_a_port_of_its_own_and_written_to_the_same_log(home: Home):
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    from taut.serve.grpc.messages import CLASSES

    port = free_port()
    deployed(home, grpc_port=port)
    message = CLASSES["ModelInferRequest"](model_name="late", id="over-grpc")
    for name, datatype, field in (
        ("delay", "FP64", "fp64_contents"), ("seats", "INT64", "int64_contents"),
        ("carrier", "BYTES", "bytes_contents"),
    ):  # fmt: skip
        one = message.inputs.add(name=name, datatype=datatype, shape=[2])
        values = [value.encode() if isinstance(value, str) else value for value in ROWS[name]]
        getattr(one.contents, field).extend(values)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=CLASSES["ModelInferRequest"].SerializeToString,
            response_deserializer=CLASSES["ModelInferResponse"].FromString,
        )
        answer = ask(message, timeout=20.0)
    assert (answer.id, answer.model_version) == ("over-grpc", "1")
    assert [one.id for one in list_predictions(home, "late")] == ["over-grpc"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_a_killed_front_wrote_is_sealed_while_the_next_one_answers(home: Home):
    url = deployed(home).url
    assert [infer(url, id=f"r{place}") for place in range(5)] == [200] * 5
    (serving,) = serving_now(run_folder(home), "late")
    os.kill(pid_of(serving.fronts[0]), signal.SIGKILL)
    eventually(lambda: _segments(home) == 1, what="a segment", within=60.0)
    assert sorted(one.id for one in list_predictions(home, "late")) == [f"r{place}" for place in range(5)]
    eventually(lambda: _status(url) == 200, what="the next front")
    assert {one.id for one in list_predictions(home, "late")} > {"r0"}


def _segments(home: Home) -> int:
    with home.meta.read() as tx:
        found = tx.row("SELECT count(*) FROM prediction_segment")
        assert found is not None
        return int(str(found[0]))


def _status(url: str) -> int:
    try:
        return infer(url)
    except urllib3.exceptions.HTTPError:
        return 0


def test_a_section_of_limits_is_what_a_server_keeps():
    assert limits_of(LimitsSpec()) == Limits()
    found = limits_of(LimitsSpec(body="1Gi", answer="90s", waiting=5, share=2))
    assert (found.body_bytes, found.answer_s, found.waiting, found.share) == (1 << 30, 90.0, 5, 2)
    assert found.held_bytes == 2 << 30 > HELD_BYTES
    with pytest.raises(Invalid, match="amount of memory"):
        limits_of(LimitsSpec(body="much"))


@pytest.mark.parametrize(
    "section",
    [{"answer": "soon"}, {"answer": "0s"}, {"answer": "1h"}, {"waiting": 0}, {"share": -1}, {"bodies": "1Ki"}],
)
def test_limits_that_cannot_be_are_refused(section: dict[str, Any]):
    with pytest.raises(Invalid):
        wire.convert({"model": "late@1", "limits": section}, DeploymentSpec, what="the deployment")
