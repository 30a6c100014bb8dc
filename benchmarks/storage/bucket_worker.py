"""One contender on S3 as a process: opens its client, saying what that cost, and does the cells it is asked for.

Imported by `storage_r2`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from tempfile import NamedTemporaryFile
from time import perf_counter
from typing import Any

from storage.bucket_client import Bucket, Target
from storage.buckets import BUCKETS
from storage.meters import MIB, measure_calls, measure_transfer, resident_mib
from storage.rounds import Cell, serve

__all__ = ["serve_bucket"]

SMALL_BYTES = 4096
KEYS = 256
WARM_SECONDS = 0.1
WARM_MIB = 33
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


async def serve_bucket(name: str, options: Mapping[str, Any]) -> None:
    """Open a contender's client and do what it is asked, until nobody asks any more."""
    bucket = BUCKETS[name]()
    worker = BucketWorker(bucket, prefix=name.replace(" ", "-"))
    target = Target(**options)
    for variable in PROXIES:
        os.environ.pop(variable, None)
    if target.ca_file:  # each library knows one of these
        os.environ.update(SSL_CERT_FILE=target.ca_file, AWS_CA_BUNDLE=target.ca_file, REQUESTS_CA_BUNDLE=target.ca_file)
    try:
        hello = await open_bucket(bucket, target)
    except ImportError as error:
        await serve({"missing": str(error)}, worker.answer)
        return
    try:
        await serve(hello, worker.answer)
    finally:
        await bucket.close()


async def open_bucket(bucket: Bucket, target: Target) -> dict[str, float]:
    """Import the contender and make its client, and return what that took: milliseconds, modules, MiB."""
    for name in bucket.needed_anyway:
        importlib.import_module(name)
    modules, started = len(sys.modules), perf_counter()
    for name in bucket.modules:
        importlib.import_module(name)
    imported, modules = perf_counter(), len(sys.modules) - modules
    has_boto = "botocore" in sys.modules
    await bucket.open(target)
    return {
        "import_ms": (imported - started) * 1e3,
        "client_ms": (perf_counter() - imported) * 1e3,
        "modules": modules,
        "botocore": int(has_boto),
        "resident_mib": resident_mib(),
    }


class BucketWorker:
    """Does the cells of one contender, whose objects have a prefix of their own: none reads what another stored."""

    def __init__(self, bucket: Bucket, *, prefix: str) -> None:
        """Take an open bucket."""
        self._bucket = bucket
        self._prefix = prefix
        self._deeds: dict[str, Callable[[Cell], Awaitable[dict[str, float]]]] = {
            "first": self._first,
            "fill": self._fill,
            "put": self._put,
            "get": self._get,
            "sign": self._sign,
            "first_large": self._first_large,
            "put_file": self._put_file,
            "put_chunks": self._put_chunks,
            "drain": self._drain,
        }

    async def answer(self, cell: Cell) -> dict[str, float]:
        """Do one cell; no figures where the contender does not offer it."""
        try:
            return await self._deeds[cell["do"]](cell)
        except NotImplementedError:
            return {}

    async def _first(self, cell: Cell) -> dict[str, float]:
        started = perf_counter()
        await self._bucket.put(self._key("first"), bytes(SMALL_BYTES))
        return {"first_ms": (perf_counter() - started) * 1e3, "botocore": int("botocore" in sys.modules)}

    async def _fill(self, cell: Cell) -> dict[str, float]:
        content = os.urandom(SMALL_BYTES)
        await measure_calls(lambda number: self._bucket.put(self._small(number), content), at_once=8, count=KEYS)
        if await self._bucket.get(self._small(0)) != content:
            raise RuntimeError("the object is not the one that was stored")
        return {}

    async def _put(self, cell: Cell) -> dict[str, float]:
        content = os.urandom(SMALL_BYTES)
        return await _calls(lambda number: self._bucket.put(self._small(number), content), cell)

    async def _get(self, cell: Cell) -> dict[str, float]:
        async def get(number: int) -> None:
            if len(await self._bucket.get(self._small(number))) != SMALL_BYTES:
                raise RuntimeError("the object has not the length that was stored")

        return await _calls(get, cell)

    async def _sign(self, cell: Cell) -> dict[str, float]:
        return await _calls(lambda number: self._bucket.sign(self._key(f"2026/page {number}.pdf")), cell)

    async def _first_large(self, cell: Cell) -> dict[str, float]:
        started = perf_counter()
        await self._warm()
        return {"first_ms": (perf_counter() - started) * 1e3, "botocore": int("botocore" in sys.modules)}

    async def _put_file(self, cell: Cell) -> dict[str, float]:
        await self._warm()
        return await measure_transfer(self._bucket.put_file(self._key(cell["key"]), cell["path"]), size=cell["size"])

    async def _put_chunks(self, cell: Cell) -> dict[str, float]:
        await self._warm()
        chunks = _chunks(cell["size"] // MIB)
        return await measure_transfer(self._bucket.put_chunks(self._key(cell["key"]), chunks), size=cell["size"])

    async def _drain(self, cell: Cell) -> dict[str, float]:
        await self._warm()

        async def drain() -> None:
            if (size := await self._bucket.drain(self._key(cell["key"]))) != cell["size"]:
                raise RuntimeError(f"{size} bytes came of {cell['size']}")

        return await measure_transfer(drain(), size=cell["size"])

    async def _warm(self) -> None:
        # What a client loads when it first sends parts is its start's business: it is measured there.
        with suppress(NotImplementedError):
            await self._bucket.put_chunks(self._key("warm"), _chunks(WARM_MIB))
        with NamedTemporaryFile() as file:
            file.truncate(WARM_MIB * MIB)
            await self._bucket.put_file(self._key("warm"), file.name)

    def _small(self, number: int) -> str:
        return self._key(f"small/{number % KEYS:03d}")

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"


def _chunks(count: int) -> Callable[[], Iterator[bytes]]:
    chunk = bytearray(os.urandom(MIB))
    # New bytes each time: the same ones again and again would cost whoever gathers them no memory.
    return lambda: (bytes(chunk) for _ in range(count))


async def _calls(call: Callable[[int], Awaitable[object]], cell: Cell) -> dict[str, float]:
    at_once, count = cell["at_once"], cell.get("count", 0)
    await measure_calls(call, at_once=at_once, seconds=WARM_SECONDS)
    return await measure_calls(call, at_once=at_once, count=count, seconds=cell.get("seconds", 0.0))
