"""Rows of the registry as records: how a version is named, found, numbered, and what is said when it is missing."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.meta import Row, Tx
from taut.ground.whole import read_whole
from taut.records import ModelVersion

CHAMPION = "champion"
DELETED = "DELETED"
"""The status of a deleted version. Its row stays: its number is never given again, and predictions still name it."""
DELETED_MODEL_TAG = "taut.deleted_ms"
"""The tag that hides a deleted model, for the same reason: a model made anew under its name counts on."""

SELECT_MODEL = "SELECT name, description, created_ms, updated_ms, tags FROM registered_model WHERE name = :name"
SELECT_MODELS = "SELECT name, description, created_ms, updated_ms, tags FROM registered_model ORDER BY name"
# Writing the row first takes its lock: whoever numbers a version or moves an alias of this model does so alone.
LOCK_MODEL = "UPDATE registered_model SET updated_ms = COALESCE(CAST(:at_ms AS BIGINT), updated_ms) WHERE name = :name"
VERSION_COLUMNS = """name, number, source, run_id, model_id, digest, signature, stage, status, description, actor,
    created_ms, updated_ms, tags"""
SELECT_VERSION = f"SELECT {VERSION_COLUMNS} FROM model_version WHERE name = :name AND number = :number"  # noqa: S608
SELECT_VERSIONS = f"""SELECT {VERSION_COLUMNS} FROM model_version
WHERE (:name = '' OR name = :name) AND status <> 'DELETED' ORDER BY name, number"""  # noqa: S608
SELECT_OF_RUNS = f"""SELECT {VERSION_COLUMNS} FROM model_version
WHERE run_id IN [:run_ids] AND (:name = '' OR name = :name) AND status <> 'DELETED' ORDER BY name, number"""  # noqa: S608
SELECT_NEWEST = "SELECT MAX(number) FROM model_version WHERE name = :name AND status <> 'DELETED'"
SELECT_HIGHEST = "SELECT MAX(number) FROM model_version WHERE name = :name"
SELECT_ALIASES = "SELECT name, alias, number FROM model_alias WHERE :name = '' OR name = :name ORDER BY name, alias"
SELECT_ALIAS = "SELECT number FROM model_alias WHERE name = :name AND alias = :alias"

NAME_CHARACTERS_MAX = 256


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A name that versions gather under; `aliases` says which number each alias points at, `newest` is 0 for none."""

    name: str
    description: str
    created_ms: int
    updated_ms: int
    newest: int
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def parse_model_reference(written: str) -> tuple[str, str]:
    """A model's name, and what stands behind the `@`: a number, an alias, or nothing for the newest version.

    >>> parse_model_reference("late@3"), parse_model_reference("late")
    (('late', '3'), ('late', ''))
    """
    name, _, which = written.partition("@")
    if not name or (written.endswith("@")):
        raise Invalid(f"{written!r} names no model; write NAME, NAME@NUMBER or NAME@ALIAS")
    return name, which


def check_model_name(name: str) -> None:
    """Raise Invalid for a name that could not be told from a path, a reference or a lineage point."""
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or re.search(r"[/:@\x00-\x1f]", name):
        raise Invalid(
            f"{name[:80]!r} cannot name a model: it must have 1 to {NAME_CHARACTERS_MAX} characters, none of them / : @"
        )


def model_in(tx: Tx, name: str) -> RegisteredModel:
    """The registered model. Raises NotFound with the nearest name that there is."""
    row = tx.row(SELECT_MODEL, {"name": name})
    if row is None or is_deleted(row):
        raise _no_model(tx, name)
    newest = tx.row(SELECT_NEWEST, {"name": name})
    return model_of_row(row, newest=int(str(newest[0] or 0)) if newest else 0, aliases=aliases_in(tx, name))


def is_deleted(row: Row) -> bool:
    """Whether the row of a registered model is only kept for its numbers."""
    return DELETED_MODEL_TAG in str(row[4])


def model_of_row(row: Row, *, newest: int, aliases: dict[str, int]) -> RegisteredModel:
    """A row of SELECT_MODEL as a record."""
    name, description, created, updated, tags = row
    return RegisteredModel(
        str(name), str(description), _whole(created), _whole(updated), newest, aliases, _tags(str(tags))
    )


def lock_model(tx: Tx, name: str, at_ms: int | None = None) -> None:
    """Take the model's row until the transaction ends, and say that it changes where a time is given. Raises NotFound.

    What turns out to change nothing leaves the time alone, as it leaves the ledger alone: see `touch_model`.
    """
    row = tx.row(SELECT_MODEL, {"name": name})
    if row is None or is_deleted(row):
        raise _no_model(tx, name)
    tx.execute(LOCK_MODEL, {"name": name, "at_ms": at_ms})


