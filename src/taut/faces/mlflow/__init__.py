"""MLflow's REST protocol over taut's verbs, so that unchanged MLflow clients find everything they know."""
