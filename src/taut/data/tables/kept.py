"""How profiles are kept beside their versions: as JSON of bounded size, written once."""

from taut.errors import Invalid
from taut.ground import wire
from taut.ground.meta import Tx
from taut.records import TableProfile

SIZE_MAX = 100_000  # Bytes of JSON for up to 100 columns, 1,000 for each more.
SELECT_PROFILE = "SELECT body FROM dataset_profile WHERE name = :name AND number = :number"
INSERT_PROFILE = """
INSERT INTO dataset_profile (name, number, body) VALUES (:name, :number, :body)
ON CONFLICT (name, number) DO NOTHING
"""


def size_max(columns: int) -> int:
    """The bytes that the profile of a table may have.

    >>> size_max(20), size_max(10_000)
    (100000, 10000000)
    """
    return max(SIZE_MAX, 1_000 * columns)


def profile_text(profile: TableProfile, name: str) -> str:
    """A profile as it is stored. Raises Invalid where it is larger than one may be."""
    body = wire.text(profile)
    if len(body) > size_max(len(profile.columns)):
        raise Invalid(f"the profile of {name} has {len(body)} bytes, more than {size_max(len(profile.columns))}")
    return body


def insert_profile(tx: Tx, name: str, number: int, body: str) -> bool:
    """Keep the profile of a version that has none; whether that was so: one that is there stays."""
    if tx.row(SELECT_PROFILE, {"name": name, "number": number}) is not None:
        return False
    tx.execute(INSERT_PROFILE, {"name": name, "number": number, "body": body})
    return True
