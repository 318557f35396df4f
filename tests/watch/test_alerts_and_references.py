"""References by number and their renewal with a real model; what an answered alert leaves behind, on both databases."""

import io
from typing import Any

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.ground.ledger import events
from taut.ground.objects import read_object
from taut.models import register_folder
from taut.project import CheckSpec, GateSpec, MonitorSpec
from taut.watch import (
    close_windows,
    dismiss_alert,
    export_labelled,
    find_reference,
    handle_alert,
    list_alerts,
    list_references,
    list_windows,
    renew_reference,
    set_reference,
)
from tests.models.conftest import rows_csv, shelf  # noqa: F401  # Fixtures are found by their names here.
from tests.watch.served import BEGIN_MS, DAY_MS, SPEC, deployed, draw, refer, serve, watched

GATE = GateSpec(data="rows.csv", target="late", checks=(CheckSpec(measure="roc_auc", at_least=0.5),))


def paged(home):
    """A deployment whose labels flip on day 2, and the page of it."""
    watched(home)
    for day in range(8):
        serve(home, day, draw(day, flipped=day > 1))
    close_windows(home, "late", SPEC)
    return list_alerts(home, "late")[0]


def test_references_are_numbered_per_deployment_and_the_newest_is_in_force(home):
    first = refer(deployed(home))
    second = refer(home, from_day=3, cause="alert:x")
    assert (first.number, second.number) == (1, 2)
    assert find_reference(home, "late") == second
    assert list_references(home, "late") == [first, second]
    other = set_reference(home, "other", model="late", version=1, from_ms=0, oid=first.oid, cause="deployed")
    assert other.number == 1


def test_the_same_alert_renews_a_reference_once(home):
    refer(deployed(home))
    first = refer(home, cause="alert:x")
    assert refer(home, from_day=9, cause="alert:x") == first
    assert len(list_references(home, "late")) == 2
    with home.meta.read() as tx:
        assert len(events(tx, kind="watch.reference")) == 2


def test_a_profile_that_is_not_stored_is_no_reference(home):
    with pytest.raises(Invalid, match="is not stored"):
        set_reference(home, "late", model="late", version=1, from_ms=0, oid="0" * 64, cause="deployed")
    assert list_references(home, "late") == []
    with pytest.raises(NotFound) as told:
        find_reference(home, "late")
    assert told.value.hint == "taut apply"


def test_a_renewed_reference_is_what_the_real_model_says_of_the_gates_rows(home, shelf, rows_csv):  # noqa: F811
    (home.project / "rows.csv").write_bytes((rows_csv / "rows.csv").read_bytes())
    version = register_folder(home, "late", shelf.folders["good"])
    spec = MonitorSpec(window="1d", lateness="0 s")
    options: dict[str, Any] = {"model": version, "gate": GATE, "from_ms": 5}
    made = renew_reference(home, "late", spec=spec, cause="alert:x", **options)
    assert (made.number, made.model, made.version, made.from_ms, made.cause) == (1, "late", 1, 5, "alert:x")
    profile = read_object(home.objects, made.oid)
    for name in (b"delay", b"hour", b"carrier", b"label:error"):
        assert b'"' + name + b'"' in profile
    assert renew_reference(home, "late", spec=spec, cause="alert:x", **options) == made
    again = renew_reference(home, "late", spec=spec, cause="alert:y", **options)
    assert (again.number, again.oid) == (2, made.oid)
    with pytest.raises(Invalid, match="not 'mood'"):
        renew_reference(home, "late", spec=MonitorSpec(score="mood"), cause="alert:z", **options)
    assert len(list_references(home, "late")) == 2


def test_a_dismissal_begins_evidence_anew_and_is_a_conflict_the_second_time(home):
    alert = paged(home)
    before = list_windows(home, "late")
    assert before[-1].evidence["labels"] >= 100
    dismiss_alert(home, alert.id, "a strike")
    for _ in range(2):
        with pytest.raises(Conflict, match="dismissed already"):
            dismiss_alert(home, alert.id)
    close_windows(home, "late", SPEC)
    after = list_windows(home, "late")
    assert after[: len(before)] == before
    assert after[len(before)].reference == before[-1].reference + 1
    assert after[len(before)].start_ms == before[-1].end_ms


def test_a_handled_alert_cannot_be_dismissed_and_begins_nothing(home):
    alert = paged(home)
    handle_alert(home, alert.id, "retrained")
    with pytest.raises(Conflict, match="handled already"):
        dismiss_alert(home, alert.id)
    assert len(list_references(home, "late")) == 1


def test_the_bytes_of_an_export_do_not_depend_on_the_order_in_which_rows_came(home):
    deployed(home)
    for day in (2, 0, 1):
        serve(home, day)
    path = home.project / "out" / "rows.csv"
    options: dict[str, Any] = {"target": "late", "from_ms": 0, "until_ms": BEGIN_MS + 9 * DAY_MS}
    export_labelled(home, "late", path, **options)
    first = path.read_bytes()
    export_labelled(home, "late", path, **options)
    assert path.read_bytes() == first
    times = [line.split(b",", 1)[0] for line in first.splitlines()[1:]]
    assert times == sorted(times)
    assert [one.name for one in path.parent.iterdir()] == ["rows.csv"]


def test_an_export_to_a_place_that_is_no_folder_is_denied_and_leaves_it(home):
    serve(deployed(home), 0)
    (home.project / "file").write_bytes(io.BytesIO(b"mine").getvalue())
    with pytest.raises(Denied, match="cannot be written"):
        export_labelled(home, "late", home.project / "file" / "x.csv", target="late", from_ms=0, until_ms=BEGIN_MS * 2)
    assert (home.project / "file").read_bytes() == b"mine"
