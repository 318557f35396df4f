"""The picture of a deployment: every number of its story, as a page that is whole, small, safe and always the same."""

import re

import pytest

from taut.errors import Denied, Invalid, NotFound
from taut.ground.access import Actor
from taut.watch import close_windows, watch_report
from tests.watch.pages import (
    PAGE_BYTES_MAX,
    RUNS_OR_FETCHES,
    card,
    check_in_browser,
    numbers_behind,
    parsed,
    told,
    words,
)
from tests.watch.served import BEGIN_MS, DAY_MS, SPEC, deployed, draw, serve, watched
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


# A period, and the newest window in it


def day(number: int) -> int:
    return BEGIN_MS + number * DAY_MS


def test_a_period_shows_what_began_in_it_and_counts_that_alone(home):
    live(home)
    found = words(watch_report(home, "late", day(60), day(110)))
    assert "50 of 1 d" in found
    assert "10,000 1 revision" in found or "Predictions 10,000" in found
    assert re.search(r"Alerts 2 1 page, 1 ticket", found)
    assert len(list(parsed(watch_report(home, "late", day(60), day(110))).iter("tr"))) < 65


def test_a_period_without_windows_names_itself_and_one_without_length_is_refused(home):
    live(home)
    found = words(watch_report(home, "late", day(5_000), day(5_001)))
    assert "No window begins between" in found and "taut watch report late" in found
    with pytest.raises(Invalid):
        watch_report(home, "late", day(3), day(3))


@pytest.fixture
def shifted(home):
    """Two closed days: a calm one, and one whose `z` moved by three."""
    serve(watched(home), 0)
    serve(home, 1, draw(1, shifted=True))
    serve(home, 2)
    assert len(close_windows(home, "late", SPEC)) == 2
    return home


def test_the_newest_window_stands_beside_its_reference(shifted):
    page = watch_report(shifted, "late")
    assert "then: reference 1, of late@1" in words(page)
    assert "now: 200 rows" in words(page)
    names = [one.findtext("h3") for one in parsed(page).iter("article")]
    assert names[0] == "z" and {"plan", "score", "wrong predictions"} <= set(names)
    then, now = numbers_behind(card(page, "plan"))["free"]
    assert all(40 <= int(share.split()[0]) <= 60 for share in (then, now))
    assert "at or below" in told(card(page, "z"))
    assert len(page.encode()) < PAGE_BYTES_MAX


def test_a_period_shows_the_newest_window_in_it(shifted):
    calm = watch_report(shifted, "late", day(0), day(1))
    assert "now: 200 rows" in words(calm)
    shares = [float(now.split()[0]) for _, now in list(numbers_behind(card(calm, "z")).values())[:9]]
    assert max(shares) < 30
    moved = [now for _, now in numbers_behind(card(watch_report(shifted, "late"), "z")).values()]
    assert any(share.endswith("100 %") or float(share.split()[0]) > 80 for share in moved if share[0].isdigit())


def test_who_may_not_read_predictions_sees_the_page_without_the_columns(shifted):
    page = watch_report(shifted.as_actor(Actor("vera", "viewer")), "late")
    assert "Its columns are shown to who may read predictions." in words(page)
    assert list(parsed(page).iter("article")) == []


def test_windows_whose_rows_are_gone_are_still_shown(home):
    live(home)
    assert "The newest window" not in words(watch_report(home, "late"))


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_a_deployment_can_be_read_on_every_screen(shifted, tmp_path, width):
    (tmp_path / "late.html").write_text(watch_report(shifted, "late"))
    check_in_browser(tmp_path / "late.html", width, dark=False)
