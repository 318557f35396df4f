"""The registry as MLflow asks for it: registered models, versions, aliases, stages, tags."""

import re

import msgspec

from taut.errors import Conflict, Invalid, NotFound
from taut.faces.mlflow.shapes import SCHEME, Json, Pair, pairs_of, registered_model_shape, version_shape
from taut.home import Home
from taut.models import (
    RegisteredModel,
    create_model,
    delete_alias,
    delete_model,
    delete_version,
    describe_model,
    describe_version,
    find_model,
    latest_versions,
    register_model,
    rename_model,
    search_models,
    search_versions,
    set_alias,
    set_stage,
    show_model,
    tag_model,
    tag_version,
)
from taut.records import ModelVersion
from taut.runs import get_logged_model, get_run, model_root, run_root


class CreateModel(msgspec.Struct):
    """registered-models/create."""

    name: str
    description: str = ""
    tags: list[Pair] = []


class ByName(msgspec.Struct):
    """registered-models/get, delete."""

    name: str


class Rename(msgspec.Struct):
    """registered-models/rename."""

    name: str
    new_name: str


class Describe(msgspec.Struct):
    """registered-models/update."""

    name: str
    description: str = ""


class Tag(msgspec.Struct):
    """registered-models/set-tag, delete-tag."""

    name: str
    key: str
    value: str = ""


class Alias(msgspec.Struct):
    """registered-models/alias, of GET and DELETE."""

    name: str
    alias: str


class PointAlias(Alias):
    """registered-models/alias, of POST."""

    version: int


class Latest(msgspec.Struct):
    """registered-models/get-latest-versions."""

    name: str
    stages: list[str] = []


class SearchModels(msgspec.Struct):
    """registered-models/search."""

    filter: str = ""
    max_results: int = 100
    order_by: list[str] = []
    page_token: str = ""


class SearchVersions(SearchModels):
    """model-versions/search."""

    max_results: int = 10_000


class CreateVersion(msgspec.Struct):
    """model-versions/create."""

    name: str
    source: str
    run_id: str = ""
    model_id: str = ""
    description: str = ""
    tags: list[Pair] = []


class ByVersion(msgspec.Struct):
    """model-versions/get, delete, get-download-uri."""

    name: str
    version: int


class DescribeVersion(ByVersion):
    """model-versions/update."""

    description: str = ""


class Stage(ByVersion):
    """model-versions/transition-stage."""

    stage: str
    archive_existing_versions: bool = False


class VersionTag(ByVersion):
    """model-versions/set-tag, delete-tag."""

    key: str
    value: str = ""


def create(home: Home, asked: CreateModel) -> Json:
    """Register a name."""
    tags = pairs_of(asked.tags, what="tag")
    try:
        model = create_model(home, asked.name, description=asked.description, tags=tags)
    except Conflict as problem:
        raise Conflict(f"Registered Model (name={asked.name}) already exists.", hint=problem.hint) from None
    return {"registered_model": registered_model_shape(model, [])}


def get(home: Home, asked: ByName) -> Json:
    """One by its name."""
    try:
        return _with_latest(home, show_model(home, asked.name))
    except NotFound as problem:
        raise NotFound(f"Registered Model with name={asked.name} not found: {problem.message}") from None


def rename(home: Home, asked: Rename) -> Json:
    """Give one another name."""
    return _with_latest(home, rename_model(home, asked.name, asked.new_name))


def update(home: Home, asked: Describe) -> Json:
    """Describe one."""
    return _with_latest(home, describe_model(home, asked.name, asked.description))


def delete(home: Home, asked: ByName) -> Json:
    """Delete one with its versions."""
    delete_model(home, asked.name)
    return {}


def set_tag(home: Home, asked: Tag) -> Json:
    """Set a tag."""
    tag_model(home, asked.name, asked.key, asked.value)
    return {}


def delete_tag(home: Home, asked: Tag) -> Json:
    """Take a tag away."""
    tag_model(home, asked.name, asked.key, None)
    return {}


def point_alias(home: Home, asked: PointAlias) -> Json:
    """Point an alias at a version."""
    set_alias(home, asked.name, asked.alias, asked.version)
    return {}


def drop_alias(home: Home, asked: Alias) -> Json:
    """Take an alias away."""
    delete_alias(home, asked.name, asked.alias)
    return {}


def by_alias(home: Home, asked: Alias) -> Json:
    """The version that an alias points at; MLflow calls an unknown alias an invalid parameter."""
    model = show_model(home, asked.name)
    if asked.alias not in model.aliases:
        raise Invalid(f"Registered model alias {asked.alias} not found.")
    return {"model_version": version_shape(find_model(home, f"{asked.name}@{asked.alias}"))}


