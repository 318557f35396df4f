"""The parts of a batch on a Ray cluster, a task each. That each is there once comes from the parts, not from Ray."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import msgspec

from taut import errors
from taut.errors import Conflict, Corrupt, TautError, Unavailable, UsageError
from taut.models.tree import tree_of_folder, verify_folder
from taut.serve.batch.parts import Session, Setup, Written
from taut.serve.batch.plan import Part

RETRIES = 5  # Of a part whose node or process was lost.
AHEAD = 2  # Parts that wait for each core, so that none is idle while the next is on its way.


def over_ray(setup: Setup, parts: Sequence[Part]) -> Iterator[Written]:
    """Have parts written by the cluster that RAY_ADDRESS names, else by one on this machine.

    The output must be a bucket, or a folder that all nodes share. Raises UsageError without Ray, what a part raised,
    Unavailable for one that lost its node too often.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--on ray needs Ray", hint="pip install 'taut[ray]'") from None
    is_ours = not ray.is_initialized()
    if is_ours:
        ray.init(logging_level="warning", log_to_driver=False, include_dashboard=False)
    try:
        yield from _spread(ray, setup, parts)
    finally:
        if is_ours:
            ray.shutdown()


def _spread(ray: Any, setup: Setup, parts: Sequence[Part]) -> Iterator[Written]:
    """Tasks in flight, a bounded number of them; the next is given as one is done."""
    told = ray.put(msgspec.msgpack.encode((setup, _files_of(setup))))
    task = ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=False)(written)
    waiting, flying = list(reversed(parts)), dict[Any, Part]()
    while waiting or flying:
        room = max(1, int(ray.cluster_resources().get("CPU", 1))) * AHEAD
        while waiting and len(flying) < room:
            part = waiting.pop()
            flying[task.remote(told, msgspec.msgpack.encode(part))] = part
        ready, _ = ray.wait(list(flying), num_returns=1)
        for one in ready:
            part = flying.pop(one)
            try:
                answer = msgspec.msgpack.decode(ray.get(one), type=tuple[Written | None, str, str, str])
            except ray.exceptions.RayError as problem:
                source = setup.plan.inputs[part.input].name
                where = f"rows {part.start} to {part.stop - 1} of {source}"
                raise Unavailable(f"{where} were not scored: {str(problem).splitlines()[0][:300]}") from problem
            yield _done(*answer)


def _done(done: Written | None, kind: str, message: str, hint: str) -> Written:
    if done is not None:
        return done
    found = getattr(errors, kind, Corrupt)
    raise (found if issubclass(found, TautError) else Corrupt)(message, hint=hint)


def written(told: bytes, part: bytes) -> bytes:
    """The task: write a part, with a session that this process keeps; what it raises is told, for Ray retries none."""
    try:
        done = _session(told).write(msgspec.msgpack.decode(part, type=Part))
    except TautError as error:
        return msgspec.msgpack.encode((None, error.kind, error.message, error.hint))
    return msgspec.msgpack.encode((done, "", "", ""))


_SESSIONS: dict[str, Session] = {}


def _session(told: bytes) -> Session:
    """The session of a setup; one at a time is kept."""
    digest = hashlib.sha256(told).hexdigest()
    if digest not in _SESSIONS:
        for old in _SESSIONS.values():
            old.close()
        _SESSIONS.clear()
        setup, files = msgspec.msgpack.decode(told, type=tuple[Setup, dict[str, bytes]])
        if files:
            setup = replace(setup, form=replace(setup.form, folder=str(_unpacked(files, setup.form.digest))))
        _SESSIONS[digest] = Session(setup)
    return _SESSIONS[digest]


def _files_of(setup: Setup) -> dict[str, bytes]:
    """The files of a model that answers itself: a node need not share this one's disk."""
    if setup.form.graph:
        return {}
    folder = Path(setup.form.folder)
    return {file.path: (folder / file.path).read_bytes() for file in tree_of_folder(folder)}


def _unpacked(files: dict[str, bytes], digest: str) -> Path:
    """The files in a folder of this node; whoever is first makes it, and what loads it checks its digest."""
    place = Path(gettempdir()) / f"taut-batch-{os.getuid()}" / digest
    if not place.is_dir():
        made = place.with_name(f"{digest}.{os.getpid()}")
        for path, data in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (made / path).write_bytes(data)
        try:
            made.rename(place)
        except OSError:
            if not place.is_dir():
                raise
    if place.stat().st_uid != os.getuid():
        raise Conflict(f"{place} is somebody else's", hint="set TMPDIR to a folder of yours")
    verify_folder(place, digest)
    return place
