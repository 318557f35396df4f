"""Text that has a form: JSON, YAML, MLflow's MLmodel, and plain lines."""

import json

from taut.errors import Invalid
from taut.runs.comparing.leaves import Aside, Leaves, Unreadable, of_plain

# What MLflow writes into a model's description that is of the moment and the run, not of the model.
OF_THE_RUN = {
    "utc_time_created": "time", "model_uuid": "id of the run", "run_id": "id of the run", "model_id": "id of the run",
    "artifact_path": "id of the run", "model_size_bytes": "size of what was packed",
}  # fmt: skip


def json_leaves(data: bytes) -> Leaves:
    """The values of a JSON document, or of one a line. Raises Unreadable."""
    try:
        text = data.decode()
        try:
            return of_plain(json.loads(text))
        except ValueError:
            return of_plain([json.loads(line) for line in text.splitlines() if line.strip()])
    except (ValueError, RecursionError) as problem:
        raise Unreadable(f"no JSON: {problem}") from None


def yaml_leaves(data: bytes) -> Leaves:
    """The values of a YAML document. Raises Unreadable."""
    from taut.ground.yaml import parse_yaml

    try:
        return of_plain(parse_yaml(data.decode(), object, name="it"))
    except (UnicodeDecodeError, Invalid, RecursionError) as problem:
        raise Unreadable(f"no YAML: {problem}") from None


def mlmodel_leaves(data: bytes) -> Leaves:
    """MLflow's description of a model; its time and the ids of its run are set aside. Raises Unreadable."""
    return {
        path: Aside(OF_THE_RUN[path[1:]], leaf) if path[1:] in OF_THE_RUN else leaf
        for path, leaf in yaml_leaves(data).items()
    }


def text_leaves(data: bytes) -> Leaves:
    """The lines of a text. Raises Unreadable for what is none."""
    try:
        text = data.decode()
    except UnicodeDecodeError as problem:
        raise Unreadable(f"no text: {problem}") from None
    if "\0" in text:
        raise Unreadable("no text: it holds NUL")
    return {f":{number}": line for number, line in enumerate(text.split("\n"), 1)}
