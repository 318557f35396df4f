"""taut: the whole line from the bytes a model learned from to each prediction it makes, and back."""

__version__ = "0.1.0"
