"""How a move ended: what was counted on both sides, what differs, what could not be had."""

from collections.abc import Mapping
from dataclasses import dataclass

from taut.runs import Count


@dataclass(frozen=True, slots=True)
class Line:
    """A kind of thing, counted in the source and in the target, each with a digest of all of it."""

    kind: str
    source: Count
    target: Count

    @property
    def agrees(self) -> bool:
        """Whether both hold the same."""
        return self.source == self.target


@dataclass(frozen=True, slots=True)
class Problem:
    """A thing that could not be moved as it is, or that differs now; `kind` and `name` say which."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """The end of a move: `moved` were copied now, `known` before; `notes` need nothing done about them."""

    source: str
    target: str
    lines: tuple[Line, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    moved: int
    known: int

    @property
    def is_whole(self) -> bool:
        """Whether everything is there, and the same."""
        return not self.problems and all(line.agrees for line in self.lines)


def differences(kind: str, name: str, there: Mapping[str, Count], here: Mapping[str, Count]) -> list[Problem]:
    """Where the tallies of one thing differ, in sentences."""
    found = []
    for of, expected in there.items():
        seen = here.get(of, Count())
        if seen != expected and of != "bytes":
            same = "the number is the same, the content is not" if seen.number == expected.number else ""
            text = f"{of}: {expected.number} in the source, {seen.number} in the target" + (f"; {same}" if same else "")
            found.append(Problem(kind, name, text))
    return found
