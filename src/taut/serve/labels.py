"""Labels, by the name that they had before the prediction log was a package."""

from taut.serve.log.labels import (
    LabelsLogged,
    PredictedRows,
    Traffic,
    labelled_rows,
    log_labels,
    predicted_rows,
    traffic,
)

__all__ = ["LabelsLogged", "PredictedRows", "Traffic", "labelled_rows", "log_labels", "predicted_rows", "traffic"]
