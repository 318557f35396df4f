"""Scenes for the tests of scoring: a model as simple as can be, and a log that keeps what it is told in memory."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

from taut.errors import Conflict, Invalid
from taut.models.signature import Signature, SignatureColumn
from taut.records import Prediction
from taut.serve.log import Said
from taut.serve.requests import Request
from taut.serve.scoring.backend import Backend
from taut.serve.scoring.batcher import Batcher
from taut.serve.scoring.engine import Engine, InProcess
from taut.serve.scoring.joining import Columns, slices
from taut.serve.scoring.limits import Limits, UnderWay
from taut.serve.scoring.pending import Ids
from taut.serve.scoring.said import Log
from tests.serve.threaded import Threaded

Given = ParamSpec("Given")

SIGNATURE = Signature((SignatureColumn("x", "double"), SignatureColumn("do", "string")))
NOW_MS = 1_700_000_000_000


class Doubling:
    """Answers `x * 2`; `do` makes it refuse, raise, answer too little, or wait for its gate."""

    signature = SIGNATURE

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def predict(self, columns: Columns) -> dict[str, Any]:
        if set(columns) != {"x", "do"}:
            raise Invalid(f"columns {sorted(columns)}")
        self.calls.append(len(columns["x"]))
        if "refuse" in columns["do"]:
            raise Invalid(f"row {[*columns['do']].index('refuse')} is refused")
        if "raise" in columns["do"]:
            raise RuntimeError("told to")
        if "wait" in columns["do"]:
            assert self.gate.wait(10)
        doubled = [value * 2 for value in columns["x"]]
        return {"prediction": doubled[:-1] if "short" in columns["do"] else doubled}


class KeptLog:
    """A log in memory. Appends that hold an id of `bad`, or all where that is empty, raise `fails`."""

    def __init__(self, *, blocks: bool = False) -> None:
        self.blocks = blocks
        self.said: list[Said] = []
        self.kept: dict[str, Prediction] = {}
        self.looked_up: list[Sequence[str]] = []
        self.fails: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.bad: set[str] = set()
        self.elsewhere: dict[str, Prediction] = {}  # What other processes answer in this very moment.
        self.by_role = False  # Whether a shadow may say something under the id of what it shadows.

    def answered(self, ids: Sequence[str]) -> Mapping[str, Prediction]:
        self.looked_up.append(ids)
        if self.fails is not None and not self.bad:
            raise self.fails
        return {one: self.kept[one] for one in ids if one in self.kept}

    def same(self, request_id: str, stored: Prediction, inputs: Mapping[str, Any]) -> Prediction:
        if stored.inputs != inputs:
            raise Conflict(f"{request_id} was used before")
        return stored

    def append(self, said: Said) -> Mapping[str, Prediction]:
        assert self.gate.wait(10)
        if self.fails is not None and (not self.bad or self.bad & {*said.ids}):
            raise self.fails
        if taken := {one: self.elsewhere[one] for one in said.ids if one in self.elsewhere}:
            return taken
        self.said.append(said)
        inputs, outputs = slices(said.inputs, said.counts), slices(said.outputs, said.counts)
        for place, request_id in enumerate(said.ids):
            if self.by_role and said.role == "shadow":
                continue
            assert request_id not in self.kept, "an id was answered twice"
            self.kept[request_id] = Prediction(
                "late", request_id, said.revision, said.model, said.number, said.at_ms, said.at_ms,
                said.counts[place], inputs[place], outputs[place],
            )  # fmt: skip
        return {}

    def close(self) -> None:
        """Nothing is open."""


class Counts:
    """A meter that remembers what it was told."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.rows = 0
        self.since: list[float] = []
        self.waits: list[int] = []

    def called(self, seconds: float, requests: int) -> None:
        assert seconds >= 0
        self.batches.append(requests)

    def said(self, rows: int) -> None:
        self.rows += rows

    def under_way(self, requests: int, size_bytes: int) -> None:
        self.waits.append(requests)

    def unlogged(self, since_s: float) -> None:
        self.since.append(since_s)


class Scene:
    """One backend with its batcher, and everything that it told anybody."""

    def __init__(
        self, *, compiled: bool = True, log: Log | None = None, limits: Limits | None = None,
        engine: Callable[[Doubling], Engine] | None = None,
    ) -> None:  # fmt: skip
        self.model = Doubling()
        self.limits = limits or Limits()
        self.under_way = UnderWay(self.limits)
        self.meter = Counts()
        made = engine or (InProcess if compiled else Threaded)
        backend = Backend("late", 3, "flights", 2, made(self.model))
        self.batcher = Batcher(backend, self.limits, self.under_way, Ids(), log, self.meter, lambda: NOW_MS)


def asks(*values: float, do: str = "", request_id: str = "", **more: list[Any]) -> Request:
    """A request of these rows, of which the first tells the model what to do."""
    columns: dict[str, list[Any]] = {"x": [*values], "do": [do, *[""] * (len(values) - 1)], **more}
    return Request(columns, id=request_id)


async def outcome_of(batcher: Batcher, request: Request) -> Prediction | Exception:
    """What becomes of a request, as a value."""
    try:
        return await batcher.answer(request)
    except Exception as problem:  # noqa: BLE001  # Any kind is an outcome.
        return problem


def in_a_loop(test: Callable[Given, Coroutine[Any, Any, None]]) -> Callable[Given, None]:
    """A test that runs in an event loop of its own."""

    @wraps(test)
    def run(*given: Given.args, **named: Given.kwargs) -> None:
        asyncio.run(test(*given, **named))

    return run


async def until(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Wait in the loop for something that happens beside it."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.002)
