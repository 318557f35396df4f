"""Progress of anything that may take over a second: a rate and what is left, on a terminal only."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What long work reports to."""

    def advance(self, done: int = 1) -> None:
        """So many more units are done."""
        ...


class Silent:
    """Reports to nobody."""

    def advance(self, done: int = 1) -> None:
        """Nothing to show."""


@contextmanager
def progress(what: str, total: int | None = None, *, unit: str = "it") -> Iterator[Progress]:
    """Show a bar on stderr while the block runs; silent where stderr is no terminal.

    `unit` "B" scales to kB and MB. The bar leaves nothing behind when the block ends or is interrupted.
    """
    if not sys.stderr.isatty():
        yield Silent()
        return
    from tqdm import tqdm

    with tqdm(desc=what, total=total, unit=unit, unit_scale=unit == "B", leave=False, file=sys.stderr) as bar:
        yield _Bar(bar.update)


class _Bar:
    """A terminal's bar."""

    def __init__(self, update: object) -> None:
        self._update = update

    def advance(self, done: int = 1) -> None:
        """Move the bar."""
        assert callable(self._update)
        self._update(done)
