"""The functions that work tasks, and what was registered with each; imported by the worker and its run."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from indiaai_core.queue import CARRIER_KEY, DEFAULT_MAX_ATTEMPTS, NewTask, Task
from indiaai_core.worker.arguments import Arguments, underlying
from indiaai_core.worker.backoff import Backoff
from indiaai_core.worker.context import TaskContext
from indiaai_core.worker.outcomes import Reject, Retry
from indiaai_core.worker.rate import RateLimit

__all__ = ["CallNext", "Handler", "Middleware"]

CallNext = Callable[[Task], Awaitable[Any]]
"""Calls the next middleware, or the handler, and gives its result."""

Middleware = Callable[[Task, CallNext], Awaitable[Any]]
"""Stands around the call of a handler: gets the delivery and what to await for its result; what it returns is the result."""


InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Calls a function in a thread, and gives its result."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered function.

    Attributes:
        name: The task name it works.
        function: The function.
        arguments: What it is called with.
        is_async: Whether it is awaited in the event loop; if not, it is called in a thread.
        max_attempts: How often a task is tried whose `enqueue` did not say; None: `DEFAULT_MAX_ATTEMPTS`.
        timeout_seconds: How long one attempt may take; None: as long as it likes.
        backoff: How long it waits after a failed attempt.
        middleware: The lists of middleware around it, the outermost first.
        rate_limit: How often it may begin; None: as often as it likes.
    """

    name: str
    function: Callable[..., Any]
    arguments: Arguments
    is_async: bool
    max_attempts: int | None
    timeout_seconds: float | None
    backoff: Backoff
    middleware: tuple[list[Middleware], ...]
    rate_limit: RateLimit | None = None

    @classmethod
    def of(
        cls,
        name: str,
        function: Callable[..., Any],
        *,
        max_attempts: int | None,
        timeout_seconds: float | None,
        backoff: Backoff,
        middleware: list[Middleware],
        rate_limit: str | None = None,
    ) -> Handler:
        """Check what is registered.

        Raises:
            InvalidTask: `name` or `max_attempts` is none that a task could have.
            ValueError: `timeout_seconds` is not positive, or `rate_limit` is none.
            TypeError: The function cannot be a handler.
        """
        NewTask(name, max_attempts=max_attempts)
        if timeout_seconds is not None and not timeout_seconds > 0:
            raise ValueError(f"timeout={timeout_seconds!r} of the handler {name!r}: expected seconds above 0, or None.")
        if inspect.isasyncgenfunction(underlying(function)) or inspect.isgeneratorfunction(underlying(function)):
            raise TypeError(f"The handler {name!r} yields. Return the result once, and report with TaskContext.progress.")
        return cls(
            name=name,
            function=function,
            arguments=Arguments.of(function),
            is_async=_is_async(function),
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            backoff=backoff,
            middleware=(middleware,),
            rate_limit=None if rate_limit is None else RateLimit.of(rate_limit),
        )

    def within(self, middleware: list[Middleware]) -> Handler:
        """Return the same handler with more middleware around what it has."""
        return replace(self, middleware=(middleware, *self.middleware))

    def limit(self, task: Task) -> int:
        """Return how often a task may be tried: what it was enqueued with, else ours, else the default."""
        return task.max_attempts or self.max_attempts or DEFAULT_MAX_ATTEMPTS

    def call(self, context: TaskContext, in_thread: InThread, *, around: Sequence[Middleware] = ()) -> Awaitable[Any]:
        """Begin to work a delivery; what is returned gives the function's result when it is awaited.

        Args:
            context: The attempt.
            in_thread: Calls what a plain function is called by, in a thread.
            around: What stands around it outside of its own middleware, the outermost first.

        Raises:
            Retry, Reject: The function raised it, or returned it where there is middleware.
            InvalidArgument: The task's data is not what it asks for.
        """
        for layer in self.middleware:
            if layer:
                around = (*around, *layer)
        if around:
            return self._call_through(around, context, in_thread)
        # What most handlers are; every coroutine around it would cost each task a microsecond.
        return self._call_function(context.task, context, in_thread)

    def _call_function(self, task: Task, context: TaskContext, in_thread: InThread) -> Awaitable[Any]:
        if CARRIER_KEY in task.data:
            task = replace(task, data={name: value for name, value in task.data.items() if name != CARRIER_KEY})
        arguments = self.arguments.make(task, context)
        if self.is_async:
            awaitable: Awaitable[Any] = self.function(*arguments)
            return awaitable
        return in_thread(partial(self.function, *arguments))

    def _call_through(self, around: Sequence[Middleware], context: TaskContext, in_thread: InThread) -> Awaitable[Any]:
        async def innermost(task: Task) -> Any:
            result = await self._call_function(task, context, in_thread)
            if isinstance(result, Retry | Reject):
                raise result
            return result

        call_next: CallNext = innermost
        for middleware in reversed(around):
            call_next = _around(middleware, call_next)
        return call_next(context.task)


def _around(middleware: Middleware, call_next: CallNext) -> CallNext:
    return lambda task: middleware(task, call_next)


def _is_async(function: Callable[..., Any]) -> bool:
    # A decorator that is a plain function around an async one gives a coroutine when called, and is awaited.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(underlying(function))
