"""Further cases of automation: CI of many vendors, tests that are none, deliveries and gates in their disguises."""

from tests.audit.case import PROMOTE, Case, image
from tests.audit.repositories import LESSON, SERVE, TRAIN, WORKFLOW

GITHUB = ".github/workflows/a.yml"
TEST = "def test_a():\n    assert 1 + 1 == 2\n"
ALIAS = "client.set_registered_model_alias('late', 'champion', version)"
FIRST = "client.search_runs(e, order_by=['metrics.{}'])[0]\n"


def runs(command: str) -> dict[str, str | bytes]:
    """The lesson with a GitHub workflow that runs one command."""
    return {**LESSON, GITHUB: WORKFLOW.replace("pip install pytest && pytest", command)}


def ships(command: str) -> dict[str, str | bytes]:
    """The service with a GitHub workflow that runs one command."""
    return {"app.py": SERVE, GITHUB: WORKFLOW.replace("pip install pytest && pytest", command)}


def promotes(body: str) -> dict[str, str | bytes]:
    """A module that puts a version live."""
    return {"p.py": PROMOTE.replace("BODY", body)}


VENDORS = {
    "GitLab": ".gitlab-ci.yml",
    "GitLab in a part": "ci/.gitlab-ci-train.yml",
    "CircleCI": ".circleci/config.yml",
    "Azure": "azure-pipelines.yml",
    "Azure with a dot": ".azure-pipelines-release.yaml",
    "Travis": ".travis.yml",
    "Drone": ".drone.yml",
    "Bitbucket": "bitbucket-pipelines.yml",
    "Buildkite": ".buildkite/pipeline.yml",
    "Google": "cloudbuild-train.yaml",
    "Amazon": "deploy/buildspec.yml",
    "Woodpecker": ".woodpecker/test.yaml",
    "AppVeyor": "appveyor.yml",
    "Forgejo": ".forgejo/workflows/a.yaml",
    "Gitea": ".gitea/workflows/a.yaml",
    "Jenkins in a folder": "ops/Jenkinsfile.release",
    "a run script": ".ci/run",
}

