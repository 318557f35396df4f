"""The reference profile: what inputs, scores and errors looked like when all was well, small enough to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace

from taut.errors import Invalid
from taut.watch.columns import Column, is_numeric, numeric_array
from taut.watch.dispersion import with_dispersion
from taut.watch.events import (
    SCORE,
    SCORE_BINS,
    Reference,
    categorical_feature,
    label_features,
    numeric_feature,
    order_cuts,
)
from taut.watch.order import Coverage, clocks_of
from taut.watch.pairs import pairs_feature
from taut.watch.rows import duplicates_of, row_hashes


def make_reference(
    columns: Mapping[str, Column],
    *,
    scores: Column | None = None,
    targets: Column | None = None,
    blocks: Sequence[object] | None = None,
    sure: float = 1.0,
    threshold: float = 0.5,
    coverage: Coverage | None = None,
) -> Reference:
    """The profile of a reference sample: `columns` by name, all of the same length, in time order.

    `scores` are the model's scores for the same rows and `targets` their true labels (0 or 1; None where not known).
    The labels are a fair reference only where the model was **not** trained on these rows. `blocks` gives each row's
    block (its day, say), equal ones in a row: with it the over-dispersion of every event is estimated, without it rows
    count as independent. With `sure` below 1 only swings count that independent rows show with so small a chance.
    `coverage` is kept with it. Columns that only count the time are not watched: they are among its `clocks`.
    Raises Invalid where the lengths differ or no row is left.

    >>> reference = make_reference({"age": [20.0, 30.0, 40.0, None], "plan": ["a", "b", "a", "a"]})
    >>> [feature.name for feature in reference.features], reference.rows
    (['age', 'plan'], 4)
    """
    rows = _rows_of(columns, scores=scores, targets=targets, blocks=blocks)
    clocks = clocks_of(columns)
    columns = {name: column for name, column in columns.items() if name not in clocks}
    features = [numeric_feature(n, c) if is_numeric(c) else categorical_feature(n, c) for n, c in columns.items()]
    cuts: tuple[float, ...] = ()
    given = dict(columns)
    if scores is not None:
        features.append(replace(numeric_feature(SCORE, scores), kind="score"))
        given[SCORE] = scores
        cuts = order_cuts(numeric_array(scores), SCORE_BINS - 1)
        if targets is not None:
            features += label_features(numeric_array(scores), numeric_array(targets), cuts, threshold)
    if (pairs := pairs_feature(features, given)) is not None:
        features.append(pairs)
    watched = tuple(f for f in features if f.events)
    twice = duplicates_of(row_hashes(columns, [f.name for f in watched if f.kind in {"numeric", "categorical"}], rows))
    reference = Reference(rows, watched, cuts, threshold, clocks, coverage, duplicates=twice)
    if blocks is None:
        return reference
    return with_dispersion(reference, columns, scores=scores, targets=targets, blocks=blocks, sure=sure)


def _rows_of(columns: Mapping[str, Column], **others: Sized | None) -> int:
    """The number of rows that all of them share."""
    lengths = {name: len(column) for name, column in columns.items()}
    lengths |= {name: len(other) for name, other in others.items() if other is not None}
    if len(set(lengths.values())) != 1 or not max(lengths.values()):
        raise Invalid(f"a reference needs columns of one length, at least one row; found {lengths}")
    return next(iter(lengths.values()))
