"""Several versions behind one endpoint: which of them answers a request, and whether a canary does as well as live."""
