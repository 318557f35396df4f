"""The workflow as an audit sees it: everything that was read, once, before the first check asks."""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from taut.audit.code import Source, read_source
from taut.audit.configuration import (
    Command,
    Dockerfile,
    Document,
    TautFile,
    commands_of,
    documented_commands_of,
    is_ci,
    is_dockerfile,
    read_dockerfile,
    read_documents,
    read_taut_file,
)
from taut.audit.files import File, Unread, list_folder, read_files
from taut.audit.history import History, read_history
from taut.audit.remember import remembered
from taut.audit.tree import mappings_of
from taut.errors import Invalid, NotFound
from taut.ground.progress import Progress, Silent

YAML_BYTES_MAX = 256_000
"""Configuration files stay far below; larger YAML is data."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow's files and the facts read from them; checks ask it and change nothing."""

    root: str
    files: tuple[File, ...]
    history: History
    sources: tuple[Source, ...]
    documents: tuple[Document, ...]
    dockerfiles: tuple[Dockerfile, ...]
    ci: tuple[File, ...]
    scripts: tuple[Command, ...]
    advice: tuple[Command, ...]
    taut: TautFile
    ci_runs: tuple[Command, ...]
    unread: tuple[Unread, ...]
    known: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def code(self) -> tuple[Source, ...]:
        """The sources that are no tests."""
        return _by_place(self)[0]

    @property
    def tests(self) -> tuple[Source, ...]:
        """The sources that lie where tests lie."""
        return _by_place(self)[1]

    @property
    def has_git(self) -> bool:
        """Whether git tracks any of these files."""
        return bool(self.history.tracked)

    def shared(self) -> list[File]:
        """The files that others get: what git tracks, or all where git tracks nothing."""
        return [file for file in self.files if file.tracked or not self.has_git]

    def named(self, *names: str) -> list[File]:
        """The files with one of these names (lower case), in any folder."""
        return [file for file in self.files if file.name in names]

    def manifests(self, *kinds: str) -> list[Document]:
        """The Kubernetes objects of these kinds."""
        return [document for document in self.documents if document.kind in kinds]


@remembered
def _by_place(workflow: Workflow) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """The sources that are no tests, and those that are."""
    tests = {source.path for source in workflow.sources if source.is_test}
    return (
        tuple(source for source in workflow.sources if source.path not in tests),
        tuple(source for source in workflow.sources if source.path in tests),
    )


def read_workflow(path: Path, *, progress: Progress | None = None) -> Workflow:
    """Read all that the checks will ask for. Raises NotFound for a missing path, Invalid for one that is no folder."""
    root = _folder(path)
    shown = progress or Silent()
    history = read_history(root)
    try:
        listed = list_folder(root) if history.state in {"none", "unread"} or not history.tracked else history.untracked
    except OSError as error:
        raise Invalid(
            f"the folder {path} cannot be read: {(error.strerror or str(error)).lower()}",
            hint=f"ls -ld {path}",
        ) from error
    files, unread = read_files(root, history.tracked, listed)
    shown.advance(len(files))
    sources, unread_sources = _sources(files)
    documents, unread_documents = _documents(files)
    by_path: dict[str, list[Document]] = {}
    for document in documents:
        by_path.setdefault(document.path, []).append(document)
    ci = tuple(file for file in files if file.text is not None and is_ci(file, by_path.get(file.path, [])))
    ci_paths = {file.path for file in ci}
    workflow = Workflow(
        root=os.fspath(root),
        files=files,
        history=history,
        sources=sources,
        documents=documents,
        dockerfiles=tuple(read_dockerfile(file) for file in files if is_dockerfile(file) and file.text is not None),
        ci=ci,
        scripts=tuple(command for file in files if file.path not in ci_paths for command in commands_of(file)),
        advice=tuple(command for file in files for command in documented_commands_of(file)),
        taut=read_taut_file(documents),
        ci_runs=(),
        unread=(*unread, *unread_sources, *unread_documents),
    )
    return replace(workflow, ci_runs=tuple(_ci_runs(workflow)))


def _folder(path: Path) -> Path:
    """The folder that a path names, with its own links resolved."""
    try:
        root = Path(os.path.realpath(path))
        if not root.exists():
            raise NotFound(f"there is no folder {path}", hint="taut audit .")
    except (OSError, ValueError) as error:
        raise Invalid(f"{str(path)!r} cannot be a path: {error}", hint="taut audit .") from error
    if not root.is_dir():
        raise Invalid(f"{path} is a file; an audit reads the folder of a workflow", hint=f"taut audit {path.parent}")
    return root


