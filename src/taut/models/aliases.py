"""Aliases: names that point at one version of a model; `champion` moves only to a version that its gate let through."""

import re

from taut.errors import Invalid, Refused
from taut.ground.ledger import draw_arrow, events
from taut.ground.meta import Tx
from taut.home import Home, verb
from taut.models.approvals import must_be_approved
from taut.models.evidence import newest_gate_in
from taut.models.rights import of_model
from taut.models.versions import CHAMPION, SELECT_ALIAS, lock_model, touch_model, version_in
from taut.records import GateResult, ModelVersion

MOVE_ALIAS = """
INSERT INTO model_alias (name, alias, number) VALUES (:name, :alias, :number)
ON CONFLICT (name, alias) DO UPDATE SET number = excluded.number
"""
DELETE_ALIAS = "DELETE FROM model_alias WHERE name = :name AND alias = :alias"


@verb("model.promote", needs="model:promote", on=of_model)
def promote_model(home: Home, name: str, number: int, *, alias: str = CHAMPION, gated: bool = False) -> ModelVersion:
    """Point an alias at a version whose newest gate said yes; pointing it where it points already changes nothing.

    `gated` says that the project asks for a gate; without it a version that was never judged may pass, and the
    ledger says so. Raises Refused where the gate said no, where it is missing, or where it held the version against
    another champion than the one there is now; a version that was promoted before may always come back. Refused too
    without the approvals that the model asks for.
    """
    return _move(home, name, number, alias, gated=gated)


@verb("model.alias", needs="model:promote", on=of_model)
def set_alias(home: Home, name: str, alias: str, number: int) -> ModelVersion:
    """Point an alias at a version, as MLflow's clients do; `champion` asks for the same evidence as promoting."""
    return _move(home, name, number, alias, gated=False)


@verb("model.unalias", needs="model:promote", on=of_model)
def delete_alias(home: Home, name: str, alias: str) -> None:
    """Take an alias away; taking it away twice is no error. Raises NotFound for an unknown model."""
    with home.meta.transaction() as tx:
        lock_model(tx, name)
        pointed = tx.row(SELECT_ALIAS, {"name": name, "alias": alias})
        if pointed is not None:
            touch_model(tx, name, home.clock.now_ms())
            tx.execute(DELETE_ALIAS, {"name": name, "alias": alias})
            home.append(tx, "model.unaliased", subject=f"model:{name}@{pointed[0]}", body={"alias": alias})


def check_alias(alias: str) -> None:
    """Raise Invalid for what could not be told from a number or a version, as MLflow's registry does."""
    if not re.fullmatch(r"[\w-]{1,255}", alias) or re.fullmatch(r"latest|v?\d+", alias, re.IGNORECASE):
        raise Invalid(
            f"{alias[:80]!r} cannot be an alias: use letters, digits, _ and -; not 'latest', 'v1' or a number"
        )


def _move(home: Home, name: str, number: int, alias: str, *, gated: bool) -> ModelVersion:
    check_alias(alias)
    with home.meta.transaction() as tx:
        lock_model(tx, name)
        version = version_in(tx, name, number)
        pointed = tx.row(SELECT_ALIAS, {"name": name, "alias": alias})
        before = int(str(pointed[0])) if pointed is not None else None
        if before == number:
            return version
        gate = newest_gate_in(tx, name, number)
        if gated or alias == CHAMPION:
            _must_be_allowed(tx, version, gate, alias=alias, before=before, gated=gated)
        if alias == CHAMPION:
            must_be_approved(tx, name, number)
        touch_model(tx, name, home.clock.now_ms())
        tx.execute(MOVE_ALIAS, {"name": name, "alias": alias, "number": number})
        if gate is not None and gate.passed:
            draw_arrow(tx, gate.point, "allowed", f"alias:{name}@{alias}", at_ms=home.clock.now_ms())
        body = {"alias": alias, "before": before, "gate": gate.id if gate is not None else ""}
        home.append(tx, "model.promoted", subject=version.point, body=body)
        return version_in(tx, name, number)


def _must_be_allowed(
    tx: Tx, version: ModelVersion, gate: GateResult | None, *, alias: str, before: int | None, gated: bool
) -> None:
    """Raise Refused unless the evidence is there, says yes, and speaks of the champion that would be replaced."""
    again = f"taut gate {version.name}@{version.number}"
    if gate is None:
        if gated:
            raise Refused(f"{version.name}@{version.number} was not judged by its gate yet", hint=again)
        return
    if not gate.passed:
        failed = next(f"{check.name}: {check.text}" for check in gate.checks if not check.passed)
        raise Refused(f"the gate refused {version.name}@{version.number}: {failed}", hint=again)
    if before in (None, gate.champion) or alias != CHAMPION or _was_promoted(tx, version):
        return
    held = f"version {gate.champion}" if gate.champion else "no champion"
    raise Refused(
        f"the gate held {version.name}@{version.number} against {held}, but {alias} is version {before} by now",
        hint=again,
    )


def _was_promoted(tx: Tx, version: ModelVersion) -> bool:
    return bool(events(tx, kind="model.promoted", subject=version.point, limit=1))
