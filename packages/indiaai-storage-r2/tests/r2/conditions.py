"""The conditions of reads and writes, as RFC 9110 (section 13) orders them; imported by the server's operations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from r2.messages import Refused
from r2.store import StoredObject

__all__ = ["is_modified", "require", "require_unchanged"]


def require(headers: Mapping[str, str], stored: StoredObject | None, *, prefix: str = "") -> None:
    """Refuse with 412 what must not be done to, or with, an object in this state.

    Args:
        headers: The request's.
        stored: The object; None where there is none.
        prefix: What stands before the conditions' names (`x-amz-copy-source-`).

    Raises:
        Refused: A condition does not hold.
    """
    holds = not _fails(headers, stored, prefix=prefix) and is_modified(headers, stored, prefix=prefix)
    if not holds:
        raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")


def require_unchanged(headers: Mapping[str, str], stored: StoredObject) -> None:
    """Refuse with 412 a read whose If-Match or If-Unmodified-Since does not hold.

    Raises:
        Refused: One of them does not.
    """
    if _fails(headers, stored, prefix=""):
        raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")


def is_modified(headers: Mapping[str, str], stored: StoredObject | None, *, prefix: str = "") -> bool:
    """Return whether If-None-Match and If-Modified-Since hold; a read for which they do not is answered 304."""
    tags = headers.get(f"{prefix}if-none-match")
    if tags is not None:
        return stored is None or not _names(tags, stored)
    since = _date(headers, f"{prefix}if-modified-since")
    return since is None or stored is None or stored.modified.replace(microsecond=0) > since


def _fails(headers: Mapping[str, str], stored: StoredObject | None, *, prefix: str) -> bool:
    tags = headers.get(f"{prefix}if-match")
    if tags is not None:
        return stored is None or not _names(tags, stored)
    since = _date(headers, f"{prefix}if-unmodified-since")
    return since is not None and stored is not None and stored.modified.replace(microsecond=0) > since


def _names(tags: str, stored: StoredObject) -> bool:
    listed = {tag.strip().removeprefix("W/").strip('"') for tag in tags.split(",")}
    return bool({"*", stored.etag} & listed)


def _date(headers: Mapping[str, str], name: str) -> datetime | None:
    return parsedate_to_datetime(headers[name]) if name in headers else None
