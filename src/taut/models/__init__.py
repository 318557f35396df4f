"""run -> model version: the registry, and the gate that a version passes before anybody relies on it."""
