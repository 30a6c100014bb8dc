"""boto3's client as R2 needs it, and the threads it is called in; imported by the service and what it is made of."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

import anyio

from indiaai_core import BackendUnavailable, StorageError
from indiaai_storage_r2.errors import client_errors, translate
from indiaai_storage_r2.lean.client import LeanClient
from indiaai_storage_r2.lean.exchanges import Exchange, Turns
from indiaai_storage_r2.lean.failures import Refused, Unanswered
from indiaai_storage_r2.lean.trust import has_proxy
from indiaai_storage_r2.retries import RetryPolicy
from indiaai_storage_r2.settings import R2Settings
from indiaai_storage_r2.workers import Job, Workers, WorkersClosed

if TYPE_CHECKING:
    from botocore.config import Config
    from types_boto3_s3.client import S3Client

__all__ = ["Connection", "Question", "says_deleted", "whole_head"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

Question = Callable[[], tuple[str, Mapping[str, Any]] | None]

_SETTLE_SECONDS = 2.0


class Connection:
    """One process's client, threads and kept-alive sockets. Any event loop and any thread may use it.

    Nothing is loaded, opened or started before the first call. A fork needs a new one: threads do not survive it.

    Attributes:
        has_bucket: Whether the store is known to have the bucket.
    """

    def __init__(self, settings: R2Settings) -> None:
        """Hold the settings."""
        self.settings = settings
        self.retries = RetryPolicy(settings.retry_seconds)
        self._workers = Workers(settings.pool_size, name="indiaai-r2", begin=_load_anyio)
        self.has_bucket = False
        self._lock = threading.Lock()
        self._client: S3Client | None = None
        self._lean: LeanClient | None = None
        self._data_client: S3Client | None = None
        self._loop_client: LeanClient | None = None
        self._turns_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()

    def client(self) -> S3Client:
        """Return the client; made at the first call, which takes about half a second, most of it boto3's import."""
        with self._lock:
            if self._client is None:
                self._client = _make_client(self.settings)
            return self._client

    def data_client(self) -> S3Client:
        """Return the client of the data plane, which has boto3's methods for one object or one part."""
        if self._data_client is None:
            is_lean = self.settings.data_plane == "lean" and not _warn_of_proxy(self.settings.endpoint)
            self._loop_client = self.lean_client() if is_lean else None
            self._data_client = cast("S3Client", self._loop_client) if is_lean else self.client()
        return self._data_client

    def lean_client(self) -> LeanClient:
        """Return the package's own client, which loads nothing, and signs URLs for either plane."""
        with self._lock:
            if self._lean is None:
                self._lean = _make_lean_client(self.settings)
            return self._lean

    async def call(
        self,
        request: Callable[[S3Client], T],
        *,
        key: str = "",
        stop: Callable[[], object] | None = None,
        retries: RetryPolicy | None = None,
    ) -> T:
        """Make a request in a worker thread, and again while a retry may help.

        Args:
            request: Called with the client; must bear being called again after a failure.
            key: The key it is about, for the errors.
            stop: Makes a request that is under way fail soon. Given for a write: if the caller is cancelled, it is
                called, and the write has 2 seconds to end, so that nothing changes after the caller was told.
            retries: A policy other than the settings' own.

        Raises:
            IndiaAIError: The error of ours that tells what the client's own means.
        """
        attempt = partial(self.run, partial(self._make, self.client, request, key), stop=stop)
        return await (retries or self.retries).run(attempt)

    async def exchange(
        self,
        request: Callable[[S3Client], T],
        *,
        key: str = "",
        stop: Callable[[], object] | None = None,
        retries: RetryPolicy | None = None,
    ) -> T:
        """Make a request of the data plane: one about one object, or an upload of one; as `call`."""
        attempt = partial(self._exchange, partial(self.ask, request, key), stop=stop)
        return await (retries or self.retries).run(attempt)

    async def _exchange(self, function: Callable[[], T], *, stop: Callable[[], object] | None) -> T:
        turns = self._turns()
        async with turns.slots:
            if turns.lines is not None:
                turns.lines.lend()
            return await self.run(function, stop=stop)

    async def converse(
        self, question: Question, read: Callable[[Any], T], *, key: str, stop: Callable[[], object] | None = None
    ) -> T:
        """Ask for something small, on the event loop where a connection waits, else in a worker thread; as `exchange`.

        Args:
            question: Returns a method of the client's and its arguments, or None where there is nothing to ask any more.
            read: Called with the answer, on the event loop if all of it is there, else in a thread.
            key: The key it is about, for the errors.
            stop: Given for a write; see `call`.
        """
        return await self.retries.run(partial(self._converse, question, read, key=key, stop=stop))

    async def _converse(
        self, question: Question, read: Callable[[Any], T], *, key: str, stop: Callable[[], object] | None
    ) -> T:
        turns = self._turns()
        async with turns.slots:
            begun = self._begin(question, turns)
            if begun is None:
                return await self.run(partial(self.ask, partial(_answer, question, read), key), stop=stop)
            try:
                is_whole = await self._arrive(begun, turns, key=key, is_write=stop is not None)
                finish = partial(self.ask, lambda _: read(begun.finish()), key)
                return finish() if is_whole else await self.run(finish, stop=stop)
            finally:
                begun.close()

    async def _arrive(self, begun: Exchange, turns: Turns, *, key: str, is_write: bool) -> bool:
        try:
            return await begun.arrive(turns)
        except Unanswered as error:
            raise translate(error, key=key, settings=self.settings) from error
        except asyncio.CancelledError:
            if is_write:  # it has gone out: the caller is told when nothing changes any more
                await self.finish(begun.finish, seconds=_SETTLE_SECONDS)
            raise

    def _begin(self, question: Question, turns: Turns) -> Exchange | None:
        lean = self._loop_client
        if lean is None:
            return None
        lines = turns.lines = turns.lines or lean.watch()
        asked = question() if lines.has_idle() else None
        begun = lean.begin(*asked, lines=lines) if asked else None
        if begun is None:
            lines.lend()
        return begun

    def _turns(self) -> Turns:
        loop = asyncio.get_running_loop()
        return self._turns_by_loop.get(loop) or self._turns_by_loop.setdefault(loop, Turns(self.settings.pool_size))

    async def run(self, function: Callable[[], T], *, stop: Callable[[], object] | None = None) -> T:
        """Call a function in a worker thread; see `call` for `stop`."""
        try:
            job = self._workers.start(function)
        except WorkersClosed as error:
            raise StorageError("The storage service was closed while it was used. Close it after its users.") from error
        try:
            return await job.result()
        except asyncio.CancelledError:
            if not job.cancel() and stop is not None:
                stop()
                await job.settle(seconds=_SETTLE_SECONDS)
            raise

    async def finish(self, function: Callable[[], object], *, seconds: float) -> None:
        """Call a function in a worker thread, and wait so long for it, cancelled or not, and whether it fails or not."""
        job = self.release(function)
        if job is not None:
            await job.settle(seconds=seconds)

    def release(self, function: Callable[[], T]) -> Job[T] | None:
        """Call a function that gives something back in a worker thread, whatever becomes of the caller."""
        try:
            return self._workers.start(function)
        except (WorkersClosed, RuntimeError):  # closed meanwhile, or called when its event loop is gone
            function()
            return None

    async def aclose(self) -> None:
        """End the threads once what was asked for before is done, and close the sockets."""
        slots = self._turns().slots
        async with AsyncExitStack() as stack:
            for _ in range(self.settings.pool_size):
                await stack.enter_async_context(slots)
            await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        self._workers.close()
        with self._lock:
            for client in (self._client, self._lean):
                if client is not None:
                    client.close()

    def ask(self, request: Callable[[S3Client], T], key: str = "") -> T:
        """Make a request of the data plane, once, in this very thread; raises what `exchange` raises."""
        return self._make(self.data_client, request, key)

    def _make(self, find_client: Callable[[], S3Client], request: Callable[[S3Client], T], key: str) -> T:
        client = find_client()
        failures = client_errors() if client is self._client else (Refused, Unanswered)
        try:
            return request(client)
        except failures as error:
            raise translate(error, key=key, settings=self.settings) from error
        except KeyError as error:  # something between us and the store answered in its place
            raise BackendUnavailable(f"{self.settings.endpoint} answered without {error}, as no S3 store does.") from error
        except ValueError as error:  # boto3 reads numbers and dates, and leaves it at that
            raise BackendUnavailable(f"{self.settings.endpoint} answered as no S3 store does: {error}.") from error


