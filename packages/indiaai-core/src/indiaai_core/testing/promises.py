"""Numbered promises, of which a conformance suite is made; imported by the suites, and by tests and docs that list them.

A promise is an async test method of a suite, marked with its number, its sentence and the capabilities it needs:

    class OrderPromises:
        @promise("Q12", "A higher priority is delivered sooner.", needs="priority")
        async def test_higher_priority_is_delivered_sooner(self, service: QueueService) -> None: ...

Where the service does not declare a capability that the promise needs, the same test is run and must end in `Unsupported`,
naming what lacks: the first call that needs the capability is to refuse, so nothing before that call may need it.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from indiaai_core.errors import Unsupported
from indiaai_core.testing.untried import untried_of

__all__ = ["Conformance", "Promise", "list_promises", "promise"]

# Without it, a failing promise would say AssertionError and not what was found; the suites are imported after this module.
pytest.register_assert_rewrite("indiaai_core.testing.queue", "indiaai_core.testing.storage")

Test = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that every backend of a layer does.

    Attributes:
        number: What errors, docs and docstrings call it: the layer's letter and two digits, or three.
        sentence: The promise, in one sentence.
        needs: The capabilities without which the backend must raise `Unsupported` instead.
        where: The capabilities of the service, or traits of the suite, without which there is nothing to try, as the backend
            is free to do otherwise.
    """

    number: str
    sentence: str
    needs: tuple[str, ...] = ()
    where: tuple[str, ...] = ()


def promise(
    number: str, sentence: str, *, needs: str | Iterable[str] = (), where: str | Iterable[str] = ()
) -> Callable[[Test], Test]:
    """Mark an async test method of a suite as a promise.

    The method takes the fixture `service`. Put the decorator outermost; over `hypothesis.given`, it marks only.

    Args:
        number: The promise's number, once in a suite.
        sentence: The promise.
        needs: One capability, or several, without which the test must end in `Unsupported`.
        where: One capability or trait, or several, without which the test is not run.
    """
    kept = Promise(number, sentence, _names(needs), _names(where))

    def mark(test: Test) -> Test:
        # anyio's plugin puts its own runner into `test.hypothesis`, which a wrapper around it would hide.
        judged = test if hasattr(test, "hypothesis") else _judged(test, kept)
        judged.__doc__ = f"{number}: {sentence}"
        judged.__dict__["promise"] = kept
        return judged

    return mark


def list_promises(suite: type[Any]) -> list[Promise]:
    """Return a suite's promises in the order of their numbers."""
    return sorted((test.__dict__["promise"] for _, test in _promised(suite)), key=lambda kept: (len(kept.number), kept.number))


class Conformance:
    """The root of the suites: runs async tests on asyncio, and refuses a subclass that bends a promise.

    A subclass may add tests and fixtures. One that overrides or deletes a promise, or gives two one number, is a
    `TypeError` at its definition.

    Attributes:
        optional_fixtures: Fixtures that an author may leave out, for which None or the service itself stands in.
        traits: What the store under test does though it need not; an author's class says which of the suite's it has.
    """

    optional_fixtures: ClassVar[tuple[str, ...]] = ()
    traits: ClassVar[frozenset[str]] = frozenset()
    pytestmark: ClassVar[pytest.MarkDecorator] = pytest.mark.anyio

    @pytest.fixture(autouse=True)
    def _untried(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Tell at the end of pytest's report what was not tried."""
        yield
        kept: Promise | None = getattr(request.function, "promise", None)
        if kept is not None and "service" in request.node.funcargs:
            asked = inspect.signature(request.function).parameters  # not what those fixtures ask for in their turn
            fixtures = {name: value for name, value in request.node.funcargs.items() if name in asked}
            reasons = _reasons(kept, fixtures, optional=self.optional_fixtures, traits=self.traits)
            untried_of(request.config).note(type(self).__name__, kept.number, reasons=reasons)

    def __init_subclass__(cls, **options: Any) -> None:
        """Hold every inherited promise against the subclass."""
        super().__init_subclass__(**options)
        bent = sorted(name for name, test in _promised(cls) if inspect.getattr_static(cls, name) is not test)
        if bent:
            raise TypeError(
                f"{cls.__name__} may not override or delete the promise {', '.join(bent)}: mend the backend instead."
            )
        numbers = Counter(test.__dict__["promise"].number for _, test in _promised(cls))
        doubled = sorted(number for number, count in numbers.items() if count > 1)
        if doubled:
            raise TypeError(f"{cls.__name__} has more than one promise {', '.join(doubled)}: give each a number of its own.")

    @pytest.fixture(scope="session")
    @classmethod
    def anyio_backend(cls) -> str:
        """Run the suite on asyncio."""
        return "asyncio"


def _promised(suite: type[Any]) -> Iterator[tuple[str, Test]]:
    for base in inspect.getmro(suite):
        for name, member in vars(base).items():
            if isinstance(getattr(member, "__dict__", {}).get("promise"), Promise):
                yield name, member


def _reasons(kept: Promise, fixtures: Mapping[str, Any], *, optional: Iterable[str], traits: frozenset[str]) -> Iterator[str]:
    service = fixtures["service"]
    for name in (*kept.needs, *kept.where):
        if name not in service.capabilities | traits:
            yield f"{name} is not declared"
    for name in optional:
        # What stands in for a fixture that the author did not write: nothing, or the service itself.
        if name in fixtures and fixtures[name] in (None, service):
            yield f"the fixture {name} is not given"


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _judged(test: Callable[..., Awaitable[None]], kept: Promise) -> Test:
    @functools.wraps(test)
    async def judged(self: Any, **fixtures: Any) -> None:
        capabilities = fixtures["service"].capabilities
        if not (capabilities | getattr(self, "traits", frozenset())).issuperset(kept.where):
            return
        lacking = frozenset(kept.needs) - capabilities
        if not lacking:
            await test(self, **fixtures)
            return
        with pytest.raises(Unsupported) as refusal:
            await test(self, **fixtures)
        if refusal.value.capability not in lacking:
            pytest.fail(f"Unsupported names {refusal.value.capability!r}; undeclared and needed: {', '.join(sorted(lacking))}.")

    return judged
