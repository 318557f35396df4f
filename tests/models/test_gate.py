"""The gate says yes and no with figures, always the same, and nothing is promoted past it."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from taut.data import add_dataset
from taut.errors import Conflict, Denied, Invalid, NotFound, Refused
from taut.ground.access import Actor
from taut.ground.ledger import events, upstream
from taut.home import Home
from taut.models import (
    delete_alias,
    find_model,
    gate_model,
    list_gates,
    model_card,
    model_files,
    newest_gate,
    promote_model,
    record_gate,
    register_folder,
    register_model,
    set_alias,
    show_model,
)
from taut.project import CheckSpec, GateSpec
from taut.records import GateCheck, GateResult, Reproduction, Sameness
from taut.runs import record_reproduction
from tests.marks import slow_on_postgresql
from tests.models.conftest import Shelf, damage, flights, logged, object_file

pytestmark = slow_on_postgresql

YES = [GateCheck("rows", True, 1.0, 0.0, "enough rows")]
NO = [GateCheck("brier", False, 0.3, 0.2, "0.3, wanted at most 0.2")]


def by_name(result: GateResult) -> dict[str, GateCheck]:
    return {check.name: check for check in result.checks}


def test_a_good_first_version_passes_with_its_figures(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    register_folder(home, "late", shelf.folders["good"])
    result = gate_model(home, "late", 1, spec=spec, folder=rows_csv)
    assert result.passed and result.champion is None
    checks = by_name(result)
    assert {"loads", "signature", "rows", "answers", "roc_auc", "brier against champion"} == checks.keys()
    auc = checks["roc_auc"]
    assert auc.found is not None and 0.7 < auc.found < 1.0 and auc.bound == 0.7
    assert f"{auc.found:.4f}" in auc.text and "at least 0.7" in auc.text
    assert checks["rows"].found == 2000.0
    assert newest_gate(home, "late", 1) == result


def test_a_gate_can_ask_that_the_rows_keep_their_contract(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    register_folder(home, "late", shelf.folders["good"])
    column = next(name for name in (rows_csv / spec.data).read_text().splitlines()[0].split(",") if name != spec.target)
    with pytest.raises(NotFound):
        gate_model(home, "late", 1, spec=msgspec.structs.replace(spec, contract="none.yaml"), folder=rows_csv)
    asked = msgspec.structs.replace(spec, contract="c.yaml")
    for rule, passed in (("pattern: '.*'", True), ("pattern: 'never'", False)):
        (rows_csv / "c.yaml").write_text(f"strict: false\ncolumns: {{{column}: {{{rule}}}}}\n")
        result = gate_model(home, "late", 1, spec=asked, folder=rows_csv)
        check = by_name(result)["data: contract holds"]
        assert (check.passed, result.passed) == (passed, passed)
    assert f", column '{column}': pattern never" in check.text
    assert check.found is not None and check.found > 1000


def test_a_version_that_learned_noise_is_refused_against_the_champion(
    home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec
):
    register_folder(home, "late", shelf.folders["good"])
    register_folder(home, "late", shelf.folders["noisy"])
    promote_model(home, "late", 1)
    result = gate_model(home, "late", 2, spec=spec, folder=rows_csv)
    assert not result.passed and result.champion == 1
    checks = by_name(result)
    assert not checks["roc_auc"].passed
    against = checks["brier against champion"]
    assert not against.passed and against.found is not None and against.found < -0.01 and "shown worse" in against.text
    with pytest.raises(Refused, match="the gate refused late@2"):
        promote_model(home, "late", 2)
    assert show_model(home, "late").aliases == {"champion": 1}


def test_a_better_version_replaces_a_worse_champion(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    register_folder(home, "late", shelf.folders["noisy"])
    register_folder(home, "late", shelf.folders["good"])
    promote_model(home, "late", 1)
    result = gate_model(home, "late", 2, spec=spec, folder=rows_csv)
    assert result.passed and by_name(result)["brier against champion"].text.startswith("not shown worse")
    assert promote_model(home, "late", 2, gated=True).aliases == ("champion",)


def test_the_same_question_gets_the_same_answer(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    register_folder(home, "late", shelf.folders["good"])
    register_folder(home, "late", shelf.folders["noisy"])
    promote_model(home, "late", 1)
    first, second = (gate_model(home, "late", 2, spec=spec, folder=rows_csv) for _ in range(2))
    assert first.checks == second.checks and first.id != second.id
    again = gate_model(home, "late", 2, spec=spec, folder=rows_csv, gate_id=first.id)
    assert again == first and len(list_gates(home, "late", 2)) == 2


def test_the_very_champion_under_another_number_is_refused(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    register_folder(home, "other", shelf.folders["good"])
    register_folder(home, "late", shelf.folders["good"])
    promote_model(home, "late", 1)
    register_model(home, "late", source="models:/other/1", again=True)
    result = gate_model(home, "late", 2, spec=spec, folder=rows_csv)
    assert not result.passed and "byte for byte the champion" in by_name(result)["differs"].text


def test_the_champion_itself_is_judged_by_its_bounds_alone(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    register_folder(home, "late", shelf.folders["good"])
    promote_model(home, "late", 1)
    result = gate_model(home, "late", 1, spec=spec, folder=rows_csv)
    assert result.passed and result.champion is None


def test_rows_that_do_not_fit_the_signature_are_a_no_that_names_the_column(
    home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec, tmp_path: Path
):
    register_folder(home, "late", shelf.folders["good"])
    text = (rows_csv / "rows.csv").read_text()
    (tmp_path / "rows.csv").write_text(text.replace("carrier", "airline", 1))
    result = gate_model(home, "late", 1, spec=spec, folder=tmp_path)
    assert not result.passed and "no column 'carrier'" in by_name(result)["signature"].text
    (tmp_path / "rows.csv").write_text(text.replace("delay,hour", "hour,delay", 1))
    result = gate_model(home, "late", 1, spec=spec, folder=tmp_path)
    assert "rows.csv:2: column 'hour' cannot be" in by_name(result)["signature"].text


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (50, "50 labelled rows of rows.csv, at least 100 wanted"),
        (0, "holds no rows"),
    ],
)
def test_too_few_rows_are_a_no(home: Home, shelf: Shelf, rows_csv: Path, spec, tmp_path: Path, rows: int, words: str):
    register_folder(home, "late", shelf.folders["good"])
    lines = (rows_csv / "rows.csv").read_text().splitlines()
    (tmp_path / "rows.csv").write_text("\n".join(lines[: rows + 1]) + "\n")
    result = gate_model(home, "late", 1, spec=spec, folder=tmp_path)
    assert not result.passed and any(words in check.text for check in result.checks if not check.passed)


def test_labels_of_one_class_are_a_no(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec, tmp_path: Path):
    register_folder(home, "late", shelf.folders["good"])
    lines = (rows_csv / "rows.csv").read_text().splitlines()
    ones = [line for line in lines[1:] if line.endswith(",1")]
    (tmp_path / "rows.csv").write_text("\n".join([lines[0], *ones]))
    checks = by_name(gate_model(home, "late", 1, spec=spec, folder=tmp_path))
    assert "all are labelled 1" in checks["rows"].text and not checks["rows"].passed
    assert not checks["roc_auc"].passed and checks["roc_auc"].found is None


def test_a_model_damaged_in_the_store_is_a_no_and_never_runs(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    register_folder(home, "late", shelf.folders["good"])
    oid = next(file.oid for file in model_files(home, "late", 1) if file.path == "model.pkl")
    damage(object_file(home, oid))
    result = gate_model(home, "late", 1, spec=spec, folder=rows_csv)
    assert not result.passed and oid[:12] in by_name(result)["loads"].text


def test_a_champion_that_cannot_score_the_rows_is_named(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    register_folder(home, "late", shelf.folders["linear"])  # It takes no missing values, and these rows have some.
    register_folder(home, "late", shelf.folders["good"])
    promote_model(home, "late", 1)
    result = gate_model(home, "late", 2, spec=spec, folder=rows_csv)
    assert not result.passed and "champion 1 could not score the rows" in result.checks[-1].text


def test_a_missing_file_of_rows_is_an_error_and_no_verdict(home: Home, shelf: Shelf, spec: GateSpec, tmp_path: Path):
    register_folder(home, "late", shelf.folders["good"])
    with pytest.raises(NotFound, match=r"rows\.csv"):
        gate_model(home, "late", 1, spec=spec, folder=tmp_path)
    assert list_gates(home, "late", 1) == []


def test_the_verdict_hangs_on_the_line_with_model_and_data(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    rows = home.project / "rows.csv"
    shutil.copy(rows_csv / "rows.csv", rows)
    dataset = add_dataset(home, rows, name="holdout")
    version = register_folder(home, "late", shelf.folders["good"])
    result = gate_model(home, "late", 1, spec=spec, folder=home.project)
    with home.meta.read() as tx:
        drawn = {(arrow.source, arrow.relation) for arrow in upstream(tx, result.point)}
        told = [event.kind for event in events(tx, subject=result.point)]
    assert drawn == {(version.point, "judged-by"), (dataset.point, "read-by")}
    assert told == ["gate.passed"]


def test_twenty_thousand_rows_are_judged_in_seconds(home: Home, shelf: Shelf, tmp_path: Path, spec: GateSpec):
    flights(20_000, seed=7).to_csv(tmp_path / "rows.csv", index=False)
    register_folder(home, "late", shelf.folders["noisy"])
    register_folder(home, "late", shelf.folders["good"])
    promote_model(home, "late", 1)
    begun = time.process_time()
    assert gate_model(home, "late", 2, spec=spec, folder=tmp_path).passed
    assert time.process_time() - begun < 10


# Verdicts as rows


def test_a_verdict_passes_only_where_every_check_did_and_is_stored_once(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    register_folder(home, "late", shelf.folders["noisy"])
    result = record_gate(home, "late", 1, checks=[*YES, *NO], gate_id="g1")
    assert not result.passed
    assert record_gate(home, "late", 1, checks=YES, gate_id="g1") == result
    with pytest.raises(Conflict):
        record_gate(home, "late", 2, checks=YES, gate_id="g1")
    with pytest.raises(Invalid, match="without checks"):
        record_gate(home, "late", 1, checks=[])
    with pytest.raises(NotFound):
        record_gate(home, "late", 9, checks=YES)


# Promotion


def test_the_newest_verdict_counts(home: Home, shelf: Shelf, later: Callable[[], None]):
    register_folder(home, "late", shelf.folders["good"])
    record_gate(home, "late", 1, checks=NO)
    later()
    record_gate(home, "late", 1, checks=YES)
    assert promote_model(home, "late", 1).aliases == ("champion",)
    delete_alias(home, "late", "champion")
    later()
    record_gate(home, "late", 1, checks=NO)
    with pytest.raises(Refused, match=r"brier: 0\.3, wanted at most 0\.2"):
        promote_model(home, "late", 1)


def test_of_two_verdicts_of_one_moment_the_stricter_counts(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    for checks in (YES, NO, YES):
        record_gate(home, "late", 1, checks=checks)
    with pytest.raises(Refused):
        promote_model(home, "late", 1)


def test_a_model_with_a_gate_is_not_promoted_without_a_verdict(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    with pytest.raises(Refused, match="not judged by its gate yet") as caught:
        promote_model(home, "late", 1, gated=True)
    assert caught.value.hint == "taut gate late@1"
    assert promote_model(home, "late", 1).aliases == ("champion",)


def test_an_alias_set_through_mlflow_does_not_get_past_the_gate(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    record_gate(home, "late", 1, checks=NO)
    with pytest.raises(Refused):
        set_alias(home, "late", "champion", 1)
    assert set_alias(home, "late", "shadow", 1).aliases == ("shadow",)


def test_evidence_against_an_earlier_champion_does_not_replace_the_present_one(
    home: Home, shelf: Shelf, later: Callable[[], None]
):
    for name in ("linear", "good", "noisy"):
        register_folder(home, "late", shelf.folders[name])
    promote_model(home, "late", 1)
    for number in (2, 3):
        record_gate(home, "late", number, checks=YES, champion=1)
    promote_model(home, "late", 2)
    with pytest.raises(Refused, match="held late@3 against version 1, but champion is version 2"):
        promote_model(home, "late", 3)
    later()
    record_gate(home, "late", 3, checks=YES, champion=2)
    promote_model(home, "late", 3)
    assert promote_model(home, "late", 2).aliases == ("champion",), "a version that was promoted before may come back"


def test_promoting_twice_is_promoting_once(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    record_gate(home, "late", 1, checks=YES)
    assert promote_model(home, "late", 1) == promote_model(home, "late", 1)
    with home.meta.read() as tx:
        assert len(events(tx, kind="model.promoted")) == 1


def test_of_two_racing_promoters_one_wins_and_the_ledger_tells_which(home: Home, shelf: Shelf):
    for name in ("linear", "good", "noisy"):
        register_folder(home, "late", shelf.folders[name])
    promote_model(home, "late", 1)
    for number in (2, 3):
        record_gate(home, "late", number, checks=YES, champion=1)
    start = threading.Barrier(2)
    refused: list[int] = []

    def promote(number: int) -> None:
        start.wait()
        try:
            promote_model(home, "late", number)
        except Refused:
            refused.append(number)

    threads = [threading.Thread(target=promote, args=[number]) for number in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    champion = find_model(home, "late@champion").number
    assert refused == [5 - champion], "the later one spoke of a champion that was gone"
    with home.meta.read() as tx:
        assert events(tx, kind="model.promoted")[-1].subject == f"model:late@{champion}"


@pytest.mark.parametrize("alias", ["", "latest", "v1", "3", "a b", "a@b", "x" * 256])
def test_an_alias_that_could_be_a_version_is_refused(home: Home, shelf: Shelf, alias: str):
    register_folder(home, "late", shelf.folders["good"])
    with pytest.raises(Invalid, match="cannot be an alias"):
        set_alias(home, "late", alias, 1)


def test_judging_and_promoting_are_different_rights(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    scientist = home.as_actor(Actor("kim", "data-scientist"))
    assert record_gate(scientist, "late", 1, checks=YES).actor == "kim"
    with pytest.raises(Denied):
        promote_model(scientist, "late", 1)


# The card


def test_the_card_tells_what_the_line_knows(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    run_id, _ = logged(home, shelf.folders["good"])
    version = register_model(home, "late", run_id=run_id, description="Will it be late?")
    assert "No gate has judged this version." in model_card(home, "late", 1)
    gate_model(home, "late", 1, spec=spec, folder=rows_csv)
    promote_model(home, "late", 1)
    card = model_card(home, "late", 1)
    assert card.startswith("# late 1 (champion)\n")
    for fact in ("Will it be late?", version.digest, "| carrier | string | no |", run_id, "| roc_auc | yes |", "Never"):
        assert fact in card
    with pytest.raises(NotFound):
        model_card(home, "late", 2)


def test_a_check_may_have_a_bound_and_a_comparison_at_once(home: Home, shelf: Shelf, rows_csv: Path):
    register_folder(home, "late", shelf.folders["good"])
    both = CheckSpec(measure="brier", at_most=0.0001, against="champion")
    result = gate_model(home, "late", 1, spec=GateSpec(data="rows.csv", target="late", checks=(both,)), folder=rows_csv)
    assert not result.passed and not by_name(result)["brier"].passed


# Reproduced


@pytest.mark.parametrize(
    ("verdict", "wanted", "passed"),
    [
        ("bytes", "content", True),
        ("content", "content", True),
        ("metrics", "content", False),
        ("different", "metrics", False),
    ],
)
def test_a_gate_can_ask_that_the_run_repeats(
    home: Home,
    shelf: Shelf,
    rows_csv: Path,
    spec: GateSpec,
    verdict: Sameness,
    wanted: Literal["content", "metrics"],
    passed: bool,
):
    run_id, _ = logged(home, shelf.folders["good"])
    register_model(home, "late", run_id=run_id)
    asked = msgspec.structs.replace(spec, reproduced=wanted)
    unknown = by_name(gate_model(home, "late", 1, spec=asked, folder=rows_csv))["reproduced"]
    assert not unknown.passed and "was never run again; try: taut reproduce" in unknown.text
    record_reproduction(home, run_id, Reproduction("", run_id, verdict, 0, "", cause="seed missing"))
    check = by_name(gate_model(home, "late", 1, spec=asked, folder=rows_csv))["reproduced"]
    assert check.passed is passed
    assert f"came out as {verdict}" in check.text and f"wanted {wanted} or better" in check.text


def test_a_version_that_no_run_made_cannot_be_shown_to_repeat(home: Home, shelf: Shelf, rows_csv: Path, spec: GateSpec):
    register_folder(home, "late", shelf.folders["good"])
    result = gate_model(home, "late", 1, spec=msgspec.structs.replace(spec, reproduced="metrics"), folder=rows_csv)
    assert not result.passed
    assert "no run is known" in by_name(result)["reproduced"].text
