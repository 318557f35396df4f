"""bytes -> dataset version: snapshots, checkouts and differences of the files that a model learns from."""
