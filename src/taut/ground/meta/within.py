"""A store whose transactions are parts of one that is open already: what several verbs do, committed by one of ours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from taut.ground.meta.protocol import Figure, Metadata, Parameters, Row, Tx


class Within:
    """Metadata inside an open transaction: blocks are savepoints of it, reads see what it has written so far.

    Nothing is durable before the transaction around it is committed; an exception undoes its block alone.
    """

    def __init__(self, meta: Metadata, tx: Tx) -> None:
        self._meta = meta
        self._tx = tx

    @property
    def outside(self) -> Metadata:
        """The store itself: what is read there is committed."""
        return self._meta

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._meta.url

    @property
    def dialect(self) -> str:
        """That of the store."""
        return self._meta.dialect

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """A block that is undone where it fails."""
        self._tx.execute("SAVEPOINT within")
        try:
            yield self._tx
        except BaseException:
            with suppress(Exception):  # A full disk may have undone everything already; what failed first is told.
                self._tx.execute("ROLLBACK TO SAVEPOINT within")
                self._tx.execute("RELEASE SAVEPOINT within")
            raise
        self._tx.execute("RELEASE SAVEPOINT within")

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Queries in the transaction."""
        yield self._tx

    def ask(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        """One query in the transaction."""
        return self._tx.rows(sql, parameters)

    def figures(self) -> Mapping[str, Figure]:
        """Those of the store."""
        return self._meta.figures()

    def close(self) -> None:
        """Nothing is its own."""
