"""The conformance suite finds what is broken, and nothing else."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import strategies as st

from indiaai_core.storage import StorageService
from indiaai_core.testing import Fetch, StorageConformance, list_promises
from indiaai_core.testing.storage import samples, urls
from indiaai_core.testing.storage.conformance import outer_fixture
from storage.broken import BROKEN
from storage.reference import InterruptingStorageService, MemoryStorageService, MinimalStorageService, Store

# These try anything, so they may find what another promise is about; each has a fault of its own all the same.
GENERAL = {"S12", "S22", "S65", "S75", "S79", "S100"}


# Taken before anyio's plugin puts its own runner in their place.
INNER_TESTS = {
    name: test.hypothesis.inner_test
    for name, test in inspect.getmembers(StorageConformance, lambda member: hasattr(member, "hypothesis"))
}


class TestReference(StorageConformance):
    """A backend with every capability keeps every promise."""

    @pytest.fixture
    def store(self) -> Store:
        """What the two services share."""
        return Store()

    @pytest.fixture
    async def service(self, store: Store) -> StorageService:
        """The one under test."""
        return MemoryStorageService(store)

    @pytest.fixture
    async def second_service(self, store: Store) -> StorageService:
        """Another one on the same store."""
        return MemoryStorageService(store)

    @pytest.fixture
    async def http(self, service: MemoryStorageService) -> Fetch:
        """What answers its links."""
        return service.answer


class TestInterrupting(StorageConformance):
    """A backend that uses the freedom that the contract leaves keeps every promise."""

    @pytest.fixture
    async def service(self) -> StorageService:
        """The one under test."""
        return InterruptingStorageService()

    @pytest.fixture
    async def http(self, service: InterruptingStorageService) -> Fetch:
        """What answers its links."""
        return service.answer


class TestWithoutFixtures(StorageConformance):
    """A backend whose author gives the one fixture keeps every promise as far as it can be seen."""

    @pytest.fixture
    async def service(self) -> StorageService:
        """The one under test."""
        return MemoryStorageService()


class TestMinimal(StorageConformance):
    """A backend of four methods keeps every promise, and refuses what it does not declare."""

    @pytest.fixture
    async def service(self) -> StorageService:
        """The one under test."""
        return MinimalStorageService()

    def test_a_subclass_may_have_tests_of_its_own(self) -> None:
        """Beside the promises, an author tests what else there is."""
        assert list_promises(type(self)) == list_promises(StorageConformance)


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "PATIENCE_SECONDS", 0.3)  # enough for the reference's fast clock


@pytest.mark.once
@pytest.mark.parametrize("number", [promise.number for promise in list_promises(StorageConformance)])
def test_a_broken_backend_fails_its_own_promise(number: str) -> None:
    """A backend that breaks one promise fails that promise and no other."""
    backend = BROKEN[number]
    tested = {promise.number for promise in list_promises(StorageConformance)} - (GENERAL - {number})

    failed = failed_promises(backend, tested)

    assert failed == {number}


@pytest.mark.parametrize("number", sorted(GENERAL))
def test_the_reference_keeps_the_promises_that_try_anything(number: str) -> None:
    """A promise that tries anything is kept by a backend that breaks none: the fault is what it finds, not chance."""
    assert failed_promises(MemoryStorageService, {number}) == set()


def test_every_broken_backend_is_of_a_promise() -> None:
    """No broken backend is left over from a promise that is gone."""
    assert set(BROKEN) == {promise.number for promise in list_promises(StorageConformance)}


def test_a_capability_that_is_ignored_is_found() -> None:
    """A backend that does not declare a capability and takes the argument all the same fails the promises that need it."""

    class Ignores(MemoryStorageService):
        capabilities = frozenset({"stat", "list", "copy", "presign", "presign_upload"})

    needing = {one.number for one in list_promises(StorageConformance) if not set(one.needs) <= Ignores.capabilities}
    assert failed_promises(Ignores) - GENERAL == needing


def test_promises_are_numbered_in_a_row() -> None:
    """The numbers go from S01 up without a gap, and every promise is a sentence."""
    promises = list_promises(StorageConformance)

    assert [promise.number for promise in promises] == [f"S{number:02}" for number in range(1, len(promises) + 1)]
    assert all(promise.sentence.endswith(".") for promise in promises)


def test_the_suite_needs_only_capabilities_that_the_interface_lists() -> None:
    """A backend's author finds every capability in the interface, and each is tried."""
    needed = {name for one in list_promises(StorageConformance) for name in (*one.needs, *one.where)}

    assert needed == MemoryStorageService.capabilities - {"copy"}  # which promises nothing that the default does not
    assert all(f"`{name}`" in (StorageService.__doc__ or "") for name in MemoryStorageService.capabilities)


def test_the_interface_cites_every_promise() -> None:
    """Whoever reads a method finds the numbers of its promises there."""
    methods = [method.__doc__ or "" for method in vars(StorageService).values() if callable(method)]
    text = re.sub(r"\s+", " ", " ".join([StorageService.__doc__ or "", *methods]))

    ranges = [(int(first), int(last or first)) for first, last in re.findall(r"S(\d{2,3})(?: to S(\d{2,3}))?", text)]

    cited = {f"S{number:02}" for first, last in ranges for number in range(first, last + 1)}
    assert cited == {one.number for one in list_promises(StorageConformance)}


