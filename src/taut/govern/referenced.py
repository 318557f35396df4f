"""Which objects something refers to: what fsck looks for, a backup takes along and gc must leave alone."""

from collections.abc import Iterator

from taut.errors import Corrupt, Invalid, NotFound
from taut.ground import wire
from taut.ground.meta import Tx
from taut.ground.objects import read_object
from taut.home import Home
from taut.records import Capture, TreeFile

SELECT_TREES = """
SELECT 'data:' || name || '@' || CAST(number AS TEXT), tree FROM dataset_version
UNION ALL SELECT 'model:' || name || '@' || CAST(number AS TEXT), digest FROM model_version WHERE digest <> ''
"""
SELECT_ARTIFACTS = "SELECT root || '/' || path, oid FROM artifact"
SELECT_REFERENCES = (
    "SELECT 'reference:' || deployment || '@' || CAST(number AS TEXT), oid FROM monitor_reference WHERE oid <> ''"
)
SELECT_GRAPHS = "SELECT 'compiled:' || model || '@' || CAST(number AS TEXT), graph FROM compilation WHERE graph <> ''"
SELECT_SEGMENTS = "SELECT 'segment:' || deployment || '@' || CAST(number AS TEXT), oid FROM prediction_segment"
SELECT_CAPTURES = "SELECT id, capture FROM run WHERE capture <> '{}'"

Unreadable = list[tuple[str, str]]
"""Points of the line that could not be read, and why."""
Trees = dict[str, tuple[TreeFile, ...]]


def objects_named(
    home: Home, tx: Tx, unreadable: Unreadable, *, trees: Trees | None = None, missing: list[str] | None = None
) -> dict[str, list[str]]:
    """Every oid that something refers to, and what does.

    What cannot be understood is added to `unreadable`; a tree that is not there whole is named itself, and added to
    `missing`. `trees` remembers those that were read, for the next time.
    """
    named: dict[str, list[str]] = {}
    known = {} if trees is None else trees
    for subject, oid in (*_plain(tx), *_of_captures(tx, unreadable)):
        named.setdefault(oid, []).append(subject)
    for row in tx.rows(SELECT_TREES):
        point, tree = map(str, row)
        named.setdefault(tree, []).append(point)
        if tree not in known:
            try:
                known[tree] = wire.decode(
                    read_object(home.objects, tree), tuple[TreeFile, ...], what=f"the tree of {point}"
                )
            except (NotFound, Corrupt):
                if missing is not None:
                    missing.append(point)
                continue
            except Invalid as error:
                unreadable.append((point, error.message))
                continue
        for file in known[tree]:
            if not file.oid:  # In the workspace cache, by its MD5: see `taut.data.workspace.contents`.
                continue
            named.setdefault(file.oid, []).append(f"{point} ({file.path})")
    return named


def _plain(tx: Tx) -> Iterator[tuple[str, str]]:
    for query in (SELECT_ARTIFACTS, SELECT_REFERENCES, SELECT_GRAPHS, SELECT_SEGMENTS):
        yield from ((str(subject), str(oid)) for subject, oid in tx.rows(query))


def _of_captures(tx: Tx, unreadable: Unreadable) -> Iterator[tuple[str, str]]:
    for run_id, text in tx.rows(SELECT_CAPTURES):
        try:
            capture = wire.decode(str(text), Capture, what=f"the capture of run {run_id}")
        except Invalid as error:
            unreadable.append((f"run:{run_id}", error.message))
            continue
        kept = {
            "environment": capture.environment,
            "output": capture.output,
            "patch": capture.git.patch if capture.git else "",
            "lock": capture.surroundings.lock if capture.surroundings else "",
            **{f"what {read.path} held": read.oid for read in capture.inputs if read.kept},
            **{f"what it wrote to {one.path}": one.oid for one in capture.outputs if one.kept},
        }
        yield from ((f"run:{run_id} ({what})", oid) for what, oid in kept.items() if oid)
