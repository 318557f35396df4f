"""What stands behind the fields of `schema.graphql`: the functions that REST calls, with their permissions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

import msgspec
from graphql import (
    GraphQLError,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    IntValueNode,
    StringValueNode,
    ValueNode,
    build_schema,
    execute_sync,
    parse,
    validate,
)

from taut.errors import TautError, Unavailable
from taut.faces.mlflow import browsing, experiments, registry, runs
from taut.faces.mlflow.asked import check_said, converted
from taut.faces.mlflow.errors import told
from taut.faces.mlflow.graphql_bounds import check_bounds
from taut.faces.mlflow.shapes import Json
from taut.ground.whole import is_past
from taut.home import Home

# Field of Query or Mutation -> what its input is read into, and what answers: as the table of routes has them.
ROOTS: dict[str, tuple[type[msgspec.Struct], Callable[[Home, Any], Json]]] = {
    "mlflowGetExperiment": (experiments.ById, experiments.get),
    "mlflowGetRun": (runs.ById, runs.get),
    "mlflowSearchRuns": (runs.Search, runs.search),
    "mlflowListArtifacts": (runs.Files, runs.files),
    "mlflowGetMetricHistoryBulkInterval": (runs.Chart, runs.chart),
    "mlflowSearchModelVersions": (registry.SearchVersions, registry.search_all_versions),
    "mlflowSearchDatasets": (browsing.Experiments, browsing.datasets),
}


RUNS_AT_ONCE = 500  # Of which it is asked at once what was made of them; a filter takes some thousand values.

# What protocol buffers have where nothing is said, which MLflow's pages are made for.
EMPTY: dict[str, str | int | bool] = {"String": "", "LongString": 0, "Boolean": False}


@dataclass(slots=True)
class Asking:
    """One query while it is answered: what many runs of it have in common is read once."""

    home: Home
    experiments: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, list[Json]] = field(default_factory=dict)
    runs: dict[str, None] = field(default_factory=dict)
    """The runs that were found so far and of which nobody asked yet what was made of them."""

    def experiment(self, experiment_id: str) -> Json:
        """The experiment of that id, with the caller's rights. Raises NotFound, Denied."""
        if experiment_id not in self.experiments:
            found = experiments.get(self.home, experiments.ById(experiment_id))
            self.experiments[experiment_id] = found["experiment"]
        return self.experiments[experiment_id]

    def versions_of(self, run_id: str) -> list[Json]:
        """The model versions that were made of a run, those that the caller may read."""
        if run_id not in self.versions:
            self.runs.pop(run_id, None)
            wanted = [run_id, *islice(self.runs, RUNS_AT_ONCE - 1)]
            for one in wanted:
                self.runs.pop(one, None)
                self.versions[one] = []
            listed = ", ".join(f"'{one}'" for one in wanted)
            asked = registry.SearchVersions(filter=f"run_id IN ({listed})")
            while True:
                page = registry.search_all_versions(self.home, asked)
                for version in page["model_versions"]:
                    self.versions[version["run_id"]].append(version)
                if not (token := page.get("next_page_token")):
                    break
                asked = msgspec.structs.replace(asked, page_token=token)
        return self.versions[run_id]


def answer_query(home: Home, query: str, variables: Json, operation_name: str) -> Json:
    """The data that a query asks for, and what went wrong with it or its parts.

    Raises Unavailable where a store does not answer, as REST does: a client may then ask again.
    """
    try:
        document = parse(query)
        check_bounds(document)
        problems = validate(_schema(), document)
    except GraphQLError as problem:
        problems = [problem]
    except RecursionError:
        problems = [GraphQLError("Syntax Error: the query is nested too deeply")]
    if problems:
        return {"data": None, "errors": [problem.message for problem in problems]}
    result = execute_sync(
        _schema(),
        document,
        context_value=Asking(home),
        variable_values=variables,
        operation_name=operation_name or None,
        field_resolver=_part,
    )
    return {"data": result.data, "errors": [_said(problem) for problem in result.errors or ()] or None}


