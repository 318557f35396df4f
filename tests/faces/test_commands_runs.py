"""`taut run` and `taut runs`, typed: what is recorded, what a command's end means, what is listed and compared."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faces.line import Line
from tests.faces.shell import as_typed, is_two_lines, taut
from tests.parts import eventually

# Whoever comes first tells the line that all share, and each test types real commands: a second or two apiece.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RUN = {
    "id", "experiment_id", "experiment", "name", "status", "actor", "started_ms", "ended_ms", "lifecycle", "cause",
    "capture", "params", "metrics", "tags",
}  # fmt: skip
CAPTURE = {
    "command", "folder", "git", "environment", "python", "platform", "inputs", "output", "exit_status", "usage",
    "missing", "outputs", "outside", "remote", "coverage", "coverage_reason", "surroundings", "determinism",
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    taut(tmp_path, "init")
    return tmp_path


# What a run records


def test_a_training_records_code_data_environment_and_cost(line):
    run = taut(line.folder, "runs", "show", line.good, "--json").json
    assert run.keys() == RUN
    assert run["capture"].keys() == CAPTURE
    inputs = run["capture"]["inputs"]
    assert {read["dataset"] for read in inputs if read["role"] == "data"} == {"train@1", "holdout@1"}
    assert len(run["capture"]["git"]["commit"]) == 40
    assert "data/train.csv.dvc" in run["capture"]["git"]["untracked"]
    assert run["capture"]["usage"]["wall_s"] > 0
    assert run["capture"]["usage"]["memory_bytes_max"] > 50_000_000
    assert run["capture"]["python"].startswith("CPython 3.")
    assert (run["status"], run["capture"]["exit_status"], run["cause"]) == ("FINISHED", 0, "manual")


def test_a_training_records_what_its_mlflow_client_logged(line):
    run = taut(line.folder, "runs", "show", line.wrong, "--json").json
    assert run["params"] == {"wrong": "True"}
    assert 0 < run["metrics"]["accuracy"] < 0.5


def test_a_run_is_told_in_full_to_people(line):
    told = taut(line.folder, "runs", "show", line.good[:8]).out
    for beginning in ("run ", "status ", "time ", "command ", "code ", "environment ", "cost ", "data ", "param "):
        assert f"\n{beginning}" in f"\n{told}", beginning
    for beginning in ("code file ", "packages ", "system ", "interpreter ", "lock ", "library ", "cpu ", "coverage "):
        assert f"\n{beginning}" in told, beginning
    assert "on main, with a patch" in told


def test_running_shows_the_output_and_ends_with_two_lines_about_it(project):
    said = taut(project, "run", "--name", "hello", "--", sys.executable, "-c", "print('hello')")
    assert said.status == 0
    shown, told = said.out.splitlines()
    assert shown == "hello"
    assert told.startswith("run ")
    assert told.endswith("finished (hello); data read: none seen")


def test_running_with_json_leaves_stdout_to_the_answer(project):
    said = taut(project, "run", "--json", "--", sys.executable, "-c", "print('hello')")
    assert said.json.keys() == RUN
    assert "hello" in said.err


def test_words_after_the_dashes_are_the_command_and_never_ours(project):
    program = "import sys; print(sys.argv[1:])"
    said = taut(project, "run", "--", sys.executable, "-c", program, "--json", "--name", "x", "--help", "--debug")
    assert "['--json', '--name', 'x', '--help', '--debug']" in said.out


def test_a_command_needs_no_dashes_before_it_and_keeps_its_options(project):
    program = "import sys; print(sys.argv[1:])"
    for ours in ((), ("--debug",)):
        said = taut(project, *ours, "run", sys.executable, "-c", program, "--debug", "--json")
        assert said.out.startswith("['--debug', '--json']\n")


def test_the_status_of_the_command_is_the_status_of_the_run(project):
    for status in (3, 77):
        said = taut(project, "run", "--", sys.executable, "-c", f"raise SystemExit({status})")
        assert said.status == status
        assert "failed" in said.out
    listed = taut(project, "runs", "list", "--json").json
    assert [run["capture"]["exit_status"] for run in listed] == [77, 3]


def test_a_command_that_is_killed_is_told_as_killed(project):
    said = taut(project, "run", "--json", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    assert said.status not in {0, 130}
    assert said.json["status"] == "KILLED"


def test_outside_of_git_a_run_works_and_says_what_it_could_not_record(project):
    run = taut(project, "run", "--json", "--", sys.executable, "-c", "pass").json
    assert run["status"] == "FINISHED"
    assert run["capture"]["git"] is None
    assert any("git" in what for what in run["capture"]["missing"])
    told = taut(project, "runs", "show", run["id"]).out
    assert "no git repository" in told


def test_a_run_in_a_subfolder_belongs_to_the_project_above(project):
    (project / "deep").mkdir()
    run = taut(project / "deep", "run", "--json", "--", sys.executable, "-c", "pass").json
    assert run["capture"]["folder"] == str(project / "deep")
    assert [one["id"] for one in taut(project, "runs", "list", "--json").json] == [run["id"]]


def test_a_chosen_id_starts_nothing_twice(project):
    script = "open('count', 'a').write('x')"
    for _ in range(2):
        said = taut(project, "run", "--run-id", "mine", "--json", "--", sys.executable, "-c", script)
        assert (said.status, said.json["id"]) == (0, "mine")
    assert (project / "count").read_text() == "x"


def test_a_run_knows_its_experiment_and_cause(project):
    words = ["--experiment", "trials", "--cause", "alert:ab12", "--json"]
    run = taut(project, "run", *words, "--", sys.executable, "-c", "pass").json
    assert (run["experiment"], run["cause"]) == ("trials", "alert:ab12")


def test_ctrl_c_ends_the_command_and_keeps_what_is_known(project):
    script = "import pathlib, time; print('begun', flush=True); pathlib.Path('begun').touch(); time.sleep(600)"
    running = subprocess.Popen(
        [sys.executable, "-m", "taut", "run", "--name", "long", "--", sys.executable, "-c", script],
        cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    eventually((project / "begun").exists, what="the command to have begun", within=60)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "Traceback (most recent call last)" not in err or "KeyboardInterrupt" in err  # Python's own, of the command.
    assert "killed (long)" in out
    (run,) = taut(project, "runs", "list", "--json").json
    assert run["status"] == "KILLED"
    assert run["ended_ms"] is not None


def test_a_run_whose_taut_was_killed_is_marked_by_the_next_list(project):
    script = "import pathlib, time; pathlib.Path('begun').touch(); time.sleep(600)"
    running = subprocess.Popen(
        [sys.executable, "-m", "taut", "run", "--", sys.executable, "-c", script],
        cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually((project / "begun").exists, what="the command to have begun", within=60)
    os.kill(running.pid, signal.SIGKILL)
    running.wait(20)
    (run,) = taut(project, "runs", "list", "--json").json
    assert run["status"] == "KILLED"


def test_a_program_that_is_not_there_makes_no_run(project):
    said = taut(project, "run", "--", "no-such-program")
    assert (said.status, is_two_lines(said)) == (10, True)
    assert "no-such-program" in said.lines[0]
    assert taut(project, "runs", "list", "--json").json == []


# Lists and comparisons


def names(line: Line, *words: str) -> list[str]:
    """The names of the listed runs, in order."""
    return [run["name"] for run in taut(line.folder, "runs", "list", *words, "--json").json]


def test_runs_are_listed_newest_first_with_their_metrics(line):
    rows = [row.split() for row in taut(line.folder, "runs", "list").out.splitlines()]
    assert rows[0] == ["run", "name", "status", "started", "cause", "accuracy"]
    assert [row[1] for row in rows[1:]] == ["broken", "wrong", "good"]
    assert [row[2] for row in rows[1:]] == ["failed", "finished", "finished"]
    assert rows[1][-1] == "-"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--experiment", "Default"), ["wrong", "good"]),
        (("--experiment", "trials"), ["broken"]),
        (("--filter", "metrics.accuracy > 0.5"), ["good"]),
        (("--filter", "params.wrong = 'True'"), ["wrong"]),
        (("--filter", "status = 'FAILED'"), ["broken"]),
        (("--filter", "run_name ILIKE '%O%' AND metrics.accuracy < 0.5"), ["wrong"]),
        (("--filter", "params.wrong IS NULL"), ["broken"]),
        (("--filter", "metrics.accuracy > 7"), []),
        (("--limit", "1"), ["broken"]),
    ],
    ids=as_typed,
)
def test_runs_are_found_by_what_is_asked(line, words, found):
    assert names(line, *words) == found


def test_a_search_without_a_find_is_no_project_without_runs(line, project):
    nothing = taut(line.folder, "runs", "list", "--filter", "metrics.accuracy > 7").out
    assert nothing == "no run is so; try: taut runs list\n"
    assert taut(project, "runs", "list").out == "no run yet; try: taut run -- python train.py\n"


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("list", "--filter", "metrics.accuracy >"), 13, "character 19"),
        (("list", "--filter", "metrics.accuracy ~ 3"), 13, "character 17"),
        (("list", "--filter", "metrics.accuracy = 'a'"), 13, "a number"),
        (("list", "--filter", "wether.x = '1'"), 13, "'wether'"),
        (("list", "--experiment", "trails"), 10, "did you mean 'trials'?"),
        (("list", "--limit", "0"), 2, "0 is not in the range"),
        (("show", "zz"), 13, "too short"),
        (("show", "zzzzzz"), 10, "zzzzzz"),
        (("compare", "zzzzzz"), 10, "zzzzzz"),
        (("compare",), 2, "missing argument"),
        (("shwo", "x"), 2, "shwo"),
    ],
    ids=as_typed,
)
def test_a_mistake_in_a_runs_command_is_two_lines(line, words, status, says):
    said = taut(line.folder, "runs", *words)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]


def test_comparing_shows_params_and_metrics_that_differ(line):
    said = taut(line.folder, "runs", "compare", line.good[:8], line.wrong[:8])
    assert said.status == 0
    for word in ("wrong", "False", "True", "accuracy"):
        assert word in said.out
    assert "train@1" not in said.out


def test_comparing_answers_in_json(line):
    compared = taut(line.folder, "runs", "compare", line.good, line.wrong, "--json").json
    assert json.dumps(compared).count(line.good) >= 1
    assert json.dumps(compared).count(line.wrong) >= 1


def test_a_run_compared_with_itself_differs_in_nothing(line):
    said = taut(line.folder, "runs", "compare", line.good, line.good)
    assert said.status == 0
    assert "accuracy" not in said.out


# Runs that repeat


DRAW = "import random; open('model', 'w').write(str(random.random()))"


def test_running_twice_tells_the_verdict_and_the_cause(project):
    said = taut(project, "run", "--twice", "--", sys.executable, "-c", DRAW)
    assert said.status == 3
    assert "reproduced: different, 1 outputs compared" in said.out
    assert "cause: seed missing: " in said.out
    seeded = taut(project, "run", "--determinism", "seeded", "--twice", "--json", "--", sys.executable, "-c", DRAW)
    assert seeded.status == 0
    assert seeded.json.keys() == {"run", "reproduction"}
    assert seeded.json["reproduction"]["verdict"] == "bytes"
    assert seeded.json["run"]["capture"]["determinism"]["seed"] == 0


def test_a_run_is_reproduced_by_the_first_digits_of_its_id_and_wears_the_verdict(project):
    run = taut(project, "run", "--determinism", "strict", "--json", "--", sys.executable, "-c", DRAW).json
    said = taut(project, "reproduce", "--here", "--json", run["id"][:8])
    assert (said.status, said.json["verdict"], said.json["run_id"]) == (0, "bytes", run["id"])
    assert "reproduced   bytes, " in taut(project, "runs", "show", run["id"][:8]).out
    assert "reproduced" in taut(project, "runs", "list").out.splitlines()[0]
    assert taut(project, "runs", "show", run["id"], "--json").json["tags"]["taut.reproduced"] == "bytes"


def test_reproducing_with_less_agreement_than_was_asked_for_ends_with_three(project):
    command = "import json, time; json.dump({'at': time.time()}, open('m.json', 'w'))"
    run = taut(project, "run", "--json", "--", sys.executable, "-c", command).json
    assert taut(project, "reproduce", "--here", run["id"]).out.startswith("reproduced: identical content")
    strict = taut(project, "reproduce", "--here", "--level", "bytes", run["id"])
    assert (strict.status, "cause: time" in strict.out) == (3, True)


def test_the_level_off_sets_nothing(project):
    run = taut(project, "run", "--determinism", "off", "--json", "--", sys.executable, "-c", "pass").json
    how = run["capture"]["determinism"]
    assert (how["level"], how["fixed_addresses"], how["seed"]) == ("off", False, None)
    assert "PYTHONHASHSEED" not in how["variables"]


def test_one_thread_is_one_core(project):
    command = "import os; print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"
    said = taut(project, "run", "--single-thread", "--", sys.executable, "-c", command)
    assert said.out.splitlines()[0] == "1 1"


def test_reproducing_what_cannot_be_is_an_error_of_two_lines(project):
    assert is_two_lines(taut(project, "reproduce", "abcd1234"))