CI = [
    *(
        Case("AU01", f"CI of {vendor}", "pass", {**LESSON, path: "test: {script: [pytest]}\n"}, True, f"{path}:1")
        for vendor, path in VENDORS.items()
    ),
    Case(
        "AU01",
        "a workflow in no folder of GitHub",
        "pass",
        {**LESSON, "ops/late.yml": WORKFLOW},
        True,
        "ops/late.yml:1",
    ),
    Case("AU01", "compose is no CI", "fail", {**LESSON, "compose.yaml": "services: {a: {image: b}}\n"}),
    Case("AU01", "stages of DVC are no CI", "fail", {**LESSON, "dvc.yaml": "stages: {a: {cmd: b}}\n"}),
    Case(
        "AU02",
        "a class of tests",
        "pass",
        {**LESSON, "tests/rows.py": "class TestRows:\n    def test_a(self):\n        assert 1\n"},
        True,
        "tests/rows.py:2",
    ),
    Case(
        "AU02",
        "asynchronous",
        "pass",
        {**LESSON, "late_test.py": "async def test_a():\n    assert 1\n"},
        True,
        "late_test.py:1",
    ),
    Case(
        "AU02", "a test that only says something", "fail", {**LESSON, "test_a.py": 'def test_a():\n    """Later."""\n'}
    ),
    Case(
        "AU02", "a function of that name in the code", "fail", {**LESSON, "late.py": "def test_rows():\n    return 1\n"}
    ),
    Case(
        "AU02", "a package whose name begins so", "fail", {**LESSON, "contest/late.py": "def test_a():\n    return 1\n"}
    ),
    Case("AU02", "a test that does not parse", "pass", {**LESSON, "test_a.py": "def test_a(:\n"}, True, "test_a.py:1"),
    Case("AU02", "a test that cannot be read", "unknown", {**LESSON, "tests/test_a.py": b"\xff\xfe"}),
    *(
        Case("AU03", f"tests by {command.split()[0]} in {number} words", "pass", runs(command), True, f"{GITHUB}:7")
        for number, command in enumerate(
            [
                "python -m pytest -q",
                "tox -e py311",
                "nox -s tests",
                "python -m unittest discover",
                "hatch run test",
                "uv run pytest",
                "behave features",
                "python manage.py test",
                "poetry run pytest --cov",
            ],
            start=1,
        )
    ),
    Case(
        "AU03", "installing the runner is not running it", "fail", runs("pip install pytest tox"), True, f"{GITHUB}:1"
    ),
    Case("AU03", "adding the runner is not running it", "fail", runs("uv add --dev pytest")),
    Case(
        "AU03",
        "a job with the name",
        "fail",
        {**LESSON, GITHUB: WORKFLOW.replace("- run: pip install pytest && pytest", "- name: pytest\n        run: ls")},
    ),
    Case(
        "AU03",
        "a make target that does something else",
        "fail",
        {**runs("make build"), "Makefile": "build:\n\techo a\n\ntest:\n\tpytest\n"},
    ),
    Case(
        "AU03",
        "behind just",
        "pass",
        {**runs("just check"), "justfile": "check: test\n\ntest:\n    pytest -q\n"},
        True,
        "justfile:4",
    ),
    Case(
        "AU03",
        "behind mise",
        "pass",
        {**runs("mise run check"), "mise.toml": "[tasks.check]\nrun = 'pytest -q'\n"},
        True,
        "mise.toml:2",
    ),
    Case(
        "AU03",
        "behind a template of Azure",
        "pass",
        {
            **LESSON,
            "azure-pipelines.yml": "steps:\n- template: ci/steps.yml\n",
            "ci/steps.yml": "steps:\n- script: pytest\n",
        },
        True,
        "ci/steps.yml:2",
    ),
    Case(
        "AU03",
        "behind a template that is not there",
        "fail",
        {**LESSON, "azure-pipelines.yml": "steps:\n- template: ci/steps.yml\n"},
        True,
        "azure-pipelines.yml:1",
    ),
    Case(
        "AU03",
        "behind a Makefile that nobody calls",
        "fail",
        {**LESSON, "Makefile": "test:\n\tpytest\n"},
        True,
        "train.py:1",
    ),
    Case(
        "AU03",
        "behind a script in a folder",
        "pass",
        {**runs("./ops/check.sh"), "ops/check.sh": "#!/bin/sh\nset -e\npytest\n"},
        True,
        "ops/check.sh:3",
    ),
    Case("AU03", "no code", "na", {"README.md": "# Late\n"}),
]

CHECKED = [
    Case(
        "AU04",
        "a prediction held against the truth",
        "pass",
        {**LESSON, "test_a.py": "def test_a(model):\n    assert model.predict([[0]]) == [0]\n"},
        True,
        "test_a.py:1",
    ),
    Case(
        "AU04",
        "predicted and never looked at",
        "fail",
        {**LESSON, "test_a.py": "def test_a(model):\n    model.predict([[0]])\n"},
    ),
    Case(
        "AU04",
        "one of two tests looks at the model",
        "pass",
        {**LESSON, "test_a.py": TEST + "\n\ndef test_b(m):\n    assert m.predict(1) == 1\n"},
        True,
        "test_a.py:5",
    ),
    Case(
        "AU04",
        "a suite of checks",
        "pass",
        {**LESSON, "tests/test_a.py": "import deepchecks\n"},
        True,
        "tests/test_a.py:1",
    ),
    Case(
        "AU04",
        "an error in a test of the score",
        "pass",
        {"app.py": SERVE, "test_a.py": "def test_a():\n    assert rmse() < 3\n"},
        True,
        "test_a.py:1",
    ),
    Case(
        "AU05",
        "asserted before the fit",
        "pass",
        {"train.py": TRAIN.replace("X_train,", "assert not rows.isnull().any().any()\nX_train,", 1)},
        True,
        "train.py:8",
    ),
    Case(
        "AU05",
        "Great Expectations",
        "pass",
        {**LESSON, "checks/data.py": "import great_expectations as gx\n"},
        True,
        "checks/data.py:1",
    ),
    Case(
        "AU05",
        "a schema in a test",
        "pass",
        {**LESSON, "tests/test_a.py": "import pandera\n"},
        True,
        "tests/test_a.py:1",
    ),
    Case(
        "AU05",
        "expectations in taut.yaml",
        "pass",
        {**LESSON, "taut.yaml": "data: {rows: {schema: a.json}}\n"},
        True,
        "taut.yaml:1",
    ),
    Case("AU05", "a test of something else", "fail", {**LESSON, "test_a.py": TEST}, True, "train.py:7"),
    Case("AU05", "training on a stream", "na", {"t.py": "import torch\nloss.backward()\n"}),
]

