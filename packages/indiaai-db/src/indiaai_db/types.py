"""Column types that give the same value back on every dialect; imported by models."""

from __future__ import annotations

import enum
import json
import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["PortableDecimal", "PortableJson", "PortableList", "UtcDateTime", "dump_json", "portable_enum", "utc_now"]

MAX_DECIMAL_DIGITS = 15
"""SQLite keeps a decimal as a binary float, which holds every decimal of 15 digits and not every one of 16."""

# Whatever the application's own context says. A sum may have more digits than what is summed; what has too many is NaN.
_DECIMALS = Context(prec=100, rounding=ROUND_HALF_UP, traps=[])

_LARGE_FLOATS = re.compile(r'"(?:[^"\\]|\\.)*"|-?[\d.]+e\+\d+')
"""Strings, which are passed over, and floats from 1e16 on."""


def utc_now() -> datetime:
    """Return the instant, aware, in UTC: the default of a timestamp (`mapped_column(default=utc_now)`)."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, to the microsecond: takes aware datetimes of any zone and gives aware ones in UTC.

    A naive datetime is refused, for nobody knows what it means. SQLite keeps no zone: there UTC is what is written.
    """

    impl = sqlalchemy.DateTime
    cache_ok = True

    def __init__(self) -> None:
        """Ask for a column that knows zones, where there is one."""
        super().__init__(timezone=True)

    def __repr__(self) -> str:
        """Render the type as a migration writes it."""
        return "UtcDateTime()"

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn the instant into UTC."""
        return None if value is None else _in_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say that it is UTC."""
        return None if value is None else value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone: give an aware datetime, such as datetime.now(UTC)")
    return value.astimezone(UTC)


class PortableJson(TypeDecorator[Any]):
    """A JSON value: JSONB on PostgreSQL, text elsewhere; `None` is NULL.

    What only some databases take is refused on all: NaN and infinities, the character U+0000 and half surrogate pairs. JSONB
    keeps neither the order of an object's names nor the sign of -0.0. Assign a new value to change it: what is changed in
    place is not noticed.
    """

    impl = sqlalchemy.JSON
    cache_ok = True

    def __init__(self) -> None:
        """Store `None` as NULL."""
        super().__init__(none_as_null=True)

    def __repr__(self) -> str:
        """Render the type as a migration writes it."""
        return "PortableJson()"

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose JSONB where there is one."""
        kind = postgresql.JSONB if dialect.name == "postgresql" else sqlalchemy.JSON
        return dialect.type_descriptor(kind(none_as_null=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Refuse what some database would not take."""
        if value is not None:
            dump_json(value)
        return value


