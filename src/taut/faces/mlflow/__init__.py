"""MLflow's REST protocol over taut's verbs, so that unchanged MLflow clients find everything they know."""

# The version of MLflow whose clients the tests hold this face against. Clients ask for it at /version: one that reads
# less than 3.4 there sends no spans over OTLP, and uploads them as a file.
SPEAKS = "3.17.0"
