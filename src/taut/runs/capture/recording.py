"""A run while it goes on: a folder `.taut/run/ID` with all that must survive a kill, and the one way in which it ends.

`started.json` says what ran and which process records it; `opened` (the observer's record), `reads` (Python's notes)
and `output.log` grow meanwhile, `kept` holds inputs that the command changed, `ended.json` says how it ended. Whoever
finds the folder without its process, `taut run` itself or a later one, finishes the run.
"""

import io
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from taut.errors import Conflict, NotFound
from taut.ground import wire
from taut.ground.compute import handle_of, is_alive
from taut.home import Home
from taut.records import Capture, Run, Surroundings, Usage
from taut.runs.capture.environment import Environment, ask_environment, interpreter_of
from taut.runs.capture.hashes import Hashes, hashes_around
from taut.runs.capture.inputs import Recording, files_of
from taut.runs.capture.locks import lock_of
from taut.runs.capture.observed import Observed, observed_by_kernel, observed_by_python
from taut.runs.capture.outputs import changed_files
from taut.runs.capture.reads import Notes, read_notes, remote_reads
from taut.runs.finish import finish_run
from taut.runs.tracking import get_run

STARTED, ENDED, OPENED, READS, OUTPUT, KEPT = "started.json", "ended.json", "opened", "reads", "output.log", "kept"
KILLED = "how the command ended: what recorded it was killed"


@dataclass(frozen=True, slots=True)
class Started:
    """What is known when the command starts; `process` is the handle of the process that records it.

    `unobserved` says why there is no observer, where there is none.
    """

    run_id: str
    process: str
    project: str
    started_ns: int
    capture: Capture
    tracking_uri: str = ""
    unobserved: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """What is known when the command has ended; a negative `exit_status` is the signal that ended it."""

    exit_status: int
    status: str
    ended_ms: int
    usage: Usage


def recordings(home: Home) -> Path:
    """Where recordings of this user's runs lie: in the project, else in the user's state folder."""
    if home.own_folder is not None:
        return home.own_folder / "run"
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "taut" / "run"


def begin_recording(
    home: Home, run_id: str, project: Path, capture: Capture, *, tracking_uri: str = "", unobserved: str = ""
) -> Path:
    """Make the folder, before the run itself exists. Raises Conflict where a living process records that id."""
    place = recordings(home) / run_id
    (place / KEPT).mkdir(parents=True, exist_ok=True)
    if (known := _read_started(place)) is not None and known.process != handle_of(os.getpid()):
        if is_alive(known.process):
            raise Conflict(
                f"run {run_id} is going on in process {known.process.partition(':')[0]}", hint="taut runs list"
            )
        for file in (OPENED, READS, OUTPUT, ENDED):
            (place / file).unlink(missing_ok=True)
        for copy in (place / KEPT).iterdir():
            copy.unlink()
    process = handle_of(os.getpid())
    started = Started(run_id, process, str(project), time.time_ns(), capture, tracking_uri, unobserved)
    _write(place / STARTED, wire.encode(started))
    return place


def note_end(place: Path, ended: Ended) -> None:
    """Write down how the command ended, before anything that could fail."""
    _write(place / ENDED, wire.encode(ended))


def finish_recording(home: Home, place: Path) -> Run:
    """Make of the folder what the run will be remembered by, then remove it. Safe to repeat after any failure."""
    started = wire.decode((place / STARTED).read_bytes(), Started, what=str(place / STARTED))
    ended = _read_ended(place)
    capture, missing = _with_all_seen(home, place, started)
    if ended is None:
        ended = Ended(0, "KILLED", home.clock.now_ms(), Usage(0.0, 0.0, 0, 0))
        capture = replace(capture, missing=(*missing, KILLED))
    else:
        capture = replace(capture, exit_status=ended.exit_status, usage=ended.usage, missing=missing)
    run = finish_run(home, started.run_id, capture, ended.status, ended.ended_ms)
    shutil.rmtree(place)
    return run


