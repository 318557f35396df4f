"""The state under an anchor: a digest of every group of rows, so that a later look tells which of them were changed.

What changed since the anchor before is packed into `ledger_state`, a body for each scope, and the entry of the anchor
names the hashes of the bodies: so the tree covers them, and with them every row.
"""

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from taut.errors import Corrupt, Invalid
from taut.govern.tables import CATALOGUE, HOUR_MS, SCOPES, Key, Scope, without_number
from taut.govern.upgrades import upgraded_since
from taut.ground import wire
from taut.ground.ledger import Event, events
from taut.ground.meta import Tx

ANCHORED = "ledger.anchored"
COLUMNS = {
    "sqlite": "SELECT name, type, pk FROM pragma_table_info(:table) ORDER BY cid",
    "postgresql": """
SELECT columns.column_name, columns.data_type, COALESCE(keys.ordinal_position, 0)
FROM information_schema.columns
LEFT JOIN (
    SELECT usage.table_name, usage.column_name, usage.ordinal_position
    FROM information_schema.key_column_usage AS usage
    JOIN information_schema.table_constraints AS made ON made.constraint_name = usage.constraint_name
        AND made.table_schema = usage.table_schema AND made.constraint_type = 'PRIMARY KEY'
    WHERE usage.table_schema = current_schema()
) AS keys ON keys.table_name = columns.table_name AND keys.column_name = columns.column_name
WHERE columns.table_schema = current_schema() AND columns.table_name = :table ORDER BY columns.ordinal_position
""",
}
TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "postgresql": "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()",
}
SELECT_CATALOGUE = {
    "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name",
    "postgresql": """
SELECT said FROM (
    SELECT concat_ws(' ', 'column', table_name, column_name, data_type, is_nullable, column_default) AS said
    FROM information_schema.columns WHERE table_schema = current_schema()
    UNION ALL SELECT concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE schemaname = current_schema()
    UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT concat_ws(' ', 'rule', definition) FROM pg_rules WHERE schemaname = current_schema()
    UNION ALL SELECT concat_ws(' ', 'function', proname, prosrc) FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
) AS catalogue ORDER BY said COLLATE "C"
""",
}
SELECT_SCHEMA = "SELECT MAX(number) FROM migration"
INSERT_STATE = "INSERT INTO ledger_state (seq, scope, body) VALUES (:seq, :scope, :body)"
SELECT_STATES = "SELECT seq, scope, body FROM ledger_state ORDER BY seq, scope"
SELECT_SUBJECTS = "SELECT subject, MAX(seq) FROM ledger WHERE seq > :after GROUP BY subject"
SELECT_ACTORS = "SELECT actor, MAX(seq) FROM ledger WHERE seq > :after GROUP BY actor"
# Whoever begins or takes away something may be granted it, or lose what was.
SELECT_ACCESS = """
SELECT COALESCE(MAX(seq), 0) FROM ledger WHERE seq > :after AND (kind LIKE 'user.%' OR kind LIKE 'token.%'
    OR kind LIKE 'grants.%' OR kind LIKE 'permission.%'
    OR kind IN ('experiment.created', 'model.created', 'model.renamed', 'model.deleted'))
"""
State = dict[Key, bytes]
"""The digest of each group of a scope."""


