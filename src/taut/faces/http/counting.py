"""Counts of what the server answered, in the text format that Prometheus reads."""

from collections import Counter

from taut.faces.http.guard import App, Message, Receive, Scope, Send

MEDIA_TYPE = "text/plain; version=0.0.4"


class Counted:
    """An ASGI application that counts the answers of another one by method and status."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._answers: Counter[tuple[str, int]] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note the status of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["taut.counts"] = self.text

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._answers[scope["method"], message["status"]] += 1
            await send(message)

        await self._app(scope, receive, noted)

    def text(self) -> str:
        """Every count since the start, one line each."""
        lines = ["# HELP taut_requests_total Requests answered.", "# TYPE taut_requests_total counter"]
        lines += [
            f'taut_requests_total{{method="{method}",status="{status}"}} {count}'
            for (method, status), count in sorted(self._answers.items())
        ]
        return "\n".join(lines) + "\n"