SHIPPED = [
    *(
        Case("AU07", f"delivered by step {number}", "pass", ships(command), True, f"{GITHUB}:7")
        for number, command in enumerate(
            [
                "kubectl apply -f k8s/",
                "helm upgrade late chart/",
                "terraform apply -auto-approve",
                "gcloud run deploy late",
                "az ml online-deployment update",
                "aws ecs update-service --service late",
                "flyctl deploy",
                "bentoml deploy .",
                "heroku container:push web",
                "taut apply",
                "sam deploy",
                "ansible-playbook site.yml",
                "scp model.pkl ops@server:/srv/",
            ],
            start=1,
        )
    ),
    Case(
        "AU07",
        "an action that publishes",
        "pass",
        {"app.py": SERVE, GITHUB: WORKFLOW.replace("run: pip install pytest && pytest", "uses: a/cloudrun-deploy@v2")},
    ),
    Case(
        "AU07",
        "reconciled from git",
        "pass",
        {"app.py": SERVE, "a.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: Application\n"},
        True,
        "a.yaml:1",
    ),
    Case(
        "AU07",
        "copied by Python",
        "fail",
        {"push.py": "import paramiko\nc = paramiko.SFTPClient()\nc.put('model.pkl', '/srv/model.pkl')\n"},
        True,
        "push.py:3",
    ),
    Case(
        "AU07",
        "a command of copying in Python",
        "fail",
        {"push.py": "import os\nos.system('scp model.pkl ops@server:/srv/model.pkl')\n"},
        True,
        "push.py:2",
    ),
    Case(
        "AU07", "copied with rsync", "fail", {"ship.sh": "rsync -a models/ ops@host:/srv/models\n"}, True, "ship.sh:1"
    ),
    Case("AU07", "copied inside the machine", "na", {"train.py": TRAIN, "a.sh": "cp model.pkl old.pkl\n"}),
    Case(
        "AU07", "a copy that is commented out", "na", {"train.py": TRAIN, "a.sh": "# scp model.pkl ops@server:/srv/\n"}
    ),
    Case("AU08", "a Containerfile", "pass", {"app.py": SERVE, "Containerfile": "FROM a:1\n"}, True, "Containerfile:1"),
    Case(
        "AU08",
        "an image of another name",
        "pass",
        {"app.py": SERVE, "late.Dockerfile": "FROM a:1\n"},
        True,
        "late.Dockerfile:1",
    ),
    Case("AU08", "a Procfile", "pass", {"app.py": SERVE, "Procfile": "web: uvicorn app:app\n"}, True, "Procfile:1"),
    Case("AU08", "a bento", "pass", {"app.py": SERVE, "bentofile.yaml": "service: app\n"}, True, "bentofile.yaml:1"),
    Case(
        "AU08",
        "the image of a development container",
        "fail",
        {"app.py": SERVE, ".devcontainer/Dockerfile": "FROM a\n"},
    ),
    Case("AU08", "a page about Docker", "fail", {"app.py": SERVE, "Dockerfile.md": "# Docker\n"}),
    Case("AU09", "a digest", "pass", image("FROM python@sha256:0000\n")),
    Case("AU09", "a port is no tag", "fail", image("FROM registry.example:5000/late\n"), True, "Dockerfile:1"),
    Case("AU09", "a port and a tag", "pass", image("FROM registry.example:5000/late:1.2\n")),
    Case(
        "AU09",
        "a platform before the base",
        "fail",
        image("FROM --platform=linux/amd64 python:latest\n"),
        True,
        "Dockerfile:1",
    ),
    Case("AU09", "nothing at all below", "na", image("FROM scratch\n")),
    Case("AU09", "a base from an argument", "na", image("ARG BASE=python:3.11\nFROM ${BASE}\n")),
    Case("AU09", "a later word latest", "fail", image("FROM python:slim-latest\n"), True, "Dockerfile:1"),
]

