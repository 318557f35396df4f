"""Where a request goes: fixed paths are found in a dict, those with open places by Starlette's router."""

from collections.abc import Mapping

from taut.faces.http.guard import App, Receive, Scope, Send


class Dispatch:
    """An ASGI application over others: a router that tries a hundred patterns would cost more than most answers."""

    def __init__(self, fixed: Mapping[tuple[str, str], App], others: App) -> None:
        self._fixed = dict(fixed)
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        chosen = self._others
        if scope["type"] == "http":
            chosen = self._fixed.get((scope["method"], scope["path"]), chosen)
        await chosen(scope, receive, send)
