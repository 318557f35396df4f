"""Clients that log to a tracking server and remember what they were told; and what a home holds, held against that."""

import hashlib
import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any, Literal, cast

from taut.ground.meta import Tx
from taut.home import Home
from taut.runs.points import rank
from taut.runs.series import COLUMNS, FIRST, Series, points_from

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
ANSWER_WITHIN_S = 60.0
DEEDS_A_RUN = 30
BATCH = 1000
MLMODEL = b"artifact_path: model\nflavors:\n  python_function:\n    loader_module: none\n    python_version: 3.11.0\n"

Thing = tuple[Any, ...]
"""The name of something that a home holds: ("param", run, key), ("point", run, key, step, at_ms), ..."""


@dataclass(slots=True, eq=False)
class Deed:
    """One request that changes something, and what is there once it is done: all of it, or nothing."""

    about: str
    """The run it changes; empty for runs and models themselves."""
    method: str
    path: str
    body: bytes
    things: Callable[[], dict[Thing, object]] = dict
    moves: dict[Thing, object] = field(default_factory=dict)
    """Things that a later deed gives another value."""
    key: str = ""
    state: Literal["sent", "doubtful", "refused", "acknowledged"] = "sent"


@dataclass(slots=True)
class Verdict:
    """What is wrong with what a home holds, as sentences."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    things: int = 0

    def __iadd__(self, other: "Verdict") -> "Verdict":
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.torn += other.torn
        self.things += other.things
        return self

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, doubled or torn."""
        return not (self.lost or self.duplicated or self.torn)


