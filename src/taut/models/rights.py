"""Which registered model a call is about, for what a user was granted there: given to `verb(on=…)`."""

from typing import Any

from taut.ground.access import ANY, NEW
from taut.home import Home, require
from taut.models.sources import Origin
from taut.models.versions import SELECT_MODEL, is_deleted
from taut.runs.rights import of_logged_model, of_run

NEW_MODEL = f"{NEW}:model"


def of_model(_: Home, name: str = "", *__: Any, **___: Any) -> str:
    """The model that a call names first; any where it names none and asks about all."""
    return f"model:{name}" if name else ANY


def of_model_or_new(home: Home, name: str, *_: Any, **__: Any) -> str:
    """The model that a call names first, or a new one where there is none of that name yet."""
    with home.meta.read() as tx:
        row = tx.row(SELECT_MODEL, {"name": name})
    return NEW_MODEL if row is None or is_deleted(row) else f"model:{name}"


def of_reference(_: Home, reference: str, *__: Any, **___: Any) -> str:
    """The model of `NAME`, `NAME@NUMBER` or `NAME@ALIAS`."""
    return f"model:{reference.partition('@')[0]}"


def require_origin(home: Home, origin: Origin, *, verb: str) -> None:
    """Raise Denied where the actor may not read what a version is to be made of: no registering it to read it."""
    if not home.actor.is_bound:
        return
    if origin.digest:
        name = origin.source.removeprefix("models:/").rpartition("/")[0]
        require(home, "model:read", verb=verb, resource=f"model:{name}")
    elif origin.model_id:
        require(home, "artifact:read", verb=verb, resource=of_logged_model(home, origin.model_id))
    elif origin.run_id:
        require(home, "artifact:read", verb=verb, resource=of_run(home, origin.run_id))
