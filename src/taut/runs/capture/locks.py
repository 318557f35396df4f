"""The packages of a run as a `pylock.toml` (PEP 751), as far as their environment knows where they came from."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taut.errors import Invalid
from taut.ground import wire
from taut.runs.capture.environment import Environment, Package
from taut.runs.capture.hashes import Hashes, Locked, normal_name
from taut.runs.capture.reads import redacted


def lock_of(
    environment: Environment, hashes: Mapping[tuple[str, str], tuple[Locked, ...]] | None = None
) -> tuple[str, tuple[str, ...]]:
    """The text of the lock, and the packages whose distribution file nobody can name any more.

    An installer keeps the digest of an archive that it was given by URL (PEP 610, `direct_url.json`), not that of one
    from an index. `hashes` are what the project's own locks know of these: files with an address stand as PEP 751 has
    them, digests alone in `tool.taut.hashes`. Without any a package stands by name and version. For every package
    `tool.taut.record-sha256` digests what its RECORD says of its files, so that an environment made again can be held
    against this one.

    >>> lock_of(Environment("CPython 3.11.2", "Linux", (Package("six", "1.17.0", "ab"),), version="3.11.2"))[1]
    ('six',)
    """
    lines = ['lock-version = "1.0"', 'created-by = "taut"', f"requires-python = {_text('==' + environment.version)}"]
    unlocked = []
    for package in environment.packages:
        lines += [
            "",
            "[[packages]]",
            f"name = {_text(normal_name(package.name))}",
            f"version = {_text(package.version)}",
        ]
        source = _source(package)
        files = () if source else (hashes or {}).get((normal_name(package.name), package.version), ())
        lines += source or _published(files)
        if not files and not any(line.startswith(("[packages.archive", "[packages.vcs")) for line in source):
            unlocked.append(package.name)
        alone = [_text(file.digest) for file in files if not file.url]
        if package.record or alone:
            lines += ["[packages.tool.taut]"]
        lines += [f"record-sha256 = {_text(package.record)}"] if package.record else []
        lines += [f"hashes = [{', '.join(alone)}]"] if alone else []
    return "\n".join([*lines, ""]), tuple(unlocked)


def hashes_in(lock: str) -> Hashes:
    r"""Every digest that a lock made here has, by normalised name and version; of VCS and folders there is none.

    >>> hashes_in('[[packages]]\nname = "six"\nversion = "1"\n[packages.tool.taut]\nhashes = ["sha256:ab"]')
    {('six', '1'): (Locked(digest='sha256:ab', name='', url=''),)}
    """
    packages = tomllib.loads(lock).get("packages", [])
    found = {(package["name"], package.get("version", "")): tuple(_locked(package)) for package in packages}
    return {key: files for key, files in found.items() if files}


def _locked(package: dict[str, Any]) -> Iterator[Locked]:
    for file in (package.get("archive"), package.get("sdist"), *package.get("wheels", [])):
        for algorithm, value in file["hashes"].items() if file else ():
            yield Locked(f"{algorithm}:{value}", file.get("name", ""), file.get("url", ""))
    for digest in package.get("tool", {}).get("taut", {}).get("hashes", []):
        yield Locked(digest)


def _published(files: Sequence[Locked]) -> list[str]:
    """The tables of files that an index has; a version has one source distribution at most."""
    wheels = [file for file in files if file.url and file.is_wheel]
    sources = [file for file in files if file.url and not file.is_wheel][:1]
    lines = []
    for header, file in [("[packages.sdist]", one) for one in sources] + [
        ("[[packages.wheels]]", one) for one in wheels
    ]:
        algorithm, _, value = file.digest.partition(":")
        lines += [header, f"name = {_text(file.name)}", f"url = {_text(file.url)}"]
        lines += [f"hashes = {{ {_text(algorithm)} = {_text(value)} }}"]
    return lines


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


def _text(value: str) -> str:
    """A basic string of TOML, whose escapes are JSON's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
