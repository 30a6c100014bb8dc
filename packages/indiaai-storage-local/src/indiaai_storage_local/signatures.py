"""Signs the links to objects and checks them; imported by the service and its routes."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import time
from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode

__all__ = ["sign", "signed_headers"]

_HEADERS = ("cache_control", "content_disposition")
"""What a link may say its answers are to say, in place of the object's own."""


def sign(
    secret: bytes, request: str, *, expires_in: int, content_type: str = "", headers: Mapping[str, str] | None = None
) -> str:
    """Return the query that makes a link valid for one method, path and content type.

    Args:
        secret: What only the application's hosts know.
        request: `GET` (which `HEAD` may use too) or `PUT`, a space, and where the object is served, with the key as it is
            and not quoted.
        expires_in: Seconds for which the link is good, rounded up to the clock's next whole one.
        content_type: What a `PUT` must bring; empty for `GET`.
        headers: `cache_control` and `content_disposition` for the link's answers; what is empty is left to the object.
    """
    expires = str(math.ceil(time.time()) + expires_in)
    chosen = {name: value for name, value in (headers or {}).items() if value}
    signature = _signature(secret, request, expires=expires, content_type=content_type, headers=chosen)
    return urlencode({"expires": expires, **chosen, "signature": signature})


def signed_headers(secret: bytes, request: str, *, query: str, content_type: str = "") -> dict[str, str] | None:
    """Return what a link says its answers are to say; None unless `sign` made the query for this request, and it is good."""
    fields = {name: values[-1] for name, values in parse_qs(query).items()}
    expires, signature = fields.get("expires", ""), fields.get("signature", "")
    headers = {name: fields[name] for name in _HEADERS if name in fields}
    expected = _signature(secret, request, expires=expires, content_type=content_type, headers=headers)
    # Compared as bytes: compare_digest refuses text that is not ASCII. The expiry is read only once it is known to be ours.
    is_good = hmac.compare_digest(signature.encode(), expected.encode()) and time.time() < int(expires)
    return headers if is_good else None


def _signature(secret: bytes, request: str, *, expires: str, content_type: str, headers: Mapping[str, str]) -> str:
    # As JSON, for what a query says may hold line breaks, and no two links may have one message.
    chosen = [json.dumps(headers, sort_keys=True)] if headers else []
    message = "\n".join(("indiaai-storage-local 1", expires, content_type, request, *chosen))
    return hmac.new(secret, message.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
