"""`taut watch` and `taut why`, typed: windows, alerts, the picture, and the way back from one prediction."""

import json
import re

import pytest

from tests.faces.line import DAYS, ROWS_A_DAY
from tests.faces.shell import as_typed, is_two_lines, taut

# Whoever comes first tells the line that all share, and each test types real commands: a second or two apiece.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WINDOW = {
    "deployment", "start_ms", "end_ms", "reference", "version", "rows", "labelled", "measures", "evidence", "at_ms",
}  # fmt: skip
ALERT = {
    "id", "deployment", "version", "window_start_ms", "detector", "severity", "feature", "evidence", "status", "at_ms",
    "reference", "last_ms", "windows", "peak", "features", "follows", "closed_event_ms", "closed_at_ms", "reason",
}  # fmt: skip
PREDICTION = {
    "deployment", "id", "revision", "model", "number", "at_ms", "event_ms", "rows", "inputs", "outputs", "role",
    "latency_us",
}  # fmt: skip
DAY_MS = 86_400_000


# Windows and alerts


def test_windows_are_listed_day_by_day_with_measures_and_evidence(line):
    rows = [re.split(r"\s{2,}", row.strip()) for row in taut(line.folder, "watch", "status", "late").out.splitlines()]
    assert rows[0] == ["from", "until", "version", "rows", "labelled", "roc_auc", "brier", "e labels", "e features"]
    assert rows[1][:5] == ["2026-03-01", "2026-03-02", "1", "150", "150"]
    assert len(rows) - 1 == DAYS - 1  # The last day is not over yet: nothing later was seen.


def test_windows_follow_each_other_without_a_gap(line):
    windows = taut(line.folder, "watch", "status", "late", "--json").json
    assert all(window.keys() == WINDOW for window in windows)
    assert {window["end_ms"] - window["start_ms"] for window in windows} == {DAY_MS}
    assert [window["start_ms"] for window in windows[1:]] == [window["end_ms"] for window in windows[:-1]]
    assert {(window["rows"], window["labelled"]) for window in windows} == {(ROWS_A_DAY, ROWS_A_DAY)}


def test_the_open_window_is_told_as_it_stands_and_stays_open(line):
    before = taut(line.folder, "watch", "status", "late", "--json").json
    found = taut(line.folder, "watch", "status", "late", "--live", "--json").json
    assert found["start_ms"] == before[-1]["end_ms"]
    assert (found["rows"], found["labelled"], found["bound"]) == (ROWS_A_DAY, ROWS_A_DAY, 50)
    assert found["alarms"].keys() >= {"labels"}
    assert found["evidence"]["labels"] > 1e6
    assert {one["name"] for one in found["features"]} >= {"delay", "distance", "score", "label:error"}
    words = taut(line.folder, "watch", "status", "late", "--live").out.splitlines()
    assert words[0].startswith("open window of late@1: 2026-03-12T00:00:00 to 2026-03-13T00:00:00, closes after")
    assert words[1] == f"{ROWS_A_DAY} rows so far, {ROWS_A_DAY} with a label"
    assert "labels would alarm: " in words[2]
    assert taut(line.folder, "watch", "status", "late", "--json").json == before


def test_rules_are_printed_for_what_is_watched_and_for_nothing_else(line):
    every = taut(line.folder, "watch", "rules", "--json").json
    assert [group["name"] for group in every["groups"]] == ["taut-watch-late"]
    assert taut(line.folder, "watch", "rules", "late", "--json").json == every
    printed = taut(line.folder, "watch", "rules", "late", "--silent", "6h").out
    assert printed.count("alert: ") == len(every["groups"][0]["rules"]) and "> 21600" in printed
    unknown = taut(line.folder, "watch", "rules", "nobody")
    assert (unknown.status, is_two_lines(unknown)) == (10, True), unknown
    assert taut(line.folder, "watch", "rules", "--silent", "soon").status == 13


def test_the_evidence_is_calm_before_the_drift_and_loud_after_it(line):
    windows = taut(line.folder, "watch", "status", "late", "--json").json
    assert all(window["evidence"]["labels"] < 50 for window in windows[:8])
    assert all(window["evidence"]["labels"] > 1e6 for window in windows[8:])
    assert all(window["measures"]["roc_auc"] > 0.7 for window in windows[:8])
    assert all(window["measures"]["roc_auc"] < 0.3 for window in windows[8:])


def test_the_drift_raised_one_page_on_the_day_it_began(line):
    (alert,) = taut(line.folder, "watch", "alerts", "late", "--json").json
    assert alert.keys() == ALERT
    assert (alert["severity"], alert["detector"], alert["status"]) == ("page", "ewin:labels", "open")
    assert alert["evidence"]["labels"] > alert["evidence"]["bound"] == 50
    windows = taut(line.folder, "watch", "status", "late", "--json").json
    assert alert["window_start_ms"] == windows[8]["start_ms"]