def test_a_subclass_may_not_bend_a_promise() -> None:
    """A subclass that overrides or deletes a promise is refused at its definition."""
    with pytest.raises(TypeError, match="test_bytes_come_back"):
        type("Bent", (StorageConformance,), {"test_bytes_come_back": None})


@pytest.fixture
def misspelt(nobody: object) -> object:
    """Give what an author asked for under a wrong name."""
    return nobody


def test_a_fixture_that_another_fixture_lacks_is_not_hidden(request: pytest.FixtureRequest) -> None:
    """An author's fixture that asks for one that is not there is an error; one that the author did not write is not."""
    assert outer_fixture(request, "nobody", default="default") == "default"

    with pytest.raises(pytest.FixtureLookupError, match="nobody"):
        outer_fixture(request, "misspelt", default="default")


@pytest.mark.anyio
async def test_the_model_tells_what_is_missing() -> None:
    """The model of a store raises where the store differs from it."""
    from indiaai_core.testing.storage.model import Model, Stored

    model = Model(MemoryStorageService(), "folder", {"a": Stored(b"never stored")})

    with pytest.raises(AssertionError, match="was stored and is not found"):
        await model.compare()


@pytest.mark.anyio
async def test_the_model_tells_what_should_have_failed() -> None:
    """The model of a store raises where an upload succeeds whose source failed."""
    from indiaai_core.testing.storage.model import Model

    class Swallows(MemoryStorageService):
        async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
            with suppress(LookupError):
                return await super().gather_stream(key, stream)
            return b""

    with pytest.raises(AssertionError, match="is said to have succeeded"):
        await Model(Swallows(), "folder").upload_failing("a", b"content")


def test_made_keys_are_valid() -> None:
    """The keys that the suite makes are keys, and those it calls invalid are none."""
    assert all(samples.suits_a_key(key) for key in samples.ODD_KEYS)
    assert not any(samples.suits_a_key(key) for key in samples.INVALID_KEYS)
    assert isinstance(samples.keys(), st.SearchStrategy)


class FirstFailure(BaseException):
    """One example failed, which is enough."""


def test_a_difference_is_told_in_words() -> None:
    """Bytes that are wrong are not shown, but where they begin to be; of several versions, beside the likeliest."""
    content = samples.pattern(10_000)

    assert samples.difference(content, b"old", content) == ""
    assert samples.difference(content[:-1], b"old", content).endswith("they differ from byte 9999 on")
    assert samples.difference(content[:5000] + b"?" + content[5001:], content).endswith("differ from byte 5000 on")
    assert samples.difference(content + b"!", content).startswith("10001 bytes came and 10000 were expected; they differ")


@pytest.mark.parametrize("number", ["S03", "S06", "S07", "S08", "S23", "S102"])
def test_a_failure_is_told_in_few_words(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes wrong of a long object or listing is not compared line by line, for which pytest takes minutes in CI."""
    monkeypatch.setenv("CI", "1")  # by which pytest cuts nothing short

    (report,) = failures(BROKEN[number], {number}).values()

    assert len(report) < 5_000


def failed_promises(backend: type[MemoryStorageService], numbers: set[str] | None = None) -> set[str]:
    """Return the numbers of the promises that a backend breaks."""
    return set(failures(backend, numbers))


def failures(backend: type[MemoryStorageService], numbers: set[str] | None = None) -> dict[str, str]:
    """Return what is told of each promise that a backend breaks, by its number."""
    failed: dict[str, str] = {}
    suite = StorageConformance()
    with asyncio.Runner() as runner:
        for _, test in inspect.getmembers(suite, lambda member: hasattr(member, "promise")):
            if numbers is not None and test.promise.number not in numbers:
                continue
            for arguments in parameters(test):
                store = Store()
                service = backend(store)
                fixtures = {"service": service, "second_service": backend(store), "http": service.answer}
                wanted = {name: value for name, value in fixtures.items() if name in inspect.signature(test).parameters}
                try:
                    run(runner, test, {**wanted, **arguments})
                except (Exception, pytest.fail.Exception, FirstFailure) as error:  # noqa: BLE001 - whatever a broken backend raises
                    failed[test.promise.number] = str(error)
    return failed


def parameters(test: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Give the arguments of each of a test's parameter sets, as pytest would."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    if not marks:
        yield {}
    for mark in marks:
        names, values = mark.args
        for value in values:
            yield dict(zip(names, value, strict=True)) if isinstance(names, tuple) else {names: value}


def run(runner: asyncio.Runner, test: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Run an async test; one under `given` through Hypothesis' own hook for this.

    The first failure is all that is asked for: it leaves Hypothesis as no error does, so that nothing is tried to shrink it.
    """
    if not hasattr(test, "hypothesis"):
        runner.run(test(**arguments))
        return

    def try_once(**made: Any) -> None:
        try:
            runner.run(INNER_TESTS[test.__name__](**made))
        except Exception as error:
            raise FirstFailure(test.__name__) from error

    handle = vars(test)["hypothesis"]  # Hypothesis documents its `inner_test` for runners of tests
    before, handle.inner_test = handle.inner_test, try_once
    try:
        test(**arguments)
    finally:
        handle.inner_test = before
