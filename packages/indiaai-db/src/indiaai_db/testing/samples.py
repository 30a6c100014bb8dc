"""Rows for any models: two for each table, the one at the limits of its columns, the other with nothing where that may be.

Imported by the suite for models alone.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, MetaData, Table

from indiaai_db.types import PortableDecimal, PortableJson, PortableList, UtcDateTime

__all__ = ["sample_rows"]

_TEXT = "नमस्ते தமிழ் 🙂 \\ ' \" %s :a\n"

Row = dict[str, Any]


def sample_rows(metadata: MetaData, given: Mapping[str, Any]) -> list[tuple[Table, Row]]:
    """Return two rows for each table, those that others refer to first.

    Args:
        metadata: The models' metadata.
        given: Values for columns whose type is not known here, by `table.column`.

    Raises:
        LookupError: A column's type is not known and no value is given for it; its name says which.
    """
    rows: list[tuple[Table, Row]] = []
    for table in metadata.sorted_tables:
        for number in (1, 2):
            made: Mapping[str, list[Row]] = {}
            for earlier, values in rows:
                made = {**made, earlier.name: [*made.get(earlier.name, []), values]}
            rows.append((table, _row(table, number, made, given)))
    return rows


def _row(table: Table, number: int, made: Mapping[str, Sequence[Row]], given: Mapping[str, Any]) -> Row:
    row = {}
    for column in table.columns:
        if column.computed is not None:
            continue
        key = f"{table.name}.{column.name}"
        if key in given:
            row[column.name] = given[key]
        elif column.foreign_keys:
            row[column.name] = _referred(column, number, made)
        elif number == 2 and column.nullable:
            row[column.name] = None
        else:
            row[column.name] = _value(column, number, key)
    return row


def _referred(column: Column[Any], number: int, made: Mapping[str, Sequence[Row]]) -> Any:
    target = next(iter(column.foreign_keys)).column
    rows = made.get(target.table.name, ())
    if column.table is target.table or len(rows) < number:  # a tree's own rows: nobody is above the first ones
        return None
    return rows[number - 1][target.name]


def _value(column: Column[Any], number: int, key: str) -> Any:
    kind = column.type
    for known, make in _MAKERS.items():
        if isinstance(kind, known):
            return make(kind, number)
    if isinstance(kind, sa.types.TypeDecorator):
        for known, make in _MAKERS.items():
            if isinstance(kind.impl_instance, known):
                return make(kind.impl_instance, number)
    raise LookupError(f"The suite knows no value for {key} of the type {kind!r}: give one in `samples`.")


def _text(kind: Any, number: int) -> str:
    text = f"{number}{_TEXT * 40}"
    return text[: kind.length] if kind.length else text


def _member(kind: Any, number: int) -> Any:
    members: list[Any] = list(kind.enum_class) if kind.enum_class else list(kind.enums)
    return members[-1] if number == 1 and isinstance(members[-1], (enum.Enum, str)) else members[0]


def _largest_decimal(kind: Any, number: int) -> Decimal:
    precision, scale = int(kind.impl_instance.precision), int(kind.impl_instance.scale)
    return Decimal(10**precision - number).scaleb(-scale)


def _items(kind: Any, number: int) -> list[Any]:
    items: dict[type[Any], list[Any]] = {
        str: [_TEXT, ""],
        int: [2**53 - number, -1],
        float: [number / 3],
        bool: [True, False],
        datetime: [_instant(None, number)],
        Decimal: [Decimal("0.10"), Decimal(10**20)],
        uuid.UUID: [uuid.UUID(int=number)],
    }
    return (items.get(kind.item) or [*kind.item]) if number == 1 else []


def _instant(_: Any, number: int) -> datetime:
    return datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC) + timedelta(microseconds=number)


_MAKERS: Mapping[type[Any], Callable[[Any, int], Any]] = {
    UtcDateTime: _instant,
    PortableJson: lambda _, number: {"b": [number, 2.5, None, True, {}], "a": _TEXT, "n": 2**53},
    PortableList: _items,
    PortableDecimal: _largest_decimal,
    sa.Enum: _member,
    sa.Uuid: lambda _, number: uuid.UUID(int=number),
    sa.Boolean: lambda _, number: number == 1,
    sa.SmallInteger: lambda _, number: 2**15 - number,
    sa.BigInteger: lambda _, number: 2**63 - number,
    sa.Integer: lambda _, number: 2**31 - number,
    sa.Float: lambda _, number: number / 3,
    sa.LargeBinary: lambda _, number: bytes(range(256)) * number,
    sa.DateTime: lambda _, number: datetime(2026, 1, number, 12),  # noqa: DTZ001 - the column has no zone
    sa.Date: lambda _, number: date(2026, 2, 27 + number),
    sa.Time: lambda _, number: time(23, 59, 59, number),
    sa.String: _text,
}
"""What makes a value of each type; the first that fits, so special types stand before those that they are made from."""