def _sources(files: tuple[File, ...]) -> tuple[tuple[Source, ...], tuple[Unread, ...]]:
    found: list[Source] = []
    unread: list[Unread] = []
    for file in files:
        if file.text is not None and file.suffix in {".py", ".pyw", ".ipynb"}:
            source = read_source(file)
            if isinstance(source, Source):
                found.append(source)
            else:
                unread.append(source)
    return tuple(found), tuple(unread)


def _documents(files: tuple[File, ...]) -> tuple[tuple[Document, ...], tuple[Unread, ...]]:
    found: list[Document] = []
    unread: list[Unread] = []
    for file in files:
        is_yaml = file.suffix in {".yaml", ".yml", ".dvc"} or file.name in {"mlproject", "dvc.lock"}
        if file.text is None or not is_yaml or file.size_bytes > YAML_BYTES_MAX:
            continue
        documents = read_documents(file)
        if isinstance(documents, list):
            found.extend(documents)
        else:
            unread.append(documents)
    return tuple(found), tuple(unread)


def _ci_runs(workflow: Workflow) -> list[Command]:
    """What CI runs, with one level of indirection resolved: a make target, a script, tox, nox, a shared template."""
    direct = [
        Command(line.strip(), file.path, number)
        for file in workflow.ci
        for number, line in file.lines()
        if line.strip() and not line.strip().startswith(("#", "//"))
    ]
    reached = {path for command in direct for path in _called_files(command.text, workflow)}
    templates = [
        Command(line.strip(), file.path, number)
        for file in workflow.files
        if file.path in reached and file.suffix in {".yml", ".yaml"}
        for number, line in file.lines()
    ]
    targets = {word for command in (*direct, *templates) for word in _targets(command.text)}
    scripts = [command for command in workflow.scripts if command.path in reached]
    return [*direct, *templates, *scripts, *_recipes(workflow, targets)]


def _called_files(text: str, workflow: Workflow) -> list[str]:
    """The files of the workflow that a command line names."""
    words = set(re.findall(r"[\w./-]+", text))
    names = {word.removeprefix("./") for word in words if "." in word or "/" in word}
    found = [file.path for file in workflow.files if file.path in names]
    if re.search(r"\btox\b", text):
        found += [file.path for file in workflow.named("tox.ini")]
    if re.search(r"\bnox\b", text):
        found += [file.path for file in workflow.named("noxfile.py")]
    return found


def _targets(text: str) -> list[str]:
    found = re.search(
        r"\b(?:make|just|mise run|task|inv|invoke|npm run|pdm run|poe|hatch run)((?:\s+[\w:.=/-]+)+)", text
    )
    return [word for word in found.group(1).split() if not word.startswith("-")] if found else []


def _recipes(workflow: Workflow, targets: set[str]) -> list[Command]:
    """The recipe lines of targets in Makefiles, justfiles and task tables, and of the targets that those need."""
    found: list[Command] = []
    if not targets:
        return []
    makes = ("makefile", "justfile", "mise.toml", "pyproject.toml", "taskfile.yml", "taskfile.yaml", "tasks.py")
    for file in workflow.files:
        if not file.name.startswith(makes) and file.suffix != ".mk":
            continue
        wanted = set(targets)
        for _ in range(3):
            for _, line in file.lines():
                head = re.match(r"([\w.-]+)\s*:(?!=)\s*([\w. -]*)", line)
                if head and head.group(1) in wanted:
                    wanted |= set(head.group(2).split())
        found += _recipe_lines(file, wanted)
    return found


_RECIPE_HEAD = re.compile(r"(?:def\s+|\[(?:\w+\.)*tasks\.)?\"?([\w.-]+)\"?[^:=\]]*(?::(?!=)|=|\]|\()")


def _recipe_lines(file: File, wanted: set[str]) -> list[Command]:
    """The lines of a file that belong to one of the targets; the keys of a task's own table belong to it."""
    found: list[Command] = []
    inside = own_table = False
    for number, line in file.lines():
        head = _RECIPE_HEAD.match(line)
        if line.startswith("["):
            inside = own_table = head is not None and "tasks." in line and head.group(1) in wanted
        elif head and not own_table and not line[:1].isspace():
            inside = head.group(1) in wanted
        if inside and line.strip():
            found.append(Command(line.strip(), file.path, number))
    return found


def mentions(workflow: Workflow, *keys: str) -> list[str]:
    """Places in YAML where a mapping has one of the keys."""
    return [
        f"{document.path}:{mapping.key_lines[key]}"
        for document in workflow.documents
        for mapping in mappings_of(document.tree)
        for key in keys
        if key in mapping and key in mapping.key_lines
    ]
