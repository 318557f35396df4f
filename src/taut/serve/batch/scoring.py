"""A batch of rows becomes a batch of predictions: the checks of a server, and what wrong rows lead to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taut.errors import Invalid
from taut.models import CompiledPredictor, Predictor, Signature
from taut.models.arrow import WrongCells, merged, must_take, table_of_batch
from taut.models.compiled.arrow import answers_of, matrix_of
from taut.models.compiled.probing import sample_of
from taut.serve.batch.plan import Options
from taut.serve.batch.texts import typed_text

ID, VERSION, ERROR = "id", "model_version", "error"
PROBE_ROWS = 8
Model = Predictor | CompiledPredictor


@dataclass(frozen=True, slots=True)
class Answered:
    """The rows of a batch that have a prediction: their places in it, what the model was asked, what it said."""

    places: NDArray[np.int64]
    inputs: pa.RecordBatch
    outputs: dict[str, pa.Array]


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions with their ids; how many rows have none, how many were left out, what was wrong with the first.

    `answered` is there where the job is logged.
    """

    batch: pa.RecordBatch
    nulled: int = 0
    skipped: int = 0
    said: str = ""
    answered: Answered | None = None


class Scorer:
    """Scores batches of one kind of table by one model, as `options` ask."""

    def __init__(self, model: Model, options: Options, version: str) -> None:
        self._model, self._options, self._version = model, options, version
        self._outputs = _probed(model)

    def score(self, batch: pa.RecordBatch, *, ids: str, first: int, at: int = 0, is_text: bool = False) -> Scored:
        """Predict the rows of a batch, of which the first is row `first` of its part and `ids` begins the ids made.

        `at` is that row's number in its file, counted from 0, by which wrong rows are named; `is_text` says that all
        cells are text. Raises Invalid where wrong rows stop a job.
        """
        made = self._ids(batch, ids, first, at)
        typed, wrong = _typed(self._model.signature, batch) if is_text else (batch, [])
        prepared, more = self._prepared(typed)
        wrong += more
        if not wrong:
            try:
                said_of = self._answers(prepared)
                answered = self._answered(np.arange(batch.num_rows), typed, said_of)
                return Scored(self._assembled(made, batch, said_of, None), answered=answered)
            except Invalid:
                if self._options.on_error == "stop":
                    row, why = next(self._refused(typed, 0), (0, ""))
                    if why:
                        raise Invalid(f"row {at + row}: {why}") from None
                    raise
        said = _reasons(wrong)
        if said and self._options.on_error == "stop":
            raise Invalid(f"row {at + min(said)}: {said[min(said)]}")
        return self._partly(batch, typed, made, said, at)

    def _partly(
        self, batch: pa.RecordBatch, typed: pa.RecordBatch, made: pa.Array, said: dict[int, str], at: int
    ) -> Scored:
        """Predictions of the rows that can be made; the others, `said` with what is wrong, are null or left out."""
        good = np.delete(np.arange(batch.num_rows), list(said))
        columns: dict[str, pa.Array] = {}
        if len(good):
            rest = typed.take(pa.array(good))
            refused = dict(self._refused(rest, 0))
            said |= {int(good[row]): why for row, why in refused.items()}
            good = np.delete(good, list(refused))
        if len(good):
            columns = self._answers(self._prepared(typed.take(pa.array(good)))[0])
        told = f"row {at + min(said)}: {said[min(said)]}" if said else ""
        answered = self._answered(good, typed.take(pa.array(good, pa.int64())), columns) if len(good) else None
        if self._options.on_error == "skip":
            kept = pa.array(good, pa.int64())
            return Scored(
                self._assembled(made.take(kept), batch.take(kept), columns, None), 0, len(said), told, answered
            )
        places, is_null = np.zeros(batch.num_rows, "int64"), np.ones(batch.num_rows, bool)
        places[good], is_null[good] = np.arange(len(good)), False
        spread = {name: cells.take(pa.array(places, mask=is_null)) for name, cells in columns.items()}
        errors = pa.array([said.get(row) for row in range(batch.num_rows)], pa.string())
        return Scored(self._assembled(made, batch, spread, errors), len(said), 0, told, answered)

    def _answered(self, places: NDArray[np.int64], asked: pa.RecordBatch, said: dict[str, pa.Array]) -> Answered | None:
        """What is logged of rows, where the job is."""
        if not self._options.log:
            return None
        outputs = {name: said[name].cast(kind) for name, kind in self._outputs.items()}
        return Answered(places, asked.select(list(self._model.signature.names)), outputs)

    def _prepared(self, batch: pa.RecordBatch) -> tuple[Any, list[WrongCells]]:
        """Rows as the model takes them, where nothing is wrong with them."""
        if isinstance(self._model, CompiledPredictor):
            return matrix_of(self._model, batch)
        return table_of_batch(self._model.signature, batch)

    def _answers(self, prepared: Any) -> dict[str, pa.Array]:
        """What the model says of rows. Raises Invalid where it refuses one of them, whatever it raises."""
        model = self._model
        if isinstance(model, CompiledPredictor):
            return answers_of(model, prepared)
        try:
            return {name: pa.array(values) for name, values in model.answered(prepared).items()}
        except Invalid:
            raise
        except Exception as problem:  # A model is foreign code; what it raises is told with the row that it is about.
            raise Invalid(f"the model failed: {type(problem).__name__}: {str(problem)[:300]}") from problem

    def _refused(self, batch: pa.RecordBatch, start: int) -> Iterator[tuple[int, str]]:
        """The rows that a model refuses, found by halves, each with its words; `start` is the first one's number."""
        try:
            self._answers(self._prepared(batch)[0])
        except Invalid as problem:
            if batch.num_rows == 1:
                yield start, problem.message
                return
            half = batch.num_rows // 2
            yield from self._refused(batch.slice(0, half), start)
            yield from self._refused(batch.slice(half), start + half)

    def _ids(self, batch: pa.RecordBatch, ids: str, first: int, at: int) -> pa.Array:
        if not self._options.id_column:
            numbers = pa.array(np.arange(first, first + batch.num_rows)).cast(pa.string())
            return pc.binary_join_element_wise(pa.scalar(ids), numbers, "")
        cells = batch.column(self._options.id_column)
        if pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        if cells.null_count:
            row = at + int(cells.is_null().to_numpy(zero_copy_only=False).argmax())
            raise Invalid(f"row {row}: column {self._options.id_column!r} is the id; it is null")
        return cells.cast(pa.string())

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what the model answers."""
        return tuple(self._outputs)

    def repeated(self, schema: pa.Schema) -> list[str]:
        """The columns written that hold few values, over and over: not ids, and no numbers that are computed."""
        plain = {ID} | {name for name in schema.names if pa.types.is_floating(schema.field(name).type)}
        return [name for name in schema.names if name not in plain]

    def schema(self, read: pa.Schema) -> pa.Schema:
        """The columns that are written for tables of a schema."""
        kept = [read.field(name).remove_metadata() for name in self._options.keep]
        error = [pa.field(ERROR, pa.string())] if self._options.on_error == "null" else []
        outputs = [pa.field(name, kind) for name, kind in self._outputs.items()]
        version = pa.field(VERSION, pa.dictionary(pa.int32(), pa.string()))
        return pa.schema([pa.field(ID, pa.string()), *kept, *outputs, *error, version])

    def _assembled(
        self, ids: pa.Array, batch: pa.RecordBatch, said: dict[str, pa.Array], errors: pa.Array | None
    ) -> pa.RecordBatch:
        rows = len(ids)
        columns: dict[str, pa.Array] = {ID: ids, **{name: batch.column(name) for name in self._options.keep}}
        for name, kind in self._outputs.items():
            cells = said[name] if said else pa.nulls(rows, kind)
            columns[name] = cells if cells.type == kind else cells.cast(kind)
        if self._options.on_error == "null":
            columns[ERROR] = pa.nulls(rows, pa.string()) if errors is None else errors
        version = pa.array(np.zeros(rows, "int32"))
        columns[VERSION] = pa.DictionaryArray.from_arrays(version, pa.array([self._version]))
        return pa.RecordBatch.from_pydict(columns)


def _reasons(wrong: list[WrongCells]) -> dict[int, str]:
    """Of each row with a cell that its column does not take, what is wrong with the first such cell."""
    if not wrong:
        return {}
    rows = np.flatnonzero(merged([one.rows for one in wrong])).tolist()
    return {row: next(one.said(row) for one in wrong if one.rows[row]) for row in rows}


def columns_read(signature: Signature, options: Options, schema: pa.Schema, *, is_text: bool) -> list[str]:
    """The columns that a job reads of a table, once each. Raises Invalid for one that lacks or has the wrong type."""
    if not is_text:
        must_take(signature, schema)
    named = [name for name in (options.id_column, options.event_time) if name]
    chosen = [*signature.names, *named, *options.keep]
    for name in chosen:
        if name not in schema.names:
            raise Invalid(f"column {name!r} is missing; there are {', '.join(schema.names[:20])}")
    return list(dict.fromkeys(chosen))


def must_not_clash(model: Model, options: Options) -> None:
    """Raise Invalid where a column that goes along is called as one that is written anyway."""
    taken = {ID, VERSION, *_probed(model), *([ERROR] if options.on_error == "null" else [])}
    if clash := sorted(taken & set(options.keep)):
        raise Invalid(f"column {clash[0]!r} cannot be kept: the output has a column of that name", hint="rename it")


def _typed(signature: Signature, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[WrongCells]]:
    """Text in the kinds of the signature, and which texts are none of theirs."""
    columns, wrong = {}, []
    for column in signature.inputs:
        cells = batch.column(column.name)
        columns[column.name], rows = typed_text(column, cells)
        if rows is not None:
            wrong.append(WrongCells(column, rows, cells))
    return pa.RecordBatch.from_pydict(columns), wrong


def _probed(model: Model) -> dict[str, pa.DataType]:
    """The names and types of what a model answers: asked with made-up rows where it has no classes."""
    texts = (
        {name: list(known) for name, known in model.described.vocabularies.items()}
        if isinstance(model, CompiledPredictor)
        else {}
    )
    if isinstance(model, CompiledPredictor) and not model.described.classes:
        return {"prediction": pa.float64()}
    if not model.classes:
        try:
            said = model.predict(sample_of(model.signature, texts, rows=PROBE_ROWS, seed=0))
        except Exception:  # noqa: BLE001  # It refuses rows that nobody meant: then it is taken to answer numbers, as most do.
            return {"prediction": pa.float64()}
        return {name: pa.array(values).type for name, values in said.items()}
    names = [f"probability_{name}" for name in model.classes] if len(model.classes) > 2 else ["probability"]
    return {"prediction": pa.array(list(model.classes)).type, **dict.fromkeys(names, pa.float64())}
