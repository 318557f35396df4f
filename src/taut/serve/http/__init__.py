"""The serving room on the wire: the ASGI application, its answers, its counters, its access log."""
