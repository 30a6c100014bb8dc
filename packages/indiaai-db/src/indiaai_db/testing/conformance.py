"""The whole suite; subclassed by the tests of each backend."""

from __future__ import annotations

from indiaai_core.testing import Conformance
from indiaai_db.testing.lifecycle import LifecyclePromises
from indiaai_db.testing.migrations import MigrationPromises
from indiaai_db.testing.transactions import TransactionPromises
from indiaai_db.testing.values import ValuePromises

__all__ = ["DatabaseConformance"]


class DatabaseConformance(TransactionPromises, ValuePromises, MigrationPromises, LifecyclePromises, Conformance):
    """What every database backend does.

    Subclass it in a test module and give the asynchronous fixture `service`: an open service on an empty database, which
    the fixture closes.
    """
