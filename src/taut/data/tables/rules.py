"""What a contract says: of a table, and of each of its columns."""

from typing import Literal

import msgspec

DTypes = Literal["int", "float", "bool", "date", "timestamp", "text", "any"]


class ColumnContract(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    r"""What each cell of a column must be; what is not said is not asked.

    `pattern` is of RE2's syntax and matches a whole cell, in time that grows with the cell alone: no look-around and no
    back-references, and `\w`, `\d`, `\b` know ASCII only (`\pL` is any letter).
    """

    dtype: DTypes = "any"
    nullable: bool = True
    unique: bool = False
    min: int | float | str | None = None
    max: int | float | str | None = None
    accepted_values: list[str] | None = None
    pattern: str | None = None


class Contract(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a table must be: its columns, others only where `strict` is false, and how many rows it has."""

    columns: dict[str, ColumnContract]
    strict: bool = True
    row_count_min: int | None = None
    row_count_max: int | None = None
    primary_key: list[str] = []