def dump_json(value: Any) -> str:
    """Serialize a value as every engine of this layer does.

    Raises:
        ValueError: It holds NaN, an infinity, U+0000 or half of a surrogate pair.
        TypeError: It is not JSON.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    text.encode()  # or each driver would refuse in its own words what is no Unicode
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("JSON for the database must not hold the character U+0000: PostgreSQL cannot store it")
    # JSONB writes 1e+23 as an integer, which is another number.
    return _LARGE_FLOATS.sub(_spell, text) if "e+" in text else text


def _spell(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else f"{Decimal(found[0]):f}.0"


class PortableDecimal(TypeDecorator[Decimal]):
    """A decimal number of at most 15 digits, rounded half up to its scale; one that is too large is refused.

    Args:
        precision: Digits in all, 1 to 15. For more, store integers of the smallest unit.
        scale: Digits after the point.
    """

    impl = sqlalchemy.Numeric
    cache_ok = True

    def __init__(self, precision: int = MAX_DECIMAL_DIGITS, scale: int = 2) -> None:
        """Keep the limits."""
        if not 0 <= scale <= precision <= MAX_DECIMAL_DIGITS:
            raise ValueError(f"precision must be 1 to {MAX_DECIMAL_DIGITS} and scale 0 to precision, not {precision}, {scale}")
        super().__init__(precision, scale)
        self._digits = (precision, scale)
        self._limit = Decimal(10) ** (precision - scale)
        self._step = Decimal(1).scaleb(-scale)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Take floats from SQLite: 15 digits come back exactly, and SQLAlchemy would warn of decimals."""
        numeric: Any = sqlalchemy.Numeric  # its two types of result are told apart by a literal
        return dialect.type_descriptor(numeric(*self._digits, asdecimal=dialect.name != "sqlite"))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | None:
        """Round to the scale, and refuse what does not fit."""
        if value is None:
            return None
        rounded = _DECIMALS.quantize(Decimal(value), self._step)
        if not (rounded.is_finite() and rounded.copy_abs() < self._limit):
            raise ValueError(f"{value} does not fit: it must be finite, and less than {self._limit}")
        return rounded

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Give the digits of the scale, no more and no fewer."""
        return None if value is None else _DECIMALS.quantize(_DECIMALS.create_decimal(value), self._step)


class PortableList(TypeDecorator[list[Any]]):
    """A list whose items are all of one type: an array, JSONB on PostgreSQL and JSON text elsewhere; `None` is NULL.

    Assign a new list to change it: what is changed in place is not noticed. An item of another type, None and a naive datetime
    are refused. Decimals keep all their digits, for in JSON they are text.

    Args:
        item: `str`, `int`, `float`, `bool`, `datetime`, `Decimal`, `uuid.UUID`, or an enumeration whose values are text.
    """

    impl = PortableJson
    cache_ok = True

    def __init__(self, item: type[Any]) -> None:
        """Keep the items' type."""
        members: Any = item if isinstance(item, enum.EnumType) else [item]
        if item not in _ITEMS and not all(isinstance(getattr(member, "value", None), str) for member in members):
            known = ", ".join(known.__name__ for known in _ITEMS)
            raise ValueError(f"items must be {known} or an enumeration whose values are text, not {item!r}")
        super().__init__()
        self.item = item

    def __repr__(self) -> str:
        """Render the type as a migration writes it; an enumeration's values are text there."""
        name = self.item.__name__ if self.item in _ITEMS else "str"
        return f"PortableList({f'indiaai_db.types.{name}' if name in globals() else name})"

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> list[Any] | None:
        """Write the items as JSON has them."""
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise ValueError(f"{value!r} is no list")
        wrong = [item for item in value if type(item) is not self.item]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no {self.item.__name__}, as all items of this column are")
        return [_as_json(item) for item in value]

    def process_result_value(self, value: list[Any] | None, dialect: Dialect) -> list[Any] | None:
        """Give the items as they were."""
        load: Any = datetime.fromisoformat if self.item is datetime else self.item
        return None if value is None else [load(item) for item in value]


_ITEMS = (str, int, float, bool, datetime, Decimal, UUID)


def _as_json(item: Any) -> Any:
    if isinstance(item, datetime):
        return _in_utc(item).isoformat()
    if isinstance(item, Decimal) and not item.is_finite():
        raise ValueError(f"{item} does not fit: it must be finite")
    if isinstance(item, enum.Enum):
        return item.value
    return str(item) if isinstance(item, Decimal | UUID) else item


def portable_enum(enumeration: type[enum.Enum], *, length: int = 64) -> sqlalchemy.Enum:
    """Return the type of a column that holds an enumeration's values as text, and gives its members.

    It is text on PostgreSQL too: adding a member to a native type cannot be undone, nor used in the same transaction.

    Args:
        enumeration: The enumeration; its values must be text.
        length: The most characters of a value, so that a longer one needs no migration.
    """
    return sqlalchemy.Enum(enumeration, native_enum=False, length=length, values_callable=_values, validate_strings=True)


def _values(enumeration: type[enum.Enum]) -> list[str]:
    return [str(member.value) for member in enumeration]
