"""MLflow's protocol spoken raw, for the tests: one request, its status and its JSON, below any prefix, by any token."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

from taut.ground.ledger import Event, events
from taut.home import Home

POOL = urllib3.PoolManager(retries=False, timeout=30)
INT64_MAX = 2**63 - 1
NOT_FOUND = (404, "RESOURCE_DOES_NOT_EXIST")
INVALID = (400, "INVALID_PARAMETER_VALUE")
EXISTS = (400, "RESOURCE_ALREADY_EXISTS")


@dataclass(frozen=True)
class Said:
    """What a server answered: its status, and its body as JSON, empty where it is none."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> tuple[int, str]:
        """The status and MLflow's word for the error, empty where the request went well."""
        return self.status, self.body.get("error_code", "")

    @property
    def message(self) -> str:
        """What the error says; empty for none."""
        return str(self.body.get("message", ""))


@dataclass(frozen=True)
class Speaker:
    """Sends requests to the server at `url`; paths stand below the prefix, as the table of routes writes them."""

    url: str
    prefix: str = "/api/2.0/"
    secret: str = ""
    user: str = ""

    def __call__(self, method: str, path: str, body: object = None, /, **query: object) -> Said:
        """Send one request; a body that is no bytes goes as JSON, a list in the query is repeated."""
        headers = {"authorization": f"Bearer {self.secret}"} if self.secret else {}
        if self.user:
            headers = urllib3.make_headers(basic_auth=f"{self.user}:{self.secret}")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        place = self.url + self.prefix + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        answer = POOL.request(method, place, body=data, headers=headers)
        return Said(answer.status, json.loads(answer.data))

    def get(self, path: str, /, **query: object) -> Said:
        """GET with a query."""
        return self("GET", path, **query)

    def post(self, path: str, /, **body: object) -> Said:
        """POST a JSON object."""
        return self("POST", path, body)

    def told(self, path: str, /, **body: object) -> dict[str, Any]:
        """POST what must go well; returns the answer."""
        said = self.post(path, **body)
        assert said.status == 200, said
        return said.body


def denials(home: Home) -> list[Event]:
    """The refused attempts in the ledger, oldest first."""
    with home.meta.read() as tx:
        return events(tx, kind="access.denied", limit=10_000)


def tags_of(shape: dict[str, Any], field: str = "tags") -> dict[str, str]:
    """The pairs of a shape as a dict."""
    return {pair["key"]: pair["value"] for pair in shape[field]}
