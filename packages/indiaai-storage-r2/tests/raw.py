"""Sends single requests, signed by botocore's signer and otherwise as they are given; imported by tests of the doubles."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from r2.server import ACCESS_KEY_ID, SECRET

__all__ = ["RawAnswer", "RawClient"]


@dataclass(frozen=True)
class RawAnswer:
    """What came back: header names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def code(self) -> str:
        """The error's code; empty where there is none."""
        return self.find("Code")

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code."""
        return self.status, self.code

    def find(self, name: str) -> str:
        """Return the text of the first element of this name."""
        return next(iter(self.find_all(name)), "")

    def find_all(self, name: str) -> list[str]:
        """Return the texts of all elements of this name."""
        if not self.body.startswith(b"<"):
            return []
        root = ET.fromstring(self.body)  # noqa: S314 - what the tests' own server wrote
        return [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == name]


class _Signer(S3SigV4Auth):
    def __init__(self, credentials: Any, region: str, *, digest: str) -> None:
        super().__init__(credentials, "s3", region)
        self._digest = digest

    def payload(self, request: Any) -> Any:
        return self._digest or super().payload(request)


@dataclass(frozen=True)
class RawClient:
    """Whoever asks the store at an endpoint."""

    endpoint: str
    access_key_id: str = ACCESS_KEY_ID
    secret: str = SECRET
    session_token: str | None = None
    region: str = "auto"

    def ask(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> RawAnswer:
        """Send a request signed in its headers.

        Args:
            method: `GET` and so on.
            path: Path and query, quoted.
            body: The body.
            headers: Header fields; `_` stands for `-`.
        """
        return self.send(method, path, body, **self.sign(method, path, body, **headers))

    def sign(self, method: str, path: str, body: bytes = b"", *, digest: str = "", **headers: str) -> dict[str, str]:
        """Return the header fields of a signed request.

        Args:
            method: `GET` and so on.
            path: Path and query, quoted.
            body: The body.
            digest: What is said of the body in place of its SHA-256.
            headers: More header fields.
        """
        request = self._request(method, path, body, headers)
        _Signer(self._credentials, self.region, digest=digest).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}

    def presign(self, method: str, path: str, *, expires_in: int = 60, **headers: str) -> str:
        """Return a path that is signed in its query."""
        request = self._request(method, path, b"", headers)
        S3SigV4QueryAuth(self._credentials, "s3", self.region, expires=expires_in).add_auth(request)
        return str(request.url).removeprefix(self.endpoint)

    def send(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> RawAnswer:
        """Send a request as it is, signed by nobody."""
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=20)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in ({"Content-Length": str(len(body))} | _named(headers)).items():
                connection.putheader(name, value.encode())
            connection.endheaders(body)
            answer = connection.getresponse()
            return RawAnswer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    @property
    def _credentials(self) -> Any:
        return Credentials(self.access_key_id, self.secret, self.session_token)

    def _request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Any:
        return AWSRequest(method=method, url=self.endpoint + path, data=body, headers=_named(headers))


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
