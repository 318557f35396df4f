"""The parts of a job that an earlier run wrote whole, by the records that it left beside them."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from pathlib import Path

from taut.errors import Conflict, Invalid
from taut.ground import wire
from taut.serve.batch.places import Folder, Place
from taut.serve.batch.plan import DonePart, Part, Plan, parts_of

DONE = "_taut/done/"
AT_ONCE = 8  # Parts that are looked at at once: most of it is waiting, or hashing outside of Python.


def done_before(place: Place, plan: Plan, *, is_gathered: bool) -> dict[int, DonePart]:
    """The parts that an earlier run wrote whole; records of others are taken away, so that they are written again."""
    names = [name for name in place.list(DONE) if name.endswith(".json")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda name: _verified(place, name, is_gathered=is_gathered), names)
        done = {one.number: one for one in found if one is not None}
    expected = {part.number: part for part in parts_of(plan)}
    if strange := sorted(done.keys() - expected.keys()):
        raise Conflict(f"{place.url} holds part {strange[0]}, which its plan does not have", hint="name another output")
    return done


def _verified(place: Place, name: str, *, is_gathered: bool) -> DonePart | None:
    written = place.read(name)
    if written is None:
        return None
    try:
        record = wire.decode(written, DonePart, what=f"the record {name}")
    except Invalid:
        place.remove([name])
        return None
    part = Part(record.number, 0, 0, 0, 0).name
    mark = place.mark(part)
    is_same = mark == record.mark or (
        mark and isinstance(place, Folder) and _digest(place.path / part) == record.digest
    )
    if not is_same and not is_gathered:
        place.remove([name])
        return None
    return record


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def record_name(number: int) -> str:
    """The record that a part is done."""
    return f"{DONE}{number:05d}.json"
