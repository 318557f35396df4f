"""Clients on bare sockets that know of every request whether it was written whole, and answered whole."""

import socket
import threading
from dataclasses import dataclass, field

import msgspec

from tests.serve.scenes import ROWS, tensors


@dataclass
class Tally:
    """What one client saw."""

    answered: int = 0
    refused: int = 0
    """Connections that were not opened: no request was written, so none was dropped."""
    dropped: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)


class Hammer:
    """So many clients that ask without a pause until they are told to stop, or until nobody listens.

    The even ones keep their connection until the server closes it, as HTTP/1.1 has it: an answer with `connection:
    close` is the last on its connection. The odd ones open another for each request. A request counts as dropped
    where every byte of it was written, on a connection that the server had not said it would close, and no whole
    answer came.
    """

    def __init__(self, url: str, clients: int) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.address = (host, int(port))
        self.tallies = [Tally() for _ in range(clients)]
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(tally, number % 2 == 0))
            for number, tally in enumerate(self.tallies)
        ]
        body = msgspec.json.encode({"inputs": tensors(ROWS)})
        head = f"POST /v2/models/late/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body

    def __enter__(self) -> "Hammer":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client finish what it asked."""
        self._done.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)

    @property
    def answered(self) -> int:
        return sum(tally.answered for tally in self.tallies)

    @property
    def dropped(self) -> list[str]:
        return [one for tally in self.tallies for one in tally.dropped]

    @property
    def wrong(self) -> list[str]:
        return [one for tally in self.tallies for one in tally.wrong]

    @property
    def versions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for tally in self.tallies:
            for version, count in tally.versions.items():
                found[version] = found.get(version, 0) + count
        return found

    def wait(self) -> None:
        """Until every client found the door closed."""
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)

    def _ask(self, tally: Tally, keeps: bool) -> None:
        line: socket.socket | None = None
        while not self._done.is_set():
            if line is None:
                try:
                    line = socket.create_connection(self.address, timeout=30)
                except OSError:
                    tally.refused += 1
                    return  # Nobody listens any more.
            try:
                line.sendall(self._request)
            except OSError:
                line.close()
                line = None
                continue  # It was not written whole.
            stays = self._read(line, tally)
            if not (stays and keeps):
                line.close()
                line = None
        if line is not None:
            line.close()

    def _read(self, line: socket.socket, tally: Tally) -> bool:
        """Read one answer; whether the connection goes on after it."""
        data = b""
        try:
            while b"\r\n\r\n" not in data:
                part = line.recv(65_536)
                if not part:
                    raise ConnectionError("closed before the head")
                data += part
            head, _, body = data.partition(b"\r\n\r\n")
            length = next(
                int(one.split(b":")[1]) for one in head.lower().split(b"\r\n") if one.startswith(b"content-len")
            )
            while len(body) < length:
                part = line.recv(65_536)
                if not part:
                    raise ConnectionError("closed within the body")
                body += part
        except OSError as problem:
            tally.dropped.append(repr(problem))
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            tally.wrong.append(data[:300].decode(errors="replace"))
        else:
            tally.answered += 1
            version = str(msgspec.json.decode(body)["model_version"])
            tally.versions[version] = tally.versions.get(version, 0) + 1
        return b"connection: close" not in head.lower()
