"""The clients of Triton, unchanged, over HTTP and gRPC: what they send is read, what they are sent they read."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taut.home import Home
from tests.serve.scenes import ROWS, Server, make_home, record, register, serving

httpclient = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

ANSWER = [0.25 + 0.01, 0.4 + 0.02]
DATATYPES = {"delay": "FP64", "seats": "INT64", "carrier": "BYTES"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with make_home(tmp_path_factory.mktemp("triton") / "project") as made:
        register(made)
        record(made)
        yield made


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[Server]:
    with serving(home) as started:
        yield started


def inputs(library: Any, **options: Any) -> list[Any]:
    found = []
    for name, values in ROWS.items():
        array = np.array(values, dtype=object if name == "carrier" else None)
        one = library.InferInput(name, [len(values)], DATATYPES[name])
        one.set_data_from_numpy(array, **options)
        found.append(one)
    return found


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_the_http_client_gets_the_answer_in_every_mixture_of_bytes_and_json(
    server: Server, binary_in: bool, binary_out: bool
):
    client = httpclient.InferenceServerClient(server.url.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("late")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    about = client.get_model_metadata("late", "1")
    assert [one["name"] for one in about["outputs"]] == ["prediction", "probability"]
    wanted = [httpclient.InferRequestedOutput(name, binary_data=binary_out) for name in ("probability", "prediction")]
    result = client.infer("late", inputs(httpclient, binary_data=binary_in), outputs=wanted, request_id="")
    assert result.as_numpy("probability").tolist() == ANSWER
    assert result.as_numpy("prediction").tolist() == [0, 0]
    assert client.infer("late", inputs(httpclient)).as_numpy("probability").tolist() == ANSWER


def test_the_http_client_is_told_what_is_wrong(server: Server):
    client = httpclient.InferenceServerClient(server.url.removeprefix("http://"))
    with pytest.raises(Exception, match="column 'seats' is missing"):
        client.infer("late", inputs(httpclient)[:1])


def test_a_compressed_body_of_the_http_client_is_a_415(server: Server):
    client = httpclient.InferenceServerClient(server.url.removeprefix("http://"))
    with pytest.raises(Exception, match=r"415.*'gzip'"):
        client.infer("late", inputs(httpclient), request_compression_algorithm="gzip")


def test_the_grpc_client_gets_the_same_answer(home: Home, tmp_path: Path):
    grpcclient = pytest.importorskip("tritonclient.grpc")
    from tests.serve.grpc.test_service import served

    port: Future[int] = Future()
    done = threading.Event()

    async def serve() -> None:
        async with served(home) as found:
            port.set_result(found)
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        client = grpcclient.InferenceServerClient(f"127.0.0.1:{port.result(20)}")
        assert client.is_server_ready()
        assert client.is_model_ready("late", "1")
        assert [one.name for one in client.get_model_metadata("late").inputs] == list(ROWS)
        result = client.infer("late", inputs(grpcclient), request_id="triton-1", client_timeout=20)
        assert result.as_numpy("probability").tolist() == ANSWER
        assert result.get_response().id == "triton-1"
        with pytest.raises(Exception, match="no model 'lat'"):
            client.infer("lat", inputs(grpcclient))
        client.close()
    finally:
        done.set()
        thread.join(20)
