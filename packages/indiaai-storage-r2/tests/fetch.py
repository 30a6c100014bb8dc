"""Asks for URLs as any client would, with no library of a store; imported by fixtures and by tests of URLs."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import anyio

from indiaai_core.testing.storage import Answer

__all__ = ["fetch_with"]


class _Fetch:
    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context

    async def __call__(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        return await anyio.to_thread.run_sync(lambda: self._ask(method, url, headers=dict(headers or {}), body=body))

    def _ask(self, method: str, url: str, *, headers: dict[str, str], body: bytes) -> Answer:
        address = urlsplit(url)
        connection = (
            http.client.HTTPSConnection(address.netloc, timeout=20, context=self._context)
            if address.scheme == "https"
            else http.client.HTTPConnection(address.netloc, timeout=20)
        )
        try:
            connection.request(method, f"{address.path}?{address.query}", body=body or None, headers=headers)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read())
        finally:
            connection.close()


def fetch_with(context: ssl.SSLContext | None = None) -> _Fetch:
    """Return what sends one request and gives back what came.

    Args:
        context: What TLS is spoken with; the system's where there is none.
    """
    return _Fetch(context)
