"""Data from the cache to its place: outs of pointers and stages, parts of folders, and what DVC 2 kept."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from taut.data.exchange.chosen import Chosen
from taut.data.workspace.cache import Cache, link_out
from taut.data.workspace.digests import dos2unix_digest, file_digest
from taut.data.workspace.index import Index, open_index
from taut.data.workspace.listing import read_listing
from taut.data.workspace.overview import index_place, project_of
from taut.data.workspace.states import legacy_digest
from taut.data.workspace.walk import ONE_FILE
from taut.data.workspace.whole import explained
from taut.errors import Conflict
from taut.ground.compute import handle_of
from taut.ground.progress import progress


def place_outs(folder: Path, outs: Sequence[Chosen], *, force: bool) -> list[str]:
    """Put outs in their places, each whole or not at all; returns the places.

    Raises Conflict where what lies there is nowhere else, unless `force`; NotFound, Corrupt, Denied.
    """
    if not outs:
        return []
    project, taut = project_of(str(folder))
    with open_index(index_place(project, taut)) as index:
        for chosen in outs:
            target = Path(chosen.out.target)
            with chosen.workspace.locked(target):
                _place(index, chosen, target, force=force)
    return [os.path.join(one.out.target, one.inside) if one.inside else one.out.target for one in outs]


def _place(index: Index, chosen: Chosen, target: Path, *, force: bool) -> None:
    from taut.data.workspace.checkout import put_out

    out, cache = chosen.out, chosen.cache
    if not (out.is_legacy or chosen.inside):
        files = out.inline or read_listing(cache, out.md5)
        put_out(index, chosen.workspace, target, files, force=force, is_exec=out.is_exec)
        return
    if out.is_legacy and target.exists() and legacy_digest(str(target), chosen.workspace) == out.md5:
        return
    listed = out.inline or read_listing(cache, out.md5, cache.path_of(out.md5))
    files = [(path, md5) for path, md5 in listed if path == ONE_FILE or chosen.takes(path)]
    try:
        with progress("checkout", len(files), unit="file") as bar:
            for path, md5 in files:
                place = str(target) if path == ONE_FILE else f"{target}/{path}"
                _place_file(cache, md5, place, is_legacy=out.is_legacy, is_exec=out.is_exec, force=force)
                bar.advance()
    except OSError as problem:
        raise explained(problem, Path(problem.filename or target), "written") from None


def _place_file(cache: Cache, md5: str, place: str, *, is_legacy: bool, is_exec: bool, force: bool) -> None:
    """Put one file, unless it is there."""
    if os.path.lexists(place):
        if os.path.isdir(place):
            raise Conflict(f"{place} is a folder, and a file belongs there", hint=f"mv {place} {place}.old")
        present = "" if not os.path.exists(place) else dos2unix_digest(place) if is_legacy else file_digest(place).md5
        if present == md5:
            return
        if present and not force and not cache.has(present):
            raise Conflict(
                f"{place} holds data that is in no cache and would be lost",
                hint="taut data add, or the same with --force",
            )
    os.makedirs(os.path.dirname(place), exist_ok=True)
    aside = f"{os.path.dirname(place)}/.{os.path.basename(place)}.taut-{handle_of(os.getpid())}"
    try:
        if is_legacy:
            cache.verify(md5)
            shutil.copyfile(cache.path_of(md5), aside)
            if is_exec:
                os.chmod(aside, os.stat(aside).st_mode | 0o100)
        else:
            link_out(cache, md5, aside, is_exec=is_exec)
        os.rename(aside, place)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(aside)
