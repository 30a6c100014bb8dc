"""What arrays promise beyond coming back, which the suite for models holds on both dialects."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultDialect

from indiaai_db import PortableList


@pytest.mark.parametrize(
    ("item", "wrong"), [(str, [1]), (int, ["1"]), (int, [True]), (float, [1]), (uuid.UUID, ["1"]), (str, ["a", None])]
)
def test_an_item_of_another_type_is_refused(item: type[Any], wrong: list[Any]) -> None:
    """One database would otherwise give back what another does not."""
    dialect: Dialect = DefaultDialect()

    with pytest.raises(ValueError, match="as all items of this column are"):
        PortableList(item).process_bind_param(wrong, dialect)


def test_a_list_of_what_json_has_not_is_refused_at_the_model() -> None:
    """The error names what there is."""
    with pytest.raises(ValueError, match="items must be str, int, float, bool, UUID, not <class 'bytes'>"):
        PortableList(bytes)


def test_a_migration_can_write_the_type() -> None:
    """What it renders is Python that makes it again."""
    assert [repr(PortableList(item)) for item in (str, uuid.UUID)] == [
        "PortableList(str)",
        "PortableList(indiaai_db.types.UUID)",
    ]
