"""Rules over the whole line: what is attested, retained and erased."""
