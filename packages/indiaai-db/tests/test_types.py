"""What portable types promise beyond coming back, which the suites hold on both dialects."""

from __future__ import annotations

import enum
import json
import uuid
from datetime import datetime
from decimal import Decimal, FloatOperation, Inexact, localcontext
from typing import Any

import pytest
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultDialect

from indiaai_db import PortableDecimal, PortableList
from indiaai_db.testing.tables import Colour
from indiaai_db.types import dump_json


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


@pytest.mark.parametrize("given", ["ab", {"a": 1}, {"a"}, iter("ab")], ids=["text", "object", "set", "iterator"])
def test_what_is_no_list_is_refused(given: Any) -> None:
    """A text is not taken for its letters, nor what can be read once for nothing."""
    with pytest.raises(ValueError, match="is no list"):
        PortableList(str).process_bind_param(given, DefaultDialect())


@pytest.mark.parametrize("number", [1e16, -1e23, 1.7976931348623157e308, 1.5e300])
def test_a_large_float_stays_one_where_json_knows_only_numbers(number: float) -> None:
    """JSONB would write 1e+23 as an integer, which is another number; what a text says is left alone."""
    given = [number, f"{number}", f'\\"{number}', {f"{number}": {"": number}}]

    written = dump_json(given)

    assert json.loads(written) == given
    assert "e+" not in written.replace(f"{number}", "", 3)


@pytest.mark.parametrize("given", [Decimal("1234567890123.45"), Decimal("1.005"), 0.07])
def test_decimals_do_not_heed_the_applications_context(given: Any) -> None:
    """Whoever computes with five digits, or wants to hear of each rounding, keeps and reads the same values as all others."""
    kind = PortableDecimal()
    stored = kind.process_bind_param(Decimal(given), DefaultDialect())

    with localcontext() as context:
        context.prec = 5
        context.traps[Inexact] = context.traps[FloatOperation] = True
        assert kind.process_bind_param(Decimal(str(given)), DefaultDialect()) == stored
        assert kind.process_result_value(float(str(stored)), DefaultDialect()) == stored


def test_a_sum_may_have_more_digits_than_what_is_summed() -> None:
    """It is read by the same type."""
    assert PortableDecimal().process_result_value(Decimal("9" * 40), DefaultDialect()) == Decimal("9" * 40)


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
