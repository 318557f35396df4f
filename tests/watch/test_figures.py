"""What Prometheus reads of a watched deployment, off a real server, and what becomes of it when nobody looks."""

import io
from collections.abc import Iterator
from math import exp

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from taut.deploy import list_figures
from taut.errors import Denied
from taut.faces.http.app import make_app
from taut.faces.http.server import bound
from taut.faces.http.threaded import in_thread
from taut.govern import check_home
from taut.ground import wire
from taut.ground.access import Actor
from taut.ground.browsers import LOOPBACK
from taut.ground.exposed import family_lines
from taut.home import Home
from taut.project import MonitorSpec
from taut.watch import close_windows, dismiss_alert, list_alerts, list_windows, newest_window, set_reference
from taut.watch.detectors.ewin import EwinState
from taut.watch.figures import EVERY_MS, FEATURES_MAX, VERSIONS_MAX
from taut.watch.profile import make_reference
from tests.serve.scenes import record, register
from tests.watch.served import BEGIN_MS, DAY_MS, ROWS, SPEC, deployed, draw, refer, serve, watched

Samples = dict[tuple[str, ...], float]
TOLD = ("version", "severity", "budget", "feature", "measure")


def read(text: str) -> Samples:
    """The samples of taut_watch_ by their name and what tells them apart, as Prometheus' own parser reads them."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("taut_watch_"):
                assert sample.labels["deployment"] == "late"
                key = (sample.name.removeprefix("taut_watch_"), *(sample.labels[n] for n in TOLD if n in sample.labels))
                assert key not in found
                found[key] = sample.value
    return found


def noted(home: Home) -> Samples:
    return read("".join(f"{line}\n" for line in family_lines(list_figures(home, "late"))))


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    listener = bound("127.0.0.1", 0)
    with in_thread(make_app(home, hosts=LOOPBACK, trusted="secret"), listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"


def scraped(url: str) -> Samples:
    answer = urllib3.request("GET", url, headers={"authorization": "Bearer secret"})
    assert answer.status == 200
    return read(answer.data.decode())


def test_a_server_tells_what_the_closed_windows_say(home, url):
    watched(home)
    for day in range(4):
        serve(home, day, draw(day, flipped=True))
    close_windows(home, "late", SPEC)
    newest = newest_window(home, "late")
    found = scraped(url)
    closed = len(list_windows(home, "late"))
    assert found["windows_closed_total", "1"] == closed
    assert found["rows_total", "1"] == found["labelled_rows_total", "1"] == closed * ROWS
    assert found["window_rows", "1"] == found["window_labelled_rows", "1"] == ROWS
    assert found["window_end_timestamp_seconds", "1"] == newest.end_ms / 1000
    assert found["closed_timestamp_seconds", "1"] == newest.at_ms / 1000
    assert found["window_due_timestamp_seconds", "1"] == (newest.end_ms + DAY_MS) / 1000
    assert found["newest_event_timestamp_seconds", "1"] == (BEGIN_MS + 3.5 * DAY_MS) / 1000
    for budget in ("labels", "features"):
        assert found["evidence", "1", budget] == pytest.approx(newest.evidence[budget], rel=1e-6, abs=1e-6)
        assert found["evidence_bound", "1", budget] == pytest.approx(100)
    assert (found["alarm", "1", "labels"], found["alarm", "1", "features"]) == (1, 0)
    assert found["evidence_peak", "1", "labels"] >= 100
    assert found["measure", "1", "brier"] == newest.measures["brier"]
    assert (found["open_alerts", "page"], found["open_alerts", "ticket"]) == (1, 0)
    assert found["feature_evidence", "1", "labels", "label:error"] > 100
    assert ("feature_evidence", "1", "features", "z") in found


def test_whoever_may_not_observe_the_server_sees_no_figure(home, url):
    assert urllib3.request("GET", url).status == 401
    with pytest.raises(Denied):
        list_figures(home.as_actor(Actor("nobody", "none")), "late")


def test_an_answered_alert_is_open_no_more_once_a_round_has_passed(home):
    watched(home)
    for day in range(4):
        serve(home, day, draw(day, flipped=True))
    close_windows(home, "late", SPEC)
    (alert,) = list_alerts(home, "late", "open")
    assert noted(home)["open_alerts", "page"] == 1
    while alert.status == "open":  # A dismissed alert renews the reference, and the days that are left alarm again.
        alert = dismiss_alert(home, alert.id, "a test")
        home.clock.pass_ms(EVERY_MS)
        close_windows(home, "late", SPEC)
        alert = next(iter(list_alerts(home, "late", "open")), alert)
    assert noted(home)["open_alerts", "page"] == 0


def test_rounds_in_which_nothing_happens_are_noted_once_in_a_while(home):
    serve(watched(home), 0)
    close_windows(home, "late", SPEC)
    first = noted(home)["round_timestamp_seconds", "1"]
    home.clock.pass_ms(EVERY_MS - 1)
    close_windows(home, "late", SPEC)
    assert noted(home)["round_timestamp_seconds", "1"] == first
    home.clock.pass_ms(1)
    close_windows(home, "late", SPEC)
    assert noted(home)["round_timestamp_seconds", "1"] == pytest.approx(first + EVERY_MS / 1000)


def test_before_the_first_window_there_are_moments_and_no_evidence(home):
    serve(watched(home), 0)
    close_windows(home, "late", SPEC)
    found = noted(home)
    assert {key[0] for key in found} == {
        "round_timestamp_seconds", "window_due_timestamp_seconds", "newest_event_timestamp_seconds",
        "answered_timestamp_seconds", "open_alerts",
    }  # fmt: skip
    assert found["newest_event_timestamp_seconds", "1"] == (BEGIN_MS + DAY_MS / 2) / 1000


def test_nothing_is_told_of_a_deployment_that_is_not_watched(home):
    serve(deployed(home), 0)
    close_windows(home, "late", SPEC)
    assert list_figures(home) == list_figures(home, "late") == []


def test_the_strongest_features_are_told_by_name_and_one_of_the_others(home):
    deployed(home)
    many = {f"x{number:02}": [float(row * (number + 1) % 97) for row in range(500)] for number in range(40)}
    reference = make_reference(many, scores=[row / 500 for row in range(500)])
    oid = home.objects.put(io.BytesIO(wire.encode(reference)))
    set_reference(home, "late", model="late", version=1, from_ms=BEGIN_MS, oid=oid, cause="deployed")
    rows = draw(1)
    rows.inputs = {
        name: (cells[:ROWS] if number % 2 else [3.0] * ROWS) for number, (name, cells) in enumerate(many.items())
    }
    serve(home, 0, rows, labels=False)
    serve(home, 1, rows, labels=False)
    close_windows(home, "late", SPEC)
    found = noted(home)
    told = {key[-1]: value for key, value in found.items() if key[0] == "feature_evidence"}
    assert len(told) == FEATURES_MAX
    with home.meta.read() as tx:
        ((state,),) = tx.rows("SELECT state FROM monitor_state")
    known = wire.decode(str(state), dict[str, EwinState])["features"].log_e
    strongest = sorted(known, key=lambda name: (-known[name], name))
    assert set(told) == set(strongest[:FEATURES_MAX])
    assert found["other_features_evidence", "1", "features"] == pytest.approx(
        exp(known[strongest[FEATURES_MAX]]), abs=1e-6
    )


def test_only_the_versions_that_served_last_are_told(home):
    deployed(home)
    versions = VERSIONS_MAX + 2
    for version in range(1, versions + 1):
        revision = 1
        if version > 1:
            register(home, factor=version / 10)
            revision = record(home, version)
        refer(home, from_day=version, cause=f"alert:{version}", version=version)
        serve(home, version, labels=False, revision=revision)
        serve(home, version + 1 / DAY_MS + 0.5, labels=False, revision=revision)
        close_windows(home, "late", SPEC)
    told = [key[1] for key in noted(home) if key[0] == "windows_closed_total"]
    assert sorted(map(int, told)) == list(range(versions - VERSIONS_MAX + 1, versions + 1))


def test_noting_breaks_no_anchor(home):
    watched(home)
    for day in range(2):
        serve(home, day)
    close_windows(home, "late", SPEC)
    home.clock.pass_ms(EVERY_MS)
    close_windows(home, "late", MonitorSpec(window="1d", lateness="3d"))
    assert noted(home)["window_due_timestamp_seconds", "1"] == (BEGIN_MS + 5 * DAY_MS) / 1000
    assert check_home(home).problems == ()
