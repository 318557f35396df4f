"""Automation & CI/CD: do machines test, gate, build and deliver, or does it depend on somebody's memory?"""

import ast
import re

from taut.audit.check import Check, Outcome, failed, missing, not_applicable, passed
from taut.audit.code import Call, Function, Source, is_constant, nodes_in, words_in
from taut.audit.configuration import Command
from taut.audit.remember import remembered
from taut.audit.serving import copies_by_hand, serves, serving_places, serving_sources
from taut.audit.training import (
    METRIC_WORDS,
    data_reads,
    model_writes,
    says,
    tool_places,
    training_places,
    training_sources,
)
from taut.audit.workflow import Workflow

_TEST_COMMAND = re.compile(
    r"\b(pytest|py\.test|unittest|nosetests|nose2|ward|tox|nox|behave|robot|hatch (run )?test|manage\.py test|dbt test|"
    r"setup\.py test|ctest|stestr|testthat|papermill|nbmake|trial)\b"
)
_INSTALLS = re.compile(r"\b(pip3?|uv|conda|mamba|poetry|pipx|apt|apt-get)\b[^&;|]*\b(install|add|sync)\b[^&;|]*")
_DEPLOYS = re.compile(
    r"\b(docker (image )?push|podman push|buildah push|build-push-action|kubectl\b.*\b(apply|set image|rollout)|"
    r"helm\b.*\b(upgrade|install)|"
    r"kustomize build|terraform apply|gcloud\b.*\bdeploy|az (webapp|ml|container|acr|functionapp)\b.*\b(up|"
    r"create|update|build|deploy)|"
    r"aws (ecs|lambda|sagemaker|s3|eb|cloudformation)\b.*\b(update|deploy|sync|cp|create)|eb deploy|sam deploy|"
    r"cdk deploy|"
    r"serverless deploy|sls deploy|heroku (container:)?(push|release)|git push heroku|flyctl deploy|fly deploy|"
    r"modal deploy|"
    r"bentoml (deploy|push|build|containerize)|cog push|taut (apply|deploy|up)|mlflow deployments|"
    r"argocd app sync|dvc push.*deploy|"
    r"ansible-playbook|vercel|railway up|huggingface-cli upload|hf upload|git push .*huggingface|scp|rsync|"
    r"twine upload)\b"
    r"|uses:\s*\S*(deploy|ecr|gcr|cloudrun|heroku|webapps|pypi-publish|publish)\S*@|task:\s*\w*(Deploy|Docker|"
    r"Kubernetes|WebApp|Helm)\w*@",
    re.IGNORECASE,
)
_DATA_TEST_PACKAGES = frozenset(
    [
        "pandera",
        "great_expectations",
        "great_expectations_core",
        "deepchecks",
        "tensorflow_data_validation",
        "soda",
        "evidently",
        "frictionless",
        "jsonschema",
        "cerberus",
        "pydeequ",
        "whylogs",
        "pointblank",
        "dataframely",
        "patito",
    ]
)
_EXPECTED = frozenset({"columns", "isnull", "isna", "dtypes", "schema", "notnull", "duplicated"})
_PREDICTED = frozenset({"predict", "predict_proba", "prediction", "predictions", "preds", "y_pred"})
_BUILD_FILES = frozenset(
    [
        "bentofile.yaml",
        "procfile",
        "project.toml",
        "cog.yaml",
        "app.yaml",
        "serverless.yml",
        "serverless.yaml",
        "template.yaml",
    ]
)
_PROMOTES = frozenset(
    ["transition_model_version_stage", "set_registered_model_alias", "copy_model_version", "promote_model"]
)
_GATES = frozenset(["validate_evaluation_results", "compare_models", "evaluate_challenger", "gate", "check_gate"])
_COMPARING = re.compile(r"better|gate|approve|improv|beats|champion|challenger|should_(promote|deploy)|threshold|valid")
_ERROR_METRIC = re.compile(r"rmse|(^|_)mae|mse|mape|loss|error|brier|deviance|perplexity|wer$|rmsle")
_SCORE_METRIC = re.compile(r"accuracy|acc$|auc|f1|recall|precision|r2|score$|ndcg|(^|_)map$|iou|dice|kappa|bleu")


def ci_present(workflow: Workflow) -> Outcome:
    """AU01: some CI server has a definition here."""
    if not workflow.sources:
        return not_applicable("There is no code to check.")
    if workflow.ci:
        return passed("A CI definition is here.", [f"{file.path}:1" for file in workflow.ci])
    return failed("No CI definition of any vendor was found.", [f"{workflow.sources[0].path}:1"])


@remembered
def test_functions(workflow: Workflow) -> list[tuple[Source, Function]]:
    """The functions that a test runner would run."""
    return [
        (source, function)
        for source in workflow.sources
        if source.is_test
        for function in source.functions
        if function.name.startswith("test") and _checks_something(function)
    ]


