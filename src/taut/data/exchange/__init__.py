"""cache <-> remotes: what is asked for, brought once, put in its place, and removed when nothing names it."""
