"""The promise that a store is a dict that lasts; part of `StorageConformance`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from indiaai_core.errors import ObjectExists, ObjectNotFound
from indiaai_core.storage import FileData, StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import PROPERTY, collect, fresh_folder, listed
from indiaai_core.testing.storage.sources import chunks_of, failing_stream

__all__ = ["Model", "ModelPromises", "Stored"]

# Few and alike, so that calls meet: one is a folder of another, one differs in case, one is the same decomposed.
KEYS = st.sampled_from(("a", "a/b", "A", "a/é", "a/e\u0301", "a%2Fb", "क/ख"))
CONTENTS = st.sampled_from((b"", b"same", b"same", b"other")) | st.binary(max_size=64)
RANGES = st.tuples(st.integers(0, 70), st.none() | st.integers(0, 70))


@dataclass(frozen=True)
class Stored:
    """What is under one key of the dict: the arguments of the upload that is seen, and the kind of its source."""

    content: bytes
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)
    cache_control: str = ""
    content_disposition: str = ""
    kind: str = "bytes"


OBJECTS = st.builds(
    Stored,
    content=CONTENTS,
    content_type=st.sampled_from(("application/octet-stream", "text/plain; charset=utf-8")),
    metadata=st.sampled_from(({}, {"author": "Kālidāsa"}, {"a": "1", "b": ""})),
    cache_control=st.sampled_from(("", "no-store", "public, max-age=60")),
    content_disposition=st.sampled_from(("", "inline", 'attachment; filename="a b.pdf"')),
    kind=st.sampled_from(("bytes", "stream", "file")),
)
UPLOAD = st.tuples(st.just("upload"), KEYS, OBJECTS)
STEP = st.one_of(
    UPLOAD,
    UPLOAD.map(tuple),  # twice as often as another: what follows needs something to work on
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("upload_if_absent"), KEYS, OBJECTS),
    st.tuples(st.just("upload_failing"), KEYS, CONTENTS),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("copy"), KEYS, KEYS),
    st.tuples(st.just("read"), KEYS),
    st.tuples(st.just("read_range"), KEYS, RANGES),
    st.tuples(st.just("read_list"), st.sampled_from(("", "a", "a/", "a/e\u0301", "क", "b")), st.none() | st.integers(0, 4)),
)


class ModelPromises:
    """Calls in any order do what they would do to a dict."""

    @promise("S75", "Any sequence of calls, through one service or two, gives what it would give on a dict.")
    # One fault at a time: to make each of many short takes minutes, where a new backend fails in every call.
    @settings(PROPERTY, max_examples=30, report_multiple_bugs=False)
    @given(steps=st.lists(st.tuples(st.integers(0, 1), STEP), min_size=10, max_size=30))
    async def test_a_store_is_a_dict(
        self, service: StorageService, second_service: StorageService, steps: list[tuple[int, tuple[Any, ...]]]
    ) -> None:
        objects: dict[str, Stored] = {}
        folder = fresh_folder()
        models = [Model(each, folder, objects) for each in (service, second_service)]

        for who, (name, *arguments) in steps:
            await getattr(models[who], name)(*arguments)

        for model in models:
            await model.compare()


@dataclass
class Model:
    """A service beside the dict that it is to be like; several may share a store and a dict."""

    service: StorageService
    folder: str
    objects: dict[str, Stored] = field(default_factory=dict)

    async def upload(self, key: str, stored: Stored) -> None:
        """Store in both."""
        stored, options = self.declared(stored)
        await self.service.upload(self.path(key), _source(stored), stored.content_type, **options)
        self.objects[_name(key)] = stored

    async def upload_if_absent(self, key: str, stored: Stored) -> None:
        """Store in both where there is nothing yet."""
        if "if_absent" not in self.service.capabilities:
            return
        stored, options = self.declared(stored)
        try:
            await self.service.upload(self.path(key), _source(stored), stored.content_type, if_absent=True, **options)
        except ObjectExists:
            assert _name(key) in self.objects, f"{key!r} is said to exist and was not stored"
        else:
            assert _name(key) not in self.objects, f"{key!r} was replaced in spite of if_absent"
            self.objects[_name(key)] = stored

    async def upload_failing(self, key: str, content: bytes) -> None:
        """Change neither by an upload whose source fails."""
        error = LookupError("the source failed")
        try:
            await self.service.upload(self.path(key), failing_stream(content, error))
        except LookupError as raised:
            assert raised is error  # noqa: PT017 - hypothesis shrinks what is asserted here
        else:
            raise AssertionError("an upload whose source failed is said to have succeeded")

    async def delete(self, key: str) -> None:
        """Remove from both."""
        was_there = await self.service.delete(self.path(key))
        assert was_there == (self.objects.pop(_name(key), None) is not None)

    async def copy(self, source: str, target: str) -> None:
        """Copy in both."""
        try:
            await self.service.copy(self.path(source), self.path(target))
        except ObjectNotFound:
            assert _name(source) not in self.objects
        else:
            copied = self.objects[_name(source)]
            is_known = "stat" in self.service.capabilities
            self.objects[_name(target)] = copied if is_known else replace(copied, content_type="")

    async def read(self, key: str) -> None:
        """Read from both."""
        expected = self.objects.get(_name(key))
        try:
            found = await self.service.download(self.path(key))
            assert await collect(self.service.stream(self.path(key))) == found
        except ObjectNotFound:
            assert expected is None, f"{key!r} was stored and is not found"
        else:
            assert expected is not None, f"{key!r} is found and was never stored, or was deleted"
            assert found == expected.content
            await self.compare_info(key, expected)
        assert await self.service.exists(self.path(key)) == (expected is not None)

    async def read_range(self, key: str, wanted: tuple[int, int | None]) -> None:
        """Read a part from both."""
        expected = self.objects.get(_name(key))
        first, length = wanted
        last = None if length is None else first + length
        try:
            found = await collect(self.service.stream(self.path(key), start=first, end=last, chunk_size=7))
        except ObjectNotFound:
            assert expected is None, f"{key!r} was stored and is not found"
        else:
            assert expected is not None, f"{key!r} is found and was never stored, or was deleted"
            assert found == expected.content[first:last]

    async def read_list(self, prefix: str, limit: int | None) -> None:
        """List a beginning in both."""
        if "list" in self.service.capabilities:
            names = [name for name in sorted(self.objects, key=str.encode) if name.startswith(_name(prefix))]
            found = await listed(self.service, self.path(prefix), limit=limit)
            assert found == [self.path(name) for name in names[:limit]]

    async def compare(self) -> None:
        """Hold all that is stored against all that should be."""
        for name in self.objects:
            await self.read(name)
        await self.read_list("", None)

    async def compare_info(self, key: str, expected: Stored) -> None:
        """Hold what is known of an object against what should be."""
        if "stat" not in self.service.capabilities:
            return
        info = await self.service.stat(self.path(key))
        assert (info.key, info.size) == (self.path(_name(key)), len(expected.content))
        assert info.content_type == expected.content_type
        for name in ("metadata", "cache_control", "content_disposition"):
            if name in self.service.capabilities:
                assert getattr(info, name) == getattr(expected, name), f"{name} of {key!r}"

    def declared(self, stored: Stored) -> tuple[Stored, dict[str, Any]]:
        """Return an object without what the backend does not declare, and the options to upload it with."""
        names = [name for name in ("metadata", "cache_control", "content_disposition") if name in self.service.capabilities]
        options: dict[str, Any] = {name: getattr(stored, name) for name in names}
        return Stored(stored.content, stored.content_type, kind=stored.kind, **options), options

    def path(self, key: str) -> str:
        """Return a key in the model's folder."""
        return f"{self.folder}/{key}"


def _name(key: str) -> str:
    return key.replace("e\u0301", "é")


def _source(stored: Stored) -> FileData:
    if stored.kind == "stream":
        return chunks_of(stored.content, 10)
    return BytesIO(stored.content) if stored.kind == "file" else stored.content
