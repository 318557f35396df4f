"""Requests that are badly sent: heads, lengths, chunks and paths, each with the answers that are right for it."""

from dataclasses import dataclass

from tests.faults.serving_stand import Stand, Wire, post, rows

BODY = rows([1.5, 10, "UA"])
POST = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
INNER = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
BAD = (frozenset({400, 413, 431, 501}),)
LATE_S = 1.5
CLOSED: tuple[frozenset[int], ...] = ()
Right = tuple[frozenset[int], ...]
"""The statuses that each answer may have, in their order; none at all: the connection is closed, or waits."""


def of(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes on a connection of their own; one of `rights` is what comes back."""

    name: str
    data: bytes
    rights: tuple[Right, ...]

    def __call__(self, stand: Stand) -> str:
        """What is wrong with what came back; empty where nothing is."""
        with Wire(stand.port, timeout=LATE_S) as wire:
            wire.send(self.data)
            replies = wire.replies(max(map(len, self.rights)))
        said = [reply.status for reply in replies]
        right = any(
            len(right) == len(said) and all(one in may for one, may in zip(said, right, strict=True))
            for right in self.rights
        )
        torn = any(b"Traceback" in reply.body or "set-cookie" in reply.head.lower() for reply in replies)
        return "" if right and not torn else f"{said} {[reply.body[:80] for reply in replies][:3]}"


def headed(more: str, body: bytes = BODY, start: str = POST) -> bytes:
    return f"{start}{more}\r\n".encode("latin-1") + body


def chunked(*parts: bytes, more: str = "") -> bytes:
    return headed(f"{more}Transfer-Encoding: chunked\r\n", b"".join(parts))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"
LENGTH = f"Content-Length: {len(BODY)}\r\n"
REFUSED: tuple[Right, ...] = (BAD, CLOSED)
LAX: tuple[Right, ...] = (*REFUSED, (of(200),))
GOOD = ((of(200),),)
MISSING = ((of(400, 404, 405),),)
WIRE = [
    # Heads
    Sent("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10, REFUSED),
    Sent("an empty line", b"\r\n\r\n", REFUSED),
    Sent("a request line alone", b"GET\r\n\r\n", REFUSED),
    Sent("HTTP/9.9", b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", (*REFUSED, (of(505),), (of(200),))),
    Sent("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
    Sent("HTTP/0.9", b"GET /health\r\n\r\n", LAX),
    Sent("HTTP/1.0", b"GET /health HTTP/1.0\r\n\r\n", GOOD),
    Sent("a header without a colon", b"GET /health HTTP/1.1\r\nHost here\r\n\r\n", REFUSED),
    Sent("a blank before the colon", headed(f"Content-Length : {len(BODY)}\r\n"), LAX),
    Sent("a folded header", b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", LAX),
    Sent("a NUL in a header", b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\x00c\r\n\r\n", LAX),
    Sent("20,000 headers", b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20_000 + b"\r\n", LAX),
    Sent("a header of 64 kB", b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 65_536 + b"\r\n\r\n", LAX),
    Sent(
        "a path of 64 kB",
        b"GET /" + b"x" * 65_536 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        (*REFUSED, (of(404, 414),)),
    ),
    Sent("a head without an end, 4 MB", b"GET /health HTTP/1.1\r\n" + b"A: bcdefgh\r\n" * 350_000, REFUSED),
    # Paths and methods
    Sent("an unknown path", b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", MISSING),
    Sent("a path upwards", b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", MISSING),
    Sent("a path upwards, encoded", b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", MISSING),
    Sent("double slashes", b"GET //health HTTP/1.1\r\nHost: localhost\r\n\r\n", (*MISSING, (of(200),))),
    Sent("an encoded slash", post(BODY, "/%2finvocations"), MISSING),
    Sent("an encoded letter", post(BODY, "/%69nvocations"), (*MISSING, (of(200),))),
    Sent("a bad encoding", post(BODY, "/%zz%"), MISSING),
    Sent("an encoded NUL", post(BODY, "/invocations%00"), MISSING),
    Sent("bytes that are no UTF-8", b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", (*MISSING, *REFUSED)),
    Sent("a query", post(BODY, "/invocations?a=b"), GOOD),
    Sent("an absolute form", b"GET http://else/health HTTP/1.1\r\nHost: localhost\r\n\r\n", (*MISSING, (of(200),))),
    Sent("GET of predictions", b"GET /invocations HTTP/1.1\r\nHost: localhost\r\n\r\n", ((of(405, 404),),)),
    Sent("DELETE", b"DELETE /invocations HTTP/1.1\r\nHost: localhost\r\n\r\n", ((of(405, 404),),)),
    Sent("an unknown method", b"BREW /invocations HTTP/1.1\r\nHost: localhost\r\n\r\n", (*REFUSED, (of(405, 404),))),
    Sent("CONNECT", b"CONNECT here:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", (*REFUSED, (of(404, 405),))),
    Sent("an upgrade to nowhere", headed(f"{LENGTH}Connection: Upgrade\r\nUpgrade: websocket\r\n"), LAX),
    # Lengths
    Sent("no length", headed("", b""), ((of(400, 411),),)),
    Sent("a negative length", headed("Content-Length: -5\r\n"), REFUSED),
    Sent("a length of letters", headed("Content-Length: abc\r\n"), REFUSED),
    Sent("a length in hex", headed("Content-Length: 0x10\r\n"), REFUSED),
    Sent("a signed length", headed(f"Content-Length: +{len(BODY)}\r\n"), REFUSED),
    Sent("a length of 2^70", headed(f"Content-Length: {2**70}\r\n"), REFUSED),
    Sent("a length of 2^63", headed(f"Content-Length: {2**63}\r\n"), REFUSED),
    Sent("a length too long", headed(f"Content-Length: {len(BODY) + 9}\r\n"), (CLOSED, (of(408, 400),))),
    Sent("a length too short", headed(f"Content-Length: {len(BODY) - 9}\r\n"), ((of(400),), (of(400), of(400)))),
    Sent("two lengths", headed(f"Content-Length: 5\r\n{LENGTH}"), REFUSED),
    Sent("one length twice", headed(f"{LENGTH}{LENGTH}"), LAX),
    Sent("a list of lengths", headed(f"Content-Length: 5, {len(BODY)}\r\n"), REFUSED),
    # Smuggling: the inner request must not be answered.
    Sent(
        "smuggled: length, then chunks",
        headed(f"Content-Length: {len(END + INNER)}\r\nTransfer-Encoding: chunked\r\n", END + INNER),
        REFUSED,
    ),
    Sent(
        "smuggled: chunks, then length",
        headed("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunk(INNER) + END),
        REFUSED,
    ),
    Sent("smuggled: an odd coding", headed(f"{LENGTH}Transfer-Encoding: xchunked\r\n", BODY + INNER), REFUSED),
    Sent("smuggled: a coding with a tab", headed(f"{LENGTH}Transfer-Encoding:\tchunked\r\n", END + INNER), REFUSED),
    Sent("smuggled: coding in the name", headed(f"{LENGTH}Transfer-Encoding : chunked\r\n", END + INNER), REFUSED),
    Sent(
        "smuggled: two codings",
        headed("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunk(BODY) + END + INNER),
        REFUSED,
    ),
    Sent(
        "smuggled: a bare line feed",
        f"POST /invocations HTTP/1.1\nHost: localhost\n{LENGTH.strip()}\n\n".encode() + BODY,
        LAX,
    ),
    # Chunks
    Sent("whole in chunks", chunked(chunk(BODY[:20]), chunk(BODY[20:]), END), GOOD),
    Sent("a chunk a byte", chunked(*(chunk(BODY[n : n + 1]) for n in range(len(BODY))), END), GOOD),
    Sent("trailers", chunked(chunk(BODY), b"0\r\nA: b\r\n\r\n"), GOOD),
    Sent("a chunk size of letters", chunked(b"xyz\r\n", BODY), REFUSED),
    Sent("a negative chunk size", chunked(b"-5\r\n", BODY), REFUSED),
    Sent("a chunk size of 2^70", chunked(b"400000000000000000\r\n", BODY), REFUSED),
    Sent("a chunk longer than it says", chunked(b"5\r\n", BODY, b"\r\n", END), REFUSED),
    Sent("an extension of 64 kB", chunked(b"5;" + b"x" * 65_536 + b"\r\n12345\r\n", END), REFUSED),
    Sent("chunks without an end", chunked(chunk(BODY)), (CLOSED, (of(408),))),
    Sent("nothing in chunks", chunked(END), ((of(400),),)),
    # Expect, and more than one
    Sent("Expect: 100-continue", headed(f"{LENGTH}Expect: 100-continue\r\n"), ((of(200),), (of(100), of(200)))),
    Sent("Expect of something else", headed(f"{LENGTH}Expect: cake\r\n"), ((of(417),), (of(200),))),
    Sent(
        "Expect with 2^50", headed(f"Content-Length: {2**50}\r\nExpect: 100-continue\r\n", b""), (*REFUSED, (of(417),))
    ),
    Sent("three in one line", post(BODY) * 3, ((of(200),) * 3,)),
    Sent("200 in one line", post(BODY) * 200, ((of(200),) * 200,)),
    Sent("a bad one between good ones", post(BODY) + post(b"{") + post(BODY), ((of(200), of(400), of(200)),)),
    Sent("a page between predictions", post(BODY) + GET + post(BODY), ((of(200),) * 3,)),
    Sent("garbage after a good one", post(BODY) + b"\x00\x01garbage\r\n\r\n", ((of(200),), (of(200), of(400)))),
    Sent("an id with a line end", post(BODY, more="X-Request-Id: a%0d%0aset-cookie: x\r\n"), ((of(200, 400),),)),
]
