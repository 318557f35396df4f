"""Two files held against each other by what they hold: pure functions, and no file is ever run or unpickled."""

from taut.runs.comparing.differing import Difference, FileComparison, Side, compare_files
from taut.runs.comparing.reading import take_apart

__all__ = ["Difference", "FileComparison", "Side", "compare_files", "take_apart"]
