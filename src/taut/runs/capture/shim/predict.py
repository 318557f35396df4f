"""Loads two copies of an MLflow model and lets both predict its own input example; says how far they are apart.

Called `predict.py ONE OTHER` with the interpreter of the run. Prints JSON: `rows`, and `gap`, the largest absolute
difference (null where an answer that is no number differs).
"""

import json
import sys
from typing import Any


def answers(folder: str, example: Any) -> list[Any]:
    """What a model says, with the probabilities where it gives some."""
    import mlflow.pyfunc
    import numpy

    model = mlflow.pyfunc.load_model(folder)
    said = [numpy.asarray(model.predict(example))]
    raw = model.get_raw_model() if hasattr(model, "get_raw_model") else None  # type: Any
    if hasattr(raw, "predict_proba"):
        said.append(numpy.asarray(raw.predict_proba(example)))
    return said


def main() -> None:
    """Compare and print."""
    import numpy
    from mlflow.models import Model

    one, other = sys.argv[1:3]
    example = Model.load(one).load_input_example(one)
    if example is None:
        sys.exit("the model was saved without an input example")
    gap = 0.0  # type: float | None
    for before, after in zip(answers(one, example), answers(other, example), strict=True):
        if before.shape != after.shape:
            gap = None
        elif before.dtype.kind in "fiub" and after.dtype.kind in "fiub":
            if gap is not None and before.size:
                gap = max(gap, float(numpy.max(numpy.abs(before.astype(float) - after.astype(float)))))
        elif not (before == after).all():
            gap = None
    sys.stdout.write(json.dumps({"rows": len(example), "gap": gap}) + "\n")


if __name__ == "__main__":
    main()
