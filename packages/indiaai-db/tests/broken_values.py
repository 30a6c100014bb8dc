"""Databases that give other values back than they were given, each in one way; `breaks` is the promise that must notice."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from decimal import Decimal
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from indiaai_db.engines import Engines
from indiaai_db.sqlite import SqliteDatabaseService
from indiaai_db.testing.tables import Everything

__all__: list[str] = []


class Spoils(SqliteDatabaseService):
    """Changes values on their way to the driver."""

    def spoil(self, value: Any) -> Any:
        """Return what is written in a value's place."""
        return value

    def _create_engines(self) -> Engines:
        engines = super()._create_engines()
        event.listen(engines.writer.sync_engine, "before_cursor_execute", self._spoil_all, retval=True)
        return engines

    def _spoil_all(self, _: object, __: object, statement: str, parameters: Any, *___: object) -> tuple[str, Any]:
        return statement, type(parameters)(self.spoil(value) for value in parameters)


class NumbersForDigits(Spoils):
    """Writes a UUID as a number where it has digits only."""

    breaks = "D16"

    def spoil(self, value: Any) -> Any:
        """Take what looks like a number for one."""
        return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{32}", value) else value


class WholeSeconds(Spoils):
    """Writes an instant down to the second."""

    breaks = "D17"

    def spoil(self, value: Any) -> Any:
        """Cut the microseconds."""
        is_instant = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", value)
        return f"{value[:-6]}000000" if is_instant else value


class TakesNaiveForUtc(SqliteDatabaseService):
    """Takes a datetime without a zone for one in UTC."""

    breaks = "D18"

    @asynccontextmanager
    async def _transaction(self, *given: Any, **how: Any) -> AsyncIterator[AsyncSession]:
        async with super()._transaction(*given, **how) as session:
            event.listen(session.sync_session, "before_flush", _make_aware)
            yield session


def _make_aware(session: Session, *_: object) -> None:
    for row in session.new:
        if isinstance(row, Everything) and row.made is not None and row.made.tzinfo is None:
            row.made = row.made.replace(tzinfo=UTC)


class AsciiOnly(Spoils):
    """Writes ASCII only."""

    breaks = "D19"

    def spoil(self, value: Any) -> Any:
        """Lose every other script."""
        return value.encode("ascii", "replace").decode() if isinstance(value, str) else value


class OneColour(Spoils):
    """Knows one member of an enumeration."""

    breaks = "D20"

    def spoil(self, value: Any) -> Any:
        """Write that one."""
        return "red" if value == "deep-blue" else value


class SevenDigits(Spoils):
    """Writes a decimal as a float of single precision."""

    breaks = "D21"

    def spoil(self, value: Any) -> Any:
        """Keep the first digits."""
        return float(f"{value:.7g}") if isinstance(value, float | Decimal) else value


class SetsForLists(Spoils):
    """Writes an array without what is in it twice."""

    breaks = "D32"

    def spoil(self, value: Any) -> Any:
        """Take a list of plain items for a set."""
        items: list[Any] = json.loads(value) if isinstance(value, str) and value.startswith("[") else []
        is_plain = items and not any(isinstance(item, list | dict) for item in items)
        return json.dumps(list(dict.fromkeys(items))) if is_plain else value
