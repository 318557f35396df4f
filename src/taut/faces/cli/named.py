"""Tables that are named on the command line: files, or versions of datasets as `flights@3`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from taut.errors import Invalid
from taut.home import open_home

VERSION = re.compile(r"([^/\\@]+)@(\d+)")


@contextmanager
def table_named(given: Path) -> Iterator[Path]:
    """The file itself; of `NAME@N`, where no file is called so, that version's one file while it is looked at.

    Raises Invalid for a version that is a folder, and what `open_home` and `checkout_dataset` raise.
    """
    named = None if given.exists() else VERSION.fullmatch(str(given))
    if named is None:
        yield given
        return
    from taut.data import checkout_dataset, find_dataset

    with open_home() as home:
        version = find_dataset(home, str(given))
        suffix = Path(version.path).suffix
        if not suffix:
            raise Invalid(
                f"{given} is a folder of {version.files} files; a check is of one table",
                hint=f"taut data checkout {given} --to FOLDER",
            )
        with TemporaryDirectory(dir=home.folder, prefix="table-") as folder:
            yield checkout_dataset(home, version.name, version.number, Path(folder) / f"{given}{suffix}")
