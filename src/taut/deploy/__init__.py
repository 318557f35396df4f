"""model version -> deployment: which versions stand behind an endpoint, planned, applied and reconciled."""
