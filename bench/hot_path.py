"""What a request costs a serving process beside its socket: microseconds of CPU for one row of a compiled model.

    python bench/hot_path.py [--seconds 1] [--json]

In one process, without HTTP: bytes are decoded, checked, made numbers, scored, written to a file and answered, so many
requests a turn of the event loop. Beside it the parts: numbers of one row, a call of the model. True on a busy machine
too, though caches that others fill cost their share.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from taut.ground.settings import make_folder
from taut.home import open_home
from taut.models.compiled.convert import convert
from taut.models.compiled.predictor import CompiledPredictor, load_compiled
from taut.models.signature import Signature, SignatureColumn
from taut.serve.http.answers import Answer
from taut.serve.http.application import Application
from taut.serve.http.reading import Question
from taut.serve.log import Said
from taut.serve.scoring.backend import Backend
from taut.serve.scoring.engine import InProcess
from taut.serve.scoring.memory import settle

NUMERIC, TEXTS = [f"n{place}" for place in range(14)], [f"c{place}" for place in range(6)]
TRAINED_ON, ASKED, SEED = 20_000, 512, 7
TURNS = (1, 8, 64)


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU that one request, or one call, takes."""

    what: str
    microseconds: float


class FileLog:
    """The simplest log there is: a write a batch, of everything."""

    blocks = False

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def answered(self, ids: Sequence[str]) -> Mapping[str, Any]:
        """Nothing is remembered."""
        return {}

    def same(self, request_id: str, stored: Any, inputs: Mapping[str, Any]) -> Any:
        """Never asked, for nothing is remembered."""
        raise NotImplementedError(request_id)

    def append(self, said: Said) -> Mapping[str, Any]:
        """One write."""
        os.write(self._descriptor, msgspec.msgpack.encode(said))
        return {}

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def main() -> None:
    """Train, compile, measure, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds of each measurement")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    model, table = compiled()
    rows = {name: table[name][:1].tolist() for name in table.columns}
    numbers = model.matrix(rows)
    figures = [
        Cost("numbers of one row", timed(lambda: model.matrix(rows), given.seconds)),
        Cost("a call of the model for one row", timed(lambda: model.answered(numbers), given.seconds)),
        *asyncio.run(requests(model, table, given.seconds)),
    ]
    if given.json:
        sys.stdout.write(msgspec.json.encode([asdict(one) for one in figures]).decode() + "\n")
        return
    for one in figures:
        print(f"{one.what:<44} {one.microseconds:>8.1f} us")


def compiled() -> tuple[CompiledPredictor, pd.DataFrame]:
    """A histogram gradient boosting pipeline of 14 numbers and 6 texts as a graph, and rows for it."""
    chance = np.random.default_rng(SEED)
    columns = {name: chance.normal(size=TRAINED_ON) for name in NUMERIC}
    texts = {name: chance.choice(list("abcdefgh"), size=TRAINED_ON) for name in TEXTS}
    table = pd.DataFrame({**columns, **texts})
    encoder = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), TEXTS), remainder="passthrough"
    )
    target = (table["n0"] + (table["c0"] == "a") > 0).to_numpy()
    model = make_pipeline(encoder, HistGradientBoostingClassifier(random_state=SEED)).fit(table, target)
    signature = Signature(
        tuple(SignatureColumn(name, "double" if name in NUMERIC else "string") for name in table.columns)
    )
    return load_compiled(convert(model, signature).graph, signature), table


async def requests(model: CompiledPredictor, table: pd.DataFrame, seconds: float) -> list[Cost]:
    """Whole requests, by how many come in one turn."""
    names, values = list(table.columns), table[:ASKED].to_numpy().tolist()
    asked = [
        Question("POST", "/invocations", {b"content-type": b"application/json"}, msgspec.json.encode(body))
        for body in ({"dataframe_split": {"columns": names, "data": [row]}} for row in values)
    ]
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder))
        with open_home(Path(folder)) as home:
            log = FileLog(Path(folder) / "log")
            application = Application(home, [Backend("late", 1, "late", 1, InProcess(model))], log=log)
            await application.warm_up()
            settle()
            found = [
                Cost(f"a request, {turn} in a turn", await turns(application, asked, turn, seconds)) for turn in TURNS
            ]
            application.close()
    return found


async def turns(application: Application, asked: list[Question], turn: int, seconds: float) -> float:
    """Microseconds a request where so many come at once."""
    route = application.hot["/invocations"]
    answers: list[Answer] = []
    done, begun_s = 0, time.process_time()
    while time.process_time() - begun_s < seconds:
        for place in range(turn):
            application.predict(asked[(done + place) % len(asked)], route, "", answers.append)
        while len(answers) < turn:
            await asyncio.sleep(0)
        if any(answer.status != 200 for answer in answers):
            raise SystemExit(f"the server answered {answers[0].status}: {answers[0].body[:200]!r}")
        answers.clear()
        done += turn
    return (time.process_time() - begun_s) / done * 1e6


def timed(work: Callable[[], object], seconds: float) -> float:
    """Microseconds of CPU that one call takes."""
    done, begun_s = 0, time.process_time()
    while time.process_time() - begun_s < seconds:
        work()
        done += 1
    return (time.process_time() - begun_s) / done * 1e6


if __name__ == "__main__":
    main()
