"""The log as a serving process has it open: look up callers' ids, append what was said, before the answers leave."""

import os
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from taut.deploy.running import place_digest, run_folder
from taut.errors import Conflict, Denied, TautError, Unavailable
from taut.ground.sealed import Key
from taut.home import Home
from taut.serve.log.ids import Ids, Stored
from taut.serve.log.journal import GIVEN, Journal, Reading, is_written, journals_in
from taut.serve.log.policy import Policy
from taut.serve.log.said import Said, check_lengths, digests_of, pack, picked, unpack
from taut.serve.log.sealing_key import read_data_key, reseal_data_key, wanted_data_key

FOLDER = "predictions"
JOURNAL_BYTES = 32 << 20  # Some 100,000 rows of 20 columns: what is sealed together fits in memory several times.
JOURNAL_S = 60.0


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where the logs of a home lie on this machine, a folder for each deployment, and where its key does."""

    folder: Path
    keys: Path

    def of(self, deployment: str) -> Path:
        """The folder of a deployment, made where it is missing. Raises Denied."""
        folder = self.folder / deployment
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as problem:
            raise Denied(f"{folder} cannot be made: {problem.strerror}", hint=f"ls -ld {self.folder}") from None
        return folder


def log_place(home: Home) -> LogPlace:
    """The place of a home: in `.taut`; for a server's URL in TAUT_PREDICTIONS, or else in the user's state."""
    around = run_folder(home).parent
    if home.remote is None:
        return LogPlace(around / FOLDER, home.folder or around)
    if given := os.environ.get("TAUT_PREDICTIONS"):
        around = Path(given) / place_digest(home)
    return LogPlace(around / FOLDER, around)


def reseal_logs(home: Home, key: Key) -> int:
    """Seal the keys of a home's logs on this machine anew, with its first one; returns how many there are."""
    folder = log_place(home).folder
    return sum(reseal_data_key(one, key) for one in sorted(folder.iterdir())) if folder.is_dir() else 0