def whole_head(answer: Any) -> Any:
    """Return an answer about an object as it is; called where a request is made, it is asked again if parts are missing."""
    _ = answer["ETag"], answer["LastModified"], answer["ContentLength"]
    return answer


def says_deleted(answer: Any) -> bool:
    """Tell whether an answer is R2's and S3's to DELETE: 204. Some stores say 200, and so does a page to sign in on."""
    return bool(answer["ResponseMetadata"]["HTTPStatusCode"] == 204)


def _answer(question: Question, read: Callable[[Any], T], client: S3Client) -> T:
    asked = question()
    return read(getattr(client, asked[0])(**asked[1]) if asked else None)


def _warn_of_proxy(endpoint: str) -> bool:
    if not has_proxy(endpoint):
        return False
    _log.info("A proxy stands before %s: boto3, which knows proxies, is used for all requests.", endpoint)
    return True


def _make_lean_client(settings: R2Settings) -> LeanClient:
    return LeanClient(
        settings.endpoint,
        access_key_id=settings.access_key_id,
        secret_access_key=settings.secret_access_key.get_secret_value(),
        session_token=settings.session_token.get_secret_value(),
        connect_seconds=settings.connect_timeout_seconds,
        read_seconds=settings.read_timeout_seconds,
        max_idle=settings.pool_size,
    )


