-- What gave a binding: a file, or the groups of which provider; empty for whoever bound by hand, and for older ones.
ALTER TABLE binding ADD COLUMN given_by TEXT NOT NULL DEFAULT '';
