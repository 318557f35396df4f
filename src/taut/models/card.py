"""A model card in Markdown, from what the line knows: no field is filled in by hand, so none goes stale."""

from taut.ground.clock import iso
from taut.home import Home
from taut.models.evidence import list_gates
from taut.models.registry import deployments_of, find_model
from taut.models.signature import SignatureColumn, parse_signature
from taut.records import ModelVersion
from taut.runs import get_run


def model_card(home: Home, name: str, number: int) -> str:
    """The card of a version: what it takes, where it came from, what its gate found, where it served."""
    version = find_model(home, f"{name}@{number}")
    parts = [
        _head(version), _inputs(version), _origin(home, version), _evidence(home, version), _service(home, version)
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(version: ModelVersion) -> str:
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    lines = [f"# {version.name} {version.number}{aliases}", "", version.description] if version.description else []
    lines = lines or [f"# {version.name} {version.number}{aliases}"]
    return "\n".join(
        [*lines, "", f"Registered {iso(version.created_ms)} by {version.actor}; `sha256:{version.digest}`."]
    )


def _inputs(version: ModelVersion) -> str:
    signature = parse_signature(version.signature)
    if signature is None:
        return "## Inputs\n\nSaved without a signature."
    rows = [
        f"| {column.name} | {_kind(column)} | {'yes' if column.required else 'no'} |" for column in signature.inputs
    ]
    return "\n".join(["## Inputs", "", "| column | type | required |", "|---|---|---|", *rows])


def _kind(column: SignatureColumn) -> str:
    """The kind of an input; the type and shape of a row of a tensor."""
    shape = ", ".join("any" if size < 0 else str(size) for size in column.shape)
    return f"{column.dtype} [{shape}]" if shape else column.dtype or column.kind


def _origin(home: Home, version: ModelVersion) -> str:
    if not version.run_id:
        return f"## Training\n\nNot known: registered from {version.source}."
    run = get_run(home, version.run_id)
    git = run.capture.git
    lines = [f"- run `{run.id}` ({run.name}), cause {run.cause}"]
    lines += [f"- commit `{git.commit}`" + (" with uncommitted changes" if git.patch else "")] if git else []
    lines += [f"- data `{read.dataset or read.path}`, `{read.digest}`" for read in run.capture.data]
    lines += [f"- {key} = {value:.4g}" for key, value in sorted(run.metrics.items()) if value is not None]
    return "\n".join(["## Training", "", *lines])


def _evidence(home: Home, version: ModelVersion) -> str:
    gates = list_gates(home, version.name, version.number)
    if not gates:
        return "## Evidence\n\nNo gate has judged this version."
    gate = gates[0]
    rows = [f"| {check.name} | {'yes' if check.passed else 'no'} | {check.text} |" for check in gate.checks]
    verdict = "passed" if gate.passed else "refused"
    return "\n".join(
        [
            "## Evidence",
            "",
            f"The gate {verdict} it {iso(gate.at_ms)}.",
            "",
            "| question | passed | found |",
            "|---|---|---|",
            *rows,
        ]
    )


def _service(home: Home, version: ModelVersion) -> str:
    served = deployments_of(home, version.name, version.number)
    lines = [f"- `{point}`" for point in served] or ["Never deployed."]
    return "\n".join(["## Service", "", *lines])
