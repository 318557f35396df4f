"""Facts of configuration: Dockerfiles, CI definitions, Kubernetes manifests, taut.yaml, shell commands."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from taut.audit.files import File, Unread
from taut.audit.tree import Mapping, Tree, Unreadable, list_at, mapping_at, mappings_of, read_yaml, text_at


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a file."""

    path: str
    tree: Tree

    @property
    def kind(self) -> str:
        """The kind of a Kubernetes object; empty for any other document."""
        return text_at(self.tree, "kind") if text_at(self.tree, "apiVersion") else ""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile: its word in capitals, the rest with continued lines joined, its line."""

    word: str
    rest: str
    line: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """One Dockerfile."""

    path: str
    instructions: tuple[Instruction, ...]

    def of(self, word: str) -> list[Instruction]:
        """The instructions with this word."""
        return [one for one in self.instructions if one.word == word]

    def last_stage(self) -> list[Instruction]:
        """The instructions from the last FROM on: what the image that runs is made of."""
        starts = [number for number, one in enumerate(self.instructions) if one.word == "FROM"]
        return list(self.instructions[starts[-1] :]) if starts else []


@dataclass(frozen=True, slots=True)
class Command:
    """One line that a shell runs, and where it stands."""

    text: str
    path: str
    line: int

    @property
    def place(self) -> str:
        """`path:line`."""
        return f"{self.path}:{self.line}"


def is_dockerfile(file: File) -> bool:
    """Whether a file is a recipe for an image, in any spelling; those of development containers are not shipped."""
    name = file.name
    named = name.startswith(("dockerfile", "containerfile")) or name.endswith((".dockerfile", ".containerfile"))
    return named and ".devcontainer/" not in file.path and not name.endswith((".md", ".dockerignore", ".j2", ".py"))


def read_dockerfile(file: File) -> Dockerfile:
    """The instructions of a Dockerfile; comments inside continued lines are left out, as the builder does."""
    found: list[Instruction] = []
    pending, start = "", 0
    for number, line in file.lines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        start = start if pending else number
        pending += stripped.removesuffix("\\") + " "
        if stripped.endswith("\\"):
            continue
        word, _, rest = pending.strip().partition(" ")
        found.append(Instruction(word.upper(), rest.strip(), start))
        pending = ""
    return Dockerfile(file.path, tuple(found))


def read_documents(file: File) -> list[Document] | Unread:
    """The YAML documents of a file; template marks of Helm and the like are taken for plain words."""
    text = file.text or ""
    if "{{" in text:
        lines = ("" if re.fullmatch(r"\s*\{\{.*\}\}\s*", line) else line for line in text.split("\n"))
        text = re.sub(r"\{\{[^{}\n]{0,500}\}\}", "template", "\n".join(lines))
    try:
        return [Document(file.path, tree) for tree in read_yaml(text)]
    except Unreadable as error:
        return Unread(file.path, f"is no readable YAML: {error}")


_CI_PATHS = re.compile(
    r"(^|/)(\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci[^/]*\.ya?ml|jenkinsfile[^/]*|\.circleci/config\.ya?ml"
    r"|\.?azure-pipelines?[^/]*\.ya?ml|\.travis\.ya?ml|\.drone\.ya?ml|bitbucket-pipelines\.ya?ml|"
    r"\.buildkite/[^/]+\.ya?ml"
    r"|cloudbuild[^/]*\.ya?ml|\.woodpecker[^/]*\.ya?ml|\.woodpecker/[^/]+\.ya?ml|\.?appveyor\.ya?ml|"
    r"buildspec[^/]*\.ya?ml"
    r"|\.forgejo/workflows/[^/]+\.ya?ml|\.gitea/workflows/[^/]+\.ya?ml|\.ci/run)$",
    re.IGNORECASE,
)


def is_ci(file: File, documents: Iterable[Document]) -> bool:
    """Whether a file defines what a CI server runs: by the name its vendor asks for, or by what it holds."""
    if _CI_PATHS.search(file.path):
        return True
    for document in documents:
        top = document.tree if isinstance(document.tree, Mapping) else Mapping(0)
        runs = {"steps", "stages", "jobs"} & top.keys()
        if runs and {"trigger", "pool", "pr"} & top.keys():
            return True
        if "on" in top and "jobs" in top:
            return True
    return False


_SHELL_NAMES = ("makefile", "justfile", "jenkinsfile", "procfile", "tox.ini", "noxfile.py", "tasks.py", "mise.toml")


def commands_of(file: File) -> Iterator[Command]:
    """The lines of a script, Makefile or Jenkinsfile that may run something; comments left out."""
    if file.text is None:
        return
    is_shell = file.suffix in {".sh", ".bash", ".zsh", ".ps1", ".bat", ".cmd", ".mk", ".groovy"}
    starts = file.text.startswith("#!") and "python" not in file.text.split("\n", 1)[0]
    if is_shell or starts or file.name.startswith(_SHELL_NAMES) or file.path == ".ci/run":
        for number, line in file.lines():
            if line.strip() and not line.strip().startswith(("#", "//", "::")):
                yield Command(line.strip(), file.path, number)


def documented_commands_of(file: File) -> Iterator[Command]:
    """The lines of a README or run book, for what people are told to do by hand."""
    if file.suffix in {".md", ".rst"} or file.name in {"readme", "readme.txt"}:
        for number, line in file.lines():
            if line.strip():
                yield Command(line.strip(), file.path, number)


def containers_of(document: Document) -> Iterator[tuple[Mapping, Mapping]]:
    """Each container with an image in a Kubernetes object, with the pod that it stands in; init containers left out."""
    if not document.kind:
        return
    for pod in mappings_of(document.tree):
        for container in list_at(pod, "containers"):
            if isinstance(container, Mapping) and text_at(container, "image"):
                yield pod, container


@dataclass(frozen=True, slots=True)
class TautFile:
    """What taut.yaml declares, as far as an audit asks: where (line) a part stands, 0 where it does not."""

    path: str = ""
    gate: int = 0
    deployments: int = 0
    monitors: int = 0
    stages: int = 0

    def place(self, line: int) -> str:
        """`path:line`."""
        return f"{self.path}:{line}"


_TAUT_KEYS = {
    "gate": ("gate", "gates"),
    "deployments": ("deployments", "deployment", "deploy", "endpoints"),
    "monitors": ("monitors", "monitor", "watch", "monitoring"),
    "stages": ("stages", "pipeline", "train", "retrain", "triggers", "on_alert", "schedules"),
}


def read_taut_file(documents: Iterable[Document]) -> TautFile:
    """The parts of taut.yaml that stand for a practice, at the top or below a model or deployment."""
    for document in documents:
        if document.path.rpartition("/")[2] not in {"taut.yaml", "taut.yml"}:
            continue
        found: dict[str, int] = {}
        for mapping in mappings_of(document.tree):
            for part, keys in _TAUT_KEYS.items():
                for key in keys:
                    if mapping.get(key) not in (None, "", "null", "~", "false"):
                        found.setdefault(part, mapping.key_lines.get(key, mapping.line))
        return TautFile(document.path, **found)
    return TautFile()


def named_documents(documents: Iterable[Document], *names: str) -> list[Document]:
    """The documents of files with one of these names (lower case), in any folder."""
    return [one for one in documents if one.path.rpartition("/")[2].lower() in names]


def services_of(document: Document) -> Iterator[tuple[str, Mapping]]:
    """The services of a compose file."""
    for name, service in mapping_at(document.tree, "services").items():
        if isinstance(service, Mapping):
            yield name, service
