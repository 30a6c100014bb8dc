"""What arrays promise beyond coming back, which the suite for models holds on both dialects."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultDialect

from indiaai_db import PortableList
from indiaai_db.testing.tables import Colour


class Number(enum.IntEnum):
    """An enumeration whose values are no text."""

    ONE = 1


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        (str, [1]),
        (int, ["1"]),
        (int, [True]),
        (float, [1]),
        (uuid.UUID, ["1"]),
        (str, ["a", None]),
        (Decimal, [1]),
        (Colour, ["red"]),
    ],
)
def test_an_item_of_another_type_is_refused(item: type[Any], wrong: list[Any]) -> None:
    """One database would otherwise give back what another does not."""
    dialect: Dialect = DefaultDialect()

    with pytest.raises(ValueError, match="as all items of this column are"):
        PortableList(item).process_bind_param(wrong, dialect)


@pytest.mark.parametrize("wrong", ["NaN", "-Infinity"])
def test_a_decimal_that_is_no_number_is_refused_in_a_list(wrong: str) -> None:
    """As it is in a column of its own."""
    with pytest.raises(ValueError, match="must be finite"):
        PortableList(Decimal).process_bind_param([Decimal(wrong)], DefaultDialect())


def test_a_list_of_what_json_has_not_is_refused_at_the_model() -> None:
    """The error names what there is."""
    known = "items must be str, int, float, bool, datetime, Decimal, UUID or an enumeration whose values are text, not "

    for unknown in (bytes, Number):
        with pytest.raises(ValueError, match=known):
            PortableList(unknown)


def test_a_migration_can_write_the_type() -> None:
    """What it renders is Python that makes it again."""
    assert [repr(PortableList(item)) for item in (str, uuid.UUID, datetime, Decimal, Colour)] == [
        "PortableList(str)",
        "PortableList(indiaai_db.types.UUID)",
        "PortableList(indiaai_db.types.datetime)",
        "PortableList(indiaai_db.types.Decimal)",
        "PortableList(str)",
    ]
