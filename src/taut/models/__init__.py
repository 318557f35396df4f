"""run -> model version: the registry, and the gate that a version passes before anybody relies on it."""

from taut.models.aliases import delete_alias, promote_model, set_alias
from taut.models.card import model_card
from taut.models.evidence import list_gates, newest_gate, record_gate
from taut.models.gate import gate_model, scores_of
from taut.models.package import fetch_model
from taut.models.predictor import Predictor, load_model
from taut.models.registry import (
    create_model,
    find_model,
    list_models,
    list_versions,
    model_files,
    record_model,
    register_folder,
    register_model,
    show_model,
)
from taut.models.rows import LabelledRows, read_rows

__all__ = [
    "LabelledRows",
    "Predictor",
    "create_model",
    "delete_alias",
    "fetch_model",
    "find_model",
    "gate_model",
    "list_gates",
    "list_models",
    "list_versions",
    "load_model",
    "model_card",
    "model_files",
    "newest_gate",
    "promote_model",
    "read_rows",
    "record_gate",
    "record_model",
    "register_folder",
    "register_model",
    "scores_of",
    "set_alias",
    "show_model",
]
