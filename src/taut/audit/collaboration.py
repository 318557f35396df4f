"""Collaboration: can the next person start, reuse, and know what the model is for?"""

import re

from taut.audit.check import Check, Outcome, failed, not_applicable, passed
from taut.audit.serving import serves, serving_places
from taut.audit.training import call_places, says
from taut.audit.workflow import Workflow

_STARTS = re.compile(
    r"\b(pip3? install|conda (env|install|create)|poetry install|uv (sync|run|pip)|docker (run|compose|build)|"
    r"docker-compose|"
    r"make \w+|python3? [-\w./]+|npm install|taut \w+|bash [\w./]+)|(?<![\w./(])\./\w[\w./]*"
)
_JUNK = re.compile(
    r"(^|/)(\.ds_store|thumbs\.db|desktop\.ini|mlflow\.db|[^/]+\.py[co]|\.ipynb_checkpoints/.+|__pycache__/.+|"
    r"mlruns/.+|[^/]+\.swp)$",
    re.IGNORECASE,
)


def readme(workflow: Workflow) -> Outcome:
    """CO01: a README says how to install and run it."""
    found = [file for file in workflow.files if file.name.startswith("readme")]
    if not found:
        return failed("There is no README.")
    for file in found:
        for number, line in file.lines():
            if _STARTS.search(line):
                return passed("The README says how to start.", [f"{file.path}:{number}"])
    return failed("The README does not say how to install or run it.", [f"{file.path}:1" for file in found])


def licence(workflow: Workflow) -> Outcome:
    """CO02: a licence, in any spelling, says what others may do."""
    found = [f"{file.path}:1" for file in workflow.files if re.match(r"(un)?licen[cs]e|copying", file.name)]
    found += [
        f"{file.path}:{number}"
        for file in workflow.named("pyproject.toml", "setup.py", "setup.cfg")
        for number, line in file.lines()
        if re.match(r"\s*license\s*=", line)
    ]
    return passed("There is a licence.", found) if found else failed("There is no licence file.")


def model_card(workflow: Workflow) -> Outcome:
    """CO03: what is served or registered has a card that says what it is for."""
    registered = call_places(workflow, frozenset({"register_model", "transition_model_version_stage", "push_to_hub"}))
    places = serving_places(workflow) + registered
    if not (serves(workflow) or registered):
        return not_applicable("No model is served or registered here.")
    found = [f"{file.path}:1" for file in workflow.files if re.search(r"model[_-]?card", file.name)]
    found += [
        f"{file.path}:{number}"
        for file in workflow.files
        if file.suffix == ".md"
        for number, line in file.lines()
        if re.match(r"#+\s.*\b(model card|intended use)\b", line, re.IGNORECASE)
    ]
    found += says(workflow, r"\btaut model card\b")
    if found:
        return passed("There is a model card.", found)
    return failed("A model is served, and nothing says what it is for and where it fails.", places)


def no_junk(workflow: Workflow) -> Outcome:
    """CO05: git tracks no caches, litter or tracker databases."""
    if not workflow.has_git:
        return not_applicable("Nothing is in git.")
    found = [f"{path}:1" for path in workflow.history.tracked if _JUNK.search(path)]
    if found:
        return failed(f"{len(found)} tracked files are caches, litter or tracker databases.", found)
    return passed("Git tracks no litter.")


CHECKS: tuple[Check, ...] = (
    Check(
        "CO01", "collab.readme", "collaboration", 3, "a README says how to start",
        "Nobody but its author can start it.",
        "Write down how to install and run it.", "write README.md",
        readme,
    ),
    Check(
        "CO02", "collab.license", "collaboration", 1, "a licence says what others may do",
        "Nobody may reuse it.",
        "Add a licence file.", "write LICENSE",
        licence,
    ),
    Check(
        "CO03", "collab.model_card", "collaboration", 3, "served models have a card",
        "The model is used for what it was not made for.",
        "Write what the model is for, what it learned from and where it fails.", "write MODEL_CARD.md",
        model_card,
    ),
    Check(
        "CO05", "git.no_junk", "collaboration", 1, "git tracks no litter",
        "Conflicts, slow clones, and leaks of what was cached.",
        "Untrack it, and name it in .gitignore.", "git rm -r --cached",
        no_junk,
    ),
)  # fmt: skip
"""The rows of this principle."""
