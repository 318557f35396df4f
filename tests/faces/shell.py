"""A shell for the tests: the taut command as a user types it, in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """What an error said, line by line."""
        return self.err.strip().splitlines()


def taut(folder: Path, *words: str, stdin: str = "", **environment: str) -> Said:
    """Type `taut WORDS…` in a folder."""
    ended = subprocess.run(
        [sys.executable, "-m", "taut", *words],
        cwd=folder, env={**os.environ, **environment}, input=stdin, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    return Said(ended.returncode, ended.stdout, ended.stderr)


def is_two_lines(said: Said) -> bool:
    """An error as it has to be: what happened, what to try, nothing else."""
    first, second = said.lines
    return first.startswith("taut: ") and second.startswith("  try: ") and said.out == ""


def as_typed(value: object) -> str:
    """The name of a parametrized test: the words typed, short; nothing for any other parameter."""
    return " ".join(value)[:40] if isinstance(value, tuple) else ""
