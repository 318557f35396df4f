"""The examples in the docs that run as tests: how they are marked and how they are read.

A fenced block of the language `console` is an example. All such blocks of one page are one session: a reader who types
them in order, in an empty folder, sees what the page says.

    $ taut init                    a command, run by bash; it must succeed
    $ taut gate churn@2  # exits 3   this one must end with status 3
    made .taut                     a line that the output must contain, in this order; "..." stands for anything

A block that begins with "console skip" is shown and not run, for what a test cannot have: "console skip: needs Docker".
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)(?P<rest>.*)$")
_EXITS = re.compile(r"\s+#\s*exits\s+(?P<status>\d+)\s*$")


@dataclass(frozen=True)
class Step:
    """One command of an example, the exit status it ends with, and the lines that its output contains."""

    command: str
    status: int = 0
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, what it says after the language, and its lines."""

    page: Path
    line: int
    info: str
    lines: list[str]

    @property
    def skipped(self) -> bool:
        """Whether the block is only shown."""
        return self.info.startswith("skip")


def blocks(page: Path, language: str) -> list[Block]:
    """The fenced blocks of a page in one language, in order. An unclosed fence is an error of the page."""
    found: list[Block] = []
    opened: Block | None = None
    indent = 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened = Block(page, number, fence["language"] + "\0" + fence["rest"].strip(), [])
            indent = len(fence["indent"])
        elif opened is not None and fence and not fence["language"]:
            spoken, _, info = opened.info.partition("\0")
            if spoken == language:
                found.append(Block(page, opened.line, info, opened.lines))
            opened = None
        elif opened is not None:
            opened.lines.append(line[indent:])
    if opened is not None:
        raise AssertionError(f"{page}:{opened.line}: this block is never closed")
    return found


def console_blocks(page: Path) -> list[Block]:
    """The blocks of a page that a test types."""
    return [block for block in blocks(page, "console") if not block.skipped]


def steps(block: Block) -> list[Step]:
    """The commands of a block with what follows each; a line that ends in a backslash goes on in the next."""
    found: list[Step] = []
    going_on = ""
    for line in block.lines:
        if going_on or line.startswith("$ "):
            text = going_on + (line.removeprefix("$ ") if not going_on else line.strip())
            if text.endswith("\\"):
                going_on = text[:-1]
                continue
            going_on = ""
            told = _EXITS.search(text)
            found.append(Step(_EXITS.sub("", text), int(told["status"]) if told else 0))
        elif line.strip():
            assert found, f"{block.page}:{block.line}: output before the first command: {line!r}"
            found[-1].shown.append(line)
    return found


def missing_line(step: Step, output: str) -> str | None:
    """The first line of the example that the output does not contain in its place; None where all are there."""
    rest = output
    for line in step.shown:
        pattern = ".*?".join(re.escape(piece.strip()) for piece in line.split("..."))
        match = re.search(pattern, rest)
        if match is None:
            return line
        rest = rest[match.end() :]
    return None
