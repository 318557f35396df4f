"""What a server and a model say of themselves by the Open Inference Protocol."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from taut.models.inputs import Cell
from taut.models.signature import Signature
from taut.serve.requests.tensors import DATATYPES, datatype_of

EXTENSIONS = ("binary_tensor_data",)


def server_body(version: str) -> bytes:
    """The server's metadata: its name, its version, and which extensions of the protocol it takes."""
    return msgspec.json.encode({"name": "taut", "version": version, "extensions": EXTENSIONS})


def metadata_body(
    name: str,
    number: int,
    model: str,
    revision: int,
    signature: Signature,
    outputs: Mapping[str, str] | None = None,
    versions: Iterable[int] = (),
) -> bytes:
    """What a model takes and gives, and which version under which revision answers.

    `outputs` are datatypes by name, none where nobody knows them before the first answer. `versions` are those that
    answer under this name, the one described where nothing is said.
    """
    body = {
        "name": name,
        "versions": [str(one) for one in versions or (number,)],
        "platform": "taut_mlflow",
        "inputs": [tensor(column.name, DATATYPES.get(column.kind, "BYTES")) for column in signature.inputs],
        "outputs": [tensor(name, datatype) for name, datatype in (outputs or {}).items()],
        "parameters": {"model": model, "revision": revision},
    }
    return msgspec.json.encode(body)


def tensor(name: str, datatype: str) -> dict[str, object]:
    """One column of any number of rows."""
    return {"name": name, "datatype": datatype, "shape": [-1]}


def outputs_of_classes(classes: Sequence[Cell]) -> dict[str, str]:
    """The outputs of a classifier, as `Predictor.predict` names them; none for a model that gives no probabilities."""
    if not classes:
        return {}
    shares = ["probability"] if len(classes) == 2 else [f"probability_{name}" for name in classes]
    return {"prediction": datatype_of(list(classes)), **dict.fromkeys(shares, "FP64")}


def outputs_of_answer(columns: Mapping[str, list[Cell]]) -> dict[str, str]:
    """The outputs of a model that has answered once, as when it was warmed up."""
    return {name: datatype_of(values) for name, values in columns.items()}