class Anchored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the entry of an anchor says: the state holds for the first `until` entries and this schema.

    `bodies` are the SHA-256 of what `ledger_state` keeps of it, by scope; a scope without a change has none.
    """

    until: int
    schema: int
    at_ms: int
    bodies: dict[str, str]

    @property
    def bounds(self) -> dict[str, int]:
        """The times that scopes ask for: the last whole hour before the last hour, and the moment itself."""
        return {"open_ms": (self.at_ms // HOUR_MS - 1) * HOUR_MS, "until_ms": self.at_ms}


@dataclass(frozen=True, slots=True)
class Change:
    """A group of rows that is not what it was, and that no entry has named since."""

    table: str
    key: Key
    subject: str
    what: str


def schema_of(tx: Tx) -> int:
    """The number of the last migration."""
    row = tx.row(SELECT_SCHEMA)
    return int(str(row[0])) if row is not None else 0


def tables_of(tx: Tx) -> set[str]:
    """The tables that the database has, asked of itself."""
    return {str(name) for (name,) in tx.rows(TABLES[tx.dialect])}


def state_now(tx: Tx, scope: Scope, bounds: Mapping[str, int], *, without: frozenset[str] = frozenset()) -> State:
    """The digest of each group of a scope: SHA-256 over its rows as MessagePack, in their order.

    As it was before the columns `without` were added.
    """
    digests = defaultdict[Key, Any](hashlib.sha256)
    width, encode = len(scope.key), msgspec.msgpack.Encoder().encode
    query = SELECT_CATALOGUE[tx.dialect] if scope is CATALOGUE else _query(tx, scope, without)
    for row in tx.each(query, {name: bounds[name] for name in bounds if f":{name}" in scope.where}):
        digests[tuple(map(str, row[:width]))].update(encode(row[width:]))
    return {key: hashed.digest() for key, hashed in digests.items()}


def pack(before: State, now: State) -> bytes:
    """What changed between two states, packed; empty where nothing did."""
    changed: list[tuple[Key, bytes]] = [(key, digest) for key, digest in now.items() if before.get(key) != digest]
    changed += [(key, b"") for key in before.keys() - now.keys()]
    return zlib.compress(msgspec.msgpack.encode(sorted(changed)), 1) if changed else b""


def unpack(before: State, body: bytes) -> State:
    """The state after a change that was packed. Raises Corrupt."""
    try:
        changed = msgspec.msgpack.decode(zlib.decompress(body), type=list[tuple[tuple[str, ...], bytes]])
    except (TypeError, zlib.error, msgspec.DecodeError) as problem:
        raise Corrupt(f"a stored state cannot be read: {problem}") from None
    now = {**before, **dict(changed)}
    return {key: digest for key, digest in now.items() if digest}


def write_state(tx: Tx, seq: int, bodies: Mapping[str, bytes]) -> None:
    """Keep what changed up to the anchor that is entry `seq`."""
    for scope, body in bodies.items():
        tx.execute(INSERT_STATE, {"seq": seq, "scope": scope, "body": body})


def anchors_in(tx: Tx) -> list[tuple[int, Anchored]]:
    """Every anchor of the ledger, by the number of its entry. Raises Corrupt for an entry that says none."""
    found: list[tuple[int, Anchored]] = []
    while page := events(tx, kind=ANCHORED, after=found[-1][0] if found else 0):
        found += [(event.seq, _anchored(event)) for event in page]
    return found


def states_at(tx: Tx, seq: int) -> dict[str, State]:
    """The state of every scope at the anchor that is entry `seq`, from what is kept. Raises Corrupt."""
    states = defaultdict[str, State](dict)
    for at, scope, body in tx.each(SELECT_STATES):
        if int(str(at)) <= seq:
            states[str(scope)] = unpack(states[str(scope)], cast("bytes", body))
    return dict(states)


def kept_wrongly(tx: Tx) -> Iterator[str]:
    """What is kept of states is what their entries name, no more and no less; a sentence for each that is not."""
    try:
        wanted = {(seq, scope): hashed for seq, one in anchors_in(tx) for scope, hashed in one.bodies.items()}
    except Corrupt as problem:
        yield problem.message
        return
    for seq, scope, body in tx.each(SELECT_STATES):
        named = wanted.pop((int(str(seq)), str(scope)), None)
        hashed = hashlib.sha256(cast("bytes", body)).hexdigest() if not isinstance(body, str) else ""
        if named != hashed:
            yield f"ledger_state: what is kept of {scope} at entry {seq} is not what that entry names"
    for seq, scope in sorted(wanted):
        yield f"ledger_state: what entry {seq} names of {scope} is gone"


def named_since(tx: Tx, after: int) -> dict[str, int]:
    """Every subject that entries past number `after` name, with the last that does."""
    named: dict[str, int] = {}

    def name(subject: str, seq: int) -> None:
        named[subject] = max(named.get(subject, 0), seq)

    for subject, seq in tx.each(SELECT_SUBJECTS, {"after": after}):
        name(str(subject), int(str(seq)))
        name(without_number(str(subject)), int(str(seq)))
    for actor, seq in tx.each(SELECT_ACTORS, {"after": after}):
        name(f"actor:{actor}", int(str(seq)))
    for event in _of_kinds(tx, ("model.renamed", "model.registered"), after):
        said = wire.decode(event.body, dict[str, Any]) if not event.erased else {}
        name(f"model:{said.get('before', '')}", event.seq)
        name(f"logged-model:{said.get('model_id', '')}", event.seq)
    row = tx.row(SELECT_ACCESS, {"after": after})
    name("access", int(str(row[0])) if row is not None else 0)
    return named


class Comparison:
    """The tables as they are, held against anchors; what was computed for one serves the next."""

    def __init__(self, tx: Tx, oldest: int) -> None:
        self._tx = tx
        self._named = named_since(tx, oldest)
        self._now: dict[tuple[str, tuple[int, ...], frozenset[str]], State] = {}

    def changes(self, seq: int, anchored: Anchored) -> Iterator[Change]:
        """Each group that is not what it was at an anchor though no entry has named it since. Raises Corrupt.

        What an upgrade after the anchor rewrote is left out; `Upgraded.lost` names it.
        """
        states, upgraded = states_at(self._tx, seq), upgraded_since(anchored.schema, self._tx.dialect)
        for scope in filter(upgraded.compares, (CATALOGUE, *SCOPES)):
            without = upgraded.added.get(scope.table, frozenset())
            before, now = states.get(scope.called, {}), self._state(scope, anchored.bounds, without)
            for key in sorted(before.keys() | now.keys()):
                if before.get(key) == now.get(key) or (scope.name and key not in before):
                    continue
                subjects = scope.subjects(key)
                if any(self._named.get(subject, 0) > anchored.until for subject in subjects):
                    continue
                what = "changed" if key in before and key in now else "added" if key in now else "taken out"
                yield Change(scope.table, key, subjects[0] if subjects else "", what)

    def _state(self, scope: Scope, bounds: Mapping[str, int], without: frozenset[str]) -> State:
        asked = (scope.called, tuple(bounds.values()) if scope.where else (), without)
        if asked not in self._now:
            self._now[asked] = state_now(self._tx, scope, bounds, without=without)
        return self._now[asked]


def _anchored(event: Event) -> Anchored:
    try:
        return wire.decode(event.body, Anchored, what=f"entry {event.seq}")
    except Invalid as problem:
        raise Corrupt(problem.message) from None


def _of_kinds(tx: Tx, kinds: Iterable[str], after: int) -> Iterator[Event]:
    for kind in kinds:
        last = after
        while page := events(tx, kind=kind, after=last):
            yield from page
            last = page[-1].seq


def _query(tx: Tx, scope: Scope, without: frozenset[str]) -> str:
    """The statement that reads a scope: key, then columns, in an order that depends on nothing but the rows."""
    every = [(str(name), str(kind), int(str(place))) for name, kind, place in _columns(tx, scope.table)]
    columns = [column for column in every if column[0] not in without]
    texts = {name for name, kind, _ in columns if kind.upper() == "TEXT"}
    table = scope.table

    def whole(name: str) -> str:
        return f"{table}.{name}" if "." not in name and "(" not in name and " " not in name else name

    chosen = [*map(whole, scope.key), *(scope.instead.get(name, f"{table}.{name}") for name, _, _ in columns)]
    places = [name for name, _, place in sorted(columns, key=lambda column: column[2]) if place]
    order = [*map(whole, scope.order or (places or [name for name, _, _ in columns]))]
    plain = ' COLLATE "C"' if tx.dialect == "postgresql" else ""
    ordered = [f"{name}{plain}" if name.partition(".")[2] in texts else name for name in order]
    where = f" WHERE {scope.where}" if scope.where else ""
    return (
        f"SELECT {', '.join(chosen)} FROM {table} {scope.join.format(table=table)}{where} "  # noqa: S608  # Constants.
        f"ORDER BY {', '.join(ordered)}"
    )


def _columns(tx: Tx, table: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in tx.rows(COLUMNS[tx.dialect], {"table": table})]