def _said(problem: GraphQLError) -> str:
    """An error as the page is told it; a defect is raised, as it is behind every other endpoint."""
    cause = problem.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return problem.message
    if isinstance(cause, Unavailable) or not isinstance(cause, TautError):
        raise cause
    return told(cause)


@cache
def _schema() -> GraphQLSchema:
    """The schema with what answers its fields; read once a process."""
    schema = build_schema(files("taut.faces.mlflow").joinpath("schema.graphql").read_text(encoding="utf-8"))
    long = schema.type_map["LongString"]
    assert isinstance(long, GraphQLScalarType), long
    long.serialize = str  # type: ignore[method-assign, assignment]  # This is how graphql-core takes it.
    long.parse_value = _whole  # type: ignore[method-assign]  # The same.
    long.parse_literal = _literal  # type: ignore[method-assign, assignment]  # The same.
    for kind in (schema.query_type, schema.mutation_type):
        for name, one in _fields(kind).items():
            one.resolve = _root if name in ROOTS else _echo
    for owner in ("MlflowMetricExtension", "MlflowMetricWithRunId", "MlflowModelMetric"):
        _fields(schema.type_map[owner])["value"].resolve = _number
    run = _fields(schema.type_map["MlflowRunExtension"])
    run["experiment"].resolve = _experiment
    run["modelVersions"].resolve = _versions
    return schema


def _fields(kind: GraphQLNamedType | None) -> Any:
    assert isinstance(kind, GraphQLObjectType), kind
    return kind.fields


def _root(_: Any, info: GraphQLResolveInfo, input: Json | None = None) -> Json:  # The schema's name for it.
    """What an endpoint answers to these fields; a null says nothing, as in REST."""
    takes, answers = ROOTS[info.field_name]
    found = {_snake(name): value for name, value in (input or {}).items() if value is not None}
    if "run_uuid" in found:
        found.setdefault("run_id", found["run_uuid"])
    asked = converted(takes, found)
    check_said(asked)
    answer, asking = answers(info.context.home, asked), info.context
    for run in (*answer.get("runs", ()), *([answer["run"]] if "run" in answer else ())):
        asking.runs[run["info"]["run_id"]] = None
    return answer


def _echo(_: Any, __: GraphQLResolveInfo, inputString: str | None = None) -> Json:  # The schema's name.
    return {"output": inputString}


def _experiment(run: Json, info: GraphQLResolveInfo) -> Json:
    asking: Asking = info.context
    return asking.experiment(run["info"]["experiment_id"])


def _versions(run: Json, info: GraphQLResolveInfo) -> list[Json]:
    asking: Asking = info.context
    return asking.versions_of(run["info"]["run_id"])


def _number(point: Json, _: GraphQLResolveInfo) -> float | None:
    value = point["value"]
    return None if value == "NaN" else value


def _part(shape: Json, info: GraphQLResolveInfo) -> Any:
    """A field of an answer, as REST would show it. What REST leaves out is empty, and only a structure is null."""
    value = shape.get(_snake(info.field_name))
    if value is None:
        kind = info.return_type
        return [] if isinstance(kind, GraphQLList) else EMPTY.get(str(kind))
    return value


@cache
def _snake(name: str) -> str:
    """The name that protocol buffers have for a field.

    >>> _snake("experimentIds")
    'experiment_ids'
    """
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)


def _whole(value: Any) -> int:
    """A LongString of the variables."""
    try:
        whole = int(value) if isinstance(value, int | str) and len(str(value)) <= 20 else None
    except ValueError:
        whole = None
    if whole is None or isinstance(value, bool) or is_past(whole):
        raise GraphQLError(f"a LongString is a whole number of 64 bits, not {str(value)[:40]!r}")
    return whole


def _literal(node: ValueNode, _: Any = None) -> int:
    """A LongString in the text of a query."""
    return _whole(node.value if isinstance(node, IntValueNode | StringValueNode) else None)
