"""A small server with R2's rules, where they differ from S3's, and with faults on demand; imported by the tests beside it.

It keeps objects in memory and takes any signature. What it refuses, R2 refuses: chunked bodies and their trailers,
checksum headers, parts of different lengths. As R2, it never answers `Expect: 100-continue`.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET


@dataclass(frozen=True)
class Request:
    """What arrived: header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class StoredObject:
    """An object, or one that is being put together."""

    content: bytes
    headers: Mapping[str, str]
    etag: str = ""
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Answer:
    """What is sent back."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Fault:
    """Something that goes wrong with the next request of a method, once.

    Attributes:
        method: The request's method.
        answer: What is answered in place of doing it.
        cut_body_after: How many bytes of the request's body are read before the connection is reset.
        cut_answer_after: How many bytes of the answer's body are sent before the connection is reset; -1: it is not answered.
        flip: Whether one bit of what is received or sent is flipped.
        until: What must happen before the request is worked on.
        then: Called before the connection is reset.
    """

    method: str
    answer: Answer | None = None
    cut_body_after: int | None = None
    cut_answer_after: int | None = None
    flip: bool = False
    until: threading.Event | None = None
    then: Callable[[], object] = lambda: None


def refusal(status: int, code: str, message: str | None = "said so", **headers: str) -> Answer:
    """Return an error as S3 says it; without a message where it is None."""
    said = f"<Message>{message}</Message>" if message is not None else ""
    return Answer(status, dict(headers), f"<Error><Code>{code}</Code>{said}</Error>".encode())


class R2Server:
    """One bucket of any name. `faults` befall the requests to come; `requests` are those that were."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.uploads: dict[str, StoredObject] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.ignores_conditions = False
        self.connections = 0
        self.lock = threading.Lock()
        self._numbers = count(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.store = self  # type: ignore[attr-defined] # how the handler, made by the server, finds the store
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # resets are what is tested
        self.endpoint = f"http{'s' if context else ''}://localhost:{self._server.server_port}"
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @contextmanager
    def running(self) -> Iterator[R2Server]:
        """Serve within the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def methods(self) -> list[str]:
        """Return the methods of the requests so far."""
        return [request.method for request in self.requests]

    def take_fault(self, method: str) -> Fault:
        """Return the next fault for a method, and forget it."""
        with self.lock:
            for fault in self.faults:
                if fault.method == method:
                    self.faults.remove(fault)
                    return fault
        return Fault(method)

    def answer(self, request: Request) -> Answer:
        """Do what was asked for."""
        for header in request.headers:
            if header.startswith(("x-amz-checksum", "x-amz-trailer", "x-amz-sdk-checksum", "x-amz-acl", "x-amz-tagging")):
                return refusal(501, "NotImplemented", f"Header '{header}' not implemented")
        if "aws-chunked" in request.headers.get("content-encoding", ""):
            return refusal(501, "NotImplemented", "STREAMING payloads are not implemented")
        digest = request.headers.get("content-md5")
        if digest and digest != base64.b64encode(hashlib.md5(request.body).digest()).decode():  # noqa: S324 - S3's own digest
            return refusal(400, "BadDigest")
        with self.lock:
            return getattr(self, f"_{request.method.lower()}")(request)  # type: ignore[no-any-return] # looked up by name

    def _put(self, request: Request) -> Answer:
        if "uploadId" in request.query:
            upload = self.uploads.get(request.query["uploadId"])
            if upload is None:
                return refusal(404, "NoSuchUpload")
            upload.parts[int(request.query["partNumber"])] = request.body
            return Answer(200, {"ETag": f'"{_md5(request.body)}"'})
        if "x-amz-copy-source" in request.headers:
            source = self.objects.get("/" + unquote(request.headers["x-amz-copy-source"]))
            return self._store(request, source) if source else refusal(404, "NoSuchKey")
        return self._store(request, StoredObject(request.body, request.headers, _md5(request.body)))

    def _post(self, request: Request) -> Answer:
        if "uploads" in request.query:
            upload_id = f"upload/{next(self._numbers)}+="
            self.uploads[upload_id] = StoredObject(b"", request.headers)
            return Answer(200, body=f"<Created><UploadId>{upload_id}</UploadId></Created>".encode())
        if "delete" in request.query:
            return Answer(200, body=b"<DeleteResult></DeleteResult>")
        upload = self.uploads.pop(request.query["uploadId"], None)
        if upload is None:
            return refusal(404, "NoSuchUpload")
        parts = [upload.parts[number] for number in sorted(upload.parts)]
        if any(len(part) != len(parts[0]) for part in parts[:-1]) or len(parts[-1]) > len(parts[0]):
            return refusal(400, "InvalidPart", "All non-trailing parts must have the same length.")
        etag = f"{_md5(b''.join(bytes.fromhex(_md5(part)) for part in parts))}-{len(parts)}"
        answer = self._store(request, StoredObject(b"".join(parts), upload.headers, etag))
        if answer.status == 200:
            answer.body = f"<Completed><ETag>&quot;{etag}&quot;</ETag></Completed>".encode()
        return answer

    def _store(self, request: Request, stored: StoredObject) -> Answer:
        if request.headers.get("if-none-match") == "*" and request.path in self.objects:
            return refusal(412, "PreconditionFailed")
        self.objects[request.path] = stored
        return Answer(200, {"ETag": f'"{stored.etag}"'})

    def _get(self, request: Request) -> Answer:
        found = self.objects.get(request.path)
        if found is None:
            return refusal(404, "NoSuchKey")
        condition = request.headers.get("if-match", f'"{found.etag}"')
        if condition != f'"{found.etag}"' and not self.ignores_conditions:
            return refusal(412, "PreconditionFailed")
        headers = {name: value for name, value in found.headers.items() if name.startswith(("x-amz-meta-", "content-type"))}
        headers |= {"ETag": f'"{found.etag}"', "Last-Modified": formatdate(usegmt=True)}
        if "range" not in request.headers:
            return Answer(200, headers, found.content)
        first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or 1 << 60) + 1, len(found.content))
        if start >= len(found.content):
            return refusal(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(found.content)}"
        return Answer(206, headers, found.content[start:end])

    _head = _get

    def _delete(self, request: Request) -> Answer:
        if "uploadId" in request.query:
            return Answer(204) if self.uploads.pop(request.query["uploadId"], None) else refusal(404, "NoSuchUpload")
        self.objects.pop(request.path, None)
        return Answer(204)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self.server.store.connections += 1  # type: ignore[attr-defined] # set by R2Server

    def handle_expect_100(self) -> bool:
        """Read on and never answer 100, as R2."""
        return True

    def log_message(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] # called by position
        """Say nothing."""

    def _serve(self) -> None:
        store: R2Server = self.server.store  # type: ignore[attr-defined] # set by R2Server
        fault = store.take_fault(self.command)
        length = int(self.headers.get("content-length") or 0)
        if fault.cut_body_after is not None:
            self.rfile.read(fault.cut_body_after)
            return self._reset(fault)
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(length)
        if len(body) < length:  # the client broke off
            self.close_connection = True
            return None
        request = Request(self.command, unquote(address.path), query, headers, _flip(body) if fault.flip else body)
        store.requests.append(request)
        if fault.until is not None:
            fault.until.wait(20)
        answer = fault.answer or store.answer(request)
        if fault.flip and self.command == "GET":
            answer.body = _flip(answer.body)
        return self._send(answer, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the base class looks methods up by these names

    def _send(self, answer: Answer, fault: Fault) -> None:
        if fault.cut_answer_after == -1:
            return self._reset(fault)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: fault.cut_answer_after])
        return self._reset(fault) if fault.cut_answer_after is not None else None

    def _reset(self, fault: Fault) -> None:
        fault.then()
        self.wfile.flush()
        if fault.cut_answer_after in (None, -1):  # a reset; after half an answer an orderly end, so that half does arrive
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()  # noqa: S324 - S3's own digest


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :] if content else content


def parse_parts(body: bytes) -> list[int]:
    """Return the numbers of the parts that a request puts together."""
    return [int(element.text or 0) for element in ET.fromstring(body).iter() if element.tag.endswith("PartNumber")]  # noqa: S314 - our own client's
