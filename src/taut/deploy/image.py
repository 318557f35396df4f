"""`taut image`: a model version as a folder that any container engine builds, and as an image where one is at hand."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from taut import __version__
from taut.deploy.dockerfile import PORT, render_dockerfile
from taut.deploy.engines import find_engine
from taut.deploy.pins import locked, pins_of
from taut.deploy.wheel import write_wheel
from taut.deploy.wheelhouse import fill_packages
from taut.errors import Conflict, UsageError
from taut.ground.clock import iso
from taut.ground.objects import read_object
from taut.home import Home
from taut.models import fetch_model, served_graph
from taut.records import ModelVersion
from taut.runs import get_run

DIGEST_LABEL = "taut.model.digest"
GRAPH_LABEL = "taut.graph.digest"
GRAPH = "model.onnx"  # In the folder `graph`, beside that of the model.
IGNORED = "*\n!Dockerfile\n!packages\n!server\n!model\n"
MARK = ".taut-image"  # Says that a folder was written here and may be written again.


@dataclass(frozen=True, slots=True)
class Image:
    """A build context that was written, and the image that was built from it; `id` is empty where none was."""

    folder: str
    tag: str
    model: str
    number: int
    digest: str
    engine: str
    id: str

    @property
    def command(self) -> str:
        """What builds it."""
        return f"{self.engine or 'docker'} build --tag {self.tag} {self.folder}"


def make_image(
    home: Home,
    version: ModelVersion,
    *,
    folder: Path,
    tag: str = "",
    build: bool | None = None,
    wheelhouse: Path | None = None,
) -> Image:
    """Write the build context of a model version into a folder, and build it.

    `build` None builds where an engine is. With a `wheelhouse`, a folder of wheels that is filled with what it lacks,
    the build needs no network; without one it installs from the index that pip's settings name. The same version and
    the same taut give the same context, byte for byte. Raises Conflict where the folder holds something else,
    UsageError where an engine is asked for and none answers, Unavailable where the build fails.
    """
    name = tag or default_tag(version, graph_of(home, version))
    write_context(home, version, folder=folder, tag=name, wheelhouse=wheelhouse)
    engine = find_engine() if build in (None, True) else None
    if build and engine is None:
        raise UsageError(
            f"{folder} is written, but no container engine answers to build it: docker, podman or buildah",
            hint="docker info",
        )
    built = engine.build(folder, name) if engine is not None else ""
    known = (version.name, version.number, version.digest)
    return Image(str(folder), name, *known, engine.name if engine is not None else "", built)


def write_context(home: Home, version: ModelVersion, *, folder: Path, tag: str, wheelhouse: Path | None) -> None:
    """Write what an engine builds from: Dockerfile, .dockerignore, the packages, the model and what it compiled to."""
    model = fetch_model(home, version)
    graph = graph_of(home, version)
    pins = pins_of(home, version, model, compiled=bool(graph))
    _empty(folder)
    packages = folder / "packages"
    wheel = write_wheel(folder / "server")
    (packages / "requirements.txt").write_text("\n".join([*pins.requirements, ""]))
    (packages / "constraints.txt").write_text("\n".join([*pins.constraints, ""]))
    if wheelhouse is not None:
        fill_packages(packages, wheelhouse.absolute(), python=pins.python)
        (packages / "requirements.lock").write_text(locked(packages))
        (packages / "requirements.txt").unlink()
        (packages / "constraints.txt").unlink()
    shutil.copytree(model, folder / "model", copy_function=shutil.copyfile)
    if graph:
        (folder / "graph").mkdir()
        (folder / "graph" / GRAPH).write_bytes(read_object(home.objects, graph))
    (folder / ".dockerignore").write_text(IGNORED + ("!graph\n" if graph else ""))
    text = render_dockerfile(
        title=f"Serves {version.name}@{version.number} ({version.digest[:12]}); written by taut {__version__}",
        build=f"docker build --tag {tag} .",
        python=pins.python,
        wheel=wheel.name,
        hermetic=wheelhouse is not None,
        compiled=bool(graph),
        labels=labels_of(home, version),
        command=serving_command(version, graph),
    )
    (folder / "Dockerfile").write_text(text)
    for path in folder.rglob("*"):  # Engines copy modes, and a umask of ours must not keep the server from reading.
        path.chmod(0o755 if path.is_dir() else 0o644)


def labels_of(home: Home, version: ModelVersion) -> dict[str, str]:
    """Who is in the image: annotations of the OCI image specification, and the points of the line it comes from."""
    git = get_run(home, version.run_id).capture.git if version.run_id else None
    return {
        "org.opencontainers.image.title": version.name,
        "org.opencontainers.image.version": str(version.number),
        "org.opencontainers.image.description": version.description or f"Model {version.name}, served by taut",
        "org.opencontainers.image.created": iso(version.created_ms),
        "org.opencontainers.image.revision": git.commit if git is not None else "",
        "taut.model": f"{version.name}@{version.number}",
        **digests_of(version, graph_of(home, version)),
        "taut.run": version.run_id,
        "taut.version": __version__,
    }


def graph_of(home: Home, version: ModelVersion) -> str:
    """The stored object that answers in the version's place, empty where it answers itself."""
    verdict = served_graph(home, version)
    return "" if verdict is None else verdict.graph


def digests_of(version: ModelVersion, graph: str) -> dict[str, str]:
    """The labels that say which bytes an image serves."""
    digests = {DIGEST_LABEL: f"sha256:{version.digest}"}
    return digests | {GRAPH_LABEL: f"sha256:{graph}"} if graph else digests


def serving_command(version: ModelVersion, graph: str) -> tuple[str, ...]:
    """The server's arguments for the model in the image alone: no home, and so no memory of what it said."""
    model = ("--model-folder", "/model", "--model", f"{version.name}@{version.number}", "--digest", version.digest)
    compiled = ("--graph", f"/graph/{GRAPH}", "--graph-digest", graph) if graph else ()
    return (*model, *compiled, "--host", "0.0.0.0", "--port", str(PORT))  # noqa: S104  # The container's own addresses.


def default_tag(version: ModelVersion, graph: str = "") -> str:
    """A tag that engines accept, and that names the very bytes of the model, and of the graph that answers for it.

    Names of models may hold anything, repositories small letters, digits and single separators.
    """
    words = "".join(c if c.isascii() and c.isalnum() else "-" for c in version.name.lower())
    name = "-".join(word for word in words.split("-") if word) or "model"
    return f"taut/{name}:{version.number}-{version.digest[:12]}" + (f"-{graph[:12]}" if graph else "")


def render_image(image: Image) -> str:
    """What was made, and the command for what was not."""
    if image.id:
        return f"{image.tag} is built by {image.engine} from {image.folder}: {image.id[:12]}"
    return f"wrote {image.folder}; build it with: {image.command}"


def _empty(folder: Path) -> None:
    """Make the folder, or take away what an earlier image left in it."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise Conflict(f"{folder} holds other things than an image", hint="name another folder: --out FOLDER")
    for name in ("model", "graph"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("packages", "server"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    (folder / MARK).write_text("")
