"""Pickles without running them: what the opcodes would build, as leaves. Reads joblib's arrays between opcodes too.

The stack machine of `pickletools` is followed with plain nodes; no class is looked up and nothing is called. Sharing is
left out (a string kept once or twice is the same string), a set is without order, and of a cycle its end is kept.
"""

import hashlib
import io
import math
import pickletools
import re
from dataclasses import dataclass, field

from taut.runs.comparing.leaves import Aside, Leaf, Leaves, Numbers, Unreadable, keys_leaf, step

DEPTH_MAX = 200
ARRAY_MAKERS = frozenset({"_reconstruct", "_frombuffer", "scalar"})
ITEM = re.compile(r"[<>|=]?([?bBiufcmMSaUV])(\d*)")


@dataclass(slots=True, eq=False)
class Node:
    """Something the machine built: `kind` is list, tuple, dict, set, class, call or persistent."""

    kind: str
    items: list[object] = field(default_factory=list)
    name: str = ""
    state: object = None
    has_state: bool = False


class _Mark:
    """Where a group of items begins on the stack."""


MARK = _Mark()


def pickle_leaves(data: bytes) -> Leaves:
    """What a pickle, or an uncompressed file of joblib, would build. Raises Unreadable."""
    stream = io.BytesIO(data)
    found: Leaves = {}
    part = 0
    while stream.tell() < len(data):  # Some programs write one pickle behind the other.
        node = _Machine(stream).run()
        found.update(_Walk().leaves(node, f"#{part}" if part else ""))
        part += 1
    return found


class _Machine:
    """Follows the opcodes of one pickle."""

    def __init__(self, stream: io.BytesIO) -> None:
        self.stream = stream
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        """The node that the pickle stands for. Raises Unreadable."""
        try:
            for opcode, argument, _ in pickletools.genops(self.stream):
                if opcode.name == "STOP":
                    return self.stack.pop()
                self._step(opcode.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as problem:
            raise Unreadable(f"no pickle: {problem}") from None
        raise Unreadable("a pickle without an end")

    def _step(self, name: str, argument: object) -> None:
        if name in _PLAIN:
            self.stack.append(_PLAIN[name])
        elif name in _EMPTY:
            self.stack.append(Node(_EMPTY[name]))
        elif name in _IGNORED:
            return
        elif (method := getattr(self, f"_{name.lower()}", None)) is not None:
            method(argument)
        elif name.endswith("PUT"):
            self.memo[int(str(argument))] = self.stack[-1]
        elif name.endswith("GET"):
            self.stack.append(self.memo[int(str(argument))])
        elif any(kind in name for kind in ("INT", "LONG", "FLOAT", "STRING", "UNICODE", "BYTE")):
            self.stack.append(argument)
        else:
            raise Unreadable(f"the opcode {name}")

    def _marked(self) -> list[object]:
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise Unreadable("a group without a beginning")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _node(self) -> Node:
        top = self.stack[-1]
        if not isinstance(top, Node):
            raise Unreadable("items for what takes none")
        return top

    def _mark(self, _: object) -> None:
        self.stack.append(MARK)

    def _memoize(self, _: object) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _pop(self, _: object) -> None:
        self.stack.pop()

    def _pop_mark(self, _: object) -> None:
        self._marked()

    def _dup(self, _: object) -> None:
        self.stack.append(self.stack[-1])

    def _append(self, _: object) -> None:
        item = self.stack.pop()
        self._node().items.append(item)

    def _appends(self, _: object) -> None:
        items = self._marked()
        self._node().items.extend(items)

    _additems = _appends

    def _setitem(self, _: object) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._node().items.append((key, value))

    def _setitems(self, _: object) -> None:
        items = self._marked()
        self._node().items.extend(zip(items[::2], items[1::2], strict=True))

    def _tuple(self, _: object) -> None:
        self.stack.append(Node("tuple", self._marked()))

    def _list(self, _: object) -> None:
        self.stack.append(Node("list", self._marked()))

    def _frozenset(self, _: object) -> None:
        self.stack.append(Node("set", self._marked()))

    def _dict(self, _: object) -> None:
        items = self._marked()
        self.stack.append(Node("dict", list(zip(items[::2], items[1::2], strict=True))))

    def _few(self, count: int) -> None:
        items = self.stack[-count:]
        del self.stack[-count:]
        self.stack.append(Node("tuple", items))

    def _tuple1(self, _: object) -> None:
        self._few(1)

    def _tuple2(self, _: object) -> None:
        self._few(2)

    def _tuple3(self, _: object) -> None:
        self._few(3)

    def _global(self, argument: object) -> None:
        self.stack.append(Node("class", name=str(argument).replace(" ", ".")))

    def _stack_global(self, _: object) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Node("class", name=f"{module}.{name}"))

    def _reduce(self, _: object) -> None:
        given, called = self.stack.pop(), self.stack.pop()
        name, items = _name(called), _items(given)
        if name == "_codecs.encode" and len(items) == 2:  # How protocols before 3 write bytes.
            self.stack.append(str(items[0]).encode(str(items[1])))
        elif name in ("builtins.bytes", "__builtin__.bytes") and not items:
            self.stack.append(b"")
        elif name == "builtins.bytearray" and all(isinstance(item, bytes) for item in items) and len(items) < 2:
            self.stack.append(bytearray(*items))  # How protocols before 5 write it.
        else:
            self.stack.append(Node("call", items, name=name))

    _newobj = _reduce

    def _newobj_ex(self, _: object) -> None:
        keywords, given, called = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(Node("call", [*_items(given), keywords], name=_name(called)))

    def _inst(self, argument: object) -> None:
        self.stack.append(Node("call", self._marked(), name=str(argument).replace(" ", ".")))

    def _obj(self, _: object) -> None:
        called, *given = self._marked()
        self.stack.append(Node("call", given, name=_name(called)))

    def _build(self, _: object) -> None:
        state = self.stack.pop()
        node = self._node()
        node.state, node.has_state = state, True
        if node.name.startswith("joblib.") and node.name.endswith("NumpyArrayWrapper"):
            self.stack[-1] = _joblib_array(self.stream, _attributes(state))

    def _persid(self, argument: object) -> None:
        self.stack.append(Node("persistent", [argument]))

    def _binpersid(self, _: object) -> None:
        self.stack.append(Node("persistent", [self.stack.pop()]))

    def _next_buffer(self, _: object) -> None:
        self.stack.append(b"")