class PredictionLog:
    """What one process said, appended to a journal of its own. One thread uses it.

    When `append` returns, what was said outlives this process; the policy may ask for more, the disk, or for less.
    """

    def __init__(self, place: LogPlace, deployment: str, policy: Policy) -> None:
        self._place = place
        self._deployment = deployment
        self._policy = policy
        self._journal: Journal | None = None
        self._turn = threading.Lock()
        self._begin()
        self._late = _Late(self._write, policy) if policy.delay_ms else None

    def _begin(self) -> None:
        """Find the folder and its key, and make what is missing; where that fails all stays as it was."""
        folder, keys = self._place.of(self._deployment), self._place.keys
        seals = wanted_data_key(folder, keys, encrypt=self._policy.encrypt)
        # What was sealed before is still to be opened where the policy no longer asks for it.
        key = seals or read_data_key(folder, keys)
        self.ids = Ids(folder, key, seals=seals is not None)
        self._folder, self._key, self._seals = folder, key, seals
        # Without a key anybody who has the file could try what a column held that was never to be written.
        self._hidden = frozenset() if key is not None else self._policy.redact
        self._digests = b"" if key is None else key.digests()

    @classmethod
    def open(cls, place: LogPlace, deployment: str, policy: Policy | None = None) -> "PredictionLog":
        """Open the log of a deployment, and learn the ids that processes which are gone had answered.

        Raises Denied for a folder that is not ours, and what reading the home's key does.
        """
        made = cls(place, deployment, policy or Policy())
        try:
            made._catch_up()
        except BaseException:
            made.close()
            raise
        return made

    @property
    def blocks(self) -> bool:
        """Whether `append` waits for the disk, by the policy."""
        return self._policy.fsync

    def answered(self, ids: Sequence[str]) -> dict[str, Stored]:
        """What was answered before to those of these ids that were used; hold it against `same` before it is sent."""
        return self.ids.find(ids)

    def same(self, request_id: str, stored: Stored, inputs: Mapping[str, Any]) -> Stored:
        """The stored answer, where it was given to these inputs; else Conflict. Columns may stand in another order."""
        if stored.digest and self._digests_of(inputs, [stored.rows]) != [stored.digest]:
            raise Conflict(
                f"request id {request_id!r} was used for other inputs before; an id names one request for good",
                hint="send the request with a new id, or without one",
            )
        return stored

    def digest(self, inputs: Mapping[str, Any], rows: int) -> bytes:
        """What a request asks, as the log holds it against what comes with the same id later."""
        return self._digests_of(inputs, [rows])[0]

    def append(self, said: Said) -> dict[str, Stored]:
        """Write down one micro-batch, before its answers leave; with one call of the kernel.

        Returns what is to be answered instead to callers' ids that another process, or an earlier request of the batch,
        answered in this moment, most often nothing; hold it against `same`. Raises Invalid for lists that do not fit,
        Unavailable where nothing was written: then no answer of the batch may leave as if it were known.
        """
        check_lengths(said)
        try:
            return self._append(said)
        except Unavailable:
            if self._folder.is_dir():
                raise
        self._begin_anew()
        return self._append(said)

    def _append(self, said: Said) -> dict[str, Stored]:
        if said.role == "shadow" or not any(said.given):  # Nobody is answered by a shadow, whatever its id.
            self._keep(said)
            return {}
        own = [place for place, is_given in enumerate(said.given) if is_given]
        digests = self._digests_of(said.inputs, said.counts)
        said = msgspec.structs.replace(
            said, digests=[one if is_given else b"" for one, is_given in zip(digests, said.given, strict=True)]
        )
        with self.ids.turn():
            taken = self.ids.find([said.ids[place] for place in own])
            left, again = _first_of_each(said, taken.keys())
            if len(left) < len(said.ids):
                said = picked(said, left)
            if said.ids:
                journal, until = self._write(self._kept(said), flags=GIVEN)
                self.ids.add(said, journal=journal, until=until)
            return taken | self.ids.find(again) if again else taken

    def close(self) -> None:
        """Write what waits, and let go of the files."""
        try:
            if self._late is not None:
                self._late.close()
        finally:
            if self._journal is not None:
                self._journal.close()
                self._journal = None
            self.ids.close()

    def _begin_anew(self) -> None:
        """Somebody removed the folder, and what was in it with it: go on in another one."""
        with self._turn:
            before = self.ids
            try:
                self._begin()
            except (Denied, OSError) as problem:
                raise Unavailable(f"the prediction log has no folder: {problem}") from None
            before.close()
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _keep(self, said: Said) -> None:
        kept = self._kept(said)
        if self._late is not None:
            self._late.take(kept)
        else:
            self._write(kept)

    def _kept(self, said: Said) -> Said:
        """What the policy lets on the disk."""
        policy = self._policy
        places = [place for place, name in enumerate(said.ids) if policy.sample >= 1.0 or policy.keeps(name)]
        if len(places) < len(said.ids) or not policy.redact.isdisjoint(said.inputs):
            return picked(said, places, but=policy.redact)
        return said

    def _write(self, said: Said, *, flags: int = 0) -> tuple[str, int]:
        """Append, and say where it stands: the journal, empty for none, and the place of the record's end."""
        if not said.ids:
            return "", 0
        record = pack(said)
        with self._turn:
            journal = self._open_journal()
            journal.append(record, flags=flags)
            return journal.path.name, journal.size_bytes

    def _open_journal(self) -> Journal:
        journal = self._journal
        if journal is not None and (
            journal.is_broken
            or journal.is_gone
            or journal.size_bytes >= JOURNAL_BYTES
            or time.monotonic() - journal.began_s >= JOURNAL_S
        ):
            self._journal = None  # First: where no other can be opened, its number soon belongs to another file.
            journal.close()
            journal = None
        if journal is None:
            journal = self._journal = Journal(self._folder, self._seals, fsync=self._policy.fsync)
        return journal

    def _digests_of(self, inputs: Mapping[str, Any], counts: Sequence[int]) -> list[bytes]:
        asked = {name: values for name, values in inputs.items() if name not in self._hidden}
        return digests_of(asked, counts, key=self._digests)

    def _catch_up(self) -> None:
        for path in journals_in(self._folder):
            if not is_written(path):
                learn(self.ids, Reading(path, self._key))


def _first_of_each(said: Said, taken: Collection[str]) -> tuple[list[int], list[str]]:
    """The places of requests that are new, and callers' ids that stand in a batch more than once."""
    seen, left, again = set(taken), list[int](), list[str]()
    for place, name in enumerate(said.ids):
        if not said.given[place] or name not in seen:
            left.append(place)
        elif name not in taken:
            again.append(name)
        if said.given[place]:
            seen.add(name)
    return left, again


def learn(ids: Ids, reading: Reading) -> None:
    """Remember the callers' ids that a journal has and the file of ids does not."""
    journal = reading.path.name
    try:
        for record in reading.records(ids.reach_of(journal), only=GIVEN):
            with ids.turn():
                ids.add(unpack(record.body), journal=journal, until=record.end)
    finally:
        reading.close()


class _Late:
    """Records that wait to be written by a thread: at most so many, and so long."""

    def __init__(self, write: Any, policy: Policy) -> None:
        self._write = write
        self._policy = policy
        self._waiting: list[Said] = []
        self._turn = threading.Lock()
        self._ends = threading.Event()
        self._problem: TautError | None = None
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def take(self, said: Said) -> None:
        """Keep a record until it is written. Raises what writing others does where those must go first."""
        with self._turn:
            if len(self._waiting) + 1 >= self._policy.delay_records or self._problem is not None:
                self._flush()
            self._waiting.append(said)

    def close(self) -> None:
        """Write what waits, and end. Raises what writing does."""
        self._ends.set()
        self._thread.join()
        with self._turn:
            self._flush()

    def _run(self) -> None:
        while not self._ends.wait(self._policy.delay_ms / 1000):
            with self._turn:
                try:
                    self._flush()
                except TautError as problem:
                    self._problem = problem  # The next answer tries again and says so.

    def _flush(self) -> None:
        while self._waiting:
            self._write(self._waiting[0])
            del self._waiting[0]
        self._problem = None
