"""Revisions of deployments as rows: read whole, with the versions behind them, in one statement; never changed."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from taut.deploy.backends import behind
from taut.errors import Conflict, Invalid
from taut.ground import wire
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Row, Tx, Value
from taut.home import Home
from taut.records import Backend, Deployment, Setting

REASON_MAX = 2_000

SELECT = """
SELECT deployment.name, deployment.revision, deployment.model, deployment.number, target, config, cause, at_ms, actor,
    reason, other.model, other.number, other.weight, other.role
FROM deployment LEFT JOIN deployment_backend AS other
    ON other.name = deployment.name AND other.revision = deployment.revision
WHERE
"""
ORDER = " ORDER BY deployment.name, deployment.revision DESC, other.place"
SELECT_ONE = f"""
{SELECT} deployment.name = :name AND deployment.revision = CASE
    WHEN :revision > 0 THEN :revision ELSE (SELECT max(revision) FROM deployment WHERE name = :name) END {ORDER}
"""  # noqa: S608  # Constants, all three.
SELECT_ALL = f"""
{SELECT} deployment.revision = (
    SELECT max(revision) FROM deployment AS newer WHERE newer.name = deployment.name) {ORDER}
"""  # noqa: S608  # As above.
SELECT_SOME = f"{SELECT} deployment.name = :name AND deployment.revision BETWEEN :first AND :last {ORDER}"
SELECT_TRIED = """
SELECT revision FROM deployment_backend WHERE name = :name AND role = 'canary' AND model = :model AND number = :number
ORDER BY revision DESC
"""
INSERT = """
INSERT INTO deployment (name, revision, model, number, target, config, cause, at_ms, actor, reason)
VALUES (:name, :revision, :model, :number, :target, :config, :cause, :at_ms, :actor, :reason)
ON CONFLICT (name, revision) DO NOTHING
"""
INSERT_OTHER = """
INSERT INTO deployment_backend (name, revision, place, model, number, weight, role)
VALUES (:name, :revision, :place, :model, :number, :weight, :role)
"""


def revision_in(tx: Tx, name: str, revision: int = 0) -> Deployment | None:
    """One revision of a deployment, the newest for 0; None where there is none."""
    return next(_deployments(tx.rows(SELECT_ONE, {"name": name, "revision": revision})), None)


def newest_in(tx: Tx) -> list[Deployment]:
    """The newest revision of every deployment, by name."""
    return list(_deployments(tx.rows(SELECT_ALL)))


def revisions_in(tx: Tx, name: str, first: int, last: int) -> list[Deployment]:
    """The revisions from `first` to `last`, newest first."""
    return list(_deployments(tx.rows(SELECT_SOME, {"name": name, "first": first, "last": last})))


def canary_since_in(tx: Tx, newest: Deployment) -> int:
    """The revision with which the newest one's canary became one, whatever its share was since; 0 without a canary."""
    canary, began = newest.canary, 0
    if canary is None:
        return 0
    tried: dict[str, Value] = {"name": newest.name, "model": canary.model, "number": canary.number}
    for (revision,) in tx.rows(SELECT_TRIED, tried):
        if began and revision != began - 1:
            break
        began = int(str(revision))
    return began


def write_revision(home: Home, tx: Tx, made: Deployment, gates: Iterable[str] = ()) -> Deployment:
    """Store a revision with its entry in the ledger and its arrows.

    Raises Conflict where another has its number, Invalid for a reason that is a novel.
    """
    if len(made.reason) > REASON_MAX:
        raise Invalid(f"a reason has {REASON_MAX} characters at most, not {len(made.reason)}")
    row: dict[str, Value] = {
        "name": made.name, "revision": made.revision, "model": made.model, "number": made.number, "cause": made.cause,
        "target": made.target, "config": wire.text(made.config), "at_ms": made.at_ms, "actor": made.actor,
        "reason": made.reason,
    }  # fmt: skip
    if not tx.execute(INSERT, row):
        raise Conflict(
            f"somebody else deploys {made.name!r} at this moment", hint=f"taut deployments {made.name}, then once more"
        )
    others = made.backends[1:]
    for place, other in enumerate(others, 1):
        tx.execute(INSERT_OTHER, {"name": made.name, "revision": made.revision, "place": place, **wire.plain(other)})
    body: dict[str, object] = {"model": made.backends[0].version, "cause": made.cause}
    body |= {"others": others} if others else {}
    body |= {"reason": made.reason} if made.reason else {}
    home.append(tx, "deployment.recorded", subject=made.point, body=body)
    for backend in made.backends:
        relation = "shadows" if backend.role == "shadow" else "serves"
        draw_arrow(tx, f"model:{backend.version}", relation, made.point, at_ms=made.at_ms)
    for gate in gates:
        draw_arrow(tx, f"gate:{gate}", "allowed", made.point, at_ms=made.at_ms)
    return made


def following(home: Home, newest: Deployment, backends: tuple[Backend, ...], cause: str, reason: str) -> Deployment:
    """The next revision: as the newest, with other versions behind it; the first of them is live."""
    live = backends[0]
    return replace(
        newest, revision=newest.revision + 1, model=live.model, number=live.number, cause=cause, reason=reason,
        backends=behind(live, backends[1:]), at_ms=home.clock.now_ms(), actor=home.actor.name,
    )  # fmt: skip


def _deployments(rows: Iterable[Row]) -> Iterator[Deployment]:
    """Rows of one revision follow one another, one for each version beside the live one, or one without any."""
    known: Deployment | None = None
    others: list[Backend] = []
    for row in rows:
        if known is None or (known.name, known.revision) != (row[0], row[1]):
            if known is not None:
                yield _with(known, others)
            known, others = _deployment(row), []
        if row[10] is not None:
            others.append(_backend(row))
    if known is not None:
        yield _with(known, others)


def _with(known: Deployment, others: list[Backend]) -> Deployment:
    return replace(known, backends=behind(known.backends[0], tuple(others)))


def _backend(row: Row) -> Backend:
    model, number, weight, role = row[10:]
    named = {"model": model, "number": number, "weight": weight, "role": role}
    return wire.convert(named, Backend, what="a stored version of a deployment")


def _deployment(row: Row) -> Deployment:
    name, revision, model, number, target, config, cause, at_ms, actor, reason = row[:10]
    return Deployment(
        name=str(name), revision=int(str(revision)), model=str(model), number=int(str(number)), target=str(target),
        config=wire.decode(str(config), dict[str, Setting], what="a stored configuration"), cause=str(cause),
        at_ms=int(str(at_ms)), actor=str(actor), reason=str(reason),
    )  # fmt: skip
