"""A relay before an HTTP server that counts the requests that pass, and how many of them are on their way at once."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Passed:
    """What passed: requests by method, and the most that were on their way at one moment."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.requests: Counter[str] = Counter()
        self.at_once_max = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Begin anew."""
        self.requests.clear()
        self.at_once_max = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing more begins to pass while the block runs; whoever asks waits."""
        with self._lock:
            yield

    @contextmanager
    def counting(self, method: str) -> Iterator[None]:
        """One is on its way while the block runs."""
        with self._lock:
            self.requests[method] += 1
            self._at_once += 1
            self.at_once_max = max(self.at_once_max, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1


@contextmanager
def relayed(endpoint: str) -> Iterator[Passed]:
    """A relay to a server at an `http://` endpoint. It changes nothing, so signatures over the host still hold."""
    there = urlsplit(endpoint).netloc

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 1 << 16  # Head and body of an answer leave in one packet.

        def setup(self) -> None:
            super().setup()
            self.server_side = HTTPConnection(there)

        def finish(self) -> None:
            self.server_side.close()
            super().finish()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with passed.counting(self.command):
                self.server_side.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    self.server_side.putheader(name, value)
                self.server_side.endheaders(body)
                answer = self.server_side.getresponse()
                data = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length"):
                    self.send_header(name, value)
            said = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", said or str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # The names that the library calls.

        def log_message(self, format: str, *args: object) -> None:  # The library's name.
            """Nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Relay)
    passed = Passed(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="relay", daemon=True)
    thread.start()
    try:
        yield passed
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
