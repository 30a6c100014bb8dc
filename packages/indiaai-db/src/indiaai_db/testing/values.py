"""Promises D16 to D21, and D32: the same value comes back, or the same error, from every database."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import StatementError

from indiaai_core.testing.promises import promise
from indiaai_db.service import DatabaseService
from indiaai_db.testing.tables import Colour, Everything, create_tables

__all__ = ["ValuePromises"]


async def _stored(service: DatabaseService, **values: Any) -> Everything:
    async with service.session() as session:
        row = Everything(**values)
        session.add(row)
    async with service.session(read_only=True) as session:
        return await session.get_one(Everything, row.id)


class ValuePromises:
    """What the portable types promise."""

    @promise("D16", "A UUID comes back as the same UUID, all-digit ones too.")
    async def test_uuid_comes_back(self, service: DatabaseService) -> None:
        await create_tables(service)

        for given in (uuid.uuid4(), uuid.UUID(int=0), uuid.UUID("12345678901234567890123456789012")):
            assert (await _stored(service, id=given)).id == given

    @promise("D17", "An instant comes back aware, in UTC, to the microsecond, and compares as an instant in queries.")
    async def test_timestamp_comes_back_in_utc(self, service: DatabaseService) -> None:
        await create_tables(service)
        zoned = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30, seconds=7)))

        for given in (datetime(1, 1, 1, tzinfo=UTC), zoned, datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)):
            row = await _stored(service, made=given)
            async with service.session(read_only=True) as session:
                found = (await session.scalars(select(Everything.id).where(Everything.made == given.astimezone(UTC)))).all()
                latest = await session.scalar(select(func.max(Everything.made)))

            assert row.made == latest == given
            assert getattr(row.made, "tzinfo", None) is UTC
            assert found == [row.id]

    @promise("D18", "A datetime without a zone is refused.")
    async def test_naive_datetime_is_refused(self, service: DatabaseService) -> None:
        await create_tables(service)

        with pytest.raises(StatementError, match="has no time zone"):
            await _stored(service, made=datetime(2026, 1, 1))  # noqa: DTZ001 - what is to be refused

    @promise("D19", "JSON comes back equal in every script, None as NULL; NaN and U+0000 are refused.")
    async def test_json_comes_back(self, service: DatabaseService) -> None:
        await create_tables(service)
        given = {"b": [1, 2.5, None, True, {}], "a": "नमस्ते தமிழ் 🙂", "": "\\u0000 is text", "n": 2**53}
        items = [1, [2], 1e23, -1.5e300, "1e+23", '"']

        row = await _stored(service, extra=given, items=items)
        empty = await _stored(service, extra=None)

        assert (row.extra, repr(row.items)) == (given, repr(items))
        assert empty.extra is None
        for refused in (math.nan, math.inf, "a\x00b", "\ud800"):
            with pytest.raises(StatementError, match=r"ValueError|UnicodeEncodeError"):
                await _stored(service, extra={"key": refused})

    @promise("D20", "An enumeration's member comes back as the same member.")
    async def test_enum_comes_back(self, service: DatabaseService) -> None:
        await create_tables(service)

        for member in Colour:
            assert (await _stored(service, colour=member)).colour is member

    @promise(
        "D21", "A decimal comes back to the last of its digits, sums exactly, is rounded half up, and refused if too large."
    )
    async def test_decimal_comes_back(self, service: DatabaseService) -> None:
        await create_tables(service)

        for text in ("9999999999999.99", "-9999999999999.99", "0.10", "0.07", "1234567890123.45"):
            assert str((await _stored(service, amount=Decimal(text))).amount) == text
        assert str((await _stored(service, amount=Decimal("1.005"))).amount) == "1.01"
        async with service.session(read_only=True) as session:
            total = await session.scalar(select(func.sum(Everything.amount)).where(Everything.amount < 2))
        assert total == Decimal("-9999999999998.81")
        for refused in (Decimal(10**13), Decimal("1E+200"), Decimal("9999999999999.995"), Decimal("NaN")):
            with pytest.raises(StatementError, match="does not fit"):
                await _stored(service, amount=refused)

    @promise("D32", "An array comes back with the same items in the same order, of whatever type; one of another is refused.")
    async def test_array_comes_back(self, service: DatabaseService) -> None:
        await create_tables(service)
        instant = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
        given: dict[str, list[Any]] = {
            "words": ["b", "a", "b", "", "null", "1"],
            "counts": [2**63, -1, -1, 0],
            "ratios": [0.1, 1e-300, 2.0, 2.0],
            "flags": [True, False, False],
            "instants": [instant, instant.replace(microsecond=0), instant],
            "amounts": [Decimal("0.10"), Decimal("12345678901234567890.123"), Decimal("0.10")],
            "keys": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID(int=0)],
            "colours": [*Colour, *Colour],
        }

        row = await _stored(service, **given)
        empty = await _stored(service, words=[], counts=None)

        assert {name: repr(getattr(row, name)) for name in given} == {name: repr(items) for name, items in given.items()}
        assert (empty.words, empty.counts) == ([], None)
        for refused in ({"counts": [1, "2"]}, {"words": [None]}, {"words": "ab"}, {"instants": [datetime(2026, 1, 1)]}):  # noqa: DTZ001 - what is to be refused
            with pytest.raises(StatementError, match=r"as all items of this column are|has no time zone|is no list"):
                await _stored(service, **refused)
