"""Two sides of a comparison, for tests: when their runs were, what they are called, and two files held together."""

from taut.runs.comparing import FileComparison, Side, compare_files

BEGAN_MS = 1_795_000_000_000
ONE = Side(BEGAN_MS, BEGAN_MS + 60_000, (("run-one", "RUN"), ("/home/ada/first", "FOLDER")))
OTHER = Side(BEGAN_MS + 3_600_000, BEGAN_MS + 3_660_000, (("run-two", "RUN"), ("/home/ada/second", "FOLDER")))
NOWHEN = Side()


def compared(name: str, before: bytes, after: bytes) -> FileComparison:
    return compare_files(name, before, after, ONE, OTHER)


def kind(comparison: FileComparison) -> str:
    assert comparison.first is not None
    return comparison.first.kind
