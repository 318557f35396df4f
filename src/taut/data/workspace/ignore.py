"""`.dvcignore`: which paths data and the search for it leave out, in the syntax of `.gitignore`, nested as in DVC."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taut.errors import Denied, Invalid

if TYPE_CHECKING:
    from pathspec import PathSpec

IGNORE_FILE = ".dvcignore"
NEVER_INSIDE = frozenset({".git", ".hg", ".dvc", ".taut"})  # As DVC has it, and our own.


class Rules:
    """The patterns of a folder and those above it; of one that is nearer the last match counts first."""

    def __init__(self, levels: "tuple[tuple[str, PathSpec[Any]], ...]") -> None:
        self._levels = levels  # The nearest first.

    def ignores(self, path: str, *, is_dir: bool) -> bool:
        """Whether a path, whose folder is not ignored itself, is left out."""
        for folder, spec in self._levels:
            if path.startswith(folder):
                inside = path[len(folder) :]
                decided = spec.check_file(f"{inside}/" if is_dir else inside).include
                if decided is not None:
                    return decided
        return False

    def within(self, folder: str) -> "Rules":
        """These and the patterns in a folder's own file. Raises Denied, Invalid."""
        spec = _patterns_in(folder)
        return self if spec is None else Rules(((f"{folder}/", spec), *self._levels))


NONE = Rules(())


def rules_over(place: str, root: str) -> Rules | None:
    """What holds for a path: the rules in `root` and each folder down to the one it lies in; None where there are none.

    Files of rules in ignored folders do not count. Raises Denied, Invalid for a file that is no text.
    """
    if not place.startswith(f"{root}/"):
        return None
    rules, folder = NONE.within(root), root
    for part in place[len(root) + 1 :].split("/")[:-1]:
        folder = f"{folder}/{part}"
        if rules.ignores(folder, is_dir=True):
            break
        rules = rules.within(folder)
    return None if rules is NONE else rules


def _patterns_in(folder: str) -> "PathSpec[Any] | None":
    file = f"{folder}/{IGNORE_FILE}"
    if not os.path.isfile(file):
        return None
    try:
        lines = [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise Invalid(f"{file} is no text in UTF-8") from None
    except OSError as problem:
        raise Denied(f"{file} cannot be read: {problem.strerror}", hint=f"ls -l {file}") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        return None
    from pathspec import PathSpec
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # The kind that DVC matches with.

    return PathSpec(map(GitIgnoreSpecPattern, lines))
