"""The base of models that are the same on every dialect; imported by applications."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import sqlalchemy
from sqlalchemy.orm import DeclarativeBase

from indiaai_db.types import PortableDecimal, PortableJson, PortableList, UtcDateTime, portable_enum

__all__ = ["NAMING_CONVENTION", "Base"]

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name: a migration that drops one must call it by name, and SQLite gives it none."""


class Base(DeclarativeBase):
    """The base of an application's models: named constraints, and annotations that mean portable types.

    `Mapped[datetime]` is an aware UTC timestamp, `Mapped[uuid.UUID]` a UUID, `Mapped[dict[str, Any]]` and
    `Mapped[list[Any]]` JSON, `Mapped[list[str]]` and lists of `int`, `float`, `bool`, `datetime`, `Decimal` and `uuid.UUID`
    arrays, `Mapped[Decimal]` a decimal of 15 digits, 2 of them after the point, and `Mapped[Colour]` of an `enum.Enum` its
    values as text. Subclass it again for a second set of tables with metadata of its own.
    """

    metadata = sqlalchemy.MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        uuid.UUID: sqlalchemy.Uuid,
        Decimal: PortableDecimal,
        dict[str, Any]: PortableJson,
        list[Any]: PortableJson,
        **{list[item]: PortableList(item) for item in (str, int, float, bool, datetime, Decimal, uuid.UUID)},  # type: ignore[valid-type]  # made at run time
        enum.Enum: portable_enum(enum.Enum),
    }