class Client(threading.Thread):
    """One client with a kept connection that sends one deed after another, and waits while the server is away."""

    def __init__(self, name: str, port: int, *, keys: bool = True) -> None:
        super().__init__(name=name, daemon=True)
        self.port = port
        self.deeds: list[Deed] = []
        self.problems: list[str] = []
        self.acknowledged = 0
        self.doubts = 0
        self.refusals: dict[int, list[str]] = defaultdict(list)
        self.up = threading.Event()
        self.over = threading.Event()
        self._keys = keys
        self._chance = random.Random(name)
        self._line: HTTPConnection | None = None
        self._numbers = iter(range(10**9))
        self._run = self._model = ""
        self._version = 0
        self._step = 0

    def run(self) -> None:
        """Log until told to end; what was begun is answered first."""
        try:
            while not self.over.is_set():
                if self._begin():
                    for _ in range(DEEDS_A_RUN):
                        if self.over.is_set():
                            break
                        self._one()
        except Exception as defect:  # noqa: BLE001  # The edge of this thread: the test shows it.
            self.problems.append(f"{self.name}: {defect!r}")
        finally:
            self._close()

    def do(self, deed: Deed, *, again: bool) -> dict[str, Any] | None:
        """Send a deed, and once more after each time that nobody knows whether it was done; or leave it so."""
        self.deeds.append(deed)
        while (answer := self._send(deed)) is None:
            self.doubts += 1
            if self.over.wait(0.01) or not again or self.problems:
                return None
            self.up.wait(ANSWER_WITHIN_S)
        deed.state, deed.body = "acknowledged", b""
        self.acknowledged += 1
        return answer

    def _send(self, deed: Deed) -> dict[str, Any] | None:
        self.up.wait(ANSWER_WITHIN_S)
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": deed.key} if deed.key else {})
        try:
            if self._line is None:
                self._line = HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_WITHIN_S)
            self._line.request(deed.method, deed.path, deed.body, headers)
            with self._line.getresponse() as response:
                data, status = response.read(), response.status
        except (OSError, HTTPException):
            self._close()
            deed.state = "doubtful"
            return None
        if status == 200:
            return cast("dict[str, Any]", json.loads(data or b"{}"))
        deed.state = "refused" if deed.state in ("sent", "refused") else "doubtful"
        self.refusals[status].append(data.decode())
        if status not in (503, 507):
            self.problems.append(f"{deed.method} {deed.path}: {status} {data[:300]!r}")
        return None

    def _close(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None

    def _begin(self) -> bool:
        """Make a run with the file of a model in it, and the model where there is none; False where one is in doubt."""
        name = f"{self.name}-{next(self._numbers)}"
        made = self._create("runs/create", {"experiment_id": "0", "run_name": name}, {("run", name): 1})
        if made is None:
            return False
        self._run, self._step = made["run"]["info"]["run_id"], 0
        path = f"{FILES}/0/{self._run}/artifacts/model/MLmodel"
        if self.do(self._file("model/MLmodel", path, MLMODEL), again=True) is None:
            return False
        if not self._model:
            model = f"m{self.name}-{next(self._numbers)}"
            if self._create("registered-models/create", {"name": model}, {("model", model): 1}) is not None:
                self._model = model
        return True

    def _create(self, place: str, body: dict[str, Any], things: dict[Thing, object]) -> dict[str, Any] | None:
        """Make what is made anew each time it is asked for: asked again only under a key."""
        key = f"{self.name}-{next(self._numbers)}" if self._keys and self._chance.random() < 0.5 else ""
        deed = Deed("", "POST", f"{API}/{place}", json.dumps(body).encode(), lambda: things, key=key)
        return self.do(deed, again=bool(key))

    def _one(self) -> None:
        """Something of what clients do, small things more often than large ones."""
        kinds = [
            self._metric,
            self._param,
            self._tag,
            self._mixed,
            self._upload,
            self._narrow,
            self._wide,
            self._promote,
        ]
        self._chance.choices(kinds, weights=[30, 10, 10, 10, 10, 8, 3, 6])[0]()

    def _log(self, place: str, body: dict[str, Any], things: Callable[[], dict[Thing, object]], **moves: str) -> None:
        deed = Deed(
            self._run, "POST", f"{API}/runs/{place}", json.dumps({"run_id": self._run, **body}).encode(), things
        )
        deed.moves = {("tag", self._run, name): value for name, value in moves.items()}
        self.do(deed, again=self._chance.random() < 0.6)

    def _metric(self) -> None:
        run, step = self._run, next(self._numbers)
        point = {"key": "single", "value": step / 7, "step": step, "timestamp": step}
        self._log("log-metric", point, lambda: {("point", run, "single", step, step): step / 7})

    def _param(self) -> None:
        run, key = self._run, f"p{next(self._numbers)}"
        self._log("log-parameter", {"key": key, "value": key * 3}, lambda: {("param", run, key): key * 3})

    def _tag(self) -> None:
        value = f"{next(self._numbers)}"
        self._log("set-tag", {"key": "progress", "value": value}, dict, progress=value)

    def _mixed(self) -> None:
        run, one = self._run, next(self._numbers)
        metrics = [{"key": f"x{n}", "value": one + n / 3, "step": one, "timestamp": n} for n in range(20)]
        pairs = [{"key": f"{one}.{n}", "value": f"v{n}"} for n in range(10)]
        body = {"metrics": metrics, "params": pairs, "tags": [*pairs, {"key": "progress", "value": f"{one}"}]}

        def things() -> dict[Thing, object]:
            found: dict[Thing, object] = {("point", run, f"x{n}", one, n): one + n / 3 for n in range(20)}
            return found | {(kind, run, f"{one}.{n}"): f"v{n}" for n in range(10) for kind in ("param", "tag")}

        self._log("log-batch", body, things, progress=f"{one}")

    def _narrow(self) -> None:
        run, first = self._run, self._step
        steps = range(first, first + BATCH)
        self._step += BATCH
        metrics = [{"key": "loss", "value": 1 / (1 + step), "step": step, "timestamp": step * 3} for step in steps]
        self._log(
            "log-batch", {"metrics": metrics},
            lambda: {("point", run, "loss", step, step * 3): 1 / (1 + step) for step in steps},
        )  # fmt: skip

    def _wide(self) -> None:
        run, one = self._run, next(self._numbers)
        metrics = [{"key": f"w{n}", "value": one / (1 + n), "step": one, "timestamp": 5} for n in range(BATCH)]
        self._log(
            "log-batch", {"metrics": metrics},
            lambda: {("point", run, f"w{n}", one, 5): one / (1 + n) for n in range(BATCH)},
        )  # fmt: skip

    def _file(self, name: str, path: str, data: bytes) -> Deed:
        run, oid = self._run, hashlib.sha256(data).hexdigest()
        return Deed(run, "PUT", path, data, lambda: {("file", run, name): oid})

    def _upload(self) -> None:
        name = f"f{next(self._numbers)}.bin"
        data = self._chance.randbytes(self._chance.choice([0, 100, 5_000, 70_000, 700_000]))
        deed = self._file(name, f"{FILES}/0/{self._run}/artifacts/{name}", data)
        self.do(deed, again=self._chance.random() < 0.6)

    def _promote(self) -> None:
        """Make a version of the model and point two aliases at it."""
        if not self._model:
            return
        model, unique = self._model, f"nr{next(self._numbers)}"
        body = {"name": model, "source": f"runs:/{self._run}/model", "run_id": self._run, "description": unique}
        made = self._create("model-versions/create", body, {("version", model, unique): 1})
        if made is None:
            return
        number = int(made["model_version"]["version"])
        if number <= self._version:
            self.problems.append(f"{self.name}: version {number} came after {self._version}")
        self._version = number
        for alias in (unique, "champion"):
            asked = json.dumps({"name": model, "alias": alias, "version": str(number)}).encode()
            deed = Deed("", "POST", f"{API}/registered-models/alias", asked)
            if alias == "champion":
                deed.moves = {("alias", model, alias): number}
            else:
                deed.things = lambda: {("alias", model, unique): number}
            self.do(deed, again=self._chance.random() < 0.6)


def check(home: Home, deeds: Iterable[Deed], *, whole: bool = True, refused_is_absent: bool = False) -> Verdict:
    """Hold what a home has against what clients were told.

    `whole` says that these are all deeds ever sent and none is under way. Else clients may go on meanwhile: what was
    acknowledged before the first look must be seen by it.
    """
    known = [(deed, deed.state) for deed in deeds]
    groups: dict[str, list[tuple[Deed, str]]] = defaultdict(list)
    for deed, state in known:
        groups[deed.about].append((deed, state))
    verdict = Verdict()
    for about, told in groups.items():
        with home.meta.read() as tx:
            there = list(_of_run(tx, about) if about else _of_home(tx))
        verdict += _held(there, told, whole=whole, refused_is_absent=refused_is_absent)
    return verdict


def _held(
    there: Sequence[tuple[Thing, object]], told: Sequence[tuple[Deed, str]], *, whole: bool, refused_is_absent: bool
) -> Verdict:
    verdict, values, strange = Verdict(things=len(there)), dict(there), {name for name, _ in there}
    if len(values) != len(there):
        doubled = [name for name, count in Counter(name for name, _ in there).items() if count > 1]
        verdict.duplicated += [f"{name} is there more than once" for name in doubled]
    moving: dict[Thing, list[tuple[str, object]]] = defaultdict(list)
    for deed, state in told:
        things = deed.things()
        strange.difference_update(things, deed.moves)
        found = [name for name, value in things.items() if name in values and values[name] == value]
        what = f"{deed.method} {deed.path} of {deed.about}: {len(found)} of {len(things)} are there"
        if state == "acknowledged" and len(found) != len(things):
            verdict.lost.append(what)
        elif 0 < len(found) < len(things) or (found and refused_is_absent and state == "refused"):
            verdict.torn.append(what)
        for name, value in deed.moves.items():
            moving[name].append((state, value))
    for name, moves in moving.items():
        last = max((number for number, (state, _) in enumerate(moves) if state == "acknowledged"), default=-1)
        if last >= 0 and values.get(name) not in {value for _, value in moves[last:]} and whole:
            verdict.lost.append(f"{name} is {values.get(name)!r}, it was told to be {moves[last]}")
    if whole:
        verdict.duplicated += [f"{name} is there and nobody sent it" for name in sorted(strange, key=str)]
    return verdict


def _of_run(tx: Tx, run: str) -> Iterator[tuple[Thing, object]]:
    all_series: Sequence[Any] = tx.rows(f"SELECT {COLUMNS} FROM series WHERE run_id = :run", {"run": run})
    keys = {}
    for series in [Series(*row) for row in all_series]:
        if series.sealed_step is None:
            keys[series.id] = series.key
            continue
        points = points_from(tx, series, FIRST, 10**9)
        assert points == sorted(points, key=rank), (run, series.key)
        yield from ((("point", run, series.key, step, at_ms), value) for step, at_ms, value in points)
    rows: Sequence[Any] = tx.rows("SELECT series, step, at_ms, value FROM point WHERE series IN [:s]", {"s": [*keys]})
    yield from ((("point", run, keys[number], step, at_ms), value) for number, step, at_ms, value in rows)
    for kind, table in (("param", "param"), ("tag", "run_tag")):
        for key, value in tx.rows(f"SELECT key, value FROM {table} WHERE run_id = :run", {"run": run}):
            if key != "mlflow.runName":
                yield (kind, run, key), value
    root = f"0/{run}/artifacts"
    for path, oid in tx.rows("SELECT path, oid FROM artifact WHERE root = :root", {"root": root}):
        yield ("file", run, path), oid


def _of_home(tx: Tx) -> Iterator[tuple[Thing, object]]:
    yield from ((("run", name), 1) for (name,) in tx.rows("SELECT name FROM run"))
    yield from ((("model", name), 1) for (name,) in tx.rows("SELECT name FROM registered_model"))
    for name, description in tx.rows("SELECT name, description FROM model_version"):
        yield ("version", name, description), 1
    for name, alias, number in tx.rows("SELECT name, alias, number FROM model_alias"):
        yield ("alias", name, alias), number
