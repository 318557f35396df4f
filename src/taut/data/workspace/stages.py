"""Stages: what a `dvc.yaml` says of them, its templates resolved, beside what its `dvc.lock` remembers."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from taut.data.workspace.params import PARAMS, load_params
from taut.data.workspace.pointers import PIPELINE, Entry, Out, out_of
from taut.data.workspace.repository import repository_of
from taut.data.workspace.templates import Values, resolved, with_vars
from taut.errors import Invalid, NotFound
from taut.ground.yaml import read_yaml

PARSING = "parsing"  # A section of DVC's config.


class Params(NamedTuple):
    """Parameters that a stage depends on: `path` in DVC's words, `wanted` ones (none: all), and what the lock has."""

    path: str
    place: str
    wanted: tuple[str, ...]
    recorded: dict[str, Any] | None


class Stage(NamedTuple):
    """A stage: its address in DVC's words, what it reads and what it makes, with the digests that the lock has.

    `is_changed` is a command that is another than the lock's. One without deps and outs is always changed.
    """

    address: str
    cmd: Any
    folder: str
    deps: tuple[Out, ...]
    outs: tuple[Out, ...]
    params: tuple[Params, ...] = ()
    is_frozen: bool = False
    is_always_changed: bool = False
    is_changed: bool = False


class _Pipeline(msgspec.Struct):
    """A `dvc.yaml`, as far as taut reads it."""

    stages: dict[str, Any] | None = None
    vars: list[Any] | None = None


class _Locked(msgspec.Struct):
    """A stage of a `dvc.lock`."""

    cmd: Any = None
    deps: list[Entry] = []
    params: dict[str, dict[str, Any]] = {}
    outs: list[Entry] = []


class _Spec(msgspec.Struct):
    """A stage of a `dvc.yaml`, its templates resolved."""

    cmd: Any
    wdir: str | None = None
    deps: list[str] | None = None
    params: list[str | dict[str, Any]] | None = None
    outs: list[str | dict[str, Any]] | None = None
    metrics: list[str | dict[str, Any]] | None = None
    plots: list[str | dict[str, Any]] | None = None
    frozen: bool = False
    always_changed: bool = False


class _Options(msgspec.Struct):
    """What a `dvc.yaml` says of an out."""

    cache: bool = True
    push: bool = True
    remote: str | None = None


def read_lock(file: Path, root: str = "") -> list[Stage]:
    """The stages of the `dvc.yaml` beside a `dvc.lock`, which need not be there yet, with what the lock says of each.

    `root` is where addresses begin: the current folder. Raises NotFound, Invalid with line and column where that can be
    told, Denied.
    """
    pipeline = file.with_name(PIPELINE)
    folder = str(file.parent)
    said = read_yaml(pipeline, _Pipeline)
    locked = _locked(file)
    where = os.path.relpath(pipeline, root or folder)
    found = []
    for name, spec in _resolved(pipeline, said, folder):
        address = name if where == PIPELINE else f"{where}:{name}"
        try:
            known = msgspec.convert(spec, _Spec)
            found.append(_stage(address, known, locked.get(name), file, folder))
        except msgspec.ValidationError as problem:
            raise Invalid(f"{pipeline}: stage {name!r}: {problem}") from None
    return found


def _resolved(pipeline: Path, said: _Pipeline, folder: str) -> Iterator[tuple[str, Values]]:
    """The stages with their templates resolved; files are read only where there is something to resolve."""
    stages = said.stages or {}
    if not said.vars and not any(_has_templates(stage) for stage in stages.values()):
        yield from ((name, stage) for name, stage in stages.items())
        return
    known: dict[str, Values] = {}

    def load(path: str) -> Values:
        if path not in known:
            known[path] = load_params(path)
        return known[path]

    seen: dict[str, set[str]] = {}
    try:
        values = with_vars({}, [PARAMS], folder, load, str(pipeline), seen)
    except NotFound:
        values = {}
    values = with_vars(values, said.vars, folder, load, str(pipeline), seen)
    repository = repository_of(folder)
    parsing = repository.config.section(PARSING) if repository is not None else {}
    try:
        yield from resolved(stages, values, load, folder, parsing, seen)
    except Invalid as problem:
        raise Invalid(f"{pipeline}: {problem.message}", hint=problem.hint) from None


def _has_templates(data: Any) -> bool:
    if isinstance(data, dict):
        return (
            "foreach" in data or "matrix" in data or "vars" in data or any(map(_has_templates, [*data, *data.values()]))
        )
    if isinstance(data, list):
        return any(map(_has_templates, data))
    return isinstance(data, str) and "${" in data


def _locked(file: Path) -> dict[str, _Locked]:
    """The stages of a lock; of the first schema too, which had nothing but stages."""
    if not file.exists():
        return {}
    document = read_yaml(file, dict[str, Any])
    stages = document.get("stages") if "schema" in document or "stages" in document else document
    try:
        return msgspec.convert(stages or {}, dict[str, _Locked])
    except msgspec.ValidationError as problem:
        raise Invalid(f"{file}: {problem}") from None


def _stage(address: str, spec: _Spec, locked: _Locked | None, file: Path, above: str) -> Stage:
    folder = os.path.normpath(os.path.join(above, spec.wdir or "."))
    known = locked or _Locked()
    deps, outs = ({os.path.normpath(one.path): one for one in side} for side in (known.deps, known.outs))
    params: dict[str, list[str]] = {}
    for one in spec.params or ():
        for path, names in ({PARAMS: [one]} if isinstance(one, str) else one).items():
            # One mention of the whole file counts before its single keys.
            is_whole = not names or params.get(path) == []
            params[path] = [] if is_whole else [*params.get(path, ()), *map(str, names)]
    made = tuple(
        _out(path, _options(options), outs, folder, file)
        for path, options in _listed(spec)
    )  # fmt: skip
    needed = tuple(_out(path, _Options(cache=False), deps, folder, file) for path in spec.deps or ())
    return Stage(
        address, spec.cmd, folder, needed, made,
        tuple(
            Params(path, os.path.normpath(os.path.join(folder, path)), tuple(names), known.params.get(path))
            for path, names in params.items()
        ),
        spec.frozen,
        spec.always_changed or not (needed or made or params),
        locked is not None and locked.cmd != spec.cmd,
    )  # fmt: skip


def _options(said: dict[str, Any]) -> _Options:
    return _Options(**{key: value for key, value in said.items() if key in _Options.__struct_fields__})


def _listed(spec: _Spec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Outs, metrics and plots with their options."""
    for listed in (spec.outs, spec.metrics, spec.plots):
        for one in listed or ():
            for path, options in ({one: None} if isinstance(one, str) else one).items():
                yield path, options if isinstance(options, dict) else {}


def _out(path: str, options: _Options, known: dict[str, Entry], folder: str, file: Path) -> Out:
    entry = known.get(os.path.normpath(path), Entry(path))
    out = out_of(entry, folder, file)
    return out._replace(is_cached=options.cache, is_pushed=options.push, remote=options.remote or "")
