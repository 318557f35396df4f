"""Grants: what one user may do on one resource, whatever their role says of the rest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from taut.ground.meta import Metadata, Tx

Kind = Literal["experiment", "model", "deployment", "home"]
Level = Literal["DENY", "NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LEVELS: tuple[Level, ...] = get_args(Level)  # From least to most; DENY beats them all.
ANY, NEW = "*", "new"
"""Resources of no name: some one, which a verb asks about by name before it acts; and one that is not there yet."""

_EXPERIMENT_READ = {"run:read", "artifact:read"}
_EXPERIMENT_EDIT = _EXPERIMENT_READ | {"run:write", "artifact:write", "experiment:write"}
_DEPLOYMENT_READ = {"deployment:read", "prediction:explain"}
_DEPLOYMENT_USE = _DEPLOYMENT_READ | {"deployment:predict", "feedback:write"}
_DEPLOYMENT_EDIT = _DEPLOYMENT_USE | {"deployment:write", "prediction:read"}
_MODEL_EDIT = {"model:read", "model:write", "model:gate", "model:promote"}

# Kind -> level -> what it lets do there. A grant takes the place of the role for its resource, for more or for less.
GIVES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType({
    "experiment": {
        "READ": frozenset(_EXPERIMENT_READ), "USE": frozenset(_EXPERIMENT_READ), "EDIT": frozenset(_EXPERIMENT_EDIT),
        "MANAGE": frozenset(_EXPERIMENT_EDIT | {"run:delete", "run:delete-any", "experiment:admin"}),
    },
    "model": {
        "READ": frozenset({"model:read"}), "USE": frozenset({"model:read"}), "EDIT": frozenset(_MODEL_EDIT),
        "MANAGE": frozenset(_MODEL_EDIT | {"model:delete"}),
    },
    "deployment": {
        "READ": frozenset(_DEPLOYMENT_READ), "USE": frozenset(_DEPLOYMENT_USE),
        "EDIT": frozenset(_DEPLOYMENT_EDIT), "MANAGE": frozenset(_DEPLOYMENT_EDIT),
    },
    # USE of the home is to begin things of one's own, MANAGE what `roles.py` gives a project-admin.
    "home": {"USE": frozenset({"experiment:create"})},
})  # fmt: skip
BY_ROLE_ALONE = frozenset({"model:approve", "model:request"})
"""What no grant gives and none takes away, unless it hides the resource: who may agree is not up to who made it."""
BEGINS = frozenset({"experiment:create", "run:write", "artifact:write", "model:write"})
"""What USE of the home lets do on something that does not exist yet."""
BY_ROLE_TOO = frozenset({"model:gate", "model:promote"})
"""What no grant gives to a role that lacks it: what goes live is not up to whoever made it."""

SELECT_GRANTS = """
SELECT grant_row.kind, grant_row.resource, grant_row.level FROM grant_holder
JOIN grant_row ON grant_row.set_id = grant_holder.set_id WHERE grant_holder.account_id = :account_id
"""


@dataclass(frozen=True, slots=True)
class Sight:
    """Which resources of one kind an actor may see: all but `exceptions`, or, where `all` is False, these only."""

    all: bool
    exceptions: frozenset[str] = frozenset()

    def sees(self, resource: str) -> bool:
        """Whether a resource of this name or id is to be shown."""
        return (resource in self.exceptions) != self.all

    @property
    def is_whole(self) -> bool:
        """Whether nothing is hidden."""
        return self.all and not self.exceptions


class Grants:
    """All grants that one user holds, folded: one level for a resource, and what they give anywhere at all.

    They are read with the user and read again before anything is refused, so a new grant works at once on every
    server; one that was taken away ends with what the server remembers of the caller (see `remembered.py`).
    """

    __slots__ = ("_levels", "_sights", "account_id", "anywhere", "is_manager")

    def __init__(self, account_id: int, rows: Iterable[tuple[str, str, str]] = ()) -> None:
        self.account_id = account_id
        self._set(rows)

    def __bool__(self) -> bool:
        return bool(self._levels)

    def level(self, resource: str) -> str:
        """The level that holds for `KIND:NAME`; empty where nothing was granted and the role decides."""
        levels = self._levels
        if not levels:
            return ""
        if self.is_manager:
            return "MANAGE"
        kind = resource.partition(":")[0]
        named, wild = levels.get(resource, ""), levels.get(f"{kind}:*", "")
        return _folded(named, wild)

    def keep(self, later: "Grants") -> bool:
        """Whether `later` gives no less than these on anything; a grant may take as well as give."""
        rank = LEVELS.index
        both = self._levels.keys() | later._levels.keys()
        pairs = ((self._levels.get(key, "MANAGE"), later._levels.get(key, "")) for key in both)
        return all(now != "" and rank(now) >= rank(was) for was, now in pairs)

    def reload(self, meta: Metadata) -> None:
        """Read them anew, in place: whoever holds them sees it."""
        with meta.read() as tx:
            self._set(read_grants(tx, self.account_id))

    def sight(self, kind: Kind, permission: str, *, by_role: bool) -> Sight:
        """What may be seen of a kind by who has, or lacks, the permission by role."""
        if self.is_manager:
            return Sight(all=True)
        known = self._sights.get((kind, permission, by_role))
        if known is None:
            known = self._sights[kind, permission, by_role] = self._seen(kind, permission, by_role=by_role)
        return known

    def _seen(self, kind: Kind, permission: str, *, by_role: bool) -> Sight:
        gives = GIVES[kind]
        wild = self._levels.get(f"{kind}:*", "")
        default = permission in gives.get(wild, ()) if wild else by_role
        named = [key for key in self._levels if key.startswith(f"{kind}:") and key != f"{kind}:*"]
        differ = (key for key in named if (permission in gives.get(self.level(key), ())) != default)
        return Sight(default, frozenset(key.partition(":")[2] for key in differ))

    def _set(self, rows: Iterable[tuple[str, str, str]]) -> None:
        levels: dict[str, str] = {}
        for kind, resource, level in rows:
            key = f"{kind}:{resource}"
            levels[key] = _folded(levels.get(key, ""), level)
        self.is_manager = levels.get("home:*") == "MANAGE"
        given = (GIVES[key.partition(":")[0]].get(level, frozenset()) for key, level in levels.items())
        begins = BEGINS if levels.get("home:*") == "USE" else frozenset()
        self.anywhere = begins.union(*given) - BY_ROLE_TOO
        self._sights: dict[tuple[str, str, bool], Sight] = {}
        self._levels = levels


def read_grants(tx: Tx, account_id: int) -> list[tuple[str, str, str]]:
    """Kind, resource and level of everything that a user holds, through whichever set."""
    return [(str(k), str(r), str(v)) for k, r, v in tx.rows(SELECT_GRANTS, {"account_id": account_id})]


def _folded(one: str, other: str) -> str:
    """Two levels for the same thing: the higher one, unless either denies."""
    if not one or not other or one == other:
        return one or other
    return "DENY" if "DENY" in (one, other) else max(one, other, key=LEVELS.index)
