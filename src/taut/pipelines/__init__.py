"""alert -> run: the loop that retrains, judges and rolls out, and the CI workflows that do so elsewhere."""
