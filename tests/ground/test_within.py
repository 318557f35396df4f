"""A store inside an open transaction: blocks are whole or undone, reads see them, and only the outer commit counts."""

import pytest

from taut.errors import Invalid, NotFound
from taut.ground.meta.within import Within
from taut.home import Home

INSERT = "INSERT INTO access_state (one, version, logins) VALUES (:one, 0, 0)"
ALL = "SELECT one FROM access_state WHERE one > 10 ORDER BY one"


def there(home: Home) -> list[object]:
    return [one for (one,) in home.meta.ask(ALL)]


def test_what_blocks_write_is_seen_inside_and_outside_after_the_commit(home: Home):
    with home.meta.transaction() as outer:
        inner = Within(home.meta, outer)
        with inner.transaction() as tx:
            tx.execute(INSERT, {"one": 11})
        with inner.read() as tx:
            assert tx.row(ALL) == (11,)
        assert list(inner.ask(ALL)) == [(11,)]
        assert there(home) == []
        inner.close()
    assert there(home) == [11]


def test_a_block_that_fails_is_undone_alone(home: Home):
    with home.meta.transaction() as outer:
        inner = Within(home.meta, outer)
        with inner.transaction() as tx:
            tx.execute(INSERT, {"one": 11})
        with pytest.raises(NotFound), inner.transaction() as tx:
            tx.execute(INSERT, {"one": 12})
            raise NotFound("nothing")
        with inner.transaction() as tx:
            tx.execute(INSERT, {"one": 13})
    assert there(home) == [11, 13]


def test_a_statement_that_fails_leaves_the_transaction_usable(home: Home):
    with home.meta.transaction() as outer:
        inner = Within(home.meta, outer)
        with inner.transaction() as tx:
            tx.execute(INSERT, {"one": 11})
        with pytest.raises(Exception, match=r"(?i)unique"), inner.transaction() as tx:
            tx.execute(INSERT, {"one": 11})
        with inner.transaction() as tx:
            tx.execute(INSERT, {"one": 12})
    assert there(home) == [11, 12]


def test_an_outer_transaction_that_fails_undoes_every_block(home: Home):
    with pytest.raises(Invalid), home.meta.transaction() as outer:
        with Within(home.meta, outer).transaction() as tx:
            tx.execute(INSERT, {"one": 11})
        raise Invalid("no")
    assert there(home) == []


def test_it_is_the_store_that_it_is_in(home: Home):
    with home.meta.transaction() as outer:
        inner = Within(home.meta, outer)
        assert (inner.url, inner.dialect) == (home.meta.url, home.meta.dialect)
