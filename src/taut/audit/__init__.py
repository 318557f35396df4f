"""Which principles of a mature workflow a project keeps, and which it misses: one file a principle."""