def latest(home: Home, asked: Latest) -> Json:
    """The newest version of each stage."""
    found = latest_versions(home, asked.name, stages=asked.stages or None)
    return {"model_versions": [version_shape(version) for version in found]}


def search(home: Home, asked: SearchModels) -> Json:
    """A page of registered models."""
    page = search_models(
        home,
        filter=asked.filter,
        order_by=asked.order_by,
        max_results=asked.max_results,
        page_token=asked.page_token,
    )
    models = [registered_model_shape(model, latest_versions(home, model.name)) for model in page.models]
    answer: Json = {"registered_models": models}
    return {**answer, "next_page_token": page.next_page} if page.next_page else answer


def create_version(home: Home, asked: CreateVersion) -> Json:
    """Make the next version of a model out of artifacts that this home keeps; the model must be registered."""
    show_model(home, asked.name)
    try:
        version = register_model(
            home,
            asked.name,
            run_id=asked.run_id,
            model_id=asked.model_id,
            source=asked.source,
            description=asked.description,
            tags=pairs_of(asked.tags, what="tag"),
            again=True,
        )
    except NotFound as problem:  # The model is there, so it is what the version would be made of that is not.
        raise Invalid(f"Invalid model version source: {asked.source[:200]!r}: {problem.message}") from None
    return {"model_version": version_shape(version)}


def get_version(home: Home, asked: ByVersion) -> Json:
    """One version."""
    return {"model_version": version_shape(_version(home, asked))}


def update_version(home: Home, asked: DescribeVersion) -> Json:
    """Describe a version."""
    return {"model_version": version_shape(describe_version(home, asked.name, asked.version, asked.description))}


def remove_version(home: Home, asked: ByVersion) -> Json:
    """Delete a version."""
    delete_version(home, asked.name, asked.version)
    return {}


def set_version_tag(home: Home, asked: VersionTag) -> Json:
    """Set a tag of a version."""
    tag_version(home, asked.name, asked.version, asked.key, asked.value)
    return {}


def delete_version_tag(home: Home, asked: VersionTag) -> Json:
    """Take a tag of a version away."""
    tag_version(home, asked.name, asked.version, asked.key, None)
    return {}


def transition(home: Home, asked: Stage) -> Json:
    """Move a version to a stage."""
    version = set_stage(home, asked.name, asked.version, asked.stage, archive_others=asked.archive_existing_versions)
    return {"model_version": version_shape(version)}


def search_all_versions(home: Home, asked: SearchVersions) -> Json:
    """A page of versions."""
    page = search_versions(
        home,
        filter=asked.filter,
        order_by=asked.order_by,
        max_results=asked.max_results,
        page_token=asked.page_token,
    )
    answer: Json = {"model_versions": [version_shape(version) for version in page.versions]}
    return {**answer, "next_page_token": page.next_page} if page.next_page else answer


def download_uri(home: Home, asked: ByVersion) -> Json:
    """Where a client fetches the files of a version: the artifacts of the logged model or run that it came from."""
    return {"artifact_uri": _files_of(home, _version(home, asked))}


def _files_of(home: Home, version: ModelVersion) -> str:
    if version.model_id:
        model = get_logged_model(home, version.model_id)
        return SCHEME + model_root(model.experiment_id, model.id)
    if version.source.startswith("runs:/"):
        run_id, _, path = version.source.removeprefix("runs:/").strip("/").partition("/")
        run = get_run(home, run_id)
        return SCHEME + f"{run_root(run.experiment_id, run.id)}/{path}".rstrip("/")
    if version.source.startswith(SCHEME):
        return version.source
    if made_of := re.fullmatch(r"models:/+([^/@]+)/(\d+)", version.source):
        return _files_of(home, find_model(home, f"{made_of[1]}@{made_of[2]}"))
    if version.run_id and (inside := re.search(rf"/{re.escape(version.run_id)}/artifacts/?(.*)$", version.source)):
        run = get_run(home, version.run_id)  # Moved in: the source says where the run's files lay before.
        return SCHEME + f"{run_root(run.experiment_id, run.id)}/{inside[1]}".rstrip("/")
    raise NotFound(
        f"{version.name}@{version.number} came from {version.source}, whose files MLflow's clients cannot fetch",
        hint=f"taut model fetch {version.name}@{version.number}",
    )


def _version(home: Home, asked: ByVersion) -> ModelVersion:
    try:
        return find_model(home, f"{asked.name}@{asked.version}")
    except NotFound as problem:
        found = f"Model Version (name={asked.name}, version={asked.version}) not found"
        raise NotFound(f"{found}: {problem.message}", hint=problem.hint) from None


def _with_latest(home: Home, model: RegisteredModel) -> Json:
    return {"registered_model": registered_model_shape(model, latest_versions(home, model.name))}
