"""Models as MLflow's flavours save them: a loader a flavour, each answering as MLflow's own `pyfunc` would."""