_PLAIN: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": "list", "EMPTY_TUPLE": "tuple", "EMPTY_DICT": "dict", "EMPTY_SET": "set"}
_IGNORED = frozenset({"PROTO", "FRAME", "READONLY_BUFFER"})


def _items(node: object) -> list[object]:
    return list(node.items) if isinstance(node, Node) else [node]


def _name(node: object) -> str:
    return node.name if isinstance(node, Node) else str(node)


def _attributes(state: object) -> dict[str, object]:
    pairs = state.items if isinstance(state, Node) and state.kind == "dict" else []
    return {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, tuple)}


def _joblib_array(stream: io.BytesIO, about: dict[str, object]) -> object:
    """The array whose bytes joblib writes right behind its description."""
    dtype = _dtype(about.get("dtype"))
    if dtype == "object":
        return _Machine(stream).run()
    if about.get("numpy_array_alignment_bytes") is not None:
        stream.read(stream.read(1)[0])
    shape = tuple(int(str(size)) for size in _items(about.get("shape")))
    size = math.prod(shape) * _item_bytes(dtype)
    data = stream.read(size)
    if len(data) != size:
        raise Unreadable("an array that is cut off")
    return Node("array", [Numbers(_ordered(dtype, about.get("order") == "F"), shape, data)])


def _ordered(dtype: str, by_columns: bool) -> str:
    """The dtype, and that the bytes lie by columns: the same bytes are then another array."""
    return f"{dtype} by columns" if by_columns else dtype


def _dtype(node: object) -> str:
    """The dtype that a pickle describes, as `<f8`; `object` for Python's objects."""
    if not isinstance(node, Node) or not node.name.endswith("dtype") or not node.items:
        raise Unreadable("an array without a dtype")
    code = str(node.items[0])
    if code.startswith("O"):
        return "object"
    state = _items(node.state) if node.has_state else []
    order = str(state[1]) if len(state) > 1 else "|"
    if any(isinstance(part, Node) for part in state[2:]):  # Fields, or the unit of a time.
        return f"{order}{code} {_digest(Node('tuple', state[2:]))}"
    return f"{order}{code}"


def _item_bytes(dtype: str) -> int:
    found = ITEM.fullmatch(dtype.partition(" ")[0])
    if found is None:
        raise Unreadable(f"the dtype {dtype}")
    if found[1] == "?":
        return 1
    return int(found[2] or 1) * (4 if found[1] == "U" else 1)


