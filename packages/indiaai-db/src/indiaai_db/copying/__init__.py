"""All rows of one database into another one: what moves an application from SQLite to PostgreSQL, and back."""

from indiaai_db.copying.copy import TableCopied, copy_database

__all__ = ["TableCopied", "copy_database"]
