"""One part of a batch: rows read, scored, written to a file that gets its name only when it is whole."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from taut.errors import Invalid, Unavailable
from taut.ground import wire
from taut.models import ServedForm
from taut.serve.batch.logged import LogTo, PartLog, PartLogger
from taut.serve.batch.places import connect_place
from taut.serve.batch.plan import DonePart, Input, Part, Plan
from taut.serve.batch.reading import Reader, must_be_unchanged, open_reader, schema_of
from taut.serve.batch.scoring import Scored, Scorer, columns_read

GROUP_BYTES = 16 << 20  # Of output that is written as one row group.
LEVEL = 1  # Of zstd: the ids fall to a tenth already, and 3 costs twice the time for a twentieth of the size.


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told once: the plan, its model, where it reads and writes, keys in the URLs included."""

    plan: Plan
    form: ServedForm
    source: str
    output: str
    log: LogTo | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A part that is there, and what of it goes into a prediction log; None where the job has none."""

    done: DonePart
    log: PartLog | None = None


class Session:
    """A loaded model that writes parts, one after the other; the file that it read last stays open."""

    def __init__(self, setup: Setup) -> None:
        pa.set_cpu_count(1)  # There is a worker for each core.
        pa.set_io_thread_count(1)
        self._setup, self._plan = setup, setup.plan
        self._model = setup.form.load(threads=1)
        self._scorer = Scorer(self._model, setup.plan.options, setup.plan.model)
        self._place = connect_place(setup.output)
        self._opened: tuple[int, Reader, pa.Schema] | None = None

    def write(self, part: Part) -> Written:
        """Score a part and put it there. Doing it again makes the same rows with the same ids.

        Raises Invalid that names file and row, Conflict where the input was changed, Unavailable for a full disk.
        """
        source = self._plan.inputs[part.input]
        made = self._place.scratch() / f"{secrets.token_hex(8)}-{part.name}"
        try:
            return self._written(part, source, made)
        except OSError as problem:
            if problem.errno is None:
                raise
            raise Unavailable(
                f"{self._place.url} did not take {part.name}: {os.strerror(problem.errno)}", hint=f"df -h {made.parent}"
            ) from problem
        finally:
            made.unlink(missing_ok=True)

    def close(self) -> None:
        """Give back what is open."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def _written(self, part: Part, source: Input, made: Path) -> Written:
        reader, schema = self._reader(part.input, source)
        logger = None if self._setup.log is None else PartLogger(self._setup.log, self._plan, part)
        told, said = dict.fromkeys(("nulled", "skipped"), 0), ""
        known = {"job": self._plan.job, "part": part.number, "model": self._plan.model, "file": source.name,
                 "first_row": part.start, "rows": part.stop - part.start,
                 "outputs": self._scorer.outputs, "kept": self._plan.options.keep}  # fmt: skip
        schema = schema.with_metadata({b"taut": wire.encode(known)})
        with pq.ParquetWriter(made, schema, compression="zstd", compression_level=LEVEL,
                              use_dictionary=self._scorer.repeated(schema), write_statistics=False) as out:  # fmt: skip
            for group in _grouped(self._scored(reader, source, part, logger)):
                out.write_table(pa.Table.from_batches([one.batch for one in group]).cast(schema))
                for one in group:
                    told["nulled"] += one.nulled
                    told["skipped"] += one.skipped
                    said = said or one.said
        must_be_unchanged(self._setup.source, source)
        with made.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = made.stat().st_size
        mark = self._place.publish(part.name, made)
        said = f"{source.name}: {said}" if said else ""
        rows = part.stop - part.start
        done = DonePart(part.number, rows, told["nulled"], told["skipped"], size, digest, mark, said)
        return Written(done, None if logger is None else logger.log())

    def _scored(self, reader: Reader, source: Input, part: Part, logger: PartLogger | None) -> Iterator[Scored]:
        first = 0
        for batch in reader.read(part):
            try:
                at = part.start + first
                scored = self._scorer.score(
                    batch, ids=f"{self._plan.job}.{part.number}.", first=first, at=at, is_text=source.format == "csv"
                )
                if logger is not None and scored.answered is not None:
                    logger.take(batch, scored.answered, first=first, at=at)
            except Invalid as problem:
                raise Invalid(
                    f"{source.name}, {problem.message}", hint=problem.hint or "--on-error null, or --on-error skip"
                ) from problem
            yield scored
            first += batch.num_rows

    def _reader(self, number: int, source: Input) -> tuple[Reader, pa.Schema]:
        """The file of a part, which stays open for the next, and the columns that are written of it."""
        if self._opened is None or self._opened[0] != number:
            self.close()
            schema = schema_of(self._setup.source, source)
            is_text = source.format == "csv"
            columns = columns_read(self._model.signature, self._plan.options, schema, is_text=is_text)
            words = [column.name for column in self._model.signature.inputs if column.kind == "string"]
            reader = open_reader(self._setup.source, source, columns, words=words)
            self._opened = number, reader, self._scorer.schema(schema)
        return self._opened[1], self._opened[2]


def _grouped(scored: Iterator[Scored]) -> Iterator[list[Scored]]:
    """Batches gathered to row groups of some size."""
    group, size = list[Scored](), 0
    for one in scored:
        group.append(one)
        size += one.batch.nbytes
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