def test_alerts_are_shown_in_a_table(line):
    heading, alert = taut(line.folder, "watch", "alerts").out.splitlines()
    assert heading.split() == [
        "alert", "severity", "deployment", "window", "detector", "feature", "version", "windows", "told", "status",
    ]  # fmt: skip
    assert alert.split()[1:5] == ["page", "late", "2026-03-09", "ewin:labels"]


@pytest.mark.parametrize(("status", "count"), [("open", 1), ("handled", 0), ("dismissed", 0), ("superseded", 0)])
def test_alerts_are_found_by_what_became_of_them(line, status, count):
    assert len(taut(line.folder, "watch", "alerts", "--status", status, "--json").json) == count


def test_a_dismissed_alert_says_why_in_the_ledger(own_line):
    (alert,) = taut(own_line.folder, "watch", "alerts", "--json").json
    said = taut(own_line.folder, "watch", "dismiss", alert["id"], "--because", "a holiday")
    assert (said.status, said.out) == (0, f"alert {alert['id']} is dismissed\n")
    (entry,) = taut(own_line.folder, "ledger", "show", "--kind", "alert.dismissed", "--json").json
    assert "a holiday" in json.dumps(entry)
    assert taut(own_line.folder, "watch", "alerts", "--status", "open").out == "no alert\n"


def test_dismissing_twice_is_told_and_changes_nothing(own_line):
    (alert,) = taut(own_line.folder, "watch", "alerts", "--json").json
    assert taut(own_line.folder, "watch", "dismiss", alert["id"], "--json").json["status"] == "dismissed"
    again = taut(own_line.folder, "watch", "dismiss", alert["id"])
    assert again.status in {0, 11}
    assert len(taut(own_line.folder, "ledger", "show", "--kind", "alert.dismissed", "--json").json) == 1


# Performance


def test_performance_follows_the_labels_window_by_window(line):
    found = taut(line.folder, "watch", "performance", "late", "--json").json
    (whole,) = found["versions"]
    assert (whole["version"], whole["rows"], whole["labelled"]) == ("late@1", DAYS * ROWS_A_DAY, DAYS * ROWS_A_DAY)
    areas = [window["figures"]["roc_auc"] for window in found["windows"]]
    assert len(areas) == DAYS
    assert all(area["low"] <= area["value"] <= area["high"] for area in areas)
    assert min(area["value"] for area in areas[:8]) > 0.7
    assert max(area["value"] for area in areas[8:]) < 0.3
    assert all("has not changed" in window["estimates"]["assumption"] for window in found["windows"])
    shown = taut(line.folder, "watch", "performance", "late").out
    assert shown.startswith(f"late@1 to date: {DAYS * ROWS_A_DAY} rows")
    assert shown.splitlines()[-1].endswith("it assumes that what the score means has not changed")


def test_performance_is_cut_by_an_input(line):
    said = taut(line.folder, "watch", "performance", "late", "--by", "distance")
    assert said.out.startswith("late@1 by distance\n")
    assert len(taut(line.folder, "watch", "performance", "late", "--by", "distance", "--json").json["slices"]) == 5


# Predictions and the picture


def test_predictions_are_listed_by_when_they_happened(line):
    rows = taut(line.folder, "watch", "predictions", "late").out.splitlines()
    assert rows[0].split() == ["request", "rows", "version", "about", "answered"]
    assert [row.split()[0] for row in rows[1:]] == [f"day-{day:02}" for day in range(DAYS)]


def test_as_many_predictions_are_listed_as_are_asked_for(line):
    found = taut(line.folder, "watch", "predictions", "late", "--limit", "2", "--json").json
    assert [prediction["id"] for prediction in found] == ["day-00", "day-01"]
    assert all(prediction.keys() == PREDICTION for prediction in found)
    assert len(found[0]["inputs"]["delay"]) == len(found[0]["outputs"]["probability"]) == ROWS_A_DAY


def test_the_picture_is_one_page_that_needs_nothing_else(line, tmp_path):
    page = tmp_path / "late.html"
    said = taut(line.folder, "watch", "report", "late", "--out", str(page))
    assert said.out == f"the picture is in {page}\n"
    text = page.read_text()
    assert text.lower().startswith("<!doctype html>")
    assert "<svg" in text
    assert not re.search(r"""(?:src|href)=["']https?:""", text)
    told = taut(line.folder, "watch", "report", "late", "--out", str(page), "--json").json
    assert told == {"path": str(page), "size_bytes": page.stat().st_size}


