"""Moving in from MLflow's stores and out again: readers of each kind of store, a writer here, writers there."""
