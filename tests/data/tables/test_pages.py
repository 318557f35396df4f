"""Pages of profiles and checks: whole without a network, as wide as a phone, and foreign text is only ever text."""

import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taut.data.tables.contract_drawn import check_page
from taut.data.tables.contracts import Breach, ContractResult, check_table
from taut.data.tables.diff import DatasetDiff, table_diff
from taut.data.tables.diff_drawn import diff_page
from taut.data.tables.page import told
from taut.data.tables.parts import part_of
from taut.data.tables.profile_drawn import distinct_words, profile_lines, profile_page
from taut.data.tables.profiles import profile_table
from taut.data.tables.rules import ColumnContract, Contract
from taut.records import ColumnProfile, TableProfile

HOSTILE = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VOID = {"meta", "rect", "line", "img", "br"}


class Read(HTMLParser):
    """Tags and attributes of a page; every one that opens closes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def table(place: Path) -> Path:
    pq.write_table(
        pa.table(
            {HOSTILE: [HOSTILE, "b", HOSTILE, None] * 5, "n": [1.5, 2, 3, None] * 5,
             "day": pa.array(range(20), pa.date32()),
             "note": [f"row {n}" for n in range(20)], "none": pa.nulls(20)}
        ),
        place,
    )  # fmt: skip
    return place


def pages(folder: Path) -> dict[str, str]:
    place = table(folder / "t.parquet")
    profile = profile_table([part_of(place)])
    rules = Contract({HOSTILE: ColumnContract(accepted_values=["b"], nullable=False)}, row_count_min=99)
    found = table_diff([part_of(place)], [part_of(place)])
    diff = DatasetDiff(HOSTILE, 1, 2, (), (), (HOSTILE,), (20, 20), (9, 9), (), found.shifts, found.table, HOSTILE,
                       ((HOSTILE, "n"),))  # fmt: skip
    return {
        "profile": profile_page(HOSTILE, profile),
        "check": check_page(HOSTILE, check_table([part_of(place)], rules)),
        "diff": diff_page(diff),
    }


@pytest.mark.parametrize("name", ["profile", "check", "diff"])
def test_foreign_text_is_only_ever_text(tmp_path: Path, name: str):
    page = pages(tmp_path)[name]
    read = Read(page)
    assert not {"script", "img", "link", "iframe", "a"} & set(read.tags)
    assert not {one for one in read.names if one.startswith("on") or one in ("src", "href")}
    assert "default-src 'none'" in page
    assert "&lt;script&gt;" in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_phone_and_can_be_scrolled_by_keys(tmp_path: Path, dark: bool):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        for width in (400, 1280):
            opened = browser.new_page(
                viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
            )
            for name, page in pages(tmp_path).items():
                (tmp_path / f"{name}.html").write_text(page)
                asked: list[str] = []
                opened.on("request", lambda request, asked=asked: asked.append(request.url))
                opened.goto((tmp_path / f"{name}.html").as_uri())
                assert opened.evaluate("document.documentElement.scrollWidth") <= width
                assert asked == [(tmp_path / f"{name}.html").as_uri()]
                ink, ground = opened.evaluate(
                    "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
                )
                assert (light_of(ink) > light_of(ground)) == dark
                if name == "check":
                    opened.keyboard.press("Tab")
                    assert opened.evaluate("document.activeElement.getAttribute('aria-label')") == "rules"
        browser.close()


def light_of(colour: str) -> int:
    """The sum of a colour's parts, as the browser writes it."""
    return sum(int(part) for part in colour[4:-1].split(","))


def test_a_line_a_column_tells_its_range_and_shape(tmp_path: Path):
    lines = {line[0]: line for line in profile_lines(profile_table([part_of(table(tmp_path / "t.parquet"))]))}
    assert lines["n"][1:4] == ("float", 5, "3")
    assert lines["n"][4:7] == (1.5, 3.0, 2.167)
    assert len(str(lines["n"][7])) == 12
    assert lines["day"][4] == "1970-01-01"
    assert lines["none"][1:4] == ("empty", 20, "0")
    assert str(lines[HOSTILE][4]).endswith("…")


@pytest.mark.parametrize(
    ("distinct", "error", "words"),
    [(7, 0.0, "7"), (123_456, 0.01625, "about 123,456 ±1.6%"), (100_000, None, "100,000 or more")],
)
def test_what_is_no_exact_count_says_so(distinct: int, error: float | None, words: str):
    column = ColumnProfile("x", "text", "string", 10**6, 0, distinct, distinct_error=error)
    assert distinct_words(column) == words
    assert f"{words} distinct" in profile_page("t", TableProfile(10**6, (column,)))


def test_a_check_that_found_nothing_says_so_in_one_sentence():
    assert "3 rows keep the contract." in check_page("t", ContractResult(True, 3))
    broken = ContractResult(False, 3, {"a: not null": 1}, (Breach(2, "a", None, "not null"), Breach(0, "b", None, "x")))
    page = check_page("t", broken)
    assert "3 rows break 1 rule of" in page
    assert "<i>missing</i>" in page
    assert "the table" in page


def test_an_axis_is_told_in_the_words_of_its_column():
    def of(dtype: str) -> ColumnProfile:
        return ColumnProfile("x", dtype, "", 1, 0, 1)

    assert told(of("date"), 86_400_000.0) == "1970-01-02"
    assert told(of("timestamp"), 0.0) == "1970-01-01T00:00"
    assert told(of("date"), 1e300) == "1e+300 ms"
    assert (told(of("int"), 20_499.0), told(of("float"), 0.12345)) == ("20,499", "0.1235")
