"""The page of a check: the answer first, the strongest columns drawn, their numbers behind, small and safe."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taut.watch.offline import Watching
from taut.watch.picture.checked import headline
from taut.watch.picture.columns import LISTED, PICTURED
from tests.faces.shell import is_two_lines, taut
from tests.watch.drawn import LONG, checked, hostile, page_of, table, write
from tests.watch.pages import (
    HOSTILE,
    PAGE_BYTES_MAX,
    RUNS_OR_FETCHES,
    SVG,
    card,
    check_in_browser,
    numbers_behind,
    parsed,
    tags,
    told,
    words,
)

HALVES = np.arange(100) % 7 + 0.5


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> str:
    return page_of(tmp_path_factory.mktemp("broken"), table(1, 4_000), table(2, 2_000, broken=True))


def test_the_headline_says_which_columns_drifted_or_that_none_did(tmp_path: Path, broken: str):
    found = words(broken)
    assert "Check Drift in age, amount and plan 2,000 rows of now.parquet against 4,000 of then.parquet." in found
    calm = page_of(tmp_path, table(1, 4_000), table(3, 2_000))
    assert "Check No drift is shown 2,000 rows" in words(calm)


def test_a_headline_names_the_strongest_column_where_none_is_discovered_alone(tmp_path: Path):
    check, _, _ = checked(tmp_path, table(1, 4_000), table(2, 2_000, broken=True))
    nameless = replace(check, features=tuple(replace(one, is_named=False) for one in check.features))
    assert headline(nameless) == f"Drift in {check.features[0].name}"


def test_the_numbers_of_the_check_stand_at_the_top(broken: str):
    story = {}
    for one in parsed(broken).iter("dl"):
        for name, *more in one:
            story[told(name)] = [told(cell) for cell in more]
    assert story["Rows"] == ["2,000", "2,000 labelled"]
    assert story["Reference"] == ["4,000", "rows"]
    assert story["Alarm at"] == ["200", "at most 0.01 false"]
    assert story["Evidence: features"][1] == "alarm"
    assert story["Evidence: labels"][1] == "below the bound"


def test_what_drifted_stands_first_and_says_what_happened_to_it(broken: str):
    names = [one.findtext("h3") for one in parsed(broken).iter("article")]
    assert set(names[:3]) == {"age", "plan", "amount"}
    assert "drifted · numbers · e-value" in told(card(broken, "age"))
    assert "drifted" not in told(card(broken, "z"))
    assert "a level that the reference never had:" in told(card(broken, "plan"))
    assert re.search(r"missing: 2\d\s%\snow, [45](\.\d)?\s%\sthen", told(card(broken, "amount")))


def test_behind_each_picture_stand_its_numbers(broken: str):
    plan = numbers_behind(card(broken, "plan"))
    assert plan["new levels"][0] == "0 %"
    assert re.fullmatch(r"\d+ %|\d\.\d %", plan["new levels"][1])
    assert set(plan) == {"free", "plus", "pro", "new levels", "missing"}
    assert len(numbers_behind(card(broken, "z"))) == 10
    assert set(numbers_behind(card(broken, "wrong predictions"))) == {"wrong"}


def test_who_cannot_see_the_pictures_is_told_what_they_show(broken: str):
    drawn = [one for one in parsed(broken).iter(f"{SVG}svg") if one.get("role") == "img"]
    assert len(drawn) == len(list(parsed(broken).iter("article")))
    for one in drawn:
        assert one.findtext(f"{SVG}title"), told(one)
        assert one.findtext(f"{SVG}desc"), told(one)
    about = card(broken, "plan").find(f"{SVG}svg/{SVG}desc")
    assert about is not None and about.text is not None
    assert "new levels" in about.text and about.text.startswith("Moved most: ")


def test_every_column_stands_in_the_table_strongest_first(broken: str):
    (listed,) = [one for one in parsed(broken).iter("table") if "strongest first" in told(one)]
    rows = [[told(cell) for cell in row] for row in listed.iter("tr")][1:]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 12)]
    assert {row[1] for row in rows[:3]} == {"age drifted", "plan drifted", "amount drifted"}
    assert {row[1] for row in rows[3:]} >= {"shop", "score", "wrong predictions", "true labels by score", "constant"}


def test_what_was_left_out_is_named_with_the_reason(tmp_path: Path):
    then, now = table(1, 4_000), table(2, 500)
    then["ids"] = np.array([f"id{place}" for place in range(4_000)], dtype=object)
    then["gone"] = then["z"] + 1
    then["when"] = now["when"] = np.arange(4_000)
    now["ids"], now["extra"], now["bytes"] = then["ids"][:500], np.ones(500), np.array([b"x"] * 500, dtype=object)
    now["when"] = now["when"][:500]
    del now["target"]
    found = words(page_of(tmp_path, then, now, Watching(tolerance=0.02)))
    assert "All missing, or no column of the table at all: gone." in found
    assert "Left out, for they only count the time: when." in found
    assert "The reference is small: its rows count" in found or "Swings over 50 to" in found
    assert "Left out, for the reference does not have them: extra." in found
    assert "Left out, for nested and binary values are not watched: bytes." in found
    assert "Too many levels to know a new one from an old one: ids." in found
    assert "A share that shifted by at most 0.02 is no drift here." in found
    assert "the table has no scores with labels" in found


def test_a_swing_that_is_no_drift_is_told_of_and_so_is_a_reference_without_labels(tmp_path: Path):
    waving = np.repeat(np.random.default_rng(1).normal(size=80), 50)
    found = words(page_of(tmp_path, {"x": waving}, {"x": waving[:500]}))
    assert "that much swing is no drift in x." in found
    assert "the reference has no scores with labels" in found


def test_a_column_that_holds_nothing_new_says_so(tmp_path: Path):
    page = page_of(tmp_path, {"x": np.ones(100), "y": HALVES}, {"x": np.ones(50), "y": HALVES[:50]})
    assert "nothing changed" in told(card(page, "x"))
    empty = page_of(tmp_path, {"x": HALVES}, {"x": np.ones(0)})
    assert "nothing of it was seen" in told(card(empty, "x"))
    assert list(card(empty, "x").iter(f"{SVG}svg")) == []


# Small, safe, always the same


@pytest.mark.parametrize("more", [200, 1_200])
def test_the_page_stays_below_its_size_however_many_columns_there_are(tmp_path: Path, more: int):
    page = page_of(tmp_path, table(1, 600, more=more), table(2, 300, broken=True, more=more))
    assert len(page.encode()) < PAGE_BYTES_MAX
    assert len(list(parsed(page).iter("article"))) == PICTURED
    columns = more + 11
    assert f"{columns - PICTURED:,} weaker features without a picture: see the table." in words(page)
    assert (f"{columns - LISTED} weaker features more, left out here." in words(page)) == (columns > LISTED)


def test_names_as_long_as_a_page_do_not_burst_it(tmp_path: Path):
    chance = np.random.default_rng(1)
    levels = np.array(["<&'\"" * 2_000 + str(place) for place in range(12)], dtype=object)
    columns = {f"{'<&' * 4_000}{place}": levels[chance.integers(0, 12, 200)] for place in range(60)}
    page = page_of(tmp_path, columns, {name: values[::-1][:150] for name, values in columns.items()})
    assert len(page.encode()) < PAGE_BYTES_MAX
    assert list(parsed(page).iter("article"))


def test_no_name_becomes_markup(tmp_path: Path):
    page = page_of(tmp_path, hostile(400), hostile(300, moved=2.0))
    assert tags(page).isdisjoint({"script", "img", "iframe", "a"})
    assert HOSTILE in words(page)
    assert HOSTILE[:30] in " ".join(numbers_behind(card(page, f"{HOSTILE}2")))
    assert page.count("\x00") == page.count("\x1b") == 0


def test_the_page_fetches_nothing_runs_nothing_and_suits_dark_screens_and_paper(broken: str):
    assert RUNS_OR_FETCHES.findall(broken) == []
    assert "default-src &#39;none&#39;" in broken
    assert "prefers-color-scheme: dark" in broken
    assert "@media print" in broken


def test_the_same_tables_give_the_same_page(tmp_path: Path, broken: str):
    assert page_of(tmp_path, table(1, 4_000), table(2, 2_000, broken=True)) == broken


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_can_be_read_on_every_screen(tmp_path: Path, broken: str, width: int, dark: bool):
    (tmp_path / "check.html").write_text(broken)
    check_in_browser(tmp_path / "check.html", width, dark=dark)


@pytest.mark.slow
def test_hostile_and_long_names_fit_the_screen_too(tmp_path: Path):
    then, now = {**hostile(400), LONG: np.ones(400)}, {**hostile(300, moved=2.0), LONG: np.zeros(300)}
    (tmp_path / "check.html").write_text(page_of(tmp_path, then, now))
    check_in_browser(tmp_path / "check.html", 360, dark=False)


# On the command line


def test_a_check_writes_its_page_and_its_picture(tmp_path: Path):
    write(tmp_path / "then.parquet", table(1, 2_000))
    write(tmp_path / "now.parquet", table(2, 1_000, broken=True))
    typed = ["watch", "check", "now.parquet", "--against", "then.parquet", "--report", "out.html", "--png", "out.png"]
    shown = taut(tmp_path, *typed)
    assert shown.out.endswith("the picture is in out.html\nthe picture is in out.png\n")
    assert "1,000 rows of now.parquet against 2,000 of then.parquet." in words((tmp_path / "out.html").read_text())
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    again = taut(tmp_path, *typed, "--json")
    assert again.json["alarms"]["features"] is True
    assert "the picture is in out.html" in again.err


def test_a_profile_draws_the_same_page_as_the_table_that_it_is_of(tmp_path: Path):
    write(tmp_path / "then.parquet", table(1, 2_000))
    write(tmp_path / "now.parquet", table(2, 1_000, broken=True))
    taut(tmp_path, "watch", "profile", "then.parquet")
    for against in ("then.parquet", "then.json"):
        taut(tmp_path, "watch", "check", "now.parquet", "--against", against, "--report", f"{against}.html")
    one, other = ((tmp_path / f"{name}.html").read_text() for name in ("then.parquet", "then.json"))
    assert one.replace("then.parquet", "then.json") == other


def test_a_folder_that_is_not_there_is_said_in_two_lines(tmp_path: Path):
    write(tmp_path / "then.parquet", table(1, 200))
    typed = ["watch", "check", "then.parquet", "--against", "then.parquet", "--report", "no/out.html"]
    failed = taut(tmp_path, *typed)
    assert is_two_lines(failed)
    assert "no/out.html" in failed.err
