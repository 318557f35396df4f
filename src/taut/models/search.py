"""Searching the registry in MLflow's filter language, a page at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from taut.errors import Invalid
from taut.home import Home, verb
from taut.models.keeping import stage_named
from taut.models.registry import list_models, list_versions
from taut.models.rights import of_model
from taut.models.versions import RegisteredModel
from taut.records import ModelVersion
from taut.runs import Comparison, Found, holds, lookup, page_of, parse_filter, parse_order

T = TypeVar("T", RegisteredModel, ModelVersion)

# MLflow's clients ask with every search for what is no prompt, by this tag, which models do not carry.
NO_PROMPT = {"mlflow.prompt.is_prompt": "false"}

MODELS_A_PAGE, VERSIONS_A_PAGE = 100, 10_000  # What MLflow's server answers where the client says nothing.
MODELS_MAX, VERSIONS_MAX = 1000, 200_000  # And the most that it gives at once.


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Registered models; `next_page` is empty on the last page."""

    models: tuple[RegisteredModel, ...]
    next_page: str = ""


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Model versions; `next_page` is empty on the last page."""

    versions: tuple[ModelVersion, ...]
    next_page: str = ""


@verb("model.search", needs="model:read", on="*")
def search_models(
    home: Home,
    *,
    filter: str = "",
    order_by: list[str] | None = None,
    max_results: int = MODELS_A_PAGE,
    page_token: str = "",
) -> ModelPage:
    """A page of registered models that meet a filter on `name` and `tags.KEY`, by name where no order is said."""
    found = _chosen(list_models(home), filter, order_by or [], _facts_of_model)
    page, token = page_of(found, page_token, max_results, key=lambda model: model.name, at_most=MODELS_MAX)
    return ModelPage(tuple(page), token)


@verb("model.search_versions", needs="model:read", on="*")
def search_versions(
    home: Home,
    *,
    filter: str = "",
    order_by: list[str] | None = None,
    max_results: int = VERSIONS_A_PAGE,
    page_token: str = "",
) -> VersionPage:
    """A page of versions that meet a filter on `name`, `run_id`, `source_path`, `version_number` and `tags.KEY`.

    Those that were changed last come first where no order is said, then by name, newest version first. Raises
    Invalid for a filter that cannot be read.
    """
    versions = sorted(list_versions(home, run_ids=_runs_of(filter)), key=lambda one: (one.name, -one.number))
    if not order_by:
        versions.sort(key=lambda version: version.updated_ms, reverse=True)
    found = _chosen(versions, filter, order_by or [], _facts_of_version)
    page, token = page_of(found, page_token, max_results, key=lambda version: version.point, at_most=VERSIONS_MAX)
    return VersionPage(tuple(page), token)


@verb("model.latest", needs="model:read", on=of_model)
def latest_versions(home: Home, name: str, *, stages: list[str] | None = None) -> list[ModelVersion]:
    """The newest version of each of MLflow's stages, or of those named. Raises NotFound; Invalid for no stage."""
    for stage in stages or ():
        stage_named(stage)
    newest = {version.stage: version for version in list_versions(home, name)}
    wanted = {stage.lower() for stage in stages or newest}
    return [version for stage, version in newest.items() if stage.lower() in wanted]


def _runs_of(written: str) -> list[str] | None:
    """The runs that a filter asks for by their ids, which it mostly does: then nothing else is read. None for any."""
    for one in parse_filter(written):
        if not isinstance(one, Comparison) or (one.entity, one.key) != ("attribute", "run_id"):
            continue
        if one.operator in ("=", "IN"):
            return [str(value) for value in one.values]
    return None


def _chosen(things: list[T], written: str, order_by: list[str], facts: Callable[[T], Mapping[str, Found]]) -> list[T]:
    conditions, orders = parse_filter(written), parse_order(order_by)
    kept = [
        thing
        for thing in things
        if all(holds(one, partial(lookup, attributes=facts(thing), tags=NO_PROMPT | thing.tags)) for one in conditions)
    ]
    for order in reversed(orders):
        if kept and (order.entity != "attribute" or order.key not in facts(kept[0])):
            raise Invalid(f"cannot order by {order.key!r}; known are {', '.join(sorted(facts(kept[0])))}")
        kept.sort(key=lambda thing: _sortable(facts(thing)[order.key]), reverse=order.descending)
    return kept


def _sortable(value: Found) -> Any:
    return value


def _facts_of_model(model: RegisteredModel) -> Mapping[str, Found]:
    return {
        "name": model.name,
        "creation_timestamp": float(model.created_ms),
        "last_updated_timestamp": float(model.updated_ms),
        "timestamp": float(model.updated_ms),
    }


def _facts_of_version(version: ModelVersion) -> Mapping[str, Found]:
    return {
        "name": version.name,
        "run_id": version.run_id,
        "source_path": version.source,
        "version_number": float(version.number),
        "creation_timestamp": float(version.created_ms),
        "last_updated_timestamp": float(version.updated_ms),
    }
