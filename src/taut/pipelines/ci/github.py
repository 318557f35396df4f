"""A GitHub Actions workflow: test on every change, train and gate in this repository's own, deploy from main alone."""

from collections.abc import Iterable, Sequence

from taut.pipelines.ci.training import INSTALL, Training, deploys_anywhere, gated, trainings_of
from taut.project import ProjectFile

CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683  # v4.2.2"
HEAD = """\
# Written by `taut ci github` from taut.yaml; write it again with --force after taut.yaml has changed.
# Set the variable TAUT_HOME to the URL of your taut server and the secret TAUT_TOKEN to a token of it. Without them
# training is rehearsed in a home that is thrown away, and nothing is deployed.
name: taut
on:
  push:
    branches: [main]
  pull_request:
permissions:
  contents: read
concurrency:
  group: taut-${{ github.ref }}
  cancel-in-progress: ${{ github.event_name == 'pull_request' }}  # What was started on main is finished.
defaults:
  run:
    shell: bash
jobs:
"""
# A fork's change is tested, but its code must not run beside a token of ours.
OURS = "github.event_name == 'push' || github.event.pull_request.head.repo.full_name == github.repository"
ON_MAIN = "github.ref == 'refs/heads/main' && github.event_name == 'push' && vars.TAUT_HOME != ''"
RUN = '"$RUN"'
READ_VERSION = 'echo "version=$(cut -d " " -f 1 registered)" >> "$GITHUB_OUTPUT"'
HOME = ("TAUT_HOME: ${{ vars.TAUT_HOME }}", "TAUT_TOKEN: ${{ secrets.TAUT_TOKEN }}")


def render_github(project: ProjectFile) -> str:
    """The workflow of a project, for `.github/workflows/taut.yml`.

    It uses one action, checkout, pinned to a commit; every other step is a command. The token of GitHub may read the
    repository and nothing else. Raises Invalid for names that a workflow cannot hold.
    """
    trainings = trainings_of(project)
    jobs = [_test_job()]
    if trainings:
        jobs.append(_train_job(project, trainings))
    jobs.append(_deploy_job(project, trainings))
    return HEAD + "\n".join(jobs)


def _test_job() -> str:
    steps = [*_prepared(), _step("Test", ["python -m pytest"]), _step("Audit", ["taut audit ."])]
    return _job("test", ["runs-on: ubuntu-latest", "timeout-minutes: 30"], steps)


def _train_job(project: ProjectFile, trainings: tuple[Training, ...]) -> str:
    head = ["needs: test", f"if: {OURS}", "runs-on: ubuntu-latest", "timeout-minutes: 360", "env:"]
    head += [f"  {line}" for line in HOME]
    head += ["outputs:", *(f"  {t.key}: ${{{{ steps.register-{t.key}.outputs.version }}}}" for t in trainings)]
    steps = list(_prepared())
    steps.append(_step("Rehearsal", ["taut init"], settings=["if: vars.TAUT_HOME == ''"]))
    steps.append(_step("Data", ["taut data checkout"], settings=["if: vars.TAUT_HOME != ''"]))
    for training in trainings:
        steps += _training_steps(project, training)
    return _job("train", head, steps)


def _training_steps(project: ProjectFile, training: Training) -> Iterable[str]:
    key = training.key
    # The run's id follows from the workflow's, so that a job that is run again finds what it did before.
    source = f'"$GITHUB_REPOSITORY $GITHUB_RUN_ID {key}"'
    identify = [f"run=$(printf '%s' {source} | sha256sum | cut -c -32)", 'echo "run=$run" >> "$GITHUB_OUTPUT"']
    yield _step(f"Train {key}", [*identify, training.run('"$run"')], settings=[f"id: train-{key}"])
    register = [f"{training.register(RUN)} > registered", READ_VERSION]
    of_run = ["env:", f"  RUN: ${{{{ steps.train-{key}.outputs.run }}}}"]
    yield _step(f"Register {key}", register, settings=[f"id: register-{key}", *of_run])
    if gated(project, training):
        of_version = ["env:", f"  VERSION: ${{{{ steps.register-{key}.outputs.version }}}}"]
        yield _step(f"Gate {key}", ['taut gate "$VERSION"'], settings=of_version)


def _deploy_job(project: ProjectFile, trainings: tuple[Training, ...]) -> str:
    runner = (
        "ubuntu-latest"
        if deploys_anywhere(project)
        else "self-hosted  # The machine that serves: what is applied comes up there."
    )
    head = [f"needs: {'train' if trainings else 'test'}", f"if: {ON_MAIN}", f"runs-on: {runner}"]
    head += [
        "environment: production  # Ask for reviewers there, and a person says yes.",
        "timeout-minutes: 30",
        "env:",
    ]
    head += [f"  {line}" for line in HOME]
    head.append('  RUNNER_TRACKING_ID: ""  # Else the runner ends at the end of the job what it was asked to start.')
    steps = list(_prepared())
    for training in trainings:
        of_version = ["env:", f"  VERSION: ${{{{ needs.train.outputs.{training.key} }}}}"]
        steps.append(_step(f"Promote {training.key}", ['taut model promote "$VERSION"'], settings=of_version))
    if project.monitors:
        steps.append(_step("Data", ["taut data checkout"]))
    return _job("deploy", head, [*steps, _step("Apply", ["taut apply"])])


def _prepared() -> Iterable[str]:
    yield f"      - uses: {CHECKOUT}\n        with:\n          persist-credentials: false\n"
    yield _step("Install", [*INSTALL, 'echo "$PWD/.venv/bin" >> "$GITHUB_PATH"'])


def _job(name: str, head: Sequence[str], steps: Sequence[str]) -> str:
    lines = "".join(f"    {line}\n" for line in head)
    return f"  {name}:\n{lines}    steps:\n{''.join(steps)}"


def _step(name: str, commands: Sequence[str], *, settings: Sequence[str] = ()) -> str:
    lines = [f"      - name: {name}", *(f"        {line}" for line in settings)]
    lines += ["        run: |", *(f"          {command}" for command in commands)]
    return "\n".join([*lines, ""])
