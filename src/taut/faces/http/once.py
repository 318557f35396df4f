"""A request under a key: the change, its ledger entries and its answer in one transaction; asked again, the answer."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from taut.errors import Denied, Ended
from taut.faces.http.guard import Scope
from taut.ground.answered import Keyed, claim_key, keep_answer
from taut.ground.meta.within import Within
from taut.home import Home, note_refusal


def digest_of_request(scope: Scope, body: bytes) -> str:
    """What tells a request from another: its method, place, query and body, to the byte."""
    parts = (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body)
    return hashlib.sha256(b"\0".join(b"%d:%s" % (len(part), part) for part in parts)).hexdigest()


def answer_once(
    home: Home, asked: Keyed, work: Callable[[Home], bytes], *, of_server: bool = False
) -> tuple[bytes, bool]:
    """The answer of `work`, which is done unless it was answered under this key; and whether it was.

    `work` is given a home whose transactions are parts of one: those of the server's own home where what it changes
    is `of_server`, else those of this one. The key stands where the change does. What it raises undoes all of it, the
    key included, so that the request may be sent again; only a refusal stays in the ledger.
    """
    holder, then = home.root if of_server else home, list[Callable[[], None]]()
    try:
        with holder.meta.transaction() as tx:
            known = claim_key(tx, asked, at_ms=home.clock.now_ms())
            if known is not None:
                return known.encode(), True
            inside = replace(holder, meta=Within(holder.meta, tx), then=then)
            is_own = holder.server is not None or home.server is None
            body = work(inside if is_own else replace(home, server=inside, then=then))
            keep_answer(tx, asked, body.decode())
    except Ended:
        raise  # The face that hears it writes it down.
    except Denied as refused:
        if refused.refusal and (home.server is None or not of_server):  # Else it stands in the project's ledger.
            note_refusal(home, refused.refusal)
        raise
    for rest in then:
        rest()
    return body, False
