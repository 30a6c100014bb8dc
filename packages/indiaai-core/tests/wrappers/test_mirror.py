"""The wrapper `mirror`: the first store holds, the second follows, and what it missed is told."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from prometheus_client import REGISTRY

from indiaai_core import (
    BackendUnavailable,
    ConfigurationError,
    ObjectExists,
    ObjectInfo,
    ObjectNotFound,
    Platform,
    StorageError,
    StorageService,
    Unsupported,
)
from indiaai_core.discovery import find_layer
from indiaai_core.environment import Environment
from indiaai_core.storage import normalize_key, read_all
from indiaai_core.wrappers.mirror import mirror, with_mirror
from installed import SitePackages
from shared_storage import SHARED_STORAGE, backend, objects
from wrapper_fakes import Echo, wrap

pytestmark = pytest.mark.anyio

TEN = datetime(2026, 11, 24, 10, tzinfo=UTC)


class Store(StorageService):
    """Objects in a dict, whose operations fail, or wait, or let others in, as a test says."""

    capabilities = frozenset({"stat", "list", "copy", "if_absent", "metadata"})

    def __init__(self) -> None:
        """Begin empty."""
        self.objects: dict[str, tuple[ObjectInfo, bytes]] = {}
        self.before: dict[str, Callable[[], Awaitable[object]]] = {}
        self.closed = 0

    async def _begin(self, operation: str) -> None:
        if operation in self.before:
            await self.before[operation]()

    async def upload(  # type: ignore[override] # a stranger's
        self, file_key: str, file_data: Any, content_type: str = "a/b", *, if_absent: bool = False, metadata: Any = None
    ) -> str:
        """Keep it."""
        await self._begin("upload")
        key, content = normalize_key(file_key), await read_all(file_data)
        await self._begin("store")
        if if_absent and key in self.objects:
            raise ObjectExists(key)
        moment = TEN + timedelta(seconds=len(self.objects))
        self.objects[key] = (ObjectInfo(key, len(content), content_type, str(content), moment, metadata or {}), content)
        return f"{id(self)}:{key}"

    def _found(self, file_key: str) -> tuple[ObjectInfo, bytes]:
        if file_key not in self.objects:
            raise ObjectNotFound(file_key)
        return self.objects[file_key]

    async def download(self, file_key: str) -> bytes:
        """Give it back."""
        await self._begin("download")
        return self._found(file_key)[1]

    async def get_url(self, file_key: str, expires_in: int = 3600) -> str:  # type: ignore[override] # a stranger's
        """Give a link."""
        return f"{id(self)}:{file_key}?{expires_in}"

    async def delete(self, file_key: str) -> bool:
        """Forget it."""
        await self._begin("delete")
        return self.objects.pop(file_key, None) is not None

    async def stat(self, file_key: str) -> ObjectInfo:
        """Tell of it."""
        return self._found(file_key)[0]

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        """List them."""
        for key in sorted(key for key in self.objects if key.startswith(prefix))[:limit]:
            yield self.objects[key][0]

    async def check(self) -> None:
        """Say whether it serves."""
        await self._begin("check")

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1

    def contents(self) -> dict[str, bytes]:
        """Return what is in it."""
        return {key: content for key, (_, content) in self.objects.items()}


def failing(error: BaseException) -> Callable[[], Awaitable[object]]:
    """Return what raises an error."""

    async def fail() -> None:
        raise error

    return fail


@pytest.fixture
def first() -> Store:
    """The store."""
    return Store()


@pytest.fixture
def second() -> Store:
    """What follows it."""
    return Store()


@pytest.fixture
def plain(first: Store, second: Store) -> Any:
    """A mirror whose second store is not read."""
    return with_mirror(first, second, fallback=False)


@pytest.fixture
def both(first: Store, second: Store) -> Any:
    """A mirror that reads from the second what the first does not have."""
    return with_mirror(first, second)


async def test_what_is_written_is_in_both_with_all_that_describes_it(plain: Any, first: Store, second: Store) -> None:
    """Uploads of any kind, copies and deletes; the address is the first store's."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"in "
        yield b"pieces"

    address = await plain.upload("a", chunks(), "text/plain", metadata={"by": "test"})
    await plain.copy("a", "b")
    await plain.upload("c", b"c")
    was_there = await plain.delete("c")

    assert (address, was_there) == (f"{id(first)}:a", True)
    assert first.contents() == second.contents() == {"a": b"in pieces", "b": b"in pieces"}
    info = await second.stat("a")
    assert (info.content_type, info.metadata) == ("text/plain", {"by": "test"})