GATES = [
    Case("AU12", "asserted before", "pass", promotes(f"assert new_auc > 0.8\n    {ALIAS}")),
    Case(
        "AU12",
        "compared after",
        "fail",
        promotes(f"{ALIAS}\n    if new_auc > old_auc:\n        print(1)"),
        True,
        "p.py:7",
    ),
    Case("AU12", "compared by a function of that name", "pass", promotes(f"if is_better(version):\n        {ALIAS}")),
    Case("AU12", "a question that is no comparison", "fail", promotes(f"if version:\n        {ALIAS}"), True, "p.py:8"),
    Case(
        "AU12",
        "called under a comparison",
        "pass",
        {"p.py": PROMOTE.replace("BODY", ALIAS) + "\n\nif new > old:\n    promote(1, 2, 3)\n"},
    ),
    Case(
        "AU12",
        "moved to a stage for trial",
        "na",
        promotes("client.transition_model_version_stage('late', version, stage='Staging')"),
    ),
    Case(
        "AU12",
        "moved to production",
        "fail",
        promotes("client.transition_model_version_stage('late', version, stage='Production')"),
        True,
        "p.py:7",
    ),
    Case(
        "AU12",
        "an evaluation by the tracker",
        "pass",
        promotes(f"mlflow.validate_evaluation_results(a, b)\n    {ALIAS}"),
    ),
    Case("AU12", "promoted in a test", "na", {"tests/test_p.py": PROMOTE.replace("BODY", ALIAS)}),
    Case(
        "AU12", "something else is copied", "na", {"train.py": TRAIN, "a.sh": "scp report.html ops@server:/srv/www\n"}
    ),
    *(
        Case("AU13", f"errors sorted down: {metric}", "fail", {"p.py": FIRST.format(f"{metric} DESC")}, True, "p.py:1")
        for metric in ("rmse", "val_loss", "test_mae", "log_loss", "mape")
    ),
    *(
        Case("AU13", f"scores sorted down: {metric}", "pass", {"p.py": FIRST.format(f"{metric} DESC")}, True, "p.py:1")
        for metric in ("accuracy", "val_auc", "f1", "r2", "ndcg")
    ),
    Case("AU13", "a metric that nobody knows", "na", {"p.py": FIRST.format("late DESC")}),
    Case("AU13", "a metric in backticks", "fail", {"p.py": FIRST.format("`rmse` DESC")}, True, "p.py:1"),
    Case("AU13", "a metric in small letters", "fail", {"p.py": FIRST.format("rmse desc")}, True, "p.py:1"),
    Case("AU13", "all rows are shown", "na", {"p.py": "client.search_runs(e, order_by=['metrics.rmse DESC'])\n"}),
]

AUTOMATION_VARIANTS = [*CI, *CHECKED, *SHIPPED, *GATES]
