"""The tests of taut: folders mirror the rooms; `parts.py` starts the real servers that they talk to."""
