-- Which request an entry of the ledger comes from: the id of the token that was shown, the id of the request, and, erased
-- with the body, from where and by what kind of client it was sent.

ALTER TABLE ledger ADD COLUMN token TEXT;
ALTER TABLE ledger ADD COLUMN request TEXT;
ALTER TABLE ledger ADD COLUMN client TEXT;

-- Whoever appends learns by the same trip where the ledger ends and how often access changed.
{python ledger_turn};
