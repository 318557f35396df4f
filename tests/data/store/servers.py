"""Servers that a store talks to, really run: OpenBao, and one of Azure's protocol."""

import base64
import hmac
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.parts import KilledPart, answered, free_port

ROOT_TOKEN = "root-of-the-tests"
AZURITE = Path(__file__).parents[2] / "azure/node_modules/azurite/dist/src/blob/main.js"
# Of every Azurite, as its documentation says.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Bao:
    """An OpenBao of its own, in memory, with TLS by a certificate of its own."""

    address: str
    ca: Path

    def url(self, key: str, mount: str = "transit") -> str:
        return f"{self.address}/v1/{mount}/keys/{key}"

    def ask(
        self, path: str, body: object = None, *, method: str = "POST", namespace: str = "", token: str = ROOT_TOKEN
    ) -> dict[str, Any]:
        """Ask its API, which refuses nothing of what the tests ask."""
        headers = {"X-Vault-Token": token} | ({"X-Vault-Namespace": namespace} if namespace else {})
        data = json.dumps(body or {}).encode() if method != "GET" else None
        request = Request(f"{self.address}/v1/{path}", data=data, headers=headers, method=method)
        try:
            with urlopen(request, context=ssl.create_default_context(cafile=str(self.ca)), timeout=30) as answer:
                said: dict[str, Any] = json.loads(answer.read() or b"{}")
                return said
        except HTTPError as problem:
            raise AssertionError((path, problem.code, problem.read())) from problem

    def make_key(self, name: str, *, namespace: str = "", **options: object) -> str:
        """A key of the transit engine; returns its URL."""
        self.ask(f"transit/keys/{name}", options, namespace=namespace)
        return self.url(name)


@contextmanager
def openbao() -> Iterator[Bao]:
    """Run OpenBao with a transit engine; skips where its program is not installed."""
    program = Path(sys.executable).with_name("bao")
    if not program.exists():
        pytest.skip("the program of OpenBao is not installed: make venv")
    folder, port = Path(tempfile.mkdtemp(prefix="taut-bao-")), free_port()
    command = [str(program), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}"]
    command += [f"-dev-listen-address=127.0.0.1:{port}", "-dev-tls", f"-dev-tls-cert-dir={folder}"]
    part = KilledPart(folder, command, env={"HOME": str(folder)})
    bao = Bao(f"https://127.0.0.1:{port}", folder / "vault-ca.pem")

    def is_ready() -> bool:
        return bao.ca.exists() and bool(bao.ask("sys/health", method="GET").get("initialized"))

    try:
        part.wait_until(is_ready)
        bao.ask("sys/mounts/transit", {"type": "transit"})
        yield bao
    finally:
        part.end()


def log_in(bao: Bao, home: Path) -> int:
    """Log in with the server's own client, which leaves its token in a home folder; returns its exit status."""
    words = [str(Path(sys.executable).with_name("bao")), "login", ROOT_TOKEN]
    env = {**os.environ, "HOME": str(home), "BAO_ADDR": bao.address, "BAO_CACERT": str(bao.ca)}
    return subprocess.run(words, env=env, capture_output=True, timeout=60).returncode


@contextmanager
def azurite(container: str) -> Iterator[str]:
    """Run a server of Azure's protocol with a container; its address. Skips where it is not installed."""
    if shutil.which("node") is None or not AZURITE.exists():
        pytest.skip("azurite is not installed: make provider")
    folder, port = Path(tempfile.mkdtemp(prefix="taut-azurite-")), free_port()
    command = ["node", str(AZURITE), f"--blobPort={port}", f"--location={folder}", "--silent", "--skipApiVersionCheck"]
    part = KilledPart(folder, command)
    address = f"http://127.0.0.1:{port}"
    try:
        part.wait_until(lambda: answered(Request(address), statuses=range(200, 500)))
        _make_container(address, container)
        yield address
    finally:
        part.end()


def _make_container(address: str, name: str) -> None:
    """Sign the request as `Authorize with Shared Key` of Azure's documentation says."""
    headers = f"x-ms-date:{formatdate(usegmt=True)}\nx-ms-version:2021-08-06\n"
    text = "PUT" + 12 * "\n" + f"{headers}/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    sign = base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), "sha256")).decode()
    told = dict(line.split(":", 1) for line in headers.splitlines())
    request = Request(f"{address}/{ACCOUNT}/{name}?restype=container", data=b"", method="PUT")
    for header, value in {**told, "Authorization": f"SharedKey {ACCOUNT}:{sign}", "Content-Type": ""}.items():
        request.add_header(header, value)
    with urlopen(request, timeout=30) as answer:
        assert answer.status == 201