def touch_model(tx: Tx, name: str, at_ms: int) -> None:
    """Say that a model which is locked changes after all."""
    tx.execute(LOCK_MODEL, {"name": name, "at_ms": at_ms})


def aliases_in(tx: Tx, name: str) -> dict[str, int]:
    """Alias -> number, of one model."""
    return {str(alias): _whole(number) for _, alias, number in tx.rows(SELECT_ALIASES, {"name": name})}


def version_in(tx: Tx, name: str, number: int) -> ModelVersion:
    """One version by its number. Raises NotFound that says which there are."""
    row = tx.row(SELECT_VERSION, {"name": name, "number": number})
    if row is None or row[8] == DELETED:
        raise _no_version(tx, name, str(number), gone=row is not None)
    aliases = aliases_in(tx, name)
    return version_of_row(row, tuple(alias for alias, pointed in aliases.items() if pointed == number))


def referred_version_in(tx: Tx, written: str) -> ModelVersion:
    """The version that `NAME`, `NAME@NUMBER` or `NAME@ALIAS` means; `NAME` and `NAME@latest` mean the newest."""
    name, which = parse_model_reference(written)
    model = model_in(tx, name)
    if which in ("", "latest"):
        if not model.newest:
            raise NotFound(f"model {name!r} has no versions", hint=f"taut model register {name} --run RUN")
        return version_in(tx, name, model.newest)
    if which.isdecimal():
        return version_in(tx, name, read_whole(which, what=f"the version of {name!r}"))
    if which not in model.aliases:
        known = ", ".join(model.aliases) or "none"
        nearest = difflib.get_close_matches(which, model.aliases, n=1)
        meant = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise NotFound(
            f"model {name!r} has no alias {which!r}; its aliases: {known}{meant}", hint=f"taut model show {name}"
        )
    return version_in(tx, name, model.aliases[which])


def version_of_row(row: Row, aliases: tuple[str, ...] = ()) -> ModelVersion:
    """A row of SELECT_VERSION as a record."""
    name, number, source, run_id, model_id, digest, signature, stage, status, description, actor, *rest = row
    created, updated, tags = rest
    return ModelVersion(
        str(name), _whole(number), str(source), str(run_id), str(model_id), str(digest), str(signature), str(stage),
        str(status), str(description), str(actor), _whole(created), _whole(updated), aliases, _tags(str(tags)),
    )  # fmt: skip


def versions_in(tx: Tx, name: str = "", *, run_ids: Sequence[str] | None = None) -> list[ModelVersion]:
    """Every version, of one model where it is named and of some runs where they are, in order of name and number."""
    pointed: dict[tuple[str, int], list[str]] = {}
    for model, alias, number in tx.rows(SELECT_ALIASES, {"name": name}):
        pointed.setdefault((str(model), _whole(number)), []).append(str(alias))
    if run_ids is None:
        rows = tx.rows(SELECT_VERSIONS, {"name": name})
    else:
        rows = tx.rows(SELECT_OF_RUNS, {"name": name, "run_ids": list(run_ids)})
    return [version_of_row(row, tuple(pointed.get((str(row[0]), _whole(row[1])), ()))) for row in rows]


def next_number_in(tx: Tx, name: str) -> int:
    """The number of the version to come; numbers of deleted versions are not given again."""
    highest = tx.row(SELECT_HIGHEST, {"name": name})
    return _whole(highest[0] if highest and highest[0] is not None else 0) + 1


def _no_model(tx: Tx, name: str) -> NotFound:
    known = [str(row[0]) for row in tx.rows(SELECT_MODELS) if not is_deleted(row)]
    nearest = difflib.get_close_matches(name, known, n=1)
    if nearest:
        return NotFound(
            f"there is no model {name!r}; did you mean {nearest[0]!r}?", hint=f"taut model show {nearest[0]}"
        )
    return NotFound(
        f"there is no model {name!r}; " + (f"there are {', '.join(known[:10])}" if known else "none is registered"),
        hint="taut model list" if known else f"taut model register {name} --run RUN",
    )


def _no_version(tx: Tx, name: str, wanted: str, *, gone: bool) -> NotFound:
    model = model_in(tx, name)
    numbers = [version.number for version in versions_in(tx, name)]
    has = f"it has {numbers[0]} to {numbers[-1]}" if numbers else "it has none"
    what = (
        f"version {wanted} of model {model.name!r} was deleted" if gone else f"model {name!r} has no version {wanted}"
    )
    return NotFound(f"{what}; {has}", hint=f"taut model show {name}")


def _whole(value: object) -> int:
    return int(cast("int", value))


def _tags(written: str) -> dict[str, str]:
    return wire.decode(written, dict[str, str], what="the tags of a model")
