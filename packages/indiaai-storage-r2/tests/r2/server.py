"""The R2 rule server itself: reads requests, chooses the operation, answers; imported by fixtures.

It speaks HTTP/1.1 over plain sockets or TLS, never answers `Expect: 100-continue`, and writes each answer in one piece.
"""

from __future__ import annotations

import gzip
import http.client
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from email.utils import format_datetime
from typing import cast

from r2 import listing, multipart, objects
from r2.faults import Fault, flip_a_bit
from r2.limits import MAX_PART_BYTES, MAX_PUT_BYTES, check
from r2.messages import Answer, Refused, Request, element, refusal, text, xml_answer
from r2.signatures import Token, verify
from r2.store import Store

__all__ = ["ACCESS_KEY_ID", "SECRET", "R2Server"]

ACCESS_KEY_ID = "0123456789abcdef0123456789abcdef"
SECRET = "d3a5c1f0aa11bb22cc33dd44ee55ff66secret"

Operation = Callable[[Store, Request], Answer]

_OBJECT: dict[tuple[str, str], Operation] = {
    ("GET", "uploadId"): multipart.list_parts,
    ("GET", ""): objects.get_object,
    ("HEAD", ""): objects.get_object,
    ("PUT", "uploadId"): multipart.upload_part,
    ("PUT", "x-amz-copy-source"): objects.copy_object,
    ("PUT", ""): objects.put_object,
    ("POST", "uploads"): multipart.create,
    ("POST", "uploadId"): multipart.complete,
    ("DELETE", "uploadId"): multipart.abort,
    ("DELETE", ""): objects.delete_object,
}
_BUCKET: dict[tuple[str, str], Operation] = {
    ("GET", "uploads"): multipart.list_uploads,
    ("GET", ""): listing.list_objects,
    ("POST", "delete"): listing.delete_objects,
}
_COMPRESSIBLE = ("text/", "application/json", "application/xml", "application/javascript")


class R2Server(Store):
    """A store with R2's rules. `faults` befall the requests to come; `requests` are those that were.

    Args:
        context: What TLS is spoken with; plain HTTP without one.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.connections = 0
        self.add(Token(ACCESS_KEY_ID, SECRET))
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.store = self
        self.port: int = self._server.server_address[1]
        self.endpoint = f"http{'s' if context else ''}://localhost:{self.port}"
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def add(self, token: Token) -> None:
        """Let somebody ask."""
        self.tokens[token.access_key_id] = token

    @contextmanager
    def running(self) -> Iterator[R2Server]:
        """Serve within the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="r2-rule-server")
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
        """Do what was asked for, or say why not."""
        try:
            if request.method == "POST" and "multipart/form-data" in request.headers.get("content-type", ""):
                raise Refused(501, "NotImplemented", "POST policies are not implemented")
            check(request, self)
            token = verify(request, self.tokens, now=self.now())
            with self.lock:
                self._allow(request, token)
                return self._operation(request)(self, request)
        except Refused as refused:
            return refused.answer

    def _allow(self, request: Request, token: Token) -> None:
        about_buckets = not request.key and (not request.bucket or (request.method == "PUT" and not request.query))
        is_list = request.method == "GET" and not request.key and not about_buckets
        is_write = request.method in ("PUT", "POST", "DELETE")
        named = request.key or request.query.get("prefix", "")
        if (
            (about_buckets and not token.is_admin)
            or (is_list and not token.may_list)
            or (is_write and not token.may_write)
            or not named.startswith(token.prefix)
        ):
            raise Refused(403, "AccessDenied", "Access Denied")
        if request.headers.get("cf-create-bucket-if-missing") == "true" and token.is_admin:
            self.buckets.add(request.bucket)

    def _operation(self, request: Request) -> Operation:
        if not request.bucket:
            return _list_buckets
        if not request.key and request.method == "PUT" and not request.query:
            return _create_bucket
        if request.bucket not in self.buckets:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
        if not request.key and request.method == "HEAD":
            return lambda *_: Answer(200)
        operations = _OBJECT if request.key else _BUCKET
        for (method, mark), operation in operations.items():
            if method == request.method and (not mark or mark in request.query or mark in request.headers):
                return operation
        raise Refused(501, "NotImplemented", f"{request.method} {request.target} is not implemented")


def _list_buckets(store: Store, _: Request) -> Answer:
    return xml_answer(element("ListAllMyBucketsResult", *(element("Bucket", text("Name", name)) for name in store.buckets)))