def test_the_picture_is_named_after_the_deployment(own_line):
    assert taut(own_line.folder, "watch", "report", "late").status == 0
    assert (own_line.folder / "late.html").is_file()


def test_a_picture_into_a_folder_that_is_not_there_is_told(line, tmp_path):
    said = taut(line.folder, "watch", "report", "late", "--out", str(tmp_path / "no" / "late.html"))
    assert (said.status, is_two_lines(said)) == (10, True), said
    assert "late.html" in said.lines[0]


# Why


def test_why_walks_from_the_prediction_to_the_bytes(line):
    trace = taut(line.folder, "why", "day-10.3", "--json").json
    assert trace.keys() == {"prediction", "chain", "reached", "rows_reached", "examples"}
    points = [link["point"] for link in trace["chain"]]
    assert points[0] == "prediction:day-10.3"
    assert [point.partition(":")[0] for point in points[1:5]] == ["deployment", "model", "gate", "run"]
    assert set(points[5:]) == {"data:train@1", "data:holdout@1"}
    assert points[4] == f"run:{line.good}"


def test_why_counts_all_that_the_same_data_reached(line):
    trace = taut(line.folder, "why", "day-00.0", "--json").json
    assert trace["rows_reached"] == DAYS * ROWS_A_DAY - 1
    (reached,) = trace["reached"]
    assert (reached["model"], reached["requests"], reached["rows"]) == ("late@1", DAYS, DAYS * ROWS_A_DAY)
    assert len(trace["examples"]) == 5


def test_why_says_what_was_asked_what_was_said_and_what_came(line):
    told = taut(line.folder, "why", "day-10.3").out
    assert told.startswith("prediction:day-10.3\n")
    for words in ("said prediction=", "asked delay=", "its label came: ", "└─ gate:", "yes roc_auc", "commit "):
        assert words in told, words
    assert f"The same data reached {DAYS * ROWS_A_DAY - 1} other predictions:" in told


def test_why_tells_the_story_of_an_alert_and_of_a_version(line):
    alert = taut(line.folder, "watch", "alerts", "--json").json[0]
    story = taut(line.folder, "why", f"alert:{alert['id']}", "--json").json
    assert (story["point"], story["alert"], story["status"]) == (f"alert:{alert['id']}",) * 2 + (alert["status"],)
    assert story["chapters"][0].keys() == {"at_ms", "what", "text", "point", "facts"}
    assert story["chapters"][0]["what"] == "alert"
    told = taut(line.folder, "why", "model:late@1").out
    assert told.startswith("model:late@1: no alert led here\n")
    assert re.search(r"└─ run  20\d\d-.* run:[0-9a-f]{32}\n   good, finished, cause manual\n└─ register ", told)
    assert re.search(r"└─ gate .* gate:[0-9a-f]+\n   accepted: ", told)
    assert "late, revision 1, late@1" in told


def test_why_follows_its_own_examples(line):
    example = taut(line.folder, "why", "day-10.3", "--json").json["examples"][-1]
    assert taut(line.folder, "why", example).status == 0


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("why", "nobody.0"), 10, "'nobody.0'"),
        (("why", "alert:nobody"), 10, "'nobody'"),
        (("why", "model:late@9"), 10, "late"),
        (("why", "deployment:nowhere@1"), 10, "nowhere"),
        (("why", "run:"), 13, "'run:' has no story"),
        (("why", "day-00.150"), 10, "'day-00.150'"),
        (("why", "day-00.²"), 10, "day-00.²"),
        (("why", "day-00." + "9" * 5000), 10, "day-00.9"),
        (("why", ""), 10, "''"),
        (("why",), 2, "missing argument"),
        (("watch", "status", "lat"), 10, "did you mean 'late'?"),
        (("watch", "performance", "lat"), 10, "did you mean 'late'?"),
        (("watch", "performance"), 2, "--data"),
        (("watch", "performance", "late", "--by", "carrierr"), 10, "'carrierr'"),
        (("watch", "performance", "late", "--window", "soon"), 13, "'soon'"),
        (("watch", "compare", "late"), 10, "fewer than two versions"),
        (("watch", "alerts", "lat"), 10, "did you mean 'late'?"),
        (("watch", "alerts", "--status", "closed"), 2, "'closed'"),
        (("watch", "predictions", "lat"), 10, "did you mean 'late'?"),
        (("watch", "predictions", "late", "--limit", "0"), 2, "0 is not in the range"),
        (("watch", "report", "lat"), 10, "did you mean 'late'?"),
        (("watch", "dismiss", "nothing"), 10, "'nothing'"),
        (("watch", "dissmiss", "x"), 2, "dissmiss"),
    ],
    ids=as_typed,
)
def test_a_mistake_is_two_lines(line, words, status, says):
    said = taut(line.folder, *words)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]
