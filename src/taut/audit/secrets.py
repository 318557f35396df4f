"""Credentials in files: by the marks that vendors give theirs, and by the names that people give theirs."""

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator

from taut.audit.code import Source, is_test_path
from taut.audit.files import File
from taut.audit.workflow import Workflow

_KNOWN = re.compile(
    r"\b(AKIA[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,}|glpat-[\w-]{20}|"
    r"xox[abprs]-[A-Za-z0-9-]{20,}|"
    r"sk_live_[A-Za-z0-9]{20,}|AIza[\w-]{35}|hf_[A-Za-z0-9]{30,}|dapi[0-9a-f]{32}|sk-(proj-)?[A-Za-z0-9_-]{32,}|"
    r"npm_[A-Za-z0-9]{36})\b"
    r"|-----BEGIN ((RSA|EC|OPENSSH|DSA) )?PRIVATE KEY-----"
)
_PASSWORD_KEY = re.compile(r"(^|[_.\-])(password|passwd|pwd|passphrase)$", re.IGNORECASE)
_TOKEN_KEY = re.compile(
    r"(^|[_.\-])(secret(_?key)?|api_?key|access_?key|secret_?access_?key|auth_?token|access_?token|token|"
    r"client_?secret|private_?key|"
    r"account_?key)$",
    re.IGNORECASE,
)
_WORDS_OF_MODELS = re.compile(
    r"(pad|eos|bos|unk|sep|cls|mask|special|start|end|stop|image|next)_?token$", re.IGNORECASE
)
_PLACEHOLDER = re.compile(
    r"^(<.*>|\*+|x{3,}|\.{3}|\$\w+|\$\{\w+\}|\{\{.*\}\}|%\(.*|none|null|true|false|your.*|change.?me.*|"
    r"replace.?me.*|todo.*|example.*|"
    r"dummy.*|fake.*|placeholder.*|test|secret|password|string|\w*_?(token|key|password|secret))$",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"""^\s*(?:-\s+|export\s+|set\s+|ENV\s+|"
    r"ARG\s+)?["']?([\w.\-]+)["']?\s*[:=]\s*["']?([^"'#\s,][^"'\n]*?)["']?\s*,?\s*$"""
)
_IN_ADDRESS = re.compile(r"\w+://[\w.-]+:([^@\s:/{}$<>]{3,})@[\w.-]+")
_CONFIGURATION = frozenset(
    {".yaml", ".yml", ".env", ".ini", ".cfg", ".toml", ".properties", ".conf", ".json", ".tf", ".tfvars", ".sh"}
)


def secrets_in(workflow: Workflow) -> list[str]:
    """`path:line` of each literal credential in shared files, tests and documentation left out; never the value."""
    parsed = {source.path: source for source in workflow.code if source.parsed}
    found = []
    for file in workflow.shared():
        if file.text is None or is_test_path(file.path) or file.suffix in {".md", ".rst"} or _is_template(file):
            continue
        if file.path in parsed:
            found += _in_source(parsed[file.path])
        else:
            found += [f"{file.path}:{number}" for number, line in file.lines() if _line_holds_secret(file, line)]
    return found


def _is_template(file: File) -> bool:
    """Whether a file shows the shape of a configuration that others fill in."""
    return bool(re.search(r"(example|sample|template|dist)", file.name)) or file.path.startswith("docs/")


def _in_source(source: Source) -> list[str]:
    """Credentials among the texts of a source, by their mark or by the name that they are given to."""
    lines = [line for line, text in source.strings if _KNOWN.search(text) or _address_holds_password(text)]
    for target, value in _given(source):
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and is_secret(_name(target), value.value):
            lines.append(value.lineno)
    return [source.place(line) for line in lines]


def _given(source: Source) -> Iterator[tuple[object, ast.expr | None]]:
    """Each value with what it is given to: a variable, a keyword or the key of a dictionary."""
    for assigned in source.of(ast.Assign):
        yield from ((target, assigned.value) for target in assigned.targets)
    yield from ((declared.target, declared.value) for declared in source.of(ast.AnnAssign))
    yield from ((keyword.arg, keyword.value) for keyword in source.of(ast.keyword))
    for mapping in source.of(ast.Dict):
        yield from zip(mapping.keys, mapping.values, strict=True)


def _name(node: object) -> str:
    """The name that a value is given to: of a variable, an attribute, a key, a keyword."""
    if isinstance(node, str):
        return node
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        return _name(node.slice)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _line_holds_secret(file: File, line: str) -> bool:
    if _KNOWN.search(line) or _address_holds_password(line):
        return True
    if file.suffix not in _CONFIGURATION and not file.name.startswith((".env", "dockerfile")):
        return False
    found = _ASSIGNED.match(line)
    if not found:
        return False
    value = found.group(2)
    default = re.fullmatch(r"\$\{\w+:?-(.*)\}", value)
    return is_secret(found.group(1), default.group(1) if default else value)


def _address_holds_password(text: str) -> bool:
    found = _IN_ADDRESS.search(text)
    return bool(found) and not _PLACEHOLDER.match(found.group(1)) if found else False


def is_secret(name: str, value: str) -> bool:
    """Whether a literal value given to this name is a credential rather than a placeholder or a word.

    >>> is_secret("db_password", "hunter22"), is_secret("db_password", "${DB_PASSWORD}")
    (True, False)
    >>> is_secret("api_key", "8f3k29dkw0qlx81m"), is_secret("api_key", "X-API-Key")
    (True, False)
    """
    if (
        _PLACEHOLDER.match(value)
        or _WORDS_OF_MODELS.search(name)
        or any(mark in value for mark in ("$(", "${{", "{{", "<"))
    ):
        return False
    if _PASSWORD_KEY.search(name):
        return len(value) >= 4 and " " not in value and not value.startswith(("$", "os.", "/run/"))
    if _TOKEN_KEY.search(name):
        mixed = any(one.isdigit() for one in value) and any(one.isalpha() for one in value)
        return len(value) >= 12 and mixed and " " not in value and "/" not in value[:1] and _entropy(value) > 2.8
    return False


def _entropy(text: str) -> float:
    """Shannon entropy of the characters in bits a character."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)
