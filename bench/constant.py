"""A tracking server that answers constants: what an unchanged MLflow client reaches where the server costs nothing.

Served by the same uvicorn as taut: `uvicorn bench.constant:app`. Nothing is read, checked or kept.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

RUN_ID = "0123456789abcdef0123456789abcdef"
INFO = {
    "run_id": RUN_ID, "run_uuid": RUN_ID, "run_name": "constant", "experiment_id": "0", "user_id": "ada",
    "status": "RUNNING", "start_time": 1_700_000_000_000, "artifact_uri": f"mlflow-artifacts:/0/{RUN_ID}/artifacts",
    "lifecycle_stage": "active",
}  # fmt: skip
RUN = {"run": {"info": INFO, "data": {"tags": [{"key": "mlflow.runName", "value": "constant"}]}, "inputs": {}}}
ANSWERS = {
    "/health": b"OK",
    "/api/2.0/mlflow/runs/create": json.dumps(RUN).encode(),
    "/api/2.0/mlflow/runs/get": json.dumps(RUN).encode(),
    "/api/2.0/mlflow/runs/update": json.dumps({"run_info": INFO}).encode(),
}

Message = MutableMapping[str, Any]


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[..., Awaitable[None]]) -> None:
    """Take the whole body, as every server must, and answer what the path is always answered."""
    while (await receive()).get("more_body", False):
        pass
    body = ANSWERS.get(scope["path"], b"{}")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
