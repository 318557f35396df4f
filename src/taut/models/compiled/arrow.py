"""Record batches of Arrow straight into a compiled model's matrix, and its answers straight back into columns.

The same checks and the same answers as `CompiledPredictor.predict`, which takes a Python object a cell.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taut.errors import Invalid
from taut.models.arrow import Read, WrongCells, floats, plain_text, read_cells
from taut.models.compiled.graph import ANSWER, INPUT, MISSING, REFUSED, UNKNOWN
from taut.models.compiled.predictor import CompiledPredictor
from taut.models.signature import SignatureColumn

# Rows of one call: what passes between the steps of a graph stays in the processor's cache. Measured from 500 to
# 200,000 rows of 20 columns through 100 trees: 690,000 rows a core-second from 1,000 to 4,000, 280,000 at 200,000.
ROWS_AT_ONCE = 2_048


def matrix_of(model: CompiledPredictor, batch: pa.RecordBatch) -> tuple[Any, list[WrongCells]]:
    """Rows as the graph takes them [rows, columns], and what of the batch its columns do not take.

    The batch has the columns of the signature, others too, and types that `must_take` let pass.
    """
    rows = np.empty((batch.num_rows, len(model.signature.inputs)))
    wrong = []
    for place, column in enumerate(model.signature.inputs):
        cells = batch.column(column.name)
        rows[:, place], mask = _coded(model, column, cells)
        if mask is not None:
            wrong.append(WrongCells(column, mask, cells))
    return rows, wrong


def answers_of(model: CompiledPredictor, rows: Any) -> dict[str, pa.Array]:
    """What the graph answers to rows of `matrix_of`, one at least. Raises Invalid where the model refuses one."""
    asked = [ANSWER, REFUSED] if model.described.refusals else [ANSWER]
    said = [
        model.session.run(asked, {INPUT: rows[start : start + ROWS_AT_ONCE]})
        for start in range(0, len(rows), ROWS_AT_ONCE)
    ]
    if model.described.refusals:
        refused = np.concatenate([one[1] for one in said]).any(axis=0)
        if refused.any():
            raise Invalid(f"the model refused these rows: {model.described.refusals[int(refused.argmax())]}")
    return _columns(model, np.concatenate([one[0] for one in said]))


def _columns(model: CompiledPredictor, answer: Any) -> dict[str, pa.Array]:
    if not model.described.classes:
        return {"prediction": pa.array(np.ascontiguousarray(answer[:, 0]))}
    classes = pa.array(model.described.classes)
    said = {"prediction": classes.take(pa.array(answer.argmax(axis=1)))}
    if len(classes) == 2:
        return said | {"probability": pa.array(np.ascontiguousarray(answer[:, 1]))}
    return said | {
        f"probability_{name}": pa.array(np.ascontiguousarray(answer[:, place]))
        for place, name in enumerate(model.described.classes)
    }


def _coded(model: CompiledPredictor, column: SignatureColumn, cells: pa.Array) -> Read:
    if column.kind == "boolean":
        return floats(cells), None
    if column.kind != "string":
        return read_cells(column, cells)
    known = model.described.vocabularies.get(column.name, {})
    if not pa.types.is_dictionary(cells.type):
        return _codes(known, cells), None
    codes = np.append(_codes(known, cells.dictionary), MISSING)  # The last is that of a cell without an index.
    places = pc.fill_null(cells.indices, len(codes) - 1) if cells.indices.null_count else cells.indices
    return codes[places.to_numpy(zero_copy_only=False)], None


def _codes(known: dict[str, int], words: pa.Array) -> Any:
    """The code of each word: its place in the vocabulary, or what stands for an unknown or a missing one."""
    words = plain_text(words)
    if pa.types.is_null(words.type):
        return np.full(len(words), MISSING)
    found = pc.index_in(words, value_set=pa.array(list(known), words.type))
    codes = np.array([*known.values(), UNKNOWN], dtype="float64")[
        pc.fill_null(found, len(known)).to_numpy(zero_copy_only=False)
    ]
    if words.null_count:
        codes[words.is_null().to_numpy(zero_copy_only=False)] = MISSING
    return codes
