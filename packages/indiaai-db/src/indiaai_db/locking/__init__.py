"""Finds what a migration would lock on PostgreSQL, before it does; used by the migrations alone."""

from indiaai_db.locking.watch import LockWatch

__all__ = ["LockWatch"]
