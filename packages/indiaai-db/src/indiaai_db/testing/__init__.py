"""The conformance kit of the database layer; imported by tests only. Needs `indiaai-db[testing]`."""

from indiaai_db.testing.conformance import DatabaseConformance
from indiaai_db.testing.models import ModelConformance
from indiaai_db.testing.server import PostgresqlServer

__all__ = ["DatabaseConformance", "ModelConformance", "PostgresqlServer"]
