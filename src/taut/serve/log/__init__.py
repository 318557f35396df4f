"""The prediction log: what was answered, written down before the answer leaves, and found again by id and by time."""

from typing import TYPE_CHECKING

from taut.ground.late import names_of

if TYPE_CHECKING:
    from taut.serve.log.ids import Stored
    from taut.serve.log.labelling import LabelsAdded, add_labels
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
    from taut.serve.log.paging import Asked, Labelled, each_request
    from taut.serve.log.policy import Policy, policy_of
    from taut.serve.log.querying import Condition, PredictedRow, query_rows, read_condition
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

PLACES = {
    "ids": ("Stored",),
    "labelling": ("LabelsAdded", "add_labels"),
    "labels": ("LabelsLogged", "PredictedRows", "Traffic", "labelled_rows", "log_labels", "predicted_rows", "traffic"),
    "learning": ("prepare", "sealing_command"),
    "paging": ("Asked", "Labelled", "each_request"),
    "policy": ("Policy", "policy_of"),
    "querying": ("Condition", "PredictedRow", "query_rows", "read_condition"),
    "reading": ("PredictionReader", "PredictionReaders", "open_log", "open_logs"),
    "rows": ("find_answer", "find_prediction", "list_predictions", "log_prediction", "same_inputs"),
    "said": ("REQUEST_ID", "Columns", "Said"),
    "spans": ("END_OF_TIME_MS", "Span"),
    "writing": ("LogPlace", "PredictionLog", "log_place", "reseal_logs"),
}

__all__ = [
    "END_OF_TIME_MS",
    "REQUEST_ID",
    "Asked",
    "Columns",
    "Condition",
    "Labelled",
    "LabelsAdded",
    "LabelsLogged",
    "LogPlace",
    "Policy",
    "PredictedRow",
    "PredictedRows",
    "PredictionLog",
    "PredictionReader",
    "PredictionReaders",
    "Said",
    "Span",
    "Stored",
    "Traffic",
    "add_labels",
    "each_request",
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
    "query_rows",
    "read_condition",
    "reseal_logs",
    "same_inputs",
    "sealing_command",
    "traffic",
]

__getattr__ = names_of("taut.serve.log", PLACES)
