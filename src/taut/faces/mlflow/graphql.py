"""GraphQL as MLflow's own pages speak it: the answers of the REST endpoints, of which a page picks the fields it shows.

An answer is `{"data": …, "errors": null}`, or has the errors as a list of texts, which is what MLflow's server makes of
them; by the letter of GraphQL each would be an object.
"""

from typing import Any

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import Json
from taut.home import Home

QUERY_MAX = 50_000  # Characters of a query: MLflow's own longest has 1,500.


class Query(msgspec.Struct):
    """/graphql; a GET has the variables as JSON written as a text."""

    query: str
    variables: dict[str, Any] | str | None = None
    operation_name: str = msgspec.field(default="", name="operationName")


def ask(home: Home, asked: Query) -> Json:
    """Answer a query. What is wrong with one, or with a part of it, stands in `errors`; raises Invalid for no query."""
    from taut.faces.mlflow.graphql_schema import answer_query

    if len(asked.query) > QUERY_MAX:
        raise Invalid(f"a query has at most {QUERY_MAX} characters, this has {len(asked.query)}")
    return answer_query(home, asked.query, _variables(asked.variables), asked.operation_name)


def _variables(said: dict[str, Any] | str | None) -> dict[str, Any]:
    if isinstance(said, dict):
        return said
    try:
        return msgspec.json.decode(said, type=dict[str, Any]) if said else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(f"the variables must be a JSON object: {problem}") from None
