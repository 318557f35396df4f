"""The prediction log: what was answered, written down before the answer leaves, and found again by id and by time."""

from taut.serve.log.ids import Stored
from taut.serve.log.labels import (
    LabelsLogged,
    PredictedRows,
    Traffic,
    labelled_rows,
    log_labels,
    predicted_rows,
    traffic,
)
from taut.serve.log.learning import prepare, sealing_command
from taut.serve.log.policy import Policy, policy_of
from taut.serve.log.reading import PredictionReader, PredictionReaders, open_log, open_logs
from taut.serve.log.rows import (
    find_answer,
    find_prediction,
    list_predictions,
    log_prediction,
    same_inputs,
)
from taut.serve.log.said import REQUEST_ID, Columns, Said
from taut.serve.log.spans import END_OF_TIME_MS, Span
from taut.serve.log.writing import LogPlace, PredictionLog, log_place, reseal_logs

__all__ = [
    "END_OF_TIME_MS",
    "REQUEST_ID",
    "Columns",
    "LabelsLogged",
    "LogPlace",
    "Policy",
    "PredictedRows",
    "PredictionLog",
    "PredictionReader",
    "PredictionReaders",
    "Said",
    "Span",
    "Stored",
    "Traffic",
    "find_answer",
    "find_prediction",
    "labelled_rows",
    "list_predictions",
    "log_labels",
    "log_place",
    "log_prediction",
    "open_log",
    "open_logs",
    "policy_of",
    "predicted_rows",
    "prepare",
    "reseal_logs",
    "same_inputs",
    "sealing_command",
    "traffic",
]
