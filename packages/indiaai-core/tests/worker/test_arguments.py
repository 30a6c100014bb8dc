"""What a handler is called with."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel

from indiaai_core import Task, Worker
from indiaai_core.worker import OutcomeKind, TaskContext
from worker_fakes import FakeQueue

pytestmark = pytest.mark.anyio


class Document(BaseModel):
    """What a task's data is to be."""

    key: str
    pages: int = 1
    at: datetime | None = None


seen: list[Any] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


async def takes_task(task: Task) -> None:
    """Take the delivery."""
    seen.append((type(task), task.data))


async def takes_dict(data: dict[str, Any]) -> None:
    """Take the data, annotated."""
    seen.append((type(data), data))


async def takes_mapping(data: Mapping[str, Any]) -> None:
    """Take the data, annotated by what it can do."""
    seen.append((type(data), data))


async def takes_anything(data) -> None:  # type: ignore[no-untyped-def]  # a user may leave it out
    """Take the data, not annotated."""
    seen.append((type(data), data))


async def takes_model(document: Document) -> None:
    """Take the data validated."""
    seen.append((type(document), document.model_dump(exclude_none=True, exclude_defaults=True)))


@pytest.mark.parametrize(
    ("handler", "kind"),
    [(takes_task, Task), (takes_dict, dict), (takes_mapping, dict), (takes_anything, dict), (takes_model, Document)],
)
async def test_the_annotation_says_what_a_handler_gets(
    handler: Callable[..., Awaitable[None]], kind: type, queue: FakeQueue, worker: Worker
) -> None:
    """A handler gets the delivery, its data, or its data as a validated model, as its annotation asks."""
    worker.task("process")(handler)
    await queue.enqueue("process", {"key": "a"})

    await worker.drain(queue)

    assert seen == [(kind, {"key": "a"})]


async def test_data_is_converted_as_json_is(queue: FakeQueue, worker: Worker) -> None:
    """A model's dates and numbers are read from their JSON forms."""
    found: list[Document] = []

    @worker.task("process")
    async def process(document: Document) -> None:
        found.append(document)

    await queue.enqueue("process", {"key": "a", "pages": 3, "at": "2024-02-29T12:00:00Z"})
    await worker.drain(queue)

    assert found[0].pages == 3
    assert found[0].at == datetime.fromisoformat("2024-02-29T12:00:00+00:00")


async def test_invalid_data_fails_at_once_with_its_fields(queue: FakeQueue, worker: Worker) -> None:
    """Data that does not validate makes a dead letter at the first attempt, whose error names each field, not its value."""
    worker.task("process", max_attempts=9)(takes_model)
    task_id = await queue.enqueue("process", {"pages": "a secret"})

    outcomes = await worker.drain(queue)

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.FAILED]
    error = queue.entry(task_id).error or ""
    assert error.startswith("The task's data is not a Document: key: Field required; pages: Input should be a valid integer")
    assert "a secret" not in error
    assert seen == []


async def test_a_handler_may_take_the_context_too(queue: FakeQueue, worker: Worker) -> None:
    """A parameter annotated `TaskContext`, or called `context`, gets the context, wherever it stands."""
    found: list[Any] = []

    @worker.task("second")
    async def second(data: dict[str, Any], context: TaskContext) -> None:
        found.append((data, context.task.name))

    @worker.task("first")
    async def first(attempt: TaskContext, task: Task) -> None:
        found.append((task.data, attempt.task.name))

    @worker.task("only")
    async def only(context) -> None:  # type: ignore[no-untyped-def]  # found by its name
        found.append(({}, context.task.name))

    for name in ("second", "first", "only"):
        await queue.enqueue(name)
    await worker.drain(queue)

    assert found == [({}, "second"), ({}, "first"), ({}, "only")]


async def test_a_handler_may_take_nothing(queue: FakeQueue, worker: Worker) -> None:
    """A handler without parameters, or with others that have defaults, is called without them."""
    found: list[Any] = []

    @worker.task("nothing")
    async def nothing() -> None:
        found.append("nothing")

    @worker.task("defaults")
    async def defaults(task: Task, retries: int = 3, *rest: Any, **options: Any) -> None:
        found.append((retries, rest, options))

    await queue.enqueue("nothing")
    await queue.enqueue("defaults")
    await worker.drain(queue)

    assert found == ["nothing", (3, (), {})]


async def test_callable_objects_and_partials_can_be_handlers(queue: FakeQueue, worker: Worker) -> None:
    """Whatever can be called with one argument can be a handler: an object, a partial, a wrapped async function."""
    found: list[Any] = []

    class Process:
        async def __call__(self, task: Task) -> None:
            found.append(("object", task.name))

    async def both(prefix: str, task: Task) -> None:
        found.append((prefix, task.name))

    async def inner(task: Task) -> None:
        found.append(("wrapped", task.name))

    @functools.wraps(inner)
    def wrapped(*arguments: Any) -> Awaitable[None]:
        return inner(*arguments)

    worker.task("a")(Process())
    worker.task("b")(functools.partial(both, "partial"))
    worker.task("c")(wrapped)
    for name in "abc":
        await queue.enqueue(name)
    await worker.drain(queue)

    assert found == [("object", "a"), ("partial", "b"), ("wrapped", "c")]


def test_a_parameter_that_cannot_be_filled_is_refused(worker: Worker) -> None:
    """A handler that asks for more than a task and a context is refused where it is registered."""

    async def process(task: Task, database: object) -> None: ...

    with pytest.raises(TypeError, match="parameter 'database' that the worker cannot fill"):
        worker.task("process")(process)


def test_an_annotation_that_cannot_be_resolved_is_refused(worker: Worker) -> None:
    """An annotation that names what is not there at run time is refused where it is registered, with the way to mend it."""

    async def process(task: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - that is the point

    with pytest.raises(TypeError, match=r"cannot be resolved: name 'Missing' is not defined.*TYPE_CHECKING"):
        worker.task("process")(process)


def test_an_annotation_that_pydantic_does_not_know_is_refused(worker: Worker) -> None:
    """An annotation that nothing can be validated as is refused where it is registered."""

    class Opaque: ...

    async def process(task: object) -> None: ...

    process.__annotations__["task"] = Opaque

    with pytest.raises(TypeError, match="which pydantic cannot validate"):
        worker.task("process")(process)


def test_a_handler_that_yields_is_refused(worker: Worker) -> None:
    """Generators, async or not, are refused: a handler has one result."""

    async def process(task: Task) -> Any:
        yield task

    with pytest.raises(TypeError, match="yields"):
        worker.task("process")(process)
