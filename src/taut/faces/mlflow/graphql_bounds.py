"""How large a GraphQL query may be: by what it would make the server do, told before any of it is done.

Depth, selections, root fields and aliases are bounded as MLflow's server bounds them, in its words. Repeats are ours:
each pair of them is compared when a query is checked, and in fragments that no operation uses as well.
"""

from collections import deque
from collections.abc import Mapping

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

DEPTH_MAX = 10
SELECTIONS_MAX = 1000
ROOT_FIELDS_MAX = 10
ALIASES_MAX = 10  # In one selection.
REPEATS_MAX = 100  # Fields that a selection names a second time, in all.

Fragments = Mapping[str, FragmentDefinitionNode]


def check_bounds(document: DocumentNode) -> None:
    """Raise GraphQLError where a query is larger than is answered."""
    named = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    pending = [(operation.selection_set, 1) for operation in operations]
    counted = roots = aliases = repeats = 0
    used: set[str] = set()
    while pending:
        selected, depth = pending.pop()
        if depth > DEPTH_MAX:
            raise GraphQLError(f"Query exceeds maximum depth of {DEPTH_MAX}")
        fields, visited = _fields(selected, named, used, SELECTIONS_MAX - counted)
        counted += visited
        roots += len(fields) if depth == 1 else 0
        aliases = max(aliases, sum(field.alias is not None for field in fields))
        repeats += len(fields) - len({(field.alias or field.name).value for field in fields})
        pending += [(field.selection_set, depth + 1) for field in fields if field.selection_set is not None]
    if unused := named.keys() - used:
        raise GraphQLError(f"Fragment '{min(unused)[:80]}' is never used.")
    for found, most, what in (
        (roots, ROOT_FIELDS_MAX, "root fields"), (aliases, ALIASES_MAX, "aliases"),
        (repeats, REPEATS_MAX, "repeated fields"),
    ):  # fmt: skip
        if found > most:
            raise GraphQLError(f"GraphQL queries should have at most {most} {what}, got {found} {what}.")


def _fields(selected: SelectionSetNode, named: Fragments, used: set[str], left: int) -> tuple[list[FieldNode], int]:
    """The fields of a selection, those of its fragments among them, and how many parts were looked at to find them.

    The names of the fragments go into `used`.
    """
    fields: list[FieldNode] = []
    pending: deque[SelectionNode] = deque(selected.selections)
    spread: set[str] = set()
    visited = 0
    while pending:
        visited += 1
        if visited > left:
            raise GraphQLError(f"Query exceeds maximum total selections of {SELECTIONS_MAX}")
        part = pending.popleft()
        if isinstance(part, FieldNode):
            fields.append(part)
        elif isinstance(part, InlineFragmentNode):
            pending.extend(part.selection_set.selections)
        elif isinstance(part, FragmentSpreadNode) and part.name.value not in spread:
            spread.add(part.name.value)
            used.add(part.name.value)
            if (fragment := named.get(part.name.value)) is not None:
                pending.extend(fragment.selection_set.selections)
    return fields, visited
