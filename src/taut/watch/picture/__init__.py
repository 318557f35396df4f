"""The picture of a deployment's life: one self-contained page with charts, words and the same numbers in tables."""

from taut.watch.picture.page import watch_report

__all__ = ["watch_report"]
