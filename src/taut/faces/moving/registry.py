"""Moving in the registry: names, versions with their numbers and files, aliases."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath

from taut.errors import Refused
from taut.faces.moving.move import Move, store_files
from taut.faces.moving.source import TheirVersion
from taut.ground import wire
from taut.models import (
    RegisteredModel,
    import_model,
    import_version,
    set_alias,
    settle_imported_model,
    show_model,
)
from taut.records import ModelVersion, TreeFile
from taut.runs import Artifact, Count, all_artifacts, count_all, file_tally

COPIES_MAX = 100  # Far more than anybody makes copies of copies; a circle ends here.
PROMPT = "mlflow.prompt.is_prompt"  # A prompt is a registered model whose text stands in a tag: it has no files.


def move_registry(move: Move, thing: tuple[RegisteredModel, list[TheirVersion]]) -> None:
    """Copy a registered model: its name, its versions oldest first, its aliases, and last the times it had."""
    model, versions = thing
    name = import_model(move.home, model, source=move.source.name).ours
    if name != model.name:
        move.notes.append(f"model {model.name!r} is {name!r} here: its name was taken")
    for version in versions:
        _move_version(move, name, version)
    mark = wire.digest([model, [version.mark for version in versions]])
    known = move.known.get(("registered model", model.name))
    if known is None or known.mark != mark or move.again:
        _move_aliases(move, name, model)
        spoiled = any((kind, each) in move.spoiled for kind, each in _names(name, versions))
        settle_imported_model(move.home, name, model, source=move.source.name, mark="" if spoiled else mark)
    move.there["registered model", name] = model_tally(model)


def model_tally(model: RegisteredModel) -> dict[str, Count]:
    """What a registered model is, wherever it was read."""
    head = wire.digest([model.description, model.created_ms, model.tags])
    return {
        "registered models": Count(1, head),
        "aliases": count_all(wire.encode(pair) for pair in model.aliases.items()),
    }


def version_tally(version: ModelVersion, files: Iterable[Artifact]) -> dict[str, Count]:
    """What a version is, wherever it was read; what taut adds to it is left out."""
    said = [
        version.number, version.source, version.run_id, version.stage, version.status, version.description,
        version.actor, version.created_ms, version.tags,
    ]  # fmt: skip
    return {"model versions": Count(1, wire.digest(said)), "version files": file_tally(files)["files"]}


def _names(name: str, versions: Iterable[TheirVersion]) -> Iterable[tuple[str, str]]:
    yield "registered model", name
    yield from (("model version", replace(one.version, name=name).point) for one in versions)


def _move_version(move: Move, name: str, theirs: TheirVersion) -> None:
    version = replace(theirs.version, name=name)
    if move.is_known("model version", version.point, theirs.mark):
        return
    location = _followed(move, theirs.location)
    root, below = _root_of(move, location, version.source)
    files = _files_here(move, root, below) if root else []
    if not files and location and not location.startswith(("runs:/", "models:/")):
        files = store_files(move, "model version", version.point, location)
    if not files and PROMPT not in version.tags and ("model version", version.point) not in move.spoiled:
        text = f"none of its files can be reached in {location or 'no place'}; it is registered without them"
        move.went_wrong("model version", version.point, text)
    if root.split("/")[1:2] == ["models"]:
        version = replace(version, model_id=root.split("/")[2])
    tally, mark = version_tally(version, files), move.mark("model version", version.point, theirs.mark)
    tree = [TreeFile(file.path, file.oid, "", file.size_bytes) for file in files]
    import_version(move.home, version, tree, source=move.source.name, mark=mark, tally=tally)
    move.there["model version", version.point] = tally
    move.moved += 1


def _move_aliases(move: Move, name: str, model: RegisteredModel) -> None:
    """Point aliases as they point there; one that points elsewhere here already is left alone, and told."""
    here = show_model(move.home, name).aliases
    for alias, number in model.aliases.items():
        if here.get(alias, number) != number:
            text = f"alias {alias!r} points at version {number} there and stays at version {here[alias]} here"
            move.went_wrong("registered model", name, text)
            continue
        try:
            set_alias(move.home, name, alias, number)
        except Refused as problem:
            move.went_wrong("registered model", name, problem.message)


def _root_of(move: Move, location: str, source: str) -> tuple[str, str]:
    """The artifact root here that a location there lies in, and the path below it; two empty words for none."""
    for said in (location, source):
        if found := re.fullmatch(r"runs:/+([^/]+)/?(.*)", said):
            return _named_root(move, f"/{found[1]}/artifacts"), found[2]
        if found := re.fullmatch(r"models:/+(m-[^/@]+)", said):
            return _named_root(move, f"/models/{found[1]}/artifacts"), ""
        place, below = said.rstrip("/"), PurePosixPath()
        while place:
            if place in move.roots:
                return move.roots[place], "" if below == PurePosixPath() else below.as_posix()
            place, _, last = place.rpartition("/")
            below = PurePosixPath(last) / below
    return "", ""


def _named_root(move: Move, end: str) -> str:
    return next((root for root in move.roots.values() if root.endswith(end)), "")


def _followed(move: Move, location: str) -> str:
    """Where the files of a version lie that was made of another version, which may be made of a third."""
    for _ in range(COPIES_MAX):
        found = re.fullmatch(r"models:/+([^/]+)/(\d+)", location)
        if found is None:
            break
        location = move.locations.get((found[1], int(found[2])), "")
    return location


def _files_here(move: Move, root: str, below: str) -> list[Artifact]:
    start = f"{below}/" if below else ""
    return [
        Artifact(file.path[len(start) :], file.oid, file.size_bytes)
        for file in all_artifacts(move.home, root)
        if file.path.startswith(start)
    ]
