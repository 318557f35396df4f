"""How often each value of a column was there: exactly while they are few, then the most frequent within a bound."""

import numpy as np
import pyarrow as pa

from taut.data.tables.distinct import Sketch, hashes_of, keys_of
from taut.data.tables.profile import DISTINCT_MAX

COUNTERS, COUNTERS_MIN = 2_000_000, 256  # Of all columns of a table together, and of one however many there are.
GIVE_UP = 3  # So often in a row no value was more frequent than the rest: it is an identifier or a measurement.
KEY_LENGTH = 256


def counters_of(columns: int) -> int:
    """How many values a column counts, so that a table of so many columns stays within memory.

    >>> counters_of(10), counters_of(2_000), counters_of(100_000)
    (100000, 1000, 256)
    """
    return max(COUNTERS_MIN, min(DISTINCT_MAX, COUNTERS // max(columns, 1)))


class Frequencies:
    """Counters of values; past `most` of them the rarest go, by as much each, and a sketch counts the distinct ones.

    No count is short by more than `short`: at most all rows / (most + 1), but where no value was ever more frequent
    than the rest, counting is given up, and then nothing is known of how frequent any is.
    Source: Misra, Gries, Finding repeated elements, 1982.
    """

    def __init__(self, most: int) -> None:
        self.short = 0
        self.given_up = False
        self._most = most
        self._emptied = 0
        self._waiting: list[pa.Table] = []
        self._held = 0
        self._counted: pa.Table | None = None
        self._sketch: Sketch | None = None

    def add(self, values: pa.Array, counts: pa.Array) -> None:
        """Count values, each so often; the same may stand in it twice."""
        assert not self.given_up
        self._waiting.append(pa.table({"value": _kept(values), "count": counts}))
        self._held += len(values)
        if self._held > 4 * self._most:
            self._settle()

    def add_each(self, values: pa.Array) -> None:
        """Count values once each, whose counters were given up."""
        assert self._sketch is not None
        assert self.given_up
        self._sketch.add(hashes_of(_kept(values)))
        self.short += len(values)

    def distinct(self) -> tuple[int, float]:
        """How many different values there were, and the relative standard error of that: 0 where it is exact."""
        counted = self.counted()
        if self._sketch is None:
            return (0 if counted is None else counted.num_rows), 0.0
        return max(self._sketch.estimate(), self._most), self._sketch.error

    def sketch(self) -> Sketch:
        """The sketch of all values that were seen."""
        counted = self.counted()
        if self._sketch is not None:
            return self._sketch
        made = Sketch()
        if counted is not None and counted.num_rows:
            made.add(hashes_of(counted["value"].combine_chunks()))
        return made

    def counted(self) -> pa.Table | None:
        """The values that are kept with their counts; None where there was never one."""
        self._settle()
        return self._counted

    def _settle(self) -> None:
        if not self._waiting:
            return
        if self._sketch is not None:
            for table in self._waiting:
                self._sketch.add(hashes_of(table["value"].combine_chunks()))
        both = pa.concat_tables([*([] if self._counted is None else [self._counted]), *self._waiting])
        self._waiting, self._held = [], 0
        # Twenty times as fast as grouping, which Arrow prepares for many threads and many keys.
        encoded = both["value"].combine_chunks().dictionary_encode()
        values, places = encoded.dictionary, encoded.indices.to_numpy()
        counts = np.bincount(places, weights=both["count"].to_numpy(), minlength=len(values)).astype(np.int64)
        if len(values) > self._most:
            if self._sketch is None:
                self._sketch = Sketch()
                self._sketch.add(hashes_of(values))
            taken = int(np.partition(counts, -self._most - 1)[-self._most - 1])
            left = counts > taken
            values, counts = values.filter(pa.array(left)), counts[left] - taken
            self.short += taken
            self._emptied = 0 if len(values) else self._emptied + 1
            self.given_up = self._emptied == GIVE_UP
        self._counted = pa.table({"value": values, "count": counts})


def _kept(values: pa.Array) -> pa.Array:
    is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    return keys_of(values, KEY_LENGTH) if is_text else values
