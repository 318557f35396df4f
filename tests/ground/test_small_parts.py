"""Clock, wire, settings and YAML: what people write is understood or explained, to the line and column."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Conflict, Denied, Invalid, NotFound, TautError, error_of
from taut.ground import wire
from taut.ground.clock import SetClock, SystemClock, age, duration_ms, iso, moment_ms, new_id
from taut.ground.progress import Silent, progress
from taut.ground.settings import Settings, find_folder, make_folder, read_settings
from taut.ground.yaml import dump_yaml, parse_yaml, read_yaml
from taut.project import ProjectFile, read_project
from taut.records import Column, DatasetVersion


@given(st.integers(0, 4_102_444_800_000))
def test_a_moment_survives_being_written_and_read(at_ms):
    assert moment_ms(iso(at_ms)) == at_ms


@pytest.mark.parametrize("wrong", ["", "14", "d", "-3d", "1.5h", "14 days", "2m"])
def test_what_is_no_duration_is_refused(wrong):
    with pytest.raises(Invalid, match="duration"):
        duration_ms(wrong)


def test_what_is_no_moment_is_refused():
    with pytest.raises(Invalid, match="ISO 8601"):
        moment_ms("yesterday")


def test_a_set_clock_moves_only_when_told_and_the_systems_does_by_itself():
    clock = SetClock(5)
    clock.pass_ms(10)
    assert clock.now_ms() == 15
    assert SystemClock().now_ms() > 1_700_000_000_000
    assert age(0, 59_000) == "59 s"


def test_ids_do_not_repeat():
    assert len({new_id() for _ in range(1000)}) == 1000


def test_records_survive_the_wire_and_equal_values_have_equal_bytes():
    column = Column("late", "number", 0, 2, 0.0, 1.0, 0.25)
    version = DatasetVersion("flights", 1, "ab", "flights.csv", 1, 10, None, (column,), 7, "ada")
    assert wire.decode(wire.encode(version), DatasetVersion) == version
    assert wire.digest({"a": 1, "b": 2}) == wire.digest({"b": 2, "a": 1})
    assert version.point == "data:flights@1"


def test_what_does_not_fit_a_record_is_told_with_its_place():
    with pytest.raises(Invalid, match=r"a version cannot be read: .*missing required field"):
        wire.decode(b'{"name":"x"}', DatasetVersion, what="a version")
    with pytest.raises(Invalid, match="settings is not valid"):
        wire.convert({"server": 3}, Settings, what="settings")
    with pytest.raises(Invalid):
        wire.decode(b"[" * 100_000, list)


def test_errors_keep_their_kind_over_the_wire():
    error = error_of("Conflict", "taken", "try another")
    assert (type(error), error.kind, error.hint, error.exit_status) == (Conflict, "Conflict", "try another", 11)
    assert type(error_of("Strange", "x")) is TautError


def test_settings_are_found_from_below_and_read_back(tmp_path):
    folder = make_folder(tmp_path, Settings(metadata="postgresql://db/taut"))
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_folder(below) == folder
    assert read_settings(folder) == Settings(metadata="postgresql://db/taut")
    assert (folder / ".gitignore").read_text() == "*\n"


def test_no_project_is_told_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(NotFound) as caught:
        find_folder(tmp_path)
    assert caught.value.hint == "taut init"


def test_a_folder_that_cannot_be_made_is_denied(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Denied):
        make_folder(tmp_path / "file")


@pytest.mark.parametrize("text", ["server = ", "sevrer = 'x'", "server = 3", "\xff"])
def test_wrong_settings_are_told_with_their_file(tmp_path, text):
    folder = make_folder(tmp_path)
    (folder / "settings.toml").write_text(text, encoding="latin-1")
    with pytest.raises(Invalid, match=r"settings\.toml"):
        read_settings(folder)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1e-3", 0.001), ("1E5", 1e5), (".5", 0.5), ("1.", 1.0), ("-1.5e+2", -150.0), ("010", 10), ("0o17", 15),
        ("0x1F", 31), ("0b11", 3), ("+1_000", 1000), ("1:30", "1:30"), ("on", "on"), ("e5", "e5"), ("-", "-"),
        ("1e", "1e"),
        ("true", True), (".inf", float("inf")), ("~", None),
    ],
)  # fmt: skip
def test_a_number_is_one_of_yaml_1_2_and_what_is_written_is_read_by_both(text, meant):
    if text != "-":
        assert parse_yaml(f"a: {text}", dict, name="x") == {"a": meant}
    written = dump_yaml({"a": text, "ü": [1e-3, "x y"]}).decode()
    assert parse_yaml(written, dict, name="x") == yaml.safe_load(written) == {"a": text, "ü": [1e-3, "x y"]}


@pytest.mark.parametrize(
    ("source", "place", "said"),
    [
        ("models:\n  late:\n    gate: {data: x, target: y, checks: [{measure: roc}]}\n", "3:51", "roc"),
        ("a: [1\nb: 2", "2:2", "expected"),
        ("models: {}\nmodles: {}\n", "2:1", "modles"),
        ("deployments:\n  a:\n    model: x\n    prot: 3\n", "4:5", "prot"),
        ("deployments:\n  ok: {model: x}\n  a: {model: y, port: here}\n", "2:7", "port"),
        ("models: {}\nmodels: {}", "2:1", "twice"),
        ("- 1", "1:1", "object"),
        ("a: &x [*x]", "1:1", "unknown field"),
    ],
)
def test_a_mistake_in_yaml_is_told_with_line_and_column(source, place, said):
    with pytest.raises(Invalid, match=said) as caught:
        parse_yaml(source, ProjectFile, name="taut.yaml")
    if "here" not in source:  # Where only a branch is known, its line is near enough.
        assert caught.value.message.startswith(f"taut.yaml:{place}: ")


@given(st.text(max_size=60))
def test_any_text_is_a_project_or_a_mistake_that_is_explained(text):
    try:
        parse_yaml(text, ProjectFile, name="taut.yaml")
    except Invalid as mistake:
        assert mistake.message.startswith("taut.yaml")


def test_on_and_no_are_words_and_only_true_and_false_are_truth_values():
    project = parse_yaml("triggers: {a: {on: ticket, model: no}}\n", ProjectFile, name="taut.yaml")
    assert (project.triggers["a"].on, project.triggers["a"].model) == ("ticket", "no")
    values = parse_yaml("{a: true, b: False, c: yes, d: off, e: 'true', f: 1}", dict, name="x")
    assert values == {"a": True, "b": False, "c": "yes", "d": "off", "e": "true", "f": 1}


def test_an_empty_file_is_an_empty_project_and_none_is_not_found(tmp_path: Path):
    (tmp_path / "taut.yaml").write_text("# nothing yet\n")
    assert read_project(tmp_path) == ProjectFile()
    with pytest.raises(NotFound):
        read_project(tmp_path / "elsewhere")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Invalid):
        read_yaml(tmp_path / "bytes.yaml", ProjectFile)


def test_progress_says_nothing_where_nobody_looks(capsys):
    with progress("counting", 3) as bar:
        bar.advance(3)
    assert isinstance(bar, Silent)
    assert capsys.readouterr() == ("", "")
