"""The containers of a deployment, as an engine tells of them: found by the labels that taut put there."""

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from taut.deploy.engines import Engine
from taut.errors import Unavailable
from taut.ground import wire
from taut.home import Home
from taut.records import Deployment

ANY_PORT = "{port}"  # Stands in a label for the port that the engine chose.


@dataclass(frozen=True, slots=True)
class Found:
    """A container of a deployment: whether it runs, and where it answers."""

    id: str
    revision: int
    running: bool
    restarts: int
    url: str


class _Port(msgspec.Struct):
    HostPort: str


class _Settings(msgspec.Struct):
    Labels: dict[str, str]


class _Network(msgspec.Struct):
    Ports: dict[str, list[_Port] | None] = {}


class _Running(msgspec.Struct):
    Running: bool


class _Container(msgspec.Struct):
    """What is read of an engine's answer to `inspect`."""

    Id: str
    RestartCount: int
    State: _Running
    Config: _Settings
    NetworkSettings: _Network


def container_labels(home: Home, deployment: Deployment, url: str) -> dict[str, str]:
    """What a container is found by, and what it serves."""
    return {
        "taut.url": url,
        "taut.home": home_digest(home),
        "taut.deployment": deployment.name,
        "taut.revision": str(deployment.revision),
        "taut.serves": f"{deployment.model}@{deployment.number}",
    }


def home_digest(home: Home) -> str:
    """Two homes may deploy under one name to one engine; this tells their containers apart."""
    named = home.place if home.in_project is None else f"{home.place}#{home.project_id}"
    return sha256(named.encode()).hexdigest()[:16]


def list_containers(engine: Engine, home: Home, name: str) -> list[Found]:
    """Every container of a deployment of this home, stopped ones too, newest revision first."""
    chosen = ["--filter", f"label=taut.home={home_digest(home)}", "--filter", f"label=taut.deployment={name}"]
    ids = engine.run("ps", "--all", "--quiet", "--no-trunc", *chosen).split()
    found: list[Found] = []
    for container in ids:
        try:
            said = engine.run("inspect", "--type", "container", container)
        except Unavailable:
            continue  # It was removed between the listing and the look.
        known = wire.decode(said, list[_Container], what=f"what {engine.name} says of a container")[0]
        found.append(_found(known))
    return sorted(found, key=lambda one: -one.revision)


def _found(known: _Container) -> Found:
    labels = known.Config.Labels
    ports = [port.HostPort for bound in known.NetworkSettings.Ports.values() for port in bound or []]
    url = labels["taut.url"].replace(ANY_PORT, ports[0] if ports else "0")
    return Found(known.Id, int(labels["taut.revision"]), known.State.Running, known.RestartCount, url)
