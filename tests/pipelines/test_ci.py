"""Generated CI files: what they may and may not do, and that the judges of each format find nothing to say."""

import re
import subprocess
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml

from taut.errors import Invalid
from taut.faces.cli.entry import taut
from taut.pipelines.ci import render_github, render_jenkins
from taut.pipelines.ci.training import trainings_of
from taut.project import ProjectFile
from tests.parts import program


def project(written: str) -> ProjectFile:
    return msgspec.convert(yaml.safe_load(written), ProjectFile)


WHOLE = project("""
models: {late: {gate: {data: data/holdout.csv, target: late}}}
deployments: {late: {model: late@champion}}
monitors: {late: {window: 7d}}
triggers: {late: {run: "python train.py data/train.csv --note 'it''s \\"late\\"'"}}
""")
PROJECTS = {
    "whole": WHOLE,
    "empty": ProjectFile(),
    "ungated": project("{deployments: {late: {model: m@champion}}, triggers: {late: {run: python train.py}}}"),
    "cluster": project("{deployments: {late: {model: late@champion, target: kubernetes}}}"),
    "two": project("{triggers: {b-2: {run: python b.py, model: b}, a: {run: python a.py}}}"),
}


def jobs(project: ProjectFile) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(render_github(project))["jobs"]
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [line for step in job["steps"] for line in step.get("run", "").splitlines()]


def named(job: dict[str, Any]) -> list[str]:
    return [step["name"] for step in job["steps"] if "name" in step]


@pytest.mark.parametrize("name", PROJECTS)
@pytest.mark.parametrize(
    "judge",
    [
        ["actionlint"],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
        ["act", "--validate", "--strict", "-W"],
    ],
    ids=lambda words: words[0],
)
def test_the_judges_of_workflows_find_nothing(tmp_path: Path, name: str, judge: list[str]):
    file = tmp_path / ".github" / "workflows" / "taut.yml"
    file.parent.mkdir(parents=True)
    file.write_text(render_github(PROJECTS[name]))
    done = subprocess.run([str(program(judge[0])), *judge[1:], str(file)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_whole_line_runs_in_order():
    made = jobs(WHOLE)
    assert list(made) == ["test", "train", "deploy"]
    assert named(made["test"]) == ["Install", "Test", "Audit"]
    assert named(made["train"]) == ["Install", "Rehearsal", "Data", "Train late", "Register late", "Gate late"]
    assert named(made["deploy"]) == ["Install", "Promote late", "Data", "Apply"]
    assert (made["train"]["needs"], made["deploy"]["needs"]) == ("test", "train")


def test_only_main_deploys_and_a_fork_meets_no_token():
    made = jobs(WHOLE)
    assert "github.ref == 'refs/heads/main'" in made["deploy"]["if"]
    assert made["deploy"]["environment"] == "production"
    assert "head.repo.full_name == github.repository" in made["train"]["if"]
    assert "secrets." not in str(made["test"])


def test_a_workflow_may_only_read_and_uses_one_action_by_its_commit():
    text = render_github(WHOLE)
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert set(re.findall(r"uses: (\S+)", text)) == {"actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683"}
    assert all(
        step["with"] == {"persist-credentials": False} for job in jobs(WHOLE).values() for step in job["steps"][:1]
    )


def test_what_the_workflow_knows_reaches_the_shell_as_variables():
    for name, one in PROJECTS.items():
        assert [line for job in jobs(one).values() for line in commands(job) if "${{" in line] == [], name


def test_a_model_without_a_gate_is_not_asked_for_a_verdict():
    assert "Gate late" not in named(jobs(PROJECTS["ungated"])["train"])
    assert "taut model register m --run" in render_github(PROJECTS["ungated"])


def test_what_no_trigger_names_is_not_trained():
    made = jobs(PROJECTS["empty"])
    assert list(made) == ["test", "deploy"]
    assert made["deploy"]["needs"] == "test"
    assert "Train" not in render_jenkins(PROJECTS["empty"])


@pytest.mark.parametrize(("name", "runner"), [("cluster", "ubuntu-latest"), ("whole", "self-hosted")])
def test_deployment_runs_where_it_reaches_its_target(name: str, runner: str):
    assert jobs(PROJECTS[name])["deploy"]["runs-on"] == runner


def test_two_trainings_keep_their_versions_apart():
    made = jobs(PROJECTS["two"])
    assert list(made["train"]["outputs"]) == ["a", "b-2"]
    promote = [step["env"]["VERSION"] for step in made["deploy"]["steps"] if step.get("name", "").startswith("Promote")]
    assert promote == ["${{ needs.train.outputs.a }}", "${{ needs.train.outputs.b-2 }}"]


def resolved(words: list[str]) -> click.Command:
    """The command that these words call. Raises where there is none."""
    command: click.Command = taut
    context = click.Context(taut)
    for word in words[1:]:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(context, word)
        assert found is not None, words
        command = found
    return command


@pytest.mark.parametrize("render", [render_github, render_jenkins])
def test_every_taut_command_of_a_workflow_exists_with_its_options(render: Any):
    lines = [line.strip() for line in render(WHOLE).splitlines() if line.strip().startswith("taut ")]
    assert len(lines) >= 7
    for line in lines:
        words = line.partition(" -- ")[0].replace('"', "").split()
        options = {option for parameter in resolved(words).params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.parametrize(
    "trigger",
    [
        {"run": "python train.py\nrm -rf /"},
        {"run": "python train.py", "model": "a\nb"},
    ],
)
def test_what_would_not_stay_on_its_line_is_refused(trigger: dict[str, str]):
    with pytest.raises(Invalid, match="cannot be a step of a workflow"):
        trainings_of(msgspec.convert({"triggers": {"late": trigger}}, ProjectFile))


@pytest.mark.parametrize("key", ["Late", "a b", 'a"b', "-a", ""])
def test_a_name_that_is_no_identifier_is_refused(key: str):
    with pytest.raises(Invalid, match="small letters"):
        trainings_of(msgspec.convert({"triggers": {key: {"run": "true"}}}, ProjectFile))


def test_the_same_project_gives_the_same_file():
    assert render_github(WHOLE) == render_github(WHOLE)
    assert render_jenkins(WHOLE) == render_jenkins(WHOLE)


def test_a_jenkinsfile_deploys_from_main_alone():
    text = render_jenkins(WHOLE)
    deploy = text[text.index("stage('Deploy')") :]
    assert "branch 'main'" in deploy
    assert "taut apply" in deploy
    assert "taut apply" not in text.removesuffix(deploy)


def test_quotes_of_a_command_do_not_end_groovy_s_string():
    wild = project("{triggers: {late: {run: \"python train.py ''' \\\\n\"}}}")
    text = render_jenkins(wild)
    line = next(line for line in text.splitlines() if "train.py" in line)
    assert line.endswith(r"python train.py \'\'\' \\n")
