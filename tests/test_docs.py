"""What the docs show is what happens: their examples are typed, the links lead somewhere, docstrings' examples hold."""

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs_examples import Block, Step, blocks, console_blocks, missing_line, steps

HERE = Path(__file__).parent.parent
PAGES = [HERE / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (HERE / "docs").rglob("*.md")
)
TESTED = [page for page in PAGES if console_blocks(page)]
MODULES = sorted(p for p in (HERE / "src").rglob("*.py") if ">>> " in p.read_text(encoding="utf-8"))
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?!\w+:|#)(?P<target>[^)#\s]+)[^)]*\)")
STEP_WITHIN_S = 120
# What takes ten seconds and more, for it trains, serves and deploys: typed with the slow tests.
LONG = {f"docs/rooms/{room}.md" for room in ("deploy", "models", "serve", "watch", "watch/alerts")}


def name_of(path: Path) -> str:
    return str(path.relative_to(HERE))


def typed(step: Step, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one command as a reader's bash would, with the taut of this environment first on PATH and no terminal."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step.command],
        cwd=folder,
        env={**os.environ, "PATH": path, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STEP_WITHIN_S,
    )


def follow(page: Path, folder: Path) -> None:
    """Type all examples of a page in order in one folder, and hold the outcome against what the page says."""
    for block in console_blocks(page):
        for step in steps(block):
            done = typed(step, folder)
            where = f"{page.name}:{block.line}: $ {step.command}\n{done.stdout}"
            assert done.returncode == step.status, f"ended with {done.returncode}, not {step.status}: {where}"
            line = missing_line(step, done.stdout)
            assert line is None, f"the page shows {line!r}, which is not in the output: {where}"


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if name_of(page) in LONG else []) for page in TESTED],
    ids=name_of,
)
def test_the_examples_of_a_page_do_what_the_page_says(page: Path, tmp_path: Path):
    follow(page, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_to_files(page: Path):
    targets = [m["target"] for m in LINK.finditer(page.read_text(encoding="utf-8"))]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", sorted((HERE / "docs").rglob("*.md")), ids=name_of)
def test_a_page_is_reached_from_the_start_page(page: Path):
    seen: set[Path] = set()
    todo = [HERE / "docs" / "index.md"]
    while todo:
        here = todo.pop()
        if here.suffix == ".md" and here.exists() and here not in seen:
            seen.add(here)
            links = LINK.finditer(here.read_text(encoding="utf-8"))
            todo += [(here.parent / m["target"]).resolve() for m in links]
    assert page in seen


@pytest.mark.parametrize("room", sorted(p.parent.name for p in (HERE / "src/taut").glob("*/__init__.py")))
def test_every_room_has_a_page(room: str):
    assert (HERE / "docs/rooms" / f"{room}.md").exists()


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_the_examples_of_docstrings_hold(file: Path):
    dotted = ".".join(file.relative_to(HERE / "src").with_suffix("").parts).removesuffix(".__init__")
    failed, tried = doctest.testmod(importlib.import_module(dotted), optionflags=doctest.ELLIPSIS)
    assert tried > 0, f"{dotted} has examples that doctest does not find"
    assert failed == 0


@pytest.mark.parametrize("note", sorted((HERE / "changelog").glob("*.md")), ids=name_of)
def test_a_changelog_note_is_named_for_its_kind(note: Path):
    kinds = {"add", "change", "fix", "remove", "security"}
    assert note.name == "README.md" or note.name.split(".")[1:] in [[kind, "md"] for kind in kinds]


# The reading of examples itself


def page_with(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text)
    return page


def test_blocks_are_read_with_their_language_and_place(tmp_path: Path):
    page = page_with(
        tmp_path, "# T\n\n```console\n$ true\n```\n\n  ```sh\n  x\n  ```\n\n```console skip: why\n$ false\n```\n"
    )
    assert [(b.line, b.info, b.lines) for b in blocks(page, "console")] == [
        (3, "", ["$ true"]),
        (11, "skip: why", ["$ false"]),
    ]
    assert [b.lines for b in blocks(page, "sh")] == [["x"]]
    assert [b.line for b in console_blocks(page)] == [3]


def test_a_block_that_is_never_closed_is_an_error_of_the_page(tmp_path: Path):
    with pytest.raises(AssertionError, match=r"page\.md:1: this block is never closed"):
        blocks(page_with(tmp_path, "```console\n$ true\n"), "console")


def test_commands_carry_their_status_their_output_and_go_on_over_lines():
    block = Block(Path("p.md"), 1, "", ["$ false  # exits 1", "a ... c", "", "$ echo \\", "  two"])
    assert steps(block) == [Step("false", 1, ["a ... c"]), Step("echo two")]


def test_output_is_held_line_by_line_in_order():
    assert missing_line(Step("", shown=["a ... c", "d"]), "a b c\nx\nd\n") is None
    assert missing_line(Step("", shown=["d", "a"]), "a\nd\n") == "a"


@pytest.mark.parametrize(
    ("example", "complaint"),
    [
        ("$ exit 4", "ended with 4, not 0"),
        ("$ true  # exits 3", "ended with 0, not 3"),
        ("$ echo a\nb", "the page shows 'b'"),
    ],
)
def test_a_page_that_says_what_does_not_happen_is_caught(tmp_path: Path, example: str, complaint: str):
    with pytest.raises(AssertionError, match=complaint):
        follow(page_with(tmp_path, f"```console\n{example}\n```\n"), tmp_path)


def test_the_examples_of_a_page_share_one_folder(tmp_path: Path):
    page = page_with(tmp_path, "```console\n$ echo hello > f\n```\n\n```console\n$ cat f\nhello\n```\n")
    follow(page, tmp_path)
    assert (tmp_path / "f").exists()
