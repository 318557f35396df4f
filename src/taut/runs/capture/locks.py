"""The packages of a run as a `pylock.toml` (PEP 751), as far as their environment knows where they came from."""

import json
from collections.abc import Sequence
from typing import Any

from taut.errors import Invalid
from taut.ground import wire
from taut.runs.capture.environment import Environment, Package
from taut.runs.capture.reads import redacted


def lock_of(environment: Environment) -> tuple[str, tuple[str, ...]]:
    """The text of the lock, and the packages whose distribution file nobody can name any more.

    An installer keeps the digest of an archive that it was given by URL (PEP 610, `direct_url.json`), not that of one
    from an index. Such a package stands by name and version. For every package `tool.taut.record-sha256` digests what
    its RECORD says of its files, so that an environment made again can be held against this one.

    >>> lock_of(Environment("CPython 3.11.2", "Linux", (Package("six", "1.17.0", "ab"),), version="3.11.2"))[1]
    ('six',)
    """
    lines = ['lock-version = "1.0"', 'created-by = "taut"', f"requires-python = {_text('==' + environment.version)}"]
    unlocked = []
    for package in environment.packages:
        lines += ["", "[[packages]]", f"name = {_text(_normal(package.name))}", f"version = {_text(package.version)}"]
        source = _source(package)
        lines += source
        if not any(line.startswith(("[packages.archive", "[packages.vcs")) for line in source):
            unlocked.append(package.name)
        if package.record:
            lines += ["[packages.tool.taut]", f"record-sha256 = {_text(package.record)}"]
    return "\n".join([*lines, ""]), tuple(unlocked)


def _source(package: Package) -> Sequence[str]:
    """The table of where a package is from, which PEP 751 shapes like PEP 610."""
    try:
        origin = wire.decode(package.origin or "{}", dict[str, Any])
    except Invalid:
        return []  # No origin that the standard knows: the package stands by its version.
    url = redacted(str(origin.get("url", "")))
    if isinstance(vcs := origin.get("vcs_info"), dict):
        commit, kind = str(vcs.get("commit_id", "")), str(vcs.get("vcs", ""))
        return ["[packages.vcs]", f"type = {_text(kind)}", f"url = {_text(url)}", f"commit-id = {_text(commit)}"]
    if isinstance(folder := origin.get("dir_info"), dict):
        editable = "true" if folder.get("editable") else "false"
        path = url.removeprefix("file://")
        return ["[packages.directory]", f"path = {_text(path)}", f"editable = {editable}"]
    if isinstance(archive := origin.get("archive_info"), dict):
        algorithm, _, value = str(archive.get("hash", "")).partition("=")
        hashes = archive.get("hashes") or ({algorithm: value} if value else {})
        if isinstance(hashes, dict) and hashes:
            pairs = ", ".join(f"{name} = {_text(str(value))}" for name, value in sorted(hashes.items()))
            return ["[packages.archive]", f"url = {_text(url)}", f"hashes = {{ {pairs} }}"]
    return []


def _normal(name: str) -> str:
    """The normalised name of a project (packaging.python.org, Names and normalization)."""
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)


def _text(value: str) -> str:
    """A basic string of TOML, whose escapes are JSON's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
