"""CSV as columns, read by the kinds of a signature, with the words that pandas takes for a missing value."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from taut.errors import Invalid
from taut.models.inputs import Cell
from taut.models.signature import Signature
from taut.serve.requests.asked import Columns, must_have_few
from taut.serve.requests.rows import first_twice

MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
NUMBERS: dict[str, Callable[[str], Cell]] = {"double": float, "float": float, "long": int, "integer": int}


def read_csv(body: bytes) -> dict[str, list[str]]:
    """Columns of text from CSV with a heading; empty lines are left out. Raises Invalid with the row that is ragged."""
    must_have_few(body, (b",", b"\n"))
    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""))
        lines = [(reader.line_num, line) for line in reader if line]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise Invalid(f"the CSV cannot be read: {problem}") from None
    if len(lines) < 2:
        raise Invalid("the CSV needs a heading and at least one row")
    (_, heading), *rows = lines
    if (twice := first_twice(heading)) is not None:
        raise Invalid(f"the CSV has two columns called {twice!r:.80}")
    for number, row in rows:
        if len(row) != len(heading):
            raise Invalid(f"line {number} of the CSV has {len(row)} values, the heading has {len(heading)}")
    return dict(zip(heading, map(list, zip(*(row for _, row in rows), strict=True)), strict=True))


def parsed(signature: Signature, columns: Mapping[str, Sequence[str]]) -> Columns:
    """Columns of text, as a CSV file has them, in the kinds of the signature; None for what pandas calls missing.

    A text that is no value of its kind stays a text, for the model to name.
    """
    kinds = {column.name: column.kind for column in signature.inputs}
    return {name: _read(kinds.get(name, "string"), texts) for name, texts in columns.items()}


def _read(kind: str, texts: Sequence[str]) -> list[Cell]:
    """One column: at once where all of it reads well, value by value where something does not."""
    has_missing = not MISSING.isdisjoint(texts)
    read = reader_of(kind)
    if kind in NUMBERS and not has_missing and _is_plain(texts):
        try:
            return list(map(NUMBERS[kind], texts))
        except ValueError:
            pass  # Value by value, then.
    return [None if text in MISSING else read(text) for text in texts]


def reader_of(kind: str) -> Callable[[str], Cell]:
    """How one text that is not missing is read as a kind of column; the text itself where it is no value of it.

    >>> reader_of("long")("10.0"), reader_of("boolean")("TRUE"), reader_of("double")("much")
    (10.0, True, 'much')
    """
    if kind in NUMBERS:
        return _number(NUMBERS[kind])
    return _truth if kind == "boolean" else str


def _is_plain(texts: Sequence[str]) -> bool:
    """Whether no text has what Python reads as a number and no CSV means as one: 1_000, or digits of other scripts."""
    together = "".join(texts)
    return together.isascii() and "_" not in together


def _truth(text: str) -> Cell:
    return TRUTHS.get(text, text)


def _number(read: Callable[[str], Cell]) -> Callable[[str], Cell]:
    """A reader of one text: as `read` does, else as a float, for whole numbers are written 10.0 too; else the text."""

    def number(text: str) -> Cell:
        for attempt in (read, float) if _is_plain((text,)) else ():
            try:
                return attempt(text)
            except ValueError:
                continue
        return text

    return number
