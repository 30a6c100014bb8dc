"""What a conformance suite is made of: promises that nobody bends, and capabilities that are declared or refused."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest
from plain_queue import PlainQueue

from indiaai_core import QueueService, Unsupported
from indiaai_core.testing import Conformance, Promise, list_promises, promise
from indiaai_core.testing.queue import QueueConformance

pytestmark = pytest.mark.anyio


class TopicPromises:
    """A topic with one promise that needs a capability."""

    @promise("T02", "It flies.", needs="wings")
    async def test_it_flies(self, service: Any) -> None:
        """Fly."""
        await service.fly()

    @promise("T01", "It walks.")
    async def test_it_walks(self, service: Any) -> None:
        """Walk."""
        assert service.walks


class Penguin:
    """A service without wings."""

    capabilities: ClassVar[frozenset[str]] = frozenset()
    walks = True

    def __init__(self, error: Exception | None = None) -> None:
        """Note what flying raises."""
        self.error = error

    async def fly(self) -> None:
        """Fly, or not."""
        if self.error is not None:
            raise self.error


def test_promises_are_listed_by_their_numbers() -> None:
    """The suite itself says what it promises."""

    class Suite(TopicPromises, Conformance):
        """A suite."""

    assert list_promises(Suite) == [Promise("T01", "It walks."), Promise("T02", "It flies.", ("wings",))]


def test_promise_is_the_docstring_of_its_test() -> None:
    """A failing test is reported with its number."""
    assert TopicPromises.test_it_walks.__doc__ == "T01: It walks."


def test_queue_promises_are_numbered_without_a_gap() -> None:
    """From Q00 up, each once, each a sentence of its own."""
    kept = list_promises(QueueConformance)

    assert [one.number for one in kept] == [f"Q{number:02}" for number in range(len(kept))]
    assert len({one.sentence for one in kept}) == len(kept)
    assert all(one.sentence.endswith(".") for one in kept)


def test_suite_needs_only_capabilities_that_the_interface_lists() -> None:
    """A backend's author finds every capability in the interface."""
    needed = {name for one in list_promises(QueueConformance) for name in one.needs}

    assert needed == PlainQueue.capabilities
    assert all(f"`{name}`" in (QueueService.__doc__ or "") for name in needed)


def test_interface_cites_every_promise() -> None:
    """Whoever reads a method finds the numbers of its promises there."""
    methods = [method.__doc__ or "" for method in vars(QueueService).values() if callable(method)]
    text = " ".join(" ".join([QueueService.__doc__ or "", *methods]).split())

    ranges = [(int(first), int(last or first)) for first, last in re.findall(r"Q(\d{2,3})(?: to Q(\d{2,3}))?", text)]

    cited = {f"Q{number:02}" for first, last in ranges for number in range(first, last + 1)}
    assert cited == {one.number for one in list_promises(QueueConformance)}


@pytest.mark.parametrize("member", [None, lambda self, service: None], ids=["deleted", "overridden"])
def test_subclass_may_not_bend_a_promise(member: object) -> None:
    """Overriding a promise, with another test or with nothing, is an error where it is done."""
    with pytest.raises(TypeError, match="test_it_walks"):
        type("Suite", (TopicPromises, Conformance), {"test_it_walks": member})


def test_mixin_may_not_hide_a_promise() -> None:
    """Nor does it help to do it in a class between."""

    class Between:
        """What comes first."""

        test_it_walks = None

    with pytest.raises(TypeError, match="test_it_walks"):
        type("Suite", (Between, TopicPromises, Conformance), {})


def test_two_promises_may_not_have_one_number() -> None:
    """A number stands for one promise."""

    class More:
        """Another topic."""

        @promise("T01", "It swims.")
        async def test_it_swims(self, service: Any) -> None:
            """Swim."""

    with pytest.raises(TypeError, match="T01"):
        type("Suite", (TopicPromises, More, Conformance), {})


def test_subclass_may_add_tests_and_fixtures() -> None:
    """A backend's own promises stand beside the layer's."""
    suite = type("Suite", (TopicPromises, Conformance), {"test_mine": lambda self: None, "service": None})

    assert len(list_promises(suite)) == 2


async def test_undeclared_capability_must_be_refused_by_its_name() -> None:
    """A promise that needs what is not declared holds when the call raises Unsupported."""
    await TopicPromises().test_it_flies(service=Penguin(Unsupported("Penguin", "wings")))


async def test_undeclared_capability_that_works_is_a_failure() -> None:
    """What is not declared is not to be found by trying."""
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await TopicPromises().test_it_flies(service=Penguin())


async def test_refusal_by_another_name_is_a_failure() -> None:
    """Unsupported names the capability that lacks."""
    with pytest.raises(pytest.fail.Exception, match="'fins'"):
        await TopicPromises().test_it_flies(service=Penguin(Unsupported("Penguin", "fins")))
