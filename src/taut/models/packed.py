"""A version as an image holds it: the model folder, and beside it the graph that answers in its place."""

from hashlib import sha256
from pathlib import Path

from taut.errors import Corrupt, Invalid, NotFound
from taut.models.compiled.predictor import CompiledPredictor, load_compiled
from taut.models.mlmodel import MLMODEL, parse_mlmodel
from taut.models.predictor import Predictor, load_model
from taut.models.schema import parse_mlflow_signature
from taut.models.tree import read_verified, verify_folder


def load_packed(folder: Path, digest: str, graph: Path | None, graph_digest: str) -> Predictor | CompiledPredictor:
    """What answers in an image: the graph beside a model folder, else the model; each with the digest it must have.

    Raises Corrupt where the bytes are others, Invalid for a model without signature, NotFound for no such graph.
    """
    if graph is None:
        return load_model(folder, digest)
    files = {file.path: file for file in verify_folder(folder, digest)}
    if MLMODEL not in files:
        raise Invalid(f"{folder} holds no {MLMODEL} file, so it is no model")
    written = parse_mlmodel(read_verified(folder, files[MLMODEL])).signature
    signature = None if written is None else parse_mlflow_signature(written)
    if signature is None:
        raise Invalid("the model has no signature, so its graph cannot be asked")
    try:
        data = graph.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no graph {graph}") from None
    if sha256(data).hexdigest() != graph_digest:
        raise Corrupt(f"{graph} is not the graph that it was: its digest is another")
    return load_compiled(data, signature)