def _load_anyio() -> None:
    # anyio loads it at the first task group: on the event loop, which it would hold up for 15 ms.
    with suppress(ImportError):  # a name of anyio's own, which may change
        import_module("anyio._backends._asyncio")


def _make_client(settings: R2Settings) -> S3Client:
    import boto3
    from botocore.handlers import add_expect_header
    from botocore.session import Session

    from indiaai_storage_r2.heads import require_whole_heads
    from indiaai_storage_r2.models import model_loader

    # The variables are R2's own: a profile or an endpoint that the machine has for AWS must not be in the way.
    session = Session(session_vars={"profile": (None, None, None, None), "config_file": (None, None, "", None)})
    session.register_component("data_loader", model_loader())
    client: S3Client = boto3.session.Session(botocore_session=session).client(
        "s3",
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key.get_secret_value(),
        aws_session_token=settings.session_token.get_secret_value() or None,
        config=_make_config(settings),
    )
    # R2 never answers 100: the client would wait a second before each body, over TLS 1.3 a minute, and then fail.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    client.meta.events.register("before-call.s3.DeleteObjects", _add_content_md5)
    client.meta.events.register_last("before-parameter-build.s3", _follow_no_redirect)
    require_whole_heads(client)
    return client


def _make_config(settings: R2Settings) -> Config:
    from botocore.config import Config

    return Config(
        region_name="auto",
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        # The newer defaults send bodies as chunks with a checksum behind them, over TLS only, which R2 refuses.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.read_timeout_seconds,
        max_pool_connections=settings.pool_size,
        tcp_keepalive=True,
        use_fips_endpoint=False,
        use_dualstack_endpoint=False,
    )


def _follow_no_redirect(context: dict[str, Any], **_: object) -> None:
    # For AWS's regions: botocore asks HEAD of the bucket where to go, and where that is redirected too, asks again for ever.
    context.setdefault("s3_redirect", {})["redirected"] = True


def _add_content_md5(params: dict[str, Any], **_: object) -> None:
    # S3 servers ask for it on a bulk delete, and botocore sends a checksum in its place, even when it is not required.
    params["context"].pop("checksum", None)
    params["headers"].pop("x-amz-sdk-checksum-algorithm", None)
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
