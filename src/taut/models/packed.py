"""A version as an image holds it: the model folder, and beside it the graph that answers in its place."""

from hashlib import sha256
from pathlib import Path

from taut.errors import Corrupt, Invalid, NotFound
from taut.models.compilations import ServedForm
from taut.models.mlmodel import MLMODEL, parse_mlmodel
from taut.models.schema import parse_mlflow_signature
from taut.models.signature import UNSIGNED
from taut.models.tree import read_verified, verify_folder


def packed_form(folder: Path, digest: str, graph: Path | None, graph_digest: str) -> ServedForm:
    """What answers in an image: the graph beside a model folder, else the model; each with the digest it must have.

    Raises Corrupt where the bytes are others, Invalid for no model, and for a graph of one without a signature,
    NotFound for no such graph.
    """
    files = {file.path: file for file in verify_folder(folder, digest)}
    if MLMODEL not in files:
        raise Invalid(f"{folder} holds no {MLMODEL} file, so it is no model")
    written = parse_mlmodel(read_verified(folder, files[MLMODEL])).signature
    signature = UNSIGNED if written is None else parse_mlflow_signature(written)
    if graph is None:
        return ServedForm(signature, b"", str(folder), digest)
    if written is None:
        raise Invalid("the model has no signature, so its graph cannot be asked")
    try:
        data = graph.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no graph {graph}") from None
    if sha256(data).hexdigest() != graph_digest:
        raise Corrupt(f"{graph} is not the graph that it was: its digest is another")
    return ServedForm(signature, data, "", digest)
