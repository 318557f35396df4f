"""What the attacks are thrown at: a real `taut server` process with users, tokens and two projects."""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import urllib3

from taut.govern import bind_role, create_project, create_token, create_user
from taut.ground.access import Actor
from taut.ground.settings import Settings, make_folder
from taut.home import open_home
from taut.runs import create_run
from tests.faces.speaking import Speaker
from tests.faults.killing import NO_ENV, Served

WORD = "correct horse battery"
LOG_LINES = ("--log-format", "json", "--log-level", "info")


@dataclass(frozen=True)
class Target:
    """A running server: its URL, the secrets of callers by name, its folder, its log and its process."""

    url: str
    secrets: Mapping[str, str]
    folder: Path
    log: Path
    pid: int

    def speaker(self, caller: str, prefix: str = "/api/2.0/") -> Speaker:
        """MLflow's protocol in the hands of a user, a token or, for an empty name, of nobody."""
        secret = self.secrets.get(caller, "")
        return Speaker(self.url, prefix, secret, user="" if secret.startswith("taut_") else caller)

    def headers(self, caller: str) -> dict[str, str]:
        """What a caller sends to say who they are."""
        secret = self.secrets.get(caller, "")
        if secret.startswith("taut_"):
            return {"authorization": f"Bearer {secret}"}
        return dict(urllib3.make_headers(basic_auth=f"{caller}:{secret}")) if caller else {}

    def connected(self, *, timeout: float = 10.0) -> socket.socket:
        """A new connection."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=timeout)

    def raw(self, request: bytes, *, timeout: float = 10.0) -> bytes:
        """What is answered to bytes until the server closes or one whole answer is there."""
        answer = b""
        with self.connected(timeout=timeout) as line:
            with suppress(ConnectionError):
                line.sendall(request)
            with suppress(TimeoutError, ConnectionError):
                while part := line.recv(65536):
                    answer += part
        return answer

    def memory_mib(self) -> float:
        """What of the process lies in memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


@contextmanager
def attacked(folder: Path, metadata: str = "", *, env: Mapping[str, str] = NO_ENV) -> Iterator[Target]:
    """A server on a new home in `folder`, on SQLite or on the PostgreSQL at `metadata`."""
    folder.mkdir()
    make_folder(folder, Settings(metadata=metadata))
    with open_home(folder, actor=Actor("olga", "owner")) as home:
        secrets = dict.fromkeys(("olga", "ada", "vic", "aud", "nobody"), WORD)
        create_user(home, "olga", WORD, role="owner")
        for name, role in (("ada", "data-scientist"), ("vic", "viewer"), ("aud", "auditor"), ("nobody", "")):
            create_user(home, name, WORD, role=role)
        for scope in ("read", "log", "predict", "deploy"):
            secrets[f"token-{scope}"] = create_token(home, scope, scopes=[scope]).secret
        create_run(home, run_id="r")
        create_project(home, "fraud")
        create_user(home, "fred", WORD, role="")
        bind_role(home, "fred", "data-scientist", project="fraud")
        secrets["fred"] = WORD
    served = Served(folder, folder.with_name(f"{folder.name}.log"), options=LOG_LINES, env=env)
    served.start()
    try:
        assert served.process is not None
        yield Target(f"http://127.0.0.1:{served.port}", secrets, folder, served.log, served.process.pid)
    finally:
        served.kill()
