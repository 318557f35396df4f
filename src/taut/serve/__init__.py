"""deployment -> prediction: a server answers requests, gives each an id, and writes down what it said."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from taut.ground.late import names_of
from taut.home import Home

if TYPE_CHECKING:
    from taut.serve.client import Answered, predict, read_columns
    from taut.serve.log import (
        Asked,
        Columns,
        Condition,
        Labelled,
        LabelsAdded,
        LabelsLogged,
        PredictedRow,
        PredictedRows,
        PredictionReader,
        PredictionReaders,
        Span,
        Traffic,
        add_labels,
        each_request,
        find_answer,
        find_prediction,
        labelled_rows,
        list_predictions,
        log_labels,
        log_prediction,
        open_log,
        open_logs,
        predicted_rows,
        query_rows,
        read_condition,
        reseal_logs,
        traffic,
    )

PLACES = {
    "log": (
        "Asked",
        "Columns",
        "Condition",
        "Labelled",
        "LabelsAdded",
        "LabelsLogged",
        "PredictedRow",
        "PredictedRows",
        "PredictionReader",
        "PredictionReaders",
        "Span",
        "Traffic",
        "add_labels",
        "each_request",
        "find_answer",
        "find_prediction",
        "labelled_rows",
        "list_predictions",
        "log_labels",
        "log_prediction",
        "open_log",
        "open_logs",
        "predicted_rows",
        "query_rows",
        "read_condition",
        "reseal_logs",
        "traffic",
    ),
    "client": ("Answered", "predict", "read_columns"),
}

__all__ = [
    "Answered",
    "Asked",
    "Columns",
    "Condition",
    "Labelled",
    "LabelsAdded",
    "LabelsLogged",
    "PredictedRow",
    "PredictedRows",
    "PredictionReader",
    "PredictionReaders",
    "Span",
    "Traffic",
    "add_labels",
    "each_request",
    "find_answer",
    "find_prediction",
    "labelled_rows",
    "list_predictions",
    "log_labels",
    "log_prediction",
    "open_log",
    "open_logs",
    "predict",
    "predicted_rows",
    "query_rows",
    "read_columns",
    "read_condition",
    "reseal_logs",
    "serve_deployment",
    "serve_model",
    "traffic",
]

Told = Callable[[str], None]
"""Hears the URL of a server once it answers there."""


def serve_deployment(
    home: Home,
    deployment: str,
    revision: int,
    host: str,
    port: int,
    *,
    workers: int | None = None,
    told: Told = lambda _: None,
) -> None:
    """Serve one revision of a deployment (0: the newest) until SIGTERM or Ctrl-C; every answer is in the log.

    `home` is closed: the processes that answer open it for themselves. See `taut.serve.supervising.serve`.
    """
    from taut.serve.supervising import Recorded, serve  # Here alone, for it brings the web server along.

    home.close()
    serve(Recorded(home.place, home.project_name, deployment, revision), host, port, workers=workers, told=told)


def serve_model(
    home: Home, model: str, host: str, port: int, *, workers: int | None = None, told: Told = lambda _: None
) -> None:
    """Serve a model version (`late@3`) until SIGTERM or Ctrl-C, without a deployment and so without a log.

    `home` is closed: the processes that answer open it for themselves. See `taut.serve.supervising.serve`.
    """
    from taut.serve.supervising import Registered, serve  # Here alone, for it brings the web server along.

    home.close()
    serve(Registered(home.place, home.project_name, model), host, port, workers=workers, told=told)


__getattr__ = names_of("taut.serve", PLACES)
