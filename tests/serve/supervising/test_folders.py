"""A model in a folder, as an image holds it, served by a real process without any home: itself, or by its graph."""

import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from bench.machine import processes_of
from taut.ground.objects import read_object
from taut.models import compile_model, fetch_model, find_model, register_folder
from tests.parts import eventually, free_port
from tests.serve.scenes import ROWS, make_home, register, tensors

ASKED = {"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0], [-1.0, 0.5]]}}


@contextmanager
def served(folder: Path, *words: str) -> Iterator[str]:
    """The arguments of an image's command, in a process that knows of no home; its URL once it is ready."""
    port, log = free_port(), folder / "log"
    command = [sys.executable, "-m", "taut.serve", *words, "--port", str(port), "--workers", "1"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env={"PATH": "/usr/bin:/bin"} | _path(), stderr=output)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return urllib3.request("GET", f"{url}/ready", retries=False, timeout=5.0).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    try:
        eventually(ready, what="the server")
        yield url
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(10)


def _path() -> dict[str, str]:
    import os

    return {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}


def libraries(url: str, process: str) -> bool:
    """Whether a server has a library in memory, in any of its processes."""
    found = {pid for path in Path("/proc").glob("[0-9]*/cmdline") if _serves(path, url) for pid in _below(path)}
    return any(process in Path(f"/proc/{pid}/maps").read_text() for pid in found)


def _below(path: Path) -> list[int]:
    return processes_of(int(path.parent.name))


def _serves(path: Path, url: str) -> bool:
    try:
        return url.rpartition(":")[2].encode() in path.read_bytes().split(b"\0")
    except OSError:
        return False


def test_a_folder_is_served_without_a_home(tmp_path: Path):
    with make_home(tmp_path / "project") as home:
        version = register(home)
        folder = fetch_model(home, version)
        words = ["--model-folder", str(folder), "--model", "late@1", "--digest", version.digest]
        with served(tmp_path, *words) as url:
            body = {"inputs": tensors(ROWS)}
            answer = urllib3.request("POST", f"{url}/v2/models/late/infer", json=body, timeout=20.0)
            assert answer.status == 200
            assert msgspec.json.decode(answer.data)["outputs"][1]["data"] == [0.25 + 0.01, 0.4 + 0.02]


@pytest.mark.parametrize(
    ("model", "digest", "words"),
    [
        ("late", "", "'late' is no model version"), ("late@x", "", "'late@x' is no model version"),
        ("late@1", "0" * 64, "taut: "),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_what_is_not_the_model_is_two_lines_at_most(tmp_path: Path, model: str, digest: str, words: str):
    with make_home(tmp_path / "project") as home:
        folder = fetch_model(home, register(home))
    command = ["--model-folder", str(folder), "--model", model, "--digest", digest, "--workers", "1"]
    done = subprocess.run([sys.executable, "-m", "taut.serve", *command], capture_output=True, text=True, timeout=60)
    assert done.returncode in (13, 14)
    assert words in done.stderr.splitlines()[0]
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.slow
def test_a_graph_answers_for_the_model_and_scikit_learn_is_not_even_imported(tmp_path: Path):
    with make_home(tmp_path / "project") as home:
        register_folder(home, "late", _trained(tmp_path / "saved"))
        verdict = compile_model(home, "late@1")
        assert verdict.is_used, verdict.reason
        version = find_model(home, "late@1")
        folder = fetch_model(home, version)
        graph = tmp_path / "model.onnx"
        graph.write_bytes(read_object(home.objects, verdict.graph))
        words = ["--model-folder", str(folder), "--model", "late@1", "--digest", version.digest]
        answers: list[Any] = []
        for more in ([], ["--graph", str(graph), "--graph-digest", verdict.graph]):
            with served(tmp_path, *words, *more) as url:
                answer = urllib3.request("POST", f"{url}/invocations", json=ASKED, timeout=20.0)
                answers.append((answer.status, msgspec.json.decode(answer.data)["predictions"]))
                assert libraries(url, "/sklearn/") == (not more)
                assert libraries(url, "/onnxruntime/") == bool(more)
    assert answers[0] == answers[1]
    assert answers[0][0] == 200
    done = subprocess.run(
        [sys.executable, "-m", "taut.serve", *words, "--graph", str(graph), "--graph-digest", "0" * 64],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "is not the graph that it was" in done.stderr) == (14, True)


def _trained(folder: Path) -> Path:
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    chance = np.random.default_rng(0)
    rows = pd.DataFrame({"a": chance.normal(size=200), "b": chance.normal(size=200)})
    model = LogisticRegression().fit(rows, rows.a + rows.b > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(rows, model.predict(rows))
        mlflow.sklearn.save_model(model, str(folder), signature=signature, pip_requirements=["scikit-learn"])
    return folder
