"""Signs the links to objects and checks them; imported by the service and its routes."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from urllib.parse import parse_qs, urlencode

__all__ = ["is_signed", "sign"]


def sign(secret: bytes, request: str, *, expires_in: int, content_type: str = "") -> str:
    """Return the query that makes a link valid for one method, path and content type.

    Args:
        secret: What only the application's hosts know.
        request: `GET` (which `HEAD` may use too) or `PUT`, a space, and where the object is served, with the key as it is
            and not quoted.
        expires_in: Seconds for which the link is good, rounded up to the clock's next whole one.
        content_type: What a `PUT` must bring; empty for `GET`.
    """
    expires = math.ceil(time.time()) + expires_in
    return urlencode({"expires": expires, "signature": _signature(secret, request, str(expires), content_type)})


def is_signed(secret: bytes, request: str, *, query: str, content_type: str = "") -> bool:
    """Return whether a request's query is one that `sign` made for it and that has not expired."""
    fields = parse_qs(query)
    expires, signature = (fields.get(name, [""])[-1] for name in ("expires", "signature"))
    expected = _signature(secret, request, expires, content_type)
    # Compared as bytes: compare_digest refuses text that is not ASCII. The expiry is read only once it is known to be ours.
    return hmac.compare_digest(signature.encode(), expected.encode()) and time.time() < int(expires)


def _signature(secret: bytes, request: str, expires: str, content_type: str) -> str:
    message = "\n".join(("indiaai-storage-local 1", expires, content_type, request))
    return hmac.new(secret, message.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