def _create_bucket(store: Store, request: Request) -> Answer:
    store.buckets.add(request.bucket)
    return Answer(200)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    store: R2Server

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: resets are what is tested."""


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Serve a connection, one request after the other."""
        self.store = cast(_Server, self.server).store
        self.store.connections += 1
        with suppress(OSError, EOFError):
            while self._serve():
                pass

    def finish(self) -> None:
        """Close the connection; over TLS without a farewell, which may be unexpected by now."""
        with suppress(OSError):
            super().finish()

    def _serve(self) -> bool:
        line = self.rfile.readline(65_537).decode("latin-1").split()
        if not line:
            return False
        method, target, _ = line
        headers: dict[str, str] = {}
        while (field := self.rfile.readline(65_537)) not in (b"\r\n", b""):
            name, _, value = field.partition(b":")
            headers[name.decode("latin-1").lower()] = _read_field(value.strip())
        request = Request(method, target, headers)
        fault = self.store.take_fault(method)
        early = self._refuse_length(request)
        if early is not None:
            self._write(early, method)
            return False
        body = self._read_body(request, fault)
        if body is None:
            return False
        request = replace(request, body=flip_a_bit(body) if fault.flip else body)
        self.store.requests.append(request)
        if fault.until is not None:
            fault.until.wait(20)
        answer = fault.answer or self.store.answer(request)
        if fault.flip and method == "GET":
            answer.body = flip_a_bit(answer.body)
        return self._send(request, answer, fault)

    def _refuse_length(self, request: Request) -> Answer | None:
        most = MAX_PART_BYTES if "uploadId" in request.query else MAX_PUT_BYTES
        if int(request.headers.get("content-length") or 0) > most:
            return refusal(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
        return None

    def _read_body(self, request: Request, fault: Fault) -> bytes | None:
        length = int(request.headers.get("content-length") or 0)
        if request.method == "PUT" and "uploadId" in request.query:
            multipart.forget_part(self.store, request)
        if fault.cut_body_after is not None:
            self.rfile.read(fault.cut_body_after)
            self._end(fault, is_orderly=False)
            return None
        if "transfer-encoding" in request.headers:
            return self._read_chunks()
        body = self.rfile.read(length)
        return body if len(body) == length else None  # the client broke off

    def _read_chunks(self) -> bytes:
        body = b""
        while length := int(self.rfile.readline(65_537) or b"0", 16):
            body += self.rfile.read(length + 2)[:length]
        self.rfile.readline(65_537)
        return body

    def _send(self, request: Request, answer: Answer, fault: Fault) -> bool:
        if fault.cut_answer_after == -1:
            return self._end(fault, is_orderly=False)
        is_said = self.store.says_why or answer.status < 400
        said = answer if is_said else replace(answer, body=_without_message(answer.body))
        self._write(_compressed(said, request), request.method, cut_after=fault.cut_answer_after)
        # After half an answer an orderly end, so that half does arrive.
        return self._end(fault, is_orderly=True) if fault.cut_answer_after is not None else True

    def _write(self, answer: Answer, method: str, *, cut_after: int | None = None) -> None:
        lines = [f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, 'Unknown')}"]
        if self.store.tells_time:
            lines.append(f"Date: {format_datetime(self.store.now(), usegmt=True)}")
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if "Transfer-Encoding" not in answer.headers and answer.status not in (204, 304):
            lines.append(f"Content-Length: {len(answer.body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        body = b"" if method == "HEAD" or answer.status in (204, 304) else answer.body[:cut_after]
        if len(body) < 65_536:
            self.connection.sendall(head + body)
        else:
            self.connection.sendall(head)
            self.connection.sendall(body)

    def _end(self, fault: Fault, *, is_orderly: bool) -> bool:
        fault.then()
        if not is_orderly:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


def _read_field(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeError:
        return value.decode("latin-1")


def _without_message(body: bytes) -> bytes:
    before, start, rest = body.partition(b"<Message>")
    return before + rest.partition(b"</Message>")[2] if start else body


def _compressed(answer: Answer, request: Request) -> Answer:
    # R2's edge compresses what compresses well for whoever takes it, and then does not know how long it will be.
    kind = next((value for name, value in answer.headers.items() if name.lower() == "content-type"), "")
    if answer.status != 200 or "gzip" not in request.headers.get("accept-encoding", "") or not kind.startswith(_COMPRESSIBLE):
        return answer
    body = gzip.compress(answer.body)
    headers = {**answer.headers, "Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    return Answer(200, headers, f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
