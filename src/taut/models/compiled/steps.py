"""What comes before the model: transformers of scikit-learn as operators. One function and one row of STEPS each."""

from collections.abc import Callable, Sequence
from typing import Any

from taut.models.compiled.graph import MISSING, Column, Graph, Unsupported

Step = Callable[[Graph, Any, list[Column]], list[Column]]


def name_of(step: object) -> str:
    """A class as its users import it: `sklearn.preprocessing.StandardScaler`."""
    parts = type(step).__module__.split(".")
    return ".".join([*(part for part in parts[:2] if not part.startswith("_")), type(step).__name__])


def apply_step(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    """The columns after a step. Raises Unsupported for one that STEPS does not know."""
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return columns
    name = name_of(step)
    if name not in STEPS:
        raise Unsupported(f"the step {name}")
    return STEPS[name](graph, step, columns)


def refuse_missing(graph: Graph, step: Any, rows: str) -> None:
    """Refuse rows with a missing value, where the step itself does."""
    from sklearn.utils import get_tags

    if not get_tags(step).input_tags.allow_nan:
        graph.refuse_any(graph.op("IsNaN", rows), "Input X contains NaN.")


def numbers(graph: Graph, columns: Sequence[Column]) -> str:
    """Columns of numbers as one tensor. Raises Unsupported where one holds texts: only encoders take those."""
    if any(column.words is not None for column in columns):
        raise Unsupported("texts where numbers are wanted")
    return graph.matrix(columns)


def _pipeline(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    for _, inner in step.steps:
        columns = apply_step(graph, inner, columns)
    return columns


def _column_transformer(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    made: list[Column] = []
    for name, inner, _ in step.transformers_:
        places = step._transformer_to_input_indices.get(name, ())  # Nothing public tells them.
        if (isinstance(inner, str) and inner == "drop") or len(places) == 0:
            continue
        made += apply_step(graph, inner, [columns[place] for place in places])
    return made


def _feature_union(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    if step.transformer_weights:
        raise Unsupported("a FeatureUnion with weights")
    parts = [inner for _, inner in step.transformer_list if not (isinstance(inner, str) and inner == "drop")]
    return [column for inner in parts for column in apply_step(graph, inner, columns)]


def _simple_imputer(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    import numpy as np

    marker = step.missing_values
    if step.add_indicator or not (isinstance(marker, float) and np.isnan(marker)):
        raise Unsupported("a SimpleImputer with an indicator, or of values that are not NaN")
    fills = list(step.statistics_)
    texts = [column.words is not None for column in columns]
    if all(texts):
        codes = [graph.code(str(column.words), fill) for column, fill in zip(columns, fills, strict=True)]
        rows = graph.matrix(columns)
        missing = graph.op("Equal", rows, graph.constant(np.array([MISSING])))
        filled = graph.op("Where", missing, graph.constant(np.array([codes])), rows)
        graph.widths[filled] = len(columns)
        return [Column(filled, place, column.words) for place, column in enumerate(columns)]
    if any(texts):
        raise Unsupported("a SimpleImputer over texts and numbers at once")
    values = np.array(fills, dtype=np.float64)
    kept = [place for place, value in enumerate(values) if not np.isnan(value)]
    if len(kept) < len(columns) and step.keep_empty_features:
        raise Unsupported("a SimpleImputer that keeps empty columns")
    rows = numbers(graph, [columns[place] for place in kept])
    filled = graph.op("Where", graph.op("IsNaN", rows), graph.constant(values[None, kept]), rows)
    return graph.columns(filled, len(kept))


def _scaled(graph: Graph, rows: str, width: int, operations: Sequence[tuple[str, Any]]) -> list[Column]:
    """One operator after another, each with a number a column; None leaves one out."""
    import numpy as np

    for kind, values in operations:
        if values is not None:
            rows = graph.op(kind, rows, graph.constant(np.asarray(values, dtype=np.float64)[None, :]))
    return graph.columns(rows, width)


def _standard_scaler(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    centre = step.mean_ if step.with_mean else None
    return _scaled(graph, numbers(graph, columns), len(columns), [("Sub", centre), ("Div", step.scale_)])


def _robust_scaler(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    centre = step.center_ if step.with_centering else None
    scale = step.scale_ if step.with_scaling else None
    return _scaled(graph, numbers(graph, columns), len(columns), [("Sub", centre), ("Div", scale)])


def _max_abs_scaler(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    if getattr(step, "clip", False):
        raise Unsupported("a MaxAbsScaler that clips")
    return _scaled(graph, numbers(graph, columns), len(columns), [("Div", step.scale_)])


def _min_max_scaler(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    import numpy as np

    made = _scaled(graph, numbers(graph, columns), len(columns), [("Mul", step.scale_), ("Add", step.min_)])
    if not step.clip:
        return made
    low, high = (graph.constant(np.array(float(bound))) for bound in step.feature_range)
    return graph.columns(graph.op("Clip", graph.matrix(made), low, high), len(columns))


def _codes(graph: Graph, column: Column, categories: Sequence[Any]) -> list[float]:
    """Categories as they stand in a column: codes of texts, or the numbers themselves."""
    if column.words is not None:
        # None is no value that a request can have: a missing text is NaN, which is a category of its own.
        return [MISSING - 1 if value is None else graph.code(column.words, value) for value in categories]
    try:
        return [float(value) for value in categories]
    except (TypeError, ValueError):
        raise Unsupported("an encoder of texts over a column of numbers") from None


def _matched(graph: Graph, columns: Sequence[Column], categories: Sequence[Sequence[float]]) -> str:
    """Whether each category of each column is there [rows, categories of all columns]."""
    import numpy as np

    repeated = [column for column, known in zip(columns, categories, strict=True) for _ in known]
    values = np.array([value for known in categories for value in known])
    rows = graph.matrix(repeated)
    same = graph.op("Equal", rows, graph.constant(values[None, :]))
    if not np.isnan(values).any():
        return same
    wanted = graph.constant(np.isnan(values)[None, :])
    return graph.op("Or", same, graph.op("And", graph.op("IsNaN", rows), wanted))


def _refuse_unknown(graph: Graph, matched: str, categories: Sequence[Sequence[float]], names: Sequence[str]) -> None:
    """Refuse rows where none of a column's categories is there."""
    import numpy as np
    from onnx import TensorProto

    belongs = np.zeros((sum(map(len, categories)), len(categories)))
    at = 0
    for place, known in enumerate(categories):
        belongs[at : at + len(known), place] = 1.0
        at += len(known)
    found = graph.op("MatMul", graph.op("Cast", matched, to=TensorProto.DOUBLE), graph.constant(belongs))
    none = graph.op("Equal", found, graph.constant(np.array([0.0])))
    graph.refuse(none, [f"column {name} has a value that it was not trained on" for name in names])


def _names(step: Any, count: int) -> list[str]:
    given = getattr(step, "feature_names_in_", None)
    return [repr(str(name)) for name in given] if given is not None else [str(place) for place in range(count)]


def _one_hot_encoder(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    import numpy as np
    from onnx import TensorProto

    if getattr(step, "_infrequent_enabled", False):
        raise Unsupported("a OneHotEncoder with infrequent categories")
    if step.handle_unknown not in ("error", "ignore"):
        raise Unsupported(f"a OneHotEncoder with handle_unknown={step.handle_unknown!r}")
    categories = [_codes(graph, column, known) for column, known in zip(columns, step.categories_, strict=True)]
    matched = _matched(graph, columns, categories)
    if step.handle_unknown == "error":
        _refuse_unknown(graph, matched, categories, _names(step, len(columns)))
    made = graph.columns(graph.op("Cast", matched, to=TensorProto.DOUBLE), sum(map(len, categories)))
    if step.drop_idx_ is None:
        return made
    ends = np.cumsum([len(known) for known in categories])
    starts = [0, *ends[:-1]]
    dropped = {int(start + place) for start, place in zip(starts, step.drop_idx_, strict=True) if place is not None}
    return [column for place, column in enumerate(made) if place not in dropped]


def _ordinal_encoder(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    import numpy as np
    from onnx import TensorProto

    if getattr(step, "_infrequent_enabled", False):
        raise Unsupported("an OrdinalEncoder with infrequent categories")
    categories = [_codes(graph, column, known) for column, known in zip(columns, step.categories_, strict=True)]
    matched = _matched(graph, columns, categories)
    total = sum(map(len, categories))
    places, counts = np.zeros((total, len(columns))), np.zeros((total, len(columns)))
    at = 0
    for column, known in enumerate(categories):
        for place, value in enumerate(known):
            missing = np.isnan(value) or (value == MISSING and columns[column].words is not None)
            # A missing category has its own place in the answer, NaN where nothing else is said: it is set below.
            places[at, column] = 0.0 if missing else float(place)
            counts[at, column] = 1.0
            at += 1
    told = graph.op("Cast", matched, to=TensorProto.DOUBLE)
    answer = graph.op("MatMul", told, graph.constant(places))
    known_here = graph.op("MatMul", told, graph.constant(counts))
    unknown = graph.op("Equal", known_here, graph.constant(np.array([0.0])))
    if step.handle_unknown == "error":
        graph.refuse(
            unknown, [f"column {n} has a value that it was not trained on" for n in _names(step, len(columns))]
        )
    else:
        fill = graph.constant(np.array(float(step.unknown_value)))
        answer = graph.op("Where", unknown, fill, answer)
    has_missing = np.array(
        [any(np.isnan(v) or (v == MISSING and c.words is not None) for v in known)
         for c, known in zip(columns, categories, strict=True)]
    )  # fmt: skip
    if has_missing.any():
        rows = graph.matrix(columns)
        texts = np.array([column.words is not None for column in columns])
        gone = graph.op("IsNaN", rows)
        if texts.any():
            is_text = graph.constant(texts[None, :])
            gone = graph.op(
                "Or", gone, graph.op("And", is_text, graph.op("Equal", rows, graph.constant(np.array([MISSING]))))
            )
        gone = graph.op("And", gone, graph.constant(has_missing[None, :]))
        answer = graph.op("Where", gone, graph.constant(np.array(float(step.encoded_missing_value))), answer)
    return graph.columns(answer, len(columns))


def _function(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    if step.func is not None:
        raise Unsupported("a FunctionTransformer with a function of its own")
    return columns


def _projected(graph: Graph, step: Any, columns: list[Column]) -> list[Column]:
    """PCA and truncated SVD: numbers times components."""
    import numpy as np

    rows = numbers(graph, columns)
    refuse_missing(graph, step, rows)
    turned = graph.op("MatMul", rows, graph.constant(np.asarray(step.components_, dtype=np.float64).T))
    if getattr(step, "mean_", None) is not None:
        shift = np.asarray(step.mean_, dtype=np.float64)[None, :] @ np.asarray(step.components_, dtype=np.float64).T
        turned = graph.op("Sub", turned, graph.constant(shift))
    if getattr(step, "whiten", False):
        scale = np.sqrt(step.explained_variance_)
        turned = graph.op("Div", turned, graph.constant(np.maximum(scale, np.finfo(scale.dtype).eps)[None, :]))
    return graph.columns(turned, len(step.components_))


STEPS: dict[str, Step] = {
    "sklearn.compose.ColumnTransformer": _column_transformer,
    "sklearn.decomposition.PCA": _projected,
    "sklearn.decomposition.TruncatedSVD": _projected,
    "sklearn.impute.SimpleImputer": _simple_imputer,
    "sklearn.pipeline.FeatureUnion": _feature_union,
    "sklearn.pipeline.Pipeline": _pipeline,
    "sklearn.preprocessing.FunctionTransformer": _function,
    "sklearn.preprocessing.MaxAbsScaler": _max_abs_scaler,
    "sklearn.preprocessing.MinMaxScaler": _min_max_scaler,
    "sklearn.preprocessing.OneHotEncoder": _one_hot_encoder,
    "sklearn.preprocessing.OrdinalEncoder": _ordinal_encoder,
    "sklearn.preprocessing.RobustScaler": _robust_scaler,
    "sklearn.preprocessing.StandardScaler": _standard_scaler,
}
