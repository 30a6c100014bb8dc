"""A client for the requests that are hot, called and answering as boto3's own; imported by the service's connection."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from indiaai_storage_r2.lean.answers import Body, Head, open_body, read_head
from indiaai_storage_r2.lean.channels import Channel, Host, Pool
from indiaai_storage_r2.lean.exchanges import Exchange
from indiaai_storage_r2.lean.failures import ConnectionCut, Unanswered
from indiaai_storage_r2.lean.lines import Lines
from indiaai_storage_r2.lean.operations import Operation, read_members, read_operation, read_refusal, read_result
from indiaai_storage_r2.lean.signatures import EMPTY_SHA256, UNSIGNED_PAYLOAD, Signer, encode_query
from indiaai_storage_r2.lean.trust import make_context

__all__ = ["LeanClient"]

Send = Callable[[Channel], bool]

_SMALL_BYTES = 128 * 1024
_PIECE_BYTES = 256 * 1024
_MAX_ERROR_BYTES = 64 * 1024


class LeanClient:
    """Gets, heads, puts and deletes one object, in parts or whole, and signs URLs. Threads may share it; it blocks.

    Each operation takes those of boto3's parameters that this package uses, and answers what boto3 would.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        access_key_id: str,
        secret_access_key: str,
        session_token: str = "",
        connect_seconds: float = 5,
        read_seconds: float = 30,
        max_idle: int = 8,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Hold where and who; nothing is connected yet.

        Args:
            endpoint: The URL of the S3 API.
            access_key_id: The id that the store knows the secret by.
            secret_access_key: The secret.
            session_token: The token of temporary credentials.
            connect_seconds: How long connecting may take.
            read_seconds: How long the store may be silent.
            max_idle: How many connections are kept for the requests to come.
            clock: The time in seconds since 1970, for the signatures.
        """
        address = urlsplit(endpoint)
        self._is_tls = address.scheme == "https"
        usual_port = 443 if self._is_tls else 80
        name, port = address.hostname or "", address.port or usual_port
        self._origin, self._base = f"{address.scheme}://{address.netloc}", address.path
        self._read_seconds = read_seconds
        self._signer = Signer(
            (f"[{name}]" if ":" in name else name) + (f":{port}" if port != usual_port else ""),
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            session_token=session_token,
            clock=clock,
        )
        host = Host(name, port, connect_seconds, read_seconds, make_context if self._is_tls else None)
        self._pool = Pool(host, max_idle=max_idle)
        self._lines: list[Lines] = []
        self._lock = threading.Lock()

    def get_object(self, **parameters: Any) -> dict[str, Any]:
        """Ask for an object or a range of it; the answer's `Body` has to be read to its end or closed."""
        return self._ask("get_object", parameters)

    def head_object(self, **parameters: Any) -> dict[str, Any]:
        """Ask what the store knows about an object."""
        return self._ask("head_object", parameters)

    def put_object(self, **parameters: Any) -> dict[str, Any]:
        """Store an object. Its `Body` is bytes, or has a length, `read` and `seek`."""
        return self._ask("put_object", parameters)

    def upload_part(self, **parameters: Any) -> dict[str, Any]:
        """Store a part of an object that comes in parts. Its `Body` is bytes, or has a length, `read` and `seek`."""
        return self._ask("upload_part", parameters)

    def delete_object(self, **parameters: Any) -> dict[str, Any]:
        """Remove an object."""
        return self._ask("delete_object", parameters)

    def create_multipart_upload(self, **parameters: Any) -> dict[str, Any]:
        """Begin an object that comes in parts, and return its `UploadId`."""
        return self._ask("create_multipart_upload", parameters)

    def complete_multipart_upload(self, **parameters: Any) -> dict[str, Any]:
        """Put an object together from its parts, and return its `ETag`."""
        return self._ask("complete_multipart_upload", parameters)

    def abort_multipart_upload(self, **parameters: Any) -> dict[str, Any]:
        """Give up an object that comes in parts, and the parts that are there."""
        return self._ask("abort_multipart_upload", parameters)

    def generate_presigned_url(
        self,
        ClientMethod: str,  # noqa: N803 - boto3's name
        Params: Mapping[str, Any],  # noqa: N803 - boto3's name
        *,
        ExpiresIn: int = 3600,  # noqa: N803 - boto3's name
    ) -> str:
        """Return a URL with which anyone may make one kind of request until it expires."""
        asked = read_operation(ClientMethod, Params, base=self._base)
        query = self._signer.sign_url(asked.method, asked.path, seconds=ExpiresIn, query=asked.query, headers=asked.headers)
        return f"{self._origin}{asked.path}?{query}"

    def close(self) -> None:
        """Close the connections; one that is in use is closed when it is done."""
        self._pool.close()
        with self._lock:
            for lines in self._lines:
                lines.close_soon()

    def watch(self) -> Lines:
        """Return what holds the running event loop's connections; those of loops that were closed go back to the pool."""
        lines = Lines(asyncio.get_running_loop(), pool=self._pool, seconds=self._read_seconds)
        with self._lock:
            for over in [found for found in self._lines if found.is_over]:
                self._lines.remove(over)
                while over.release_one():
                    pass
            self._lines.append(lines)
        return lines

    def begin(self, name: str, parameters: Mapping[str, Any], *, lines: Lines) -> Exchange | None:
        """Send a small request on a kept connection, without waiting; None where there is no such connection.

        Args:
            name: The method that would ask the same, such as `get_object`.
            parameters: Its arguments; a `Body` of `MAX_WHOLE_BYTES` at most, in memory.
            lines: The running event loop's.
        """
        channel = lines.take()
        if channel is None:
            return None
        try:
            asked = read_operation(name, parameters, base=self._base)
            text = b"".join((self._head(asked, len(asked.body)), *_pieces(asked.body, len(asked.body))))
            rest = channel.send_at_once(text)
        except Unanswered:  # closed by the store since: nothing went out
            lines.drop(channel)
            return None
        except BaseException:
            lines.drop(channel)
            raise
        conclude, proceed = partial(_conclude, asked), partial(self._proceed, asked)
        return Exchange(channel, lines, method=asked.method, rest=rest, conclude=conclude, proceed=proceed)

    def _proceed(self, asked: Operation, channel: Channel, rest: bytes, head: Head | None) -> dict[str, Any]:
        return self._insist(channel, asked, partial(_send_rest, rest=rest), head=head)

    def _ask(self, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        asked = read_operation(name, parameters, base=self._base)
        text = self._head(asked, len(asked.body))
        return self._insist(self._pool.take(), asked, partial(_send, head=text, body=asked.body))

    def _insist(self, channel: Channel, asked: Operation, send: Send, *, head: Head | None = None) -> dict[str, Any]:
        try:
            return self._converse(channel, asked, send, head=head)
        except ConnectionCut:
            # Closed by the store while it waited for us, which it may do. What has not gone out cannot have been done,
            # and what only asks can be asked again; whether anything else was done, nobody knows.
            is_harmless = asked.method in ("GET", "HEAD") or not channel.is_begun
            if not channel.is_used or not is_harmless:
                raise
        text = self._head(asked, len(asked.body))
        return self._converse(self._pool.connect(), asked, partial(_send, head=text, body=asked.body))

    def _head(self, asked: Operation, size: int) -> bytes:
        lines = self._signer.sign_headers(
            asked.method,
            asked.path,
            query=encode_query(sorted(asked.query)),
            headers=asked.headers,
            payload=self._payload(asked, size),
        )
        # As botocore: a name without a value stands alone here, and not where it is signed.
        target = f"{asked.path}?{encode_query(asked.query).removesuffix('=')}" if asked.query else asked.path
        length = "" if asked.method in ("GET", "HEAD") else f"content-length: {size}\r\n"
        end = "accept-encoding: identity\r\nuser-agent: indiaai-storage-r2\r\n\r\n"
        return f"{asked.method} {target} HTTP/1.1\r\n{lines}{length}{end}".encode()

    def _payload(self, asked: Operation, size: int) -> str:
        # As botocore: TLS keeps the bytes from being changed; without it, the signature has to.
        if not size and asked.method != "PUT":
            return EMPTY_SHA256
        if self._is_tls and asked.method == "PUT":
            return UNSIGNED_PAYLOAD
        if hasattr(asked.body, "sha256"):  # it knows, or computes it beside what else is asked of its bytes
            return str(asked.body.sha256())
        digest = hashlib.sha256()
        for piece in _pieces(asked.body, size):
            digest.update(piece)
        return digest.hexdigest()

    def _converse(self, channel: Channel, asked: Operation, send: Send, *, head: Head | None = None) -> dict[str, Any]:
        try:
            is_whole = send(channel)
            head = head or read_head(channel, seconds=self._read_seconds)
            release = self._pool.give if is_whole and head.is_kept_alive else Channel.close
            body = open_body(head, channel, method=asked.method, release=release)
        except BaseException:
            channel.close()
            raise
        if asked.method == "GET" and head.status < 300:
            return {**read_members(head), "Body": body}
        answer = _conclude(asked, head, _read_rest(body))
        if not is_whole:
            raise Unanswered("the answer came before all bytes were sent")
        return answer


def _conclude(asked: Operation, head: Head, content: bytes) -> dict[str, Any]:
    if head.status >= 300:
        raise read_refusal(asked.name, head, content=content)
    answer = read_members(head)
    if asked.method == "GET":
        answer["Body"] = io.BytesIO(content)
    elif asked.method == "POST":
        answer.update(read_result(asked.name, head, content=content))
    return answer


def _send(channel: Channel, *, head: bytes, body: Any) -> bool:
    size = len(body)
    if size > _SMALL_BYTES:
        channel.send(head)
        return all(channel.send_until_answered(piece) for piece in _pieces(body, size))
    channel.send(b"".join((head, *_pieces(body, size))))
    return True


def _send_rest(channel: Channel, *, rest: bytes) -> bool:
    if rest:
        channel.send(rest)
    return True


def _pieces(body: Any, size: int) -> Iterator[bytes | memoryview]:
    if isinstance(body, (bytes, bytearray, memoryview)):
        view = memoryview(body)
        yield from (view[start : start + _PIECE_BYTES] for start in range(0, size, _PIECE_BYTES))
        return
    body.seek(0)
    left = size
    while left:
        piece = body.read(min(left, _PIECE_BYTES))
        if not piece:
            raise EOFError(f"the body ended {left} bytes early")
        left -= len(piece)
        yield piece


def _read_rest(body: Body) -> bytes:
    # An answer whose head has arrived has told what matters: what is missing behind it costs the connection alone.
    try:
        return body.read(_MAX_ERROR_BYTES)
    except Unanswered:
        return b""
    finally:
        body.close()
