"""The picture of a deployment: every number of its story, as a page that is whole, small, safe and always the same."""

import re

import pytest

from taut.errors import Denied, NotFound
from taut.ground.access import Actor
from taut.watch import watch_report
from tests.watch.pages import RUNS_OR_FETCHES, parsed, words
from tests.watch.served import deployed, serve, watched
from tests.watch.year import live

SVG = "{http://www.w3.org/2000/svg}"
SIZE_MAX = 300_000


@pytest.mark.parametrize(
    "told",
    [
        "1,300 Predictions", "1,001 Labelled", "275 Windows", "4 pages", "1 ticket", "4 Retrainings", "2 Accepted",
        "2 Refused",
    ],
)  # fmt: skip
def test_the_story_is_told_in_numbers(home, told):
    live(home)
    number, word = told.split()
    found = words(watch_report(home, "late"))
    assert re.search(rf"\b{number}\s+{word}|{word}\s+{number}\b", found, re.IGNORECASE), found[:600]


def test_each_retraining_stands_there_with_its_verdict_and_main_figures(home):
    live(home)
    found = words(watch_report(home, "late"))
    assert len(re.findall(r"0\.7123", found)) >= 4
    assert found.lower().count("no measure is shown better <b>&</b>") >= 2


def test_the_table_holds_the_numbers_of_every_window(home):
    live(home)
    rows = [row for row in parsed(watch_report(home, "late")).iter("tr") if "190" in "".join(row.itertext())]
    assert len(rows) == 273
    assert all("200" in "".join(row.itertext()) for row in rows)


def test_the_drawings_say_what_they_are_to_who_cannot_see_them(home):
    live(home)
    drawn = [one for one in parsed(watch_report(home, "late")).iter() if one.get("role") == "img"]
    assert drawn != []
    for one in drawn:
        assert one.tag.endswith("svg")
        kinds = {child.tag.rpartition("}")[2] for child in one}
        assert {"title", "desc"} <= kinds, kinds


def test_the_page_fetches_nothing_runs_nothing_and_suits_dark_screens(home):
    live(home)
    page = watch_report(home, "late")
    assert RUNS_OR_FETCHES.findall(page) == []
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize("a_day", [1, 24])
def test_the_page_stays_below_its_size_however_many_windows_there_are(home, a_day):
    live(home, a_day=a_day)
    page = watch_report(home, "late")
    assert len(page.encode()) < SIZE_MAX
    assert f"{275 * a_day:,}" in words(page)


def test_the_same_rows_give_the_same_page_whenever_it_is_asked_for(home):
    live(home)
    once = watch_report(home, "late")
    home.clock.pass_ms(1_000_000)
    assert watch_report(home, "late") == once


@pytest.mark.parametrize("nasty", ["<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "a\x00b\x1b&amp;"])
def test_no_name_becomes_markup(home, nasty):
    shown = re.sub(r"[\x00\x1b]", "", nasty) if home.meta.dialect == "postgresql" else nasty
    live(home, name=shown, feature=shown)
    page = watch_report(home, shown)
    tags = {one.tag.rpartition("}")[2] for one in parsed(page).iter()}
    assert tags.isdisjoint({"script", "img"})
    assert re.sub(r"[\x00\x1b]", "\ufffd", shown) in words(page)


@pytest.mark.parametrize("days", [1, 2, 9, 40])
def test_a_short_life_is_drawn_too(home, days):
    live(home, days=days)
    assert f"{days} " in words(watch_report(home, "late"))


def test_a_deployment_without_windows_says_which_command_closes_them(home):
    serve(watched(home), 0)
    page = watch_report(home, "late")
    assert "taut up --once" in words(page)
    assert "200" in words(page)
    assert list(parsed(page).iter(f"{SVG}svg")) == []


def test_a_deployment_that_nobody_watches_says_so(home):
    page = watch_report(deployed(home), "late")
    assert "taut apply" in words(page)


def test_a_name_that_was_never_deployed_is_not_found(home):
    with pytest.raises(NotFound) as caught:
        watch_report(home, "other")
    assert caught.value.hint


def test_who_may_read_deployments_may_see_the_picture_and_nobody_else(home):
    live(home)
    assert watch_report(home.as_actor(Actor("vera", "viewer")), "late") == watch_report(home, "late")
    with pytest.raises(Denied):
        watch_report(home.as_actor(Actor("x", "anonymous")), "late")
