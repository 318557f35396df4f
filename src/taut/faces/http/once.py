"""A request under a key: the change, its ledger entries and its answer in one transaction; asked again, the answer."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from taut.errors import Denied
from taut.faces.http.guard import Scope
from taut.ground.answered import Keyed, claim_key, keep_answer
from taut.ground.meta.within import Within
from taut.home import Home, note_refusal


def digest_of_request(scope: Scope, body: bytes) -> str:
    """What tells a request from another: its method, place, query and body, to the byte."""
    parts = (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body)
    return hashlib.sha256(b"\0".join(b"%d:%s" % (len(part), part) for part in parts)).hexdigest()


def answer_once(home: Home, asked: Keyed, work: Callable[[Home], bytes]) -> tuple[bytes, bool]:
    """The answer of `work`, which is done unless it was answered under this key; and whether it was.

    `work` is given a home whose transactions are parts of one. What it raises undoes all of it, the key included, so
    that the request may be sent again; only a refusal stays in the ledger.
    """
    try:
        with home.meta.transaction() as tx:
            known = claim_key(tx, asked, at_ms=home.clock.now_ms())
            if known is not None:
                return known.encode(), True
            body = work(replace(home, meta=Within(home.meta, tx)))
            keep_answer(tx, asked, body.decode())
        return body, False
    except Denied as refused:
        if refused.refusal:
            note_refusal(home, refused.refusal)
        raise
