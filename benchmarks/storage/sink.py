"""An S3 that keeps nothing: what is sent is counted and digested, what is asked for is zeros of the length once sent.

`sink.py PORT [CHAIN KEY]`, over TLS where a certificate is given. For transfers too large for a server that keeps them; no
signature is looked at. It answers as R2 does where a client looks: ETags are MD5s, that of a multipart upload the MD5 of its
parts' with their number, and headers that were stored with an object come back with it.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

__all__: list[str] = []

PIECE_BYTES = 1024 * 1024
ZEROS = bytes(PIECE_BYTES)


@dataclass
class Stored:
    """What is remembered of an object, or of an upload in parts."""

    headers: dict[str, str]
    size: int = 0
    etag: str = ""
    parts: dict[int, tuple[int, bytes]] = field(default_factory=dict)

    def complete(self) -> None:
        """Make an object of the parts."""
        digests = b"".join(digest for _, (_, digest) in sorted(self.parts.items()))
        self.etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(self.parts)}"
        self.size = sum(size for size, _ in self.parts.values())


class Sink(BaseHTTPRequestHandler):
    """One connection; all share what is remembered."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    objects: ClassVar[dict[str, Stored]] = {}
    uploads: ClassVar[dict[str, Stored]] = {}
    numbers: ClassVar[count[int]] = count(1)

    def do_PUT(self) -> None:
        """Take an object or a part."""
        size, digest = self._take_body()
        query = self._query()
        if "partNumber" in query:
            self.uploads[query["uploadId"]].parts[int(query["partNumber"])] = (size, digest)
        else:
            self.objects[self._path()] = Stored(self._stored_headers(), size=size, etag=digest.hex())
        self._answer(headers={"ETag": f'"{digest.hex()}"'})

    def do_POST(self) -> None:
        """Begin an upload in parts, or end one."""
        self._take_body()
        query = self._query()
        if "uploadId" not in query:
            upload_id = f"upload-{next(self.numbers)}"
            self.uploads[upload_id] = Stored(self._stored_headers())
            self._answer(_xml("InitiateMultipartUploadResult", UploadId=upload_id, Key=self._path()))
            return
        stored = self.uploads.pop(query["uploadId"])
        stored.complete()
        self.objects[self._path()] = stored
        self._answer(_xml("CompleteMultipartUploadResult", ETag=f'"{stored.etag}"', Key=self._path()))

    def do_DELETE(self) -> None:
        """Forget an upload or an object."""
        self.uploads.pop(self._query().get("uploadId", ""), None)
        self._answer(status=204)

    def do_HEAD(self) -> None:
        """Tell about an object."""
        self.do_GET()

    def do_GET(self) -> None:
        """Give as many zeros as were taken, or a range of them."""
        stored = self.objects.get(self._path())
        if stored is None:
            self._answer(_xml("Error", Code="NoSuchKey", Message="no such key"), status=404)
            return
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2] or stored.size)) if asked else (0, stored.size)
        last = min(last, stored.size - 1)
        headers = stored.headers | {"ETag": f'"{stored.etag}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if asked:
            headers["Content-Range"] = f"bytes {first}-{last}/{stored.size}"
        self._answer(status=206 if asked else 200, headers=headers, zeros=last - first + 1)

    def _answer(self, body: bytes = b"", *, status: int = 200, headers: dict[str, str] | None = None, zeros: int = 0) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) or zeros))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body)
        for start in range(0, zeros, PIECE_BYTES):
            self.wfile.write(ZEROS[: zeros - start])

    def _take_body(self) -> tuple[int, bytes]:
        if self.headers.get("Transfer-Encoding"):
            raise ValueError("a length is needed")
        left = size = int(self.headers.get("Content-Length", "0"))
        digest, room = hashlib.md5(usedforsecurity=False), memoryview(bytearray(PIECE_BYTES))
        while left:
            taken: int = self.connection_reader.readinto(room[:left])
            digest.update(room[:taken])
            left -= taken
        return size, digest.digest()

    @property
    def connection_reader(self) -> Any:
        """The connection's buffered reader, which reads large pieces without a copy of its own."""
        return self.rfile

    def _path(self) -> str:
        return urlsplit(self.path).path

    def _query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def _stored_headers(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower().startswith(("x-amz-meta-", "content-type"))}

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's own name for it
        """Say nothing."""


def _xml(root: str, **fields: str) -> bytes:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?><{root}>{inner}</{root}>'.encode()


if __name__ == "__main__":
    threading.stack_size(512 * 1024)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Sink)
    server.daemon_threads = True
    if sys.argv[2:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[2:])
        # The handshake is the connection's own thread's.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()
