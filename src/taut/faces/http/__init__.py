"""The HTTP face: taut's verbs and objects, MLflow's protocol, and probes, on one port."""
