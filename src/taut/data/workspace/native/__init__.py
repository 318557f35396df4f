"""The C module of `bulk`: compiled by `hatch_build.py` where there is a compiler, absent elsewhere."""