class _Walk:
    """Leaves of a tree of nodes, by path."""

    def __init__(self) -> None:
        self.found: Leaves = {}
        self.above: list[int] = []

    def leaves(self, node: object, path: str) -> Leaves:
        """Every leaf below a node."""
        self._walk(node, path)
        return self.found

    def _walk(self, node: object, path: str) -> None:
        if not isinstance(node, Node):
            self.found[path] = _scalar(node)
            return
        if id(node) in self.above:
            self.found[f"{path}()"] = f"a cycle back by {len(self.above) - self.above.index(id(node))}"
            return
        if len(self.above) > DEPTH_MAX:
            raise Unreadable("it nests too deep")
        self.above.append(id(node))
        self._inside(node, path)
        self.above.pop()

    def _inside(self, node: Node, path: str) -> None:
        if (array := _array(node)) is not None:
            self.found[path] = array
        elif node.kind == "class":
            self.found[f"{path}()"] = f"class {node.name}"
        elif node.kind == "set":
            self._unordered(node, path)
        elif node.kind == "dict":
            self._dict(node.items, path, "[{}]")
        else:
            given = [item for item in node.items if not isinstance(item, tuple)]
            self.found[f"{path}()"] = f"{node.name or node.kind} of {len(given)}"
            for at, item in enumerate(given):
                self._walk(item, f"{path}[{at}]")
            if len(given) < len(node.items):  # A child of dict: its items came behind what made it.
                self._dict([item for item in node.items if isinstance(item, tuple)], f"{path}.items", "[{}]")
            if node.has_state:
                self._state(node.state, path)

    def _state(self, state: object, path: str) -> None:
        if isinstance(state, Node) and state.kind == "dict":
            self._dict(state.items, path, ".{}")
        else:
            self._walk(state, f"{path}.state")

    def _dict(self, items: list[object], path: str, form: str) -> None:
        keys = [_key(pair[0]) for pair in items if isinstance(pair, tuple)]
        self.found[f"{path}{{}}"] = keys_leaf(keys)
        seen: dict[str, int] = {}
        for key, pair in zip(keys, items, strict=True):
            assert isinstance(pair, tuple), pair
            seen[key] = seen.get(key, 0) + 1
            again = (
                f"#{seen[key]}" if seen[key] > 1 and isinstance(pair[0], Node) else ""
            )  # Two keys that say the same.
            self._walk(pair[1], path + form.format(key + again))

    def _unordered(self, node: Node, path: str) -> None:
        keys = [_key(item) for item in node.items]
        self.found[f"{path}()"] = "set of " + ", ".join(sorted(keys))
        self.found[f"{path}{{}}"] = Aside("order of a set", tuple(keys))


def _key(node: object) -> str:
    """A key in few words: itself, or a digest of what it holds."""
    return f"#{_digest(node)}" if isinstance(node, Node) else step(node)


def _digest(node: Node) -> str:
    inner = {path: leaf for path, leaf in _Walk().leaves(node, "").items() if not isinstance(leaf, Aside)}
    return hashlib.sha256(repr(sorted(inner.items())).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _scalar(value: object) -> Leaf:
    if isinstance(value, bytearray):
        return Numbers("bytearray", (len(value),), bytes(value))
    if value is None or isinstance(value, bool | int | float | str | bytes | Numbers):
        return value
    raise Unreadable(f"a {type(value).__name__} in a pickle")


def _array(node: Node) -> Leaf:
    """The array that a node stands for, None where it is none (or one of Python objects)."""
    if node.kind == "array" and isinstance(node.items[0], Numbers):
        return node.items[0]
    last, by_columns = node.name.rpartition(".")[2], False
    if node.kind != "call" or not node.name.startswith("numpy.") or last not in ARRAY_MAKERS:
        return None
    if last == "_reconstruct" and node.has_state:
        state = _items(node.state)
        parts = (state[2], state[1], state[4]) if len(state) == 5 else None
        by_columns = len(state) == 5 and bool(state[3])
    elif last == "_frombuffer" and len(node.items) == 4:
        parts = (node.items[1], node.items[2], node.items[0])
        by_columns = node.items[3] == "F"
    elif last == "scalar" and len(node.items) == 2:
        parts = (node.items[0], Node("tuple"), node.items[1])
    else:
        parts = None
    if parts is None or not isinstance(parts[2], bytes | bytearray | str):
        return None
    raw = parts[2].encode("latin-1") if isinstance(parts[2], str) else bytes(parts[2])
    shape = tuple(int(str(size)) for size in _items(parts[1]))
    return Numbers(_ordered(_dtype(parts[0]), by_columns), shape, raw)
