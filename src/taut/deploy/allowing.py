"""Whether a version may stand behind an endpoint: what its gate, its people and its signature say."""

from collections.abc import Mapping
from typing import Any

from taut.errors import Invalid, NotFound, Refused
from taut.ground.meta import Tx, Value
from taut.models import must_be_approved
from taut.models.signature import parse_signature
from taut.records import Backend, Setting

SELECT_VERSION = "SELECT signature FROM model_version WHERE name = :model AND number = :number"
SELECT_VERDICT = """
SELECT id, passed FROM gate_result WHERE model = :model AND number = :number ORDER BY at_ms DESC, id LIMIT 1
"""
SELECT_ANY_VERDICT = "SELECT id FROM gate_result WHERE model = :model LIMIT 1"


def allowed_in(tx: Tx, backends: tuple[Backend, ...], config: Mapping[str, Setting], *, gated: bool) -> tuple[str, ...]:
    """The ids of the gate results that let these versions stand there, the first of them live.

    Raises NotFound for an unknown version, Refused where a gate said no or was not asked, Invalid where a version asks
    for an input that the live one does not have: it is to answer the same requests. A shadow answers nobody, so it
    may do without a verdict where `rollout: ungated_shadows` of the deployment says so; never against one.
    """
    found = [
        _allowed(tx, one, gated=gated, spared=one.role == "shadow" and _spares_shadows(config)) for one in backends
    ]
    for one, (_, signature) in zip(backends[1:], found[1:], strict=True):
        _must_fit(backends[0], found[0][1], one, signature)
    return tuple(dict.fromkeys(gate for gate, _ in found if gate))


def _spares_shadows(config: Mapping[str, Setting]) -> bool:
    rollout: Any = config.get("rollout")
    return isinstance(rollout, dict) and rollout.get("ungated_shadows") is True


def _allowed(tx: Tx, backend: Backend, *, gated: bool, spared: bool) -> tuple[str, str]:
    """The id of the verdict, empty where the model has no gate, and the signature."""
    model, number, named = backend.model, backend.number, backend.version
    version: dict[str, Value] = {"model": model, "number": number}
    known = tx.row(SELECT_VERSION, version)
    if known is None:
        raise NotFound(f"model {model!r} has no version {number}", hint=f"taut model show {model}")
    verdict = tx.row(SELECT_VERDICT, version)
    if verdict is None and not spared and (gated or tx.row(SELECT_ANY_VERDICT, {"model": model}) is not None):
        raise Refused(f"{named} may not be deployed: it was not judged by its gate", hint=f"taut gate {named}")
    if verdict is not None and not verdict[1]:
        raise Refused(f"{named} may not be deployed: the gate refused it", hint=f"taut model show {named}")
    must_be_approved(tx, model, number)
    return "" if verdict is None else str(verdict[0]), str(known[0])


def _must_fit(live: Backend, taken: str, other: Backend, asked: str) -> None:
    """Whether a request that the live version answers has all that another one needs."""
    has, needs = parse_signature(taken), parse_signature(asked)
    if has is None or needs is None:
        return
    lacking = [column.name for column in needs.inputs if column.required and column.name not in has.names]
    if lacking:
        raise Invalid(
            f"{other.version} asks for {', '.join(lacking[:3])}, which requests to {live.version} do not have to have",
            hint="give it an endpoint of its own",
        )
