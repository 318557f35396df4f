"""The first call of a model is its slowest: a made-up row is asked before anybody else may ask."""

from taut.models.signature import Kind, Signature

MADE_UP: dict[Kind, float | int | bool | str] = {
    "double": 0.0, "float": 0.0, "long": 0, "integer": 0, "boolean": False, "string": "", "datetime": "2000-01-01",
}  # fmt: skip


def made_up_row(signature: Signature) -> dict[str, list[float | int | bool | str]]:
    """One row that the signature allows; what the model says of it is nobody's business."""
    return {column.name: [MADE_UP[column.kind]] for column in signature.inputs}
