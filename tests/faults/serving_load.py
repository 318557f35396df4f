"""Clients that are too many, too slow, too large, or gone; the others must be answered meanwhile."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from tests.faults.serving_stand import GROWN_MIB, Stand, Wire, meanwhile, post, rows, soon

MIB = 1 << 20
PATIENT_S = 10.0
POST = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def harm_of(found: dict[str, float], *, slowest_s: float = PATIENT_S, grown_mib: float = GROWN_MIB) -> str:
    """What happened to the others, as words; empty where nothing did."""
    wrong = []
    if found["wrong"]:
        wrong.append(f"{found['wrong']:.0f} of {found['asked']:.0f} others were not answered right")
    if found["slowest_s"] > slowest_s:
        wrong.append(f"another waited {found['slowest_s']:.1f} s")
    if (grown := found["peak_mib"] - found["before_mib"]) > grown_mib:
        wrong.append(f"memory grew by {grown:.0f} MiB")
    return "; ".join(wrong)


def flood(head: bytes, begun: bytes, part: bytes, total: int, right: frozenset[int]) -> Callable[[Stand], str]:
    """Send a head and then so many bytes in parts, whatever is said to it."""

    def run(stand: Stand) -> str:
        with meanwhile(stand) as found, Wire(stand.port, timeout=60.0) as wire:
            status = 0
            try:
                wire.socket.sendall(head + begun)
                for _ in range(total // MIB):
                    wire.socket.sendall(part)
            except ConnectionError:
                pass
            with contextlib.suppress(OSError):
                wire.socket.settimeout(5.0)
                reply = wire.reply()
                status = reply.status if reply else 0
        said = "" if status in right else f"answered {status}"
        return "; ".join(word for word in (said, harm_of(found)) if word)

    return run


def by_length(size: int) -> Callable[[Stand], str]:
    return flood(POST + b"Content-Length: %d\r\n\r\n" % size, b"", bytes(MIB), size, frozenset({413, 0}))


def by_chunks(size: int) -> Callable[[Stand], str]:
    part = b"100000\r\n" + bytes(MIB) + b"\r\n"
    return flood(POST + b"Transfer-Encoding: chunked\r\n\r\n", b"", part, size, frozenset({413, 0}))


@contextlib.contextmanager
def many(stand: Stand, count: int, sent: bytes) -> Iterator[list[Wire]]:
    """So many connections that have sent the same bytes."""
    with contextlib.ExitStack() as stack:
        wires = []
        for _ in range(count):
            wires.append(stack.enter_context(Wire(stand.port, timeout=30.0)))
            wires[-1].send(sent)
        yield wires


def slow_heads(stand: Stand) -> str:
    """Heads that grow by a byte a second."""
    with meanwhile(stand) as found, many(stand, 400, b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: ") as wires:
        for _ in range(5):
            for wire in wires:
                wire.send(b"x")
            time.sleep(1.0)
    return harm_of(found)


def slow_heads_end(stand: Stand) -> str:
    """A head that grows for ever is not waited for."""
    with Wire(stand.port, timeout=90.0) as wire:
        wire.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: ")

        def closed() -> bool:
            try:
                wire.socket.settimeout(1.0)
                wire.socket.sendall(b"x")
                return wire.socket.recv(1000) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        return "" if soon(closed, 60.0) else "still open after 60 s"


def slow_bodies(stand: Stand) -> str:
    """Bodies that grow by a byte a second."""
    body = rows([1.5, 10, "UA"])
    head = post(body).removesuffix(body)
    with meanwhile(stand) as found, many(stand, 200, head + body[:-5]) as wires:
        for place in range(5):
            time.sleep(1.0)
            for wire in wires:
                wire.send(body[len(body) - 5 + place :][:1])
        said = Counter(reply.status if (reply := wire.reply()) else 0 for wire in wires)
    return "; ".join(word for word in (harm_of(found), "" if set(said) == {200} else f"answers {dict(said)}") if word)


def idle(stand: Stand) -> str:
    """Connections that say nothing; each costs the server some memory, 16 kB at most."""
    with meanwhile(stand) as found, many(stand, 5000, b"") as wires:
        time.sleep(1.0)
        wires[-1].send(post(rows([1.5, 10, "UA"])))
        last = wires[-1].reply()
    wrong = harm_of(found, grown_mib=80.0)
    return wrong if last is not None and last.status == 200 else f"the last of them was not answered; {wrong}"


def vanish(stand: Stand) -> str:
    """300 clients reset in the middle of a request, 300 before the answer, 300 in it."""
    whole = post(rows(*[[1.5, n, "UA"] for n in range(500)]))
    with meanwhile(stand) as found:
        for sent, pause_s in ((whole[: len(whole) // 2], 0.0), (whole, 0.0), (whole, 0.02)):
            for _ in range(300):
                wire = Wire(stand.port)
                wire.send(sent)
                time.sleep(pause_s)
                wire.vanish()
    return harm_of(found, grown_mib=256.0)  # What is asked whole is held whole, 500 rows each.


def never_read(stand: Stand) -> str:
    """100 clients that ask 1,000 times in one line for a large answer and never read."""
    asked = post(rows(*[[1.5, n, "UA"] for n in range(500)])) * 50
    with meanwhile(stand) as found, contextlib.ExitStack() as stack:
        for _ in range(100):
            wire = stack.enter_context(Wire(stand.port, timeout=0.2))
            with contextlib.suppress(OSError):
                wire.socket.sendall(asked)
        time.sleep(3.0)
    return harm_of(found)


async def _client(port: int, number: int, times: int, wait: str, said: Counter[str], late: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for time_ in range(times):
        value = number * 1000 + time_
        writer.write(post(rows([1.5, value, wait])))
        begun = time.monotonic()
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length"))
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            said["closed without an answer"] += 1
            return
        late.append(time.monotonic() - begun)
        status = head.split(" ")[1]
        if status == "200" and msgspec.json.decode(body)["predictions"] != [value * 2]:
            status = "200 with another's answer"
        if status in ("429", "503") and "retry-after:" not in head:
            status += " without Retry-After"
        said[status] += 1
        if "connection: close" in head:
            return
    writer.close()


def asked(stand: Stand, clients: int, times: int, wait: str) -> tuple[Counter[str], list[float]]:
    """What so many clients were told, and how long each waited."""
    said: Counter[str] = Counter()
    late: list[float] = []

    async def run() -> None:
        await asyncio.gather(*(_client(stand.port, n, times, wait, said, late) for n in range(clients)))

    asyncio.run(run())
    return said, late


def overload(stand: Stand) -> str:
    """512 clients of a model that takes 10 ms a row: each answer is right, or says when to come back."""
    said, late = asked(stand, 512, 3, "wait:0.01")
    wrong = {words: count for words, count in said.items() if words not in ("200", "429", "503", "504")}
    if wrong or not said["200"] or max(late) > 15.0:
        return f"{dict(said)}, the slowest {max(late):.1f} s"
    return ""


def many_at_once(stand: Stand) -> str:
    """512 clients of a quick model: every answer is the one to that very request."""
    said, late = asked(stand, 512, 10, "UA")
    return "" if set(said) == {"200"} and max(late) < PATIENT_S else f"{dict(said)}, the slowest {max(late):.1f} s"


def large(part: bytes, kind: str, begin: bytes = b"", end: bytes = b"") -> Callable[[Stand], str]:
    """Three clients at once, each with as much of something small as a body may hold."""
    body = begin + part * ((16 * MIB - len(begin) - len(end) - 8) // len(part)) + end

    def run(stand: Stand) -> str:
        with meanwhile(stand) as found, contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(stand.port, timeout=90.0)) for _ in range(3)]
            for wire in wires:
                wire.send(post(body, kind=kind))
            said = {reply.status if (reply := wire.reply()) else 0 for wire in wires}
        wrong = harm_of(found, slowest_s=2.0, grown_mib=512.0)
        return "; ".join(word for word in (wrong, "" if said <= {200, 400, 413, 503} else f"{said}") if word)

    return run


SPLIT = b'{"dataframe_split": {"columns": ["delay", "seats", "carrier"], "data": ['
LOAD: dict[str, Callable[[Stand], str]] = {
    "16 MiB of empty rows": large(b"[],", "application/json", b'{"instances": [', b"[]]}"),
    "16 MiB of empty objects": large(b"{},", "application/json", b'{"instances": [', b"{}]}"),
    "16 MiB of good rows": large(b'[1,1,"a"],', "application/json", SPLIT, b'[1,1,"a"]]}}'),
    "16 MiB of one column": large(b"1,", "application/json", b'{"inputs": {"delay": [', b"1]}}"),
    "16 MiB of CSV": large(b"1,1,a\n", "text/csv", b"delay,seats,carrier\n"),
    "512 MiB with a length": by_length(512 * MIB),
    "512 MiB in chunks": by_chunks(512 * MIB),
    "1 GiB with a length": by_length(1024 * MIB),
    "1 GiB in chunks": by_chunks(1024 * MIB),
    "a head of 512 MiB, many lines": flood(
        b"GET /health HTTP/1.1\r\n", b"", b"A: bcdefgh\r\n" * 87_381, 512 * MIB, frozenset({431, 400, 0})
    ),
    "a head of 256 MiB, one line": flood(
        b"GET /health HTTP/1.1\r\nA: ", b"", b"x" * MIB, 256 * MIB, frozenset({431, 400, 0})
    ),
    "trailers of 512 MiB": flood(
        POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n0\r\n", b"A: bcdefgh\r\n" * 87_381, 512 * MIB,
        frozenset({431, 400, 413, 0}),
    ),
    "400 heads of a byte a second": slow_heads,
    "a head without an end": slow_heads_end,
    "200 bodies of a byte a second": slow_bodies,
    "5,000 connections that say nothing": idle,
    "900 clients that vanish": vanish,
    "100 clients that never read": never_read,
    "512 clients, a slow model": overload,
    "512 clients, a quick model": many_at_once,
}  # fmt: skip
