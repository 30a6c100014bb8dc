"""Models of an application, good ones and such as are wrong in one way; imported by tests and by their migrations."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from indiaai_db import Base, PortableList
from indiaai_db.models import NAMING_CONVENTION

__all__ = ["Forgetful", "Nameless", "Tables", "Wordy"]


class Colour(enum.Enum):
    """An enumeration whose values differ from its names."""

    RED = "red"
    DEEP_BLUE = "deep-blue"


class Tables(DeclarativeBase):
    """The root of models that are good."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = Base.type_annotation_map


class Author(Tables):
    """Somebody, and whom they learned from."""

    __tablename__ = "author"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    teacher_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("author.id"))


class Book(Tables):
    """A column of each kind."""

    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("author.id"), index=True)
    printed: Mapped[datetime]
    price: Mapped[Decimal]
    extra: Mapped[dict[str, Any]]
    tags: Mapped[list[str]]
    pages: Mapped[list[int]]
    weights: Mapped[list[float] | None]
    ticks: Mapped[list[bool]]
    readers: Mapped[list[uuid.UUID]]
    borrowed: Mapped[list[datetime]]
    fees: Mapped[list[Decimal]]
    covers: Mapped[list[Colour]] = mapped_column(PortableList(Colour))
    colour: Mapped[Colour | None]
    copies: Mapped[int] = mapped_column(sa.BigInteger)
    cover: Mapped[bytes]
    is_lent: Mapped[bool]


class Rounds(sa.types.TypeDecorator[int]):
    """Keeps hundreds."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: object) -> int | None:
        """Round."""
        return None if value is None else round(value, -2)


def base(**names: str) -> MetaData:
    """Return metadata for faulty models."""
    return MetaData(naming_convention=names or NAMING_CONVENTION)


class Forgetful(DeclarativeBase):
    """Models one of which rounds what it is given."""

    metadata = base()


class Counter(Forgetful):
    """A count."""

    __tablename__ = "counter"

    id: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(Rounds)


class Nameless(DeclarativeBase):
    """Models without a naming convention."""

    metadata = base(ix="ix_%(table_name)s_%(column_0_N_name)s")


class Tag(Nameless):
    """Something unique."""

    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(sa.String(9), unique=True)


class Wordy(DeclarativeBase):
    """Models with a name that does not end."""

    metadata = base()


class Long(Wordy):
    """A table with a long name."""

    __tablename__ = "a_table_with_a_name_of_" + "very_" * 10 + "many_letters"

    id: Mapped[int] = mapped_column(primary_key=True)
