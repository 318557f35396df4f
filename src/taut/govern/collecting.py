"""`gc`: what was deleted long enough ago leaves for good, and so do the objects that nothing refers to any more.

Safe beside writers. An object is taken only if nothing refers to it, if it was not put (again) within the grace period,
for a client uploads first and names the object afterwards, and if both are still so in a transaction that holds the
ledger's end: every change that names an object appends to the ledger, so none is half way then.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from taut.errors import Conflict, UsageError
from taut.govern.referenced import Trees, objects_named
from taut.govern.tokens import forget_tokens
from taut.ground.access import (
    condemn_project,
    condemned_projects,
    count_ended_tokens,
    ended_projects,
    forget_shown,
    note_gone,
)
from taut.ground.answered import forget_answers
from taut.ground.meta import Tx
from taut.ground.objects import Stored
from taut.ground.progress import progress
from taut.home import Home, remove_project, require
from taut.runs.purging import Deleted, deleted_things, forget_files, purge
from taut.serve.log.keeping import expire_answers, seal_left

Thing = TypeVar("Thing")

OLDER_MS = 30 * 86_400_000
GRACE_MS = 86_400_000
THINGS, OBJECTS, FORGOTTEN = 50, 2_000, 200  # Of one transaction: others wait for it.


@dataclass(slots=True)
class Collected:
    """What left, or would leave: how many of each, and the bytes of the objects."""

    runs: int = 0
    logged_models: int = 0
    experiments: int = 0
    objects: int = 0
    size_bytes: int = 0
    projects: int = 0
    tokens: int = 0
    predictions: int = 0
    """Answered requests that were older than the policy of their deployment keeps them."""
    sealed: int = 0
    """Predictions that lay in journals which nobody writes any more, and are in segments now; none of them left."""
    dry_run: bool = False
    things: list[str] = field(default_factory=list)
    """The projects, runs, logged models and experiments, as the ledger names them."""

    def add(self, thing: Deleted) -> None:
        """One more."""
        self.runs += thing.sort == "run"
        self.logged_models += thing.sort == "logged-model"
        self.experiments += thing.sort == "experiment"
        self.things.append(thing.point)


def collect(home: Home, *, older_than_ms: int = OLDER_MS, grace_ms: int = GRACE_MS, dry_run: bool = False) -> Collected:
    """Remove for good what was deleted longer ago than that, then objects that nothing has referred to for the grace.

    In every project, where no single one is meant; then projects that ended so long ago go too, and tokens. A dry run
    does the first in a transaction that it undoes, so others wait for it meanwhile. Raises UsageError for a server's
    URL, Conflict where something that a tree should name cannot be read: then nothing says what is needed.
    """
    if home.remote is not None:
        raise UsageError(f"{home.place} is a server", hint="run it there, with --home FOLDER")
    require(home, "server:admin", verb="home.gc")
    result = Collected(dry_run=dry_run)
    if home.in_project is None:
        _collect_projects(home, result, home.clock.now_ms() - older_than_ms)
        _forget(home, result)
    for one in (home,) if home.in_project is not None else home.everywhere():
        _collect(one, result, older_than_ms, grace_ms)
    return result


def _collect_projects(home: Home, result: Collected, until_ms: int) -> None:
    """Remove the stores of projects that ended until then; what was killed on its way is taken up again.

    First it is written down that there is no way back, then the stores go, then that nothing is left is written down.
    """
    with home.meta.read() as tx:
        ended, condemned = ended_projects(tx, until_ms=until_ms), condemned_projects(tx)
    for project in (*condemned, *ended):
        if project in ended and not result.dry_run:
            with home.meta.transaction() as tx:
                if not condemn_project(tx, project, until_ms=until_ms, now_ms=home.clock.now_ms()):
                    continue
                home.append(tx, "project.condemned", subject=f"project:{project.name}", body={"id": project.id})
        if not result.dry_run:
            remove_project(home, project)
            with home.meta.transaction() as tx:
                if not note_gone(tx, project, now_ms=home.clock.now_ms()):
                    continue
                home.append(tx, "project.purged", subject=f"project:{project.name}", body={"id": project.id})
        result.projects += 1
        result.things.append(f"project:{project.name}")


def _forget(home: Home, result: Collected) -> None:
    """Forget tokens that ended long ago, keys whose answers are kept no longer, and ID tokens that were shown."""
    now_ms = home.clock.now_ms()
    if result.dry_run:
        with home.meta.read() as tx:
            result.tokens = count_ended_tokens(tx, now_ms=now_ms)
        return
    while True:
        with home.meta.transaction() as tx:
            forgotten = forget_tokens(home, tx, most=FORGOTTEN)
        result.tokens += forgotten
        if forgotten < FORGOTTEN:
            break
    with home.meta.transaction() as tx:
        forget_shown(tx, now_ms=now_ms)


def _collect(home: Home, result: Collected, older_than_ms: int, grace_ms: int) -> None:
    now_ms, trees = home.clock.now_ms(), Trees()
    if not result.dry_run:
        result.sealed += seal_left(home)
    result.predictions += expire_answers(home, dry_run=result.dry_run)
    with home.meta.read() as tx:
        things = deleted_things(tx, until_ms=now_ms - older_than_ms)
    old = home.objects.older(now_ms - grace_ms)
    if result.dry_run:
        _pretend(home, things, old, result, trees)
        return
    with home.meta.transaction() as tx:
        forget_answers(tx, at_ms=now_ms)
    gone: list[Deleted] = []
    with progress("removing what was deleted", len(things)) as bar:
        for some in _parts(things, THINGS):
            with home.meta.transaction() as tx:
                some_gone = purge(home, tx, some)
            gone += some_gone  # Now it is certain.
            bar.advance(len(some))
    for thing in gone:
        result.add(thing)
    for some in _parts(gone, THINGS):
        with home.meta.transaction() as tx:
            forget_files(tx, some)
    with home.meta.read() as tx:
        named = _named(home, tx, trees)
    with progress("removing objects", unit="obj") as bar:
        for stored in _parts((one for one in old if one.oid not in named), OBJECTS):
            _remove(home, stored, now_ms - grace_ms, result, trees)
            bar.advance(len(stored))


def _remove(home: Home, some: list[Stored], before_ms: int, result: Collected, trees: Trees) -> None:
    """Remove objects that still nothing refers to, with one entry that says how many."""
    with home.meta.transaction() as tx:
        home.append(tx, "objects.purged", subject="home", body={"at_most": len(some)})
        named = _named(home, tx, trees)
        sizes = {one.oid: one.size_bytes for one in some if one.oid not in named}
        gone = home.objects.delete(sizes, before_ms=before_ms)
        result.objects += len(gone)
        result.size_bytes += sum(sizes[oid] for oid in gone)


class _Undone(Exception):  # No error: how a dry run leaves its transaction.
    """Nothing of it was meant."""


def _pretend(home: Home, things: list[Deleted], old: Iterable[Stored], result: Collected, trees: Trees) -> None:
    try:
        with home.meta.transaction() as tx:
            for thing in purge(home, tx, things):
                result.add(thing)
            named = _named(home, tx, trees)
            raise _Undone
    except _Undone:
        unnamed = [one for one in old if one.oid not in named]
        result.objects += len(unnamed)
        result.size_bytes += sum(one.size_bytes for one in unnamed)


def _named(home: Home, tx: Tx, trees: Trees) -> set[str]:
    """Everything that is needed; where that cannot be known, nothing may be removed."""
    unreadable, missing = list[tuple[str, str]](), list[str]()
    named = set(objects_named(home, tx, unreadable, trees=trees, missing=missing))
    if unreadable or missing:
        point = missing[0] if missing else unreadable[0][0]
        raise Conflict(f"{point} cannot be read, so nobody knows which objects it needs", hint="taut fsck")
    return named


def _parts(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    left = iter(things)
    while part := list(islice(left, size)):
        yield part
