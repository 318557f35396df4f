"""The demo: a workflow grows up, on real flights, by ordinary commands that a reader can repeat."""

from taut.faces.demo.story import tell

__all__ = ["tell"]