def _checks_something(function: Function) -> bool:
    """Whether a function asserts or does anything at all; one that only passes is no test."""
    return any(not isinstance(statement, ast.Pass) and not _is_text(statement) for statement in function.body)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def test_present(workflow: Workflow) -> Outcome:
    """AU02: there are test functions, whatever the files are called."""
    if not workflow.code:
        return not_applicable("There is no code to test.")
    tests = test_functions(workflow)
    if tests:
        return passed(f"{len(tests)} test functions were found.", [source.place(one.lineno) for source, one in tests])
    guessed = [f"{one.path}:1" for one in workflow.tests if not one.parsed and re.search(r"def test", one.text)]
    if guessed:
        return passed("Tests were found, though they do not parse.", guessed)
    return missing(workflow, "No test function was found.", training_places(workflow) or [f"{workflow.code[0].path}:1"])


def _runs_tests(command: Command) -> bool:
    text = _INSTALLS.sub("", command.text)
    return bool(_TEST_COMMAND.search(text)) and not re.match(r"-?\s*(name|#|id)\s*:?", text)


def ci_tests(workflow: Workflow) -> Outcome:
    """AU03: CI reaches the command that runs the tests, directly or through a make target, a script or a template."""
    if not workflow.sources:
        return not_applicable("There is no code to test.")
    found = [command.place for command in workflow.ci_runs if _runs_tests(command)]
    if found:
        return passed("CI runs the tests.", found)
    if not workflow.ci:
        return failed("Nothing runs the tests by itself: there is no CI.", [f"{workflow.sources[0].path}:1"])
    return failed("CI never reaches a command that runs tests.", [f"{file.path}:1" for file in workflow.ci])


def test_model(workflow: Workflow) -> Outcome:
    """AU04: a test or gate holds the quality or behaviour of the model against something."""
    if not (training_sources(workflow) or serving_sources(workflow)):
        return not_applicable("No model is trained or served here.")
    found = [source.place(one.lineno) for source, one in test_functions(workflow) if _asserts_model(one, source)]
    if workflow.taut.gate:
        found.append(workflow.taut.place(workflow.taut.gate))
    found += [
        f"{one.path}:1" for one in workflow.tests if one.imports_any(frozenset({"deepchecks", "giskard", "checklist"}))
    ]
    if found:
        return passed("The model itself is tested.", found)
    return missing(
        workflow, "No test looks at what the model predicts or how good it is.", serving_or_training(workflow)
    )


def serving_or_training(workflow: Workflow) -> list[str]:
    """Where the model is made, else where it is served."""
    return training_places(workflow) or serving_places(workflow)


def _asserts_model(function: Function, source: Source) -> bool:
    end = function.end_lineno or function.lineno
    asserts = [node for node in source.of(ast.Assert) if function.lineno < node.lineno <= end]
    if not asserts:
        return False
    if any(METRIC_WORDS.search(word) for node in asserts for word in words_in(node.test)):
        return True
    return _mentions_any(source, _PREDICTED) and bool(words_in(function) & _PREDICTED)


def _mentions_any(source: Source, words: frozenset[str]) -> bool:
    """Whether any of the words stands anywhere in a source: a cheap look before its functions are searched."""
    return any(word in source.text for word in words)


def test_data(workflow: Workflow) -> Outcome:
    """AU05: a schema or expectation is held against the data that comes in."""
    reads = [source.place(call.line) for source in training_sources(workflow) for call, _ in data_reads(source)]
    if not reads:
        return not_applicable("No training code that reads data from files was found.")
    found = tool_places(workflow, _DATA_TEST_PACKAGES)
    found += [f"{one.path}:1" for one in workflow.tests if one.imports_any(_DATA_TEST_PACKAGES)]
    found += [
        source.place(function.lineno)
        for source, function in test_functions(workflow)
        if _mentions_any(source, _EXPECTED) and words_in(function) & _EXPECTED
    ]
    for document in workflow.documents:
        if document.path.endswith("taut.yaml") and re.search(r"\b(schema|expect)", str(document.tree)):
            found.append(f"{document.path}:1")
    for source in workflow.code:
        found += [
            source.place(node.lineno)
            for node in source.of(ast.Assert)
            if words_in(node.test) & {"columns", "isnull", "isna", "dtypes"}
        ]
    if found:
        return passed("The data is held against expectations.", found)
    return missing(workflow, "Nothing checks the data before the model learns from it.", reads)


