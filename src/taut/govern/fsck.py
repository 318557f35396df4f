"""`fsck`: the truth about a home: what rows name is there and whole, ledger entries follow the last, points add up."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from taut.data.workspace.contents import Content, cached_contents
from taut.errors import Corrupt, NotFound
from taut.govern.checkpoints import held_wrongly, newest_size
from taut.govern.referenced import objects_named
from taut.ground.access import DEFAULT, is_allowed
from taut.ground.ledger import Walk
from taut.ground.meta import Tx
from taut.ground.objects.protocol import chunks
from taut.ground.progress import Progress, Silent, progress
from taut.home import Home, verb
from taut.runs import unsound_series
from taut.serve.log.checking import unsound_logs

COUNT_EVENTS = "SELECT count(*) FROM ledger"
SELECT_ORPHANS = """
SELECT 'deployment:' || deployment.name || '@' || CAST(revision AS TEXT) FROM deployment
LEFT JOIN model_version ON model_version.name = deployment.model AND model_version.number = deployment.number
WHERE model_version.name IS NULL
UNION
SELECT 'deployment:' || other.name || '@' || CAST(revision AS TEXT) FROM deployment_backend AS other
LEFT JOIN model_version ON model_version.name = other.model AND model_version.number = other.number
WHERE model_version.name IS NULL
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it must be: `kind` is missing, damaged, ledger or orphan; `subject` is what it hurts."""

    kind: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Health:
    """What was checked, and every problem found; none means that all which was acknowledged is there."""

    events: int
    objects: int
    size_bytes: int
    problems: tuple[Problem, ...]


@verb("home.fsck", needs="home:check")
def check_home(home: Home, *, quick: bool = False) -> Health:
    """Check the ledger, every object anything refers to, the points of every metric and the prediction log.

    The ledger is held against the newest checkpoint in the folder, where one was anchored from here. `quick` only asks
    whether objects are there and counts points. Who administers the server checks every project.
    """
    if home.in_project is None and is_allowed(home.actor, "server:admin"):
        return _together((one.project_name, _checked(one, quick)) for one in home.everywhere())
    return _checked(home, quick)


def _together(checked: Iterable[tuple[str, Health]]) -> Health:
    """What was found in each project as one; what is wrong in another than `default` says in which."""
    events, objects, size_bytes, problems = 0, 0, 0, list[Problem]()
    for name, found in checked:
        events, objects, size_bytes = events + found.events, objects + found.objects, size_bytes + found.size_bytes
        where = "" if name == DEFAULT else f"project {name}: "
        problems += [replace(problem, subject=f"{where}{problem.subject}") for problem in found.problems]
    return Health(events, objects, size_bytes, tuple(problems))


def _checked(home: Home, quick: bool) -> Health:
    with home.meta.read() as tx:
        row = tx.row(COUNT_EVENTS)
        walk = Walk(tx, [newest_size(home)])
        problems = [Problem("ledger", "ledger", said) for said in walk.problems()]
        problems += [Problem("ledger", "ledger", said)] if (said := held_wrongly(home, tx, walk)) else []
        problems += [Problem("orphan", str(point), "its model version is gone") for (point,) in tx.rows(SELECT_ORPHANS)]
        problems += [Problem("damaged", whom, said) for whom, said in unsound_series(tx, deep=not quick)]
        named = _named(home, tx, problems)
    problems += [Problem(*found) for found in unsound_logs(home, deep=not quick)]
    size_bytes = _check_objects(home, named, quick, problems)
    contents = list(cached_contents(home, lists=True))
    with progress("checking the cache", len(contents), unit="file") as bar:
        size_bytes += sum(_check_content(one, quick, problems, bar) for one in contents)
    return Health(int(str(row[0])) if row else 0, len(named) + len(contents), size_bytes, tuple(problems))


def check_objects(home: Home) -> list[Problem]:
    """Read all objects and cached files that are referred to; what is missing or has other bytes than were stored."""
    problems: list[Problem] = []
    with home.meta.read() as tx:
        named = _named(home, tx, problems)
    _check_objects(home, named, False, problems)
    for one in cached_contents(home, lists=True):
        _check_content(one, False, problems, Silent())
    return problems


def _check_content(content: Content, quick: bool, problems: list[Problem], bar: Progress | Silent) -> int:
    """Read a file of a workspace cache and hold it against its name, whatever was known of it; returns its size."""
    bar.advance()
    try:
        if not quick:
            content.cache.verified.clear()
            return content.cache.verify(content.md5).st_size
        if not content.cache.has(content.md5):
            raise NotFound(f"the cache {content.cache.folder} has no {content.md5}")
    except NotFound as gone:
        problems.append(Problem("missing", content.whom, gone.message))
    except (Corrupt, OSError) as damage:
        problems.append(
            Problem("damaged", content.whom, damage.message if isinstance(damage, Corrupt) else str(damage))
        )
    return 0


def _check_objects(home: Home, named: dict[str, list[str]], quick: bool, problems: list[Problem]) -> int:
    with progress("checking objects", len(named), unit="obj") as bar:
        return sum(_check_object(home, oid, subjects, quick, problems, bar) for oid, subjects in sorted(named.items()))


def _named(home: Home, tx: Tx, problems: list[Problem]) -> dict[str, list[str]]:
    unreadable: list[tuple[str, str]] = []
    named = objects_named(home, tx, unreadable)
    problems += [Problem("damaged", whom, said) for whom, said in unreadable]
    return named


def _check_object(
    home: Home, oid: str, subjects: Iterable[str], quick: bool, problems: list[Problem], bar: Progress | Silent
) -> int:
    """Read an object and hold it against its name; returns its size."""
    whom = ", ".join(sorted(subjects)[:3])
    bar.advance()
    if quick:
        if home.objects.missing([oid]):
            problems.append(Problem("missing", whom, f"object {oid[:12]} is not in {home.objects.url}"))
        return 0
    hashed, size_bytes = hashlib.sha256(), 0
    try:
        with home.objects.open(oid) as stream:
            for chunk in chunks(stream):
                hashed.update(chunk)
                size_bytes += len(chunk)
    except NotFound:
        problems.append(Problem("missing", whom, f"object {oid[:12]} is not in {home.objects.url}"))
        return 0
    if hashed.hexdigest() != oid:
        problems.append(Problem("damaged", whom, f"object {oid[:12]} has other bytes than were stored"))
    return size_bytes
