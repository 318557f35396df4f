"""`taut model` and `taut gate`: register, judge and promote."""

import sys
from pathlib import Path

import click

from taut.errors import NotFound, UsageError
from taut.faces.cli.shown import Group, json_option, shown, table
from taut.ground.clock import iso
from taut.home import Home, open_home
from taut.project import GateSpec, read_project
from taut.records import Compilation, GateResult, ModelVersion


@click.group(cls=Group, epilog="Example: taut model list")
def model() -> None:
    """Register, list, show and promote models."""


@model.command(epilog="Example: taut model register churn --run 3fa1")
@click.argument("name")
@click.option("--run", "run_id", default="", help="The run that made it; its newest logged model is taken.")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="An MLflow model folder on disk instead."
)
@json_option
def register(name: str, run_id: str, folder: Path | None, as_json: bool) -> None:
    """Register the model that a run logged as the next version; the same model again is the same version."""
    from taut.models import register_folder, register_model
    from taut.runs import resolve_run

    if bool(run_id) == (folder is not None):
        raise UsageError("say where the model is: by --run or by --folder", hint="taut runs list")
    with open_home() as home:
        if folder is not None:
            made = register_folder(home, name, folder)
        else:
            made = register_model(home, name, run_id=resolve_run(home, run_id).id)
        shown(made, as_json, lambda m: f"{m.name}@{m.number} sha256:{m.digest[:12]} from run {m.run_id[:8] or '-'}")


@model.command("list", epilog="Example: taut model list churn")
@click.argument("name", default="")
@json_option
def list_command(name: str, as_json: bool) -> None:
    """List the versions of one model, or of all, newest first."""
    from taut.models import list_versions

    with open_home() as home:
        shown(list_versions(home, name)[::-1], as_json, _listed)


@model.command(epilog="Example: taut model show churn@champion")
@click.argument("version")
@click.option("--card", is_flag=True, help="Print its model card, in Markdown.")
@json_option
def show(version: str, card: bool, as_json: bool) -> None:
    """Show a version: NAME@NUMBER, NAME@ALIAS, or NAME for the newest."""
    from taut.models import find_model, model_card

    with open_home() as home:
        found = find_model(home, version)
        if card:
            shown(model_card(home, found.name, found.number), as_json, str)
        else:
            shown(found, as_json, _told)


@model.command("compile", epilog="Example: taut model compile churn@3 --sample rows.csv")
@click.argument("version")
@click.option("--sample", type=click.Path(path_type=Path, dir_okay=False), help="Rows to ask both, as CSV.")
@click.option("--tolerance", type=float, help="How far two numbers may be apart.  [default: 1e-9]")
@json_option
def compile_command(version: str, sample: Path | None, tolerance: float | None, as_json: bool) -> None:
    """Serve a version as a graph in ONNX Runtime, where both answer alike at every edge; status 3 where they do not."""
    from taut.models import compile_model

    with open_home() as home:
        verdict = compile_model(home, version, sample=sample, tolerance=tolerance)
        shown(verdict, as_json, _compiled)
    if not verdict.is_used:
        sys.exit(3)


@model.command(epilog="Example: taut model promote churn@3")
@click.argument("version")
@click.option("--alias", default="champion", show_default=True, help="The name that shall point to it.")
@json_option
def promote(version: str, alias: str, as_json: bool) -> None:
    """Point an alias at a version that passed its gate."""
    from taut.models import find_model, promote_model

    with open_home() as home:
        found = find_model(home, version)
        gated = _gate_of(home, found.name) is not None
        promoted = promote_model(home, found.name, found.number, alias=alias, gated=gated)
        shown(promoted, as_json, lambda m: f"{m.name}@{alias} is version {m.number} now")


@model.command(epilog="Example: taut model request churn@3 --reason 'the spring data'")
@click.argument("version")
@click.option("--reason", default="", help="Why.")
@json_option
def request(version: str, reason: str, as_json: bool) -> None:
    """Ask that a version go live, with the newest verdict of its gate as evidence."""
    from taut.models import find_model, request_promotion

    with open_home() as home:
        found = find_model(home, version)
        asked = request_promotion(home, found.name, found.number, reason=reason)
        shown(asked, as_json, lambda p: f"{p.model}@{p.number} waits for approval of sha256:{p.digest[:12]}")


@model.command(epilog="Example: taut model approve churn@3 --reason 'figures looked at'")
@click.argument("version")
@click.option("--reason", default="", help="Why.")
@json_option
def approve(version: str, reason: str, as_json: bool) -> None:
    """Agree that a version goes live; for who did not make it, train it or ask for it."""
    _decide(version, approves=True, reason=reason, as_json=as_json)


