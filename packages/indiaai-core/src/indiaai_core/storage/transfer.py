"""Gives one store what another one has under a key, whoever writes meanwhile; imported by the command line and by wrappers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from indiaai_core.errors import BackendUnavailable, ObjectNotFound, StorageError
from indiaai_core.storage.service import KEPT, ObjectInfo, StorageService

__all__ = ["Spot", "transfer"]

TIMES = 50
"""How often what changes meanwhile is copied anew."""

OnChunk = Callable[[int], object]


class Spot(NamedTuple):
    """A key in a store, with an object or without."""

    store: StorageService
    key: str

    async def find(self) -> ObjectInfo | None:
        """Return what the store knows about the object; None where there is none."""
        try:
            return await self.store.stat(self.key)
        except ObjectNotFound:
            return None


async def transfer(
    source: Spot,
    target: Spot,
    *,
    found: ObjectInfo | None,
    content_type: str | None = None,
    if_absent: bool = False,
    deletes: bool = False,
    on_chunk: OnChunk = lambda _: None,
) -> None:
    """Make the target as the source is, and again until the source has not changed meanwhile.

    The last look at the source comes after the last write to the target. So a change that no look saw comes after that
    write; and where whoever changes the source calls this afterwards, the target ends as the source is, in whatever order
    their calls meet (docs/decisions/mirror-follows.md). An object goes along whole and of one version, with its type and what
    both stores can keep.

    Args:
        source: Where it is. Its store must have `stat`.
        target: Where it is to be.
        found: What the source had when it was last asked.
        content_type: The type to store; None: the object's own.
        if_absent: Store only if the target has none.
        deletes: Whether the target loses what the source does not have. Without it, it loses only what this call has brought
            and the source has lost since.
        on_chunk: Is told of bytes that are on their way.

    Raises:
        ObjectNotFound: The source has none, and the target is to lose none.
        ObjectExists: `if_absent` was asked for, and the target has one.
        IndiaAIError: What else the stores raise.
    """
    for _ in range(TIMES):
        body = _Body(source, on_chunk)
        try:
            if found is not None:
                options = _options(source, target, found=found, if_absent=if_absent)
                await target.store.upload(target.key, body, content_type or found.content_type, **options)
                deletes, if_absent = True, False
            elif deletes:
                await target.store.delete(target.key)
            else:
                raise ObjectNotFound(source.key)
        except (BackendUnavailable, ObjectNotFound) as error:
            # A source that is replaced or deleted while it is read is begun anew; what else fails would fail again.
            if error is not body.failure or await source.find() == found:
                raise
        latest = await source.find()
        if latest == found:
            return
        found = latest
    raise StorageError(f"{source.key!r} was changed {TIMES} times while it was copied, and the copy is not of the last.")


def _options(source: Spot, target: Spot, *, found: ObjectInfo, if_absent: bool) -> dict[str, Any]:
    both = KEPT & source.store.capabilities & target.store.capabilities
    return {**{name: getattr(found, name) for name in both}, **({"if_absent": True} if if_absent else {})}


class _Body:
    """The bytes of an object, counted, and the error that ended them."""

    def __init__(self, source: Spot, on_chunk: OnChunk) -> None:
        self._source = source
        self._on_chunk = on_chunk
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._source.store.stream(self._source.key):
                yield chunk
                self._on_chunk(len(chunk))
        except (BackendUnavailable, ObjectNotFound) as error:
            self.failure = error
            raise
