"""`taut data checkout` without a version: what pointers and locks say back in its place, as a fresh clone needs it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from taut.data.exchange.chosen import chosen_outs
from taut.data.exchange.placing import place_outs
from taut.data.workspace.checkout import checkout_out
from taut.errors import Conflict, Corrupt, NotFound
from taut.home import Home


class Placed(NamedTuple):
    """Data that was put in its place. `name` is empty, and `number` 0, where taut did not write its pointer."""

    target: Path
    name: str = ""
    number: int = 0


def checkout_pointers(
    home: Home | None, folder: Path, *, force: bool = False, only: Sequence[str | Path] = ()
) -> list[Placed]:
    """Put all data that the pointers and locks below a folder name where it belongs.

    Of `only` (pointers, what they point at, files inside, stages), where any are named. What taut added is brought from
    the home where the cache lacks it; all else is served from the cache. `home` is None in a DVC repository that is no
    taut project. One that cannot be placed keeps none of the others from it; then the first problem is raised:
    NotFound, Corrupt, Conflict where data that is nowhere else would be lost.
    """
    place = os.path.abspath(folder)
    placed: list[Placed] = []
    problems: list[NotFound | Corrupt | Conflict] = []
    for chosen in chosen_outs(folder, [str(one) for one in only]):
        pointer = chosen.pointer
        if not (only or chosen.out.target.startswith(f"{place}/")):
            continue
        is_ours = home is not None and pointer is not None and pointer.name and not chosen.inside
        try:
            if is_ours and not chosen.out.is_legacy and not chosen.out.inline:
                assert home is not None
                assert pointer is not None
                checkout_out(home, pointer, chosen.out, force=force)
            else:
                place_outs(folder, [chosen], force=force)
        except (NotFound, Corrupt, Conflict) as problem:
            problems.append(problem)
            continue
        target = Path(chosen.out.target, chosen.inside) if chosen.inside else Path(chosen.out.target)
        placed.append(Placed(target, pointer.name, pointer.number) if pointer is not None else Placed(target))
    if problems:
        more = f"; {len(problems) - 1} more could not be placed" if len(problems) > 1 else ""
        raise type(problems[0])(f"{problems[0].message}{more}", hint=problems[0].hint)
    return placed