def deploy_automated(workflow: Workflow) -> Outcome:
    """AU07: what is served got there through CI or a reconciler, not by somebody's hands."""
    by_hand = copies_by_hand(workflow)
    if not (serves(workflow) or by_hand):
        return not_applicable("Nothing here is served.")
    found = [command.place for command in workflow.ci_runs if _DEPLOYS.search(_INSTALLS.sub("", command.text))]
    found += [
        f"{one.path}:1"
        for one in workflow.manifests("Application", "Kustomization", "HelmRelease")
        if "argo" in str(one.tree) or "flux" in str(one.tree)
    ]
    if workflow.taut.deployments:
        found.append(workflow.taut.place(workflow.taut.deployments))
    if found:
        return passed("Releases are delivered by a machine.", found)
    if by_hand:
        return failed("Files are copied to a server by hand.", by_hand)
    return missing(
        workflow, "The model is served, and nothing delivers it but somebody's hands.", serving_places(workflow)
    )


def docker_present(workflow: Workflow) -> Outcome:
    """AU08: what is served is built into an image, or by another recipe."""
    if not serves(workflow):
        return not_applicable("Nothing here is served.")
    found = [f"{one.path}:1" for one in workflow.dockerfiles]
    found += [f"{file.path}:1" for file in workflow.files if file.name in _BUILD_FILES]
    found += says(workflow, r"\btaut image\b|\bbentoml containerize\b|\bmlflow models build-docker\b|\bpack build\b")
    if workflow.taut.deployments:
        found.append(workflow.taut.place(workflow.taut.deployments))
    if found:
        return passed("A recipe builds what is served.", found)
    return failed(
        "The model is served without an image or any other recipe of its surroundings.", serving_places(workflow)
    )


def docker_base_tag(workflow: Workflow) -> Outcome:
    """AU09: each image starts from a base with a tag that is not `latest`."""
    bases = 0
    loose: list[str] = []
    for dockerfile in workflow.dockerfiles:
        stages: set[str] = {"scratch"}
        for one in dockerfile.of("FROM"):
            words = [word for word in one.rest.split() if not word.startswith("--")]
            base = words[0] if words else ""
            if len(words) > 2 and words[1].lower() == "as":
                stages.add(words[2])
            if base in stages or "$" in base:
                continue
            bases += 1
            tag = base.rpartition("/")[2].partition("@")[0].partition(":")[2]
            if "@sha256:" not in base and (not tag or "latest" in tag.split("-")):
                loose.append(f"{dockerfile.path}:{one.line}")
    if loose:
        return failed("An image starts from a base without a fixed tag.", loose)
    return (
        passed("Every base image has a tag.") if bases else not_applicable("There is no Dockerfile with a fixed base.")
    )


def promotion_gate(workflow: Workflow) -> Outcome:
    """AU12: a model goes live only after it was compared with a bound or with the model before it."""
    ungated, gated = _promotions(workflow)
    copied = [place for place in copies_by_hand(workflow) if _copies_model(workflow, place)]
    if workflow.taut.gate:
        return passed("A gate is declared.", [workflow.taut.place(workflow.taut.gate)])
    if any(_GATES & {call.last} for source in workflow.code for call in source.calls):
        return passed("A gate compares models before one goes live.", gated)
    bad = ungated + copied + _overwritten(workflow)
    if bad:
        return failed("A model goes live without being compared with anything.", bad)
    return (
        passed("Models are compared before one goes live.", gated)
        if gated
        else not_applicable("Nothing here puts a model live.")
    )


def _copies_model(workflow: Workflow, place: str) -> bool:
    path, _, line = place.rpartition(":")
    text = next((file.text for file in workflow.files if file.path == path), None) or ""
    lines = text.split("\n")
    copied = lines[int(line) - 1] if int(line) <= len(lines) else ""
    return bool(re.search(r"model|\.(pkl|joblib|pt|pth|h5|onnx|keras|sav)\b", copied, re.IGNORECASE))


def _promotions(workflow: Workflow) -> tuple[list[str], list[str]]:
    """Where a version is put live without and with a comparison before it."""
    ungated: list[str] = []
    gated: list[str] = []
    for source in workflow.code:
        promoting = [call for call in source.calls if call.last in _PROMOTES and source.parsed and not _demotes(call)]
        conditional = _called_under_comparison(source) if promoting else set()
        for call in promoting:
            inside = call.scope.rpartition(".")[2]
            (gated if inside in conditional or _compared_before(call, source) else ungated).append(
                source.place(call.line)
            )
    return ungated, gated


def _demotes(call: Call) -> bool:
    return is_constant(call.keyword("stage"), "Archived") or is_constant(call.keyword("stage"), "Staging")


def _compared_before(call: Call, source: Source) -> bool:
    """Whether an `if` or `assert` with a comparison stands before the call in its function, or around it."""
    scope = call.scope.rpartition(".")[2]
    home: ast.AST = next((one for one in source.functions if one.name == scope), source.tree)
    return any(
        isinstance(node, ast.If | ast.Assert | ast.IfExp) and node.lineno <= call.line and _compares_quality(node.test)
        for node in nodes_in(home)
    )


