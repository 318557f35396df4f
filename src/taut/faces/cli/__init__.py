"""The command line: parses, calls one verb of a room, shows. Commands are imported when they are called."""

from taut.faces.cli.entry import main

__all__ = ["main"]
