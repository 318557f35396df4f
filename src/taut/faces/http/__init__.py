"""The HTTP face: verbs by name, objects by digest, and the protocols that others' clients speak."""
