"""What only a remote in taut's own format can: be checked, be repaired from cache or another remote, have a new key."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from taut.data.exchange.bringing import spec_of
from taut.data.remotes.config import STORE, RemoteSpec, find_remote, places_of, set_option
from taut.data.remotes.connect import KEY, open_remote
from taut.data.workspace.opened import workspace_of
from taut.data.workspace.overview import project_of
from taut.errors import Denied, Invalid, Unavailable
from taut.ground.progress import progress

if TYPE_CHECKING:
    from taut.data.store.fsck import Checked, Repaired
    from taut.data.store.stores import Store


def check_remote(folder: Path, name: str = "") -> "Checked":
    """Read all of a remote and say what is damaged. Raises Invalid for one in DVC's format, and what opening does."""
    with progress("checking", unit="B") as bar:
        return _opened(_spec(folder, name)).fsck(bar)


def repair_remote(folder: Path, name: str = "", *, source: str = "") -> "Repaired":
    """Bring back what is damaged: from copies, from this project's cache, then from the remote `source`.

    What nobody has is missing from then on, so that whoever has it pushes it again. Raises as `check_remote`, and
    Conflict where something else is collecting or repairing.
    """
    project, taut = project_of(str(folder))
    cache = workspace_of(f"{project}/.", project, taut).cache
    other = open_remote(spec_of(places_of(project, taut), source)) if source else None
    with tempfile.TemporaryDirectory() as staging, progress("repairing", unit="B") as bar:
        from taut.data.store.stores import files_of

        elsewhere: Callable[[str], Path | None] = files_of(other, Path(staging)) if other else lambda digest: None

        def found(digest: str) -> Path | None:
            path = Path(cache.path_of(digest))
            return path if path.exists() else elsewhere(digest)

        return _opened(_spec(folder, name)).repair(found, bar)


def rotate_remote(folder: Path, name: str, key: str) -> RemoteSpec:
    """Have another key keep a remote's secret, and write down where that is; a key file that is not there is made.

    Typed again after it was killed it comes to its end, also where the old key is gone. Raises as `check_remote`, and
    Denied where neither the key of the config nor the new one opens it.
    """
    from taut.data.store import keys_of, make_key_file, open_store

    spec = _spec(folder, name)
    if key.startswith("file:") and key != "file:":
        key = f"file:{os.path.abspath(key.removeprefix('file:'))}"
        path = Path(key.removeprefix("file:"))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make_key_file(path)
    new = keys_of(key)
    try:
        _opened(spec).rotate(new)
    except (Denied, Unavailable) as refused:
        try:
            open_store(spec.url.removeprefix(STORE), new)
        except Denied:
            raise refused from None
    places = places_of(*project_of(str(folder)))
    set_option(places, spec.name, KEY, key)
    return find_remote(places, spec.name)


def _spec(folder: Path, name: str) -> RemoteSpec:
    spec = find_remote(places_of(*project_of(str(folder))), name)
    if not spec.is_store:
        raise Invalid(
            f"remote {spec.name!r} is in DVC's format, which holds nothing to check by", hint="taut data remote list"
        )
    return spec


def _opened(spec: RemoteSpec) -> "Store":
    from taut.data.store.stores import Store

    remote = open_remote(spec)
    assert isinstance(remote, Store), spec.url
    return remote
