"""What is in a table: its profile, the difference of two of them, and the contract that it keeps."""
