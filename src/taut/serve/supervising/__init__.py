"""The processes that serve: a supervisor, and the fronts that it forks on one listening socket."""

from taut.serve.supervising.fleet import Patience
from taut.serve.supervising.front import Server
from taut.serve.supervising.serving import serve
from taut.serve.supervising.sources import Packed, Recorded, Registered, Source

__all__ = ["Packed", "Patience", "Recorded", "Registered", "Server", "Source", "serve"]
