"""Signature version 4 as S3 has it, in headers and in URLs; imported by the lean client.

The same request has the signature that botocore gives it, byte for byte. Written after
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

__all__ = ["EMPTY_SHA256", "UNSIGNED_PAYLOAD", "Signer", "encode_query"]

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

_REGION = "auto"
_ALGORITHM = "AWS4-HMAC-SHA256"
_NAMES = re.compile(r"[a-z0-9!#$%&'*+.^_`|~;-]+")


class _Moment(NamedTuple):
    """What signatures of one second have in common."""

    second: int
    stamp: str
    scope: str
    credential: str
    key: bytes


class Signer:
    """Signs requests to one host with one pair of keys. Threads may share it."""

    def __init__(
        self,
        host: str,
        *,
        access_key_id: str,
        secret_access_key: str,
        session_token: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Hold the keys.

        Args:
            host: The value of the header `Host`.
            access_key_id: The id that the store knows the secret by.
            secret_access_key: The secret.
            session_token: The token of temporary credentials.
            clock: The time in seconds since 1970.
        """
        self._host = host
        self._access_key_id = access_key_id
        self._secret = secret_access_key
        self._token = session_token
        self._clock = clock
        self._day, self._key = "", b""
        self._moment = _Moment(-1, "", "", "", b"")

    def sign_headers(self, method: str, path: str, *, query: str, headers: Mapping[str, str], payload: str) -> str:
        """Return the lines of a request's headers, signature and `Host` among them, each with its end.

        Args:
            method: The method.
            path: The path, percent-encoded.
            query: What `encode_query` returns.
            headers: All others that are signed, by their names in lower case.
            payload: The SHA-256 of the body in hex, or `UNSIGNED_PAYLOAD`.

        Raises:
            ValueError: A header holds what would end its line.
        """
        now = self._now()
        signed = {**headers, "host": self._host, "x-amz-content-sha256": payload, "x-amz-date": now.stamp}
        if self._token:
            signed["x-amz-security-token"] = self._token
        pairs = sorted(signed.items())
        names = ";".join([name for name, _ in pairs])
        lines = [f"{name}:{value}" for name, value in pairs]
        if not _are_names(names) or not "".join(lines).isprintable():
            raise ValueError(f"One of the headers {names!r} holds what no header may.")
        canonical = "\n".join(lines)
        if "  " in canonical or ": " in canonical or " \n" in canonical or canonical.endswith(" "):
            canonical = _canonical(pairs)
        signature = self._sign(f"{method}\n{path}\n{query}\n{canonical}\n\n{names}\n{payload}", now)
        lines.append(
            f"authorization: {_ALGORITHM} Credential={self._access_key_id}/{now.scope}, "
            f"SignedHeaders={names}, Signature={signature}\r\n"
        )
        return "\r\n".join(lines)

    def sign_url(
        self,
        method: str,
        path: str,
        *,
        seconds: int,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Return the query of a URL that may be used for so many seconds.

        Args:
            method: The method it is good for.
            path: The path, percent-encoded.
            seconds: For how long.
            query: Names and values, not encoded yet.
            headers: What a request has to send, by names in lower case; `Host` is added.
        """
        now = self._now()
        names, lines = "host", f"host:{self._host}\n"
        if headers:
            pairs = sorted({**headers, "host": self._host}.items())
            names = "%3B".join(name for name, _ in pairs)
            lines = f"{_canonical(pairs)}\n"
        first = f"X-Amz-Algorithm={_ALGORITHM}&X-Amz-Credential={now.credential}&X-Amz-Date={now.stamp}&X-Amz-Expires={seconds}"
        token = f"&X-Amz-Security-Token={quote(self._token, safe='-._~')}" if self._token else ""
        last = f"&X-Amz-SignedHeaders={names}"
        sorted_query = f"&{encode_query(sorted(query))}" if query else ""
        canonical = f"{first}{token}{last}{sorted_query}\n{lines}\n{names.replace('%3B', ';')}\n{UNSIGNED_PAYLOAD}"
        signature = self._sign(f"{method}\n{path}\n{canonical}", now)
        own = f"{encode_query(query)}&" if query else ""
        return f"{own}{first}{last}{token}&X-Amz-Signature={signature}"

    def _sign(self, canonical: str, now: _Moment) -> str:
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return hmac.digest(now.key, f"{_ALGORITHM}\n{now.stamp}\n{now.scope}\n{digest}".encode(), "sha256").hex()

    def _now(self) -> _Moment:
        second = int(self._clock())
        moment = self._moment
        if moment.second != second:
            # Threads may do this at the same time: each replaces the whole by one that is as good.
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            scope = f"{stamp[:8]}/{_REGION}/s3/aws4_request"
            credential = quote(f"{self._access_key_id}/{scope}", safe="-._~")
            key = moment.key if moment.scope == scope else self._derive(stamp[:8])
            self._moment = moment = _Moment(second, stamp, scope, credential, key)
        return moment

    def _derive(self, day: str) -> bytes:
        key = f"AWS4{self._secret}".encode()
        for part in (day, _REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


@lru_cache(maxsize=64)  # one for each kind of request; names of metadata may be any
def _are_names(names: str) -> bool:
    return bool(_NAMES.fullmatch(names))


def _canonical(pairs: list[tuple[str, str]]) -> str:
    return "\n".join(f"{name}:{' '.join(value.split())}" for name, value in pairs)


def encode_query(pairs: Sequence[tuple[str, str]]) -> str:
    """Return names and values as a URL has them, in their order."""
    return "&".join(f"{name}={quote(value, safe='-._~')}" for name, value in pairs)
