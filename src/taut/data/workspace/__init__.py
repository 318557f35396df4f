"""files in a folder <-> the cache by their digests, in DVC's layout, and the pointers that name them."""
