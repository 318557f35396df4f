"""The faces of the same verbs: command line, HTTP, the MLflow protocol and pages. They parse, call and show."""
