"""Measurements: one file a capability, each run by itself as `python bench/NAME.py`."""