def _with_all_seen(home: Home, place: Path, started: Started) -> tuple[Capture, tuple[str, ...]]:
    """The capture with what the command read, wrote and ran on, and what could not be recorded."""
    notes = read_notes(place / READS)
    seen = _observed(place, started, notes)
    if seen.reason:  # Native code may have written what nobody saw.
        changed = {os.path.realpath(path): None for path in changed_files(Path(started.project), started.started_ns)}
        seen.written = {**changed, **seen.written}
    capture = started.capture
    answer = ask_environment(interpreter_of(capture.command, notes.interpreter), Path(capture.folder), seen.reads)
    distributions = answer.distributions if isinstance(answer, Environment) else {}
    recording = Recording(Path(started.project), started.started_ns, place / KEPT, _own_folders(home, place))
    files = files_of(home, recording, seen, distributions)
    capture = replace(
        capture, inputs=files.inputs, outputs=files.outputs, outside=files.outside,
        remote=remote_reads(notes, tuple(seen.connections), started.tracking_uri),
        output=_stored(home, place / OUTPUT),
        coverage="partial" if seen.unseen else "full",
        coverage_reason=seen.reason or "; ".join(seen.unseen),
    )  # fmt: skip
    missing = (*capture.missing, *seen.unseen, *files.missing)
    if isinstance(answer, Environment):
        hashes, problems = hashes_around(Path(capture.folder), Path(started.project))
        return _with_environment(home, capture, answer, notes, hashes), (*missing, *problems)
    return capture, (*missing, answer)


def _observed(place: Path, started: Started, notes: Notes) -> Observed:
    """What the kernel told, else what Python told."""
    if started.unobserved:
        return observed_by_python(notes, started.unobserved)
    seen = observed_by_kernel(place / OPENED)
    return observed_by_python(notes, seen.reason) if seen.reason and not seen.unseen else seen


def _with_environment(home: Home, capture: Capture, answer: Environment, notes: Notes, hashes: Hashes) -> Capture:
    before = capture.surroundings or Surroundings()
    text, unlocked = lock_of(answer, hashes)
    surroundings = replace(
        before, interpreter=answer.interpreter, implementation=answer.implementation, version=answer.version,
        build=answer.build, origin=answer.origin, lock=home.objects.put(_stream(text)), unlocked=unlocked,
        libraries=answer.libraries, locale=answer.locale, encoding=answer.encoding, timezone=answer.timezone,
        seeds=(*before.seeds, *notes.seeds),
    )  # fmt: skip
    lines = home.objects.put(_stream("\n".join(answer.lock) + "\n"))
    return replace(
        capture, environment=lines, python=answer.python, platform=answer.platform, surroundings=surroundings
    )


def _own_folders(home: Home, place: Path) -> tuple[str, ...]:
    """Where taut itself works: what a client or the recording writes there is nothing that the run did."""
    return tuple(str(folder) for folder in (place, home.folder) if folder is not None)


def reconcile_runs(home: Home) -> list[Run]:
    """Finish every run of this machine whose `taut run` was killed: KILLED, or as it ended where that was still noted.

    Returns the runs that were finished. Those that go on are left alone.
    """
    folder = recordings(home)
    finished: list[Run] = []
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        started = _read_started(place) if place.is_dir() else None
        if started is None or is_alive(started.process):
            continue
        try:
            get_run(home, started.run_id)
        except NotFound:
            shutil.rmtree(place)  # Killed before the run was made: there is nothing to finish.
            continue
        finished.append(finish_recording(home, place))
    return finished


def _read_started(place: Path) -> Started | None:
    file = place / STARTED
    return wire.decode(file.read_bytes(), Started, what=str(file)) if file.exists() else None


def _read_ended(place: Path) -> Ended | None:
    file = place / ENDED
    return wire.decode(file.read_bytes(), Ended, what=str(file)) if file.exists() else None


def _write(file: Path, data: bytes) -> None:
    """Whole or not at all, as a kill leaves it; a power cut may take a run that was going on with it."""
    temporary = file.with_suffix(".tmp")
    temporary.write_bytes(data)
    temporary.replace(file)


def _stored(home: Home, output: Path) -> str:
    if not output.exists() or output.stat().st_size == 0:
        return ""
    with output.open("rb") as stream:
        return home.objects.put(stream)


def _stream(text: str) -> io.BytesIO:
    return io.BytesIO(text.encode())