@model.command(epilog="Example: taut model reject churn@3 --reason 'too few rows of July'")
@click.argument("version")
@click.option("--reason", default="", help="Why.")
@json_option
def reject(version: str, reason: str, as_json: bool) -> None:
    """Say no to a version that somebody wants to go live."""
    _decide(version, approves=False, reason=reason, as_json=as_json)


@model.command(epilog="Example: taut model approvals churn 2")
@click.argument("name")
@click.argument("needed", type=int, required=False)
@click.option("--agree", is_flag=True, help="Agree that fewer be asked for, as somebody else wants.")
@json_option
def approvals(name: str, needed: int | None, agree: bool, as_json: bool) -> None:
    """Say how many people have to approve a version of a model; fewer than before needs an approver's consent."""
    from taut.models import ApprovalPolicy, approval_policy, lower_approvals, require_approvals

    if agree and needed is not None:
        raise UsageError("--agree takes what was asked for: leave the number out")

    def told(policy: ApprovalPolicy) -> str:
        waits = f"; {policy.asked_by} asks for {policy.asked}" if policy.asked is not None else ""
        return f"{policy.model} needs {policy.needed} approvals{waits}"

    with open_home() as home:
        if agree:
            found = lower_approvals(home, name)
        else:
            found = approval_policy(home, name) if needed is None else require_approvals(home, name, needed)
        shown(found, as_json, told)


def _decide(version: str, *, approves: bool, reason: str, as_json: bool) -> None:
    from taut.models import decide_promotion, find_model

    with open_home() as home:
        found = find_model(home, version)
        asked = decide_promotion(home, found.name, found.number, approves=approves, reason=reason)
        count = sum(one.approves for one in asked.decisions)
        shown(asked, as_json, lambda p: f"{p.model}@{p.number}: {count} of {len(p.decisions)} decided for it")


@click.command(epilog="Example: taut gate churn@3")
@click.argument("version")
@json_option
def gate(version: str, as_json: bool) -> None:
    """Judge a version on held-out rows and against the champion; exit status 3 where the answer is no."""
    from taut.models import find_model, gate_model

    with open_home() as home:
        found = find_model(home, version)
        spec = _gate_of(home, found.name)
        if spec is None:
            raise NotFound(
                f"taut.yaml has no gate for model {found.name!r}", hint=f"add models: {found.name}: gate: to taut.yaml"
            )
        result = gate_model(home, found.name, found.number, spec=spec, folder=home.project)
        shown(result, as_json, verdict)
    if not result.passed:
        sys.exit(3)


def verdict(result: GateResult) -> str:
    """A gate's answer, a line for each question it asked."""
    against = f" against champion {result.model}@{result.champion}" if result.champion is not None else ""
    lines = [
        f"{click.style('✓', 'green') if c.passed else click.style('✗', 'red')} {c.name}: {c.text}"
        for c in result.checks
    ]
    answer = click.style("passed", "green") if result.passed else click.style("refused", "red")
    return "\n".join([f"{result.model}@{result.number}{against}", *lines, answer])


def _gate_of(home: Home, name: str) -> GateSpec | None:
    try:
        project = read_project(home.project)
    except NotFound:
        return None
    found = project.models.get(name)
    return found.gate if found is not None else None


def _told(version: ModelVersion) -> str:
    facts = {
        "model": f"{version.name}@{version.number}",
        "aliases": ", ".join(version.aliases),
        "run": version.run_id,
        "digest": f"sha256:{version.digest}",
        "signature": version.signature,
        "registered": f"{iso(version.created_ms)} by {version.actor}",
        "description": version.description,
    }
    return "\n".join(f"{name:<12} {fact}" for name, fact in facts.items() if fact)


def _compiled(verdict: Compilation) -> str:
    name = f"{verdict.model}@{verdict.number}"
    if not verdict.is_used:
        return f"{name} answers itself: {verdict.reason}"
    asked = ", ".join(f"{count} {aim}" for aim, count in verdict.rows.items())
    return f"{name} is served compiled: at most {verdict.gap:.1e} apart of {verdict.tolerance:g} allowed ({asked})"


def _listed(versions: list[ModelVersion]) -> str:
    rows = [
        (f"{v.name}@{v.number}", ", ".join(v.aliases), iso(v.created_ms)[:19], v.run_id[:8], v.digest[:12], v.actor)
        for v in versions
    ]
    empty = "no model yet; try: taut model register NAME --run RUN"
    return table(["version", "aliases", "registered", "run", "digest", "by"], rows, empty=empty)
