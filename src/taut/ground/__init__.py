"""What every room stands on: rows, objects, ledger, compute, access. It knows nothing of ML."""
