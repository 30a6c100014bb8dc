"""The interface of the storage layer; imported by applications for its types and by every storage backend."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, ClassVar

from indiaai_core.errors import ObjectNotFound, Unsupported
from indiaai_core.layers import Service
from indiaai_core.storage.keys import check_range, normalize_key
from indiaai_core.storage.options import refuse_unknown_options
from indiaai_core.storage.probe import Probe

__all__ = ["DEFAULT_CHUNK_SIZE", "KEPT", "FileData", "ObjectInfo", "StorageService"]

DEFAULT_CHUNK_SIZE = 256 * 1024
"""Bytes in a chunk of `stream` unless the caller says otherwise."""

FileData = bytes | bytearray | memoryview | BinaryIO | AsyncIterable[bytes]
"""What `upload` takes: the bytes, an open binary file, or an asynchronous stream of bytes."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What the store knows about one object.

    Attributes:
        key: The object's key, in NFC.
        size: Its length in bytes.
        content_type: The media type it was stored with.
        etag: An opaque token that changes whenever the content changes; without quotes.
        last_modified: When it was last written; aware, UTC.
        metadata: The user's own pairs, where the backend declares the capability `metadata`.
        cache_control: How long whoever reads it may keep it, where the backend declares `cache_control`; empty for none.
        content_disposition: How a browser shows it and names it when saved, in the form that travels (ASCII), where the
            backend declares `content_disposition`; empty for none.
    """

    key: str
    size: int
    content_type: str
    etag: str
    last_modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    cache_control: str = ""
    content_disposition: str = ""


KEPT = frozenset({"metadata", "cache_control", "content_disposition"})
"""What of an object `upload` takes back as `stat` told it, each a capability of that name."""


class StorageService(Service):
    """Objects of bytes under keys.

    The four abstract methods are a whole backend; the rest has a default built on them where that is honest, and
    raises `Unsupported` where it is not. A backend that does better overrides and declares the capability:

    | capability | what it adds |
    | --- | --- |
    | `stat` | `exists`, `stat` without reading the object |
    | `list` | `list` |
    | `copy` | `copy` within the store, without the bytes passing through the application |
    | `presign_upload` | `get_upload_url` |
    | `if_absent` | `upload(…, if_absent=True)` decided by the store, atomically |
    | `metadata` | `upload(…, metadata=…)`, which `stat` tells and `copy` keeps |
    | `cache_control` | `upload(…, cache_control=…)`, which `stat` tells, `copy` keeps and `get_url` may replace |
    | `content_disposition` | the same for `content_disposition=…` |
    | `presign` | `get_url` gives a URL that expires and that anyone may GET |

    A keyword that a backend's `upload` or `get_url` does not take is refused for it with `Unsupported`, so a backend need
    not write down what it cannot do.

    Every method takes a key as `normalize_key` describes it and refuses any other with `InvalidKey` before anything is
    touched (S59 to S65, S100). Failures of what the backend stands on are `BackendUnavailable` or `StorageError`, with the
    client's own exception as their cause (S73, S74). One instance may be shared by all tasks of an event loop, and what it
    did, every other service on the store sees at once (S69 to S72, S101 to S103).

    What is promised is numbered (S12): the conformance suite `indiaai_core.testing.StorageConformance` holds a backend to
    each, and docs/reference/promises.md lists them. S75 holds any sequence of calls against a dict; S76 to S78 and S104 to
    S106 are about `check`, `probe` and `aclose`.
    """

    contract_version: ClassVar[int] = 1

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse for the backend what its methods do not take."""
        super().__init_subclass__(**options)
        refuse_unknown_options(cls)

    @abstractmethod
    async def upload(
        self,
        file_key: str,
        file_data: FileData,
        content_type: str = "application/octet-stream",
        *,
        if_absent: bool = False,
        metadata: Mapping[str, str] | None = None,
        cache_control: str | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Store an object, whole or not at all.

        The backend must make the object visible only when all of it is there and will survive what the backend's page
        promises; a call that fails or is cancelled must leave the old object as it was. A stream must not be held whole
        in memory. Two uploads to one key at a time leave one of the two, never a mixture. What the source raises comes out
        as it is: a source that fails is no fault of the store. A call that was cancelled does no more once it has raised.

        Promises: S01 to S12, S79 to S83; `if_absent` S56 to S58, S99; `metadata` S66 to S68; headers S89 to S91.

        Args:
            file_key: The object's key.
            file_data: Bytes; a binary file object, read from where it stands to its end and left open; or an
                asynchronous iterable of bytes, of which empty chunks are allowed.
            content_type: The media type kept with the object, 1 to 255 printable ASCII characters with no space
                at either end.
            if_absent: Store only if there is no object under the key.
            metadata: Pairs kept with the object. Names are ASCII without case, values are text; 2 KiB together.
                None and an empty one mean none, here and in the next two, whatever an older object under the key has.
                Pass it through `check_metadata`.
            cache_control: Kept with the object and sent with it: up to 1,024 printable ASCII characters, such as
                `public, max-age=3600`. Pass it through `check_cache_control`.
            content_disposition: Kept with the object and sent with it, such as `attachment; filename="बिल.pdf"`: a file
                name may be in any script. Pass it through `check_content_disposition`, and keep what that returns.

        Returns:
            The object's lasting address: it has no signature in it and does not expire, and need not be readable
            to everyone.

        Raises:
            InvalidKey: The key breaks the rules.
            InvalidRequest: Content type, metadata, cache control or content disposition break theirs.
            ObjectExists: `if_absent` was asked for and there is an object.
            Unsupported: `if_absent`, `metadata`, `cache_control` or `content_disposition` was asked for and the backend does
                not declare it.
            BackendUnavailable: The store does not answer; nothing was changed, or the whole object was stored.
        """

    @abstractmethod
    async def download(self, file_key: str) -> bytes:
        """Return the whole object.

        Promises: S01, S13, S84, S86.

        Raises:
            InvalidKey: The key breaks the rules.
            ObjectNotFound: There is no object under the key.
        """

    @abstractmethod
    async def get_url(
        self,
        file_key: str,
        expires_in: int = 3600,
        *,
        cache_control: str | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Return a URL that anyone may GET until it expires, and nobody after.

        The object need not exist: as on S3, the URL then answers 404. A backend without the capability `presign`
        returns whatever address it has.

        Promises: S27 to S35; headers S93, S94.

        Args:
            file_key: The object's key.
            expires_in: Seconds until it expires, 1 to 604,800 (7 days).
            cache_control: What this URL's answers say in place of the object's own; None and an empty one leave
                that. It must be part of what is signed. Limits are those of `upload`.
            content_disposition: The same for the disposition.

        Raises:
            InvalidKey: The key breaks the rules.
            InvalidRequest: `expires_in`, `cache_control` or `content_disposition` is out of its limits.
            Unsupported: `cache_control` or `content_disposition` was asked for and the backend does not declare it,
                or not `presign`.
        """

    @abstractmethod
    async def delete(self, file_key: str) -> bool:
        """Remove the object.

        Of several deletes at once, more than one may say True. Promises: S48 to S50, S97.

        Returns:
            True if there was one, False if not.

        Raises:
            InvalidKey: The key breaks the rules.
        """

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        """Iterate over the bytes `[start, end)` of the object, in chunks of at most `chunk_size` bytes.

        The bytes are those of one version of the object: if it is replaced meanwhile, the stream goes on with the old
        one or raises `BackendUnavailable`, and never mixes the two; if it is deleted, it goes on or raises that or
        `ObjectNotFound`, and does not end early. A range past the end gives what is there,
        like a slice. Close a stream that is left early (`contextlib.aclosing`).

        The default downloads the whole object; a backend for large ones overrides it. Promises: S19 to S26, S85 to S88.

        Raises:
            InvalidKey: The key breaks the rules.
            InvalidRequest: The range or the chunk size makes no sense.
            ObjectNotFound: There is no object under the key; raised before the first chunk.
        """
        check_range(start, end, chunk_size)
        content = memoryview(await self.download(file_key))[start:end]
        for offset in range(0, len(content), chunk_size):
            yield bytes(content[offset : offset + chunk_size])

    async def get_upload_url(
        self, file_key: str, expires_in: int = 3600, *, content_type: str = "application/octet-stream"
    ) -> str:
        """Return a URL to which a client PUTs the object's bytes straight, with exactly this `Content-Type`.

        Promises: S36 to S40.

        Raises:
            InvalidKey: The key breaks the rules.
            InvalidRequest: `expires_in` or `content_type` is out of its limits.
            Unsupported: The backend does not declare `presign_upload`.
        """
        raise Unsupported(type(self).__name__, "presign_upload")

    async def exists(self, file_key: str) -> bool:
        """Return whether there is an object under the key.

        Promises: S14, S84.

        Raises:
            InvalidKey: The key breaks the rules.
        """
        try:
            if "stat" in self.capabilities:
                await self.stat(file_key)
            else:
                await self.download(file_key)
        except ObjectNotFound:
            return False
        return True

    async def stat(self, file_key: str) -> ObjectInfo:
        """Return what the store knows about the object.

        Promises: S15 to S18, S84; S66, S67, S89, S90.

        Raises:
            InvalidKey: The key breaks the rules.
            ObjectNotFound: There is no object under the key.
            Unsupported: The backend does not declare `stat`.
        """
        raise Unsupported(type(self).__name__, "stat")

    def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        """Iterate over the objects whose key starts with `prefix`, in the order of their keys' UTF-8 bytes.

        An object that exists during the whole iteration is given exactly once; one that comes or goes meanwhile may or
        may not be. Pages are fetched as the iteration goes on. `content_type` may be empty where a store does not
        list it; `stat` knows it. Promises: S41 to S47, S95, S96.

        Args:
            prefix: A string prefix, not a folder; empty for all.
            limit: The most objects to give; None for all.

        Raises:
            InvalidKey: The prefix holds what no key can hold.
            InvalidRequest: `limit` is negative.
            Unsupported: The backend does not declare `list`.
        """
        raise Unsupported(type(self).__name__, "list")

    async def probe(self) -> None:
        """Store, read, list and delete a small object under `indiaai-check/`, each of which a token may forbid.

        Raises:
            ConfigurationError: Some of it is refused; the one error says what, and names every fault.
            StorageError: What was read is not what was stored, or a step failed.
            BackendUnavailable: The store does not answer.
        """
        await Probe(self).run()

    async def copy(self, source_key: str, target_key: str) -> str:
        """Copy an object within the store: content, content type and all else that `upload` takes, all or nothing.

        The default passes the bytes through the application, chunk by chunk where `stream` is the backend's own, and
        carries what `stat` knows; a backend that declares `copy` lets the store do it. Where the source is replaced
        meanwhile, the copy is of one version, or the call raises `BackendUnavailable`.

        Promises: S51 to S55, S92, S98.

        Returns:
            The copy's lasting address, as `upload` does.

        Raises:
            InvalidKey: One of the keys breaks the rules.
            ObjectNotFound: There is no object under `source_key`.
        """
        source, target = normalize_key(source_key), normalize_key(target_key)
        if "stat" not in self.capabilities:
            return await self.upload(target, self.stream(source))
        info = await self.stat(source)
        kept: dict[str, Any] = {name: getattr(info, name) for name in KEPT & self.capabilities}
        return await self.upload(target, self.stream(source), info.content_type, **kept)
