"""Bytes -> request, answer -> bytes: the protocols of a server, as functions that know of no server."""

from taut.serve.requests.asked import REQUEST_ID, Body, Columns, Request, checked_id, event_time, must_be_plain
from taut.serve.requests.described import metadata_body, outputs_of_answer, outputs_of_classes, server_body
from taut.serve.requests.invocations import (
    InvocationReader,
    invocation_answer,
    invocation_body,
    read_invocation,
)
from taut.serve.requests.oip import infer_answer, infer_body, is_table, read_infer, read_infer_table, request_body
from taut.serve.requests.rows import columns_of_lists, columns_of_rows
from taut.serve.requests.text import parsed, read_csv

__all__ = [
    "REQUEST_ID",
    "Body",
    "Columns",
    "InvocationReader",
    "Request",
    "checked_id",
    "columns_of_lists",
    "columns_of_rows",
    "event_time",
    "infer_answer",
    "infer_body",
    "invocation_answer",
    "invocation_body",
    "is_table",
    "metadata_body",
    "must_be_plain",
    "outputs_of_answer",
    "outputs_of_classes",
    "parsed",
    "read_csv",
    "read_infer",
    "read_infer_table",
    "read_invocation",
    "request_body",
    "server_body",
]
