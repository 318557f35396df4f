"""Inference over gRPC by a real channel to a real server, whose scorer and log are those of the HTTP server."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest

from taut import __version__
from taut.deploy import find_deployment
from taut.errors import Conflict, Denied, Throttled, Unavailable, Unsupported
from taut.home import Home
from taut.models import find_model, load_served
from taut.serve import find_prediction
from taut.serve.http.application import Application
from taut.serve.http.asking import OfHome, OfToken
from taut.serve.http.guard import Doorkeeper, hosts_for
from taut.serve.http.rates import Rate
from taut.serve.log import PredictionLog, log_place
from taut.serve.scoring.limits import Limits
from tests.serve.scenes import ROWS, make_home, record, register
from tests.serve.threaded import backend_of

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
pytest.importorskip("grpc.aio")

from taut.serve.grpc import serving_grpc  # noqa: E402
from taut.serve.grpc.endpoint import endpoint_of  # noqa: E402
from taut.serve.grpc.messages import CLASSES, HEALTH_CLASSES  # noqa: E402
from taut.serve.grpc.service import status_of  # noqa: E402

ANSWER = [0.25 + 0.01, 0.4 + 0.02]
LIMITS = Limits(answer_s=5.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with make_home(tmp_path_factory.mktemp("grpc") / "project") as made:
        register(made)
        record(made)
        yield made


@asynccontextmanager
async def served(
    home: Home, *, draining: bool = False, bytes_max: int = 1 << 20, asks: Doorkeeper | None = None
) -> AsyncIterator[int]:
    """A server of the deployment `late`; yields its port."""
    deployment = find_deployment(home, "late", 0)
    version = find_model(home, f"{deployment.model}@{deployment.number}")
    backend = backend_of(load_served(home, version), revision=deployment.revision)
    log = PredictionLog.open(log_place(home), "late")
    application = Application(home, [backend], LIMITS, log=log, guard=asks or guard)
    await application.warm_up()
    if draining:
        application.drain()
    try:
        async with serving_grpc(endpoint_of(application), "127.0.0.1", 0, message_bytes_max=bytes_max) as port:
            yield port
    finally:
        application.close()


def guard(method: str, path: str, headers: Mapping[bytes, bytes], address: str) -> str:
    """Lets everybody in but one."""
    assert (method, path.endswith("/infer")) == ("POST", True)
    if headers.get(b"authorization") == b"nobody":
        raise Denied("not you")
    return ""


def ask(home: Home, talk: Callable[[Any], Awaitable[Any]], **options: Any) -> Any:
    """What a client gets that talks over one channel."""

    async def whole() -> Any:
        async with served(home, **options) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            return await talk(channel)

    return asyncio.run(whole())


async def call(channel: Any, name: str, message: Any = None, *, timeout: float = 20.0, **metadata: str) -> Any:
    service, classes = ("grpc.health.v1.Health", HEALTH_CLASSES) if name == "Check" else (
        "inference.GRPCInferenceService", CLASSES
    )  # fmt: skip
    kind = "HealthCheck" if name == "Check" else name
    method = channel.unary_unary(
        f"/{service}/{name}",
        request_serializer=classes[f"{kind}Request"].SerializeToString,
        response_deserializer=classes[f"{kind}Response"].FromString,
    )
    asked = classes[f"{kind}Request"]() if message is None else message
    return await method(asked, timeout=timeout, metadata=tuple(metadata.items()))


FIELDS = {
    "delay": ("FP64", "fp64_contents"),
    "seats": ("INT64", "int64_contents"),
    "carrier": ("BYTES", "bytes_contents"),
}


def infer(columns: Mapping[str, list[Any]] = ROWS, **more: Any) -> Any:
    """A request with its values in contents."""
    message = CLASSES["ModelInferRequest"](model_name="late", **more)
    for name, values in columns.items():
        datatype, field = FIELDS[name]
        one = message.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        getattr(one.contents, field).extend(v.encode() if isinstance(v, str) else v for v in values)
    return message


def raw_infer(columns: Mapping[str, list[Any]] = ROWS, **more: Any) -> Any:
    """The same with its values as raw bytes."""
    message = CLASSES["ModelInferRequest"](model_name="late", **more)
    for name, values in columns.items():
        datatype, _ = FIELDS[name]
        message.inputs.add(name=name, datatype=datatype, shape=[len(values), 1])
        raw = (
            b"".join(pack("<I", len(v.encode())) + v.encode() for v in values)
            if datatype == "BYTES"
            else np.array(values).tobytes()
        )
        message.raw_input_contents.append(raw)
    return message


def refused(home: Home, message: Any, **options: Any) -> tuple[Any, str]:
    """The status and the words in which an inference is refused."""

    async def talk(channel: Any) -> tuple[Any, str]:
        with pytest.raises(grpc.aio.AioRpcError) as problem:
            await call(channel, "ModelInfer", message, **options)
        return problem.value.code(), problem.value.details()

    code, words = ask(home, talk)
    assert "Traceback" not in words
    return code, words


def test_a_server_says_what_it_is_and_what_its_model_takes_and_gives(home: Home):
    async def talk(channel: Any) -> list[Any]:
        named = {"name": "late", "version": "1"}
        return [
            (await call(channel, "ServerLive")).live,
            (await call(channel, "ServerReady")).ready,
            (await call(channel, "ModelReady", CLASSES["ModelReadyRequest"](**named))).ready,
            (await call(channel, "Check")).status,
            await call(channel, "ServerMetadata"),
            await call(channel, "ModelMetadata", CLASSES["ModelMetadataRequest"](name="late")),
        ]

    *states, server, model = ask(home, talk)
    assert states == [True, True, True, 1]
    assert (server.name, server.version, list(server.extensions)) == ("taut", __version__, ["binary_tensor_data"])
    assert (model.name, list(model.versions)) == ("late", ["1"])
    assert [(one.name, one.datatype, list(one.shape)) for one in model.inputs] == [
        ("delay", "FP64", [-1]), ("seats", "INT64", [-1]), ("carrier", "BYTES", [-1]),
    ]  # fmt: skip
    assert [(one.name, one.datatype) for one in model.outputs] == [("prediction", "INT64"), ("probability", "FP64")]


def test_a_server_that_is_not_ready_is_live_and_says_so(home: Home):
    async def talk(channel: Any) -> list[Any]:
        ready = await call(channel, "ModelReady", CLASSES["ModelReadyRequest"](name="late"))
        return [
            (await call(channel, "ServerLive")).live,
            (await call(channel, "ServerReady")).ready,
            ready.ready,
            (await call(channel, "Check")).status,
        ]

    assert ask(home, talk, draining=True) == [True, False, False, 2]


def test_an_answer_in_contents_is_logged_under_the_id_of_its_caller(home: Home):
    message = infer(id="grpc-1")
    message.parameters["event_time"].string_param = "2013-04-01"
    answer = ask(home, lambda channel: call(channel, "ModelInfer", message))
    assert (answer.model_name, answer.model_version, answer.id) == ("late", "1", "grpc-1")
    assert (answer.parameters["model"].string_param, answer.parameters["revision"].int64_param) == ("late", 1)
    assert [(one.name, one.datatype, list(one.shape)) for one in answer.outputs] == [
        ("prediction", "INT64", [2]), ("probability", "FP64", [2]),
    ]  # fmt: skip
    assert list(answer.outputs[0].contents.int64_contents) == [0, 0]
    assert list(answer.outputs[1].contents.fp64_contents) == ANSWER
    assert not answer.raw_output_contents
    logged = find_prediction(home, "grpc-1.1")
    assert (logged.inputs, logged.event_ms) == (ROWS, 1364774400000)


def test_raw_requests_get_raw_answers_with_the_same_values(home: Home):
    answer = ask(home, lambda channel: call(channel, "ModelInfer", raw_infer()))
    assert list(answer.raw_output_contents) == [pack("<qq", 0, 0), pack("<dd", *ANSWER)]
    assert not answer.outputs[0].HasField("contents")


def test_only_the_outputs_that_were_asked_for_come_back(home: Home):
    message = infer()
    message.outputs.add(name="probability")
    answer = ask(home, lambda channel: call(channel, "ModelInfer", message))
    assert [one.name for one in answer.outputs] == ["probability"]


def test_a_missing_number_is_nan(home: Home):
    answer = ask(home, lambda channel: call(channel, "ModelInfer", infer({**ROWS, "delay": [math.nan, 4.0]})))
    assert list(answer.outputs[1].contents.fp64_contents) == [0.01, ANSWER[1]]


def odd(change: Callable[[Any], object], message: Any = None) -> Any:
    message = infer() if message is None else message
    change(message)
    return message


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        (lambda: infer({**ROWS, "seats": [1]}), "INVALID_ARGUMENT", "seats"),
        (lambda: infer({"delay": [1.0]}), "INVALID_ARGUMENT", "'seats' is missing"),
        (lambda: infer(id="a b"), "INVALID_ARGUMENT", "request id"),
        (lambda: odd(lambda m: m.inputs[0].shape.append(3)), "INVALID_ARGUMENT", "2 values for shape [2, 3]"),
        (lambda: odd(lambda m: setattr(m.inputs[0], "datatype", "FP65")), "INVALID_ARGUMENT", "'FP65'"),
        (lambda: odd(lambda m: setattr(m.inputs[0], "datatype", "FP16")), "INVALID_ARGUMENT", "FP16 travels in raw"),
        (lambda: odd(lambda m: setattr(m.inputs[1], "name", "delay")), "INVALID_ARGUMENT", "given twice"),
        (lambda: odd(lambda m: m.outputs.add(name="nothing")), "INVALID_ARGUMENT", "no output 'nothing'"),
        (lambda: odd(lambda m: m.raw_input_contents.append(b"")), "INVALID_ARGUMENT", "1 raw_input_contents"),
        (lambda: odd(lambda m: m.raw_input_contents.extend([b""] * 3)), "INVALID_ARGUMENT", "'delay' has contents"),
        (lambda: odd(lambda m: m.inputs[2].contents.bytes_contents.append(b"\xff")), "INVALID_ARGUMENT", "UTF-8"),
        (lambda: odd(lambda m: m.raw_input_contents.pop(0), raw_infer()), "INVALID_ARGUMENT", "2 raw_input"),
        (lambda: odd(lambda m: setattr(m, "model_name", "lat")), "NOT_FOUND", "no model 'lat'"),
        (lambda: infer(model_version="2"), "NOT_FOUND", "version '2' is not served"),
        (lambda: infer({**ROWS, "carrier": ["raise", "AA"]}), "INTERNAL", "the model failed"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_call_is_its_status_and_words(home: Home, message: Any, code: str, words: str):
    found, said = refused(home, message())
    assert (found.name, words in said) == (code, True), (found, said)


def test_a_repeated_id_with_other_rows_already_exists(home: Home):
    ask(home, lambda channel: call(channel, "ModelInfer", infer(id="grpc-2")))
    assert refused(home, infer({**ROWS, "seats": [1, 2]}, id="grpc-2"))[0] is grpc.StatusCode.ALREADY_EXISTS


def test_metadata_of_a_call_reaches_whoever_decides(home: Home):
    code, words = refused(home, infer(), authorization="nobody")
    assert (code, words) == (grpc.StatusCode.PERMISSION_DENIED, "not you")


def test_a_call_shows_the_token_that_a_request_would_and_comes_from_where_it_comes_from(home: Home):
    keeper = Doorkeeper(OfToken("0123456789abcdef"), hosts=hosts_for("127.0.0.1"), rate=Rate(0.001, 2))

    async def thrice(channel: Any) -> list[str]:
        found = []
        for shown in ("Bearer", "Bearer wrong", *["Bearer 0123456789abcdef"] * 3):
            try:
                await call(channel, "ModelInfer", infer(), authorization=shown)
                found.append("OK")
            except grpc.aio.AioRpcError as problem:
                found.append(problem.code().name)
        return found

    said = ask(home, thrice, asks=keeper)
    assert said == ["UNAUTHENTICATED", "UNAUTHENTICATED", "OK", "OK", "RESOURCE_EXHAUSTED"]
    near = Doorkeeper(OfHome(home, "deployment:late"), hosts=hosts_for("127.0.0.1"))
    ask(home, lambda channel: call(channel, "ModelInfer", infer()), asks=near)  # On this machine, of an open home.


def test_a_message_past_the_bound_is_refused_and_the_server_lives(home: Home):
    async def talk(channel: Any) -> tuple[Any, Any]:
        big = infer({**ROWS, "carrier": ["x" * (1 << 20), "AA"]})
        with pytest.raises(grpc.aio.AioRpcError) as problem:
            await call(channel, "ModelInfer", big)
        return problem.value.code(), await call(channel, "ModelInfer", infer())

    code, answer = ask(home, talk)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(answer.outputs) == 2


def test_a_deadline_ends_a_call_whose_model_hangs(home: Home, tmp_path: Path):
    gate = tmp_path / "open"

    async def talk(channel: Any) -> Any:
        hanging = infer({**ROWS, "carrier": [f"hang:{gate}", "AA"]})
        with pytest.raises(grpc.aio.AioRpcError) as problem:
            await call(channel, "ModelInfer", hanging, timeout=0.3)
        gate.touch()
        return problem.value.code()

    assert ask(home, talk) is grpc.StatusCode.DEADLINE_EXCEEDED


def test_calls_under_way_are_answered_when_the_server_ends(home: Home, tmp_path: Path):
    gate = tmp_path / "open"

    async def talk() -> Any:
        async with served(home) as port:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            hanging = infer({**ROWS, "carrier": [f"hang:{gate}", "AA"]}, id="grpc-last")
            waiting = asyncio.ensure_future(call(channel, "ModelInfer", hanging))
            await call(channel, "ServerLive")  # So the channel is open, and the call before it was sent.
            asyncio.get_running_loop().call_later(0.2, gate.touch)
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, "ServerLive")  # The server has ended, and yet:
        answer = await waiting
        await channel.close()
        return answer

    assert asyncio.run(talk()).id == "grpc-last"


def test_an_unknown_service_of_health_is_not_found(home: Home):
    async def talk(channel: Any) -> Any:
        known = HEALTH_CLASSES["HealthCheckRequest"](service="inference.GRPCInferenceService")
        with pytest.raises(grpc.aio.AioRpcError) as problem:
            await call(channel, "Check", HEALTH_CLASSES["HealthCheckRequest"](service="x"))
        return (await call(channel, "Check", known)).status, problem.value.code()

    assert ask(home, talk) == (1, grpc.StatusCode.NOT_FOUND)


def test_a_taken_port_is_a_conflict(home: Home):
    async def talk() -> None:
        listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        endpoint: Any = None
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            with pytest.raises(Conflict, match=str(port)):
                async with serving_grpc(endpoint, "127.0.0.1", port):
                    pass

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (Unsupported("x"), "UNIMPLEMENTED"), (Throttled("x"), "RESOURCE_EXHAUSTED"), (Unavailable("x"), "UNAVAILABLE"),
        (TimeoutError(), "DEADLINE_EXCEEDED"), (RuntimeError(), "INTERNAL"),
    ],
)  # fmt: skip
def test_every_kind_of_error_has_its_status(problem: Exception, code: str):
    assert status_of(problem).name == code
