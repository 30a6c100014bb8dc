"""The promise that a store is a dict that lasts; part of `StorageConformance`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from indiaai_core.errors import ObjectNotFound
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import PROPERTY, collect, fresh_folder, listed

__all__ = ["Model", "ModelPromises"]

# Few and alike, so that calls meet: one is a folder of another, one differs in case, one is the same decomposed.
KEYS = st.sampled_from(("a", "a/b", "A", "a/é", "a/e\u0301", "a%2Fb", "क/ख"))
CONTENTS = st.sampled_from((b"", b"same", b"other")) | st.binary(max_size=64)
STEP = st.one_of(
    st.tuples(st.just("upload"), KEYS, CONTENTS),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("copy"), KEYS, KEYS),
    st.tuples(st.just("read"), KEYS),
)


class ModelPromises:
    """Calls in any order do what they would do to a dict."""

    @promise("S75", "Any sequence of calls gives what it would give on a dict.")
    @PROPERTY
    @given(steps=st.lists(STEP, min_size=10, max_size=30))
    async def test_a_store_is_a_dict(self, service: StorageService, steps: list[tuple[Any, ...]]) -> None:
        model = Model(service, fresh_folder())

        for name, *arguments in steps:
            await getattr(model, name)(*arguments)

        await model.compare()


@dataclass
class Model:
    """A service beside the dict that it is to be like."""

    service: StorageService
    folder: str
    objects: dict[str, bytes] = field(default_factory=dict)

    async def upload(self, key: str, content: bytes) -> None:
        """Store in both."""
        await self.service.upload(f"{self.folder}/{key}", content)
        self.objects[self.name(key)] = content

    async def delete(self, key: str) -> None:
        """Remove from both."""
        was_there = await self.service.delete(f"{self.folder}/{key}")
        assert was_there == (self.objects.pop(self.name(key), None) is not None)

    async def copy(self, source: str, target: str) -> None:
        """Copy in both."""
        try:
            await self.service.copy(f"{self.folder}/{source}", f"{self.folder}/{target}")
        except ObjectNotFound:
            assert self.name(source) not in self.objects
        else:
            self.objects[self.name(target)] = self.objects[self.name(source)]

    async def read(self, key: str) -> None:
        """Read from both."""
        found: bytes | None
        try:
            found = await self.service.download(f"{self.folder}/{key}")
            assert await collect(self.service.stream(f"{self.folder}/{key}")) == found
        except ObjectNotFound:
            found = None
        assert found == self.objects.get(self.name(key))
        assert await self.service.exists(f"{self.folder}/{key}") == (found is not None)

    async def compare(self) -> None:
        """Hold all that is stored against all that should be."""
        for name, content in self.objects.items():
            assert await self.service.download(f"{self.folder}/{name}") == content
        if "list" in self.service.capabilities:
            names = sorted(self.objects, key=str.encode)
            assert await listed(self.service, f"{self.folder}/") == [f"{self.folder}/{name}" for name in names]

    def name(self, key: str) -> str:
        """Return the one form of a key."""
        return key.replace("e\u0301", "é")