def _compares_quality(test: ast.expr) -> bool:
    words = words_in(test)
    orders = any(
        isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
        for node in nodes_in(test)
    )
    return orders or any(_COMPARING.search(word) for word in words)


def _called_under_comparison(source: Source) -> set[str]:
    """The functions that are called inside an `if` that compares quality."""
    return {
        node.func.id
        for branch in source.of(ast.If)
        if _compares_quality(branch.test)
        for statement in branch.body
        for node in nodes_in(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def _overwritten(workflow: Workflow) -> list[str]:
    """Where training writes a model to the very file that serving code loads, with no comparison before it."""
    served = {
        text.rpartition("/")[2]
        for source in serving_sources(workflow)
        for _, text in source.strings
        if re.search(r"\.(pkl|pickle|joblib|pt|pth|h5|keras|onnx|sav|cbm|skops)$", text)
    }
    return [
        source.place(call.line)
        for source in training_sources(workflow)
        for call, path in model_writes(source)
        if path.rpartition("/")[2] in served and not _compared_before(call, source)
    ]


_ORDERED_BY = re.compile(r"metrics?\.[`\"]?([\w-]+)[`\"]?\s+(asc|desc)", re.IGNORECASE)


def metric_direction(workflow: Workflow) -> Outcome:
    """AU13: a query for the best run sorts errors upwards and scores downwards."""
    wrong: list[str] = []
    right: list[str] = []
    for source in workflow.code:
        takes_first = bool(re.search(r"\[0\]|\.first\(|max_results\s*=\s*1\b|head\(1\)", source.text))
        for line, text in source.strings:
            found = _ORDERED_BY.search(text)
            if not found or not takes_first:
                continue
            metric, down = found.group(1).lower(), found.group(2).lower() == "desc"
            is_error, is_score = bool(_ERROR_METRIC.search(metric)), bool(_SCORE_METRIC.search(metric))
            if is_error != is_score:
                (wrong if is_error == down else right).append(source.place(line))
    if wrong:
        return failed("The query for the best run takes the worst: its metric is sorted the wrong way.", wrong)
    return (
        passed("Queries for the best run sort the right way.", right)
        if right
        else not_applicable("No query picks a best run.")
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "AU01", "ci.present", "automation", 5, "a CI server has a definition here",
        "Every check depends on somebody's memory.",
        "Add a workflow that tests, trains and gates on each change.", "taut ci github",
        ci_present,
    ),
    Check(
        "AU02", "test.present", "automation", 5, "there are tests",
        "Changes break the workflow in silence.",
        "Write a first test that trains on ten rows and looks at the result.", "mkdir tests && pytest",
        test_present,
    ),
    Check(
        "AU03", "ci.tests", "automation", 5, "CI runs the tests",
        "Tests that nobody runs rot, and releases go out untested.",
        "Let CI run the test command on each change.", "taut ci github",
        ci_tests,
    ),
    Check(
        "AU04", "test.model", "automation", 3, "a test or gate looks at the quality of the model",
        "A bad model passes every check, because none looks at it.",
        "State in taut.yaml which bounds a model must meet, or assert them in a test.", "taut gate",
        test_model,
    ),
    Check(
        "AU05", "test.data", "automation", 3, "the data is held against a schema",
        "Broken or shifted input is learned from without a word.",
        "Declare a schema and check it before training.", "pandera.infer_schema(frame)",
        test_data,
    ),
    Check(
        "AU07", "cd.deploy", "automation", 5, "a machine delivers releases",
        "The wrong or half a file is copied; there is no record, no rollback, and one person who knows how.",
        "Declare the deployment and let CI apply it.", "taut deploy",
        deploy_automated,
    ),
    Check(
        "AU08", "docker.present", "automation", 3, "a recipe builds what is served",
        "It works on one machine, and nobody can build that machine again.",
        "Build an image of model and environment.", "taut image",
        docker_present,
    ),
    Check(
        "AU09", "docker.base_tag", "automation", 3, "images start from a base with a fixed tag",
        "The build changes under you, without any change of yours.",
        "Name the version of the base image.", "FROM python:3.11-slim",
        docker_base_tag,
    ),
    Check(
        "AU12", "gate.promotion", "automation", 8, "a model goes live only after a comparison",
        "A worse model replaces a better one, and nobody notices.",
        "Gate each promotion on bounds and on the model that serves now.", "taut gate",
        promotion_gate,
    ),
    Check(
        "AU13", "gate.metric_direction", "automation", 8, "the best run is picked by the right end of the metric",
        "The worst model is picked, by construction.",
        "Sort errors ascending and scores descending.", "order_by=['metrics.rmse ASC']",
        metric_direction,
    ),
)  # fmt: skip
"""The rows of this principle."""
