"""Gate results as rows: recorded once with their arrows, found again as the evidence that a promotion asks for."""

from taut.errors import Conflict, Invalid
from taut.ground import wire
from taut.ground.clock import new_id
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Row, Tx
from taut.home import Home, verb
from taut.models.rights import of_model
from taut.models.versions import version_in
from taut.records import GateCheck, GateResult

GATE_COLUMNS = "id, model, number, champion, passed, checks, at_ms, actor"
INSERT_GATE = """
INSERT INTO gate_result (id, model, number, champion, passed, checks, at_ms, actor)
VALUES (:id, :model, :number, :champion, :passed, :checks, :at_ms, :actor)
"""
SELECT_GATE = f"SELECT {GATE_COLUMNS} FROM gate_result WHERE id = :id"  # noqa: S608
# Of two results of one millisecond the stricter counts.
SELECT_GATES = f"""SELECT {GATE_COLUMNS} FROM gate_result WHERE model = :name AND number = :number
ORDER BY at_ms DESC, passed, id"""  # noqa: S608


@verb("gate.record", needs="model:gate", on=of_model)
def record_gate(
    home: Home,
    name: str,
    number: int,
    *,
    checks: list[GateCheck],
    champion: int | None = None,
    data: list[str] | None = None,
    gate_id: str = "",
) -> GateResult:
    """Store a verdict on a version: it passed where every check did. `data` are the lineage points of the rows judged.

    The same `gate_id` again returns what was stored first. Raises Invalid without checks, NotFound for no version,
    Conflict where the id belongs to another version.
    """
    if not checks:
        raise Invalid(f"a gate of {name}@{number} without checks says nothing")
    with home.meta.transaction() as tx:
        version = version_in(tx, name, number)
        row = tx.row(SELECT_GATE, {"id": gate_id}) if gate_id else None
        if row is not None:
            return _same_gate(_gate(row), name, number)
        at_ms = home.clock.now_ms()
        passed = all(check.passed for check in checks)
        result = GateResult(gate_id or new_id(), name, number, champion, passed, tuple(checks), at_ms, home.actor.name)
        tx.execute(INSERT_GATE, _values(result))
        draw_arrow(tx, version.point, "judged-by", result.point, at_ms=at_ms)
        for point in data or ():
            draw_arrow(tx, point, "read-by", result.point, at_ms=at_ms)
        body = {"model": version.point, "passed": passed, "champion": champion}
        home.append(tx, "gate.passed" if passed else "gate.refused", subject=result.point, body=body)
        return result


@verb("gate.list", needs="model:read", on=of_model)
def list_gates(home: Home, name: str, number: int) -> list[GateResult]:
    """Every verdict on a version, newest first."""
    with home.meta.read() as tx:
        version_in(tx, name, number)
        return [_gate(row) for row in tx.rows(SELECT_GATES, {"name": name, "number": number})]


def newest_gate(home: Home, name: str, number: int) -> GateResult | None:
    """The verdict that counts for a version; None where it was never judged."""
    return next(iter(list_gates(home, name, number)), None)


def newest_gate_in(tx: Tx, name: str, number: int) -> GateResult | None:
    """The same inside a transaction."""
    row = tx.row(SELECT_GATES, {"name": name, "number": number})
    return _gate(row) if row is not None else None


def _same_gate(stored: GateResult, name: str, number: int) -> GateResult:
    if (stored.model, stored.number) != (name, number):
        raise Conflict(f"gate {stored.id} judged {stored.model}@{stored.number}, not {name}@{number}")
    return stored


def _values(result: GateResult) -> dict[str, str | int | None]:
    return {
        "id": result.id, "model": result.model, "number": result.number, "champion": result.champion,
        "passed": int(result.passed), "checks": wire.text(result.checks), "at_ms": result.at_ms, "actor": result.actor,
    }  # fmt: skip


def _gate(row: Row) -> GateResult:
    gate_id, model, number, champion, passed, checks, at_ms, actor = row
    return GateResult(
        str(gate_id), str(model), int(str(number)), None if champion is None else int(str(champion)), bool(passed),
        wire.decode(str(checks), tuple[GateCheck, ...], what=f"gate {gate_id}"), int(str(at_ms)), str(actor),
    )  # fmt: skip
