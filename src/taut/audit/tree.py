"""Configuration as plain trees with line numbers: YAML read event by event, so that nothing is built that it names."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from yaml.events import Event

DEPTH_MAX = 60
"""Nesting beyond this is no configuration that a person wrote."""

EVENTS_MAX = 200_000
"""Pieces that are read of one file."""


class Mapping(dict[str, "Tree"]):
    """A mapping that remembers on which line (from 1) it began, and each of its keys."""

    __slots__ = ("key_lines", "line")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.key_lines: dict[str, int] = {}


Tree = Union[str, list["Tree"], Mapping]  # noqa: UP007  # the bar does not take a name in quotes at run time


class Unreadable(ValueError):
    """A configuration file that is no YAML, or nests too deep to be read."""


def read_yaml(text: str) -> list[Tree]:
    r"""The documents of a YAML file; every scalar stays the text that stands there, so `on:` is a key and not True.

    Tags are ignored and aliases point at the tree of their anchor. Raises Unreadable.

    >>> read_yaml("on: push\njobs: [a, {b: 1}]")
    [{'on': 'push', 'jobs': ['a', {'b': '1'}]}]
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents: list[Tree] = []
    anchors: dict[str, Tree] = {}
    open_nodes: list[tuple[list[Tree] | Mapping, list[str]]] = []
    try:
        for count, event in enumerate(yaml.parse(text, Loader=loader)):
            if count > EVENTS_MAX or len(open_nodes) > DEPTH_MAX:
                raise Unreadable(f"nests deeper than {DEPTH_MAX} levels or is longer than {EVENTS_MAX:,} pieces")
            if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                open_nodes.pop()
                continue
            node = _node(event, anchors)
            if node is None:
                continue
            _place(node, _line_of(event), open_nodes, documents)
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent) and not isinstance(node, str):
                open_nodes.append((node, []))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Unreadable(str(error).split("\n", maxsplit=1)[0]) from error
    return documents


def _line_of(event: "Event") -> int:
    """The line on which an event begins, counted from 1."""
    return event.start_mark.line + 1 if event.start_mark else 1


def _node(event: "Event", anchors: dict[str, Tree]) -> Tree | None:
    """The empty node that an event opens; None for what only frames a document."""
    import yaml

    node: Tree
    if isinstance(event, yaml.AliasEvent):
        return anchors.get(str(event.anchor), "")
    if isinstance(event, yaml.ScalarEvent):
        node = str(event.value)
    elif isinstance(event, yaml.MappingStartEvent):
        node = Mapping(_line_of(event))
    elif isinstance(event, yaml.SequenceStartEvent):
        node = []
    else:
        return None
    if event.anchor:
        anchors[event.anchor] = node
    return node


def _place(
    node: Tree, line: int, open_nodes: list[tuple[list[Tree] | Mapping, list[str]]], documents: list[Tree]
) -> None:
    """Put a node where it belongs: a document, an item, a key or the value of the key before it."""
    if not open_nodes:
        documents.append(node)
        return
    parent, pending = open_nodes[-1]
    if isinstance(parent, list):
        parent.append(node)
    elif pending:
        key = pending.pop()
        if key == "<<" and isinstance(node, Mapping):
            for inherited, value in node.items():
                parent.setdefault(inherited, value)
                parent.key_lines.setdefault(inherited, line)
        else:
            parent[key] = node
    else:
        key = node if isinstance(node, str) else ""
        parent.key_lines[key] = line
        pending.append(key)


def mappings_of(tree: Tree) -> Iterator[Mapping]:
    """Every mapping of a tree in the order of the file, each once, however often it is referred to."""
    seen: set[int] = set()
    waiting: list[Tree] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            yield node
            waiting.extend(reversed(node.values()))
        else:
            waiting.extend(reversed(node))


def at(tree: Tree, *keys: str) -> Tree:
    """The node below the keys; an empty text where there is none.

    >>> at(read_yaml("a: {b: [x]}")[0], "a", "b")
    ['x']
    >>> at(read_yaml("a: 1")[0], "a", "b")
    ''
    """
    for key in keys:
        tree = tree.get(key, "") if isinstance(tree, Mapping) else ""
    return tree


def mapping_at(tree: Tree, *keys: str) -> Mapping:
    """The mapping below the keys; an empty one where there is none or something else stands."""
    found = at(tree, *keys)
    return found if isinstance(found, Mapping) else Mapping(0)


def list_at(tree: Tree, *keys: str) -> list[Tree]:
    """The list below the keys; an empty one where there is none or something else stands."""
    found = at(tree, *keys)
    return found if isinstance(found, list) else []


def text_at(tree: Tree, *keys: str) -> str:
    """The text below the keys; empty where there is none or something else stands."""
    found = at(tree, *keys)
    return found if isinstance(found, str) else ""
