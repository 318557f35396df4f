"""What the ledger keeps of a request beside who made it: its id, the token's, from where and by what program."""

import re
from dataclasses import replace
from functools import lru_cache

from taut.faces.http.guard import Scope
from taut.ground.access import Actor
from taut.ground.ledger import Asked

PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}")
BROWSER = "Mozilla"  # As all of them have begun for thirty years.


def asking(actor: Actor, scope: Scope) -> Actor:
    """The caller in the middle of this request, for what is appended in their name to say so."""
    address = (scope.get("client") or ("",))[0]
    agent = b""
    for name, value in scope["headers"]:
        if name == b"user-agent":
            agent = value
            break
    request: str = scope.get("taut.request_id", "")
    return replace(actor, asked=Asked(actor.token, request, f"{address} {program_of(agent)}".strip()))


@lru_cache(maxsize=256)
def program_of(agent: bytes) -> str:
    """What kind of program a User-Agent names: the first product of RFC 9110, without its version.

    >>> program_of(b"mlflow-python-client/3.17"), program_of(b"Mozilla/5.0 (X11)"), program_of(b"")
    ('mlflow-python-client', 'browser', '')
    """
    found = PRODUCT.match(agent.decode("latin-1"))
    if found is None:
        return ""
    return "browser" if found[0] == BROWSER else found[0]
