"""What S3 keeps beside an object's bytes, in its words and in ours; imported by the service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any
from urllib.parse import quote, unquote

from indiaai_core import ObjectInfo

__all__ = ["describe", "headers"]

# A header carries ASCII and loses the blanks around its value; what is kept as it is stays readable to other tools.
_KEPT = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


def headers(content_type: str, *, metadata: Mapping[str, str], cache_control: str, content_disposition: str) -> dict[str, Any]:
    """Return what an object is described by, as boto3 takes it.

    Args:
        content_type: The media type.
        metadata: The user's pairs, checked.
        cache_control: What `Cache-Control` is to say; empty for nothing.
        content_disposition: What `Content-Disposition` is to say; empty for nothing.
    """
    pairs = {name: quote(value, safe=_KEPT, errors="surrogatepass") for name, value in metadata.items()}
    optional = {"CacheControl": cache_control, "ContentDisposition": content_disposition}
    return {"ContentType": content_type, "Metadata": pairs, **{name: value for name, value in optional.items() if value}}


def describe(key: str, answer: Mapping[str, Any], *, size: int) -> ObjectInfo:
    """Return what S3 answers about an object; a listing tells less of it than a question about the one object."""
    metadata = answer.get("Metadata", {})
    return ObjectInfo(
        key=key,
        size=size,
        content_type=answer.get("ContentType", ""),
        etag=answer["ETag"].strip('"'),
        last_modified=answer["LastModified"].astimezone(UTC),
        metadata={name.lower(): unquote(value, errors="surrogatepass") for name, value in metadata.items()},
        cache_control=answer.get("CacheControl", ""),
        content_disposition=answer.get("ContentDisposition", ""),
    )