@pytest.mark.parametrize(
    "error", [BackendUnavailable("down"), StorageError("the disk is full"), ConfigurationError("no right"), KeyError("bug")]
)
async def test_a_second_that_fails_takes_nothing_from_a_write_and_is_told(
    error: Exception, plain: Any, first: Store, second: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises, the call does what it does without a mirror; a warning names operation, key, reason and remedy."""
    await plain.upload("old", b"old")
    second.before = dict.fromkeys(["upload", "delete"], failing(error))

    await plain.upload("new", b"new")
    await plain.copy("old", "copy")
    assert await plain.delete("old") is True

    assert first.contents() == {"new": b"new", "copy": b"old"}
    assert second.contents() == {"old": b"old"}
    told = [record.getMessage() for record in caplog.records]
    assert [text.split(":")[0] for text in told] == [
        f"The second store was left behind by {what}" for what in ("upload of 'new'", "copy of 'copy'", "delete of 'old'")
    ]
    assert all(str(error) in text and "cp --update --delete" in text for text in told)


async def test_a_first_that_fails_leaves_the_second_alone(plain: Any, first: Store, second: Store) -> None:
    """A write that the store refuses is in neither, and raises as it does without a mirror."""
    await plain.upload("a", b"old")
    first.before = dict.fromkeys(["upload", "delete"], failing(BackendUnavailable("down")))

    for call in (plain.upload("a", b"new"), plain.upload("b", b"new"), plain.delete("a")):
        with pytest.raises(BackendUnavailable):
            await call

    assert first.contents() == second.contents() == {"a": b"old"}


async def test_a_second_that_does_not_go_on_is_given_up(first: Store, second: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A write waits so many seconds for it without a chunk, and no longer; the first has it."""
    service = with_mirror(first, second, seconds=0.01)
    second.before["upload"] = anyio.sleep_forever

    with anyio.fail_after(30):
        await service.upload("a", b"a")

    assert (first.contents(), second.contents()) == ({"a": b"a"}, {})
    assert "it did not go on for 0.01 s" in caplog.text


async def test_a_write_that_is_cancelled_says_what_the_second_lacks(
    plain: Any, first: Store, second: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The first has it by then, and whoever cancelled has no answer; it ends at once."""
    reached = anyio.Event()

    async def wait() -> None:
        reached.set()
        await anyio.sleep_forever()

    second.before["upload"] = wait
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(plain.upload, "a", b"a")
            await reached.wait()
            group.cancel_scope.cancel()

    assert (first.contents(), second.contents()) == ({"a": b"a"}, {})
    assert "upload of 'a': it was cancelled" in caplog.text


async def test_whichever_of_two_writers_is_late_both_stores_end_alike(plain: Any, first: Store, second: Store) -> None:
    """One has stored, and before it brings that, another stores and brings its own: the second has what the first has."""

    async def overtake() -> None:
        second.before.clear()
        await plain.upload("a", b"of the other")

    second.before["store"] = overtake

    await plain.upload("a", b"of the one")

    assert first.contents() == second.contents() == {"a": b"of the other"}


async def test_what_changes_without_end_is_given_up(
    plain: Any, first: Store, second: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The one who writes has an answer; whoever changed it last brings it."""

    async def change() -> None:
        await first.upload("a", first.objects["a"][1] + b"+")

    second.before["store"] = change

    await plain.upload("a", b"a")

    assert "upload of 'a': StorageError: 'a' was changed 50 times while it was copied" in caplog.text


async def test_what_is_deleted_while_it_is_brought_is_in_neither(plain: Any, first: Store, second: Store) -> None:
    """A delete that passes an upload between the two stores is not undone."""

    async def overtake() -> None:
        second.before.clear()
        await plain.delete("a")

    second.before["store"] = overtake

    await plain.upload("a", b"a")

    assert first.contents() == second.contents() == {}


async def test_without_fallback_only_the_first_is_read(plain: Any, second: Store) -> None:
    """What is in the second alone is not there, for every operation, and nobody asks it."""
    await second.upload("a", b"a")
    second.before["download"] = failing(AssertionError("it was asked"))

    assert await plain.exists("a") is False
    assert [info.key async for info in plain.list()] == []
    for call in (plain.download("a"), plain.stat("a"), anext(plain.stream("a"))):
        with pytest.raises(ObjectNotFound):
            await call


async def test_with_fallback_what_the_first_lacks_is_read_from_the_second(both: Any, first: Store, second: Store) -> None:
    """By every operation, links included; what both have is the first's."""
    await second.upload("only", b"in the second")
    await second.upload("same", b"of the second")
    await first.upload("same", b"of the first")
    await first.upload("zero", b"in the first")

    assert await both.download("only") == b"in the second"
    async with aclosing(both.stream("only", start=3)) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"the second"
    assert ((await both.stat("only")).size, await both.exists("only"), await both.exists("none")) == (13, True, False)
    assert await both.download("same") == b"of the first"
    assert [(info.key, info.etag) async for info in both.list()] == [
        ("only", "b'in the second'"),
        ("same", "b'of the first'"),
        ("zero", "b'in the first'"),
    ]
    assert [info.key async for info in both.list(limit=2)] == ["only", "same"]
    assert [await both.get_url(key, 60) for key in ("only", "same", "none")] == [
        f"{id(second)}:only?60",
        f"{id(first)}:same?60",
        f"{id(first)}:none?60",
    ]
    for call in (both.download("none"), both.stat("none"), anext(both.stream("none"))):
        with pytest.raises(ObjectNotFound):
            await call


async def test_with_fallback_an_object_of_either_exists_for_a_write(both: Any, first: Store, second: Store) -> None:
    """`if_absent` is refused, a copy brings it first, and a delete deletes it."""
    await second.upload("a", b"a", "text/plain", metadata={"by": "test"})

    with pytest.raises(ObjectExists):
        await both.upload("a", b"new", if_absent=True)
    await both.copy("a", "b")
    with pytest.raises(ObjectNotFound):
        await both.copy("none", "c")

    assert first.contents() == second.contents() == {"a": b"a", "b": b"a"}
    assert (await first.stat("b")).metadata == {"by": "test"}
    first.objects.pop("a")
    assert [await both.delete("a"), await both.delete("a")] == [True, False]
    assert "a" not in second.contents()


async def test_with_fallback_a_delete_that_could_be_read_past_is_none(both: Any, first: Store, second: Store) -> None:
    """Where the second store does not delete, the call raises, and the object is where it was."""
    await both.upload("a", b"a")
    second.before["delete"] = failing(BackendUnavailable("down"))

    with pytest.raises(BackendUnavailable):
        await both.delete("a")

    assert first.contents() == second.contents() == {"a": b"a"}


async def test_with_fallback_nobody_is_told_that_nothing_is_there_where_that_is_not_known(both: Any, second: Store) -> None:
    """The first has none and the second does not answer: that is no ObjectNotFound."""
    second.before["download"] = failing(BackendUnavailable("down"))

    with pytest.raises(BackendUnavailable):
        await both.download("a")


async def test_only_what_both_can_keep_is_taken(first: Store, second: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second store without metadata would lose them: a call that has some is refused before it stores anything."""
    monkeypatch.setattr(second, "capabilities", frozenset({"stat"}), raising=False)
    plain, both = with_mirror(first, second, fallback=False), with_mirror(first, second)

    with pytest.raises(Unsupported):
        await plain.upload("a", b"a", metadata={"by": "test"})
    await plain.upload("a", b"a", metadata={})

    assert plain.capabilities == {"stat", "list", "copy", "if_absent"}
    assert both.capabilities == {"stat", "copy", "if_absent"}
    assert second.contents() == {"a": b"a"}
    monkeypatch.setattr(second, "capabilities", frozenset(), raising=False)
    with pytest.raises(ConfigurationError, match="Store has no `stat`"):
        with_mirror(first, second)


async def test_a_second_that_does_not_answer_stops_no_check(
    first: Store, second: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down or silent the instance `mirror` is warned of; settings that can never be right are an error."""
    monkeypatch.setattr("indiaai_core.wrappers.mirror.CHECK_SECONDS", 0.01)
    named = mirror(second, layer=find_layer("storage"), environment=Environment.read().for_instance("mirror"))
    second.before["check"] = failing(BackendUnavailable("down"))
    await named.check()
    second.before["check"] = anyio.sleep_forever
    await named.check()
    await with_mirror(first, second).check()

    assert [text in caplog.text for text in ("down", "it did not answer within 0.01 s")] == [True, True]
    second.before["check"] = failing(ConfigurationError("no such bucket"))
    with pytest.raises(ConfigurationError):
        await named.check()
    first.before["check"] = failing(BackendUnavailable("down"))
    with pytest.raises(BackendUnavailable):
        await with_mirror(first, second).check()


async def test_both_are_closed(plain: Any, first: Store, second: Store) -> None:
    """Also where the first fails to."""
    await plain.aclose()

    assert (first.closed, second.closed) == (1, 1)


def test_links_of_a_store_that_is_second_now_are_served_where_they_were(first: Store, second: Store) -> None:
    """After the exchange the old store's routes stand where the main store's do, unless that has routes of its own."""

    class Routed(Store):
        @property
        def http_app(self) -> Any:
            return "routes"

    first.served_at = "/_indiaai/storage/default"
    routed = Routed()
    service = with_mirror(first, routed)
    assert (service.http_app, routed.served_at) == ("routes", "/_indiaai/storage/default")

    routed.served_at = "/_indiaai/storage/default"
    assert with_mirror(routed, second).http_app == "routes"
    assert second.served_at == "/_indiaai/storage/mirror"


@pytest.fixture
def variables(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two stores of one backend, and the mirror in front of the main one."""
    site.install(
        "acme-wrappers",
        entry_points="[indiaai.wrappers]\n"
        + "".join(f"{name} = indiaai_core.wrappers.{name}:{name}\n" for name in ("metrics", "mirror", "prefix")),
    )
    site.backend("acme", source=SHARED_STORAGE)
    return {"STORAGE_TYPE": "acme", "STORAGE_WRAPPERS": "mirror", "MIRROR_STORAGE_TYPE": "acme", "MIRROR_ACME_STORE": "second"}


@pytest.mark.parametrize("order", ["mirror,prefix", "prefix,mirror"])
async def test_in_any_order_with_a_prefix_both_stores_have_the_same_keys(order: str, variables: dict[str, str]) -> None:
    """What stands inside of the mirror stands before both, and the instance `mirror` is the second store as the main one is."""
    platform = Platform({**variables, "STORAGE_WRAPPERS": order, "STORAGE_PREFIX": "tenants/asha"})

    await platform.get_service("storage").upload("a", b"a")

    assert list(objects()) == list(objects("second")) == ["tenants/asha/a"]
    assert [info.key async for info in platform.get_service("storage", "mirror").list()] == ["a"]
    await platform.aclose()


async def test_what_the_second_store_missed_is_counted(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With `metrics` inside of the mirror each store has its own numbers, and the second's errors are what it missed."""
    labels = {"layer": "storage", "operation": "upload"}
    missed = {**labels, "instance": "mirror", "error": "BackendUnavailable"}
    done = {**labels, "instance": "default", "error": ""}

    def count(of: dict[str, str]) -> float:
        return REGISTRY.get_sample_value("indiaai_operation_seconds_count", of) or 0

    importlib.import_module("acme_storage_acme_module")
    before = count(missed), count(done)
    stored = backend().upload

    async def upload(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.objects is objects("second"):
            raise BackendUnavailable("down")
        return await stored(self, *args, **kwargs)

    monkeypatch.setattr(backend(), "upload", upload)
    platform = Platform({**variables, "STORAGE_WRAPPERS": "mirror,metrics"})
    await platform.get_service("storage").upload("a", b"a")

    assert (count(missed) - before[0], count(done) - before[1]) == (1, 1)
    await platform.aclose()


async def test_other_instances_are_not_mirrored(variables: dict[str, str]) -> None:
    """They take the main store's wrappers, and would all be written into its second store."""
    platform = Platform({**variables, "ARCHIVE_ACME_STORE": "archive"})

    await platform.get_service("storage", "archive").upload("a", b"a")

    assert [list(objects(store)) for store in ("archive", "main", "second")] == [["a"], [], []]
    with pytest.raises(ConfigurationError, match="cannot stand before a named instance"):
        Platform({**variables, "ARCHIVE_STORAGE_WRAPPERS": "mirror"}).get_service("storage", "archive")
    await platform.aclose()


async def test_the_platform_starts_where_the_second_store_is_down(
    variables: dict[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes do not need it: neither the start nor a health check fails for it, and both warn."""
    importlib.import_module("acme_storage_acme_module")

    async def check(self: Any) -> None:
        if self.objects is objects("second"):
            raise BackendUnavailable("the bucket is down")

    monkeypatch.setattr(backend(), "check", check)

    async with Platform(variables) as platform:
        assert all(health.is_healthy for health in (await platform.check()).values())
        await platform.get_service("storage").upload("a", b"a")

    assert "The second store does not answer, and misses what is written meanwhile: the bucket is down" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"MIRROR_STORAGE_TYPE": ""}, "MIRROR_STORAGE_TYPE: it is not set"),
        ({"MIRROR_ACME_STORE": "main"}, "MIRROR_STORAGE_TYPE: it selects the first store"),
        ({"STORAGE_MIRROR_SECONDS": "0"}, "STORAGE_MIRROR_SECONDS"),
        ({"MIRROR_STORAGE_TYPE": "acmee"}, "acmee"),
    ],
)
def test_what_is_set_wrongly_is_said_at_the_start(changes: dict[str, str], said: str, variables: dict[str, str]) -> None:
    """The variable at fault, and what would be right."""
    with pytest.raises(ConfigurationError, match=said):
        Platform({**variables, **changes}).get_service("storage")


def test_it_stands_before_the_main_store_alone(first: Store) -> None:
    """Another layer, and an instance that asks for it by name, are refused."""
    with pytest.raises(ConfigurationError, match="cannot stand before queue"):
        wrap(mirror, Echo(), layer="queue")
