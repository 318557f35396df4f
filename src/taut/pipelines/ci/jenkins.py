"""A Jenkinsfile: declarative, each stage one or two commands, deployment from main alone."""

from collections.abc import Iterable, Sequence

from taut.pipelines.ci.training import INSTALL, Training, gated, trainings_of
from taut.project import ProjectFile

HEAD = """\
// Written by `taut ci jenkins` from taut.yaml; write it again with --force after taut.yaml has changed.
// Needs a global variable TAUT_HOME, the URL of your taut server, and a secret text `taut-token`, a token of it.
pipeline {
    agent any
    options {
        disableConcurrentBuilds()
        timeout(time: 6, unit: 'HOURS')
    }
    environment {
        PATH = "${env.WORKSPACE}/.venv/bin:${env.PATH}"
        TAUT_TOKEN = credentials('taut-token')
        JENKINS_NODE_COOKIE = 'dontKillMe' // Else Jenkins ends with the build what the build was asked to start.
    }
    stages {
"""
TAIL = """\
    }
}
"""
RUN = '"$run"'


def render_jenkins(project: ProjectFile) -> str:
    """The Jenkinsfile of a project, for a multibranch pipeline.

    It needs no plugin beyond Pipeline and Credentials. Raises Invalid for names that a workflow cannot hold.
    """
    trainings = trainings_of(project)
    stages = [
        _stage("Install", INSTALL),
        _stage("Test", ["python -m pytest"]),
        _stage("Audit", ["taut audit ."]),
    ]
    if trainings:
        stages.append(_stage("Data", ["taut data checkout"]))
    for training in trainings:
        stages += _training_stages(project, training)
    promote = [f"taut model promote {_version(t)}" for t in trainings]
    stages.append(_stage("Deploy", [*promote, "taut apply"], only="branch 'main'"))
    return HEAD + "".join(stages) + TAIL


def _training_stages(project: ProjectFile, training: Training) -> Iterable[str]:
    # The run's id follows from the build's, so that a stage that is restarted finds what it did before.
    identify = f"run=$(printf '%s' \"$JOB_NAME $BUILD_NUMBER {training.key}\" | sha256sum | cut -c -32)"
    yield _stage(f"Train {training.key}", [identify, training.run(RUN)])
    yield _stage(f"Register {training.key}", [identify, f"{training.register(RUN)} > .taut-{training.key}"])
    if gated(project, training):
        yield _stage(f"Gate {training.key}", [f"taut gate {_version(training)}"])


def _version(training: Training) -> str:
    """Shell text for the version that the Register stage wrote down."""
    return f'"$(cut -d " " -f 1 .taut-{training.key})"'


def _stage(name: str, commands: Sequence[str], *, only: str = "") -> str:
    lines = [f"stage('{name}') {{"]
    if only:
        lines += ["    when {", f"        {only}", "    }"]
    lines += ["    steps {", "        sh '''"]
    lines += [f"            {_groovy(command)}" for command in commands]
    lines += ["        '''", "    }", "}"]
    return "".join(f"        {line}\n" for line in lines)


def _groovy(command: str) -> str:
    """A command inside a string of three single quotes, which reads escapes and nothing else."""
    return command.replace("\\", "\\\\").replace("'''", "\\'\\'\\'")
